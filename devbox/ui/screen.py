"""The whole terminal for one command: another screen, keys as they are pressed, and all as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Self

from devbox.errors import Stopped
from devbox.masking import calm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.masking import Mask

# The other screen without a cursor, and back. Lines are not wrapped while a terminal changes its size.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
# Terminals that know it show what comes between at once; the others ignore it.
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
_TO_THE_END = "\x1b[K"


class Screen:
    """Shows frames in place. What did not change is not drawn, and nothing is cleared before it is drawn again."""

    def __init__(self, mask: Mask) -> None:
        """Take what hides secret values."""
        self._mask = mask

    def __enter__(self) -> Self:
        self._shown: Sequence[str] | None = None
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._before = termios.tcgetattr(0)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: self.wake()),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._suspend),
            **{one: signal.signal(one, _stop) for one in (signal.SIGTERM, signal.SIGHUP)},
        }
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._give_back()

    def _take(self) -> None:
        tty.setcbreak(0)
        self._shown = None
        self._put(_ENTER)

    def _give_back(self) -> None:
        self._put(_LEAVE)
        # The terminal may be gone.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _suspend(self, number: int, _: object) -> None:
        """Give the terminal to the shell, and take it again when this is continued."""
        self._give_back()
        before = signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        signal.signal(number, before)
        self._take()
        self.wake()

    @staticmethod
    def size() -> tuple[int, int]:
        """Return columns and lines."""
        return shutil.get_terminal_size()

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines, each no wider than the screen."""
        if lines != self._shown:
            self._shown = lines
            shown = (calm(self._mask(line)) for line in lines)
            self._put(_BEGIN + "\r\n".join(f"{line}{_TO_THE_END}" for line in shown) + _END)

    def wake(self) -> None:
        """End the wait of `key`, from whatever thread."""
        with contextlib.suppress(OSError):
            os.write(self._waker, b"w")

    def key(self, seconds: float | None) -> str:
        """Wait for a key; "" where somebody wakes this, or after so many seconds. A closed terminal is "q"."""
        ready, _, _ = select.select([0, self._woken], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        if 0 not in ready:
            return ""
        return os.read(0, 1).decode("ascii", "replace") or "q"

    @staticmethod
    def _put(text: str) -> None:
        # Whoever looks may have gone.
        with contextlib.suppress(OSError):
            sys.stdout.write(text)
            sys.stdout.flush()


def _stop(number: int, _: object) -> None:
    raise Stopped(number)
