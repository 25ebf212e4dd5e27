"""The build trees of a volume: listing them, and removing those that nobody uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Any

from . import history, seed
from .files import read_json, write_json
from .locks import held, lock_path
from .proof.kept import contents
from .protocol import Removal, TreeTold, VolumesTold, VolumeTold
from .record import Records
from .volume import REPOSITORIES, current_key, records_of, state_of, states_of, timelines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .events import Events
    from .protocol import Look

TRASH = "trash"


def describe(volume: str, *, sizes: bool = True, details: str | None = None) -> list[TreeTold]:
    """Return each tree with a record or a folder: key, bytes, times, the key's inputs, whether it is being built.

    For the tree `details` this includes what it was configured from, the number of its sources, and its history.
    """
    state = state_of(volume)
    records = Records(records_of(volume))
    current = current_key(volume)
    found = []
    for key in sorted(folders(volume) | set(records.all_keys())):
        attempt = records.attempt(key)
        tree = os.path.join(volume, key)
        if attempt is None and not os.path.isdir(tree):
            continue
        about: dict[str, Any] = {
            "key": key,
            "path": tree,
            "bytes": disk_use(tree) + disk_use(states_of(volume, key)) if sizes else 0,
            "states": _count_states(volume, key),
            "current": key == current,
            "building": held(lock_path(state, key)),
            "state": attempt.state if attempt else "unknown",
            "created": attempt.created if attempt else 0,
            "built": attempt.start if attempt else 0,
            "code": attempt.code if attempt else -1,
            "inputs": attempt.inputs if attempt else {},
        }
        if key == details:
            about.update(
                sources=_in_checkout(contents(records.folder_of(key)), about["inputs"].get("source", "")),
                configured=attempt.configured if attempt else False,
                arguments=attempt.arguments if attempt else [],
                environment=attempt.environment if attempt else {},
                history=history.read(records.path(key, history.NAME)),
            )
        found.append(TreeTold(**about))
    return found


def _count_states(volume: str, key: str) -> int:
    """Return in how many other configurations a tree is kept."""
    try:
        return sum(name.isdigit() for name in os.listdir(states_of(volume, key)))
    except OSError:
        return 0


def _in_checkout(paths: Iterable[str], source: str) -> int:
    """Return how many files lie in the checkout; the others are the image's, and what the build made."""
    return sum(path.startswith(f"{source}/") for path in paths)


def folders(volume: str) -> set[str]:
    """Return the names of the folders in a volume that are build trees."""
    try:
        with os.scandir(volume) as entries:
            return {
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name != "lost+found"
            }
    except OSError:
        return set()


def owner(volume: str) -> dict[str, Any]:
    """Return whose volume it is: the `workspace` on the host, as the last build there said."""
    known = read_json(os.path.join(state_of(volume), seed.OWNER))
    return known if isinstance(known, dict) else {}


def note_owner(volume: str, workspace: str) -> None:
    """Write down whose volume it is, where that is not known yet: its name is a hash, which nobody can read."""
    if workspace and owner(volume).get("workspace") != workspace:
        write_json(os.path.join(state_of(volume), seed.OWNER), {"workspace": workspace})


def remove(volume: str, keys: Iterable[str], events: Events) -> list[Removal]:
    """Remove trees with their records, and what killed removals and copies left; say of each what became of it.

    The tree in use is refused: the one that was built last, and one whose lock somebody holds. First the record goes,
    then the tree is moved aside, both in one step each: whatever interrupts this, no record speaks of a tree that is
    half there.
    """
    import shutil
    import tempfile

    state = state_of(volume)
    records = Records(records_of(volume))
    trash = os.path.join(state, TRASH)
    done = []
    for key in keys:
        tree = os.path.join(volume, key)
        why = "it is the tree that was built last" if key == current_key(volume) else ""
        if not why:
            with _trying(lock_path(state, key)) as busy:
                why = f"it is being built: {busy}" if busy else ""
                if not why:
                    events.phase(f"removing {key}")
                    os.makedirs(trash, exist_ok=True)
                    # A folder of its own: an earlier one may hold what this user cannot delete.
                    beside = tempfile.mkdtemp(prefix=f"{key}.", dir=trash)
                    parts = {"record": records.folder_of(key), "tree": tree, "states": states_of(volume, key)}
                    parts["last"], parts["timelines"] = timelines_of(state, key)
                    for name, source in parts.items():
                        with contextlib.suppress(FileNotFoundError):
                            os.rename(source, os.path.join(beside, name))
        done.append(Removal(key=key, removed=not why, why=why))
    shutil.rmtree(trash, ignore_errors=True)
    for key in seed.left_over(state):
        if not held(lock_path(state, key)):
            seed.forget(state, key)
    return done


@contextlib.contextmanager
def _trying(path: str) -> Iterator[str]:
    """Hold a tree's lock without waiting for it; yields who has it otherwise."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        busy = ""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = os.pread(descriptor, 4096, 0).decode("utf-8", "replace").strip() or "another build"
        yield busy
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def as_owner(volume: str) -> Iterator[None]:
    """Act as the owner of a volume's top folder where this process is root: no file in it becomes root's."""
    status = os.stat(volume)
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def look(request: Look) -> VolumesTold:
    """Return the trees and the owner of several volumes, and of what further checkouts have in them."""
    found = {}
    for name, folder in request.volumes.items():
        with as_owner(folder):
            inner = {place: _told(os.path.join(folder, place), request) for place in further(folder)}
            found[name] = _told(folder, request).but(further=inner)
    return VolumesTold(volumes=found)


def further(volume: str) -> list[str]:
    """Return the folders, in a volume, that hold the trees of further checkouts."""
    top = os.path.join(volume, REPOSITORIES)
    return [os.path.join(REPOSITORIES, name) for name in (sorted(os.listdir(top)) if os.path.isdir(top) else ())]


def _told(folder: str, request: Look) -> VolumeTold:
    trees = describe(folder, sizes=request.sizes, details=request.details)
    return VolumeTold(trees=trees, workspace=owner(folder).get("workspace"))


def disk_use(folder: str) -> int:
    """Return the bytes that a folder's files take on disk; a file with several names counts once."""
    seen = set()
    total = 0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif status.st_nlink > 1:
                        if status.st_ino in seen:
                            continue
                        seen.add(status.st_ino)
                    total += status.st_blocks * 512
        except OSError:
            continue
    return total
