"""ninja's conversation and files: its status lines, and the commands that it logged in a build."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from ..files import stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# A status line starts with a control character that no compiler prints: started, finished, total, and then the
# description.
MARK = "\x1d"
STATUS = f"{MARK}%s %f %t{MARK}"
# From version 1.12 on ninja foretells the seconds that are left, from how long each command took the last time.
STATUS_WITH_ETA = f"{MARK}%s %f %t %E{MARK}"
ERASE = "\x1b[K"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FAILED = re.compile(r"(\x1b\[[0-9;]*m)*FAILED: ")
OBJECTS = (".o", ".obj", ".cubin", ".fatbin", ".ptx", ".gch", ".pch", ".pcm")


class Failure(NamedTuple):
    """The first command that failed: what it makes, the command line, and what it wrote."""

    outputs: str
    command: str
    output: str


class Progress(NamedTuple):
    """How far ninja is: steps done and in all, what runs, and the titles of those that ended since the last time.

    `running` begins with what runs the longest. `eta` is ninja's own idea of the seconds that are left.
    """

    done: int
    total: int
    running: list[str]
    finished: list[str]
    eta: float | None = None


class Conversation:
    """Follows what ninja writes to a terminal: progress, and the output of commands.

    On a terminal ninja says when a command starts and when it ends; into a pipe, only when it ends.
    """

    def __init__(self, on_progress: Callable[[Progress], None], on_line: Callable[[str], None]) -> None:
        self._on_progress = on_progress
        self._on_line = on_line
        self._rest = ""
        self._counts = (0, 0, 0)
        self._eta: float | None = None
        self._finished: list[str] = []
        self._moved = False
        self._running: list[str] = []
        self._block: list[str] | None = None
        self.failure: Failure | None = None
        # CMake's title of the step whose output is told: it follows the line that says that the step has ended.
        self.step = ""

    def feed(self, text: str) -> None:
        """Take the next piece of what ninja wrote; progress is told once for each piece."""
        *whole, self._rest = re.split("[\r\n]", self._rest + text)
        for line in whole:
            self._line(line)
        # A status line has no end until the next one overwrites it.
        if self._rest.startswith(MARK) and self._rest.endswith(ERASE):
            self._line(self._rest)
            self._rest = ""
        if self._moved:
            self._moved = False
            finished, self._finished = self._finished, []
            running = [short(one) for one in self._running]
            self._on_progress(Progress(*self._counts[1:], running, finished, self._eta))

    def end(self) -> None:
        """Take what was left without a line's end."""
        self._line(self._rest)
        self._rest = ""
        self._close_block()

    def _line(self, line: str) -> None:
        line = line.replace(ERASE, "")
        if line.startswith(MARK):
            self._close_block()
            self._status(line)
            return
        if not line:
            return
        if FAILED.match(line):
            line = COLOUR.sub("", line)
        if line.startswith("FAILED: ") and self.failure is None and self._block is None:
            self._block = []
        elif line.startswith(("ninja: build stopped", "ninja: error", "ninja: fatal")):
            self._close_block()
            if self.failure is None:
                self.failure = Failure("", "", line)
        if self._block is not None:
            self._block.append(line)
        self._on_line(line)

    def _close_block(self) -> None:
        if self._block:
            outputs = re.sub(r"^(\[code=\d+\] )?", "", self._block[0][len("FAILED: ") :]).strip()
            self.failure = self.failure or Failure(
                outputs, self._block[1] if len(self._block) > 1 else "", "\n".join(self._block[2:])
            )
            if "[code=137]" in self._block[0]:
                self.failure = self.failure._replace(output=f"{self.failure.output}\n[code=137]")
        self._block = None

    def _status(self, line: str) -> None:
        _, counts, title = line.split(MARK, 2)
        words = counts.split()
        try:
            started, finished, total = (int(word) for word in words[:3])
        except ValueError:
            return
        self._eta = _seconds(words[3]) if len(words) > 3 else None
        if started < self._counts[0] or finished < self._counts[1]:  # ninja ran cmake and started over
            self._counts = (0, 0, 0)
            self._running.clear()
        if finished > self._counts[1]:
            self._finished.append(f"[{finished}/{total}] {title}")
            self.step = title
            if title in self._running:
                self._running.remove(title)
        elif started > self._counts[0]:
            self._running.append(title)
        self._counts = (started, finished, total)
        self._moved = True


