"""The proxy between containers and the user's ssh-agents: a program of its own, started by `agent`.

    python -I -S ssh_proxy.py LOCK LISTENER SECONDS FOLDER

LOCK is a descriptor that is held while it runs, LISTENER the listening socket in FOLDER. Beside FOLDER lies `agents`:
the agents' sockets, newest first. A connection goes to the first of them that answers. Every SECONDS, the proxy looks
whether one of them does; if none, it ends, and the socket goes with it, so that `ssh` inside says: no agent.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from pathlib import Path

_CHUNK = 1 << 16
_CONNECT_SECONDS = 5.0


def connect(agents: Path) -> socket.socket | None:
    """Return a connection to the first of the listed agents that answers, or None."""
    try:
        # A pipe in its place is empty, and not waited for.
        with open(agents, encoding="utf-8", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
            paths = stream.read(_CHUNK).splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for path in paths:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            continue
        connection.settimeout(None)
        return connection
    return None


def relay(client: socket.socket, agents: Path) -> None:
    """Pass bytes on between a client and an agent until one of them has closed its end."""
    with client:
        agent = connect(agents)
        if agent is None:
            return
        with agent:
            other = {client: agent, agent: client}
            try:
                while True:
                    for ready in select.select(list(other), [], [])[0]:
                        data = ready.recv(_CHUNK)
                        if not data:
                            return
                        other[ready].sendall(data)
            except OSError:
                return


def serve(listener: socket.socket, folder: Path, seconds: float) -> None:
    """Accept connections until no agent answers any more, or the socket in `folder` is no longer this one."""
    agents = folder.parent / "agents"
    path = folder / "agent.sock"
    mine = path.stat().st_ino
    while True:
        if select.select([listener], [], [], seconds)[0]:
            client, _ = listener.accept()
            threading.Thread(target=relay, args=(client, agents), daemon=True).start()
            continue
        if not path.exists() or path.stat().st_ino != mine:
            return
        agent = connect(agents)
        if agent is None:
            path.unlink(missing_ok=True)
            return
        agent.close()


def main() -> None:
    """Serve as the arguments say."""
    lock, listener, seconds, folder = sys.argv[1:]
    os.ftruncate(int(lock), 0)
    os.pwrite(int(lock), f"process {os.getpid()}\n".encode(), 0)
    # Nobody's folder is kept busy.
    os.chdir("/")
    with socket.socket(fileno=int(listener)) as sock:
        try:
            serve(sock, Path(folder), float(seconds))
        except OSError:
            return


if __name__ == "__main__":
    main()
