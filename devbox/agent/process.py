"""Supervises cmake and ninja: when the client dies or is interrupted, everything that they started ends."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GRACE_SECONDS = 8.0
AGAIN_SECONDS = 1.0
INTERRUPTED = 130


class Interrupted(Exception):  # noqa: N818  # a way out, no error
    """The client is gone, or asked to stop. `clean` says whether everything ended in order when it was told to."""

    def __init__(self, *, clean: bool = True) -> None:
        super().__init__()
        self.clean = clean


class Supervisor:
    """Holds the client's lifeline, and runs one program at a time in a session of its own.

    The lifeline is stdin: it is open as long as the client lives, and what comes through it after the request answers
    a question. A signal to the agent counts as its end. A watcher process waits for the death of the agent itself and
    then kills the session.
    """

    def __init__(self, lifeline: int) -> None:
        """Take the descriptor of the lifeline."""
        self._lifeline = lifeline
        self._inherited: tuple[int, ...] = ()
        self._over = False
        self._answered = False
        self._wake, tell = os.pipe()
        for descriptor in (self._wake, tell):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._watcher: int | None = None

    def _on_signal(self, *_: object) -> None:
        self._over = True

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises Interrupted if the client is gone."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            self._look(select.select([self._lifeline, self._wake], [], [], max(0.0, left))[0])
            if self._over:
                raise Interrupted
            if left <= 0:
                return

    def answer(self) -> None:
        """Wait for the client's answer on the lifeline. Raises Interrupted if the client is gone."""
        while not self._answered:
            self._look(select.select([self._lifeline, self._wake], [], [])[0])
            if self._over:
                raise Interrupted
        self._answered = False

    @contextlib.contextmanager
    def holding(self, descriptor: int) -> Iterator[None]:
        """Let the programs started in the block inherit `descriptor`, a lock: it lasts as long as one of them lives."""
        self._inherited = (descriptor,)
        self._watcher = _start_watcher()
        try:
            yield
        finally:
            os.close(self._watcher)
            self._watcher = None
            self._inherited = ()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        environ: Mapping[str, str],
        on_text: Callable[[str], None],
        terminal: bool = False,
    ) -> int:
        """Run a program, pass on its stdout and stderr, and return its exit code (128 + signal if one ended it).

        With `terminal` its output is a terminal, which makes ninja tell what it is running. Raises Interrupted.
        """
        if self._over:
            raise Interrupted
        reading, writing = os.openpty() if terminal else os.pipe()
        if terminal:
            _raw(writing)
        try:
            child = subprocess.Popen(
                list(argv), cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=writing, stderr=writing,
                start_new_session=True, pass_fds=self._inherited,
            )  # fmt: skip
        finally:
            os.close(writing)
        self._tell_watcher(child.pid)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def read() -> bool:
            try:
                data = os.read(reading, 1 << 16)
            except BlockingIOError:
                return True
            except OSError:  # a terminal whose other side was closed by all
                data = b""
            if data:
                on_text(decoder.decode(data))
            return bool(data)

        try:
            self._follow(child, reading, read)
        finally:
            os.close(reading)
            self._tell_watcher(0)
        if self._over:
            raise Interrupted(clean=child.returncode != -signal.SIGKILL)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _follow(self, child: subprocess.Popen[bytes], reading: int, read: Callable[[], bool]) -> None:
        """Read until the child has ended; a daemon that it left behind may hold its output open."""
        os.set_blocking(reading, False)
        watched = [self._lifeline, self._wake, reading]
        told_at: float | None = None
        again_at = 0.0
        while child.poll() is None:
            ready = select.select(watched, [], [], 0.2 if told_at else None)[0]
            self._look(ready)
            if reading in ready and not read():
                watched.remove(reading)
            if self._over and told_at is None:
                told_at = time.monotonic()
                watched = [one for one in watched if one != self._lifeline]
                _signal_group(child.pid, signal.SIGINT)
                again_at = told_at + AGAIN_SECONDS
            elif told_at is not None and time.monotonic() - told_at > GRACE_SECONDS:
                kill_session(child.pid)
            elif told_at is not None and time.monotonic() > again_at:
                # ninja passes the signal on once, and a dash that is just starting its command loses it.
                _signal_all(session_members(child.pid), signal.SIGINT)
                again_at += AGAIN_SECONDS
        if told_at is not None:
            kill_session(child.pid)
        while reading in watched and select.select([reading], [], [], 0)[0] and read():
            pass

    def _look(self, ready: Sequence[int]) -> None:
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 512)
        if self._lifeline in ready:
            try:
                alive = bool(os.read(self._lifeline, 4096))
                self._answered = alive
            except OSError:
                alive = False
            self._over = self._over or not alive

    def _tell_watcher(self, session: int) -> None:
        if self._watcher is not None:
            with contextlib.suppress(OSError):
                os.write(self._watcher, b"%d\n" % session)


def _raw(terminal: int) -> None:
    """Let a terminal pass bytes on as they are written."""
    import termios

    mode = termios.tcgetattr(terminal)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, mode)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def session_members(session: int) -> list[int]:
    """Return the processes of a session. ninja gives each command a group of its own, but no session."""
    members = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    fields = stream.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in {b"Z", b"X"}:
                members.append(int(name))
    return members


def _signal_all(processes: Sequence[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def kill_session(session: int) -> None:
    """Kill every process of a session, also those that are born meanwhile."""
    for _ in range(100):
        members = session_members(session)
        if not members:
            return
        _signal_all(members, signal.SIGKILL)
        time.sleep(0.01)


def _start_watcher() -> int:
    """Start the process that kills the session it was last told of when this process dies; return where to tell it.

    It inherits the lock, so nobody takes it over before the session is gone.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        fcntl.fcntl(writing, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        return writing
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.close(writing)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        session = 0
        rest = b""
        while True:
            data = os.read(reading, 512)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                session = int(lines[-1])
        if session:
            kill_session(session)
    finally:
        os._exit(0)
