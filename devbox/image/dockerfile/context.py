"""The files of a folder that a build sees: those that its instructions name, less what an ignore file leaves out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from devbox.image.dockerfile.ignore import Ignore

_WILD = frozenset("*?[")


def sent(context: Path, sources: Collection[str], ignore: Ignore) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of each file, link and folder below `context` that a build takes, once.

    `sources` are paths relative to it, with wildcards; "." is all of it. A link that is named itself is followed, as
    BuildKit does; the others are taken as links.
    """
    left_out, prune = ignore.walker()
    seen: set[str] = set()
    for root in _roots(context, sources):
        name = os.path.relpath(root, context)
        if name == ".":
            name = ""
        elif ignore.ignores(name):
            if prune(name):
                continue
        elif name not in seen:
            seen.add(name)
            yield name, root
        for folder, inner, names in os.walk(root):
            here = os.path.relpath(folder, context)
            prefix = "" if here == "." else f"{here}/"
            links = [one for one in inner if Path(folder, one).is_symlink()]
            inner[:] = sorted(one for one in inner if one not in links and not prune(prefix + one))
            for one in sorted([*inner, *links, *names]):
                path = prefix + one
                if path not in seen and not left_out(path):
                    seen.add(path)
                    yield path, Path(folder, one)


def _roots(context: Path, sources: Collection[str]) -> Iterator[Path]:
    """Yield where to look: what the sources name, and where those lead that are links, or lie behind one."""
    if "." in sources:
        yield context
        return
    top = Path(os.path.realpath(context))
    for source in sorted(sources):
        for path in _named(context, source):
            real = Path(os.path.realpath(path))
            inside = real.relative_to(top) if real.is_relative_to(top) else None
            if path.is_symlink() or inside != path.relative_to(context):
                yield from (link for link in (path, *path.parents) if link != context and link.is_symlink())
                if inside is not None and real.exists():
                    yield context / inside
            else:
                yield path


def _named(context: Path, source: str) -> list[Path]:
    if not _WILD & set(source):
        path = context / source
        return [path] if os.path.lexists(path) else []
    try:
        # Go's negation is Python's in another letter.
        return sorted(context.glob(source.replace("[^", "[!")))
    except ValueError:
        return [context]
