"""The reference's log on stderr: lines with a time, or one JSON object an event."""

from __future__ import annotations

import json
import platform
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from devbox.masking import calm, calm_json
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.errors import DevboxError

# As the events of `--log-format json` number them.
TRACE, DEBUG, INFO, WARNING, ERROR = 1, 2, 3, 4, 5
LEVELS = {"trace": TRACE, "debug": DEBUG, "info": INFO, "error": ERROR}


# What the reference says where a container is made or started: tools that read its log look for it.
_STARTING = "Starting container"
_STARTED = ("Creating the container ", "Starting the container ")


class Log(Silent):
    """A reporter that writes the log, and cannot be asked anything."""

    def __init__(self, *, level: str = "info", json_lines: bool = False) -> None:
        """Take the level from which on lines are written, and whether they are JSON, which has all of them."""
        super().__init__()
        self.verbose = level != "info"
        self._level = LEVELS[level]
        self._json = json_lines

    def header(self, version: str) -> None:
        """Say what writes this log."""
        host = platform.uname()
        self._write(
            "text",
            f"devbox {version}. Python {platform.python_version()}. {host.system.lower()} {host.release} "
            f"{host.machine}.",
            INFO,
        )

    def info(self, text: str) -> None:
        """Say one line."""
        self._write("text", text, INFO)

    def warn(self, text: str) -> None:
        """Say one line that should not be missed."""
        self._write("text", text, WARNING)

    def failed(self, error: DevboxError) -> None:
        """Say what failed, and what to do about it."""
        lines = [*(error.detail or "").splitlines(), f"Error: {error.message}"]
        if error.hint:
            lines.append(f"hint: {error.hint}")
        for line in lines:
            self._write("text", line, ERROR)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say that `title` begins and, for those who look closely, that it ended."""
        title = _STARTING if title.startswith(_STARTED) else title
        begun = self._write("start", title, INFO)
        try:
            yield
        finally:
            self._write("stop", title, DEBUG, begun=begun)

    def output(self, line: str, *, prefix: str = "") -> None:  # noqa: ARG002  # a protocol's signature
        """Pass on one line of an inner command's output."""
        self._write("raw", line, INFO)

    def _write(self, kind: str, text: str, level: int, *, begun: int | None = None) -> int:
        """Write an event, if somebody wants it, and return its time in milliseconds."""
        now = time.time_ns() // 1_000_000
        # Whoever reads the log may have gone: what was to be done is done all the same.
        with suppress(OSError):
            self._say(kind, self.mask(text), level, now, begun)
        return now

    def _say(self, kind: str, text: str, level: int, now: int, begun: int | None) -> None:
        if self._json:
            event: dict[str, object] = {"type": kind, "level": level, "timestamp": now, "text": text}
            if begun is not None:
                event["startTimestamp"] = begun
            sys.stderr.write(f"{calm_json(json.dumps(event, ensure_ascii=False))}\n")
        elif level >= self._level:
            moment = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
            word = {"start": "Start: ", "stop": f"Stop ({now - (begun or now)} ms): "}.get(kind, "")
            shown = calm(text, colours=kind == "raw")
            sys.stderr.write(f"[{moment.removesuffix('+00:00')}Z] {word}{shown}\n")
        sys.stderr.flush()
