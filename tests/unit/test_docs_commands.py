"""Every command line on a page is one that devbox takes: its commands and options are those of the program."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from devbox.cli.app import app
from devbox.cli.application import Application
from devbox.ui.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
# This one is written by the program itself.
GENERATED = REPOSITORY / "docs/reference/cli.md"
PAGES = sorted({*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")} - {GENERATED})
BLOCK = re.compile(r"^```(?:|sh|bash|console|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Taken out first: else the end of one would be the beginning of a block without a language.
OTHER_LANGUAGE = re.compile(r"^```(?!(?:sh|bash|console|text)\n)\w+\n.*?^```\n", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
VARIABLES = re.compile(r"^(?:[A-Z_][A-Z0-9_]*=\S* )+")
USAGE_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
# In a sentence a command may be named without its arguments, and an option without its value.
INCOMPLETE = frozenset({"MissingParameter", "BadOptionUsage", "NoArgsIsHelpError"})


def commands(text: str) -> list[str]:
    """Return the devbox commands in `text`, without comments. What `&&`, `;` or `|` joins is several."""
    found = []
    for line in text.splitlines():
        for part in re.split(r" && |; | \| ", line.removeprefix("$ ")):
            command = VARIABLES.sub("", part.strip())
            if command.startswith("devbox "):
                found.append(re.sub(r"\s+#\s.*", "", command))
    return found


def spelled_out(line: str) -> Iterator[list[str]]:
    """Yield the arguments that a line stands for: `[--option]` is given, and each of `list|show` is one."""
    words = shlex.split(re.sub(r"[\[\]…]", "", line))[1:]
    choices = [word.split("|") if re.fullmatch(r"[a-z|]+", word) else [word] for word in words]
    yield from map(list, itertools.product(*choices))


@cache
def command_of(words: tuple[str, ...]) -> Any:
    """Return the command or group that `words` name. Raises KeyError."""
    command: Any = typer.main.get_command(app)
    return command if not words else command_of(words[:-1]).commands[words[-1]]


def parse(args: list[str]) -> None:
    """Read a command line as devbox would, and run nothing. Raises a usage error, KeyError for no such command."""
    rest = list(itertools.dropwhile(lambda word: word in {"--quiet", "--verbose", "--debug"}, args))
    if rest[:1] in (["--version"], ["--help"]):
        return
    words: tuple[str, ...] = ()
    while rest and hasattr(command_of(words), "commands"):
        words = (*words, rest.pop(0))
    if not hasattr(command_of(words), "commands"):
        run = Application(Console(environ={}), {}, json=False)
        command_of(words).make_context(words[-1], rest, obj=run)


def mistakes(text: str, *, allowed: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the commands in `text` that devbox would not take, and why."""
    for line in commands(text):
        for args in spelled_out(line):
            try:
                parse(args)
            except KeyError as error:
                yield f"{line}: there is no command {error}"
            except USAGE_ERROR as error:
                if type(error).__name__ not in allowed:
                    yield f"{line}: {error.format_message()}"


def hints() -> Iterator[str]:
    """Yield the hints of the program's errors, without what is said behind a command; a name is put in as X."""
    for file in sorted((REPOSITORY / "devbox").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                text = re.sub(r"\{[^{}]*\}", "X", ast.unparse(node.value).replace("{{", "").replace("}}", ""))
                for quoted in re.findall(r"'([^']*)'|\"([^\"]*)\"", text):
                    yield from re.split(r"; or |; ", "".join(quoted).partition("   #")[0].replace("…", ""))


def test_what_a_hint_says_to_type_is_what_devbox_takes() -> None:
    told = [text for text in hints() if re.match(r"devbox [a-z]", text) and "--help" not in text]
    assert len(told) > 100
    assert [*mistakes("\n".join(told), allowed=INCOMPLETE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_commands_of_a_page_are_those_that_devbox_takes(page: Path) -> None:
    text = OTHER_LANGUAGE.sub("", page.read_text(encoding="utf-8"))
    blocks = "\n".join(BLOCK.findall(text)).replace("\\\n", " ")
    spoken = "\n".join(INLINE.findall(BLOCK.sub("", text))).replace("\\|", "|")
    assert [*mistakes(blocks), *mistakes(spoken, allowed=INCOMPLETE)] == []


def test_the_pages_say_something() -> None:
    assert sum(page.read_text(encoding="utf-8").count("devbox ") for page in PAGES) > 500
    assert sum(page.parent.name == "migration" for page in PAGES) == 6
    assert [*mistakes("devbox up --nope\ndevbox nope\ndevbox hooks list|nope")] != []
