"""What a run looked at, and whether all of it is as it was.

A run that only *looks*, at files, its environment and what the engine answers, says the same again as long as these are
the same. That is the rule by which build trees are proven, for devbox itself. What was looked at is not listed by hand,
where something could be forgotten: it is watched while the run looks. A run that does anything, such as starting a
program or writing a file, proves nothing. `devbox.cli.warm` keeps answers by this.

It is on the way of a warm `up`, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from devbox.agent.hashes import blake2b
from devbox.engine import api
from devbox.lean import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

# How a look is asked for again; `lstat` does not follow a link.
STAT, LSTAT, LIST = "stat", "lstat", "list"
# The clock of file systems may stand still for so long: what changed within it may have changed unseen.
TICK_NS = 20_000_000
# A descriptor says which file is open, but not what it was.
_BY_CONTENT = ("/proc/", "/sys/")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEEDS = frozenset(
    {
        *("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system", "os.spawn", "os.kill"),
        *("os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.utime"),
        *("os.truncate", "os.setxattr", "os.removexattr", "os.mkfifo", "socket.bind", "socket.sendto", "os.chdir"),
    }
)
_CTIME = 7
_stat, _lstat, _scandir = os.stat, os.lstat, os.scandir

# A place of one's own that is no input: the path begins so.
Ignored = tuple[str, ...]


def digest(*parts: object) -> str:
    """Return a hash of `parts`: text or bytes, where the ends of each count, too."""
    made = blake2b(digest_size=20)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
        made.update(len(data).to_bytes(8, "big"))
        made.update(data)
    return made.hexdigest()


def sign(how: str, path: str) -> list[int]:
    """Return what tells one state of `path` from another, without reading it; of an error its number.

    A folder that was not listed counts as itself, whatever comes and goes in it; so does a socket or a device.
    """
    try:
        status = _lstat(path) if how == LSTAT else _stat(path)
    except OSError as error:
        return [error.errno or 0]
    except ValueError:  # a NUL in it
        return [0]
    kept = [status.st_mode, status.st_uid, status.st_gid, status.st_dev, status.st_ino]
    if how == LIST or stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        kept += [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return kept


class Looks:
    """What one run looks at, watched while the block runs. Only one is watched at a time."""

    def __init__(self, ignored: Ignored = (), locks: Ignored = ()) -> None:
        """Take the folders in which looks and deeds are no inputs: each run does these anew; and those of `locks`."""
        self.deeds: list[str] = []
        self._ignored = ignored
        self._lock_folders = locks
        self._begun = time.time_ns()
        self._seen: dict[tuple[str, str], list[int]] = {}
        self._scanned: set[object] = set()
        self._locks: set[str] = set()
        self._asked: dict[tuple[str, str], str] = {}
        self._connected = 0
        self._heard = 0
        self._given_back: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        global _watching  # noqa: PLW0603  # an audit hook is for the whole process, and for good
        # It decides by these functions, once, when it is imported, what the system can do.
        import shutil  # noqa: F401

        for name, how in (("stat", STAT), ("lstat", LSTAT), ("access", STAT), ("readlink", LSTAT), ("open", None)):
            self._given_back.append((name, getattr(os, name)))
            setattr(os, name, self._watched(getattr(os, name), how))
        self._given_back.append(("scandir", os.scandir))
        os.scandir = self._entries  # type: ignore[assignment]
        self._given_back.append(("statvfs", os.statvfs))
        os.statvfs = self._unprovable(os.statvfs)
        api.heard = self._hear
        if not _hooked:
            _hooked.append(True)
            sys.addaudithook(_hook)
        _watching = self
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        global _watching  # noqa: PLW0603
        _watching = None
        api.heard = None
        while self._given_back:
            setattr(os, *self._given_back.pop())

    def kept(self) -> dict[str, Any] | None:
        """Return what `same` looks at again, as JSON; None where this run has done something, or nothing can be proven.

        Nothing is proven where something changed meanwhile, or has changed so lately that its time might not tell.
        """
        if self.deeds:
            return None
        for module in tuple(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str):
                self._look(STAT, file)
        if self._connected != self._heard:
            self._did("socket.connect")
        newest = self._begun - TICK_NS
        for (how, path), signed in self._seen.items():
            if signed != sign(how, path) or any(one >= newest for one in signed[_CTIME:]):
                self._did(f"changed: {path}")
        if self.deeds:
            return None
        seen = [[how, path, signed] for (how, path), signed in self._seen.items()]
        asked = [[path, request, answer] for (path, request), answer in self._asked.items()]
        return {"seen": seen, "locks": sorted(self._locks), "asked": asked}

    def _did(self, deed: str) -> None:
        self.deeds.append(deed)
        # There is nothing more to prove.
        self._end()

    def _look(self, how: str, path: object) -> None:
        try:
            name = os.path.join(os.getcwd(), os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH109, PTH118
        except TypeError:
            return  # a descriptor, of what was opened by its name before
        if name.startswith(self._ignored):
            return
        if name.startswith(_BY_CONTENT):
            self._did(f"looked at {name}")
        if (how, name) not in self._seen:
            self._seen[how, name] = sign(how, name)

    def _links(self, folder: object) -> None:
        """Look at what the links in a folder lead to: its entries tell that, too, and what they ask is not seen."""
        if folder in self._scanned:
            return
        # First: to list it is the same event.
        self._scanned.add(folder)
        if isinstance(folder, int):
            self._did("scandir of a descriptor")
            return
        try:
            with _scandir(folder) as entries:  # type: ignore[call-overload]
                for entry in entries:
                    if entry.is_symlink():
                        self._look(STAT, entry.path)
        except OSError:
            return

    def _entries(self, *path: Any, **named: Any) -> _Entries:
        return _Entries(_scandir(*path, **named), self._look)

    def _watched(self, function: Callable[..., Any], how: str | None) -> Callable[..., Any]:
        def watched(path: Any, *args: Any, **more: Any) -> Any:
            if more.get("dir_fd") is not None:
                self._did("dir_fd")
            # What is opened is an event that says more: all but the folder.
            if how is not None:
                self._look(LSTAT if more.get("follow_symlinks") is False else how, path)
            return function(path, *args, **more)

        return watched

    def _unprovable(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def unprovable(*args: Any) -> Any:
            self._did(function.__name__)
            return function(*args)

        return unprovable

    def _hear(self, path: str, request: str, body: object, status: int, answer: bytes) -> None:
        self._heard += 1
        if body is not None or request.startswith("/exec/"):
            self._did(request)
        signed = essence(request, status, answer)
        if self._asked.setdefault((path, request), signed) != signed:
            self._did(f"changed: {request}")

    def _open(self, path: object, *, writes: bool) -> None:
        if isinstance(path, int):
            return
        if not writes:
            self._look(STAT, path)
        elif not str(path).startswith(self._ignored):
            if str(path).endswith(".lock") and str(path).startswith(self._lock_folders):
                self._locks.add(str(path))
            elif str(path) != os.devnull:
                self._did(f"open {path}")

    def event(self, event: str, args: tuple[Any, ...]) -> None:
        """Take what Python tells its auditors."""
        if event == "open":
            path, _, flags = args
            self._open(path, writes=bool(flags & _WRITES))
        elif event in {"os.listdir", "os.scandir"}:
            folder = "." if args[0] is None else args[0]
            self._look(LIST, folder)
            if event == "os.scandir":
                self._links(folder)
        elif event == "os.remove":
            # To see that something is not there is no deed.
            if args[1] != -1 or sign(LSTAT, os.fsdecode(args[0])) != [2]:
                self._did(f"{event} {args[0]}")
            self._look(LSTAT, args[0])
        elif event == "socket.connect":
            self._connected += 1
        elif event in _DEEDS and not (args and (isinstance(args[0], int) or str(args[0]).startswith(self._ignored))):
            # What a descriptor stands for was opened by its name, and seen then.
            self._did(event)


class _Entries:
    """What `os.scandir` gives, with entries whose questions are seen."""

    def __init__(self, entries: Any, look: Callable[[str, object], None]) -> None:
        self._entries, self._look = entries, look

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Entry:
        return _Entry(next(self._entries), self._look)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder."""
        self._entries.close()


