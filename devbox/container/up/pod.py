"""A contract as a pod: what `docker run` would make, put into a cluster's words, and how it gets there.

The engine of this machine builds the image; a registry, or a command for nodes that are local, takes it to the cluster.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from devbox.container import memory, which
from devbox.container.desired import Desired, canonical
from devbox.container.inside.probe import CONTRACT_LABEL
from devbox.container.steps import CreatePod, ShareImage
from devbox.container.up.runtime import SingleRuntime
from devbox.devcontainer.identity import workspace_hash
from devbox.devcontainer.requirements import demanded_gpu
from devbox.engine.api import patience
from devbox.engine.docker import ANSWER_SECONDS
from devbox.engine.exec import Exec
from devbox.engine.kubernetes.cluster import Cluster
from devbox.engine.kubernetes.spec import IMAGE, Amount, PodSpec, Toleration, Wishes
from devbox.engine.kubernetes.translate import Called, Who, named, pod_of
from devbox.engine.process import NoAnswerError
from devbox.errors import EngineError, RefusedError, last_lines

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.container.contract.inforce import InForce
    from devbox.container.desired import Image, UserImage
    from devbox.container.request import UpRequest
    from devbox.container.up.apply import Journal
    from devbox.container.up.plan import Plan
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.engine.kubernetes.spec import PullPolicy
    from devbox.engine.spec import ContainerSpec
    from devbox.masking import Mask
    from devbox.reporter import Reporter

JSON = dict[str, Any]

# Which images were handed to nodes, by place and name: their ids.
_LOADED = "loaded"
# Where nodes look for a name without a registry.
_LIBRARY = "docker.io/library"
_IDS = 'id -u "$1" && id -g "$1"'
# Of a build whose memory nobody knows, in MiB.
_PER_JOB = 2048
_NUMBER = re.compile(r"[0-9]{1,10}")
# Of what devbox has started in it, less this question itself; a build's compilers descend from its agent.
_WORKING = r"""
for p in $(grep -lsF DEVBOX_EXEC_ID= /proc/[0-9]*/environ); do
  d=${p%/environ}
  read -r _ _ _ parent _ 2>/dev/null <"$d/stat" || continue
  grep -qsF DEVBOX_EXEC_ID= "/proc/$parent/environ" && continue
  tr '\0' ' ' <"$d/cmdline"; echo
