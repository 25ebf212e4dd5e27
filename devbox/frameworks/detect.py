"""Which framework a checkout is, told from its files, with the reasons."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from devbox import lean
from devbox.frameworks import load
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devbox.frameworks.model import Detect

# A search for a kind of file gives up after this many entries: a fifth of a second on a cold disk.
MOST_ENTRIES = 50_000
# A text is looked for in the first part of a file.
_MOST_BYTES = 1 << 18
_SKIPPED = ("build", "build-*", "build_*", "cmake-build-*", "node_modules", "__pycache__", "venv", ".*")


@dataclass(frozen=True, slots=True)
class Match:
    """A framework that fits a checkout. `variant` is None where its default variant fits. The highest `weight` wins."""

    name: str
    variant: str | None
    why: tuple[str, ...]
    weight: int


def detect(path: Path) -> tuple[Match, ...]:
    """Return the frameworks that fit the checkout at `path`, best first. Two of equal weight at the top mean doubt.

    Of a framework, the first variant that fits counts, its default one before the others. Raises ConfigError for a
    mistake in how a framework is known; what else its file says is not looked at.
    """
    known = load.detection(path)
    matches = [match for name, rules in known.items() if (match := _first_match(path, name, rules)) is not None]
    return tuple(sorted(matches, key=lambda match: (-match.weight, match.name)))


def fits(path: Path, name: str) -> bool:
    """Tell whether the checkout at `path` is one of the framework `name`. Raises as `detect` does."""
    known = load.detection(path, only=name)
    return any(_first_match(path, *item) is not None for item in known.items())


def _first_match(path: Path, name: str, variants: Sequence[tuple[str, Detect]]) -> Match | None:
    """Return the match of the first of a framework's `variants` that fits `path`, or None."""
    tried: set[Detect] = set()
    for variant, rules in variants:
        if rules in tried:
            continue
        tried.add(rules)
        why = reasons(path, rules)
        if why is not None:
            return Match(name, None if variant == variants[0][0] else variant, why, rules.weight)
    return None


def reasons(path: Path, rules: Detect) -> tuple[str, ...] | None:
    """Return why the checkout at `path` satisfies `rules`, as phrases, or None if it does not."""
    if not (rules.all or rules.any or rules.text):
        return None
    if any((path / name).exists() for name in rules.none) or not all((path / name).exists() for name in rules.all):
        return None
    if not all(_says(path / name, text) for name, text in rules.text):
        return None
    why = [f"{name} is there" for name in rules.all]
    why += [f"{name} says '{text}'" for name, text in rules.text]
    if rules.any:
        found = _first(path, rules.any)
        if found is None:
            return None
        if found not in rules.all:
            why.append(f"{found} is there")
    return tuple(why)


def _says(file: Path, text: str) -> bool:
    try:
        return text.encode() in lean.stored(file)[:_MOST_BYTES]
    except OSError:
        return False


def _first(path: Path, names: Sequence[str]) -> str | None:
    plain = [name for name in names if "*" not in name]
    for name in plain:
        if (path / name).exists():
            return name
    patterns = [name for name in names if "*" in name]
    if not patterns:
        return None
    for entry in _walk(path):
        for pattern in patterns:
            # `**/` at the start means any depth, the top included; fnmatch's star crosses slashes, so a name is
            # compared alone.
            subject = PurePosixPath(entry).name if pattern.startswith("**/") else entry
            if fnmatchcase(subject, pattern.removeprefix("**/")):
                return entry
    return None


def _walk(top: Path) -> Iterator[str]:
    """Yield the files below `top`, relative to it and level by level, without build trees and hidden folders."""
    level, seen = [""], 0
    while level:
        below: list[str] = []
        for folder in level:
            try:
                entries = sorted(os.scandir(top / folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                seen += 1
                if seen > MOST_ENTRIES:
                    return
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield relative
                elif not any(fnmatchcase(entry.name, skipped) for skipped in _SKIPPED):
                    below.append(relative)
        level = below
