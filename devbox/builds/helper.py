"""A container that lives for one request to the agent: where a volume is wanted whose dev container does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.builds import deliver
from devbox.builds.talk import NoPythonError, ask_alone
from devbox.container.inside.target import LOCAL_FOLDER
from devbox.engine.spec import ContainerSpec, Mount, container_args
from devbox.errors import BuildError
from devbox.frameworks.load import available
from devbox.image.buildkit.inputs import LABEL
from devbox.image.names import repository

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from devbox.engine.docker import Engine

JSON = dict[str, Any]
ROOT = "0:0"
# Of each kind of images, so many are tried.
MOST = 3


def ask_helper(
    request: JSON, mounts: Sequence[Mount], engine: Engine, *, images: Sequence[str], user: str = ROOT
) -> Iterator[JSON]:
    """Send a request to an agent in a container with these mounts, and yield its events; see `talk.ask`.

    The container is of the first of `images` that has Python.

    The container has no network, and is removed when the request is done, cut off, or this process dies. As root, the
    agent acts as the owner of each volume that it changes. Raises BuildError, KeyboardInterrupt.
    """
    program, *arguments = deliver.alone_argv()
    for number, image in enumerate(images):
        spec = ContainerSpec(
            image=image,
            entrypoint=program,
            command=tuple(arguments),
            mounts=tuple(mount.csv() for mount in mounts),
            user=user,
            run_args=("--rm", "--interactive", "--network", "none", "--security-opt", "no-new-privileges"),
            init=True,
        )
        try:
            yield from ask_alone(request, ["run", *container_args(spec)], engine)
        except NoPythonError:
            if number + 1 == len(images):
                raise
        else:
            return


def helper_images(engine: Engine, volumes: Collection[str]) -> tuple[str, ...]:
    """Return images for a helper, the likeliest to have Python first: a framework's, then those of dev containers.

    Of the latter come first those that have one of the volumes. Raises BuildError if there is none at all.
    """
    # Bases and Features need no Python.
    named = [word for name in available() for word in ("--filter", f"reference={repository(name)}")]
    built = engine.run(["image", "ls", "--quiet", "--no-trunc", "--filter", f"label={LABEL}", *named]).stdout.split()
    containers = sorted(
        engine.containers({LOCAL_FOLDER: None}),
        key=lambda one: not any(mount.get("Name") in volumes for mount in one.mounts),
    )
    found = tuple(dict.fromkeys([*built[:MOST], *(container.image_id for container in containers[:MOST])]))
    if not found:
        raise BuildError("there is no image here to look into build volumes with", hint="devbox up   # makes one")
    return found
