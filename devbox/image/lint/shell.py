"""What the shell script of a RUN reads and sets, as far as the linter has to know it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.image.dockerfile.instructions import Instruction

_VARIABLE = re.compile(r"\$(?:\{[#!]?)?([A-Za-z_]\w*)", re.ASCII)
_ASSIGNED = re.compile(
    r"(?:^|[\s;&|(`{])(?:(?:export|local|declare|readonly|typeset|read|for|unset)\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)"
    r"(?=\+?=|\s+in\b)|\$\{([A-Za-z_]\w*):?=|\bread\s+(?:-\w+\s+)*([A-Za-z_]\w*)",
    re.ASCII | re.MULTILINE,
)
_SHELL = re.compile(r"#!.*\b(?:ba|da|k|z)?sh\b")


def scripts(instruction: Instruction) -> Iterator[str]:
    """Yield the texts of a RUN that a shell reads: its line, and heredocs that are a script or have variables."""
    if instruction.keyword != "RUN":
        return
    yield instruction.text
    for heredoc in instruction.heredocs:
        if heredoc.text.startswith("#!") and not _SHELL.match(heredoc.text):
            continue
        # A quoted heredoc that is given to another program is not the shell's.
        if heredoc.expand or instruction.text.startswith("<<"):
            yield heredoc.text


def used(script: str) -> set[str]:
    """Return the variables that a shell fills in: not those after a backslash or between single quotes."""
    return {match[1] for match in _VARIABLE.finditer(_unquoted(script))}


def assigned(script: str) -> set[str]:
    """Return the variables that the script gives a value itself."""
    return {name for match in _ASSIGNED.finditer(script) for name in match.groups() if name}


def _unquoted(script: str) -> str:
    """Return the script without what is quoted singly, escaped or commented. An open quote hides the rest."""
    kept: list[str] = []
    double, position = False, 0
    while position < len(script):
        character = script[position]
        if character == "\\":
            position += 2
            continue
        if character == "'" and not double:
            end = script.find("'", position + 1)
            position = len(script) if end < 0 else end + 1
            continue
        if character == "#" and not double and (position == 0 or script[position - 1].isspace()):
            end = script.find("\n", position)
            position = len(script) if end < 0 else end
            continue
        double ^= character == '"'
        kept.append(character)
        position += 1
    return "".join(kept)
