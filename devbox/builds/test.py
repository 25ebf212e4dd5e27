"""`devbox test`, the host's part: the framework's own test command, on this process's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.build import configured
from devbox.builds.talk import ask
from devbox.errors import BuildError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.builds.request import BuildRequest
    from devbox.container.target import Target
    from devbox.engine.docker import Engine


def argv_of_tests(request: BuildRequest, args: Sequence[str], target: Target, engine: Engine) -> list[str]:
    """Return the command line that runs the tests inside, with `args` added.

    Files that `args` name replace those that the framework names. Raises UsageError where the framework has no tests,
    BuildError where the tree of this configuration is not built.
    """
    framework = request.framework
    if not framework.build.test:
        raise UsageError(f"{framework.title} has no test command", hint='test = ["ctest"]   # in its [build] table')
    asked = protocol.Test(**configured(request, target), words=list(args), python=framework.python is not None)
    said = ask(asked, target, engine)
    if not said.built:
        raise BuildError(f"{said.key} is not built, so there is nothing to test", hint="devbox test --build")
    variables = [f"{name}={value}" for name, value in said.env.items()]
    return [*(["env", *variables] if variables else ()), *said.argv]
