"""The override of a compose project: the file, as data, that makes one of its services a dev container.

It goes on top of the contract's own compose files. A mount keeps what it says, and a `$` of a value stays one.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.compose.model import Project, without_secrets
from devbox.devcontainer.compose.mounts import driver, escaped, escaped_values, long_form, text_of
from devbox.engine.run_args import security_option
from devbox.engine.spec import Mount
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Merged


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """A project as `docker compose up` is told of it: as it was judged, with the `override` written to `path`."""

    project: Project
    override: JSON = field(hash=False)
    path: Path

    @property
    def called(self) -> str:
        """The name of the dev container."""
        return self.project.container_name

    @property
    def image(self) -> str:
        """The name of the dev container's image."""
        return str(self.override["services"][self.project.service].get("image") or self.project.image)

    def args(self) -> list[str]:
        """Return the arguments of docker that name it."""
        return [*self.project.args(), "-f", str(self.path)]

    def text(self) -> str:
        """Return the override as a file."""
        return text_of(self.override)

    def shown(self, is_secret: Callable[[str, str], bool]) -> str:
        """Return the override as it may be seen, a line for each key of a definition."""
        lines = []
        for section, definitions in without_secrets(self.override, is_secret).items():
            for name, definition in definitions.items():
                lines += [f"{section}.{name}.{key}: {json.dumps(value)}" for key, value in definition.items()]
                lines += [] if definition else [f"{section}.{name}: {{}}"]
        return "\n".join(lines)


def override(
    project: Project,
    merged: Merged,
    *,
    script: str,
    mounts: Sequence[str],
    labels: Sequence[tuple[str, str]],
    image_config: JSON,
    image: str | None = None,
    userns: str | None = None,
) -> JSON:
    """Return the compose file that is put on top of the contract's own: what makes the service its dev container.

    `script` is the first process, `image` the name of another image than the service's own, `userns` the user namespace
    that it needs. A mount keeps what it says: whether it is read-only, and its options. Raises ContractError for a
    mount that no compose file can say.
    """
    entrypoint, command = _first_process(project.definition, merged, image_config)
    parsed = [Mount.parse(mount) for mount in mounts]
    service: JSON = {
        "image": image,
        "userns_mode": userns,
        "entrypoint": ["/bin/sh", "-c", escaped(script), "-", *map(escaped, entrypoint)],
        "command": [escaped(word) for word in command],
        "init": merged.init or None,
        "user": merged.container_user and escaped(merged.container_user),
        "environment": {name: escaped(value) for name, value in merged.container_env},
        "privileged": merged.privileged or None,
        "cap_add": [escaped(name) for name in merged.cap_add],
        "security_opt": [escaped(security_option(option, project.workspace)) for option in merged.security_opt],
        "labels": {name: escaped(value) for name, value in labels},
        "volumes": [_volume(mount) for mount in parsed],
        "ports": [escaped(port) for port in merged.publish],
    }
    # An empty command is one: it takes the place of the image's.
    services: JSON = {
        project.service: {key: value for key, value in service.items() if value or (key == "command")},
    }
    known = project.config.get("volumes") or {}
    volumes = {
        escaped(mount.source): {} if mount.source in known else escaped_values(driver(mount))
        for mount in parsed
        if mount.type == "volume" and mount.source
    }
    return {"services": services, **({"volumes": volumes} if volumes else {})}


def one_shot(
    spec: ProjectSpec, *, labels: Sequence[tuple[str, str]], env: Sequence[tuple[str, str]], ulimits: JSON
) -> ProjectSpec:
    """Return `spec` for a container that runs one command: with these labels and variables, and no first process."""
    more: JSON = {
        **({"ulimits": ulimits} if ulimits else {}),
        "entrypoint": [],
        "command": [],
        "labels": {name: escaped(value) for name, value in labels},
        "environment": {name: escaped(value) for name, value in env},
    }
    return _with(spec, spec.project.service, more)


def with_gpus(spec: ProjectSpec, reservation: JSON) -> ProjectSpec:
    """Return `spec` with an item of `deploy.resources.reservations.devices` for the dev container."""
    return _with(spec, spec.project.service, {"deploy": {"resources": {"reservations": {"devices": [reservation]}}}})


def with_label(spec: ProjectSpec, name: str, value: str) -> ProjectSpec:
    """Return `spec` with one more label of the dev container."""
    labels = spec.override["services"][spec.project.service].get("labels") or {}
    return _with(spec, spec.project.service, {"labels": {**labels, name: escaped(value)}})


def without_name(spec: ProjectSpec) -> ProjectSpec:
    """Return `spec` for a second container of the service, which cannot have the name that its definition gives."""
    return _with(spec, spec.project.service, {"container_name": ""})


def with_limit(spec: ProjectSpec, name: str, most: int) -> ProjectSpec:
    """Return `spec` with the resource limit `name` at `most` in each service that sets it."""
    for service, definition in spec.project.config["services"].items():
        if name in (definition.get("ulimits") or {}):
            lowered = spec.override["services"].get(service, {}).get("ulimits", {})
            spec = _with(spec, service, {"ulimits": {**lowered, name: {"soft": most, "hard": most}}})
    return spec


def _with(spec: ProjectSpec, service: str, more: JSON) -> ProjectSpec:
    services = spec.override["services"]
    changed = {**services, service: {**services.get(service, {}), **more}}
    return replace(spec, override={**spec.override, "services": changed})


def _first_process(definition: JSON, merged: Merged, image_config: JSON) -> tuple[list[str], list[str]]:
    """Return what the wrapper runs, as ENTRYPOINT and CMD: the service's own, else the image's, else nothing."""
    if merged.override_command:
        return [], []
    own, command = _words(definition.get("entrypoint")), _words(definition.get("command"))
    if own is None:
        image_command = list(image_config.get("Cmd") or ())
        return list(image_config.get("Entrypoint") or ()), image_command if command is None else command
    return own, command or []


def _words(value: Any) -> list[str] | None:
    return shlex.split(value) if isinstance(value, str) else value


def _volume(mount: Mount) -> JSON:
    """Return a mount in compose's long form. What a folder on the host lacks is made, as by the short form."""
    item: JSON = escaped_values(long_form(mount))
    if mount.type == "bind":
        item["bind"] = {"create_host_path": True, **item.get("bind", {})}
    return item