done
"""


def _must_be_single(contract: Contract) -> None:
    if contract.kind == "compose":
        raise RefusedError(
            f"{contract.path} is a compose project, and a pod is one container",
            hint="devbox up --on docker   # or a contract with an image or a build",
        )


def wishes_of(settings: Settings, owner: str, per_job: int) -> Wishes:
    """Return what a person wants of a cluster; a compiler takes `per_job` MiB."""
    cpus = Amount.parse(settings.kubernetes_cpus)
    most = settings.kubernetes_memory
    return Wishes(
        owner=owner,
        cpus=cpus,
        memory=Amount.parse(most) if most else Amount(f"{jobs(cpus.request) * per_job}Mi"),
        gpus=settings.kubernetes_gpus,
        shm=settings.kubernetes_shm,
        claim_size=settings.kubernetes_claim_size,
        storage_class=settings.kubernetes_storage_class,
        node_selector=tuple(
            (name, value) for name, _, value in (one.partition("=") for one in settings.kubernetes_node_selector)
        ),
        tolerations=tuple(map(Toleration.parse, settings.kubernetes_tolerations)),
        pull_secret=settings.kubernetes_pull_secret,
    )


def jobs(cpus: str) -> int:
    """Return how many compilers so many CPUs are for, at least one."""
    return max(1, math.ceil(float(cpus.removesuffix("m")) / (1000 if cpus.endswith("m") else 1)))


class PodRuntime(SingleRuntime):
    """A contract with an image or a build, as a pod."""

    engine: Cluster

    def __init__(
        self, request: UpRequest, engine: Engine, force: InForce, journal: Journal, settings: Settings
    ) -> None:
        """Take the cluster for the engine, and the settings that say what is asked of it. Raises RefusedError."""
        _must_be_single(force.contract)
        super().__init__(request, engine, force, journal)
        assert isinstance(engine, Cluster)  # noqa: S101  # who asks for a pod has one
        self.settings = settings
        framework = which.recorded(force.contract.record, force.contract.workspace)
        per_job = _PER_JOB if framework is None else framework.build.memory_per_job
        self.wishes = wishes_of(settings, engine.owner, per_job)

    def desired(self, merged: Merged, image: Image, *, uid_image: UserImage | None, mask: Mask) -> Desired:
        """Return the pod that stands for what `docker run` would make. Raises RefusedError for what it cannot be."""
        made = super().desired(merged, image, uid_image=uid_image, mask=mask)
        spec = cast("ContainerSpec", made.spec)
        contract, wishes = self.contract, self.wishes
        folder = str(contract.workspace)
        shared, pull = self._shared(spec.image)
        called = Called(
            named(contract.workspace.name, wishes.owner, contract.devcontainer_id),
            named(contract.workspace.name, wishes.owner, folder),
            workspace_hash(folder),
            shared,
            pull,
        )
        pod = pod_of(spec, called, self._who(merged, image, spec.image, uid_image), wishes, folder)
        if not pod.gpus and wishes.gpus is None and contract.gpus != "none" and demanded_gpu(contract) is not None:
            pod = replace(pod, gpus=1)
        about = {"Id": image.id, **{key: image.config.get(key) for key in ("Env", "User", "WorkingDir")}}
        state = {**made.state, "pod": _asked(pod)}
        labels = {**dict(pod.labels), CONTRACT_LABEL: canonical(state), IMAGE: canonical(about)}
        return Desired(replace(pod, local=spec.image, labels=tuple(labels.items())), state)

    def _shared(self, image: str) -> tuple[str, PullPolicy]:
        """Return what nodes call an image, and how they have it. Raises EngineError where they cannot."""
        registry = self.settings.kubernetes_registry
        if registry:
            name = f"{registry.rstrip('/')}/{image.rpartition('/')[2]}"
            return _pushed(self.engine.images, image, name) or name, "IfNotPresent"
        if self.settings.kubernetes_load:
            return image if "/" in image else f"{_LIBRARY}/{image}", "Never"
        digests = ((self.engine.images.image(image) or {}).get("RepoDigests")) or ()
        if not digests:
            raise EngineError(
                f"the nodes of {self.engine.place} cannot have {image}, an image that only this machine has",
                hint='kubernetes_registry = "HOST/PATH" in config.toml   # or kubernetes_load, for a local node',
            )
        return str(digests[0]), "IfNotPresent"

    def _who(self, merged: Merged, image: Image, name: str, uid_image: UserImage | None) -> Who:
        """Return the one user of the pod: whoever works in it."""
        user = merged.remote_user or "root"
        if user in {"root", "0"}:
            return Who(user, (0, 0))
        if uid_image is not None:
            return Who(user, self.contract.ids or (os.getuid(), os.getgid()))
        first, _, group = user.partition(":")
        if _NUMBER.fullmatch(first):
            return Who(user, (int(first), int(group) if _NUMBER.fullmatch(group) else 0))
        if str(image.config.get("User") or "root").partition(":")[0] == user or not image.id:
            return Who(user, None)
        images, called = self.engine.images, f"devbox-run-{os.urandom(6).hex()}"
        args = ["run", "--rm", "--name", called, "--network=none", "--entrypoint=/bin/sh", name, "-c", _IDS, "sh", user]
        try:
            said = images.run(args, check=False, timeout=patience(images.environ, ANSWER_SECONDS)).stdout.split()
        except NoAnswerError:
            images.run(["rm", "--force", called], check=False)
            said = []
        # An image's word.
        known = len(said) == 2 and all(map(_NUMBER.fullmatch, said))
        return Who(user, (int(said[0]), int(said[1])) if known else None)

    def complete(self, plan: Plan, wanted: Desired) -> Plan:  # noqa: ARG002
        """Return the plan with the way of the image to the cluster; one that waits in the queue stays there."""
        pod = next((step.spec for step in plan.steps if isinstance(step, CreatePod)), None)
        if pod is None:
            return plan
        self.journal.notes += pod.notes
        there = self.find().inspected
        steps = plan.steps
        if there is not None and there["State"]["Status"] == "created" and len(plan.reasons) == 1:
            steps = (CreatePod(pod),)
        return replace(plan, steps=(*self._sharing(pod), *steps))

    def _sharing(self, pod: PodSpec) -> tuple[ShareImage, ...]:
        load = tuple(shlex.split(self.settings.kubernetes_load or ""))
        if pod.pull == "Never":
            return (ShareImage(pod.local, pod.image, load),)
        return (ShareImage(pod.local, pod.image),) if self.settings.kubernetes_registry and "@" not in pod.image else ()

    def applied(self, plan: Plan) -> None:
        """There is nothing to remember."""


def _asked(pod: PodSpec) -> JSON:
    """Return what of a pod is no part of the contract, to be compared later. A claim that is there stays as it is."""
    wishes = pod.wishes
    return {
        "cpus": list(pod.cpus),
        "memory": list(pod.memory),
        "gpus": pod.gpus,
        "shm": pod.shm,
        "node_selector": [list(one) for one in wishes.node_selector],
        "tolerations": [list(one) for one in wishes.tolerations],
    }


def _pushed(images: Engine, image: str, name: str) -> str | None:
    """Return the name with the digest that an image has in a registry, if it was pushed from here."""
    digests = ((images.image(image) or {}).get("RepoDigests")) or ()
    return next((one for one in digests if one.partition("@")[0] == name.rpartition(":")[0]), None)


def sessions_in(engine: Engine, pod: str) -> tuple[str, ...]:
    """Return the commands that are executed in a running pod now, which has no list of them. Raises EngineError."""
    done = engine.execute(Exec(pod, ("sh", "-c", _WORKING), interactive=False))
    return tuple(line.strip()[:60] for line in done.stdout.splitlines() if line.strip())


def do(engine: Engine, step: ShareImage | CreatePod, reporter: Reporter) -> list[str]:
    """Do a step, and return what has to be said about it. Raises EngineError with the cluster's own reason."""
    assert isinstance(engine, Cluster)  # noqa: S101  # such steps are planned for one
    if isinstance(step, ShareImage):
        _share(engine, step)
        return []
    spec = step.spec
    if spec.pull != "Never" and "@" not in spec.image:
        spec = replace(spec, image=_pushed(engine.images, spec.image, spec.image) or spec.image)
    if spec.folders:
        engine.create(spec.claim_manifest())
    engine.create(spec.manifest())
    try:
        engine.await_ready(spec.name, spec.claim, reporter.info)
    except EngineError as error:
        if "ErrImageNeverPull" in error.message:
            memory.remember_look(_LOADED, {})
        raise
    return []


