"""Stands between a client and the engine."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

from bench.engine import Relay
from devbox.engine.api import DEFAULT_SOCKET, ask_socket

if TYPE_CHECKING:
    from pathlib import Path


class Recorder(Relay):
    """A socket before the engine's, at a path or else at a port of this machine, which keeps what passes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.asked, self.answered = b"", b""
        listening = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        listening.bind(("127.0.0.1", 0) if path is None else str(path))
        self.host = f"tcp://127.0.0.1:{listening.getsockname()[1]}" if path is None else f"unix://{path}"
        super().__init__(listening, DEFAULT_SOCKET)

    def passes(self, connection: int, data: bytes, *, asked: bool) -> None:
        if asked:
            self.asked += data
        else:
            self.answered += data

    def created(self) -> dict[str, Any]:
        """Return what was asked when a command was prepared, without what is so by default."""
        found = re.search(rb"POST \S*/containers/[^/ ]+/exec HTTP.*?\r\n\r\n", self.asked, re.DOTALL)
        assert found is not None
        body = json.JSONDecoder().raw_decode(self.asked[found.end() :].decode())[0]
        return {name: value for name, value in body.items() if value not in (None, False, "", [])}

    def inspected(self) -> dict[str, Any]:
        """Return what the engine knows of the command, without what differs each time."""
        found = re.search(rb'"Id":"([0-9a-f]{64})"\}', self.answered)
        assert found is not None
        known = json.loads(ask_socket(DEFAULT_SOCKET, f"/exec/{found[1].decode()}/json")[1])
        return {name: value for name, value in known.items() if name not in {"ID", "Pid"}}
