"""Seeding: a new build tree starts as a copy of the nearest one of another workspace, and is healed with its record.

Two agents take part. The one in the dev container (`Seeding`) holds the new tree's lock, says what its sources are, and
waits. The one in a helper container (`copy`), which sees both volumes, chooses and copies into a folder of its own
beside the trees. Only the first one moves that copy to its place, so a copy that was cut off never counts as a tree.

A tree can be taken where its key is the same, which includes the container path of the sources, and its record is
proof: closed, with nobody's ninja after it. Contents make the copy right: what was made from other contents than the
new workspace has is made anew, whatever the times of the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from . import history
from .content import UNKNOWN
from .files import read_json, write_json
from .locks import lock_path
from .proof.kept import adopt, contents, is_as_left
from .protocol import Seeded
from .record import FILES, Attempt, Records, ninja_identity
from .volume import records_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .content import Entry
    from .events import Events
    from .process import Supervisor
    from .protocol import Seed

FOLDER = "seeds"
WANTED = "wanted.json"
DONE = "seed.json"
TREE = "tree"
# Beside the records: whose volume it is.
OWNER = "volume.json"
NINJA = "Ninja"
GIVEN_UP = 127


class Taken(NamedTuple):
    """A copy that was moved to its place: its record, and a sentence about where it came from."""

    attempt: Attempt
    reason: str


def folder_for(state: str, key: str, token: str) -> str:
    """Return the folder of one copy."""
    return os.path.join(state, FOLDER, f"{key}.{token}")


def left_over(state: str) -> set[str]:
    """Return the keys of trees that a copy was begun for."""
    try:
        return {name.rpartition(".")[0] for name in os.listdir(os.path.join(state, FOLDER))} - {""}
    except OSError:
        return set()


def forget(state: str, key: str) -> None:
    """Remove what was copied for a tree."""
    import shutil

    for name in os.listdir(os.path.join(state, FOLDER)) if os.path.isdir(os.path.join(state, FOLDER)) else ():
        if name.rpartition(".")[0] == key:
            shutil.rmtree(os.path.join(state, FOLDER, name), ignore_errors=True)


class Seeding:
    """The part of the agent in the dev container, which holds the lock of the tree that is to be seeded."""

    def __init__(self, state: str, key: str, tree: str) -> None:
        self._state = state
        self._key = key
        self._tree = tree
        self.token = f"{os.getpid():x}-{time.monotonic_ns():x}"
        self._folder = folder_for(state, key, self.token)

    def ask(self, sources: Mapping[str, Entry]) -> None:
        """Write down what the sources of the new tree are, by their absolute paths."""
        forget(self._state, self._key)
        write_json(os.path.join(self._folder, WANTED), {path: entry.content for path, entry in sources.items()})

    def take(self, records: Records) -> Taken | None:
        """Move the copy to its place, the record last; None if there is none."""
        import shutil

        try:
            done = read_json(os.path.join(self._folder, DONE))
            if not isinstance(done, dict):
                return None
            attempt = Attempt(**done["attempt"])
            shutil.rmtree(self._tree, ignore_errors=True)
            os.rename(os.path.join(self._folder, TREE), self._tree)
            os.makedirs(os.path.dirname(records.path(self._key, "")), exist_ok=True)
            for name in FILES:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(os.path.join(self._folder, name), records.path(self._key, name))
            adopt(records.folder_of(self._key), self._tree)
            attempt = attempt._replace(ninja=ninja_identity(self._tree))
            records.write(attempt)
            reason = f"seeded from {done['from']}: {done['equal']} of {done['total']} sources are the same there"
            history.note(records.path(self._key, history.NAME), {"start": done["began"], "reasons": [reason]})
            return Taken(attempt, reason)
        finally:
            forget(self._state, self._key)


class Candidate(NamedTuple):
    """A tree that may be copied: how many of its sources are the same, and its record."""

    equal: int
    total: int
    sibling: bool
    built: int
    volume: str
    workspace: str
    attempt: Attempt


def copy(request: Seed, events: Events, supervisor: Supervisor) -> Seeded:
    """Copy the nearest tree of `request.sources` into the new tree's volume, and return what was done."""
    key, state = request.key, state_of(request.volume)
    folder = folder_for(state, key, request.token)
    wanted = read_json(os.path.join(folder, WANTED)) or {}
    found, why = _candidates(request, wanted)
    for candidate in found:
        with _sharing(lock_path(state_of(candidate.volume), key)) as free:
            if not free:
                why.append(f"{candidate.workspace}: is being built")
                continue
            began = time.time_ns()
            events.phase(f"seeding {key} from {candidate.workspace}")
            failed = _copy(candidate, folder, supervisor, request.volume)
            if failed:
                why.append(f"{candidate.workspace}: {failed}")
                continue
        attempt = candidate.attempt._replace(created=began)
        about = {"from": candidate.workspace, "equal": candidate.equal, "total": candidate.total, "began": began}
        write_json(os.path.join(folder, DONE), {**about, "attempt": attempt._asdict()})
        return Seeded(seeded=candidate.workspace, why=why)
    return Seeded(seeded="", why=why)


