"""A socket that speaks BuildKit's gRPC, backed by the BuildKit inside a dockerd: `buildkit.py LISTEN DOCKER`.

It stands for a buildkitd of its own, which Debian has no package of: `POST /grpc` makes an engine's connection one to
its BuildKit, and then bytes go both ways.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and its end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(client: socket.socket, docker: str) -> None:
    """Connect a client with the engine's BuildKit."""
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(docker)
    engine.sendall(_UPGRADE)
    head = b""
    while b"\r\n\r\n" not in head:
        head += engine.recv(1)
    threading.Thread(target=pump, args=(client, engine), daemon=True).start()
    pump(engine, client)


def main(listen: str, docker: str) -> None:
    """Serve until the process is ended."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(listen)
        server.listen(64)
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client, docker), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
