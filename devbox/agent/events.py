"""How the agent speaks to its client: one event of the protocol a line, on stdout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import protocol

if TYPE_CHECKING:
    from .protocol import Event


class AgentError(Exception):
    """A foreseen failure, told to the client as a sentence, a hint that can be typed, and the error's code."""

    def __init__(self, message: str, *, hint: str | None = None, code: str = "build") -> None:
        """Take the sentence without a full stop."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Events:
    """The agent's side of the conversation. A client that is gone is no error: the lifeline tells of it."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor

    def send(self, event: Event) -> None:
        """Say one thing."""
        line = event.to_line().encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            self._descriptor = -1

    def phase(self, title: str, step: str = "") -> None:
        """Say that something begins that takes a while."""
        self.send(protocol.Phase(title=title, step=step))

    def info(self, text: str) -> None:
        """Say one line."""
        self.send(protocol.Info(text=text))

    def warn(self, text: str) -> None:
        """Say one line that should not be missed."""
        self.send(protocol.Warn(text=text))

    def output(self, line: str, source: str, step: str = "") -> None:
        """Pass on one line that the program `source` wrote, in the build step with the title `step`."""
        self.send(protocol.Output(line=line, source=source, **({"step": step} if step else {})))
