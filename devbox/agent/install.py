"""Installing into the checkout: only what changed is written there, each file beside its place and then renamed.

`cmake --install` compares whole seconds and writes in place, where a running program may have the library open. So it
installs into a staging folder, and from there the files whose content differs are moved.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .content import digest_file
from .files import Stamp, read_json, stamp_of, write_json
from .ninja.log import identity

if TYPE_CHECKING:
    from collections.abc import Sequence


class Install:
    """The installation of one tree. What was installed last, from which tree, is remembered for the workspace."""

    def __init__(self, state: str, key: str, tree: str, prefix: str) -> None:
        """Take the volume's state folder, the tree and its key, and the folder to install into."""
        self._path = os.path.join(state, "installed.json")
        self._key = key
        self._tree = tree
        self._prefix = prefix
        self.stage = os.path.join(state, "stage", key)
        self._last = read_json(self._path) or {}

    def files(self, workspace: str) -> list[str]:
        """Return what was installed last, relative to the workspace: no sources."""
        prefix = self._last.get("prefix") or self._prefix
        return [os.path.relpath(os.path.join(prefix, name), workspace) for name in self._last.get("files") or ()]

    def needed(self, targets: Sequence[str]) -> bool:
        """Return whether to install: something was built, another tree was installed, or a file is not as installed.

        What ninja's log was at the last installation tells what was built since; a build that was cut off before it
        installed needs no mark of its own.
        """
        self._last = read_json(self._path) or {}
        if self._last.get("state") != self._state(targets):
            return True
        return any(
            stamp_of(os.path.join(self._prefix, name)) != Stamp(*known) for name, known in self._last["files"].items()
        )

    def _state(self, targets: Sequence[str]) -> list[Any]:
        return [self._key, self._prefix, sorted(targets), identity(self._tree)]

    def commands(self, targets: Sequence[str]) -> list[list[str]]:
        """Return the commands that install into the stage: everything, or the components named like the targets."""
        import shutil

        shutil.rmtree(self.stage, ignore_errors=True)
        os.makedirs(self.stage)
        argv = ["cmake", "--install", self._tree]
        return [[*argv, "--component", target] for target in targets] or [argv]

    def move(self, targets: Sequence[str]) -> list[str]:
        """Move what differs from the stage to its place, remember all installed files, and return what was written."""
        import shutil

        root = self.stage + self._prefix
        written = []
        files = dict(self._last.get("files") or {}) if self._last.get("prefix") == self._prefix else {}
        for folder, folders, names in os.walk(root):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in [*names, *links]:
                source = os.path.join(folder, name)
                inner = os.path.relpath(source, root)
                target = os.path.join(self._prefix, inner)
                if not _same(source, target):
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    beside = os.path.join(os.path.dirname(target), f".{name}.devbox")
                    shutil.copy2(source, beside, follow_symlinks=False)
                    os.replace(beside, target)
                    written.append(inner)
                files[inner] = stamp_of(target)
        shutil.rmtree(self.stage, ignore_errors=True)
        write_json(self._path, {"prefix": self._prefix, "files": files, "state": self._state(targets)})
        return sorted(written)


def _same(one: str, other: str) -> bool:
    if os.path.islink(one) or os.path.islink(other):
        return os.path.islink(one) and os.path.islink(other) and os.readlink(one) == os.readlink(other)
    if not os.path.isfile(other) or os.path.getsize(one) != os.path.getsize(other):
        return False
    return os.access(one, os.X_OK) == os.access(other, os.X_OK) and digest_file(one) == digest_file(other) != ""
