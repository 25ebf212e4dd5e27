"""Where devbox keeps its own files, and where its data files lie in a checkout or an installed wheel."""

from __future__ import annotations

import os

from devbox.errors import DevboxError, UsageError
from devbox.lean import stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _path(name: str) -> Path:
    # `exec` reads the state directory, and gets along without pathlib, which takes a tenth of it to import.
    from pathlib import Path

    return Path(name)


def home() -> Path:
    """Return the user's home folder: $HOME, else the account's. Raises UsageError where there is neither."""
    return _path(_home())


def _home() -> str:
    chosen = os.environ.get("HOME", "")
    if chosen.startswith("/"):
        return chosen
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise UsageError(
            f"the user {os.getuid()} has no account here and no home folder", hint="export HOME=FOLDER"
        ) from None


def expanded(text: str) -> Path:
    """Return a path with `~` and `~user` filled in; one that names nobody stays as it is written."""
    return _path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises for nobody


def _user_dir(kind: str) -> str:
    """Return a folder of the user's for `kind`: "state", "cache" or "config"."""
    chosen = os.environ.get(f"DEVBOX_{kind.upper()}_DIR")
    if chosen:
        return chosen
    _home()  # says it where there is none
    import platformdirs

    return str(getattr(platformdirs, f"user_{kind}_dir")("devbox"))


def _quickly(kind: str, fallback: str) -> str:
    """Return the same as `_user_dir`, which a test holds true: on Linux without platformdirs.

    Importing it costs more than all that `exec` does before it starts docker. What is spelled out is the XDG Base
    Directory Specification.
    """
    if os.uname().sysname == "Darwin":
        return _user_dir(kind)
    chosen = os.environ.get(f"DEVBOX_{kind.upper()}_DIR")
    if chosen:
        return chosen
    base = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
    return f"{base if base.startswith('/') else f'{_home()}/{fallback}'}/devbox"


def state_dir() -> Path:
    """Directory of what devbox remembers and may forget: locks, logs, consents, the last contract of a workspace."""
    return _path(state_folder())


def state_folder() -> str:
    """Return the same as text."""
    return _quickly("state", ".local/state")


def runtime_dir() -> Path:
    """Directory of what lives as long as a command, such as pipes; in the state directory where no session has one.

    Only a folder that is this user's is taken, as the XDG Base Directory Specification asks: `su` leaves another's.
    """
    return _path(runtime_folder())


def runtime_folder() -> str:
    """Return the same as text."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and not os.environ.get("DEVBOX_STATE_DIR"):
        try:
            if os.stat(base).st_uid == os.getuid():  # noqa: PTH116
                return f"{base}/devbox"
        except OSError:
            pass
    return f"{state_folder()}/run"


def cache_dir() -> Path:
    """Directory of what was downloaded and may be deleted at any time: it is fetched again when it is needed."""
    return _path(_user_dir("cache"))


def config_dir() -> Path:
    """Directory of the user's settings (`config.toml`) and own frameworks (`frameworks/*.toml`).

    Who has no home has no settings either: then it is one that is not there.
    """
    try:
        return _path(_user_dir("config"))
    except UsageError:
        return _path("/nonexistent/devbox")


def may_set(word: str, environ: Mapping[str, str]) -> bool:
    """Tell in a moment, without reading TOML, whether the person may have set something with `word` in it."""
    if f"DEVBOX_{word.upper()}" in environ:
        return True
    try:
        folder = _quickly("config", ".config")
        return word.encode() in stored(f"{folder}/config.toml")
    except (OSError, UsageError):
        return False


def _stands_somewhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True


def refused(error: OSError) -> DevboxError:
    """Return the error for what the system refused: of one of devbox's own folders with the variable that moves it."""
    named = str(error.filename or "")
    if not named and isinstance(error, FileNotFoundError) and not _stands_somewhere():
        return DevboxError(
            "the current folder is gone", hint='cd "$PWD"   # if it was made again; else cd to another folder'
        )
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
        if place.is_relative_to(named) or _path(named).is_relative_to(place):
            return DevboxError(
                f"devbox cannot use its folder {place} ({said})",
                hint=f"export {variable}=FOLDER   # one of your own",
            )
    return DevboxError(said, hint="run the command again with --debug for the traceback")


def data_dir(name: str) -> Path:
    """Directory of the data files called `name` ("dockerfiles" or "templates").

    In a wheel they lie inside the package; in a checkout they are top-level folders.
    """
    package = _path(__file__).resolve().parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
