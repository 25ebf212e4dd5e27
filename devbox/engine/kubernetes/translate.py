"""From the container that docker would make to a pod: word by word; what a pod cannot express is said, or refused."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from devbox.engine.kubernetes.spec import Amount, PodSpec, Scratch, SubPath
from devbox.engine.run_args import Volume, parse
from devbox.engine.spec import Mount
from devbox.errors import ContractError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devbox.engine.kubernetes.spec import PullPolicy, Wishes
    from devbox.engine.run_args import RunArg
    from devbox.engine.spec import ContainerSpec

# What the node decides: docker's default is as good, or a wish is not met, which is said.
_NODES = {
    "ulimit", "ipc", "oom-score-adj", "pids-limit", "memory-swap", "memory-swappiness", "cpu-shares",
    "cgroupns", "userns", "platform", "runtime", "restart", "stop-signal", "stop-timeout", "log-driver", "log-opt",
    "publish", "publish-all", "expose", "sysctl", "cgroup-parent", "cpuset-cpus", "cpuset-mems", "blkio-weight",
}  # fmt: skip
# What means nothing for a pod that is made to be worked in. Its first process is a shell that waits, which reaps what
# others leave: `--init` has nothing to add.
_NOTHING = {
    "detach", "rm", "tty", "interactive", "name", "pull", "quiet", "no-healthcheck", "sig-proxy", "attach",
    "init", "detach-keys", "disable-content-trust", "mount", "volume", "tmpfs", "user",
}  # fmt: skip
# What every pod has.
_DEFAULTS = {("network", "bridge"), ("network", "default"), ("ipc", "private"), ("ipc", "shareable")}
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z_]+)")
_COUNT = re.compile(r"[0-9]{1,9}")
# One with a prefix would be somebody's word to the cluster: for a network, a sidecar, a profile.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_GPU_DEVICE = "nvidia.com/gpu="


class Called(NamedTuple):
    """What a pod is to be called, and its image: names, the workspace's hash, and how the image is had."""

    pod: str
    claim: str
    workspace: str
    image: str
    pull: PullPolicy


class Who(NamedTuple):
    """The one user of a pod: the name, and the ids; None where the image itself says so."""

    user: str
    ids: tuple[int, int] | None


def named(folder: str, *whose: str) -> str:
    """Return the name of a pod or a claim: for people the folder's, with a hash of all that tells it from others."""
    text = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:32].strip("-") or "workspace"
    return f"devbox-{text}-{hashlib.sha256(chr(0).join(whose).encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"


def pod_of(spec: ContainerSpec, called: Called, who: Who, wishes: Wishes, folder: str) -> PodSpec:
    """Return the pod in which the container that docker would make is one, with what it cannot have.

    `folder` is what relative paths in `runArgs` count from. Raises RefusedError for what it cannot do without, and
    ContractError for what makes no sense.
    """
    if spec.privileged:
        raise _refused("--privileged", "a pod that devbox makes is no way into its node")
    options = parse(spec.run_args, folder)
    mounts = [*map(Mount.parse, spec.mounts), *_mounts(options, folder)]
    pod = PodSpec(
        name=called.pod,
        claim=called.claim,
        workspace=called.workspace,
        image=called.image,
        pull=called.pull,
        wishes=wishes,
        command=(*([spec.entrypoint] if spec.entrypoint is not None else []), *spec.command),
        user=who.user,
        ids=who.ids,
        folders=tuple(_folders(mounts)),
        scratch=tuple(_scratch(mounts)),
        shm=wishes.shm,
        cpus=wishes.cpus,
        memory=wishes.memory,
        env=spec.env,
        labels=spec.labels,
    )
    options = (
        *options,
        *parse([f"--cap-add={one}" for one in spec.cap_add], folder),
        *parse([f"--security-opt={one}" for one in spec.security_opt], folder),
        *parse([f"--publish={one}" for one in spec.publish], folder),
    )
    return _with_gpus(_with_options(pod, options), options)


def _folders(mounts: Iterable[Mount]) -> Iterable[SubPath]:
    for one in mounts:
        if one.type == "bind":
            raise _refused(
                f"the mount of {one.source}",
                "it is a folder of this machine, and the pod is on another one",
                "leave the mount out, or copy it: devbox exec, or a volume in its place",
            )
        if one.type == "volume" and one.source:
            below = dict(one.options).get("volume-subpath")
            yield SubPath(f"{one.source}/{below}" if below else one.source, one.target, one.readonly)


def _scratch(mounts: Iterable[Mount]) -> Iterable[Scratch]:
    for one in mounts:
        options = dict(one.options)
        if one.type == "tmpfs":
            yield Scratch(one.target, memory=True, size=_quantity(options.get("tmpfs-size")))
        elif not one.source:
            yield Scratch(one.target)


def _mounts(options: Iterable[RunArg], folder: str) -> Iterable[Mount]:
    for one in options:
        value = one.value or ""
        if one.name == "mount":
            yield Mount.parse(value)
        elif one.name == "volume":
            yield Volume.parse(value, folder).mount
        elif one.name == "tmpfs":
            target, _, words = value.partition(":")
            size = next((word.partition("=")[2] for word in words.split(",") if word.startswith("size=")), None)
            yield Mount("tmpfs", target, options=(("tmpfs-size", size),) if size else ())


