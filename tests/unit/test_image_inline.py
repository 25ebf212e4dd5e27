"""Files of a checkout within a Dockerfile: which, and unchanged whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import ConfigError, ContractError
from devbox.image.assembly.inline import MOST_BYTES, inlined, requirements

if TYPE_CHECKING:
    from pathlib import Path

EMPTY = "ARG A\nFROM scratch AS checkout\n\nFROM checkout AS devel\n"


def extracted(dockerfile: str) -> dict[str, str]:
    """Return the files that BuildKit would make of the heredocs: up to the line that is the delimiter."""
    lines = iter(dockerfile.splitlines(keepends=True))
    found = {}
    for line in lines:
        if line.startswith("COPY <<'"):
            end, name = line.removeprefix("COPY <<'").split("' /")
            found[name.strip()] = "".join(iter(lines.__next__, f"{end}\n"))
    return found


# Without the line breaks that are none to BuildKit.
texts = st.lists(st.sampled_from(["EOT", "EOT_", "", "torch==2 # $x `y` \\", "FROM a", "COPY <<'EOT' /x", " EOT"])).map(
    "\n".join
)


@given(st.dictionaries(st.sampled_from(["a.txt", "build/b.txt", "c-1.in"]), texts, min_size=1))
def test_what_goes_in_comes_out(files: dict[str, str]) -> None:
    made = inlined(EMPTY, "checkout", tuple(sorted(files.items())))
    closed = {name: text if text.endswith("\n") or not text else f"{text}\n" for name, text in files.items()}
    assert extracted(made) == closed
    assert made.startswith("ARG A\nFROM scratch AS checkout\n")
    assert made.endswith("\n\nFROM checkout AS devel\n")


def test_without_the_stage_there_is_no_place() -> None:
    with pytest.raises(ConfigError, match="no empty stage 'checkout'"):
        inlined("FROM a AS checkout\n", "checkout", ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "build").mkdir()
    (tmp_path / "a.txt").write_text("-r b.txt\n--requirement=build/c.txt # why\n-c  b.txt\nx -r d.txt\n")
    (tmp_path / "b.txt").write_text("-ra.txt\n-r https://example.org/r.txt\n")
    (tmp_path / "build/c.txt").write_text("--constraint ../b.txt\n")
    (tmp_path / "d.txt").write_text("d\n")
    return tmp_path


def test_only_what_is_named_and_included_is_taken(folder: Path) -> None:
    assert [name for name, _ in requirements(folder, ["a.txt", "cuda", ""])] == ["a.txt", "b.txt", "build/c.txt"]
    assert len(requirements(folder, ["no.txt"])) == 4


def test_what_cannot_be_inlined_is_named(folder: Path) -> None:
    (folder / "b.txt").write_bytes(b"\xff\n")
    with pytest.raises(ContractError, match=r"b\.txt cannot be put into a Dockerfile: it is not UTF-8"):
        requirements(folder, ["a.txt"])
    (folder / "b.txt").unlink()
    with pytest.raises(ContractError, match="No such file"):
        requirements(folder, ["a.txt"])
    (folder / "b.txt").write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(ContractError, match="too large"):
        requirements(folder, ["a.txt"])
    (folder / "a b.txt").touch()
    with pytest.raises(ContractError, match="spaces"):
        requirements(folder, ["a b.txt"])
