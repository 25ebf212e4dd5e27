"""The user's ssh-agent inside the container, by a path that stays.

`$SSH_AUTH_SOCK` is another path after each login, and a container keeps the mounts that it was made with. So the
contract mounts a folder of devbox's, and in it a small proxy (`ssh_proxy`) listens for the containers and passes each
connection on to the agent of the session that used devbox last. `up`, `shell` and `exec` see that it runs; it ends by
itself. Keys never leave the agent.

`exec` comes here each time, so this module imports next to nothing.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path as RealPath
from typing import TYPE_CHECKING

from devbox.files import private_folder
from devbox.lean import stored
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from socket import socket

    from devbox.devcontainer.model import Contract
    from devbox.facts.model import EngineFacts

SOCKET = "agent.sock"
CHECK_SECONDS = 60.0
_KEPT = 8
_BACKLOG = 64


def mounted_folder() -> Path:
    """Return the folder on the host that contracts mount read-only: it holds the proxy's socket and nothing else."""
    return state_dir() / "ssh" / "mounted"


def prepare() -> Path:
    """Make the folder that contracts mount, for its owner alone, and return it. Raises OSError."""
    folder = mounted_folder()

    private_folder(folder.parent)
    return private_folder(folder)


def folder_for(facts: EngineFacts, *, wanted: bool) -> Path | None:
    """Return the folder that a personal contract mounts, which `prepare` makes; None where none can work.

    A socket works through a bind mount only where the engine and the agent share a kernel.
    """
    if not wanted or not facts.local or sys.platform != "linux" or "Docker Desktop" in facts.operating_system:
        return None
    return mounted_folder()


def missing(contract: Contract) -> tuple[Path, ...]:
    """Return the folder if `contract` mounts it and it is not there: the engine makes no folder for a bind mount."""
    folder = mounted_folder()
    mounted = any(isinstance(mount, str) and str(folder) in mount for mount in contract.config.get("mounts", ()))
    return (folder,) if mounted and not folder.is_dir() else ()


def ensure(environ: Mapping[str, str], *, check_seconds: float = CHECK_SECONDS) -> bool:
    """See that containers reach the ssh-agent that `environ` names; return whether a proxy runs.

    Nothing is done without an agent, and where no contract has asked for the folder. What goes wrong is no reason for
    a command to fail: then there is no agent inside. `check_seconds` is how often the proxy looks whether it is still
    of use.
    """
    agent = environ.get("SSH_AUTH_SOCK", "")
    folder = mounted_folder()
    socket = folder / SOCKET
    try:
        # Inside a container, the agent may be the proxy itself.
        if not agent.startswith("/") or "\n" in agent or agent == str(socket) or not folder.is_dir():
            return False
        _remember(folder.parent / "agents", agent)
        return _start(folder, check_seconds)
    except OSError:
        return False


def _remember(path: Path, agent: str) -> None:
    """Put `agent` first in the list of agents, newest first."""
    try:
        known = stored(path).decode("utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        known = []
    if known[:1] == [agent]:
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    agents = [agent, *(one for one in known if one != agent)][:_KEPT]
    beside.write_text("".join(f"{one}\n" for one in agents), encoding="utf-8")
    beside.replace(path)


def _start(folder: Path, check_seconds: float) -> bool:
    """Start the proxy unless one runs.

    The lock says so: the proxy inherits it, and the kernel drops it with the proxy's death. The socket listens before
    the proxy has started, so that a connection that is made at once waits and does not fail.
    """
    lock = os.open(folder.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True

        from socket import AF_UNIX, socket

        with socket(AF_UNIX) as listener:
            _listen(listener, folder)
            for number in (lock, listener.fileno()):
                os.set_inheritable(number, True)  # noqa: FBT003  # it takes no keyword
            program = str(RealPath(__file__).with_name("ssh_proxy.py"))
            arguments = map(str, (lock, listener.fileno(), check_seconds, folder))
            command = [sys.executable, "-I", "-S", program, *arguments]
            quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
            # A session of its own: a Ctrl-C in this terminal is not meant for it.
            os.posix_spawn(sys.executable, command, {}, file_actions=quiet, setsid=True)
        return True
    finally:
        os.close(lock)


def _listen(listener: socket, folder: Path) -> None:
    """Bind the socket in `folder`, in the place of one that a dead proxy left.

    Its address goes through a descriptor of the folder: the whole path may be longer than the 107 bytes of an address.
    """
    (folder / SOCKET).unlink(missing_ok=True)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{place}/{SOCKET}")
    finally:
        os.close(place)
    (folder / SOCKET).chmod(0o600)
    listener.listen(_BACKLOG)
