"""`devbox image run`: a container of a framework's image that is no dev container: a server, or a command in a release.

The image's own package is what runs: the checkout is never mounted where it could stand before it.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox import units
from devbox.container import which
from devbox.devcontainer.gpu import gpu_args
from devbox.devcontainer.identity import CA_BUNDLE, volume_name
from devbox.devcontainer.writing.draft import CA_VARIABLES, CACHE_FOLDER, CACHE_VARIABLES
from devbox.devcontainer.writing.limits import limit_args
from devbox.engine.ports import ports
from devbox.engine.spec import ContainerSpec, Mount, container_args, must_be_name
from devbox.errors import DevboxError, EngineError, ImageError, RefusedError, UsageError
from devbox.facts import engine as engine_facts
from devbox.facts import gpu as gpu_facts
from devbox.facts import host as host_facts
from devbox.frameworks.load import load
from devbox.frameworks.model import RunRules
from devbox.image import names
from devbox.image.building.targets import known_stage
from devbox.image.registry.transfer import fetch
from devbox.masking import has_password, is_secret_name
from devbox.oneshot.handover import Handover, lost, program
from devbox.paths import runtime_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts, Gpus
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

JSON = dict[str, Any]

RUN_LABEL = "devbox.image.run"
# Where `--with-checkout` puts the checkout: no image has its package there.
CHECKOUT_FOLDER = "/mnt"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `devbox image run` was asked for. None and () mean the framework's own.

    `ports` may be ("none",). `checkout` is mounted below /mnt. `uid` is the host user's, whose caches are mounted.
    """

    image: str
    framework: Framework | None
    command: tuple[str, ...] = ()
    name: str | None = None
    gpus: str | None = None
    user: str | None = None
    ports: tuple[str, ...] = ()
    shm: str | None = None
    network: str | None = None
    entrypoint: str | None = None
    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    checkout: Path | None = None
    uid: int = 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The container, the variables that docker takes from its own environment, and what has to be done before.

    `owned` are volumes that have to belong to the user of the container, by their folders. `handover` has the variables
    that the container's configuration is not to know; where that cannot be, they are among `forwarded`, and `exposed`
    says so.
    """

    spec: ContainerSpec
    forwarded: tuple[str, ...]
    environ: Mapping[str, str] = field(hash=False, repr=False)
    owner: str = "0"
    owned: tuple[Mount, ...] = ()
    notes: tuple[str, ...] = ()
    handover: Handover | None = None
    exposed: str | None = None

    def args(self, *flags: str) -> list[str]:
        """Return the arguments after `docker`, with `flags` such as --rm and --detach."""
        variables = [word for name in self.forwarded for word in ("--env", name)]
        spec = self.spec if self.handover is None else self.handover.wrap(self.spec)
        return ["run", *flags, *variables, *container_args(spec)]

    def openly(self, reason: str) -> RunPlan:
        """Return the plan with the handed variables in the container's configuration, which `reason` makes necessary.

        `reason` is the second half of a sentence.
        """
        handed = self.handover.names if self.handover is not None else ()
        return replace(
            self,
            forwarded=(*self.forwarded, *handed),
            handover=None,
            exposed=f"docker inspect will show {', '.join(handed)}: {reason}" if handed else None,
        )

    def lines(self, engine: Engine, flags: Sequence[str]) -> list[str]:
        """Return the docker commands, as a person would type them."""
        first = [self.preparation()] if self.owned else []
        return [engine.line(one) for one in (*first, self.args(*flags))]

    def preparation(self) -> list[str]:
        """Return the arguments of the container that gives fresh volumes to the user, [] where none has to."""
        if not self.owned:
            return []
        mounts = [word for mount in self.owned for word in ("--mount", mount.csv())]
        first = ["run", "--rm", "--user", "0:0", "--network", "none", "--entrypoint", "chown", *mounts]
        return [*first, self.spec.image, self.owner, *(mount.target for mount in self.owned)]


class Chosen(NamedTuple):
    """What a command line means: the image, the stage that it is of where the name is devbox's own, and the framework.

    `found` is the inspected image, {} where it is not there yet; `framework` is None where none is known to be its.
    """

    image: str
    stage: str | None
    framework: Framework | None
    found: JSON

    def pulls(self, *, newer: bool) -> list[list[str]]:
        """Return what is run to have the image, as arguments after `docker`; `newer`: one that is there is not enough.

        For a dry run: the image itself is had by `have`.
        """
        return [["pull", self.image]] if self.stage is None and (newer or not self.found) else []


def choose(
    engine: Engine,
    workspace: Path,
    settings: Settings,
    word: str | None,
    reporter: Reporter,
    *,
    pull: bool = False,
    dry_run: bool = False,
) -> Chosen:
    """Return what `word` names, an image or a stage, by default the stage that the framework runs; the image is had.

    A word without a colon and a slash is a stage, unless an image is called so: then the framework is the one that was
    asked for, else the image's own or the checkout's. Raises UsageError and ImageError.
    """
    named = word is not None and (":" in word or "/" in word or engine.image(word) is not None)
    if not named:
        framework = which.framework_for(workspace, settings, reporter)
        stage = word or framework.run.stage
        known_stage(framework, stage)
        image = names.reference(framework, stage)
        found = have(engine, image, reporter, pull=pull, stage=stage, dry_run=dry_run)
        return Chosen(image, stage, framework, found)
    image = word or ""
    if ":" not in image and "/" not in image:
        reporter.info(f"note: {image} is an image on the engine, so no stage is meant")
    asked = which.framework_for(workspace, settings, reporter) if settings.asked("framework") else None
    found = have(engine, image, reporter, pull=pull, stage=None, dry_run=dry_run)
    return Chosen(image, None, asked or _made_for(workspace, settings, found, reporter), found)


def _made_for(workspace: Path, settings: Settings, found: JSON, reporter: Reporter) -> Framework | None:
    """Return the framework of an image that was named: that of its label, else that of the checkout, which is said.

    None where the label is of a framework that is not known here, and where the checkout is of none, or in doubt.
    """
    made = names.made_from(found)
    if made is not None:
        try:
            return load(made[0], made[1], workspace)
        except DevboxError:
            return None
    seen = which.frameworks(workspace, settings.framework)
    if len(seen) != 1:
        return None
    why = seen[0].why or f"{settings.origin('framework')} says so"
    reporter.info(f"note: with the ports, caches and limits of {seen[0].name}, because {why}")
    return load(seen[0].name, settings.variant or seen[0].variant, workspace)


def have(
    engine: Engine, image: str, reporter: Reporter, *, pull: bool, stage: str | None, dry_run: bool = False
) -> JSON:
    """Return the inspected `image`, pulled first if it is not there, or `pull` asks for it; {} for a dry run without.

    `stage` is set where the name is devbox's own, which no registry has. Raises ImageError.
    """
    found = engine.image(image)
    if dry_run:
        return found or {}
    if found is not None and not pull:
        return found
    if stage is not None:
        if found is not None:
            raise UsageError(f"{image} was built here, and no registry has it", hint=f"devbox image build {stage}")
        raise ImageError(
            f"there is no image {image} yet",
            hint=f"devbox image build {stage}   # or devbox image pull --stage {stage}, if somebody has built it",
        )
    reason = fetch(engine, image, reporter)
    pulled = engine.image(image)
    if pulled is None:
        raise ImageError(
            f"the image {image} is neither on the engine nor can it be pulled",
            hint="devbox image list   # the images that are there",
            detail=reason,
        )
    if reason is not None:
        reporter.warn(f"no newer {image} could be had: {reason}")
    return pulled


def plan(
    engine: Engine,
    request: RunRequest,
    image: JSON,
    network: Network,
    *,
    facts: EngineFacts | None = None,
    gpus: Gpus | None = None,
) -> RunPlan:
    """Return the container for `request` on the inspected `image`, {} where it is not there yet.

    The facts of the engine and its GPUs are gathered where the caller has none.
    Raises UsageError for what makes no sense or is taken, RefusedError for GPUs that cannot be had.
    """
    rules = request.framework.run if request.framework is not None else RunRules(caches=(), ports=())
    facts = engine_facts.gather(engine) if facts is None else facts
    wanted = request.gpus or ("auto" if request.framework is None or request.framework.gpu else "none")
    granted = gpu_args(wanted, gpu_facts.gather(engine, facts) if gpus is None else gpus, facts)
    if granted.denied:
        raise RefusedError(
            f"the GPUs {wanted} cannot be had: {granted.reason}", hint="--gpus none   # the same without them"
        )
    limits, notes = limit_args(facts)
    user = request.user or str((image.get("Config") or {}).get("User") or "0")
    publish = () if request.network == "host" else ports(request.ports, rules.ports)
    if facts.local:
        _must_be_free(engine, publish)
    if request.name is not None:
        _must_be_new(engine, request.name)
    caches = tuple(Mount("volume", f"{CACHE_FOLDER}/{name}", _volume(request.uid, user, name)) for name in rules.caches)
    plain, forwarded = _variables(request.env, engine.environ)
    env = {
        **dict(rules.env),
        **{CACHE_VARIABLES[name]: f"{CACHE_FOLDER}/{name}" for name in rules.caches if name in CACHE_VARIABLES},
    }
    if network.ca_bundle is not None:
        env |= dict.fromkeys(CA_VARIABLES, CA_BUNDLE)
    proxies = network.proxies()
    spec = ContainerSpec(
        image=request.image,
        command=request.command or rules.command,
        entrypoint=request.entrypoint if request.entrypoint is not None else rules.entrypoint,
        name=request.name,
        publish=publish,
        mounts=tuple(mount.csv() for mount in (*caches, *_binds(request, network))),
        labels=((RUN_LABEL, request.framework.name if request.framework is not None else ""),),
        env=tuple({**env, **plain}.items()),
        user=request.user,
        run_args=(*_shared_memory(request, rules), *limits, *granted.args, *_more(request, rules, local=facts.local)),
        init=True,
        cap_add=rules.cap_add,
        security_opt=rules.security_opt,
    )
    given = [name for name in (*rules.forward, *forwarded) if engine.environ.get(name)]
    given = list(dict.fromkeys([*given, *proxies]))
    values = {**engine.environ, **proxies}
    secret = tuple(name for name in given if is_secret_name(name) or has_password(values[name]))
    found = RunPlan(
        spec,
        tuple(name for name in given if name not in secret),
        proxies,
        owner=user,
        owned=() if user.partition(":")[0] in {"0", "root"} else caches,
        notes=(f"GPUs: {granted.reason}", *notes),
        handover=_handover(secret, program(image, spec.entrypoint, spec.command)),
    )
    if not facts.local:
        return found.openly("the engine runs on another machine")
    of_image = (word.partition("=")[0] for word in (image.get("Config") or {}).get("Env") or ())
    odd = lost((*of_image, *env, *plain, *given))
    return found.openly(f"a shell does not pass on {', '.join(odd)}") if odd else found


def _handover(secret: tuple[str, ...], words: tuple[str, ...]) -> Handover | None:
    """Return the handover of `secret` to a program; None where there is nothing to hand over, or nobody to take it."""
    if not secret or not words:
        return None
    # Each start has a pipe of its own.
    return Handover(secret, runtime_dir() / f"run-{os.urandom(8).hex()}" / "environment", words)


def _volume(uid: int, user: str, name: str) -> str:
    """Return the volume of a cache for the user inside, in docker's notation."""
    inside = user.partition(":")[0]
    return volume_name(uid, name, inside="0" if inside == "root" else inside or None)