def _candidates(request: Seed, wanted: Mapping[str, str]) -> tuple[list[Candidate], list[str]]:
    """Return the trees that may be copied, the nearest first, and why the others may not."""
    found = []
    why = []
    for source in request.sources:
        known = read_json(os.path.join(state_of(source.volume), OWNER)) or {}
        about = known.get("workspace") or source.workspace
        records = Records(records_of(source.volume))
        attempt = records.attempt(request.key)
        if attempt is None or attempt.digest != request.digest:
            why.append(f"{about}: has no tree {request.key}")
            continue
        doubt = _doubt(source.volume, attempt)
        if doubt:
            why.append(f"{about}: {doubt}")
            continue
        held = contents(records.folder_of(request.key))
        inside = os.path.join(attempt.inputs["source"], "")
        named = {name: content for name, content in held.items() if name in wanted or name.startswith(inside)}
        equal = sum(wanted.get(name) == content != UNKNOWN for name, content in named.items())
        if equal < source.least * len(named):
            why.append(f"{about}: only {equal} of {len(named)} sources are the same there")
            continue
        candidate = Candidate(equal, len(named), source.sibling, attempt.start, source.volume, about, attempt)
        found.append(candidate)
    return sorted(found, key=lambda one: (one.equal, one.sibling, one.built), reverse=True), why


def _doubt(volume: str, attempt: Attempt) -> str:
    """Return why a tree is no proof, "" if it is."""
    if attempt.inputs.get("generator") != NINJA:
        return "only ninja keeps a log that shows whether somebody built here"
    if not attempt.closed:
        return "the last build was cut off"
    if attempt.ninja != ninja_identity(os.path.join(volume, attempt.key)):
        return "ninja was run here by hand or by an IDE since the last build"
    return "" if attempt.configured else "it is not configured"


def _copy(candidate: Candidate, folder: str, supervisor: Supervisor, cwd: str) -> str:
    """Copy a tree and its record's files, under its shared lock; return why that failed, "" if it did not."""
    import shutil

    said: list[str] = []
    records = Records(records_of(candidate.volume))
    key = candidate.attempt.key
    if records.attempt(key) != candidate.attempt:
        return "was built meanwhile"
    source, target = os.path.join(candidate.volume, key), os.path.join(folder, TREE)
    shutil.rmtree(target, ignore_errors=True)
    if os.path.exists(target):  # cp would copy into it
        return f"{target}, from a copy that failed, cannot be deleted"
    environ = {**os.environ, "LC_ALL": "C"}
    code = GIVEN_UP
    # busybox has no --reflink.
    for more in (["--reflink=auto"], []):
        code = supervisor.run(["cp", "-a", *more, source, target], cwd=cwd, environ=environ, on_text=said.append)
        if code == 0 or os.path.exists(target):
            break
    if code != 0:
        shutil.rmtree(target, ignore_errors=True)
        return f"cannot be copied: {''.join(said).strip()[-300:]}"
    if ninja_identity(source) != candidate.attempt.ninja or not is_as_left(records.folder_of(key), source):
        shutil.rmtree(target, ignore_errors=True)
        return "somebody else changed it meanwhile"
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(records.path(key, name), os.path.join(folder, name))
    return ""


@contextlib.contextmanager
def _sharing(path: str) -> Iterator[bool]:
    """Hold the shared lock of a tree that nobody builds meanwhile; yields False if somebody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
