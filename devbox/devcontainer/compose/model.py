"""A compose project as a value: its services, the image of the dev container, and what drift is measured against.

Nothing here asks docker. What docker compose makes of the files comes in as the JSON of `docker compose config`.
"""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.devcontainer.identity import absolute
from devbox.engine.spec import csv_record
from devbox.masking import MASK
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from devbox.devcontainer.compose.sources import Sources
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import BuildRecipe, Contract

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"
# By this part of its name the reference finds the override of a stopped container again.
OVERRIDE_NAME = "docker-compose.devcontainer.containerFeatures"

# What of a build section `docker buildx build` is told in the same words.
_BUILD_KEYS = frozenset({
    "context", "dockerfile", "args", "target", "cache_from", "additional_contexts", "ssh", "network", "extra_hosts",
    "shm_size", "labels", "platforms", "secrets",
})  # fmt: skip
# How a build reaches the network is not what it makes: passed by name, as docker's own proxy arguments.
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})
# Of a service: what does not make its container another one, or is compared by itself.
_NOT_THE_CONTAINER = frozenset({"image", "build", "depends_on", "profiles", "environment", "pull_policy", "develop"})


@dataclass(frozen=True, slots=True)
class Project:
    """A compose project and the service that is the dev container.

    `config` is what `docker compose config` says of the services that may run, which are `asked` for by name or are
    all, without the values that look like secrets. It is judged, and written to `path` for docker compose to run;
    `proof` is a digest of it with these values. What lies in `workspace` and is mounted has to stay there; it is
    `copied` where the engine does not see it. `profiles` are the active ones. `reads` is what the files take from the
    host, each with its kind, `warnings` what is odd about them.
    """

    name: str
    sources: Sources
    path: Path
    service: str
    run_services: tuple[str, ...]
    config: JSON = field(hash=False)
    proof: str = ""
    workspace: str = "/"
    asked: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    reads: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    copied: bool = False

    @property
    def definition(self) -> JSON:
        """The service, as docker compose understood it."""
        definition: JSON = self.config["services"][self.service]
        return definition

    @property
    def image(self) -> str:
        """The name of the service's image: the one it says, or the one that docker compose gives to what it builds."""
        return str(self.definition.get("image") or f"{self.name}-{self.service}")

    @property
    def container_name(self) -> str:
        """The name of the service's container."""
        return str(self.definition.get("container_name") or f"{self.name}-{self.service}-1")

    def args(self) -> list[str]:
        """Return the arguments of docker that name the project as it was judged."""
        profiles = [f"--profile={profile}" for profile in self.profiles]
        folder = ["--project-directory", str(self.sources.files[0].parent)]
        return ["compose", "--project-name", self.name, *folder, *profiles, "-f", str(self.path)]

    def named(self) -> tuple[str, ...]:
        """Return the services to name at `docker compose up`; none where it starts all that are to run by itself."""
        enabled = [name for name in self.config["services"] if self._is_enabled(name)]
        chosen = self.run_services or (() if self.service in enabled else tuple(enabled))
        return tuple(dict.fromkeys([*chosen, self.service])) if chosen or self.service not in enabled else ()

    def started(self) -> tuple[str, ...]:
        """Return the services that run when the dev container does: those that are named, and what they depend on."""
        services = self.config["services"]
        return self._closure(self.named() or [name for name in services if self._is_enabled(name)])

    def needs(self) -> tuple[str, ...]:
        """Return the services that the dev container depends on, and those that these do."""
        return self._closure(self.definition.get("depends_on") or ())

    def _closure(self, names: Iterable[str]) -> tuple[str, ...]:
        services = self.config["services"]
        waiting = list(names)
        found: dict[str, None] = {}
        while waiting:
            name = waiting.pop()
            if name not in found and name in services and not _is_none(services[name]):
                found[name] = None
                waiting += services[name].get("depends_on") or ()
        return tuple(sorted(found))

    def run_once(self) -> set[str]:
        """Return the services that others wait for to end: migrations, downloads."""
        conditions = [service.get("depends_on") or {} for service in self.config["services"].values()]
        return {
            name
            for waited in conditions
            for name, how in waited.items()
            if (how or {}).get("condition") == "service_completed_successfully"
        }

    def _is_enabled(self, service: str) -> bool:
        profiles = self.config["services"][service].get("profiles") or ()
        return not profiles or "*" in self.profiles or any(one in self.profiles for one in profiles)


