"""A command in a running container, as one value: what docker's client is told, and what the engine itself is asked.

A dry run prints the first; the second is sent over the engine's socket, because starting the client takes longer than
the engine takes to answer. Imports next to nothing: `devbox exec` is made of this.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import NamedTuple
else:
    from devbox.lean import NamedTuple


class Exec(NamedTuple):
    """What is executed, in which container, as whom and where.

    Without a `cwd` it starts in the image's folder, without a `user` as the container's. `env_file` is a file for
    docker's `--env-file`. `env` are further variables; a value of None takes it from the environment that docker runs
    in, so that it is seen in no argv.
    """

    container: str
    argv: tuple[str, ...]
    user: str = ""
    cwd: str = ""
    interactive: bool = True
    tty: bool = False
    env_file: Path | str | None = None
    env: tuple[tuple[str, str | None], ...] = ()

    def args(self) -> list[str]:
        """Return the arguments of the docker client, from `exec` on."""
        args = ["exec"]
        if self.interactive or self.tty:
            args.append("--interactive")
        if self.tty:
            args.append("--tty")
        args += [*(["--user", self.user] if self.user else []), *(["--workdir", self.cwd] if self.cwd else [])]
        if self.env_file is not None:
            args += ["--env-file", str(self.env_file)]
        for name, value in self.env:
            args += ["--env", name if value is None else f"{name}={value}"]
        return [*args, self.container, *self.argv]

    def argv_of(self, docker: str = "docker") -> list[str]:
        """Return the argv of the client as it is shown: `docker`, or for a pod kubectl."""
        if is_pod(self.container):
            from devbox.engine.kubernetes.execution import shown

            return shown(self)
        return [docker, *self.args()]

    def request(self, environ: Mapping[str, str], *, detach_keys: str = "") -> dict[str, object]:
        """Return what the docker client makes of `args` in `environ`: the body of `POST /containers/NAME/exec`.

        A name without a value that `environ` does not have either counts for nothing in the file. In `env` it is passed
        on as it is: the engine then takes the variable away. Raises OSError where the file cannot be read.
        """
        return {
            "User": self.user,
            "Tty": self.tty,
            "AttachStdin": self.interactive or self.tty,
            "AttachStdout": True,
            "AttachStderr": True,
            "DetachKeys": detach_keys,
            "Env": [*self._from_file(environ), *(_variable(name, value, environ) for name, value in self.env)],
            "WorkingDir": self.cwd,
            "Cmd": list(self.argv),
        }

    def _from_file(self, environ: Mapping[str, str]) -> list[str]:
        if self.env_file is None:
            return []
        return [f"{name}={value}" for name, value in variables_in(self.env_file, environ)]


def is_pod(container: str) -> bool:
    """Tell whether the id of a container is that of a pod: see `devbox.engine.kubernetes.place`."""
    return "," in container


def variables_in(file: Path | str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Read an env file as docker does: a variable a line, without leading blanks, `#` begins a comment.

    One without a value is that of `environ`, if it is there. Raises OSError.
    """
    with open(file, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:  # noqa: PTH123
        lines = [line.rstrip("\n").removesuffix("\r").lstrip(" \t") for line in stream]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return [(name, value if equals else environ[name]) for name, equals, value in pairs if equals or name in environ]


def _variable(name: str, value: str | None, environ: Mapping[str, str]) -> str:
    value = environ.get(name) if value is None else value
    return name if value is None else f"{name}={value}"


def by_client(asked: Exec, environ: Mapping[str, str], docker: str = "docker") -> list[str]:
    """Return the argv of the client that executes a command, to be run in `environ`.

    What is passed on by name has been handed to a pod by then. Raises EngineError.
    """
    if is_pod(asked.container):
        from devbox.engine.kubernetes.execution import handed_over

        return handed_over(asked, environ)
    return [docker, *asked.args()]


def code_of(container: str, code: int) -> int:
    """Return a command's exit code by that of the client that executed it; -1 where this has not heard how it ended."""
    if is_pod(container):
        from devbox.engine.kubernetes import execution

        return execution.code_of(code)
    return code


def terminal_size(descriptor: int) -> tuple[int, int]:
    """Return the height and the width of the terminal behind a descriptor, as the engine takes them."""
    size = os.get_terminal_size(descriptor)
    return size.lines, size.columns