class _Entry:
    """One entry of a folder. Which kind it is, the folder tells, and what it leads to as a link is looked at then."""

    def __init__(self, entry: Any, look: Callable[[str, object], None]) -> None:
        self._entry, self._look = entry, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def __fspath__(self) -> Any:
        return self._entry.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the entry's status, which is looked at first: what changed in between is then another."""
        self._look(STAT if follow_symlinks else LSTAT, self._entry.path)
        status: os.stat_result = self._entry.stat(follow_symlinks=follow_symlinks)
        return status


_watching: Looks | None = None
_hooked: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching is not None:
        _watching.event(event, args)


def essence(request: str, status: int, answer: bytes) -> str:
    """Return a digest of an answer of the engine, without what passes by itself: health, and for how long.

    Nor do the commands count that are executed in a container: who looks at them asks for each of them. The engine
    tells mounts in any order.
    """
    if status == api.FOUND and request.startswith("/containers/"):
        try:
            said = loads(answer)
        except ValueError:
            return digest(status, answer)
        for one in said if isinstance(said, list) else (said,):
            one.pop("ExecIDs", None)
            if "Status" in one:
                # "Up 3 minutes (healthy)", "Exited (0) 3 minutes ago": how something ended does not pass.
                text = str(one["Status"])
                one["Status"] = "" if text.startswith("Up ") else text.partition(")")[0]
            if isinstance(one.get("State"), dict):
                one["State"].pop("Health", None)
            one["Mounts"] = sorted(one.get("Mounts") or (), key=dumps)
        answer = dumps(said).encode()
    return digest(status, answer)


def same(kept: dict[str, Any]) -> bool:
    """Tell whether all that `Looks.kept` names is as it was, and nobody holds a lock.

    Raises OSError where the engine does not answer, and what reading a damaged value raises.
    """
    questions = [(api.Question(path, request), request, answer) for path, request, answer in kept["asked"]]
    # The engine works on them meanwhile.
    if any(sign(how, path) != signed for how, path, signed in kept["seen"]) or not all(map(_is_free, kept["locks"])):
        return False
    return all(essence(request, *question.answer()) == answer for question, request, answer in questions)


def _is_free(lock: str) -> bool:
    import fcntl

    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
