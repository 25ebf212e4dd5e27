"""Bring a checkout to its copy: what is there is asked, what differs is sent, and what was edited there is kept."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.agent.receiver import CHUNK, LINK, folder_of, is_no_folder, is_plain, opened
from devbox.container.sync.checkout import digest, scan
from devbox.container.sync.line import in_container
from devbox.container.sync.repository import commits, head_of
from devbox.container.sync.wire import AGAIN, STATE, TAKEN, Wire, framed
from devbox.errors import DevboxError, EngineError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from devbox.container.sync.checkout import Held
    from devbox.container.sync.line import Place
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

# A file that changes while it is sent is looked at again.
_TRIES = 5
_NAMED = 5
# From so many bytes on it is said what is sent, before it is.
_MUCH = 1 << 20


class Synced(NamedTuple):
    """What was done: files and bytes that were sent, and files that were deleted.

    `edited` are those that were changed at the engine, and are kept. `moved` is the commit that HEAD was put to there.
    """

    digest: str
    sent: int = 0
    size: int = 0
    deleted: int = 0
    edited: tuple[str, ...] = ()
    moved: str = ""


def sync(
    place: Place,
    workspace: Path,
    environ: Mapping[str, str],
    reporter: Reporter,
    *,
    discard: Collection[str] = (),
) -> Synced:
    """Bring the checkout at `workspace` to its copy, and say what was edited there. Raises EngineError.

    `environ` may say how long a wait for the other end may take. `discard` are paths, also of folders, whose edits
    there are given up. One that was cut off anywhere is finished by the next.
    """
    done = Synced("")
    head, files = head_of(workspace), scan(workspace)
    with Wire(place, environ, reporter) as wire:
        for _ in range(_TRIES):
            wanted = digest(files, head.commit if head is not None else "")
            state = wire.ask({"ask": "state", "known": wanted}, has=STATE)
            may_move = state["git"] and not state["moved"]
            if head is not None and may_move and (state["cut"] or state["head"] != head.commit):
                order, pack, size = commits(workspace, head, state)
                with reporter.step(f"Sending the repository{f', {_mb(size)}' if size else ''}"):
                    state = wire.ask(order, _watched(_frames(pack), size, reporter), has=STATE)
                wanted = digest(files, head.commit)
            given_up = {*discard, *(path for path, *_ in state["edited"] if _is_among(path, discard))}
            order = _order(files, state, wanted, given_up)
            size = sum(files[path].size for path, *_ in order["files"])
            kept: list[str] = []
            missed: list[str] = []
            if any(order[key] for key in ("delete", "touch", "files")) or state["digest"] != wanted:
                answer = _take(wire, workspace, order, size, reporter)
                kept, missed = answer["kept"], answer["missed"]
            edited = {path for path, *what in state["edited"] if path not in given_up and not _is(files, path, what)}
            done = Synced(
                wanted,
                done.sent + len({path for path, *_ in order["files"]}.difference(kept, missed)),
                done.size + size,
                done.deleted + len(set(order["delete"]).difference(kept)),
                tuple(sorted(edited | set(kept))),
                state["moved"],
            )
            if not missed:
                break
            files = scan(workspace)
        else:
            raise DevboxError(f"{', '.join(missed[:_NAMED])}: changes all the time, and cannot be sent")
    _tell(done, reporter)
    return done


def compare(place: Place, workspace: Path, environ: Mapping[str, str], reporter: Reporter) -> Synced:
    """Return what `sync` would do, and change nothing. Commits that it would send are not counted."""
    files, head = scan(workspace), head_of(workspace)
    wanted = digest(files, head.commit if head is not None else "")
    with Wire(place, environ, reporter) as wire:
        state = wire.ask({"ask": "state", "known": wanted}, has=STATE)
    order = _order(files, state, wanted, ())
    return Synced(
        wanted,
        len(order["files"]),
        sum(files[path].size for path, *_ in order["files"]),
        len(order["delete"]),
        tuple(sorted(path for path, *what in state["edited"] if not _is(files, path, what))),
        state["moved"],
    )


def take_back(
    place: Place, workspace: Path, paths: Sequence[str], environ: Mapping[str, str], reporter: Reporter
) -> list[str]:
    """Take files of the copy, and those in folders of it, over what is here; return the paths.

    What comes is a container's word: nothing is written outside the checkout, into git's folders, or through a link.
    Raises RefusedError.
    """
    taken = []
    with Wire(place, environ, reporter) as wire:
        said = wire.ask({"ask": "give", "paths": list(paths)}, has={})
        while "file" in said:
            path = str(said["file"])
            if not _is_among(path, paths):
                raise RefusedError(f"the engine sent {path!r}, which was not asked for")
            try:
                content, program = base64.b64decode(said["content"]), bool(said["program"])
            except (LookupError, TypeError, ValueError):
                raise EngineError(f"what the engine sent of {path} makes no sense", hint=AGAIN) from None
            _put(workspace, path, content, program=program)
            taken.append(path)
            said = wire.hear()
    return taken


def _put(workspace: Path, path: str, content: bytes, *, program: bool) -> None:
    if not is_plain(path):
        raise RefusedError(f"{path!r} cannot be taken back: it is no file of a checkout")
    beside = f".devbox-{secrets.token_hex(8)}"
    try:
        with folder_of(str(workspace), path, make=True) as (folder, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(beside, flags, 0o755 if program else 0o644, dir_fd=folder), "wb") as stream:
                    stream.write(content)
                os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)  # from an open folder
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
    except IsADirectoryError:
        raise RefusedError(f"{path} cannot be taken back: it is a folder here") from None
    except OSError as error:
        if not is_no_folder(error):
            raise
        raise RefusedError(f"{path} cannot be taken back: a part of it is no folder here") from None


def bring(target: Target, engine: Engine, reporter: Reporter) -> None:
    """Bring the checkout of a dev container to its copy, if it has one. Raises as `sync` does."""
    if target.copied:
        sync(place_of(target, engine), target.workspace, engine.environ, reporter)


def place_of(target: Target, engine: Engine) -> Place:
    """Return where the copy of a dev container's checkout is."""
    return in_container(engine, target.container, target.copied, target.user)


