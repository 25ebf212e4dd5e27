"""The terminal: talk on stderr, colour and movement only where somebody looks, plain lines in a log."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from devbox.masking import Mask, calm, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devbox.ui.progress import Bar

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
_CLEAR_LINE = "\r\x1b[K"
_KEEP_TITLE, _GIVE_BACK_TITLE = "\x1b[22;0t", "\x1b[23;0t"
_PLAIN_PROGRESS_SECONDS = 5.0
# So many of the files that are being compiled are named in a line, those that take the longest.
_PLAIN_FILES = 3
# Carriage returns, and the sequences of terminals that are no colours.
_MOVES = re.compile(r"\r|\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b[\]P^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-Z\\^_`-~]")


def seconds(value: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, what: str) -> str:
    """Return a number of things: `1 object`, `2 objects`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(value: float) -> str:
    """Return a number of bytes for people, in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


class Console:
    """The `Reporter` of the command line. It keeps the warnings, for the JSON envelope.

    All that it writes goes through its `mask`, and what a terminal would act on is written out, whoever has said it: a
    text may come from a checkout, an image, a registry or an engine. So does what the application writes beside it.
    Several threads may pass output on at a time.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        environ: Mapping[str, str],
        quiet: bool = False,
        verbose: bool = False,
        yes: bool = False,
        asks: bool = True,
    ) -> None:
        """`quiet` leaves warnings and errors; `verbose` shows every line of inner commands; `yes` answers questions."""
        self._stream = sys.stderr if stream is None else stream
        self.warnings: list[str] = []
        self.mask = Mask()
        self._lock = threading.RLock()
        terminal = self._stream.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI")
        self._live = terminal
        self._colour = terminal and not environ.get("NO_COLOR")
        self.quiet = quiet
        self.verbose = verbose
        self.yes = yes
        self._asks = asks and sys.stdin.isatty() and self._stream.isatty()
        self._tail = False
        self._bar: Bar | None = None
        self._titled = False
        self._said_progress = 0.0

    def paint(self, text: str, style: str) -> str:
        """Return `text` in an ANSI style where colours are shown, else as it is."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text

    def info(self, text: str) -> None:
        """Say one line."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """Say one line that should not be missed, and keep it."""
        text = self.mask(text)
        if text not in self.warnings:
            self.warnings.append(text)
            self._line(f"{self.paint('warning:', YELLOW)} {text}")

    def error(self, message: str, *, hint: str | None = None, detail: str | None = None) -> None:
        """Say what failed: further output first, then the sentence, then what to type next."""
        if detail:
            for line in detail.splitlines():
                self._line(f"  {self.paint(line, DIM)}")
        self._line(f"{self.paint('error:', RED)} {message}")
        if hint:
            self._line(f"{self.paint('hint:', CYAN)} {hint}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that `title` is under way, and how long it took."""
        begun = time.monotonic()
        if not self.quiet:
            if self._live:
                self._show_tail(f"{self.paint('•', CYAN)} {title} …")
            else:
                self._line(f"• {title} …")
        try:
            yield
        except BaseException as error:
            if not self.quiet:
                from devbox.reporter import PassedOverError

                passed = isinstance(error, PassedOverError)
                self._line(f"{self.paint('-', YELLOW) if passed else self.paint('✗', RED)} {title}")
            raise
        if not self.quiet:
            self._line(f"{self.paint('✓', GREEN)} {title} {self.paint(seconds(time.monotonic() - begun), DIM)}")

    def output(self, line: str, *, prefix: str = "") -> None:
        """Pass on a line of an inner command: each in a log or with `--verbose`, else only the newest, in one place."""
        if self.quiet:
            return
        # Masked before it is cut to the terminal's width: a part of a secret is one, too.
        # What moves the cursor would write over lines that are devbox's own.
        line = _MOVES.sub("", line)
        text = self.mask(f"{prefix} │ {line}" if prefix else line)
        if self._live and not self.verbose:
            self._show_tail(self.paint(f"  {_fit(text, -2)}", DIM), colours=True)
        else:
            self._line(text, colours=True)

    def progress(
        self, done: int, total: int, *, eta: float | None = None, running: Sequence[str] = (), least: bool = False
    ) -> None:
        """Show a build's progress: a bar on a terminal, now and then a line in a log."""
        if self.quiet:
            return
        left = "" if eta is None else f"{'at least ' if least else ''}{seconds(eta)} left"
        if self._live:
            if self._bar is None:
                from devbox.ui.progress import Bar

                self._forget_tail()
                self._bar = Bar(self._stream, colour=self._colour)
            self._bar.update(done, total, left=left, running=running)
            if done >= total:
                self._end_bar()
            return
        now = time.monotonic()
        if done < total and now - self._said_progress < _PLAIN_PROGRESS_SECONDS:
            return
        self._said_progress = now
        left = f", {left}" if left and done < total else ""
        more = [f"+{len(running) - _PLAIN_FILES}"] if len(running) > _PLAIN_FILES else []
        self._line(f"[{done}/{total}]{left}{': ' if running else ''}{', '.join([*running[:_PLAIN_FILES], *more])}")

    def confirm(self, question: str, *, shown: Sequence[str] = ()) -> bool | None:
        """Ask yes or no, below the lines `shown`, in full; `--yes` says yes. None where nobody can be asked.

        A terminal cuts a question at its edge, and acts on what it is sent: so what is shown comes before, written out.
        """
        if self.yes:
            return True
        if not self._asks:
            return None
        import questionary

        self._forget_tail()
        for line in shown:
            self._line(visible(line))
        answer: bool | None = questionary.confirm(visible(self.mask(question)), default=False).ask()
        return bool(answer)

    def choose(self, question: str, choices: Sequence[str]) -> str | None:
        """Ask for one of `choices`. None where nobody can be asked, or who was asked walked away."""
        if not self._asks:
            return None
        import questionary

        self._forget_tail()
        offers = [questionary.Choice(visible(self.mask(one)), value=one) for one in choices]
        answer: str | None = questionary.select(visible(self.mask(question)), choices=offers).ask()
        return answer

    def title(self, text: str | None) -> None:
        """Set the terminal's title; None gives it back the one it had."""
        if not self._live:
            return
        if text is not None:
            # xterm keeps a stack of titles; terminals without one ignore what they do not know.
            keep = "" if self._titled else _KEEP_TITLE
            self._put(f"{keep}\x1b]0;{''.join(filter(str.isprintable, text))}\x07")
        elif self._titled:
            self._put(_GIVE_BACK_TITLE)
        self._titled = text is not None

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._end_bar()
        self._forget_tail()

    def _line(self, text: str, *, colours: bool = False) -> None:
        with self._lock:
            self._end_bar()
            self._forget_tail()
            # A further line cannot be taken for one of devbox's own.
            shown = calm(self.mask(text).expandtabs(8), colours=colours).replace("\n", "\n  ")
            self._put(f"{shown}\n")

    def _show_tail(self, text: str, *, colours: bool = False) -> None:
        with self._lock:
            if self._bar is not None:
                return
            shown = calm(self.mask(text), colours=colours).replace("\n", " ")
            self._put(f"{_CLEAR_LINE}{shown}")
            self._tail = True

    def _forget_tail(self) -> None:
        if self._tail:
            self._put(_CLEAR_LINE)
            self._tail = False

    def _put(self, text: str) -> None:
        # Whoever listens may have gone, or a disk be full: what was to be done is done all the same.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _fit(text: str, slack: int = 0) -> str:
    import shutil

    width = max(20, shutil.get_terminal_size().columns + slack - 1)
    clean = text.expandtabs(4).replace("\r", "")
    return clean if len(clean) <= width else f"{clean[: width - 1]}…"
