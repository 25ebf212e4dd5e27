"""What a contract is written from, and what comes of it: values."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.devcontainer.record import PERSONAL, Form
from devbox.devcontainer.writing.additions import Additions
from devbox.devcontainer.writing.limits import UNCLAMPED
from devbox.engine.spec import csv_record
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.config.network import Network
    from devbox.devcontainer.find import Placement
    from devbox.devcontainer.gpu import Grant
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.users import ContainerUser
    from devbox.devcontainer.writing.repositories import Repository
    from devbox.facts.model import Checkout
    from devbox.frameworks.arch import Arch
    from devbox.frameworks.model import Framework, Pairs, Service

# As the specification spells it: it is replaced by whoever runs the contract.
WORKSPACE = "${localWorkspaceFolder}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is built, and with what. A context's path is absolute, or relative to the workspace.

    `forwarded` are build arguments that are named without a value: docker takes them from the client's environment if
    they are there, so that a proxy's password is in no file and no argv. BuildKit keeps them out of the history.
    """

    dockerfile: str
    target: str
    args: Pairs
    contexts: Pairs
    secrets: Pairs
    forwarded: tuple[str, ...] = ()

    def options(self) -> list[str]:
        """Return `build.options` of a devcontainer.json: the parts of the recipe that it has no key for."""
        options: list[str] = []
        for name, path in self.contexts:
            options += ["--build-context", f"{name}={path if Path(path).is_absolute() else f'{WORKSPACE}/{path}'}"]
        for name, path in self.secrets:
            options += ["--secret", csv_record([f"id={name}", f"src={path}"])]
        for name in self.forwarded:
            options += ["--build-arg", name]
        return options


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """All that a generated contract depends on.

    `owner` is the uid of the person whose volumes are mounted; None in the shared form. `guest` is the uid inside where
    it is not the one that stands for that person: it has caches of its own, because files of two users in one would
    lock either out. `gpu` and `limits` (arguments for `docker run`) are what the engine can grant. `arch` is None where
    every machine is to find its own. `choices` are what a person asked for, as it was written: they are recorded, so
    that the next contract can be made from them. `settings` are those of files and variables that it was made by,
    recorded to tell when they are others. `ssh_agent` is the host folder in which devbox keeps a socket to the user's
    agent, if it is to be mounted. `environ` is the host's environment: it tells by which name a proxy's URL that holds
    a password can be passed on without being written down. The members of the host's group `cache_group` share their
    compiler caches. `devices` are the host's device files of hardware that is no GPU of NVIDIA's, `device_groups` the
    ids to which they belong here, None where every machine has its own. `additions` are what the person adds, which
    wins over what devbox says.
    """

    checkout: Checkout
    framework: Framework
    recipe: Recipe
    user: ContainerUser
    placement: Placement
    network: Network
    owner: int | None = None
    guest: int | None = None
    form: Form = PERSONAL
    arch: Arch | None = None
    gpu: Grant | None = None
    limits: tuple[str, ...] = UNCLAMPED
    services: tuple[Service, ...] = ()
    repositories: tuple[Repository, ...] = ()
    devices: tuple[str, ...] = ()
    device_groups: tuple[str, ...] | None = None
    additions: Additions = field(default_factory=Additions)
    ccache_size: str = "20G"
    cache_group: int | None = None
    container_name: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    ssh_agent: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the user is a member of besides its own: that of the caches, and those of the devices."""
        cache = (str(self.cache_group),) if self.cache_group is not None else ()
        known = self.framework.run.groups if self.device_groups is None else self.device_groups
        return (*cache, *(known if self.devices else ()))


@dataclass(frozen=True, slots=True)
class Generated:
    """The files of a contract, (path relative to the workspace, text), the devcontainer.json first; and its content.

    `shared` files are meant to be committed.
    """

    files: tuple[tuple[str, str], ...]
    devcontainer: JSON = field(hash=False)
    shared: bool = False