def _is_none(service: JSON) -> bool:
    """Tell whether a service is to have no container."""
    return 0 in (service.get("scale"), (service.get("deploy") or {}).get("replicas"))


def without_secrets(
    config: JSON, is_secret: Callable[[str, str], bool], instead: Callable[[str], str] = lambda _: MASK
) -> JSON:
    """Return a resolved configuration with something else `instead` of the values of variables like secrets."""

    def hidden(section: JSON, key: str) -> JSON:
        values = section.get(key)
        if not isinstance(values, dict):
            return section
        shown = {
            name: instead(str(value)) if value is not None and is_secret(name, str(value)) else value
            for name, value in values.items()
        }
        return {**section, key: shown}

    services = {}
    for name, service in (config.get("services") or {}).items():
        changed = dict(hidden(service, "environment"))
        if isinstance(service.get("build"), dict):
            changed["build"] = hidden(service["build"], "args")
        services[name] = changed
    return {**config, "services": services}


def as_image_contract(contract: Contract, project: Project, environ: Mapping[str, str]) -> Contract | None:
    """Return the contract whose image is the service's: an image contract, or one that builds as the service does.

    None where only docker compose itself can build it. An argument whose value is hidden is passed by its name where
    `environ` has it.
    """
    build = project.definition.get("build")
    if build is None:
        return replace(contract, kind="image", image=project.image, build=None)
    recipe = _recipe(build, project.config.get("secrets") or {}, environ)
    return None if recipe is None else replace(contract, kind="build", image=None, build=recipe)


def _recipe(build: JSON, secrets: JSON, environ: Mapping[str, str]) -> BuildRecipe | None:
    from devbox.devcontainer.model import BuildRecipe

    context = str(build.get("context", ""))
    arguments = {name: value for name, value in (build.get("args") or {}).items() if value is not None}
    by_name = [name for name, value in arguments.items() if value == MASK or name.upper() in _PROXIES]
    files = [(item["source"], (secrets.get(item["source"]) or {}).get("file")) for item in build.get("secrets") or ()]
    if (
        not build.keys() <= _BUILD_KEYS
        or not context.startswith("/")
        or not all(name in environ for name in by_name)
        or not all(file for _, file in files)
    ):
        return None
    options = [f"--build-arg={name}" for name in by_name]
    options += [f"--build-context={name}={place}" for name, place in (build.get("additional_contexts") or {}).items()]
    options += ["--secret=" + csv_record([f"id={name}", f"src={file}"]) for name, file in files]
    options += [f"--ssh={item}" for item in build.get("ssh") or ()]
    options += [f"--network={build['network']}"] if build.get("network") else []
    options += [f"--add-host={item.replace('=', ':', 1)}" for item in build.get("extra_hosts") or ()]
    options += [f"--shm-size={build['shm_size']}"] if build.get("shm_size") else []
    options += [f"--label={name}={value}" for name, value in (build.get("labels") or {}).items()]
    options += [f"--platform={','.join(build['platforms'])}"] if build.get("platforms") else []
    return BuildRecipe(
        dockerfile=Path(absolute(Path(context, build.get("dockerfile") or "Dockerfile"))),
        context=Path(context),
        target=build.get("target"),
        args=tuple((name, str(value)) for name, value in arguments.items() if name not in by_name),
        cache_from=tuple(build.get("cache_from") or ()),
        options=tuple(options),
    )


def state(project: Project) -> JSON:
    """Return what of a project makes its dev container another one, for the record that drift is measured against."""
    definition = project.definition
    used = {item.get("source") for item in definition.get("volumes") or () if item.get("type") == "volume"}
    volumes = {name: value for name, value in (project.config.get("volumes") or {}).items() if name in used}
    return {
        "project": project.name,
        "serviceName": project.service,
        "service": {key: value for key, value in definition.items() if key not in _NOT_THE_CONTAINER and value},
        "volumes": volumes,
    }
