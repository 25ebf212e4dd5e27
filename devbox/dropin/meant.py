"""What a command line means: which devcontainer.json, for which folder, and which container."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.container.checkout.git_mounts import with_repository
from devbox.container.inside.find import containers_of
from devbox.container.target import CONFIG_FILE
from devbox.devcontainer import jsonc
from devbox.devcontainer.find import FLAT, FOLDER, NAME
from devbox.devcontainer.identity import absolute
from devbox.devcontainer.model import Variation
from devbox.devcontainer.read import read
from devbox.engine.docker import Engine
from devbox.engine.spec import Mount
from devbox.errors import ContractError, DevboxError
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.container.hooks.commands import Extent
    from devbox.devcontainer.model import Contract
    from devbox.dropin.arguments import Arguments

JSON = dict[str, Any]

_PREBUILD = "updateContentCommand"


@dataclass(frozen=True, slots=True)
class Meant:
    """What a command line is about. `config` is None where only a container is named.

    `placed` is false where no folder is named: the container alone says where one is in it.
    """

    engine: Engine
    workspace: Path
    config: Path | None
    variation: Variation
    container: str | None = None
    placed: bool = True

    def contract(self, *, partial: bool = False) -> Contract | None:
        """Return the contract, read; None where there is none in question. Raises ContractError; see `read`."""
        if self.config is None:
            return None
        found = read(self.config, self.workspace, self.engine.environ, variation=self.variation, partial=partial)
        return with_repository(found)

    def contract_of(self, inspected: JSON | None) -> Contract:
        """Return the contract that goes with a container; one that says nothing where only the container is named."""
        found = self.contract(partial=True)
        if found is None:
            path = self.workspace / FLAT
            found = read(path, self.workspace, self.engine.environ, text="{}", variation=self.variation, partial=True)
        if self.placed:
            return found
        place = found.config.get("workspaceFolder") or (inspected or {}).get("Config", {}).get("WorkingDir") or "/"
        return replace(found, workspace_folder=str(place), workspace_mount=None)

    def find(self) -> JSON | None:
        """Return the inspected container that is there: the one that is named, else the one of the labels."""
        if self.container is not None:
            return self.engine.container(self.container)
        if self.variation.labels:
            found = self.engine.containers(dict(self.variation.labels))
        else:
            every = containers_of(self.engine, str(self.workspace))
            found = tuple(one for one in every if one.labels.get(CONFIG_FILE, str(self.config)) == str(self.config))
        best = max(found, key=lambda one: (CONFIG_FILE in one.labels, one.running, one.created), default=None)
        return None if best is None else self.engine.container(best.id)

    def there(self) -> JSON:
        """Return the inspected container. Raises DevboxError where there is none."""
        found = self.find()
        if found is None:
            raise DevboxError("Dev container not found.")
        return found

    def running(self) -> JSON:
        """Return the inspected container. Raises DevboxError where there is none, or it is stopped."""
        found = self.there()
        if not found["State"].get("Running"):
            raise DevboxError("Dev container is not running.", hint="devcontainer up")
        return found


def meant(arguments: Arguments) -> Meant:
    """Return what a command line is about. Raises ContractError where there is no such devcontainer.json."""
    engine = Engine(docker=arguments.text("docker-path") or "docker", environ=os.environ)
    folder, override = arguments.text("workspace-folder"), arguments.text("override-config")
    config, container = arguments.text("config"), arguments.text("container-id")
    elsewhere = container or arguments.many("id-label") or (override and arguments.command_is("up"))
    workspace = Path(absolute(folder or "."))
    named = None if config is None else Path(absolute(config))
    placed = folder is not None or not elsewhere
    if named is None and placed:
        named = config_of(workspace, there=override is None)
    elif named is None and override is not None:
        named = Path(absolute(override))
    if named is not None and override is None and not named.is_file():
        raise not_found(named)
    return Meant(engine, workspace, named, variation(arguments), container, placed)


def config_of(workspace: Path, *, there: bool = True) -> Path:
    """Return the devcontainer.json that every tool finds first. Raises ContractError where it must be `there`."""
    places = (workspace / FOLDER / NAME, workspace / FLAT)
    found = next((path for path in places if path.is_file()), None)
    if found is None and there:
        raise not_found(places[0])
    return found or places[0]


def not_found(path: Path) -> ContractError:
    """Return the error for a devcontainer.json that is not there."""
    return ContractError(f"Dev container config ({path}) not found.")


def variation(arguments: Arguments) -> Variation:
    """Return what the command line says beside the devcontainer.json. Raises ContractError."""
    override = arguments.text("override-config")
    mounts = tuple(Mount.parse(text.partition(",external=")[0]).csv() for text in arguments.many("mount"))
    probe: Any = arguments.text("default-user-env-probe")
    host_ids: Any = arguments.text("update-remote-user-uid-default") or "on"
    gpus: Any = arguments.text("gpu-availability") or "detect"
    return Variation(
        content=None if override is None else Path(absolute(override)),
        labels=arguments.pairs("id-label"),
        features=features(arguments),
        mounts=mounts,
        git_root=arguments.text("mount-workspace-git-root") != "false",
        probe=probe,
        host_ids=host_ids,
        gpus=gpus,
        cache_from=arguments.many("cache-from"),
        no_cache=arguments.on("no-cache") or arguments.on("build-no-cache"),
        features_lock=features_lock(arguments),
        remote_env=arguments.pairs("remote-env"),
        remote_env_in_label=not arguments.on("omit-config-remote-env-from-metadata"),
        feature_tools_in_label=not arguments.on("skip-persisting-customizations-from-features"),
        lenient=True,
    )


def features_lock(arguments: Arguments) -> str | None:
    """Return what the options say of the lock file of Features, as the setting has it."""
    if arguments.on("no-lockfile"):
        return "off"
    return "frozen" if arguments.on("frozen-lockfile") or arguments.on("experimental-frozen-lockfile") else None


def features(arguments: Arguments) -> JSON:
    """Return the Features that come on top of the contract's. Raises ContractError where they are no JSON object."""
    text = arguments.text("additional-features")
    return dict(jsonc.loads(text, Path("--additional-features"))) if text else {}


def trusts(about: Meant) -> bool:
    """Tell whether the person's own settings agree in advance to what a contract of this workspace reaches."""
    from devbox import config

    settings = config.load(about.workspace, environ=about.engine.environ, flags={})
    return settings.devcontainer_trust == "always"


def settings_of(arguments: Arguments) -> JSON:
    """Return the options that are settings of devbox's, by their keys."""
    return {
        name.replace("-", "_"): arguments.text(name)
        for name in ("dotfiles-repository", "dotfiles-install-command", "dotfiles-target-path")
        if arguments.text(name) and arguments.text("dotfiles-repository")
    }


def extent(arguments: Arguments) -> Extent:
    """Return which of the lifecycle commands in the container are meant."""
    from devbox.container.hooks.commands import ALL, Extent

    attach = not arguments.on("skip-post-attach")
    if arguments.on("skip-post-create"):
        return Extent(inside=False)
    if arguments.on("skip-non-blocking-commands"):
        return Extent(blocking=True, attach=attach, again=_PREBUILD if arguments.on("prebuild") else None)
    if arguments.on("prebuild"):
        return Extent(until=_PREBUILD, again=_PREBUILD)
    if arguments.on("stop-for-personalization"):
        return Extent(until="dotfiles")
    return ALL if attach else Extent(attach=False)
