"""The environment of docker compose: no `.env` of a checkout steers it, and it fetches nothing from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.engine.api import is_podman, podman_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

# By these, docker compose, docker, buildx and git find programs, files and engines. In the environment they are the
# person's; docker compose would take them from a `.env` where the environment has none.
_STEERING = (
    "BUILDKIT_HOST", "BUILDX_BUILDER", "BUILDX_CONFIG", "COMPOSE_ENV_FILES", "DOCKER_AUTH_CONFIG", "DOCKER_CERT_PATH",
    "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CUSTOM_HEADERS", "DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
    "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "SSH_ASKPASS", "SSH_AUTH_SOCK",
)  # fmt: skip
_OFF = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false"}
# What devbox reads itself, or how docker compose talks.
_KEPT = frozenset({
    "COMPOSE_ANSI", "COMPOSE_FILE", "COMPOSE_HTTP_TIMEOUT", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_PARALLEL_LIMIT",
    "COMPOSE_PATH_SEPARATOR", "COMPOSE_PROFILES", "COMPOSE_PROGRESS", "COMPOSE_PROJECT_NAME",
})  # fmt: skip


def for_compose(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` as docker compose gets it. An empty variable is there, so it is not looked for in a `.env`."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name in _STEERING or not name.startswith(("COMPOSE_", "GIT_"))
    }
    own = {"DOCKER_HOST": f"unix://{podman_socket(environ)}"} if _is_podmans(environ) else {}
    return {**dict.fromkeys(_STEERING, ""), **kept, **own, **_OFF}


def _is_podmans(environ: Mapping[str, str]) -> bool:
    """Tell whether `docker` is Podman, which has docker compose ask its own service where DOCKER_HOST is not there.

    An empty one is: docker compose would ask whatever listens at Docker's socket.
    """
    named = environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT")
    return named in {None, "", "default"} and is_podman("docker", environ)