def _with_options(pod: PodSpec, options: Iterable[RunArg]) -> PodSpec:
    """Return the pod with what the options of `docker run` say, each taken, said to be the node's, or refused."""
    nodes: list[str] = []
    for one in options:
        value = one.value or ""
        if (take := _TAKEN.get(one.name)) is not None:
            taken = take(pod, value)
            pod, said = (pod, True) if taken is None else (taken, False)
        elif one.name in _NOTHING or (one.name, value) in _DEFAULTS or _is_gpu(one):
            said = False
        elif one.name in _NODES:
            said = True
        else:
            raise _refused(one.word, "a pod has no word for it")
        nodes += [one.word.removeprefix("--")] if said else []
    if nodes:
        note = f"a pod has no words for {', '.join(nodes)}: it has what its node gives to every pod"
        pod = replace(pod, notes=(*pod.notes, note))
    return pod


def _is_gpu(one: RunArg) -> bool:
    return one.name == "gpus" or (one.name == "device" and (one.value or "").startswith(_GPU_DEVICE))


def _env(pod: PodSpec, value: str) -> PodSpec:
    name, equals, text = value.partition("=")
    if not equals:
        raise _refused(
            f"--env={name}", "a variable of this machine would be seen in the pod", "remoteEnv   # with ${localEnv:…}"
        )
    return replace(pod, env=(*pod.env, (name, text)))


def _label(pod: PodSpec, value: str) -> PodSpec:
    name, _, text = value.partition("=")
    if not _LABEL.fullmatch(name):
        raise _refused(f"--label={value}", "as an annotation it is none, or says something to the cluster")
    return replace(pod, labels=(*pod.labels, (name, text)))


def _capability(value: str) -> str:
    found = _CAPABILITY.fullmatch(value.upper()) if value.isascii() else None
    if found is None:
        raise ContractError(f"'{value}' is no capability")
    return found[1]


def _cap_add(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, cap_add=tuple(dict.fromkeys((*pod.cap_add, _capability(value)))))


def _cap_drop(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, cap_drop=tuple(dict.fromkeys((*pod.cap_drop, _capability(value)))))


def _security(pod: PodSpec, value: str) -> PodSpec | None:
    name, _, what = value.replace(":", "=", 1).partition("=")
    if name in {"seccomp", "apparmor"} and what == "unconfined":
        return replace(pod, unconfined=(*pod.unconfined, name))
    if name == "no-new-privileges" and what in {"", "true"}:
        return replace(pod, no_new_privileges=True)
    if name == "label":
        return None
    raise _refused(f"--security-opt={value}", "a pod takes no profile of this machine")


def _cpus(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, cpus=Amount(pod.cpus.request, pod.cpus.limit or value))


def _memory(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, memory=Amount(pod.memory.request, pod.memory.limit or _quantity(value)))


def _reservation(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, memory=Amount(_quantity(value) or value, pod.memory.limit))


def _shm(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, shm=_quantity(value) or pod.shm)


def _hostname(pod: PodSpec, value: str) -> PodSpec:
    return replace(pod, hostname=value.lower())


def _host(pod: PodSpec, value: str) -> PodSpec | None:
    name, _, address = value.replace("=", ":", 1).partition(":")
    return None if address == "host-gateway" else replace(pod, hosts=(*pod.hosts, (name, address)))


def _group(pod: PodSpec, value: str) -> PodSpec:
    if not _COUNT.fullmatch(value):
        raise _refused(f"--group-add={value}", "Kubernetes takes a group by its number")
    return replace(pod, groups=(*pod.groups, int(value)))


# How an option is taken; None means that its value is one that the node decides.
_TAKEN: dict[str, Callable[[PodSpec, str], PodSpec | None]] = {
    "env": _env, "label": _label, "annotation": _label, "cap-add": _cap_add, "cap-drop": _cap_drop,
    "security-opt": _security, "cpus": _cpus, "memory": _memory, "memory-reservation": _reservation,
    "shm-size": _shm, "hostname": _hostname, "add-host": _host, "group-add": _group,
}  # fmt: skip


def _with_gpus(pod: PodSpec, options: Iterable[RunArg]) -> PodSpec:
    """Return the pod with as many GPUs as were asked for: which ones, the cluster alone decides."""
    devices: list[str] = []
    every, number = False, 0
    for one in options:
        value = (one.value or "").strip('"')
        if one.name == "device" and value.startswith(_GPU_DEVICE):
            named_one = value.removeprefix(_GPU_DEVICE)
            every = every or named_one == "all"
            devices += [] if named_one == "all" else [named_one]
        elif one.name == "gpus":
            every = every or value == "all"
            if _COUNT.fullmatch(value):
                number += int(value)
            elif value.isdigit():
                raise _refused(f"--gpus={value}", "it is no number of GPUs")
            elif value.startswith("device="):
                devices += value.removeprefix("device=").split(",")
    wished = pod.wishes.gpus
    if wished is not None:
        return replace(pod, gpus=wished)
    if every:
        said = (
            "a pod cannot have all GPUs of a node that nobody knows yet: it asks for 1; kubernetes_gpus says how many"
        )
        return replace(pod, gpus=1, notes=(*pod.notes, said))
    if any(devices):
        said = f"a pod cannot say which GPUs: it asks for {number + len(devices)}, and not for {', '.join(devices)}"
        return replace(pod, gpus=number + len(devices), notes=(*pod.notes, said))
    return replace(pod, gpus=number + len(devices))


def _quantity(size: str | None) -> str | None:
    """Return a size of docker's as Kubernetes writes it: `64m` is 64 MiB, and no thousandth."""
    if not size:
        return None
    from devbox import units

    found = units.size(size)
    return size if found is None else str(found)


def _refused(what: str, why: str, hint: str | None = None) -> RefusedError:
    return RefusedError(
        f"a pod cannot have {what}: {why}",
        hint=hint or "devbox up --on docker   # an engine can; or leave it out of the contract",
    )
