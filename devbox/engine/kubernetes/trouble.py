"""What can be wrong with a cluster or a pod, in the cluster's own words, and what to type next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from devbox.engine.kubernetes.place import CONTAINER, OWNING
from devbox.errors import EngineError, last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.engine.kubernetes.place import Place

JSON = dict[str, Any]

_GONE = re.compile(
    r'pods "([^"]+)" not found|pod (\S+) not found|container not found|cannot exec into a container in a completed'
)
_FORBIDDEN = re.compile(r"forbidden|is attempting to grant|Unauthorized|must be logged in", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"was refused|connection refused|no such host|i/o timeout|TLS handshake|Unable to connect|unable to connect|"
    r"network is unreachable|deadline exceeded|ServiceUnavailable|was unable to return a response|etcdserver|"
    r"Client\.Timeout|unexpected EOF|connection reset|http2: client connection lost|no route to host",
)
_NO_CONTEXT = re.compile(r"context \"?([^\"\n]+)\"? does not exist|context was not found|invalid configuration")
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_QUOTA = re.compile(r"exceeded quota[^\n]*|must specify (?:limits|requests)[^\n]*|failed quota[^\n]*")
# What the kubelet or the runtime says of a container that will not come up by itself.
_FATAL = frozenset({
    "ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff", "ImageInspectError", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError", "CrashLoopBackOff", "RegistryUnavailable",
})  # fmt: skip
_IMAGE = frozenset({"ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff", "ErrImagePull", "ImageInspectError"})
# What is said of a claim that is about to be bound.
_BINDS = frozenset({"", "WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"})
# What of the scheduler's reason leads to which setting.
_SCHEDULING = (
    ("nvidia.com/gpu", "kubernetes_gpus in config.toml asks for fewer; or wait: devbox up goes on where it is"),
    ("insufficient", "kubernetes_cpus and kubernetes_memory in config.toml ask for less; or wait, with devbox up"),
    ("taint", "kubernetes_tolerations in config.toml lets it onto such nodes"),
    ("didn't match", "kubernetes_node_selector in config.toml has to name nodes: kubectl get nodes --show-labels"),
    ("persistentvolumeclaim", "kubernetes_storage_class in config.toml, and devbox down --volumes"),
    ("", "devbox up   # goes on waiting"),
)


def unreachable(said: str) -> bool:
    """Tell whether kubectl could not ask the API server, by what it wrote: it may answer in a moment."""
    return _UNREACHABLE.search(said) is not None and _FORBIDDEN.search(said) is None


def explain(said: str, place: Place) -> EngineError | None:
    """Return the error for a kubectl that failed for a known reason, by what it wrote to stderr; else None."""
    asked = f"kubectl --context={place.context} --namespace={place.namespace}"
    quota = _QUOTA.search(said)
    for is_it, message, hint in (
        (
            _NO_CONTEXT.search(said),
            f"kubectl does not know the context '{place.context}'",
            "kubectl config get-contexts",
        ),
        (
            quota,
            f"the namespace {place.namespace} does not allow it: {quota[0].strip() if quota else ''}",
            f'{asked} describe quota   # then kubernetes_cpus, kubernetes_memory = "2Gi-4Gi" in config.toml',
        ),
        (
            _FORBIDDEN.search(said),
            f"the cluster does not let you do that in {place}",
            f"devbox doctor --on {place}   # says which rights are missing",
        ),
        (unreachable(said), f"the cluster of {place} does not answer", f"{asked} get --raw /readyz   # then again"),
        (_GONE.search(said), "the pod of the dev container is gone", "devbox up   # the claim has all of it still"),
        (
            _FULL.search(said),
            "the claim, or its node's disk, is full",
            "devbox builds list   # then devbox builds prune",
        ),
    ):
        if is_it:
            return EngineError(message, hint=hint, detail=last_lines(said) or None)
    return None


class Progress(NamedTuple):
    """How far a pod is: `ready`, `waiting` for something that may come, or `failed`; why, and what to type next."""

    how: Literal["ready", "waiting", "failed"]
    why: str = ""
    hint: str | None = None


def progress(pod: JSON, claim: JSON | None, events: Sequence[JSON], place: Place) -> Progress:
    """Return how far a pod is on its way, from it and its claim as the API has them, and the events of both."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return Progress("failed", ended(pod), "devbox up   # makes it again; the claim has all of it still")
    held = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    name, asked = pod["metadata"]["name"], f"kubectl --context={place.context} --namespace={place.namespace}"
    for one in held:
        if (found := _of_container(one, name, asked, _pull(events))) is not None:
            return found
    if any(one.get("name") == CONTAINER and (one.get("state") or {}).get("running") for one in held):
        return Progress("ready")
    return _unbound(claim, events, asked) or _unscheduled(status) or _warned(events, name, asked)


