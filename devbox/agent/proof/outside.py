"""What lies outside the workspace: the headers and libraries of the image that objects were made from.

ninja judges these by time as well, and an image's times say little: a wheel's headers carry the time of its
installation, so that a rebuilt layer makes every object look old, and a distribution's headers carry the package's
date, so that a changed header can look unchanged. So their contents are recorded too. When the container is another
one, or packages were installed in it, each file is compared: where the content is as recorded it gets the recorded
time, and what was made from a changed one is removed.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from ..files import read_json, remove, stamp_of, write_json
from ..ninja.output import read_deps
from .sources import UNKNOWN, Entry, digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE_DATABASES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages")
BUILD_FILE = "build.ninja"
# A path in a build statement: `$ `, `$:` and `$$` stand for the character itself.
WORD = re.compile(r"(?:[^\s$:]|\$.)+|:")


def identity(container: str) -> str:
    """Return what changes when files outside the workspace may have: the container's id and its package database."""
    known = [stamp_of(path) for path in PACKAGE_DATABASES]
    return " ".join([container, *(f"{one.size}.{one.mtime}" for one in known if one)])


def packages_digest(path: str) -> str | None:
    """Return the `digest` in an image's list of build-relevant packages, or the list's hash; None without a list."""
    listing = read_json(path)
    said = listing.get("digest") if isinstance(listing, dict) else None
    return str(said) if said else digest_file(path) or None


class Outside:
    """The record of one tree's files outside the workspace."""

    def __init__(self, path: str, tree: str, workspace: str) -> None:
        """Take the record's path and the two folders that are not outside."""
        self._path = path
        self._tree = tree
        self._inside = (tree + os.sep, workspace + os.sep)
        kept = read_json(path) or {}
        self._statements = kept.get("statements")
        self._files = {name: Entry(*entry) for name, entry in (kept.get("files") or {}).items()}

    def note(self) -> None:
        """Record the files that this build came to depend on; those that were known are as they were."""
        names = set(read_deps(self._tree).paths)
        statements = stamp_of(os.path.join(self._tree, BUILD_FILE))
        if statements is not None and list(statements) != self._statements:
            names.update(name for _, inputs in self._edges() for name in inputs)
        new = [name for name in names if name not in self._files and self._is_outside(name)]
        if new or list(statements or ()) != self._statements:
            for name in new:
                self._look(name)
            self._statements = list(statements or ())
            self._save()

    def settle(self, set_as_root: Callable[[list[tuple[str, int]]], None]) -> list[str]:
        """Compare every file by content, and return what was done about those that differ.

        `set_as_root` is given (path, time) of the files whose time may be set back, but not by this user.
        """
        made_from = self._made_from()
        changed = []
        newer = []
        for name in made_from:
            known = self._files.get(name)
            now = stamp_of(name)
            if now is None or (known is not None and known[1:] == now):
                continue
            self._look(name)
            if known is None or known.content == UNKNOWN or self._files[name].content != known.content:
                changed.append(name)
            elif now.mtime > known.mtime:
                newer.append((name, known.mtime))
        self._set_back(newer, set_as_root)
        doomed = sorted({output for name in changed for output in made_from[name]})
        remove(os.path.join(self._tree, output) for output in doomed)
        if changed or newer:
            self._save()
        reasons = [f"made anew, {name} of the image changed: {len(made_from[name])} outputs" for name in changed[:20]]
        if newer:
            reasons.append(f"{len(newer)} files of the image are newer, but their content is as built: times set back")
        return reasons

    def _made_from(self) -> dict[str, set[str]]:
        """Return each file outside with what is made from it: by a compiler's account, or by a build statement."""
        deps = read_deps(self._tree)
        found: dict[str, set[str]] = {}
        for output, inputs in deps.outputs:
            for one in inputs:
                if self._is_outside(deps.paths[one]):
                    found.setdefault(deps.paths[one], set()).add(deps.paths[output])
        for outputs, names in self._edges():
            for name in names:
                found.setdefault(name, set()).update(outputs)
        return found

    def _set_back(self, files: list[tuple[str, int]], set_as_root: Callable[[list[tuple[str, int]]], None]) -> None:
        refused = []
        for name, mtime in files:
            try:
                os.utime(name, ns=(mtime, mtime))
            except OSError:  # noqa: PERF203  # each file is another question
                refused.append((name, mtime))
        if refused:
            set_as_root(refused)
        for name, _ in files:
            self._files[name] = self._files[name]._replace(**(stamp_of(name) or self._files[name].stamp)._asdict())

    def _look(self, name: str) -> None:
        now = stamp_of(name)
        if now is not None:
            self._files[name] = Entry(digest_file(name), *now)

    def _save(self) -> None:
        write_json(self._path, {"statements": self._statements, "files": self._files})

    def _is_outside(self, name: str) -> bool:
        return name.startswith(os.sep) and not name.startswith(self._inside)

    def _edges(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the outputs and the inputs (order-only ones left out) of each statement that has an input outside."""
        with contextlib.suppress(OSError), open(
            os.path.join(self._tree, BUILD_FILE), errors="surrogateescape"
        ) as stream:
            for line in stream:
                if line.startswith("build ") and " /" in line:
                    words = WORD.findall(line)
                    if ":" not in words:
                        continue
                    colon = words.index(":")
                    inputs = words[colon + 2 :]
                    if "||" in inputs:
                        inputs = inputs[: inputs.index("||")]
                    outside = [name for name in map(_plain, inputs) if self._is_outside(name)]
                    if outside:
                        yield [_plain(word) for word in words[1:colon] if word != "|"], outside


def _plain(word: str) -> str:
    return re.sub(r"\$(.)", r"\1", word)
