"""`.dockerignore`: which files of a context a build does not see (moby/patternmatcher).

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns in order, each with whether it takes files back in (`!`)."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    def walker(self) -> tuple[Callable[[str], object], bool]:
        """Return (test, prune) for a walk from the top: whether a path is left out, and whether all below it is too.

        Where nothing is taken back, a path whose folders have been seen needs one look, not one a pattern and folder.
        """
        if any(back for _, back in self.patterns):
            return self.ignores, False
        every = "|".join(f"(?:{pattern.pattern})" for pattern, _ in self.patterns) or r"\Z."
        return re.compile(every, re.DOTALL).fullmatch, True

    def ignores(self, path: str) -> bool:
        """Whether a path below the context is left out: the last pattern that matches it or a folder of it decides."""
        parts = path.split("/")
        parents = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        ignored = False
        for pattern, back in self.patterns:
            if ignored == back and any(pattern.fullmatch(parent) for parent in parents):
                ignored = not back
        return ignored


def parse_ignore(text: str) -> Ignore:
    """Read a `.dockerignore`."""
    patterns = []
    for line in text.removeprefix("\ufeff").splitlines():
        word = line.strip()
        if not word or line.startswith("#"):
            continue
        back = word.startswith("!")
        path = posixpath.normpath(word.removeprefix("!").strip()).lstrip("/")
        if path not in {"", "."}:
            patterns.append((_pattern(path), back))
    return Ignore(tuple(patterns))


def ignore_file(dockerfile: Path, context: Path) -> Path | None:
    """Return the file that a build of `dockerfile` leaves files out by: one beside the Dockerfile comes first."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def _pattern(glob: str) -> re.Pattern[str]:
    """Return a pattern as a regular expression: `**` is any folders, `*` and `?` stay within one."""
    parts, position = [], 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if glob.startswith("**", position - 1):
            position += 1
            if glob.startswith("/", position):
                position += 1
                parts.append("(?:.*/)?")
            else:
                parts.append(".*")
        elif character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[" and (end := glob.find("]", position + 1)) > 0:
            inner = glob[position:end].replace("\\", "\\\\")
            parts.append(f"[{inner}]")
            position = end + 1
        elif character == "\\" and position < len(glob):
            parts.append(re.escape(glob[position]))
            position += 1
        else:
            parts.append(re.escape(character))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        return re.compile(re.escape(glob))
