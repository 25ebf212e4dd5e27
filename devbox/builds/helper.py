"""A container that lives for one request to the agent: where a volume is wanted whose dev container does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds import deliver
from devbox.builds.talk import NoPythonError, ask_alone
from devbox.container.target import HELPER, LOCAL_FOLDER
from devbox.engine.spec import ContainerSpec, Mount, container_args
from devbox.errors import BuildError
from devbox.frameworks.load import available
from devbox.image.buildkit.inputs import LABEL
from devbox.image.names import repository

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from devbox.agent.protocol import Event, R, Request
    from devbox.builds.talk import OnEvent
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

ROOT = "0:0"
# Of each kind of images, so many are tried.
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

    The container is of the first of `images` that has Python.

    The container has no network, and is removed when the request is done, cut off, or this process dies. As root, the
    agent acts as the owner of each volume that it changes. Raises BuildError, KeyboardInterrupt.
    """
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


def own_images(engine: Engine) -> tuple[str, ...]:
    """Return the ids of the images that devbox built of its own frameworks, the newest first."""
    # Bases and Features need no Python.
    named = [word for name in available() for word in ("--filter", f"reference={repository(name)}")]
    listed = engine.run(["image", "ls", "--quiet", "--no-trunc", "--filter", f"label={LABEL}", *named])
    return tuple(dict.fromkeys(listed.stdout.split()))


def helper_images(engine: Engine, volumes: Collection[str], *, writes: bool = False) -> tuple[str, ...]:
    """Return images for a helper, the likeliest to have Python first: a framework's, then those of dev containers.

    Of the latter come first those that have all of the volumes. A helper that `writes` is of no other one where there
    is one of these: an image that a checkout chose has no business in the volumes of others. Raises BuildError if there
    is none at all.
    """
    own = own_images(engine)[:MOST]
    containers = engine.containers({LOCAL_FOLDER: None})
    able = [one for one in containers if {*volumes} <= {str(mount.get("Name")) for mount in one.mounts}]
    others = [] if writes and (own or able) else containers
    found = tuple(dict.fromkeys([*own, *[one.image_id for one in (*able, *others)][:MOST]]))
    if not found:
        raise BuildError("there is no image here to look into build volumes with", hint="devbox up   # makes one")
    return found
