"""Where devbox keeps its own files, and where its data files lie in a checkout or an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path


def _user_dir(override: str, xdg: str, fallback: str, kind: str) -> Path:
    chosen = os.environ.get(override)
    if chosen:
        return Path(chosen)
    if os.uname().sysname != "Darwin":
        # The XDG Base Directory Specification, spelled out: `exec` reads the state directory, and importing
        # platformdirs costs more than all that `exec` does before it starts docker.
        base = os.environ.get(xdg, "")
        root = Path(base) if base.startswith("/") else Path.home() / fallback
        return root / "devbox"
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_path")("devbox"))


def state_dir() -> Path:
    """Directory of what devbox remembers and may forget: locks, logs, consents, the last contract of a workspace."""
    return _user_dir("DEVBOX_STATE_DIR", "XDG_STATE_HOME", ".local/state", "state")


def runtime_dir() -> Path:
    """Directory of what lives as long as a command, such as pipes; in the state directory where no session has one.

    Only a folder that is this user's is taken, as the XDG Base Directory Specification asks: `su` leaves another's.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and not os.environ.get("DEVBOX_STATE_DIR"):
        try:
            if Path(base).stat().st_uid == os.getuid():
                return Path(base) / "devbox"
        except OSError:
            pass
    return state_dir() / "run"


def cache_dir() -> Path:
    """Directory of what was downloaded and may be deleted at any time: it is fetched again when it is needed."""
    return _user_dir("DEVBOX_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "cache")


def config_dir() -> Path:
    """Directory of the user's settings (`config.toml`) and own frameworks (`frameworks/*.toml`)."""
    return _user_dir("DEVBOX_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", "config")


def data_dir(name: str) -> Path:
    """Directory of the data files called `name` ("dockerfiles" or "templates").

    In a wheel they lie inside the package; in a checkout they are top-level folders.
    """
    package = Path(__file__).resolve().parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
