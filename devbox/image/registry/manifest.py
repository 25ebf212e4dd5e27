"""One name for several platforms: an index in the registry that points to an image for each of them.

It is made from images that are in the registry already, by `docker buildx imagetools`, which copies nothing but the
index and takes the members of an index apart. `docker manifest` could do neither, and keeps a state of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import ImageError, UsageError
from devbox.image.registry.reference import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.image.registry.remote import RemoteImage


def members(name: str, images: Sequence[str], architectures: Sequence[str]) -> tuple[str, ...]:
    """Return the images that the index `name` is made of: `images`, or `name` with each architecture after its tag.

    Raises UsageError where `name` is no name, or has a digest.
    """
    reference = parse(name)
    if reference.digest:
        raise UsageError(f"{name} has a digest: an index gets its own", hint=f"{reference.repository}:TAG")
    if images:
        return tuple(str(parse(image)) for image in images)
    return tuple(str(reference.with_tag(f"{reference.tag or 'latest'}-{one}")) for one in architectures)


def check(images: Sequence[RemoteImage]) -> None:
    """Raise ImageError where two of `images` are for the same platform: one would hide the other."""
    owner: dict[str, str] = {}
    for image in images:
        for platform in image.platforms:
            if platform.name in owner:
                raise ImageError(
                    f"{owner[platform.name]} and {image.reference} are both for {platform.name}",
                    hint="name one image for each platform",
                )
            owner[platform.name] = image.reference


def create_args(name: str, images: Sequence[str]) -> list[str]:
    """Return the arguments after `docker` that make the index `name` of `images` in its registry."""
    return ["buildx", "imagetools", "create", "--tag", name, *images]
