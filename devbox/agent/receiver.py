"""The end of a synchronisation at the engine: it takes a checkout into a volume, and says what somebody changed there.

It is run by itself, as `python3 -c TEXT FOLDER SECONDS`, so it imports nothing of the agent. Each message is a line of
JSON. Behind some of them come contents in frames: four bytes of length, so many bytes, and an empty frame at the end.
Each piece of either has so many seconds: one whose other end is gone, without its connection, holds nothing up.

Its record lies in the folder, in `.devbox-sync`: for each file what was sent, and the stamp with which it was left.
What has another stamp and other content was edited here: it is told, and never written over unless that is asked for.
Before anything is written, `pending` says what is to come. So of a run that was killed anywhere the next one knows what
is its own.

A folder may become a link at any moment: each file is reached part by part, from one open folder to the next.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Container, Dict, Iterator, List, Sequence

    # What a path holds: its kind, and a hash of the bytes or a link's target.
    Held = List[str]
    JSON = Dict[str, Any]

OWN = ".devbox-sync"
FILE, PROGRAM, LINK = "f", "x", "l"
# The clock of file systems may stand still for so long: what changed within it may have changed unseen.
TICK_NS = 20_000_000
CHUNK = 1 << 20
BEAT_SECONDS = 5.0
_PIECE = 1 << 16
# What git may be silent for: to put the deltas of a large pack together takes minutes.
GIT_SECONDS = 600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe that has come in a file's place is not waited for.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_BESIDE = "file"
_SETTINGS = (
    "core.fsmonitor=",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "protocol.allow=never",
    "safe.directory=*",
    "submodule.recurse=false",
)
_VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
_SECOND_NS = 1_000_000_000


def stamp(status: os.stat_result) -> list[int]:
    """Return what tells one state of a file from another, without reading it."""
    return [status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino]


def is_plain(path: str) -> bool:
    """Tell whether a path stays below its top, and is neither git's nor the record's, in any spelling."""
    return "\0" not in path and not {"", ".", "..", ".git", OWN}.intersection(path.lower().split("/"))


def is_no_folder(error: OSError) -> bool:
    """Tell whether a path could not be reached because a part of it is a file or a link."""
    return error.errno in _NO_FOLDER


@contextlib.contextmanager
def folder_of(root: str, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the open folder in which a path below `root` lies, and the last part of the path.

    No part of it is a link, whatever others make of the names meanwhile. With `make`, what is missing is made. Raises
    OSError.
    """
    *above, name = path.split("/")
    folder = os.open(root, _FOLDER)
    try:
        for part in above:
            if part in {"", ".", ".."}:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder, name
    finally:
        os.close(folder)


def opened(root: str, path: str) -> int:
    """Open the regular file at a path below `root`, none of whose parts is a link. Raises OSError."""
    with folder_of(root, path) as (folder, name):
        descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return descriptor


def held(root: str, path: str, status: os.stat_result) -> Held | None:
    """Return what a file or link below `root` holds; None for a folder, a device, and what cannot be read."""
    try:
        if stat.S_ISLNK(status.st_mode):
            with folder_of(root, path) as (folder, name):
                return [LINK, os.readlink(name, dir_fd=folder)]
        if not stat.S_ISREG(status.st_mode):
            return None
        hasher = hashlib.blake2b(digest_size=16)
        with open(opened(root, path), "rb", buffering=0) as stream:
            while True:
                data = stream.read(CHUNK)
                if not data:
                    break
                hasher.update(data)
    except OSError:
        return None
    return [PROGRAM if status.st_mode & stat.S_IXUSR else FILE, hasher.hexdigest()]


def look(path: str, folder: int | None = None) -> os.stat_result | None:
    """Return the status of a path itself, from an open folder if one is given; None where there is nothing."""
    try:
        return os.lstat(path, dir_fd=folder)
    except OSError:
        return None


