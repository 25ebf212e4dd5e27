"""Which engine answers, Docker or Podman, and the program that makes images and containers there.

Podman's service takes what the docker CLI says, but for two things: it builds by itself (Buildah) and knows no
BuildKit, and the CLI does not let a user namespace through that only Podman has (`keep-id`). So on a Podman engine
these are said to `podman`, which reaches the same engine by the same socket.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal, NamedTuple

from devbox.engine.api import FOUND, ask_socket, is_podman, socket_path

if TYPE_CHECKING:
    from collections.abc import Mapping


class Flavour(NamedTuple):
    """An engine's kind. `maker` is the argv before what makes images and containers.

    It is None where the engine is Podman and this machine has no program to have an image built by it.
    """

    name: Literal["docker", "podman"]
    maker: tuple[str, ...] | None

    @property
    def podman(self) -> bool:
        """Whether it is Podman."""
        return self.name == "podman"

    @property
    def title(self) -> str:
        """Its name for people."""
        return "Podman" if self.podman else "Docker"


def flavour(docker: str, environ: Mapping[str, str]) -> Flavour:
    """Return the kind of the engine that the program `docker` reaches in `environ`.

    Costs one answer of the engine's socket, and no more where `docker` is Podman itself. What does not answer, or is
    reached without a socket of this machine, counts as Docker: whoever uses it says what is wrong.
    """
    if is_podman(docker, environ):
        return Flavour("podman", (docker,))
    path = socket_path(environ)
    if path is not None and _answers_as_podman(path):
        program = next(
            (name for name in ("podman", "podman-remote") if shutil.which(name, path=environ.get("PATH"))), None
        )
        return Flavour("podman", None if program is None else (program, "--url", f"unix://{path}"))
    return Flavour("docker", (docker,))


def _answers_as_podman(path: str) -> bool:
    try:
        # Its own route, which Docker knows nothing of; to tell its version Docker would ask the programs that it runs.
        status, said = ask_socket(path, "/libpod/_ping")
    except OSError:
        return False
    return status == FOUND and said.strip() == b"OK"
