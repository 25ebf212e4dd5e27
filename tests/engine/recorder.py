"""Stands between a client and the engine."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

from devbox.engine.api import DEFAULT_SOCKET, ask_socket

if TYPE_CHECKING:
    from pathlib import Path


class Recorder:
    """A socket before the engine's, at a path or else at a port of this machine, which keeps what passes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.asked, self.answered = b"", b""
        self._listening = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._listening.bind(("127.0.0.1", 0) if path is None else str(path))
        name = self._listening.getsockname()
        self.host = f"tcp://127.0.0.1:{name[1]}" if path is None else f"unix://{path}"
        self._listening.listen()
        self._open = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                self._open += [client, engine]
                engine.connect(DEFAULT_SOCKET)
                for pair in ((client, engine, "asked"), (engine, client, "answered")):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                setattr(self, name, getattr(self, name) + data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

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

    def close(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
