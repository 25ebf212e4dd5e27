"""A command in a container on this process's own streams, over the engine's socket.

What the docker client does for `docker exec`: it carries stdin, stdout and stderr, makes the terminal raw and tells its
size. One loop waits for all of it, and for signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

from devbox.container.inside import supervise
from devbox.engine.exec import terminal_size
from devbox.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping
    from signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGWINCH
    from typing import Self

    from devbox.engine.attach import Session
else:
    # What signal is made of, without its enums.
    import _signal as signal
    from _signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGWINCH

_PIECE = 1 << 16
# How the engine begins where it could not start the command: `unrunnable`, which is not imported for that alone.
_REFUSAL = b"OCI runtime exec failed: "
_EXIT_SIGNAL = 128
_BROKEN_PIPE = _EXIT_SIGNAL + signal.SIGPIPE
# How long the last output is waited for when a signal has ended the command.
_LAST_WORDS_SECONDS = 1.0
# Puts the terminal back as it was, when who made it raw is dead. $1 is its name, $2 its state; a command follows.
_RESTORE = 'stty "$2" <"$1" 2>/dev/null; shift 2; exec "$@"'


def run_attached(
    session: Session,
    *,
    tty: bool,
    environ: Mapping[str, str],
    end: list[str],
    on_signal: Mapping[int, list[str]],
) -> int:
    """Start the prepared command, and return its exit code when it has ended.

    If this process gets a signal to stop, it runs the command `end` (`on_signal` has others for some signals), which
    has to end what was started, and returns 128 + the signal's number; it returns 141 where nobody reads the output any
    more. If it dies, a watcher runs `end`. Raises EngineError where the engine refuses or is lost.
    """
    with _watched(end, environ, tty=tty):
        # The engine may take its time: until the command has started, a signal does what it does anywhere.
        session.start()
        try:
            with _Signals(tty=tty) as signals, _raw_terminal(tty=tty):
                keys = DetachKeys(session.detach_keys) if tty else None
                return _Pump(session, signals, keys).run(end, on_signal, environ)
        finally:
            session.close()


@contextlib.contextmanager
def _watched(end: list[str], environ: Mapping[str, str], *, tty: bool) -> Iterator[None]:
    if tty:
        end = ["/bin/sh", "-c", _RESTORE, "devbox-terminal", os.ttyname(0), _state_of_terminal(), *end]
    watcher = supervise.watch(end, environ=environ)
    try:
        yield
    except (OSError, KeyboardInterrupt):
        # A full disk, say: what nobody can be told of the output is no reason to let the command go on unseen.
        watcher.leave()
        raise
    except BaseException:
        watcher.done()
        raise
    watcher.done()


class _Signals:
    """The signals that stop a command, and those that say that something happened, as bytes on a pipe."""

    def __init__(self, *, tty: bool) -> None:
        self._stoppers = [one for one in (SIGINT, SIGTERM, SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
        self._all = [*self._stoppers, SIGCHLD, *([SIGWINCH] if tty else [])]

    def __enter__(self) -> Self:
        self.pipe, self._tell = os.pipe()
        for descriptor in (self.pipe, self._tell):
            os.set_blocking(descriptor, False)
        self._wakeup = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in self._all}
        return self

    def read(self) -> set[int]:
        """Return the signals that came since the last time."""
        try:
            return set(os.read(self.pipe, 512))
        except BlockingIOError:
            return set()

    def is_stopper(self, number: int) -> bool:
        """Return whether a signal ends the command."""
        return number in self._stoppers

    def let_through(self) -> None:
        """Let the next signal to stop kill this process in the ordinary way: the watcher then takes over."""
        for number in self._stoppers:
            signal.signal(number, signal.SIG_DFL)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.pipe)
        os.close(self._tell)


class DetachKeys:
    """Looks for the keys that leave a command at its terminal, in docker's notation: `ctrl-p,ctrl-q`."""

    def __init__(self, spelled: str = "") -> None:
        """Take the keys; those that docker does not understand are its default ones."""
        codes = [_code(word) for word in spelled.split(",")] if spelled else []
        self._keys = b"\x10\x11" if not codes or None in codes else bytes(code for code in codes if code is not None)
        self._held = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what the command gets of the bytes `typed`, and whether all keys came; the first are held back."""
        passed = bytearray()
        for key in typed:
            if key != self._keys[self._held]:
                passed += self._keys[: self._held]
                self._held = 0
            if key == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    return bytes(passed), True
            else:
                passed.append(key)
        return bytes(passed), False


def _code(word: str) -> int | None:
    if len(word) == 1:
        return ord(word) if word.isascii() else None
    key = word.removeprefix("ctrl-").upper()
    return ord(key) - ord("@") if len(key) == 1 and word != key and "@" <= key <= "_" else None


class _Pump:
    """Carries bytes both ways until the command's output has ended. `keys` leave it before, at a terminal."""

    def __init__(self, session: Session, signals: _Signals, keys: DetachKeys | None) -> None:
        self._session = session
        self._signals = signals
        self._keys = keys
        self._detached = False
        self._poll = select.poll()
        self._connection = session.connection.fileno()
        session.connection.settimeout(0)
        self._poll.register(signals.pipe, select.POLLIN)
        self._unsent = memoryview(b"")
        self._input_ended = self._ended = False
        # What may be the engine's word that it cannot start the command: what came first, until more comes.
        self._refusal: tuple[int, bytes] | None = None
        self._has_said = False
        self._ending = self._unread = False
        self._listen()

    def _listen(self) -> None:
        """Choose what is waited for. Nothing more is read as long as the engine has not taken what was."""
        self._poll.register(self._connection, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        if not self._input_ended and not self._unsent:
            self._poll.register(0, select.POLLIN)
        else:
            with contextlib.suppress(KeyError):
                self._poll.unregister(0)

    def run(self, end: list[str], on_signal: Mapping[int, list[str]], environ: Mapping[str, str]) -> int:
        """Carry until the end, or until a signal; return the exit code."""
        stopped: int | None = None
        if self._session.has_more:
            stopped = self._carry_output()
        while stopped is None and not self._ended:
            stopped = self._step(None)
        if stopped is None:
            return self._exit_code()
        self._signals.let_through()
        self._ending = True
        ending = supervise.start_quietly(on_signal.get(stopped, end), environ)
        deadline = None
        while not self._ended and (deadline is None or time.monotonic() < deadline):
            self._step(0.05)
            if deadline is None and supervise.has_ended(ending):
                deadline = time.monotonic() + _LAST_WORDS_SECONDS
        if deadline is None:
            supervise.has_ended(ending, wait=True)
        return _BROKEN_PIPE if stopped == signal.SIGPIPE else _EXIT_SIGNAL + stopped

    def _exit_code(self) -> int:
        # The command may go on without its output: then a signal has the watcher end it.
        self._signals.let_through()
        code = None if self._detached else self._session.exit_code()
        if code is None:
            # What docker's client says when it leaves a command.
            sys.stderr.write("read escape sequence\n")
            return 1
        if self._refusal is not None:
            from devbox.container.inside.unrunnable import CODES, unrunnable

            stream, said = self._refusal
            if code in CODES and not self._session.has_run:
                raise unrunnable(said.decode("utf-8", "replace"), self._session.command)
            self._write(stream, memoryview(said))
        return code

    def _step(self, seconds: float | None) -> int | None:
        """Wait for something, and do it; return the signal to stop that came, if one did."""
        ready = dict(self._poll.poll(None if seconds is None else seconds * 1000))
        # What was typed after a terminal got another size comes after it: the poll may return before its signal.
        stopped = self._signalled() if ready.keys() & {self._signals.pipe, 0} else None
        if 0 in ready:
            self._take_input()
        what = ready.get(self._connection, 0)
        if what & select.POLLOUT:
            self._send()
            self._listen()
        if what & ~select.POLLOUT:
            stopped = self._carry_output() or stopped
        return stopped

    def _pass_on(self, stream: int, data: memoryview) -> int | None:
        """Write what the command said, but for what may turn out to be the engine's; return a signal as `_write`."""
        if not self._has_said and bytes(data[: len(_REFUSAL)]) == _REFUSAL:
            self._has_said, self._refusal = True, (stream, bytes(data))
            return None
        self._has_said = True
        if self._refusal is not None:
            (before, said), self._refusal = self._refusal, None
            stopped = self._write(before, memoryview(said))
            if stopped is not None:
                return stopped
        return self._write(stream, data)

    def _write(self, descriptor: int, data: memoryview) -> int | None:
        """Write all of `data`; return the signal to stop that came while nobody read it, if one did.

        Once the command is being ended, who does not read is not waited for, and gets no more. What comes is taken from
        the engine all the same, which otherwise would not come to see any command of the container end.
        """
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT)
        if not self._ending:
            waiting.register(self._signals.pipe, select.POLLIN)
        while data and not self._unread:
            ready = dict(waiting.poll(_LAST_WORDS_SECONDS * 1000 if self._ending else None))
            if not ready:
                self._unread = True
                break
            if self._signals.pipe in ready and (stopped := self._signalled()) is not None:
                return stopped
            if descriptor in ready:
                try:
                    # No more than a pipe takes at once: a write that waits hears no signal.
                    data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
                except BlockingIOError:  # somebody who shares it has made it so
                    continue
        return None

    def _signalled(self) -> int | None:
        """Take the signals that came; return the last of those to stop."""
        stopped = None
        for number in self._signals.read():
            if number == SIGWINCH:
                self._session.resize(terminal_size(1))
            elif self._signals.is_stopper(number):
                stopped = number
        return stopped

    def _take_input(self) -> None:
        try:
            data = os.read(0, _PIECE)
        except BlockingIOError:
            return
        except OSError:  # closed, or a terminal that is gone
            data = b""
        if data:
            if self._keys is not None:
                data, self._detached = self._keys.feed(data)
                self._ended = self._detached
            self._unsent = memoryview(data)
            self._send()
        else:
            self._input_ended = True
            self._session.end_input()
        self._listen()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._session.connection.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # the command reads no more; what it still says is read on
            self._unsent, self._input_ended = memoryview(b""), True

    def _carry_output(self) -> int | None:
        """Pass on what there is; return SIGPIPE where nobody reads it. Raises EngineError."""
        try:
            parts = self._session.receive()
            if parts is None:
                self._ended = True
                return None
            for stream, data in parts:
                if (stopped := self._pass_on(stream, data)) is not None:
                    return stopped
        except BlockingIOError:
            return None
        except BrokenPipeError:
            return signal.SIGPIPE
        except ConnectionError as error:
            raise EngineError(f"the connection to the engine broke: {error.strerror}", hint="docker ps") from None
        return None


def _state_of_terminal() -> str:
    """Return the terminal's state as stty reads it."""
    import termios

    *flags, _, _, characters = termios.tcgetattr(0)
    return ":".join(f"{one if isinstance(one, int) else one[0]:x}" for one in [*flags, *characters])


@contextlib.contextmanager
def _raw_terminal(*, tty: bool) -> Iterator[None]:
    """Let each key go to the command as it is, as docker's client does (moby/term, `MakeRaw`)."""
    if not tty:
        yield
        return
    import termios

    before = termios.tcgetattr(0)
    raw = termios.tcgetattr(0)
    raw[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    raw[1] &= ~termios.OPOST
    raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(0, termios.TCSANOW, raw)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)
