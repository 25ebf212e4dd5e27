"""sccache's server: one a container and configuration, on a Unix socket that only this user can reach."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from ..files import remove
from ..hashes import sha256
from ..tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .setup import Cache

# What is compiled for a build tree has its path in this variable.
TREE = "DEVBOX_BUILD_TREE"
START_SECONDS = 12.0
IDLE_SECONDS = 3600


def socket_path(cache: Cache) -> str:
    """Return where the server of this configuration listens: in the container, where only this user may go."""
    identity = json.dumps([cache.folder, cache.size, cache.storage.values(), cache.group], sort_keys=True)
    name = sha256(identity.encode()).hexdigest()[:16]
    return f"/tmp/devbox-sccache-{os.getuid()}/{name}"  # noqa: S108  # the folder is looked at before it is used


def start(cache: Cache) -> str | None:
    """Start the server unless it answers already; return why it did not start, if so.

    Its credentials are in its environment, and a key file in memory. The compilers see neither.
    """
    path = socket_path(cache)
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        return f"{folder} belongs to somebody else"
    with _locked(f"{path}.lock"):
        if _answers(path):
            return None
        remove([path])
        environ = _server_environment(cache)
        keys = [_in_memory(text) for text in cache.storage.files.values()]
        environ.update(zip(cache.storage.files, (f"/proc/self/fd/{key}" for key in keys)))
        os.makedirs(cache.folder, exist_ok=True)
        said = os.memfd_create("sccache")
        mask = os.umask(0o002 if cache.group else 0o022)
        try:
            server = subprocess.Popen(
                [cache.program], env=environ, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=said, start_new_session=True, pass_fds=keys,
            )  # fmt: skip
        finally:
            os.umask(mask)
            for key in keys:
                os.close(key)
        try:
            return _await_server(server, path, said)
        finally:
            os.close(said)


def _server_environment(cache: Cache) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SCCACHE_")}
    environ.update(cache.storage.variables)
    environ.update(cache.storage.secrets)
    environ.update(
        SCCACHE_SERVER_UDS=socket_path(cache),
        SCCACHE_START_SERVER="1",
        SCCACHE_NO_DAEMON="1",
        SCCACHE_IDLE_TIMEOUT=str(IDLE_SECONDS),
    )
    if not cache.storage.variables:
        environ.update(SCCACHE_DIR=cache.folder, SCCACHE_CACHE_SIZE=cache.size)
    return environ


def _in_memory(text: str) -> int:
    """Return a descriptor of a file that is nowhere on disk."""
    descriptor = os.memfd_create("key")
    os.write(descriptor, text.encode())
    return descriptor


def _await_server(server: subprocess.Popen[bytes], path: str, said: int) -> str | None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _answers(path):
            server.returncode = 0  # it is to outlive this process: nobody waits for it
            return None
        if server.poll() is not None:
            return reason(os.pread(said, 1 << 16, 0).decode("utf-8", "replace")) or (
                f"it ended with exit code {server.returncode}"
            )
        time.sleep(0.02)
    server.kill()
    server.wait()
    return f"it did not answer within {START_SECONDS:.0f} s, as if its storage could not be reached"


def reason(text: str) -> str:
    """Return why a server ended, in what it wrote: the first sentence of the error, and that of its source.

    What it was about and where in the program that was stand between and behind them.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    said = [line.partition("sccache: ")[2] or line for line in lines if "error" in line.lower()][:1] or lines[-1:]
    if "Source:" in lines[:-1]:
        said.append(lines[lines.index("Source:") + 1])
    return ": ".join(dict.fromkeys(said))


def _answers(path: str) -> bool:
    import socket  # loads slowly, and only sccache needs it

    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def statistics(cache: Cache) -> Mapping[str, Any]:
    """Return what the server says of itself; empty if none runs."""
    path = socket_path(cache)
    if not _answers(path):
        return {}
    text = run([cache.program, "--show-stats", "--stats-format=json"], {**os.environ, "SCCACHE_SERVER_UDS": path})
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def stop(cache: Cache) -> None:
    """Stop the server, if one runs."""
    path = socket_path(cache)
    if _answers(path):
        run([cache.program, "--stop-server"], {**os.environ, "SCCACHE_SERVER_UDS": path})
    remove([path])


def end_compiles(tree: str) -> None:
    """End what the server compiles for a build tree: it outlives the commands that asked for it."""
    for pid in _processes_of(tree):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _processes_of(tree: str) -> list[int]:
    """Return the processes whose environment names a build tree."""
    mark = os.fsencode(f"{TREE}={tree}")
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as stream:
                if mark in stream.read().split(b"\0"):
                    found.append(int(name))
    return found
