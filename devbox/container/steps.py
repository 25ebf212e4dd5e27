"""The steps of `up`, as values: what each is called, and the commands that a dry run prints. `apply` does them."""

from __future__ import annotations

import shlex
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.compose.model import NUMBER, PROJECT, SERVICE
from devbox.engine.spec import ContainerSpec, container_args
from devbox.masking import is_secret
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.config.network import Network
    from devbox.container.contract.author import Draft
    from devbox.container.up.compose import ServiceBuild
    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.engine.kubernetes.spec import PodSpec
    from devbox.engine.spec import ImageBuild
    from devbox.frameworks.model import Framework
    from devbox.image.base.choose import BaseChoice
    from devbox.image.features.layer import Layer

JSON = dict[str, Any]

# On a container that was made to take another one's place: that one's id.
REPLACES = "devbox.replaces"
# What follows its name for as long as it has not taken the place.
NEXT = "-next"


@dataclass(frozen=True, slots=True)
class Actual:
    """The container that is there. `recorded` is its recorded state.

    `state` is docker's word. `sessions` are the commands that are executed in it now, other than devbox's own probes.
    """

    id: str
    name: str
    state: str
    recorded: JSON = field(hash=False)
    sessions: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def busy(self) -> bool:
        """Whether its processes are there."""
        return self.state in {"running", "restarting", "paused"}


@dataclass(frozen=True, slots=True)
class HaveBase:
    """Pull or make the base image of a framework."""

    framework: Framework
    choice: BaseChoice
    network: Network

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Having the base image {self.choice.image}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the commands, with what is done where the pull fails."""
        return self.choice.lines(engine)


@dataclass(frozen=True, slots=True)
class WriteContract:
    """Write the files of a contract that are not as they should be: `paths`.

    With `tried` they are taken back where no container comes up by them; `force` overwrites what somebody has edited.
    """

    draft: Draft
    paths: tuple[Path, ...]
    tried: bool = False
    force: bool = False

    @property
    def title(self) -> str:
        """What the step is called."""
        return "Writing the contract"

    def lines(self, engine: Engine) -> list[str]:  # noqa: ARG002
        """Return the files."""
        return [f"# write {path}" for path in self.paths]


@dataclass(frozen=True, slots=True)
class PullImage:
    """Pull an image. `there` tells that one of the name is on the engine, and is good where no newer one can be had.

    `what` it is, and `hint`, are for the error.
    """

    reference: str
    there: bool
    what: str
    hint: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Pulling {self.reference}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        rest = ["# where that fails, the one that is on the engine is taken"] if self.there else []
        return [engine.line(["pull", self.reference]), *rest]


@dataclass(frozen=True, slots=True)
class MakeBase:
    """Make a package base, by its name: it is in no registry."""

    reference: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Making {self.reference}"

    def lines(self, engine: Engine) -> list[str]:  # noqa: ARG002
        """Return the command."""
        from devbox.image.base.package import made_by

        return [made_by(self.reference)]


@dataclass(frozen=True, slots=True)
class BuildImage:
    """Build an image. `digest` stands for what it is made from, `environ` has the values that are passed by name.

    `notes` say what of its inputs is not looked at in full.
    """

    title: str
    build: ImageBuild
    digest: str
    environ: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    notes: tuple[str, ...] = ()

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(engine.build_args(self.build))]


@dataclass(frozen=True, slots=True)
class BuildService:
    """Have docker compose build the image of the service that is the dev container of `contract`."""

    contract: Contract = field(hash=False)
    service: str
    build: ServiceBuild

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Building the service {self.service}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command, after what the file that it names holds."""
        return [*model_lines(engine, self.build.project), engine.line(self.build.args)]


def model_lines(engine: Engine, project: Project) -> list[str]:
    """Return what the file holds in which docker compose gets a project as it was judged."""
    args = ["compose", "--project-name", project.name, *project.sources.args(), "config", *project.asked]
    return [f"# {project.path} is what this says: {engine.line(args)}"]


@dataclass(frozen=True, slots=True)
class LockFeatures:
    """Write the lock file of a contract's Features."""

    path: Path
    text: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return "Writing the lock file of the Features"

    def lines(self, engine: Engine) -> list[str]:  # noqa: ARG002
        """Return the file."""
        return [f"# write {self.path}"]


