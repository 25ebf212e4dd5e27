"""Where the engine is, as the docker CLI would choose it, and how it is reached from here.

`exec` on an engine elsewhere is made of this, so it imports next to nothing.
"""

from __future__ import annotations

import os

from devbox.agent.hashes import sha256
from devbox.engine.api import client_setting, is_podman, socket_path
from devbox.lean import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NamedTuple
else:
    from devbox.lean import NamedTuple

# Under this name the environment says where an engine is that is reached by a socket of devbox's own.
ELSEWHERE = "DEVBOX_ENGINE"
# In the place of a URL: Podman where no service of it listens, by its program alone.
PROGRAM = "podman"
_NAMING = frozenset({"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", ELSEWHERE})


class Address(NamedTuple):
    """Where an engine is: its `url` as docker writes it, and what chose it, in words.

    The URL is empty where a `context` is named that is not there.
    """

    url: str
    origin: str
    context: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether it is a socket of this machine, at which an engine or what stands for one listens, or a program."""
        return self.url.startswith("unix://") or self.url == PROGRAM

    def __str__(self) -> str:
        return f"at {self.url} ({self.origin})" if self.url else f"({self.origin})"


def address(environ: Mapping[str, str]) -> Address:
    """Return the address of the engine as the docker CLI would choose it.

    The order is the CLI's: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of its config file, the default socket. What a
    person says to devbox, `--context` or the setting, was put into DOCKER_CONTEXT before.
    """
    if ELSEWHERE in environ:
        url, _, origin = environ[ELSEWHERE].partition(" ")
        return Address(url, origin)
    if environ.get("DOCKER_HOST"):
        return Address(environ["DOCKER_HOST"], "DOCKER_HOST")
    path = socket_path(environ)
    if path is not None:
        return Address(f"unix://{path}", "docker's default")
    if _is_program(environ):
        return Address(PROGRAM, "the program docker")
    named = environ.get("DOCKER_CONTEXT")
    name = named or client_setting(environ, "currentContext") or ""
    return Address(
        _url_of(environ, name),
        f"the docker context '{name}', by {'DOCKER_CONTEXT' if named else 'docker context use'}",
        name,
    )


def _is_program(environ: Mapping[str, str]) -> bool:
    context = environ.get("DOCKER_CONTEXT") or client_setting(environ, "currentContext")
    return context in {None, "", "default"} and is_podman("docker", environ)


def in_context(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """Return `environ` with a docker context in the place of whatever else names an engine."""
    return {**_unnamed(environ), "DOCKER_CONTEXT": name}


def choose(context: str) -> None:
    """Have a docker context used by this process, and by all that it starts."""
    for name in _NAMING:
        os.environ.pop(name, None)
    os.environ["DOCKER_CONTEXT"] = context


def _unnamed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without what names an engine."""
    return {key: value for key, value in environ.items() if key not in _NAMING}


def reached(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment in which docker and devbox reach the engine at once.

    An engine that has a socket on this machine, or can be given one, is reached by that, whatever it was named by: a
    context of a rootless engine, or an address of ssh, for which one connection is made and kept. Raises EngineError.
    """
    if socket_path(environ) is not None:
        return environ
    found = address(environ)
    if found.url == PROGRAM:
        return environ
    if found.url.startswith("ssh://"):
        from devbox.engine.tunnel import socket_to
        from devbox.errors import EngineError

        try:
            socket = socket_to(found.url)
        except EngineError as error:
            error.message += f" ({found.origin})"
            raise
        by = {"DOCKER_HOST": f"unix://{socket}", ELSEWHERE: f"{found.url} {found.origin}"}
    elif found.is_here:
        by = {"DOCKER_HOST": found.url}
    else:
        return environ
    return {**_unnamed(environ), **by}


def tls_folder(environ: Mapping[str, str], context: str) -> str:
    """Return where a docker context has its keys and certificates, if it has any."""
    return _of_context(environ, context, "tls", "docker")


def is_unverified(environ: Mapping[str, str], context: str) -> bool:
    """Tell whether a docker context takes any certificate for the engine's (`docker context create` calls it so)."""
    return bool(_endpoint(environ, context).get("SkipTLSVerify"))


def _url_of(environ: Mapping[str, str], context: str) -> str:
    return str(_endpoint(environ, context).get("Host") or "")


def _endpoint(environ: Mapping[str, str], context: str) -> dict[str, Any]:
    try:
        with open(_of_context(environ, context, "meta", "meta.json"), "rb") as stream:  # noqa: PTH123
            return dict(loads(stream.read())["Endpoints"]["docker"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _of_context(environ: Mapping[str, str], context: str, kind: str, name: str) -> str:
    folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME", "/"), ".docker")  # noqa: PTH118
    # The CLI keeps each context under the hash of its name.
    return f"{folder}/contexts/{kind}/{sha256(context.encode('utf-8', 'surrogateescape')).hexdigest()}/{name}"