def _variables(words: Iterable[str], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Read `--env`: those with a value, and the names of those that come from docker's own environment."""
    plain, by_name = {}, []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and is_secret_name(name):
            raise UsageError(
                f"{name} looks like a secret, which would be seen in the container's description",
                hint=f"export {name}=…   # then --env {name}, without a value",
            )
        if equals:
            plain[name] = value
        elif name not in environ:
            raise UsageError(f"--env {name}: the variable is not set", hint=f"--env {name}=VALUE")
        else:
            by_name.append(name)
    return plain, by_name


def _binds(request: RunRequest, network: Network) -> list[Mount]:
    mounts = []
    if network.ca_bundle is not None:
        mounts.append(Mount("bind", CA_BUNDLE, str(network.ca_bundle), readonly=True))
    if request.checkout is not None:
        mounts.append(Mount("bind", f"{CHECKOUT_FOLDER}/{request.checkout.name}", str(request.checkout)))
    return mounts


def _shared_memory(request: RunRequest, rules: RunRules) -> tuple[str, ...]:
    """Return the host's ipc, or a size of /dev/shm: docker ignores the size beside the host's ipc."""
    size = request.shm or (rules.shm if rules.ipc == "private" else None)
    if size is not None:
        if units.size(size) is None:
            raise UsageError(f"'{size}' is no size", hint="--shm 16g")
        return (f"--shm-size={size}",)
    return ("--ipc=host",) if rules.ipc == "host" else ()


def _more(request: RunRequest, rules: RunRules, *, local: bool) -> tuple[str, ...]:
    groups = [host_facts.group(name) if local else name for name in rules.groups]
    words = [f"--device={device}" for device in rules.devices] + [f"--group-add={group}" for group in groups]
    words += [f"--volume={volume}" for volume in request.volumes]
    words += [f"--network={request.network}"] if request.network else []
    words += [f"--workdir={rules.workdir}"] if rules.workdir else []
    return tuple(words)


def _must_be_free(engine: Engine, published: Iterable[str]) -> None:
    """Raise UsageError for a port of this machine that is taken, naming the container that has it."""
    for word in published:
        place, _, _ = word.rpartition(":")
        host, _, port = place.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    holder = _holder(engine, port)
                    raise UsageError(
                        f"the port {port} is taken{f' by the container {holder}' if holder else ''}",
                        hint=f"--port {int(port) + 1}:{word.rpartition(':')[2]}",
                    ) from None
                if error.errno == errno.EACCES:
                    continue  # the engine is root and may
                raise UsageError(f"the address {host} of --port {word} is none of this machine's") from None


def _holder(engine: Engine, port: str) -> str | None:
    try:
        lines = engine.run(["ps", "--filter", f"publish={port}", "--format", "{{.Names}}"]).stdout.split()
    except EngineError:
        return None
    return lines[0] if lines else None


def _must_be_new(engine: Engine, name: str) -> None:
    must_be_name(name)
    there = engine.container(name)
    if there is not None:
        state = (there.get("State") or {}).get("Status", "there")
        raise UsageError(
            f"there is a container {name} already, {state}", hint=f"docker rm --force {name}   # or --name OTHER"
        )
