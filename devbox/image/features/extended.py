"""A Dockerfile with Features installed after one of its stages, to be built at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import DockerfileError
from devbox.image.dockerfile.stages import read_stages

if TYPE_CHECKING:
    from devbox.image.features.layer import Layer

# The named context in which the installer and the options of each Feature lie.
STAGED = "devbox-features"
# What the stage is called that Features are installed after, where it has no name.
TARGET = "devbox-target"


def extended(text: str, layer: Layer, *, target: str | None = None, name: str = "Dockerfile") -> str:
    """Return the Dockerfile `text`, which errors call `name`, with the Features of `layer` in a stage after `target`.

    Without a target that is its last stage. The rest of it stays byte for byte: its stages are cached as they were.
    Raises DockerfileError where there is no such stage.
    """
    stages = read_stages(text, {}, name=name)
    last = stages.stages[-1] if stages.stages else None
    aim = stages.find(target) if target else last
    if aim is None:
        raise DockerfileError(f"{name} has no stage {target}" if target else f"{name} has no FROM")
    lines = text.removesuffix("\n").split("\n")
    if not aim.name:
        at = aim.start.end_line - 1
        lines[at] = f"{lines[at].rstrip()} AS {TARGET}"
    escape = stages.dockerfile.escape
    return "\n".join([*lines, f"FROM {aim.name or TARGET}", *layer.instructions(staged=STAGED, escape=escape), ""])
