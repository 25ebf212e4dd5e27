"""What a checkout holds: the files that git knows, or would, and a hash of each, which is read where it changed."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.agent.receiver import OWN, TICK_NS, held, is_plain, look, stamp
from devbox.devcontainer.identity import workspace_hash
from devbox.errors import DevboxError
from devbox.facts.git import git
from devbox.files import in_real_folder, write_atomically
from devbox.lean import stored
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# What devbox and its like keep out of git's sight, and a container wants to have.
_CONTRACT = (".devcontainer", ".devcontainer.json", "devbox.toml", "devbox.local.toml")
_SCHEMA = 1


class Held(NamedTuple):
    """What a path holds: its kind, a hash of the bytes or a link's target, its mtime, and its size in bytes."""

    kind: str
    content: str
    mtime: int
    size: int

    @property
    def what(self) -> list[str]:
        """Kind and content alone."""
        return [self.kind, self.content]


def scan(workspace: Path) -> dict[str, Held]:
    """Return what the checkout holds, by path below it.

    git's own idea of "unchanged" is not asked. A file is known by its stamp, unless it changed within the running tick
    of the clock, or in what the clock takes for the future.
    """
    cache = state_dir() / "sync" / f"{workspace_hash(workspace)}.json"
    known, kept, found = _read(cache), {}, {}
    for path in listed(workspace):
        full = os.path.join(workspace, path)  # noqa: PTH118
        status = look(full)
        if status is None:
            continue
        signed = [*stamp(status), status.st_dev, status.st_mode]
        before = known.get(path)
        what = before[1:] if before is not None and before[0] == signed else held(str(workspace), path, status)
        if what is None:
            continue
        found[path] = Held(what[0], what[1], status.st_mtime_ns, status.st_size)
        if time.time_ns() - status.st_ctime_ns > TICK_NS:
            kept[path] = [signed, *what]
    if kept != known:
        write_atomically(cache, json.dumps({"schema": _SCHEMA, "files": kept}, separators=(",", ":")), mode=0o600)
    return found


def listed(workspace: Path) -> Iterator[str]:
    """Yield the paths that belong to a checkout: tracked, or new and not ignored, in submodules too; and the contract.

    Outside git, all that lies there. Names that are no UTF-8 are left out, and so is what a link or git's index, which
    are the checkout's word, name outside of it: a link is sent as a link. Raises DevboxError if git does not answer.
    """
    real = {"": True}
    for path in dict.fromkeys((*_listed(workspace, ""), *_of_contract(workspace))):
        if _is_sent(path) and in_real_folder(workspace, os.path.dirname(path), real):  # noqa: PTH120  # text
            yield path


def _is_sent(path: str) -> bool:
    return "\ufffd" not in path and is_plain(path.rstrip("/"))


def _listed(top: Path, folder: str) -> Iterator[str]:
    place = top / folder
    # The checkout itself may be called by a link.
    known = _has_git(place) if folder else os.path.lexists(top / ".git")
    if not known:
        yield from _walked(top, folder)
        return
    done = git(place, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done is None or not done.ok:
        # All that lies there may be far more than belongs to it, and secrets.
        raise DevboxError(
            f"git does not tell which files belong to {place}, so none is sent",
            hint=f"git -C {shlex.quote(str(place))} status",
            detail=done.stderr.strip() if done is not None else None,
        )
    for name in filter(None, done.stdout.split("\0")):
        path = os.path.join(folder, name)  # noqa: PTH118
        if not _is_sent(path):
            continue
        if name.endswith("/") or _has_git(top / path):
            # A submodule, or a repository of its own.
            yield from _listed(top, path.rstrip("/"))
        else:
            yield path


def _walked(top: Path, folder: str) -> Iterator[str]:
    for below, folders, names in os.walk(top / folder):
        # A link to a folder is among the folders.
        links = (name for name in folders if os.path.islink(os.path.join(below, name)))  # noqa: PTH114, PTH118
        yield from (os.path.relpath(os.path.join(below, name), top) for name in (*names, *links))  # noqa: PTH118
        folders[:] = [name for name in folders if name not in {".git", OWN}]


def _has_git(folder: Path) -> bool:
    # A link is sent as one: what it leads to is another's, or the checkout itself.
    return os.path.lexists(folder / ".git") and not folder.is_symlink()


def _of_contract(workspace: Path) -> Iterator[str]:
    for name in _CONTRACT:
        if (workspace / name).is_symlink() or (workspace / name).is_file():
            yield name
        else:
            yield from _walked(workspace, name)


def _read(cache: Path) -> dict[str, Any]:
    try:
        data = json.loads(stored(cache))
        return dict(data["files"]) if data["schema"] == _SCHEMA else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def digest(files: Mapping[str, Held], head: str) -> str:
    """Return the digest of a checkout that both ends hold: of every path with what it holds and its time, and HEAD."""
    from devbox.agent.hashes import blake2b

    made = blake2b(digest_size=16)
    made.update(head.encode())
    for path in sorted(files):
        one = files[path]
        made.update(f"\0{path}\0{one.kind}\0{one.content}\0{one.mtime}".encode("utf-8", "surrogateescape"))
    return made.hexdigest()
