"""A pod and its claim as frozen values, and the one place where they become what kubectl is told."""

from __future__ import annotations

import json
from dataclasses import field
from typing import Any, Literal, NamedTuple

from devbox.engine.kubernetes.place import CONTAINER, OWNING
from devbox.values import dataclass

JSON = dict[str, Any]

GPU = "nvidia.com/gpu"
MANAGED = "app.kubernetes.io/managed-by"
# By these a pod and its claim are found; all else that docker has as labels is annotations, whose values are free.
OWNER, WORKSPACE = "devbox/owner", "devbox/workspace"
# What the pod was made from, for what docker would ask its image.
IMAGE = "devbox/image"
_SHM, _CLAIM = "shm", "workspace"
# Like docker's `--init`, it is asked to end, and needs no time for that.
_GRACE_SECONDS = 5
# As root: $1 is the user, then the folders. A folder of a claim that a pod asks for is made for root.
_OWN = """\
ids=$1; shift
case $ids in *:*) ;; *) ids="$(id -u "$ids"):$(id -g "$ids")" || exit ;; esac
for folder; do
  [ "$(stat -c %u:%g "$folder")" = "$ids" ] || chown "$ids" "$folder" || exit
  chmod u+rwx,go+rx "$folder"
done
"""

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


class Toleration(NamedTuple):
    """A taint that the pod may run on in spite of: `KEY[=VALUE][:EFFECT]`."""

    key: str
    value: str | None = None
    effect: str | None = None

    @classmethod
    def parse(cls, text: str) -> Toleration:
        """Read it as it is written."""
        named, _, effect = text.partition(":")
        key, equals, value = named.partition("=")
        return cls(key, value if equals else None, effect or None)

    def manifest(self) -> JSON:
        """Return it as the API has it."""
        how: JSON = {"operator": "Exists"} if self.value is None else {"operator": "Equal", "value": self.value}
        return {"key": self.key, **how, **({"effect": self.effect} if self.effect else {})}


