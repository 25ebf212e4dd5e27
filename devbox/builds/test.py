"""`devbox test`, the host's part: the framework's own test command, on this process's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.build import configured
from devbox.builds.talk import ask
from devbox.engine.exec import Exec
from devbox.errors import BuildError, UsageError
from devbox.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.builds.request import BuildRequest
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework


# What makes a runner write a JUnit file: ctest does since CMake 3.21.
_JUNIT = {"ctest": ("--output-junit", "{file}"), "pytest": ("--junitxml={file}",)}
_ENDS = ("</testsuites>", "</testsuite>", "/>")


def junit_words(framework: Framework, file: str) -> list[str]:
    """Return what makes the framework's tests write a JUnit file at this path inside. Raises UsageError for none."""
    test = framework.build.test
    known = framework.build.test_junit or _JUNIT.get(test[0].rpartition("/")[2] if test else "", ())
    if not known:
        raise UsageError(
            f"the tests of {framework.title} write no JUnit file that devbox knows of",
            hint='test_junit = ["--option={file}"]   # in its [build] table',
        )
    return [word.replace("{file}", file) for word in known]


def take_junit(file: str, place: Path, target: Target, engine: Engine) -> None:
    """Move a JUnit file from the container to `place` on the host, whole or not at all.

    Raises BuildError where the tests have left none, UsageError where it cannot be written.
    """
    read = Exec(target.container, ("sh", "-c", 'cat "$1"; rm -f "$1"', "-", file), target.user, interactive=False)
    text = engine.execute(read).stdout
    if "<testsuite" not in text or not text.rstrip().endswith(_ENDS):
        raise BuildError(
            f"the tests have written no JUnit file, and {place} is as it was",
            hint="devbox exec -- ctest --version   # it can from 3.21 on",
        )
    try:
        write_atomically(place, text, errors="replace")
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}", hint="--junit FILE") from error


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
