"""Why the engine could not start a command, as a shell says it: 127 for one that is not there, 126 for the rest."""

from __future__ import annotations

import re

from devbox.errors import EngineError

# What the engine's runtime writes where the command's own output would have been.
BEGINNING = "OCI runtime exec failed: "
CODES = frozenset({126, 127})

_WHY = re.compile(r'exec: "((?:[^"\\]|\\.)*)": (?:stat .*?: )?(.+?)(?:: unknown)?$', re.DOTALL)
_FOLDER = re.compile(r'chdir to cwd \("(.*?)"\)[^:]*: (.+?)(?:: unknown)?$', re.DOTALL)


class NotFoundError(EngineError):
    """A command is not there in the container."""

    exit_code = 127


class NotExecutableError(EngineError):
    """A command is there in the container, and cannot be executed."""

    exit_code = 126


def unrunnable(said: str, command: str) -> EngineError:
    """Return the error for what the engine `said` when it was to start `command`."""
    text = said.strip()
    if "container breakout detected" in text:
        return NotExecutableError(
            f"{command}: the folder that it is to start in was deleted, and made again, since the container started",
            hint="devbox up   # mounts the one that is there now",
        )
    folder, why = _FOLDER.search(text), _WHY.search(text)
    if folder is not None:
        return NotExecutableError(
            f"{command}: the folder {folder[1]} of the container, in which it is to start: {folder[2]}",
            hint="see workspaceFolder and workspaceMount in the contract; devbox up --recreate   # mounts it again",
        )
    name = re.sub(r"\\(.)", r"\1", why[1]) if why is not None else command
    if why is not None and "not found in $PATH" in why[2]:
        return NotFoundError(
            f"{name}: command not found in the container",
            hint="devbox exec -- sh -c 'echo $PATH'   # where it is looked for",
        )
    if why is not None and "no such file" in why[2]:
        return NotFoundError(
            f"{name}: no such file in the container", hint="devbox exec -- ls   # the folder that commands start in"
        )
    reason = why[2] if why is not None else text.removeprefix(BEGINNING)
    return NotExecutableError(
        f"{name}: it cannot be executed in the container: {reason}", hint=f"devbox exec -- ls -ld {name}"
    )