def _is_among(path: str, named: Collection[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in named)


def _is(files: Mapping[str, Held], path: str, what: list[str]) -> bool:
    return files[path].what == what if path in files else what == ["", ""]


def _order(files: dict[str, Held], state: dict[str, Any], wanted: str, discard: Collection[str]) -> dict[str, Any]:
    """Return what the other end has to do to hold `files`, by what it said that it has."""
    edited = {path: what for path, *what in state["edited"]}
    # Without a list it has all of it.
    have = {path: [*one.what, one.mtime] for path, one in files.items()} if state["have"] is None else state["have"]
    again = {path for path, what in edited.items() if path in discard or _is(files, path, what)}
    sent = [path for path, one in files.items() if path in again or have.get(path, [])[:2] != one.what]
    resent = set(sent)
    return {
        "ask": "take",
        "digest": wanted,
        "delete": [path for path in have if path not in files],
        "files": [[path, *files[path][:3]] for path in sent],
        "touch": {path: one.mtime for path, one in files.items() if path not in resent and have[path][2] != one.mtime},
        "discard": sorted(discard),
    }


def _take(wire: Wire, workspace: Path, order: dict[str, Any], size: int, reporter: Reporter) -> dict[str, Any]:
    """Send an order and its `size` bytes of contents, and return the answer."""
    contents = _contents(workspace, order["files"])
    if size < _MUCH:
        return wire.ask(order, contents, has=TAKEN)
    with reporter.step(f"Sending {len(order['files'])} files, {_mb(size)}"):
        return wire.ask(order, _watched(contents, size, reporter), has=TAKEN)


def _contents(workspace: Path, files: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    """Yield the frames of files; of one that is gone by now, none."""
    for path, kind, *_ in files:
        if kind == LINK:
            continue
        try:
            with os.fdopen(opened(str(workspace), path), "rb", buffering=0) as stream:
                yield from _frames(iter(lambda: stream.read(CHUNK), b""))
        except OSError:
            yield framed(b"")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from map(framed, pieces)
    yield framed(b"")


def _watched(frames: Iterator[bytes], size: int, reporter: Reporter) -> Iterator[bytes]:
    """Yield frames, and say how far it is, in MiB, with `size` bytes in all, if that is known."""
    sent, begun = 0, time.monotonic()
    for frame in frames:
        yield frame
        sent += len(frame)
        if min(sent, size) > _MUCH:
            left = (time.monotonic() - begun) * (size - sent) / sent
            reporter.progress(min(sent, size) >> 20, max(size >> 20, 1), eta=max(left, 0.0))


def _tell(done: Synced, reporter: Reporter) -> None:
    if done.sent or done.deleted:
        gone = f", {done.deleted} deleted" if done.deleted else ""
        reporter.info(f"sent to the engine: {done.sent} files, {_mb(done.size)}{gone}")
    if done.edited:
        more = f" and {len(done.edited) - _NAMED} more" if len(done.edited) > _NAMED else ""
        reporter.warn(
            f"{', '.join(done.edited[:_NAMED])}{more} changed at the engine and stays as it is there: "
            "devbox sync --back PATH takes it here, --discard PATH gives it up"
        )
    if done.moved:
        reporter.warn(
            f"HEAD is at {done.moved[:12]} at the engine, by a commit that was made there: it stays, and git's state "
            "is not brought over until it is back where it was"
        )
