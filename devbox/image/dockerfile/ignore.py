"""`.dockerignore`: which files of a context a build does not see (moby/patternmatcher).

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import itertools
import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns in order, each with whether it takes files back in (`!`). `back` are those that do, as written.

    Patterns of the same kind that follow one another are one regular expression: files of a tree are many.
    """

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()
    back: tuple[str, ...] = ()

    def walker(self) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
        """Return (test, prune) for a walk: whether a path is left out, and whether all below it is too.

        What the patterns say of a folder is remembered for all that is in it.
        """
        known: dict[str, tuple[bool, ...]] = {"": (False,) * len(self.patterns)}

        def matched(path: str) -> tuple[bool, ...]:
            folder = path.rpartition("/")[0]
            if folder not in known:
                known[folder] = matched(folder)
            return tuple(
                above or bool(pattern.fullmatch(path))
                for above, (pattern, _) in zip(known[folder], self.patterns, strict=True)
            )

        def ignores(path: str) -> bool:
            ignored = False
            for hit, (_, back) in zip(matched(path), self.patterns, strict=True):
                ignored = (not back) if hit else ignored
            return ignored

        return ignores, lambda folder: ignores(folder) and not self._reaches_below(folder)

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
        return replace(self, patterns=(*self.patterns, (re.compile(_pattern(glob), re.DOTALL), False)))

    def ignores(self, path: str) -> bool:
        """Whether a path below the context is left out: the last pattern that matches it or a folder of it decides."""
        return self.walker()[0](path)


def parse_ignore(text: str) -> Ignore:
    """Read a `.dockerignore`."""
    patterns: list[tuple[str, bool]] = []
    taken_back: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        word = line.strip()
        if not word or line.startswith("#"):
            continue
        back = word.startswith("!")
        path = posixpath.normpath(word.removeprefix("!").strip()).lstrip("/")
        if path not in {"", "."}:
            patterns.append((_pattern(path), back))
            taken_back += [path] if back else []
    blocks = itertools.groupby(patterns, key=lambda one: one[1])
    compiled = ((re.compile("|".join(f"(?:{text})" for text, _ in block), re.DOTALL), back) for back, block in blocks)
    return Ignore(tuple(compiled), tuple(taken_back))


def ignore_file(dockerfile: Path, context: Path) -> Path | None:
    """Return the file that a build of `dockerfile` leaves files out by: one beside the Dockerfile comes first."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((path for path in candidates if path.is_file()), None)


def read_ignore(dockerfile: Path, context: Path) -> Ignore:
    """Return what a build of `dockerfile` leaves out of `context`. Raises OSError where the file cannot be read."""
    file = ignore_file(dockerfile, context)
    return Ignore() if file is None else parse_ignore(file.read_text(encoding="utf-8", errors="replace"))


def _pattern(glob: str) -> str:
    """Return a pattern as the text of a regular expression: `**` is any folders, `*` and `?` stay within one."""
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
        re.compile("".join(parts))
    except re.error:
        return re.escape(glob)
    return "".join(parts)
