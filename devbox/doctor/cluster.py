"""Can a cluster run dev containers: kubectl, rights, storage, GPUs, and what the limits of a pod really are?"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from devbox.engine.exec import Exec
from devbox.engine.kubernetes.cluster import Cluster
from devbox.engine.kubernetes.spec import GPU
from devbox.errors import last_lines
from devbox.finding import Finding
from devbox.paths import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

JSON = dict[str, Any]

_VERBS = ("get", "list", "create", "delete")
# What devbox does in a namespace: templates/kubernetes/role.yaml grants the same.
RIGHTS = (
    *((verb, "pods") for verb in _VERBS),
    ("create", "pods/exec"),
    ("get", "pods/log"),
    *((verb, "persistentvolumeclaims") for verb in _VERBS),
    ("list", "events"),
)
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_LIMITS = "ulimit -l; ulimit -n; ulimit -s; df -Pk /dev/shm | tail -n 1"
# Three limits, then what df says of a file system: its name, its size in KiB, and the rest.
_TOLD = 3 + 6
# So much a build with GPUs wants to lock, in KiB.
_LOCKED = 1 << 16


def check(patient: Patient) -> Iterator[Finding]:
    """Ask the cluster that dev containers run on, where one was named."""
    cluster = patient.engine
    if not isinstance(cluster, Cluster):
        return
    versions = _told(cluster, "version", "--output=json") or {}
    client, server = (
        str((versions.get(f"{side}Version") or {}).get("gitVersion", "")) for side in ("client", "server")
    )
    yield Finding("cluster", "ok", f"kubectl {client} reaches {cluster.place}, which runs Kubernetes {server}")
    missing = [f"{verb} {what}" for verb, what in RIGHTS if not _may(cluster, verb, what)]
    if missing:
        role = str(data_dir("templates") / "kubernetes/role.yaml")
        apply = cluster.place.kubectl("apply", f"--filename={role}", seconds=None)
        yield Finding(
            "cluster",
            "error",
            f"you may not {', '.join(missing)} in the namespace {cluster.place.namespace}",
            f"{shlex.join(apply)}   # it says the rest; or have somebody do it who may",
        )
    else:
        yield Finding("cluster", "ok", f"you have all {len(RIGHTS)} rights that devbox needs there")
    yield from _storage(patient, cluster)
    yield from _nodes(cluster)
    yield from _quotas(cluster)
    yield from _limits(cluster)


def _may(cluster: Cluster, verb: str, what: str) -> bool:
    resource, _, part = what.partition("/")
    more = [f"--subresource={part}"] if part else []
    return cluster.run(["auth", "can-i", verb, resource, *more], check=False).stdout.strip() == "yes"


def _told(cluster: Cluster, *args: str) -> JSON | None:
    """Return what kubectl tells as JSON; None where one may not ask."""
    done = cluster.run(args, check=False)
    return json.loads(done.stdout) if done.ok else None


def _storage(patient: Patient, cluster: Cluster) -> Iterator[Finding]:
    listed = _told(cluster, "get", "storageclasses", "--output=json")
    if listed is None:
        yield Finding("cluster", "info", "you may not list storage classes; a claim that is not bound is told by `up`")
        return
    named = patient.settings.kubernetes_storage_class
    classes = {one["metadata"]["name"]: one for one in listed["items"]}
    usual = [
        name for name, one in classes.items() if (one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    ]
    known = ", ".join(classes) or "none"
    if named is not None and named not in classes:
        message = f"there is no storage class {named}, which kubernetes_storage_class names; there are {known}"
        yield Finding("cluster", "error", message, "kubernetes_storage_class in config.toml")
    elif named is None and not usual:
        message = f"the cluster has no default storage class; there are {known}"
        yield Finding("cluster", "error", message, "kubernetes_storage_class in config.toml")
    else:
        name = named or usual[0]
        yield Finding("cluster", "ok", f"claims are of the storage class {name} ({classes[name]['provisioner']})")


def _nodes(cluster: Cluster) -> Iterator[Finding]:
    listed = _told(cluster, "get", "nodes", "--output=json")
    if listed is None:
        yield Finding("cluster", "info", "you may not list nodes; a pod that none takes is told by `up`")
        return
    ready = [
        one["status"]["allocatable"]
        for one in listed["items"]
        if not one["spec"].get("unschedulable")
        and any(it["type"] == "Ready" and it["status"] == "True" for it in one["status"]["conditions"])
    ]
    gpus = [int(one.get(GPU, 0)) for one in ready]
    largest = max(gpus, default=0)
    told = f"{len(ready)} of {len(listed['items'])} nodes are ready, with {sum(gpus)} GPUs to allocate"
    if largest:
        yield Finding("cluster", "ok", f"{told}, {largest} at most on one")
    else:
        yield Finding(
            "cluster", "info" if ready else "error", told, "kubectl get nodes   # GPUs come with a device plugin", None
        )


def _quotas(cluster: Cluster) -> Iterator[Finding]:
    for one in (_told(cluster, "get", "resourcequotas", "--output=json") or {"items": []})["items"]:
        hard, used = one["status"].get("hard") or {}, one["status"].get("used") or {}
        said = ", ".join(f"{used.get(name, 0)} of {most} {name}" for name, most in hard.items())
        yield Finding("cluster", "info", f"the quota {one['metadata']['name']} of the namespace: {said}")


def _limits(cluster: Cluster) -> Iterator[Finding]:
    running = next((one for one in cluster.containers({}) if one.running), None)
    if running is None:
        message = "what the limits of a pod really are is known once one runs: its node decides"
        yield Finding("cluster", "info", message, "devbox up   # then again")
        return
    done = cluster.execute(Exec(running.id, ("sh", "-c", _LIMITS), interactive=False))
    told = done.stdout.split()
    if len(told) < _TOLD or not told[4].isdigit():
        said = last_lines(done.stderr) or "nothing"
        yield Finding("cluster", "info", f"{running.called} does not tell what its limits are: {said}")
        return
    locked, files, stack, shm = told[0], told[1], told[2], int(told[4])
    message = (
        f"a pod of yours may lock {_kib(locked)} of memory (ulimit -l) and open {files} files, with a stack of "
        f"{_kib(stack)} and a /dev/shm of {shm >> 10} MiB"
    )
    short = locked != "unlimited" and int(locked) < _LOCKED
    if short:
        why = "RDMA and pinned memory need more"
        remedy = "LimitMEMLOCK=infinity   # for containerd's service on the nodes, by who runs them"
        yield Finding("cluster", "warning", message, remedy, why)
    else:
        yield Finding("cluster", "ok", message)


def _kib(text: str) -> str:
    if text == "unlimited":
        return text
    return f"{int(text) >> 10} MiB" if int(text) >> 10 else f"{text} KiB"
