"""Variables that a container gets without its configuration knowing them: tokens, and proxy URLs with a password.

`docker inspect` shows the environment that a container was made with to everybody who may use the engine. So its
program is started by a shell that first reads such variables from a pipe of the host. They are in the memory of the
processes, and in no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox.engine.spec import Mount
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.engine.spec import ContainerSpec

JSON = dict[str, Any]

# Where the container finds the pipe.
TARGET = "/run/devbox/environment"
SHELL = "/bin/sh"
_SCRIPT = f'. {TARGET} && exec "$@"'
_PROBE = f"[ -p {TARGET} ] && [ -r {TARGET} ]"
# What POSIX shells take into their environment, and pass on: dash drops others.
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
# In a dry run the image may not be there yet.
_UNKNOWN = "<the image's entrypoint>"
_LEAVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Handover:
    """The names of the variables, the host's pipe that they come through, and the program, as docker would start it."""

    names: tuple[str, ...]
    pipe: Path
    program: tuple[str, ...]

    def wrap(self, spec: ContainerSpec) -> ContainerSpec:
        """Return `spec` with the shell before its program."""
        return replace(
            spec,
            entrypoint=SHELL,
            command=("-c", _SCRIPT, "devbox", *self.program),
            mounts=(*spec.mounts, self._mount()),
        )

    def probe(self, spec: ContainerSpec) -> list[str]:
        """Return the arguments of a container that succeeds where the handover will: by shell, user and mount."""
        user = ["--user", spec.user] if spec.user else []
        first = ["run", "--rm", "--network", "none", *user, "--mount", self._mount()]
        return [*first, "--entrypoint", SHELL, spec.image, "-c", _PROBE]

    def _mount(self) -> str:
        return Mount("bind", TARGET, str(self.pipe), readonly=True).csv()


def program(image: JSON, entrypoint: str | None, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return what docker would run of the inspected `image` ({}: unknown) for `--entrypoint` and a command.

    Another entrypoint drops the image's own command too, as Docker's reference for `docker run --entrypoint` has it.
    """
    if entrypoint is not None:
        return (*([entrypoint] if entrypoint else []), *command)
    if not image:
        return (_UNKNOWN, *command)
    config = image.get("Config") or {}
    return (*(config.get("Entrypoint") or ()), *(command or config.get("Cmd") or ()))


def lost(names: Iterable[str]) -> tuple[str, ...]:
    """Return which variables a shell would not pass on, because their names are none of a shell's."""
    return tuple(name for name in names if not _NAME.fullmatch(name))


def statements(values: Mapping[str, str]) -> bytes:
    """Return the shell's text that exports `values`, byte for byte as they are in this process's environment."""
    return b"".join(os.fsencode(f"export {name}={shlex.quote(value)}\n") for name, value in values.items())


def obstacle(engine: Engine, handover: Handover, spec: ContainerSpec) -> str | None:
    """Return why a container of `spec` cannot read the pipe, which is there already; None where it can.

    Raises EngineError where the engine does not answer.
    """
    done = engine.run(handover.probe(spec), check=False)
    if done.ok:
        return None
    if f'"{SHELL}"' in done.stderr:
        return f"the image has no {SHELL}"
    return "the engine cannot use a pipe of this machine"


class Offer:
    """Variables that wait in a pipe for the container. `over` is set when it has them, or will never get them."""

    def __init__(self, pipe: Path, content: bytes) -> None:
        """Take the pipe, which is there, and what is written into it once."""
        self._pipe = pipe
        self._content = content
        self._withdrawn = False
        self.taken = False
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Wait for the container in a thread that hears no signal: they are for who waits for them elsewhere."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def withdraw(self) -> None:
        """Give up where nobody has come, and remove the pipe."""
        self._withdrawn = True
        reader = None
        if not self.over.is_set():
            # The writer waits for a reader; one that has found one has removed the pipe.
            with contextlib.suppress(FileNotFoundError):
                reader = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
            self.over.wait(_LEAVE_SECONDS)
        if reader is not None:
            os.close(reader)
        remove(self._pipe)

    def _write(self) -> None:
        try:
            # Returns when the container has opened it for reading.
            writer = os.open(self._pipe, os.O_WRONLY)
            try:
                remove(self._pipe)
                left = memoryview(self._content)
                while left and not self._withdrawn:
                    left = left[os.write(writer, left) :]
                self.taken = not left
            finally:
                os.close(writer)
        except OSError:
            # It died while it read.
            return
        finally:
            self.over.set()


@contextlib.contextmanager
def pipe_for(handover: Handover) -> Iterator[None]:
    """Have the pipe there while the block runs, in a folder that only this user can enter. Raises OSError."""
    folder = handover.pipe.parent
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        os.mkfifo(handover.pipe)
        # Whoever the container runs as may read it; the folder keeps all others of the host away.
        handover.pipe.chmod(0o644)
        yield
    finally:
        remove(handover.pipe)


def remove(pipe: Path) -> None:
    """Remove the pipe and its folder; that they are gone is no failure."""
    with contextlib.suppress(OSError):
        pipe.unlink()
    with contextlib.suppress(OSError):
        pipe.parent.rmdir()
