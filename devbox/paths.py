"""Where devbox keeps its own files, and where its data files lie in a checkout or an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from devbox.errors import DevboxError, UsageError


def home() -> Path:
    """Return the user's home folder: $HOME, else the account's. Raises UsageError where there is neither."""
    chosen = os.environ.get("HOME", "")
    if chosen.startswith("/"):
        return Path(chosen)
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise UsageError(
            f"the user {os.getuid()} has no account here and no home folder", hint="export HOME=FOLDER"
        ) from None


def expanded(text: str) -> Path:
    """Return a path with `~` and `~user` filled in; one that names nobody stays as it is written."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises for nobody


def _user_dir(override: str, xdg: str, fallback: str, kind: str) -> Path:
    chosen = os.environ.get(override)
    if chosen:
        return Path(chosen)
    if os.uname().sysname != "Darwin":
        # The XDG Base Directory Specification, spelled out: `exec` reads the state directory, and importing
        # platformdirs costs more than all that `exec` does before it starts docker.
        base = os.environ.get(xdg, "")
        root = Path(base) if base.startswith("/") else home() / fallback
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
    """Directory of the user's settings (`config.toml`) and own frameworks (`frameworks/*.toml`).

    Who has no home has no settings either: then it is one that is not there.
    """
    try:
        return _user_dir("DEVBOX_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", "config")
    except UsageError:
        return Path("/nonexistent/devbox")


def refused(error: OSError) -> DevboxError:
    """Return the error for what the system refused: of one of devbox's own folders with the variable that moves it."""
    named = str(error.filename or "")
    said = f"{named}: {error.strerror or error}" if named else str(error.strerror or error)
    for variable, folder in (
        ("DEVBOX_STATE_DIR", state_dir),
        ("DEVBOX_CACHE_DIR", cache_dir),
        ("DEVBOX_CONFIG_DIR", config_dir),
    ):
        if not named.startswith("/"):
            break
        try:
            place = folder()
        except UsageError as homeless:
            return homeless
        if place.is_relative_to(named) or Path(named).is_relative_to(place):
            return DevboxError(
                f"devbox cannot use its folder {place} ({said})",
                hint=f"export {variable}=FOLDER   # one of your own",
            )
    return DevboxError(said, hint="run the command again with --debug for the traceback")


def data_dir(name: str) -> Path:
    """Directory of the data files called `name` ("dockerfiles" or "templates").

    In a wheel they lie inside the package; in a checkout they are top-level folders.
    """
    package = Path(__file__).resolve().parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