def _seconds(word: str) -> float | None:
    """Return the seconds in ninja's `%E`; it is `?` as long as ninja knows nothing."""
    try:
        return float(word)
    except ValueError:
        return None


def short(title: str) -> str:
    """Return what a person calls the step with CMake's title: the source file, or what is linked or generated."""
    match = re.search(r"\bobject (?:\S*\.dir/)?(\S+?)(?:\.o|\.obj)?$", title)
    return match.group(1) if match else title


class Command(NamedTuple):
    """A command in ninja's log that ran in this build: what it made, and from when to when, in seconds since then."""

    outputs: tuple[str, ...]
    start: float
    end: float

    @property
    def output(self) -> str:
        """Its first output, by which it is called."""
        return self.outputs[0]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return round(self.end - self.start, 3)


class LogMark(NamedTuple):
    """A place in .ninja_log: what was there before the build, and when that was, in nanoseconds since the epoch."""

    inode: int
    size: int
    time: int = 0


def mark_log(tree: str) -> LogMark:
    """Remember the end of the log."""
    known = stamp_of(os.path.join(tree, ".ninja_log"))
    return LogMark(known.inode, known.size, time.time_ns()) if known else LogMark(0, 0)


def logged(tree: str) -> int:
    """Return about how many outputs ninja's log knows a time of: one may have several lines."""
    try:
        with open(os.path.join(tree, ".ninja_log"), "rb") as stream:
            return max(0, stream.read().count(b"\n") - 1)
    except OSError:
        return 0


def commands_since(tree: str, mark: LogMark) -> list[Command]:
    """Return the commands that were logged after `mark`, in the order in which they ended.

    ninja appends; now and then it writes the log anew, and then those are taken whose outputs were written or touched
    after the mark: their own times may be those of a source, in the future where that is.
    """
    path = os.path.join(tree, ".ninja_log")
    known = stamp_of(path)
    if known is None:
        return []
    appended = known.inode == mark.inode and known.size >= mark.size
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        if appended:
            stream.seek(mark.size)
        lines = stream.read().splitlines()
    last: dict[str, list[str]] = {}
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 5 and (appended or _changed_since(os.path.join(tree, fields[3]), mark.time)):
            last.pop(fields[3], None)
            last[fields[3]] = fields
    # A command with several outputs has a line for each.
    outputs: dict[tuple[str, ...], list[str]] = {}
    for start, end, _, output, digest in last.values():
        outputs.setdefault((start, end, digest), []).append(output)
    logged = [(int(start), int(end), tuple(names)) for (start, end, _), names in outputs.items()]
    # A log that was written anew has no order.
    return _on_one_clock(logged if appended else sorted(logged, key=lambda one: one[1]))


def _on_one_clock(logged: Sequence[tuple[int, int, tuple[str, ...]]]) -> list[Command]:
    """Put several runs of ninja, each of which counts milliseconds from its own start, one behind the other.

    ninja logs a command when it ends, so a time that goes back is another run: ninja ran cmake and started over, or
    devbox ran it again.
    """
    found = []
    base = latest = 0
    for start, end, outputs in logged:
        if base + end < latest:
            base = latest
        latest = base + end
        found.append(Command(outputs, (base + start) / 1000, latest / 1000))
    return found


def slowest(commands: Iterable[Command]) -> list[Command]:
    """Return the commands, the slowest first."""
    return sorted(commands, key=lambda command: -command.seconds)


def _changed_since(path: str, time_ns: int) -> bool:
    known = stamp_of(path)
    return known is not None and known.ctime >= time_ns


def compiled(commands: Iterable[Command]) -> int:
    """Return how many of the commands made an object file."""
    return sum(command.output.endswith(OBJECTS) for command in commands)
