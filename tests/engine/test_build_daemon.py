"""The engine's daemon is killed in the middle of configure, build and healing: the next build is right.

The test starts a daemon of its own, with its own data and network, so that nobody else's containers end. It needs
root and dockerd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.errors import DevboxError
from tests.engine.lab import WAITING, Daemon, Held, Place, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]


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
