"""`devbox build --dry-run`, the host's part: the commands of a build as a person would type them in the container."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.build import configured
from devbox.builds.talk import ask
from devbox.masking import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.builds.request import BuildRequest
    from devbox.container.target import Target
    from devbox.engine.docker import Engine

# What of a key's inputs people ask for, and by which name.
_TOLD = ("type", "arch", "generator", "cxx", "cuda", "python", "preset")


def foresee(request: BuildRequest, target: Target, engine: Engine) -> protocol.Foreseen:
    """Return what a build would do. Raises UsageError and BuildError as a build does."""
    said = ask(protocol.Foresee(**configured(request, target)), target, engine)
    shown = {name: "***" if is_secret_name(name) else value for name, value in said.environment.items()}
    return said.but(environment=shown)


def reasons(said: protocol.Foreseen) -> Iterator[str]:
    """Yield which tree it is and why, and why it is configured."""
    yield f"{said.key} {'is there' if said.there else 'is new'}: {said.tree}"
    inputs = ((name, said.inputs.get(name)) for name in _TOLD)
    yield f"this tree, by {', '.join(f'{name} {_short(value)}' for name, value in inputs if value)}"
    yield from (f"configured: {reason}" for reason in said.reasons)
    if said.there and not said.reasons:
        yield "not configured, unless a file has changed that configuring reads"
    yield f"{said.jobs} jobs: {said.jobs_reason}"
    yield from said.notes


def lines(said: protocol.Foreseen) -> list[str]:
    """Return the commands, each in its folder and with what is added to the build's environment."""
    calls = [*([said.configure] if said.configure is not None else []), *said.build]
    return [
        # A container's word. No shell exports another name, and none is quoted.
        *(f"export {name}={shlex.quote(value)}" for name, value in said.environment.items() if name.isidentifier()),
        *(shlex.join(["env", "-C", call.cwd, *_assigned(call), *call.argv]) for call in calls),
    ]


def _assigned(call: protocol.Called) -> list[str]:
    return [f"{name}={value}" for name, value in call.environ.items()]


def _short(value: object) -> str:
    """Return an input in one line: of a compiler its path and version."""
    return " ".join(str(one) for one in value[:2]) if isinstance(value, list) else str(value)
