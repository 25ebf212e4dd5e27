"""An engine that is reached by ssh, as a socket on this machine: one connection, for this command and the next ones.

The docker CLI starts an ssh for each of its calls. Here OpenSSH's own sharing of connections is used (ControlMaster,
ssh_config(5)): the first command connects, a master stays behind for `PERSIST_SECONDS` after the last use, and what
comes to the socket is forwarded to the engine's. Everything that a person may have configured for the host holds: keys,
jumps, agents. Nothing but this user may enter the folder.
"""

from __future__ import annotations

import os

from devbox.agent.hashes import sha256
from devbox.engine.api import FOUND, ask_socket
from devbox.errors import EngineError, last_lines
from devbox.paths import runtime_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PERSIST_SECONDS = 600
_CONNECT_SECONDS = 30
_USUAL = "/var/run/docker.sock"
# The longest address of a unix socket is 107 bytes, and ssh adds 17 to that of its control socket at first.
_LONGEST = 107 - 17
# Characters of a hash in the name of a control socket.
_NAME = 8
# What the other machine's docker would use: where that is not the usual socket, such as a rootless engine's.
_WHERE = """echo "${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)}\""""


def socket_to(url: str) -> str:
    """Return the socket by which the engine at `url` (`ssh://[USER@]HOST[:PORT][/SOCKET]`) is reached.

    Costs one question to the engine where a connection is there. Raises EngineError with what ssh said.
    """
    folder = _folder(url)
    socket = f"{folder}/engine"
    if os.path.lexists(folder):
        _must_be_own(folder, url)
        if _answers(socket):
            return socket
    from pathlib import Path

    from devbox.files import lock, private_folder

    private_folder(Path(folder))
    _must_be_own(folder, url)
    with lock(Path(folder, "lock"), on_wait=lambda _: None):
        answers = _answers(socket)
        if not answers:
            _connect(url, folder, socket, is_slow=answers is None)
    return socket


def _folder(url: str) -> str:
    name = sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    folder = f"{runtime_folder()}/engines/{name}"
    return folder if len(folder) + 2 * _NAME + len("/p-") <= _LONGEST else f"/tmp/devbox-{os.getuid()}/{name}"  # noqa: S108


def _answers(socket: str) -> bool | None:
    """Tell whether an engine answers; None where nothing comes in time."""
    try:
        return ask_socket(socket, "/_ping")[0] == FOUND
    except TimeoutError:
        return None
    except OSError:
        return False


def _lives(argv: list[str]) -> bool:
    """Tell whether the other machine is reached by the connection that is there: no other one is made for that."""
    from devbox.engine import process

    try:
        return process.run([*argv[:1], "-o", "ProxyCommand=false", *argv[1:], "true"], check=False, timeout=10).ok
    except process.NoAnswerError:
        return False


def _connect(url: str, folder: str, socket: str, *, is_slow: bool) -> None:
    """Start the master, and have it forward the socket. One that `is_slow` stays while the other machine is reached."""
    from devbox.engine import process

    host, destination, there = _destination(url)
    control = f"{folder}/control"
    mux = ["ssh", "-S", control]
    if is_slow and _lives([*mux, *destination]):
        # Other commands use the connection: to make it anew would end them.
        raise EngineError(f"the Docker engine on {host} takes too long to answer", hint="export DEVBOX_TIMEOUT=60")
    process.run([*mux, "-O", "exit", *destination], check=False, timeout=_CONNECT_SECONDS)
    for left in (control, socket):
        if os.path.lexists(left):
            os.unlink(left)  # noqa: PTH108
    code, told = _master(control, str(PERSIST_SECONDS), (), destination)
    if code != 0:
        raise EngineError(f"{host} is not reached by ssh", hint=f"ssh {' '.join(destination)}", detail=last_lines(told))
    if not there:
        found = process.run([*mux, *destination, _WHERE], check=False, timeout=_CONNECT_SECONDS).stdout.strip()
        there = found.removeprefix("unix://") if found.startswith("unix://") else _USUAL
    forwarded = process.run(
        [*mux, "-O", "forward", "-L", f"{socket}:{there}", *destination], check=False, timeout=_CONNECT_SECONDS
    )
    if not forwarded.ok or not _answers(socket):
        process.run([*mux, "-O", "exit", *destination], check=False, timeout=_CONNECT_SECONDS)
        raise EngineError(
            f"no Docker engine answers at {there} on {host}",
            hint=f"ssh {' '.join(destination)} docker version   # is it there, and may you use it?",
            detail=last_lines(forwarded.stderr) or None,
        )


