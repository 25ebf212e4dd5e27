"""What `devbox test` runs: the framework's test command for the build tree in use, in the Python environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .configuration import configuration
from .events import AgentError
from .placeholders import fill, of_build
from .protocol import TestCommand
from .python import environment
from .record import Records
from .tools import which
from .volume import records_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .protocol import Test


def command(request: Test) -> TestCommand:
    """Return the command line of the framework's tests (`argv`), the variables that it gets, and whether it can run.

    `built` is False where it is about a build tree, `key`, that is not there. `request.words` are a person's own
    arguments. Raises AgentError as `configuration` does.
    """
    words, more = request.rules.test, request.words
    values: Mapping[str, str] = {}
    built, key = True, ""
    if any(map(of_build, words)):
        decided = configuration(request)
        key = decided.key
        values = {**decided.values, "jobs": str(request.jobs or len(os.sched_getaffinity(0)))}
        built = Records(records_of(decided.volume)).attempt(key) is not None and os.path.isdir(decided.tree)
    argv = [fill(word, values) for word in words]
    variables = _variables(request.volume) if request.python else {}
    if which(argv[0], {**os.environ, **variables}) is None:
        install = f"python3 -m pip install {argv[0]}" if request.python else f"sudo apt-get install {argv[0]}"
        raise AgentError(f"{argv[0]} is not installed in the container", hint=f"devbox exec -- {install}")
    return TestCommand(argv=replaced(argv, more, request.workspace), env=variables, built=built, key=key)


def _variables(volume: str) -> dict[str, str]:
    """Return what puts the environment in use, also where the contract does not say it."""
    path = environment.current(volume)
    if path is None:
        return {}
    layer = environment.Environment(path, "", "", made=False)
    inside = layer.inside(environment.outside(os.environ, volume))
    return {name: inside[name] for name in ("PATH", "VIRTUAL_ENV")}


def replaced(argv: Sequence[str], more: Sequence[str], workspace: str) -> list[str]:
    """Add a person's arguments. Where these name files of the checkout, they replace those that the framework names."""

    def is_path(word: str) -> bool:
        path = os.path.normpath(os.path.join(workspace, word.partition("::")[0]))
        return not word.startswith("-") and path.startswith(f"{workspace}/") and os.path.exists(path)

    if any(is_path(word) for word in more):
        # What follows an option is its value, and the first word is the program.
        argv = [word for before, word in zip(["-", *argv], argv) if before.startswith("-") or not is_path(word)]
    return [*argv, *more]
