"""Files that are never half written, and locks that die with their process."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Between the name of a file and what tells apart those who put a new one in its place.
_BESIDE = ".devbox-"


def write_atomically(path: Path, text: str, *, mode: int = 0o644, errors: str = "strict") -> None:
    """Write `text` as UTF-8 to `path`: without a name first, synced, then put in its place in one step.

    `errors` is what becomes of bytes that were no UTF-8 where the text comes from, as `open` has it.
    So a process that is killed leaves no file behind, but for a moment a name to rename from, which the next write of
    this file takes away. The folder is made if it is missing. Raises OSError; then `path` is what it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}{_BESIDE}*"):
        _sweep(left)
    beside = path.with_name(f".{path.name}{_BESIDE}{os.urandom(8).hex()}")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with naming(path), os.fdopen(_locked(folder, beside), "w", encoding="utf-8", errors=errors) as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            if not beside.exists():
                # Given with a folder, the name is followed to the file that it is a link to.
                os.link(f"/proc/self/fd/{stream.fileno()}", beside, src_dir_fd=folder)
            beside.replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in an OSError that names no file, as one of an open file does where the disk is full."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _sweep(left: Path) -> None:
    """Remove what a writer left, unless one still holds it: in whatever container, or on another machine.

    So the lock tells, and no number of a process, which means nothing there.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(left, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
        finally:
            os.close(descriptor)


def _locked(folder: int, beside: Path) -> int:
    """Return a new file in an open folder, held against `_sweep`.

    It has no name, or where there is no such file, or no way to name it later, it is called `beside`.
    """
    if os.path.exists("/proc/self/fd"):  # noqa: PTH110
        with contextlib.suppress(OSError, AttributeError):
            return _held(os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=folder))
    while True:
        descriptor = _held(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if os.fstat(descriptor).st_nlink:
            return descriptor
        # Swept before it was held.
        os.close(descriptor)


def _held(descriptor: int) -> int:
    # A file system without locks does not keep files from being written.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def private_folder(folder: Path) -> Path:
    """Make `folder`, and those above it that are missing, for this user alone, whatever the umask; return it.

    One that is there, and this user's, is closed to others. Raises OSError.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir(mode=0o700)
    status = folder.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def may_exist(folder: Path | str) -> bool:
    """Tell whether there is such a folder; one that this user may not look at, as another user's, counts as there."""
    try:
        return Path(folder).is_dir()
    except PermissionError:
        return True


def in_real_folder(checkout: Path, folder: str, known: dict[str, bool]) -> bool:
    """Whether no part of `folder`, below `checkout`, is a link. `known` remembers."""
    if folder not in known:
        above = in_real_folder(checkout, os.path.dirname(folder), known)  # noqa: PTH120
        known[folder] = above and not (checkout / folder).is_symlink()
    return known[folder]


def folder_size(folder: Path) -> int:
    """Return the bytes of the files below a folder, links not followed; 0 for what is not there."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118  # thousands of them
    return total


def has_windows_lines(path: Path) -> bool:
    """Tell whether a script's lines end with CR LF, as far as is known: a shell takes the CR for a part of a word."""
    try:
        with path.open("rb") as stream:
            return b"\r\n" in stream.read(1 << 16)
    except OSError:
        return False


def windows_lines(what: str) -> str:
    """Return the sentence about a script whose lines end with CR LF."""
    return (
        f"{what} has Windows line ends (CR LF), which a shell takes for a part of its words. Put `*.sh text eol=lf` "
        "into .gitattributes, then: git add --renormalize . && git checkout -- ."
    )


@contextlib.contextmanager
def lock(path: Path, *, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the exclusive lock `path` while the block runs; the kernel drops it when the process dies.

    `on_wait` is called once with the holder's note if somebody else has it; without `on_wait`, BusyError is raised
    then.
    """
    private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0).decode("utf-8", "replace").strip() or "another process"
            if on_wait is None:
                raise BusyError(f"{path.name} is locked by {holder}") from None
            on_wait(holder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Who holds it is a courtesy, for which a full disk may have no room.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