class Receiver:
    """The folder, and the record of what was sent to it: `files` has what each holds, its mtime and its stamp here."""

    def __init__(self, root: str, source: IO[bytes], seconds: float) -> None:
        """Take the folder, where messages come from, and how long a piece may take.

        Waits for another one that works on the folder, which ends where it is not heard of for so long.
        """
        self.root, self.source, self.seconds = root, source, seconds
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.join(root, OWN), 0o700)
        self.own = os.open(os.path.join(root, OWN), _FOLDER | os.O_NOFOLLOW)
        self._lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self.own)
        # The kernel drops it with this process.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say({"waits": True})
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._sweep({"record", "pending"})
        self.record: JSON = self._read("record") or {"digest": "", "head": "", "files": {}}
        self.files: dict[str, list[Any]] = self.record["files"]
        self._recover()

    def _read(self, name: str) -> Any:
        try:
            with open(self._of_own(name, os.O_RDONLY), encoding="utf-8", errors="surrogateescape") as stream:
                return json.load(stream)
        except (OSError, ValueError):
            return None

    def _write(self, name: str, value: object) -> None:
        beside = name + ".new"
        with open(self._of_own(beside, _NEW), "w", encoding="utf-8", errors="surrogateescape") as stream:
            json.dump(value, stream, separators=(",", ":"))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, name, src_dir_fd=self.own, dst_dir_fd=self.own)

    def _of_own(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=self.own)

    def _held(self, path: str, status: os.stat_result) -> Held | None:
        return held(self.root, path, status)

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)

    def _recover(self) -> None:
        """Take into the record what a run has done that was cut off."""
        pending = self._read("pending")
        if pending is None:
            return
        for path, wanted in pending.items():
            status = look(self._path(path))
            if wanted is None:
                if status is None:
                    self.files.pop(path, None)
            elif status is not None and self._held(path, status) == wanted[:2]:
                self.files[path] = [*wanted, stamp(status)]
        self.record["digest"] = ""
        self._settle()

    def _settle(self) -> None:
        """Write the record, when a later edit shows in the stamps that it has."""
        newest = max((entry[3][2] for entry in self.files.values() if entry[3]), default=0)
        age = time.time_ns() - newest
        tick = TICK_NS if newest % _SECOND_NS else _SECOND_NS
        if 0 <= age < tick:
            time.sleep((tick - age) / 1e9)
        self._write("record", self.record)
        self._sweep({"record"})

    def _sweep(self, kept: Container[str]) -> None:
        """Remove what a run has left here: half a file may be all that a full disk has no room for."""
        for name in os.listdir(self.own):
            if name not in kept and name != "lock":
                os.unlink(name, dir_fd=self.own)

    def edits(self) -> Iterator[tuple[str, Held | None]]:
        """Yield what was sent and holds something else by now: the path, and what it holds, None for nothing."""
        for path, entry in self.files.items():
            status = look(self._path(path))
            if status is not None and entry[3] == stamp(status):
                continue
            found = None if status is None else self._held(path, status)
            if found == entry[:2] and status is not None:
                entry[3] = stamp(status)
            else:
                yield path, found

    def state(self, asked: JSON) -> JSON:
        """Say what is here: the digest of what was sent, its edits, and where HEAD is."""
        edited = [[path, *(found or ["", ""])] for path, found in self.edits()]
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD") if self._has_repository() else ""
        known = self.record["digest"] and self.record["digest"] == asked["known"]
        return {
            "digest": self.record["digest"],
            "head": self.record["head"],
            "moved": head if head not in {self.record["head"], self.record.get("coming", "")} else "",
            "cut": "coming" in self.record,
            "git": self._may_have_repository() and self._git("--version") != "",
            "shallow": os.path.exists(self._path(".git/shallow")),
            "edited": edited,
            "have": None if known else {path: entry[:3] for path, entry in self.files.items()},
        }

    def take(self, order: JSON) -> JSON:
        """Bring the folder to where the order has it; say what was kept because it was edited here."""
        discard = set(order["discard"])
        edited = {path for path, _ in self.edits()} - discard
        pending: dict[str, Held | None] = dict.fromkeys(order["delete"])
        pending.update({path: [kind, content, mtime] for path, kind, content, mtime in order["files"]})
        self._write("pending", pending)
        kept, missed = [], []
        for path in order["delete"]:
            if path in edited:
                kept.append(path)
            else:
                self._delete(path)
            self.files.pop(path, None)
        for path, kind, content, mtime in order["files"]:
            if not self._receive(kind, content):
                # It changed while it was sent.
                missed.append(path)
                continue
            os.utime(_BESIDE, ns=(mtime, mtime), dir_fd=self.own, follow_symlinks=False)
            placed = self._place(path, [kind, content], edited, discard)
            if placed is None:
                kept.append(path)
            self.files[path] = [kind, content, mtime, placed]
        for path, mtime in order["touch"].items():
            entry = self.files[path]
            entry[2] = mtime
            if path not in edited:
                with folder_of(self.root, path) as (folder, name):
                    os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
                    entry[3] = stamp(os.lstat(name, dir_fd=folder))
        self.record["digest"] = "" if missed else order["digest"]
        self._settle()
        return {"kept": kept, "missed": missed}

    def _delete(self, path: str) -> None:
        with contextlib.suppress(OSError):
            with folder_of(self.root, path) as (folder, name):
                os.unlink(name, dir_fd=folder)
            above = os.path.dirname(path)
            while above:
                with folder_of(self.root, above) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
                above = os.path.dirname(above)

    def _place(self, path: str, wanted: Held, edited: Container[str], discard: Container[str]) -> list[int] | None:
        """Put what was received at a path, and return its stamp; None where something of somebody else's is there."""
        try:
            with folder_of(self.root, path, make=True) as (folder, name):
                if not self._may_place(path, look(name, folder), wanted, edited, discard):
                    return None
                os.rename(_BESIDE, name, src_dir_fd=self.own, dst_dir_fd=folder)
                return stamp(os.lstat(name, dir_fd=folder))
        except OSError as error:
            if is_no_folder(error):
                return None
            raise

    def _may_place(
        self,
        path: str,
        status: os.stat_result | None,
        wanted: Held,
        edited: Container[str],
        discard: Container[str],
    ) -> bool:
        if status is None or path in discard:
            # A file that was deleted here stays deleted.
            return path not in edited and (status is None or not stat.S_ISDIR(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            return False
        return (path in self.files and path not in edited) or self._held(path, status) == wanted

    def _receive(self, kind: str, content: str) -> bool:
        """Take a file's frames; tell whether they are what was announced."""
        if kind == LINK:
            self._make_link(content)
            return True
        return self._make_file(self.frames(), program=kind == PROGRAM) == content

    def _make_link(self, target: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_BESIDE, dir_fd=self.own)
        os.symlink(target, _BESIDE, dir_fd=self.own)

    def _make_file(self, pieces: Iterator[bytes], *, program: bool) -> str:
        """Write a file to be placed, and return the hash of it."""
        hasher = hashlib.blake2b(digest_size=16)
        failed: OSError | None = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_BESIDE, dir_fd=self.own)
        with open(self._of_own(_BESIDE, _NEW), "wb", buffering=0) as stream:
            for data in pieces:
                hasher.update(data)
                # The rest is read, too: the other end listens when it has sent all of it.
                failed = failed or self._written(stream, data)
            os.fchmod(stream.fileno(), 0o755 if program else 0o644)
        if failed is not None:
            raise failed
        return hasher.hexdigest()

    @staticmethod
    def _written(stream: IO[bytes], data: bytes) -> OSError | None:
        left = memoryview(data)
        try:
            while left:
                left = left[stream.write(left) :]
        except OSError as error:
            return error
        return None

    def frames(self) -> Iterator[bytes]:
        """Yield the frames of one content."""
        while True:
            size = int.from_bytes(self._exactly(4), "big")
            if not size:
                return
            yield self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            with self.in_time():
                piece = self.source.read(min(size - len(data), _PIECE))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def messages(self) -> Iterator[JSON]:
        """Yield what is asked."""
        while True:
            line = bytearray()
            while not line.endswith(b"\n"):
                with self.in_time():
                    piece = self.source.readline(_PIECE)
                if not piece:
                    return
                line += piece
            yield json.loads(line)

    @contextlib.contextmanager
    def in_time(self) -> Iterator[None]:
        """Have this process ended by the kernel, as if it were killed, where a piece takes too long."""
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def repository(self, order: JSON) -> JSON:
        """Take commits, and put HEAD and the index where they are at the other end."""
        # One that is there stays as it is, and one that was cut off is finished.
        self._must("init", "--quiet")
        self._append(".git/info/exclude", [*order["exclude"].splitlines(), f"/{OWN}/"])
        self._make_file(self.frames(), program=False)
        with open(self._of_own(_BESIDE, os.O_RDONLY), "rb") as pack:
            self._must("index-pack", "--stdin", "--fix-thin", stdin=pack.fileno())
        cut = "coming" in self.record
        if cut:
            # Of a git that was killed with the run before.
            with contextlib.suppress(OSError):
                os.unlink(self._path(".git/index.lock"))
        self.record["coming"] = order["head"]
        self._settle()
        if order["shallow"]:
            self._append(".git/shallow", [order["head"]])
        for name, target in order["tags"].items():
            self._must("update-ref", name, target)
        if order["ref"]:
            self._must("symbolic-ref", "HEAD", order["ref"])
            self._must("update-ref", order["ref"], order["head"])
        else:
            self._must("update-ref", "--no-deref", "HEAD", order["head"])
        if not self.files:
            # What the commit holds need not be sent as files, too.
            self._check_out()
        # Of what an index had, git would look at what may have changed in the second of its writing, by the filters.
        with contextlib.suppress(OSError):
            os.unlink(self._path(".git/index"))
        self._must("read-tree", "HEAD")
        if not self._git("config", "--name-only", "--get-regexp", r"^filter\."):
            # To see what is unchanged, git would ask the filters of the repository.
            self._git("update-index", "-q", "--refresh")
        self.record["head"] = self.record.pop("coming")
        self.record["digest"] = ""
        self._settle()
        return self.state({"known": ""})

    def _append(self, path: str, lines: Sequence[str]) -> None:
        """Have `lines` in a file of git's, beside what somebody has written there."""
        with folder_of(self.root, path, make=True) as (folder, name):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(name, flags, 0o644, dir_fd=folder)
        with open(descriptor, "r+", encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
            missing = [line for line in lines if line not in text.splitlines()]
            if missing:
                stream.write("\n".join([*([""] if text and not text.endswith("\n") else []), *missing, ""]))

    def _check_out(self) -> None:
        """Write the files of HEAD as they are in it: git itself would run them through the filters of the repository.

        What the other end holds as something else comes from there then.
        """
        entries = []
        for line in self._git("ls-tree", "-r", "-z", "HEAD").split("\0"):
            about, _, path = line.partition("\t")
            if path and is_plain(path) and about.split()[1] == "blob":
                entries.append((about.split()[0], about.split()[2], path))
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(content + "\n" for _, content, _ in entries).encode())
            wanted.seek(0)
            with subprocess.Popen(stdin=wanted, **self._as_git("cat-file", "--batch")) as git:
                said: Any = git.stdout
                over = threading.Timer(GIT_SECONDS, git.kill)
                over.start()
                try:
                    for mode, content, path in entries:
                        self._take_blob(said, mode, content, path)
                finally:
                    over.cancel()
                    git.kill()

    def _take_blob(self, said: IO[bytes], mode: str, content: str, path: str) -> None:
        words = said.readline().split()
        if len(words) != 3:
            raise RuntimeError(f"git cat-file: {content} of {path} is not there")
        kind = {"120000": LINK, "100755": PROGRAM}.get(mode, FILE)
        pieces = _pieces(said, int(words[2]))
        if kind == LINK:
            what = [kind, os.fsdecode(b"".join(pieces))]
            if not what[1] or "\0" in what[1]:
                return
            self._make_link(what[1])
        else:
            what = [kind, self._make_file(pieces, program=kind == PROGRAM)]
        placed = self._place(path, what, (), ())
        if placed is not None:
            self.files[path] = [*what, placed[0], placed]

    def _may_have_repository(self) -> bool:
        # A link leads to one of somebody else's.
        return look(self._path(".git")) is None or self._has_repository()

    def _has_repository(self) -> bool:
        status = look(self._path(".git"))
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _as_git(self, *args: str) -> JSON:
        """Return how git is started: without what settings, variables or attributes name to be run."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        settings = (word for one in _SETTINGS for word in ("-c", one))
        argv = ["git", "--no-replace-objects", *settings, *args]
        env = {**environ, **_VARIABLES}
        return {"args": argv, "cwd": self.root, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}

    def _git(self, *args: str) -> str:
        try:
            how = self._as_git(*args)
            done = subprocess.run(stdin=subprocess.DEVNULL, timeout=GIT_SECONDS, check=False, **how)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return os.fsdecode(done.stdout).strip("\n")

    def _must(self, *args: str, stdin: int = subprocess.DEVNULL) -> None:
        """Run git. Raises RuntimeError with what it said."""
        try:
            how = {**self._as_git(*args), "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            done = subprocess.run(stdin=stdin, timeout=GIT_SECONDS, check=False, **how)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"git {args[0]} did not end within {GIT_SECONDS:g} s") from None
        if done.returncode != 0:
            raise RuntimeError(f"git {args[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")

    def give(self, asked: JSON) -> JSON:
        """Send files of here, each as a message."""
        given = 0
        for path in self._named(asked["paths"]):
            try:
                with open(opened(self.root, path), "rb") as stream:
                    data, mode = stream.read(), os.fstat(stream.fileno()).st_mode
            except OSError:
                continue
            text = base64.b64encode(data).decode()
            with self.in_time():
                say({"file": path, "program": bool(mode & stat.S_IXUSR), "content": text})
            given += 1
        return {"given": given}

    def _named(self, paths: Sequence[str]) -> Iterator[str]:
        for path in paths:
            if not os.path.isdir(self._path(path)) or os.path.islink(self._path(path)):
                yield path
                continue
            for folder, names, files in os.walk(self._path(path)):
                names[:] = [name for name in names if name not in {".git", OWN}]
                yield from (os.path.relpath(os.path.join(folder, name), self.root) for name in files)


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield a content of `git cat-file --batch`, and read the line end behind it."""
    while size:
        data = stream.read(min(size, CHUNK))
        if not data:
            raise RuntimeError("git cat-file ended early")
        size -= len(data)
        yield data
    stream.read(1)


_speaking = threading.Lock()


def say(message: JSON) -> None:
    """Write a message."""
    with _speaking:
        sys.stdout.buffer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        sys.stdout.buffer.flush()


def _beat() -> None:
    """Say from time to time that this end is there: to wait for another, to read and to unpack may take long."""
    while True:
        time.sleep(BEAT_SECONDS)
        say({"alive": True})


def main(root: str, seconds: float) -> int:
    """Answer messages until there are no more. What goes wrong is said, and is the last word."""
    threading.Thread(target=_beat, daemon=True).start()
    try:
        receiver = Receiver(root, sys.stdin.buffer, seconds)
        answers = {
            "state": receiver.state,
            "take": receiver.take,
            "repository": receiver.repository,
            "give": receiver.give,
        }
        say({"ready": True})
        for order in receiver.messages():
            answer = answers[order["ask"]](order)
            with receiver.in_time():
                say(answer)
    except EOFError:
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        say({"fault": f"{error.strerror or error}{where}", "errno": error.errno or 0})
        return 1
    except RuntimeError as error:
        say({"fault": str(error), "errno": 0})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
