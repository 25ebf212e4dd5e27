"""The compose.yaml of a generated contract: what `docker run` is told in the other form, in compose's own words.

Nothing of it depends on the tool that starts it: `docker compose up` alone gives the same container.
Source of the keys: the Compose specification, https://github.com/compose-spec/compose-spec
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.compose.mounts import driver, escaped_values, long_form
from devbox.devcontainer.identity import workspace_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.writing.request import GenerateRequest
    from devbox.engine.spec import Mount
    from devbox.frameworks.model import Service

# The service that people work in.
SERVICE = "dev"
# What a volume of the person's own is called within the file, before its name: it is nobody else's to remove.
OWN_VOLUME = "own-"

_HEAD = "# The container and the services beside it. Written by devbox; `docker compose up` alone works, too.\n"
# What `${localEnv:…}` is in a devcontainer.json. Compose fills it in itself.
_ANYBODYS_BUNDLE = "${SSL_CERT_FILE:-/dev/null}"
_NEVER_ENDS = ("sleep", "infinity")


def compose_file(request: GenerateRequest, env: dict[str, str], mounts: Iterable[Mount]) -> str:
    """Return the text of the compose file. `env` and `mounts` are the dev container's; the checkout is not in them."""
    mounts = tuple(mounts)
    services = {SERVICE: _dev(request, env, mounts)}
    services |= {service.name: _service(service) for service in request.services}
    # With a name a volume is the same one in every form. Without, as in a shared file, it belongs to the project.
    own = request.additions.mounts
    volumes: JSON = {
        _short(mount): {} if request.form.shared else {"name": mount.source}
        for mount in mounts
        if mount.type == "volume" and mount not in own
    }
    volumes |= {key: {"name": mount.source, **driver(mount)} for mount in own if (key := _key(mount))}
    volumes |= {_data(service): {} for service in request.services if service.volume}
    data: JSON = {
        # Checkouts of one name must not share a project; a shared file cannot tell them apart.
        "name": None if request.form.shared else project_name(request),
        "services": services,
        "volumes": volumes,
        "secrets": {name: {"file": path} for name, path in request.recipe.secrets},
    }
    escaped = escaped_values(_filled(data))
    if request.form.shared and request.recipe.secrets:
        escaped["secrets"] = {name: {"file": _ANYBODYS_BUNDLE} for name, _ in request.recipe.secrets}
    return _HEAD + _yaml(escaped)


def project_name(request: GenerateRequest) -> str:
    """Return the compose project of a personal contract: the folder's name, and a hash of where the contract lies."""
    path = request.checkout.path
    name = re.sub(r"[^a-z0-9_-]+", "-", path.name.lower()).strip("-_")[:40] or "workspace"
    return f"devbox-{name}-{workspace_hash(path / request.placement.config)[:6]}"


def _dev(request: GenerateRequest, env: dict[str, str], mounts: tuple[Mount, ...]) -> JSON:
    framework = request.framework
    healthy = {
        service.name: {"condition": "service_healthy" if service.health else "service_started"}
        for service in request.services
    }
    service: JSON = {
        "build": _build(request),
        "container_name": request.container_name,
        "command": list(_NEVER_ENDS),
        "init": True,
        "working_dir": framework.workspace_path,
        "environment": {
            **env,
            **{key: value for service in request.services for key, value in service.env},
            **dict(request.additions.env),
        },
        "volumes": [
            {"type": "bind", "source": _from_here(request, "."), "target": framework.workspace_path},
            *(_mount(mount, own=mount in request.additions.mounts) for mount in mounts),
        ],
        "ports": list(request.additions.ports),
        "ipc": "host",
        "group_add": list(request.groups),
        "devices": [f"{device}:{device}" for device in request.devices],
        "ulimits": dict(_ulimit(argument) for argument in request.limits),
        "cap_add": ["SYS_PTRACE"],
        "deploy": _deploy(request),
        "depends_on": healthy,
    }
    return _filled(service)


def _service(service: Service) -> JSON:
    health = {"test": list(service.health), "interval": "2s", "timeout": "2s", "retries": 30}
    data = {"type": "volume", "source": _data(service), "target": service.volume}
    return _filled(
        {
            "image": service.image,
            "command": list(service.command),
            "environment": dict(service.environment),
            "volumes": [data] if service.volume else [],
            "healthcheck": health if service.health else {},
            "restart": "unless-stopped",
        }
    )


def _build(request: GenerateRequest) -> JSON:
    recipe, folder = request.recipe, posixpath.dirname(request.placement.compose)
    # A variable without a value is taken from the environment of whoever builds.
    args = dict(recipe.args) | dict.fromkeys(recipe.forwarded)
    contexts = {name: path if posixpath.isabs(path) else _from_here(request, path) for name, path in recipe.contexts}
    dockerfile = posixpath.relpath(request.placement.dockerfile, folder or ".")
    return _filled(
        {
            "context": posixpath.dirname(dockerfile) or ".",
            "dockerfile": posixpath.basename(dockerfile),
            "target": recipe.target,
            "args": args,
            "additional_contexts": contexts,
            "secrets": [name for name, _ in recipe.secrets],
        }
    )


def _deploy(request: GenerateRequest) -> JSON:
    """Return the GPUs in full: without a driver and a count compose's result depends on its version."""
    if request.gpu is None:
        return {}
    return {"resources": {"reservations": {"devices": [request.gpu.reservation()]}}}


def _ulimit(argument: str) -> tuple[str, Any]:
    """Return a `--ulimit=NAME=SOFT[:HARD]` of docker's as compose takes it."""
    name, _, value = argument.removeprefix("--ulimit=").partition("=")
    soft, colon, hard = value.partition(":")
    return name, {"soft": int(soft), "hard": int(hard)} if colon else int(soft)


def _mount(mount: Mount, *, own: bool) -> JSON:
    key = _key(mount) if own else _short(mount)
    return long_form(replace(mount, source=key) if mount.type == "volume" else mount)


def _key(mount: Mount) -> str | None:
    """Return what a volume of the person's own is called within the file; None where it has no name, or is none."""
    return f"{OWN_VOLUME}{mount.source}" if mount.type == "volume" and mount.source else None


def _short(mount: Mount) -> str:
    """Return what a named volume is called within the file: `build`, `ccache`."""
    return posixpath.basename(mount.target)


def _data(service: Service) -> str:
    return f"{service.name}-data"


def _from_here(request: GenerateRequest, path: str) -> str:
    """Return a path of the checkout as seen from the compose file's folder. Compose wants a `.` before it."""
    relative = posixpath.relpath(path, posixpath.dirname(request.placement.compose) or ".")
    return relative if relative.startswith(".") else f"./{relative}"


def _filled(values: JSON) -> JSON:
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def _yaml(data: JSON) -> str:
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))
