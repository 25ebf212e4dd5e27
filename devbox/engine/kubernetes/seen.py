"""A pod as docker would tell of a container: so all that looks at a dev container looks at this one, too."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from devbox.engine.docker import ContainerSummary
from devbox.engine.kubernetes.place import CONTAINER, Place, Pod
from devbox.engine.kubernetes.spec import IMAGE
from devbox.engine.kubernetes.trouble import ended

JSON = dict[str, Any]


def state_of(pod: JSON) -> str:
    """Return docker's word for the state of a pod."""
    if pod["metadata"].get("deletionTimestamp"):
        return "removing"
    status = pod.get("status") or {}
    running = any(
        one.get("name") == CONTAINER and (one.get("state") or {}).get("running")
        for one in status.get("containerStatuses") or ()
    )
    if running and status.get("phase") == "Running":
        return "running"
    # One that has ended never starts again: what is to be had of it is on the claim.
    return "created" if status.get("phase") == "Pending" else "dead"


def inspected(pod: JSON, place: Place) -> JSON:
    """Return what `docker inspect` would say."""
    metadata, spec = pod["metadata"], pod["spec"]
    own = next((one for one in spec["containers"] if one["name"] == CONTAINER), spec["containers"][0])
    annotations = metadata.get("annotations") or {}
    image = _image(annotations)
    state = state_of(pod)
    env = dict(one.partition("=")[::2] for one in image.get("Env") or ())
    # As `spec` writes it.
    env |= {one["name"]: one.get("value", "").replace("$$", "$") for one in own.get("env") or ()}
    return {
        "Id": str(Pod(metadata["name"], metadata["uid"], place)),
        "Name": metadata["name"],
        "Created": metadata["creationTimestamp"],
        "Image": image.get("Id", ""),
        "State": {
            "Status": state,
            "Running": state == "running",
            "Paused": False,
            "StartedAt": _started(pod),
            "ExitCode": None,
            "Error": ended(pod) if state == "dead" else "",
        },
        "Config": {
            "Image": own["image"],
            "Labels": {name: value for name, value in annotations.items() if name != IMAGE},
            "Env": [f"{name}={value}" for name, value in env.items()],
            "User": image.get("User", ""),
            "WorkingDir": image.get("WorkingDir", ""),
        },
        "Mounts": mounts(pod),
    }


def _image(annotations: JSON) -> JSON:
    try:
        return dict(json.loads(annotations.get(IMAGE, "{}")))
    except (ValueError, TypeError):
        return {}


def _started(pod: JSON) -> str:
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        running = (one.get("state") or {}).get("running")
        if one.get("name") == CONTAINER and running:
            return str(running.get("startedAt") or "")
    return ""


def mounts(pod: JSON) -> list[JSON]:
    """Return the folders of the claim as the volumes that they stand for."""
    own: JSON = next((one for one in pod["spec"]["containers"] if one["name"] == CONTAINER), {})
    return [
        {
            "Type": "volume",
            "Name": one["subPath"],
            "Source": one["subPath"],
            "Destination": one["mountPath"],
            "RW": not one.get("readOnly"),
        }
        for one in own.get("volumeMounts") or ()
        if one.get("subPath")
    ]


def summary(pod: JSON, place: Place) -> ContainerSummary:
    """Return what docker's list of containers would say."""
    metadata = pod["metadata"]
    said = inspected(pod, place)
    state = said["State"]["Status"]
    return ContainerSummary(
        id=said["Id"],
        names=(metadata["name"],),
        image=said["Config"]["Image"],
        image_id=said["Image"],
        state=state,
        status=f"{said['State']['Error'] or state} on {place}",
        created=int(datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()),
        labels=said["Config"]["Labels"],
        mounts=tuple(said["Mounts"]),
    )
