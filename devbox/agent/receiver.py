"""The end of a synchronisation at the engine: it takes a checkout into a volume, and says what somebody changed there.

It is run by itself, as `python3 -c TEXT FOLDER SECONDS`, so it imports nothing of the agent. Each message is a line of
JSON. Behind some of them come contents in frames: four bytes of length, so many bytes, and an empty frame at the end.
Each piece of either has so many seconds: one whose other end is gone, without its connection, holds nothing up.

Its record lies in the folder, in `.devbox-sync`: for each file what was sent, and the stamp with which it was left.
What has another stamp and other content was edited here: it is told, and never written over unless that is asked for.
Before anything is written, `pending` says what is to come. So of a run that was killed anywhere the next one knows what
is its own.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
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
_SECOND_NS = 1_000_000_000


def stamp(status: os.stat_result) -> list[int]:
    """Return what tells one state of a file from another, without reading it."""
    return [status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino]


def held(path: str, status: os.stat_result) -> Held | None:
    """Return what a file or link holds; None for a folder, a device, and what cannot be read."""
    try:
        if stat.S_ISLNK(status.st_mode):
            return [LINK, os.readlink(path)]
        if not stat.S_ISREG(status.st_mode):
            return None
        hasher = hashlib.blake2b(digest_size=16)
        with open(path, "rb", buffering=0) as stream:
            while True:
                data = stream.read(CHUNK)
                if not data:
                    break
                hasher.update(data)
    except OSError:
        return None
    return [PROGRAM if status.st_mode & stat.S_IXUSR else FILE, hasher.hexdigest()]


def look(path: str) -> os.stat_result | None:
    """Return the status of a path itself, None where there is nothing."""
    try:
        return os.lstat(path)
    except OSError:
        return None


class Receiver:
    """The folder, and the record of what was sent to it: `files` has what each holds, its mtime and its stamp here."""

    def __init__(self, root: str, source: IO[bytes], seconds: float) -> None:
        """Take the folder, where messages come from, and how long a piece may take.

        Waits for another one that works on the folder, which ends where it is not heard of for so long.
        """
        self.root, self.source, self.seconds = root, source, seconds
        self.own = os.path.join(root, OWN)
        os.makedirs(self.own, 0o700, exist_ok=True)
        self._lock = os.open(os.path.join(self.own, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
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
            with open(os.path.join(self.own, name), encoding="utf-8", errors="surrogateescape") as stream:
                return json.load(stream)
        except (OSError, ValueError):
            return None

    def _write(self, name: str, value: object) -> None:
        beside = os.path.join(self.own, name + ".new")
        with open(beside, "w", encoding="utf-8", errors="surrogateescape") as stream:
            json.dump(value, stream, separators=(",", ":"))
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, os.path.join(self.own, name))

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
            elif status is not None and held(self._path(path), status) == wanted[:2]:
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
                os.unlink(os.path.join(self.own, name))

    def edits(self) -> Iterator[tuple[str, Held | None]]:
        """Yield what was sent and holds something else by now: the path, and what it holds, None for nothing."""
        for path, entry in self.files.items():
            status = look(self._path(path))
            if status is not None and entry[3] == stamp(status):
                continue
            found = None if status is None else held(self._path(path), status)
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
            "git": self._git("--version") != "",
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
            beside = os.path.join(self.own, "file")
            if not self._receive(beside, kind, content):
                # It changed while it was sent.
                missed.append(path)
                continue
            os.utime(beside, ns=(mtime, mtime), follow_symlinks=False)
            if self._may_place(path, [kind, content], edited, discard):
                os.rename(beside, self._path(path))
                self.files[path] = [kind, content, mtime, stamp(os.lstat(self._path(path)))]
            else:
                kept.append(path)
                self.files[path] = [kind, content, mtime, None]
        for path, mtime in order["touch"].items():
            entry = self.files[path]
            entry[2] = mtime
            if path not in edited:
                os.utime(self._path(path), ns=(mtime, mtime), follow_symlinks=False)
                entry[3] = stamp(os.lstat(self._path(path)))
        self.record["digest"] = "" if missed else order["digest"]
        self._settle()
        return {"kept": kept, "missed": missed}

    def _delete(self, path: str) -> None:
        try:
            os.unlink(self._path(path))
        except OSError:
            return
        folder = os.path.dirname(path)
        while folder:
            try:
                os.rmdir(self._path(folder))
            except OSError:
                return
            folder = os.path.dirname(folder)

    def _may_place(self, path: str, wanted: Held, edited: set[str], discard: set[str]) -> bool:
        """Make the folders of a path, and tell whether the path may be written: nothing of somebody else's is there."""
        above = ""
        for part in path.split("/")[:-1]:
            above = os.path.join(above, part)
            status = look(self._path(above))
            if status is None:
                os.mkdir(self._path(above))
            elif not stat.S_ISDIR(status.st_mode):
                return False
        status = look(self._path(path))
        if status is None or path in discard:
            # A file that was deleted here stays deleted.
            return path not in edited and (status is None or not stat.S_ISDIR(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            return False
        return (path in self.files and path not in edited) or held(self._path(path), status) == wanted

    def _receive(self, beside: str, kind: str, content: str) -> bool:
        """Take a file's frames; tell whether they are what was announced."""
        if os.path.lexists(beside):
            os.unlink(beside)
        if kind == LINK:
            os.symlink(content, beside)
            return True
        hasher = hashlib.blake2b(digest_size=16)
        failed: OSError | None = None
        with open(beside, "wb", buffering=0) as stream:
            for data in self.frames():
                hasher.update(data)
                # The rest is read, too: the other end listens when it has sent all of it.
                failed = failed or self._written(stream, data)
        if failed is not None:
            raise failed
        os.chmod(beside, 0o755 if kind == PROGRAM else 0o644)
        return hasher.hexdigest() == content

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
        self._exclude([*order["exclude"].splitlines(), f"/{OWN}/"])
        self._must("index-pack", "--stdin", "--fix-thin", frames=self.frames())
        cut = "coming" in self.record
        if cut:
            # Of a git that was killed with the run before.
            with contextlib.suppress(OSError):
                os.unlink(self._path(".git/index.lock"))
        self.record["coming"] = order["head"]
        self._settle()
        if order["shallow"]:
            with open(self._path(".git/shallow"), "a+", encoding="utf-8") as stream:
                stream.seek(0)
                if order["head"] not in stream.read().split():
                    stream.write(order["head"] + "\n")
        for name, target in order["tags"].items():
            self._must("update-ref", name, target)
        if order["ref"]:
            self._must("symbolic-ref", "HEAD", order["ref"])
            self._must("update-ref", order["ref"], order["head"])
        else:
            self._must("update-ref", "--no-deref", "HEAD", order["head"])
        if self.files:
            self._must("reset", "--quiet")
        else:
            # What the commit holds need not be sent as files, too.
            self._must("read-tree", "HEAD")
            # Half of it may lie there, of a run that was cut off.
            self._must("checkout-index", "--all", "--quiet", *(["--force"] if cut else []))
            for path in self._git("ls-files", "-z").split("\0"):
                status = look(self._path(path)) if path else None
                found = None if status is None else held(self._path(path), status)
                if status is not None and found is not None:
                    self.files[path] = [*found, status.st_mtime_ns, stamp(status)]
        self.record["head"] = self.record.pop("coming")
        self.record["digest"] = ""
        self._settle()
        return self.state({"known": ""})

    def _exclude(self, lines: Sequence[str]) -> None:
        """Have git here not see what `lines` say, beside what somebody has written there."""
        place = self._path(".git/info/exclude")
        with open(place, "a+", encoding="utf-8", errors="surrogateescape") as stream:
            stream.seek(0)
            text = stream.read()
            missing = [line for line in lines if line not in text.splitlines()]
            if missing:
                stream.write("\n".join([*([""] if text and not text.endswith("\n") else []), *missing, ""]))

    def _has_repository(self) -> bool:
        return os.path.isdir(self._path(".git"))

    def _git(self, *args: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", *args],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return ""
        return os.fsdecode(done.stdout).strip("\n")

    def _must(self, *args: str, frames: Iterator[bytes] | None = None) -> None:
        """Run git, with `frames` as its stdin. Raises RuntimeError with what it said."""
        with subprocess.Popen(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", *args],
            cwd=self.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as git:
            assert git.stdin is not None and git.stderr is not None  # noqa: PT018, S101
            for data in frames or ():
                self._written(git.stdin, data)
            with contextlib.suppress(OSError):
                git.stdin.close()
            said = git.stderr.read().decode("utf-8", "replace").strip()
        if git.returncode != 0:
            raise RuntimeError(f"git {args[0]}: {said}")

    def give(self, asked: JSON) -> JSON:
        """Send files of here, each as a message."""
        given = 0
        for path in self._named(asked["paths"]):
            status = look(self._path(path))
            if status is None or not stat.S_ISREG(status.st_mode):
                continue
            with open(self._path(path), "rb") as stream:
                data = stream.read()
            text = base64.b64encode(data).decode()
            with self.in_time():
                say({"file": path, "program": bool(status.st_mode & stat.S_IXUSR), "content": text})
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
