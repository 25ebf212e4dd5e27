"""`devbox.lock`: which content the base images have, so that everybody's next build starts from the same.

It lies at the top of the checkout, to be committed, and is TOML: one line an image, sorted, so that a change reads well
in a review. What is locked is the digest that the registry has for the tag, for all platforms at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox import toml
from devbox.errors import ConfigError, UsageError
from devbox.files import write_atomically
from devbox.image.registry.reference import is_digest, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAME = "devbox.lock"
_TABLE = "images"
_HEAD = "# The base images that builds start from. `devbox image lock --update` writes it again."


def locked(reference: str, workspace: Path | None) -> str:
    """Return `reference` with the digest that the lock file of `workspace` holds it at, or as it is.

    A reference that has a digest keeps its own; without a workspace nothing is locked. Raises ConfigError where the
    lock file is there and makes no sense.
    """
    if workspace is None or "@" in reference:
        return reference
    held = read(workspace)
    if not held:
        return reference
    digest = {parse(name).full: digest for name, digest in held.items()}.get(parse(reference).full)
    return reference if digest is None else f"{reference}@{digest}"


def read(workspace: Path) -> dict[str, str]:
    """Return the digest of each image that `workspace` has locked, by the name as it stands there; {} without a file.

    Raises ConfigError, naming the file and the key, for what is no lock file.
    """
    path = workspace / FILE_NAME
    try:
        table = toml.read(path)
    except FileNotFoundError:
        return {}
    for key in table:
        if key != _TABLE:
            raise toml.unknown_key(path, key, (_TABLE,))
    images = table.get(_TABLE, {})
    if not isinstance(images, dict):
        raise toml.wrong_type(path, _TABLE, "a table of digests", images)
    for name, digest in images.items():
        if not is_digest(digest):
            raise toml.wrong_type(path, f"{_TABLE}.{name}", "a digest (sha256:…)", digest)
        try:
            parse(name)
        except UsageError as error:
            raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    return images


def write(workspace: Path, images: Mapping[str, str]) -> Path:
    """Write the lock file of `workspace`, and return where it is. `images` maps names to digests."""
    path = workspace / FILE_NAME
    write_atomically(path, render(images))
    return path


def render(images: Mapping[str, str]) -> str:
    """Return the text of a lock file. Names of images need no escapes in TOML."""
    lines = [f'"{name}" = "{digest}"' for name, digest in sorted(images.items())]
    return "\n".join([_HEAD, f"[{_TABLE}]", *lines, ""])