def _unbound(claim: JSON | None, events: Sequence[JSON], asked: str) -> Progress | None:
    if claim is None or (claim.get("status") or {}).get("phase") == "Bound":
        return None
    name = claim["metadata"]["name"]
    said = _last(events, name) or {}
    if said.get("reason", "") in _BINDS:
        return None
    hint = f"{asked} get storageclass   # then kubernetes_storage_class in config.toml, and devbox down --volumes"
    return Progress("waiting", f"the claim {name} is not bound: {said.get('message', '')}", hint)


def _unscheduled(status: JSON) -> Progress | None:
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False" and one.get("message"):
            message = str(one["message"])
            hint = next(hint for word, hint in _SCHEDULING if word in message.lower())
            return Progress("waiting", f"no node takes the pod: {message}", hint)
    return None


def _warned(events: Sequence[JSON], name: str, asked: str) -> Progress:
    warning = _last([one for one in events if "Fail" in str(one.get("reason"))], name)
    if warning is None:
        return Progress("waiting", "its node prepares it")
    return Progress("waiting", f"{warning['reason']}: {warning['message']}", f"{asked} describe pod {name}")


def _pull(events: Sequence[JSON]) -> str | None:
    """Return why an image could not be pulled: a state that waits for the next try says no more than that."""
    return next((str(one["message"]) for one in events if "Failed to pull" in str(one.get("message"))), None)


def _of_container(one: JSON, pod: str, asked: str, pull: str | None) -> Progress | None:
    state = one.get("state") or {}
    waiting, over = state.get("waiting") or {}, state.get("terminated")
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason == "ImagePullBackOff":
        message = pull or message
    if reason in _IMAGE or reason in _FATAL:
        hint = f"{asked} describe pod {pod}"
        what = "its container does not start"
        if reason in _IMAGE:
            what = f"the node cannot have the image {one.get('image')}"
            hint = f"docker pull {one.get('image')}   # can it be had? then kubernetes_pull_secret in config.toml"
        if reason == "ErrImageNeverPull":
            hint = "devbox up   # takes it there once more, as kubernetes_load says"
        return Progress("failed" if reason in _FATAL else "waiting", f"{what} ({reason}): {message}", hint)
    if over is not None and (over.get("exitCode") or one.get("name") == CONTAINER):
        what = "the folders of the claim cannot be made the user's" if one["name"] == OWNING else "its container ended"
        why = f"{over.get('reason', '')} {over.get('message', '')}".strip()
        hint = f"{asked} logs {pod} --container={one['name']}"
        return Progress("failed", f"{what}, with exit code {over.get('exitCode')}: {why}", hint)
    return None


def ended(pod: JSON) -> str:
    """Return in words why a pod has ended, as the cluster says it: it was evicted, or its node is gone."""
    status = pod.get("status") or {}
    said = " ".join(filter(None, (status.get("reason"), status.get("message"))))
    for one in () if said else status.get("containerStatuses") or ():
        state = (one.get("state") or {}).get("terminated") or {}
        said = f"{state.get('reason', '')} (exit code {state.get('exitCode')}) {state.get('message', '')}".strip()
    return f"the pod {pod['metadata']['name']} has ended: {said or status.get('phase', 'for no reason that is told')}"


def _last(events: Sequence[JSON], name: str) -> Mapping[str, Any] | None:
    """Return the last event of an object."""
    return max((one for one in events if one["involvedObject"].get("name") == name), key=_moment, default=None)


def _moment(event: JSON) -> str:
    stamp = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return str(stamp or "")
