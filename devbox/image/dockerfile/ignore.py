"""`.dockerignore`: which files of a context a build does not see (moby/patternmatcher).

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns in order, each with whether it takes files back in (`!`). `back` are those that do, as written."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()
    back: tuple[str, ...] = ()

    def walker(self) -> tuple[Callable[[str], object], Callable[[str], object]]:
        """Return (test, prune) for a walk from the top: whether a path is left out, and whether all below it is too.

        Where nothing is taken back, a path whose folders have been seen needs one look, not one a pattern and folder.
        """
        if self.back:
            return self.ignores, lambda folder: self.ignores(folder) and not self._reaches_below(folder)
        every = "|".join(f"(?:{pattern.pattern})" for pattern, _ in self.patterns) or r"\Z."
        test = re.compile(every, re.DOTALL).fullmatch
        return test, test

    def _reaches_below(self, folder: str) -> bool:
        """Tell whether something below a folder may be taken back, by what its patterns say before a wildcard."""
        for glob in self.back:
            wild = re.search(r"[*?\[\\]", glob)
            literal = glob if wild is None else glob[: wild.start()]
            if literal.startswith(f"{folder}/") or (wild is not None and f"{folder}/".startswith(literal)):
                return True
        return False

    def and_also(self, glob: str) -> Ignore:
        """Return it with a pattern more, which is left out whatever the others say."""
        return replace(self, patterns=(*self.patterns, (_pattern(glob), False)))

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
    patterns, taken_back = [], []
    for line in text.removeprefix("\ufeff").splitlines():
        word = line.strip()
        if not word or line.startswith("#"):
            continue
        back = word.startswith("!")
        path = posixpath.normpath(word.removeprefix("!").strip()).lstrip("/")
        if path not in {"", "."}:
            patterns.append((_pattern(path), back))
            taken_back += [path] if back else []
    return Ignore(tuple(patterns), tuple(taken_back))


def ignore_file(dockerfile: Path, context: Path) -> Path | None:
    """Return the file that a build of `dockerfile` leaves files out by: one beside the Dockerfile comes first."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def read_ignore(dockerfile: Path, context: Path) -> Ignore:
    """Return what a build of `dockerfile` leaves out of `context`. Raises OSError where the file cannot be read."""
    file = ignore_file(dockerfile, context)
    return Ignore() if file is None else parse_ignore(file.read_text(encoding="utf-8", errors="replace"))


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
