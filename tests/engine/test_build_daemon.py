"""The engine's daemon is killed in the middle of configure, build and healing: the next build is right.

The test starts a daemon of its own, with its own data and network, so that nobody else's containers end. It needs
root and dockerd.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.engine.docker import Engine
from devbox.errors import DevboxError
from tests.engine.test_build_engine import WAITING, Held, Place, image, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.slow]
__all__ = ["image"]


class Daemon:
    """A dockerd below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = Engine(environ={**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "docker.pid").unlink(missing_ok=True)
        # In a network of its own: a daemon without a bridge takes the machine's docker0 away.
        argv = ["unshare", "--net", "dockerd", "--host", f"unix://{self.folder}/docker.sock"]
        argv += ["--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"]
        argv += ["--pidfile", f"{self.folder}/docker.pid"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([*argv, "--bridge", "none", "--iptables=false"], stdout=log, stderr=log)
        log.close()
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.engine.run(["version"])
            except DevboxError:
                time.sleep(0.2)  # there is no event for a socket that nobody made yet
            else:
                return
        pytest.skip(f"a daemon of its own does not start here: {(self.folder / 'log').read_text()[-400:]}")

    def kill(self) -> None:
        """Kill it, and the containerd that it started, without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        pid = self.folder / "exec/containerd/containerd.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """Remove its containers and end it in order."""
        if self.process is None or self.process.poll() is not None:
            return
        containers = self.engine.run(["ps", "--all", "--quiet"]).stdout.split()
        if containers:
            self.engine.run(["rm", "--force", *containers])
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture(scope="module")
def daemon(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    if os.getuid() != 0 or None in {shutil.which("dockerd"), shutil.which("unshare")}:
        pytest.skip("a daemon of its own needs root and dockerd")
    one = Daemon(tmp_path_factory.mktemp("daemon"))
    one.start()
    try:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(["docker", "load", "--quiet"], stdin=save.stdout, env=dict(one.engine.environ), check=True)
        yield one
    finally:
        one.stop()
        shutil.rmtree(one.folder, ignore_errors=True)


@pytest.mark.parametrize("where", [*WAITING, "healing"])
def test_the_next_build_is_right(
    daemon: Daemon, image: str, tmp_path: Path, engine_name: Callable[[str], str], where: str
) -> None:
    work = small_tree(tmp_path / "small")
    place = Place(daemon.engine, image, engine_name, work, engine_name("build"), engine_name("ccache")).start()
    held = Held(place, where)
    ended = threading.Event()

    def build() -> None:
        try:
            replace(place).build()
        except (DevboxError, AssertionError):
            pass
        finally:
            ended.set()

    threading.Thread(target=build, daemon=True).start()
    held.wait(ended.is_set)
    daemon.kill()
    assert ended.wait(60)
    daemon.start()
    place.start()
    held.the_next_is_right()