@dataclass(frozen=True, slots=True)
class InstallFeatures:
    """Install Features in a layer on an image. `environ` are the proxies of a build."""

    layer: Layer
    network: Network
    environ: Mapping[str, str] = field(hash=False, repr=False)

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Installing Features: {', '.join(step.feature.metadata.id for step in self.layer.steps)}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(engine.build_args(self.layer.build(self.layer.digest(), self.network)))]


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder on the host that the container mounts, for its owner alone."""

    path: Path

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Making the folder {self.path}"

    def lines(self, engine: Engine) -> list[str]:  # noqa: ARG002
        """Return the command."""
        return [shlex.join(["mkdir", "-p", "-m", "700", str(self.path)])]


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container; its named volumes stay."""

    id: str
    name: str

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Removing the container {self.name}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(engine.removal(self.name))]


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create a container and start it."""

    spec: ContainerSpec

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Creating the container {self.spec.called}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(["run", "--detach", *container_args(self.spec)])]


@dataclass(frozen=True, slots=True)
class ShareImage:
    """Take an image of the engine to where nodes have it: pushed to a registry, or handed to the command `load`."""

    image: str
    shared: str
    load: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Taking the image {self.image} to the cluster"

    def lines(self, engine: Engine) -> list[str]:
        """Return the commands."""
        docker = engine.images
        if self.load:
            return [f"{docker.line(['save', self.image])} | {shlex.join(self.load)}"]
        return [docker.line(["tag", self.image, self.shared]), docker.line(["push", self.shared])]


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make a pod, and its claim where it has none yet, and wait until commands can be executed in it."""

    spec: PodSpec

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Creating the pod {self.spec.name}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the commands of kubectl, with what they are told."""
        from devbox.engine.kubernetes.spec import written

        create = engine.line(["create", "--filename=-"])
        made = [self.spec.claim_manifest()] if self.spec.folders else []
        return [f"{create} <<'END'\n{written(one)}\nEND" for one in (*made, self.spec.manifest())]


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a container that is stopped."""

    id: str
    name: str
    paused: bool = False

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Starting the container {self.name}"

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command."""
        return [engine.line(["unpause" if self.paused else "start", self.name])]


@dataclass(frozen=True, slots=True)
class ComposeUp:
    """`docker compose up` of a project: make and start what of its services is not there, or not as the files say.

    `model` is the project as it was judged, and is written first; None where the containers are started as they are.
    `spec` has the override on top of it, if any. `services` are named; none means all that start by themselves. With
    `keep` no container is replaced, with `alone` nothing else is started. `made` is set where containers are only
    created: so many of the one service that is named.
    """

    project: str
    model: Project | None
    spec: ProjectSpec | None = None
    services: tuple[str, ...] = ()
    keep: bool = False
    alone: bool = False
    made: int | None = None

    @property
    def title(self) -> str:
        """What the step is called."""
        which = f" ({', '.join(self.services)})" if self.services else ""
        return f"Starting the services of {self.project}{which}"

    def args(self) -> list[str]:
        """Return the arguments for docker."""
        if self.model is None:
            return ["compose", "--project-name", self.project, "start", *self.services]
        args = self.model.args() if self.spec is None else self.spec.args()
        flags = [*(["--no-recreate"] if self.keep else []), *(["--no-deps"] if self.alone else [])]
        if self.made is None:
            return [*args, "up", "--detach", *flags, *self.services]
        scale = [word for name in self.services for word in ("--scale", f"{name}={self.made}")]
        return [*args, "up", "--no-start", *flags, *scale, *self.services]

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker command, after what the files that it names hold."""
        content = [] if self.model is None else model_lines(engine, self.model)
        if self.spec is not None:
            content += [f"# {self.spec.path} is:", *(f"#   {line}" for line in self.spec.shown(is_secret).splitlines())]
        return [*content, engine.line(self.args())]


@dataclass(frozen=True, slots=True)
class Replace:
    """Put a new container in the place of `old`, which stays until the new one has started.

    The new one is called otherwise until then, and its label says whose place it takes, so that a swap that was
    interrupted anywhere can be told, and finished. With `halted` it is left stopped: others have to start before it.
    `user` is the one that commands in it are to have, `folder` where they are to start.
    """

    old: Actual
    spec: ContainerSpec | ProjectSpec
    halted: bool = False
    user: str | None = None
    folder: str = ""

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Replacing the container {self.old.name}"

    @property
    def temporary(self) -> str:
        """The name of the new one until it takes the place."""
        return f"{self.spec.called}{NEXT}"

    def creation(self) -> ContainerSpec | ComposeUp:
        """Return the new container as it is made."""
        if isinstance(self.spec, ContainerSpec):
            # Of several names docker takes the last.
            labels = (*self.spec.labels, (REPLACES, self.old.id))
            return replace(
                self.spec, name=None, labels=labels, run_args=(*self.spec.run_args, f"--name={self.temporary}")
            )
        from devbox.devcontainer.compose.override import without_name

        project = self.spec.project
        beside = (self.old.labels.get(PROJECT), self.old.labels.get(SERVICE)) == (project.name, project.service)
        spec = without_name(self.spec) if beside and project.definition.get("container_name") else self.spec
        made = 2 if beside else 1
        return ComposeUp(project.name, project, spec, (project.service,), keep=True, made=made)

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands."""
        made = self.creation()
        new, old = self.temporary, self.old.name
        if isinstance(made, ContainerSpec):
            first = [engine.line(["create", *container_args(made)])]
        else:
            number = int(self.old.labels.get(NUMBER, "0")) + 1 if made.made == 2 else 1
            named = f"{made.project}-{made.services[0]}-{number}" if made.made == 2 else self.spec.called
            first = [*made.lines(engine), engine.line(["rename", named, new])]
        rest = [
            *([["stop", old]] if self.old.busy else []),
            ["start", new],
            *([["stop", new]] if self.halted else []),
            ["rm", "--force", "--volumes", old],
            ["rename", new, self.spec.called],
        ]
        return [*first, *map(engine.line, rest)]


@dataclass(frozen=True, slots=True)
class FinishReplacing:
    """Finish a swap that was interrupted after the new container had started: remove the old one, take its name."""

    id: str
    name: str
    old: str | None

    @property
    def title(self) -> str:
        """What the step is called."""
        return f"Finishing the replacement of the container {self.called}"

    @property
    def called(self) -> str:
        """The name that it gets."""
        return self.name.removesuffix(NEXT)

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands."""
        removal = [engine.line(["rm", "--force", "--volumes", self.old[:12]])] if self.old else []
        return [*removal, engine.line(["rename", self.name, self.called])]


Images = HaveBase | PullImage | MakeBase | BuildImage | BuildService | InstallFeatures
Files = Images | WriteContract | LockFeatures | MakeFolder
Containers = (
    RemoveContainer | CreateContainer | StartContainer | ComposeUp | Replace | FinishReplacing | ShareImage | CreatePod
)
Step = Files | Containers
