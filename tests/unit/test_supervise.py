"""What is done when a command of devbox's is killed, without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.engine.lab import until

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal, subprocess, sys
from devbox.container.inside import supervise
watcher = supervise.watch(["sh", "-c", 'rm -f "$1"; echo >>"$2"', "x", *sys.argv[1:3]], environ=os.environ)
watcher.client(subprocess.Popen(["sleep", "60"]).pid)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_client_asked_for_last_is_undone_also_where_it_comes_late(tmp_path: Path) -> None:
    made, log = tmp_path / "made", tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", KILLED, made, log], env={**os.environ}):
        until(lambda: log.exists() and len(log.read_text()) > 1)
        made.touch()
        until(lambda: not made.exists())
