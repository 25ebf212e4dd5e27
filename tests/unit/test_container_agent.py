"""The proxy to the ssh-agent, with real agents: it follows the session, outlives agents, and ends by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.container.person import ssh_agent
from devbox.facts.model import EngineFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENTITIES = b"\x00\x00\x00\x01\x0b"  # SSH_AGENTC_REQUEST_IDENTITIES
LOCAL = EngineFacts("26.1", False, True, False, (), False, None)


class Agent:
    """An agent that answers each request with its name."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while client.recv(100):
                client.sendall(self.name.encode())

    def end(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @property
    def environ(self) -> dict[str, str]:
        return {"SSH_AUTH_SOCK": str(self.path)}


@pytest.fixture
def folder() -> Iterator[Path]:
    made = ssh_agent.prepare()
    yield made
    for number in running(made):
        os.kill(number, signal.SIGKILL)


@pytest.fixture
def start() -> Iterator[Callable[[str], Agent]]:
    # Addresses of sockets are short, and pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="devbox-test-") as short:
        yield lambda name: Agent(Path(short) / name, name)


def running(folder: Path) -> list[int]:
    """Return the proxies of a folder."""
    wanted = os.fsencode(folder)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in arguments:
            found.append(int(path.parent.name))
    return found


def ask(folder: Path) -> str:
    """Return what answers at the proxy's socket, "" if nobody does."""
    place = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(f"/proc/self/fd/{place}/agent.sock")
            client.sendall(IDENTITIES)
            return client.recv(100).decode()
    finally:
        os.close(place)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_connection_that_is_made_at_once_is_answered(folder: Path, start: Callable[[str], Agent]) -> None:
    first = start("first")
    assert ssh_agent.ensure(first.environ)
    assert ask(folder) == "first"
    assert len(running(folder)) == 1
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    # Another user, and another program of this one, cannot reach what lies beside the socket.
    assert [path.name for path in folder.iterdir()] == ["agent.sock"]


def test_the_session_that_used_devbox_last_is_asked_and_the_one_before_it_is_not_forgotten(
    folder: Path, start: Callable[[str], Agent]
) -> None:
    first, second = start("first"), start("second")
    ssh_agent.ensure(first.environ)
    ssh_agent.ensure(second.environ)
    assert ask(folder) == "second"
    assert len(running(folder)) == 1
    second.end()
    assert ask(folder) == "first"
    # Its agent was started again, at the same place.
    again = Agent(second.path, "again")
    assert ask(folder) == "again"
    ssh_agent.ensure(first.environ)
    assert ask(folder) == "first"
    again.end()


def test_a_socket_that_a_dead_proxy_left_is_replaced(folder: Path, start: Callable[[str], Agent]) -> None:
    first = start("first")
    ssh_agent.ensure(first.environ)
    assert ask(folder) == "first"
    (proxy,) = running(folder)
    os.kill(proxy, signal.SIGKILL)
    # Its command line is gone before its descriptors are closed. Once it can be waited for, so is all else.
    os.waitpid(proxy, 0)
    with pytest.raises(ConnectionRefusedError):
        ask(folder)
    assert ssh_agent.ensure(first.environ)
    assert ask(folder) == "first"


def test_it_ends_with_the_last_agent_and_takes_the_socket_along(folder: Path, start: Callable[[str], Agent]) -> None:
    first = start("first")
    ssh_agent.ensure(first.environ, check_seconds=0.2)
    assert ask(folder) == "first"
    first.end()
    until(lambda: not (folder / "agent.sock").exists())
    assert not ssh_agent.ensure({})
    second = start("second")
    until(lambda: ssh_agent.ensure(second.environ) and (folder / "agent.sock").exists())
    assert ask(folder) == "second"


def test_two_at_once_start_one_proxy(folder: Path, start: Callable[[str], Agent]) -> None:
    first = start("first")
    threads = [threading.Thread(target=ssh_agent.ensure, args=(first.environ,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(folder) == "first"
    assert len(running(folder)) == 1


def test_a_real_agent_tells_its_keys(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key], check=True)
    words = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    values = dict(word.partition(";")[0].split("=", 1) for word in words.splitlines() if "=" in word)
    try:
        environ = {**os.environ, **values}
        subprocess.run(["ssh-add", "-q", key], env=environ, check=True)
        ssh_agent.ensure(environ)
        # ssh's own address of the socket must be short, too.
        with tempfile.TemporaryDirectory(prefix="devbox-test-") as short:
            (Path(short) / "link").symlink_to(folder)
            inside = {**os.environ, "SSH_AUTH_SOCK": f"{short}/link/agent.sock"}
            listed = subprocess.run(["ssh-add", "-l"], env=inside, capture_output=True, text=True, check=True).stdout
        assert "mine" in listed
    finally:
        os.kill(int(values["SSH_AGENT_PID"]), signal.SIGTERM)


def test_nothing_is_done_without_an_agent_or_a_contract_that_asked(folder: Path, start: Callable[[str], Agent]) -> None:
    assert not ssh_agent.ensure({})
    assert not ssh_agent.ensure({"SSH_AUTH_SOCK": ""})
    assert not ssh_agent.ensure({"SSH_AUTH_SOCK": "relative"})
    assert not ssh_agent.ensure({"SSH_AUTH_SOCK": str(folder / "agent.sock")})
    folder.rmdir()
    assert not ssh_agent.ensure(start("first").environ)
    assert not running(folder)


def test_only_a_local_engine_gets_the_folder() -> None:
    from dataclasses import replace

    assert ssh_agent.folder_for(LOCAL, wanted=False) is None
    assert ssh_agent.folder_for(replace(LOCAL, local=False), wanted=True) is None
    assert ssh_agent.folder_for(replace(LOCAL, operating_system="Docker Desktop"), wanted=True) is None
    planned = ssh_agent.folder_for(LOCAL, wanted=True)
    assert planned is not None
    assert not planned.exists()
