"""Git as nobody in particular, for tests that make repositories."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NOBODY = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "protocol.file.allow=always")


def git(folder: Path, *args: str) -> str:
    """Return what git says in `folder`, without the developer's own settings."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    argv = ["git", *_NOBODY, *args]
    return subprocess.run(argv, cwd=folder, env=environ, check=True, capture_output=True, text=True).stdout.strip()
