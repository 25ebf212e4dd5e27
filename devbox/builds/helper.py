"""A container that lives for one request to the agent: where a volume is wanted whose dev container does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.agent import protocol
from devbox.builds import deliver
from devbox.builds.talk import NoPythonError, ask, ask_alone
from devbox.container import memory
from devbox.container.inside.probe import resolve
from devbox.container.target import HELPER, LOCAL_FOLDER, VOLUME
from devbox.engine.spec import ContainerSpec, Mount, container_args

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from devbox.agent.protocol import Event, R, Request
    from devbox.builds.talk import OnEvent
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

ROOT = "0:0"
# Of a volume's images, so many are tried.
MOST = 3


def ask_helper(
    request: Request[R],
    mounts: Sequence[Mount],
    engine: Engine,
    *,
    images: Sequence[str],
    user: str = ROOT,
    on_event: OnEvent | None = None,
) -> R:
    """Send a request to an agent in a container with these mounts, and return its result; see `talk.ask`.

    The container is of the first of `images` that has Python; or it is the pod of that id, which runs.

    The container has no network, and is removed when the request is done, cut off, or this process dies. As root, the
    agent acts as the owner of each volume that it changes. Raises BuildError, KeyboardInterrupt.
    """
    if engine.is_cluster:
        return ask(request, resolve(engine, images[0]), engine, on_event=on_event)
    program, *arguments = deliver.alone_argv()
    nothing: NoPythonError | None = None
    for image in images:
        spec = ContainerSpec(
            image=image,
            entrypoint=program,
            command=tuple(arguments),
            mounts=tuple(mount.csv() for mount in mounts),
            user=user,
            run_args=("--rm", "--interactive", "--network", "none", "--security-opt", "no-new-privileges"),
            init=True,
            labels=((HELPER, ""),),
        )
        try:
            return ask_alone(request, ["run", *container_args(spec)], engine, on_event=on_event)
        except NoPythonError as error:
            nothing = error
    assert nothing is not None  # noqa: S101  # there is at least one image
    raise nothing


def say_phases(reporter: Reporter) -> OnEvent:
    """Return what tells a person which phase a helper is in, each with a line."""

    def say(event: Event) -> None:
        if isinstance(event, protocol.Phase):
            reporter.info(event.title)

    return say


def images_of(engine: Engine, volumes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the images that may run with each of these volumes, the likeliest to be there first.

    That is no image but those of the dev containers that have the volume, and the one with which its trees were
    configured: a checkout chose them, and they have no business in the volumes of others. Raises EngineError.
    """
    containers = engine.containers({LOCAL_FOLDER: None}, next(iter(volumes)) if len(volumes) == 1 else None)
    found = {}
    for volume in volumes:
        images = [one.image_id for one in containers if any(mount.get("Name") == volume for mount in one.mounts)]
        last = memory.recall_image(volume)
        # One of a container that is there is there, too.
        if last is not None and last not in images and engine.image(last) is not None:
            images.append(last)
        found[volume] = tuple(dict.fromkeys(images))[:MOST]
    return found


def remember_image(target: Target, engine: Engine) -> None:
    """Remember the image of a dev container for when its build volume is all that is left. Raises EngineError."""
    inspected = engine.container(target.container) or {}
    if (volume := volume_in(inspected)) is not None:
        memory.remember_image(volume, str(inspected["Image"]))


def volume_in(inspected: Mapping[str, Any]) -> str | None:
    """Return the build volume that an inspected container has."""
    mounts = inspected.get("Mounts") or ()
    return next((str(one["Name"]) for one in mounts if one.get("Destination") == VOLUME and one.get("Name")), None)