def _share(engine: Cluster, step: ShareImage) -> None:
    images = engine.images
    if not step.load:
        images.run(["tag", step.image, step.shared])
        done = images.run(["push", "--quiet", step.shared], check=False)
        if not done.ok:
            raise EngineError(
                f"the image {step.shared} cannot be pushed",
                hint=f"docker push {step.shared}",
                detail=last_lines(done.stderr),
            )
        return
    key = f"{engine.place} {step.shared}"
    identity = str((images.image(step.image) or {}).get("Id", ""))
    known = memory.recall_look(_LOADED) or {}
    if known.get(key) == identity:
        return
    with subprocess.Popen(
        images.argv(["save", step.image]), stdout=subprocess.PIPE, env=dict(images.environ), stdin=subprocess.DEVNULL
    ) as saving:
        try:
            loaded = subprocess.run(
                step.load, stdin=saving.stdout, capture_output=True, text=True, check=False, errors="replace"
            )
        except OSError as error:
            saving.kill()
            raise EngineError(f"{step.load[0]} of kubernetes_load cannot be started: {error.strerror}") from None
    if loaded.returncode or saving.returncode:
        raise EngineError(
            f"the image {step.image} could not be handed to the node by {shlex.join(step.load)}",
            hint="kubernetes_load in config.toml   # it gets what `docker save` writes",
            detail=last_lines(loaded.stderr) or None,
        )
    memory.remember_look(_LOADED, {**known, key: identity})