def forward(url: str, key: str, container: str, ports: Sequence[str]) -> tuple[int, ...] | None:
    """Have `ports`, as ssh's `-L` takes them, lead to the engine's machine until `unforward`; return those taken here.

    They have a connection of their own, which ends with no command: the engine's is left when nothing uses it. `key`
    names them; None where this very list of the same `container` is forwarded already. Raises EngineError.
    """
    import re
    from pathlib import Path

    from devbox.engine import process
    from devbox.files import lock, private_folder

    folder = _folder(url)
    host, destination, _ = _destination(url)
    digest = sha256("\0".join([container, *ports]).encode()).hexdigest()[:_NAME]
    control = f"{folder}/p{key[:_NAME]}-{digest}"
    private_folder(Path(folder))
    _must_be_own(folder, url)
    with lock(Path(folder, "lock"), on_wait=lambda _: None):
        if process.run(["ssh", "-S", control, "-O", "check", *destination], check=False, timeout=_CONNECT_SECONDS).ok:
            return None
        unforward(url, key)
        code, told = _master(control, "no", [word for port in ports for word in ("-L", port)], destination)
    if code != 0:
        raise EngineError(f"{host} is not reached by ssh", hint=f"ssh {' '.join(destination)}", detail=last_lines(told))
    return tuple(map(int, re.findall(r"cannot listen to port: (\d+)", told)))


def unforward(url: str, key: str) -> None:
    """End what was forwarded under this key, if anything was."""
    folder = _folder(url)
    try:
        left = [name for name in os.listdir(folder) if name.startswith(f"p{key[:_NAME]}-")]  # noqa: PTH208
    except OSError:
        return
    for name in left:
        from devbox.engine import process

        ending = ["ssh", "-S", f"{folder}/{name}", "-O", "exit", *_destination(url)[1]]
        if not process.run(ending, check=False, timeout=_CONNECT_SECONDS).ok and os.path.lexists(f"{folder}/{name}"):
            # Its master is gone.
            os.unlink(f"{folder}/{name}")  # noqa: PTH108


def _master(control: str, persist: str, more: Sequence[str], destination: Sequence[str]) -> tuple[int, str]:
    """Leave a master behind; return ssh's exit code, and what it said."""
    import tempfile

    from devbox.engine import process

    options = (
        *(f"ControlPersist={persist}", f"ConnectTimeout={_CONNECT_SECONDS}", "ServerAliveInterval=15"),
        *("RemoteCommand=none", "StreamLocalBindMask=0177"),
    )
    flags = [word for option in options for word in ("-o", option)]
    # It stays, and would hold a pipe open.
    with tempfile.TemporaryFile() as said:
        code = process.leave(["ssh", "-M", "-N", "-f", "-S", control, *flags, *more, *destination], said)
        said.seek(0)
        return code, said.read().decode("utf-8", "replace")


def _destination(url: str) -> tuple[str, list[str], str]:
    """Return the host, the arguments that name it to ssh, and the engine's socket there, if any."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or host.startswith("-"):
        raise EngineError(f"'{url}' names no host", hint="ssh://USER@HOST[:PORT]")
    options = ["-p", str(port)] if port else []
    # As written: a name of ssh's configuration has capitals, too.
    written = parts.netloc.rpartition("@")[2]
    host = (written if port is None and not written.endswith(":") else written.rpartition(":")[0]).strip("[]")
    user = ["-l", unquote(parts.username)] if parts.username else []
    return host, [*options, *user, "--", host], "" if parts.path == "/" else unquote(parts.path)


def _must_be_own(folder: str, url: str) -> None:
    """See that nobody else can put a socket there. Raises EngineError."""
    status = os.lstat(folder)
    above = os.lstat(os.path.dirname(folder))  # noqa: PTH120
    if any(one.st_uid != os.getuid() or one.st_mode & 0o077 for one in (status, above)):
        raise EngineError(f"{folder}, for the connection to {url}, is not yours alone", hint=f"ls -ld {folder}")
