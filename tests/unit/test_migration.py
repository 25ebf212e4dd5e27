"""What replaces a make target, a script's flag or a documented command: devbox prints what it would run for it.

The pairs are in tests/data/migration, from which the pages of docs/migration are written, too. They are for a recorded
machine with eight GPUs: no engine is needed, and a dry run that asks one for more than facts fails.
"""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from devbox.agent.drivers.build_wheel import ALIASES, Script
from devbox.cli.app import app, run
from tests.machine import programs_in, stand_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DATA = Path(__file__).parents[1] / "data" / "migration"
PAGES = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(DATA.glob("*.toml"))}


@dataclass(frozen=True)
class Row:
    """One line of a page. `was` is what is replaced, `devbox` what replaces it; else `not` or `missing` says why.

    `has` and `lacks` are words that stand, or do not, in what the dry run prints: one after the other where there are
    several, `*` for any text. `script` are the words that TensorRT-LLM's build script is told. `env` are
    variables of the environment in which it runs. `unshown` says why a dry run cannot be had here; `dry` is the
    project's own.
    """

    page: str
    was: str
    tree: str
    devbox: str = ""
    why: str = ""
    note: str = ""
    unshown: str = ""
    dry: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}: {self.was}"

    def commands(self) -> Iterator[list[str]]:
        """Yield the arguments of each devbox command of the line."""
        for command in filter(None, self.devbox.split(" && ")):
            yield shlex.split(command)[1:]


def rows() -> Iterator[Row]:
    """Yield each line of each page. A key that no line has is a mistake."""
    for name, page in PAGES.items():
        for table in page["tables"]:
            for row in table["rows"]:
                values: dict[str, Any] = dict(row)
                values["why"] = values.pop("not", "") or values.pop("missing", "")
                values.pop("dry", "")  # what the project's own script is run with, for `make conformance`
                values |= {key: tuple(values[key]) for key in ("has", "lacks", "script") if key in values}
                values.setdefault("tree", table.get("tree", next(iter(page["trees"]))))
                yield Row(name, **values)


ROWS = tuple(rows())


def dry(args: Sequence[str]) -> bool:
    """Return whether the command that `args` name has a dry run. That of a build asks a container that runs."""
    if args[0] == "build":
        return False
    words = iter(args)
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        found = found.commands[next(words)]
    return any("--dry-run" in parameter.opts for parameter in found.params)


def contains(words: Sequence[str], wanted: str) -> bool:
    """Return whether `wanted`, split into words, stands in `words`."""
    patterns = shlex.split(wanted)
    return any(
        all(fnmatchcase(word, pattern) for word, pattern in zip(words[start:], patterns, strict=False))
        for start in range(len(words) - len(patterns) + 1)
    )


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the programs of the recorded machine, and its engine's socket."""
    with programs_in(tmp_path_factory.mktemp("machine")) as folder:
        yield folder


@pytest.fixture
def machine(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is always the same, but for ports and folders of the one on which the test runs."""
    stand_on(programs, monkeypatch)
    yield
    assert not (programs / "docker.asked").exists(), (programs / "docker.asked").read_text()


@pytest.fixture(scope="session")
def stands_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Make the stand-in for a checkout, once: what its framework is known by, its Dockerfile, the tag of a release."""

    @cache
    def make(page: str, tree: str) -> Path:
        # Short, since a dry run cuts long words.
        top = tmp_path_factory.mktemp("w") / tree
        for name, text in PAGES[page]["trees"][tree].items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        git = ["git", "-C", str(top), "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        for words in (["init", "-q", "--template="], ["add", "."], ["commit", "-qm", "A release"], ["tag", "v1.3.0"]):
            subprocess.run([*git, *words], check=True, timeout=60)
        return top

    return make


@pytest.fixture
def checkout(row: Row, stands_in: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of the line's system, and the folder in which its commands run. No dry run changes anything in it."""
    top = stands_in(row.page, row.tree)
    monkeypatch.chdir(top)
    before = set(top.rglob("*"))
    yield top
    assert set(top.rglob("*")) == before


@pytest.mark.parametrize("row", [row for row in ROWS if row.has], ids=str)
@pytest.mark.usefixtures("machine")
def test_what_runs_is_what_the_page_says(
    row: Row, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in row.env.items():
        monkeypatch.setenv(name, value)
    words: list[str] = []
    for args in filter(dry, row.commands()):
        end = args.index("--") if "--" in args else len(args)
        trust = ["--trust"] if args[0] == "up" else []
        capsys.readouterr()
        code = run([*args[:end], *trust, *([] if "--print" in args else ["--dry-run"]), *args[end:]])
        said = capsys.readouterr()
        assert code == 0, said.err
        words += [*shlex.split(said.out), *said.err.split()]
    assert [text for text in row.has if not contains(words, text)] == [], shlex.join(words)
    assert [text for text in row.lacks if contains(words, text)] == [], shlex.join(words)


def test_a_line_says_what_replaces_it_or_why_nothing_does() -> None:
    assert [row.was for row in ROWS if bool(row.devbox) == bool(row.why)] == []


def test_a_command_that_has_a_dry_run_is_shown_by_it() -> None:
    shown = [row for row in ROWS if any(dry(args) for args in row.commands())]
    assert [row.was for row in shown if bool(row.has) == bool(row.unshown)] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.script], ids=str)
def test_the_build_script_is_told_what_the_page_says(row: Row, checkout: Path) -> None:
    chosen: list[tuple[str, str | None]] = [(flag, None) for flag in ALIASES if f"--{flag}" in row.devbox.split()]
    words = row.devbox.split()
    for text in (words[at + 1] for at, word in enumerate(words) if word == "--option"):
        name, equals, value = text.partition("=")
        chosen.append((name, value if equals else None))
    assert Script(str(checkout)).chosen(chosen) == list(row.script)
