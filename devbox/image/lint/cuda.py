"""Rules about CUDA versions: what a base image is called, and what the arguments say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.finding import Finding
    from devbox.image.dockerfile.stages import Stage, Stages
    from devbox.image.lint.model import Subject

# nvidia/cuda:12.9.1-devel, …-builder:cuda13.0-…, cuda-dl-base:25.11-cuda13.0-devel, sglang:v0.5-cu130.
_IN_IMAGE = (
    re.compile(r"(?:^|/)cuda:(\d{2})\.(\d)"),
    re.compile(r"(?<![a-z])cuda[-_]?(\d{2})\.(\d)", re.IGNORECASE),
    re.compile(r"(?<![a-z])cu(\d{2})(\d)(?!\d)", re.IGNORECASE),
)
_VERSION = re.compile(r"(\d{2})\.(\d)(?:\.\d+)*")
_NAMES = ("CUDA_VERSION", "CUDA_VER", "CUDA_BASE_VERSION", "CUDA_TOOLKIT_VERSION")


def base_images(subject: Subject) -> Iterator[Finding]:
    """`cuda-version`: the tag of a base image names one CUDA release, the stage's CUDA_VERSION another."""
    for stage in subject.stages.stages:
        image = stage.image
        if not image or (tagged := release(image)) is None:
            continue
        for on_top in subject.stages.stages:
            if stage not in subject.stages.chain(on_top):
                continue
            found = _declared(subject.stages, on_top)
            if found is not None and found[1] != tagged:
                name, said, line = found
                yield subject.finding(
                    "cuda-version",
                    "warning",
                    line,
                    f"{on_top.shown} has {name}={'.'.join(map(str, said))}, and starts from {image}, "
                    f"which has CUDA {'.'.join(map(str, tagged))}",
                    f"set both: --arg {name}=… and the argument of the base image",
                )


def release(image: str) -> tuple[int, int] | None:
    """Return the CUDA release that an image's name tells, such as (13, 0)."""
    for pattern in _IN_IMAGE:
        if match := pattern.search(image.partition("@")[0]):
            return int(match[1]), int(match[2])
    return None


def _declared(stages: Stages, stage: Stage) -> tuple[str, tuple[int, int], int] | None:
    """Return (name, release, line) of the CUDA version that a stage declares itself."""
    lines: dict[str, int] = {}
    values: dict[str, str] = {}
    for instruction, seen, _ in stages.scopes(stage):
        values = seen
        if instruction.keyword == "ARG":
            for name in _NAMES:
                if re.search(rf"(?:^|\s){name}(?:=|\s|$)", instruction.text):
                    lines.setdefault(name, instruction.line)
    for name, line in lines.items():
        if match := _VERSION.fullmatch(values.get(name, "")):
            return name, (int(match[1]), int(match[2])), line
    return None