class Amount(NamedTuple):
    """How much of something a pod asks for, and the most that it gets, None for no limit: `4`, or `4-8`."""

    request: str
    limit: str | None = None

    @classmethod
    def parse(cls, text: str) -> Amount:
        """Read it as it is written."""
        request, dash, limit = text.partition("-")
        return cls(request, limit if dash else None)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person wants of a cluster: the settings. Sizes and numbers are as Kubernetes writes them.

    `cpus` and `memory` are at least asked for, `claim_size` is that of a claim that is made now.
    """

    owner: str
    cpus: Amount
    memory: Amount
    shm: str
    claim_size: str
    gpus: int | None = None
    storage_class: str | None = None
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    pull_secret: str | None = None


class SubPath(NamedTuple):
    """A folder of the claim, and where it is mounted."""

    path: str
    target: str
    readonly: bool = False


class Scratch(NamedTuple):
    """A folder that goes with the pod: in `memory` of so much at most, or on its node's disk."""

    target: str
    memory: bool = False
    size: str | None = None


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One pod, completely, and the claim that it mounts. `local` is what this machine's engine calls the image.

    `ids` are user and group of its processes, None for the image's own, which is called `user`. `env` values are no
    secrets. `notes` say what docker would have been told, and a pod has no words for.
    """

    name: str
    claim: str
    workspace: str
    image: str
    pull: PullPolicy
    wishes: Wishes
    command: tuple[str, ...]
    shm: str
    cpus: Amount
    memory: Amount
    user: str = "root"
    ids: tuple[int, int] | None = None
    folders: tuple[SubPath, ...] = ()
    scratch: tuple[Scratch, ...] = ()
    gpus: int = 0
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    unconfined: tuple[str, ...] = ()
    no_new_privileges: bool = False
    hostname: str | None = None
    hosts: tuple[tuple[str, str], ...] = ()
    local: str = field(default="", compare=False)
    groups: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def called(self) -> str:
        """The pod's name."""
        return self.name

    def claim_manifest(self) -> JSON:
        """Return the claim as the API has it."""
        wishes = self.wishes
        spec: JSON = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": wishes.claim_size}},
        }
        if wishes.storage_class is not None:
            spec["storageClassName"] = wishes.storage_class
        folder = {key: value for key, value in self.labels if key == "devcontainer.local_folder"}
        metadata = {"name": self.claim, "labels": self._labels(), "annotations": folder}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}

    def manifest(self) -> JSON:
        """Return the pod as the API has it."""
        wishes = self.wishes
        spec: JSON = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
            "securityContext": self._security(),
            "containers": [self._container()],
            "volumes": self._volumes(),
        }
        if self.user not in {"root", "0"} and self.folders:
            spec["initContainers"] = [self._owning()]
        if self.hostname is not None:
            spec["hostname"] = self.hostname
        if self.hosts:
            spec["hostAliases"] = [{"ip": address, "hostnames": [name]} for name, address in self.hosts]
        if wishes.node_selector:
            spec["nodeSelector"] = dict(wishes.node_selector)
        if wishes.tolerations:
            spec["tolerations"] = [one.manifest() for one in wishes.tolerations]
        if wishes.pull_secret is not None:
            spec["imagePullSecrets"] = [{"name": wishes.pull_secret}]
        annotations = dict(self.labels)
        if "apparmor" in self.unconfined:
            annotations[f"container.apparmor.security.beta.kubernetes.io/{CONTAINER}"] = "unconfined"
        metadata = {"name": self.name, "labels": self._labels(), "annotations": annotations}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _labels(self) -> JSON:
        return {MANAGED: "devbox", OWNER: self.wishes.owner, WORKSPACE: self.workspace}

    def _security(self) -> JSON:
        found: JSON = {}
        if self.ids is not None:
            uid, gid = self.ids
            found = {"runAsUser": uid, "runAsGroup": gid}
            if uid:
                found |= {"fsGroup": gid, "fsGroupChangePolicy": "OnRootMismatch"}
        if self.groups:
            found["supplementalGroups"] = list(self.groups)
        return found

    def _container(self) -> JSON:
        security: JSON = {}
        capabilities = {"add": list(self.cap_add), "drop": list(self.cap_drop)}
        if any(capabilities.values()):
            security["capabilities"] = {name: words for name, words in capabilities.items() if words}
        if "seccomp" in self.unconfined:
            security["seccompProfile"] = {"type": "Unconfined"}
        if self.no_new_privileges:
            security["allowPrivilegeEscalation"] = False
        requests: JSON = {"cpu": self.cpus.request, "memory": self.memory.request}
        limits: JSON = {"cpu": self.cpus.limit, "memory": self.memory.limit}
        if self.gpus:
            # Of such a resource the two have to be equal.
            requests[GPU] = limits[GPU] = str(self.gpus)
        resources = {"requests": requests, "limits": {name: most for name, most in limits.items() if most is not None}}
        return {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": self.pull,
            "command": [*map(_literal, self.command)],
            "env": [{"name": name, "value": _literal(value)} for name, value in self.env],
            "securityContext": security,
            "resources": resources,
            "volumeMounts": [
                *map(self._mount, self.folders),
                *({"name": f"scratch-{number}", "mountPath": one.target} for number, one in enumerate(self.scratch)),
                {"name": _SHM, "mountPath": "/dev/shm"},  # noqa: S108
            ],
        }

    def _mount(self, folder: SubPath) -> JSON:
        readonly = {"readOnly": True} if folder.readonly else {}
        return {"name": _CLAIM, "subPath": folder.path, "mountPath": folder.target, **readonly}

    def _owning(self) -> JSON:
        whose = self.user if self.ids is None else f"{self.ids[0]}:{self.ids[1]}"
        folders = [SubPath(one.path, f"/own/{number}") for number, one in enumerate(self.folders)]
        return {
            "name": OWNING,
            "image": self.image,
            "imagePullPolicy": self.pull,
            "command": ["/bin/sh", "-c", _OWN, "own", whose, *(one.target for one in folders)],
            "securityContext": {"runAsUser": 0, "runAsGroup": 0},
            "resources": {
                "requests": {"cpu": "10m", "memory": "16Mi"},
                **({"limits": {"cpu": "1", "memory": "256Mi"}} if self.cpus.limit or self.memory.limit else {}),
            },
            "volumeMounts": [self._mount(one) for one in folders],
        }

    def _volumes(self) -> list[JSON]:
        found: list[JSON] = []
        if self.folders:
            found.append({"name": _CLAIM, "persistentVolumeClaim": {"claimName": self.claim}})
        for number, one in enumerate(self.scratch):
            what: JSON = {
                **({"medium": "Memory"} if one.memory else {}),
                **({"sizeLimit": one.size} if one.size else {}),
            }
            found.append({"name": f"scratch-{number}", "emptyDir": what})
        return [*found, {"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": self.shm}}]


def written(manifest: JSON) -> str:
    """Return a manifest as the text that kubectl reads."""
    return json.dumps(manifest, ensure_ascii=False, indent=1)


def _literal(value: str) -> str:
    # The API takes $(NAME) for another variable's value, and $$ for $.
    return value.replace("$", "$$")
