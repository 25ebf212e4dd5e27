"""What can be wrong with an engine, recognised in what docker says, and what mends it.

The doctor, and every command that meets it, say it in these words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.engine.address import PROGRAM, address
from devbox.errors import EngineError, last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The plugins of the docker CLI that devbox runs: what they are for, and the packages that bring them.
PLUGINS = {
    "buildx": (
        "which builds images",
        "install docker-buildx (Debian, Ubuntu) or docker-buildx-plugin (Docker's own packages)",
    ),
    "compose": (
        "which starts the services of a contract",
        "install docker-compose (Debian), docker-compose-v2 (Ubuntu) or docker-compose-plugin (Docker's own packages)",
    ),
}
PODMAN_SERVICE = "systemctl --user enable --now podman.socket   # as root without --user"
# The CLI of 28 and the one before it, on a plugin that is not there: with a flag behind its name, and without.
_NO_PLUGIN = re.compile(
    r"unknown command: docker |is not a docker command|unknown (shorthand )?flag: .*(docker --help|docker \[OPTIONS\])",
    re.DOTALL,
)
_VERSIONS = re.compile(r"client version (\S+) is too (old|new)\. \w+ supported API version is (\d+\.\d+)")
_SOCKET = ("docker.sock", "docker daemon socket", "docker api at")
_UNREACHABLE = (
    "failed to connect to the docker api",
    "cannot connect to the docker daemon",
    "is the docker daemon running",
    "unable to resolve docker endpoint",
    "error during connect",
    "malformed http",
    "unexpected eof",
    "error reading remote info",
)


def explain(said: str, environ: Mapping[str, str], args: Sequence[str] = ()) -> EngineError | None:
    """Return the error for a docker CLI that could not reach or use its engine, or None if that was not the trouble.

    `said` is what it wrote to stderr, `environ` its environment, `args` what it was told.
    """
    text = said.lower()
    if args and args[0] in PLUGINS and _NO_PLUGIN.search(said):
        return missing_plugin(args[0])
    if "permission denied" in text and any(words in text for words in _SOCKET):
        return unreachable(environ, said, permitted=False)
    if any(words in text for words in _UNREACHABLE):
        return unreachable(environ, said)
    if "no space left on device" in text or "disk quota exceeded" in text:
        hint = "docker system df   # shows what fills it"
        return EngineError("the engine's disk is full", hint=hint, detail=last_lines(said))
    return _versions(said)


def _versions(said: str) -> EngineError | None:
    """Return the error for a CLI and an engine that are too many years apart."""
    found = _VERSIONS.search(said)
    if found is None:
        return None
    ours, which, theirs = found.groups()
    bound = "takes none before" if which == "old" else "knows none after"
    return EngineError(
        f"the docker CLI speaks version {ours} of the engine's API, and the engine {bound} {theirs}",
        hint=f"install a newer {'docker CLI' if which == 'old' else 'Docker Engine'}, or unset DOCKER_API_VERSION",
        detail=last_lines(said),
    )


def missing_plugin(name: str) -> EngineError:
    """Return the error for a plugin of the docker CLI that is not there."""
    what, remedy = PLUGINS[name]
    return EngineError(f"docker's plugin {name} is missing, {what}", hint=remedy)


def unreachable(environ: Mapping[str, str], said: str, *, permitted: bool = True) -> EngineError:
    """Return the error for an engine that does not answer, or that one is not `permitted` to ask."""
    place = address(environ)
    # The number is Python's to write, and says nothing to a person.
    said = re.sub(r"^\[Errno \d+\] ", "", said)
    if place.url == PROGRAM:
        return EngineError(
            "Podman's service does not listen, which docker compose needs", hint=PODMAN_SERVICE, detail=last_lines(said)
        )
    if not permitted:
        return EngineError(
            f"you may not use the Docker engine {place}",
            hint="sudo usermod -aG docker $USER   # then log out and in again",
            detail=last_lines(said),
        )
    here = place.url.startswith("unix:///var/run/") and not environ.get("DOCKER_HOST")
    hint = "sudo systemctl start docker   # or start Docker Desktop" if here else chosen_elsewhere(environ)
    return EngineError(f"the Docker engine {place} does not answer", hint=hint, detail=last_lines(said))


def chosen_elsewhere(environ: Mapping[str, str]) -> str:
    """Return what to type where the address of an engine that is not docker's default may be what is wrong."""
    if environ.get("DOCKER_HOST"):
        return "unset DOCKER_HOST   # takes docker's own choice; or see to the engine there"
    return "docker context ls   # shows what there is; docker context use default takes this machine's own"
