"""Rules about a stage: its jobs and threads, the .git that it reads, and its layers."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from devbox.image.dockerfile.stages import local_sources
from devbox.image.dockerfile.words import assignments
from devbox.image.lint.args import declared_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.finding import Finding
    from devbox.image.dockerfile.instructions import Instruction
    from devbox.image.dockerfile.stages import Stages
    from devbox.image.lint.model import Subject

# maxLayerDepth of moby (layer/layer_store.go): overlay2's 127 less the two of a container.
MOST_LAYERS = 125
# From here on the next few instructions, or the user's layer, are too many.
MANY_LAYERS = 115
_LAYERS = frozenset({"ADD", "COPY", "RUN"})


def jobs_and_threads(subject: Subject) -> Iterator[Finding]:
    """`jobs-cancel`: MAX_JOBS divided by NVCC_THREADS leaves one compiler at a time.

    That is how setup.py of vLLM, and of others after it, counts: nvcc's threads work on the architectures of one file.
    """
    for stage in subject.stages.stages:
        lines: dict[str, int] = {}
        values: dict[str, str] = {}
        for instruction, seen, _ in subject.stages.scopes(stage):
            values = seen
            for name in _set_by(instruction, subject.stages):
                lines.setdefault(name.lower(), instruction.line)
        if not {"max_jobs", "nvcc_threads"} & lines.keys():
            continue
        # What was declared by the end of the stage: `values` is filled on while it is read.
        found = {name.lower(): value for name, value in values.items()}
        jobs, threads = (_number(found.get(name, "")) for name in ("max_jobs", "nvcc_threads"))
        if jobs and threads and threads > 1 and jobs // threads <= 1 < jobs:
            yield subject.finding(
                "jobs-cancel",
                "warning",
                lines.get("max_jobs", lines.get("nvcc_threads", stage.start.line)),
                f"max_jobs={jobs} with nvcc_threads={threads} compiles one file at a time",
                f"--arg max_jobs={2 * threads} or more, or --arg nvcc_threads=1",
                why=f"max(1, {jobs} // {threads}) = {max(1, jobs // threads)}",
            )


def _set_by(instruction: Instruction, stages: Stages) -> list[str]:
    if instruction.keyword == "ENV":
        return [name for name, _ in assignments(instruction.keyword, instruction.text, stages.dockerfile.escape)]
    return declared_by(instruction, stages)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def git_folder(subject: Subject) -> Iterator[Finding]:
    """`git-mount`: `.git` is read from the context. In a worktree or submodule it is a file that points out of it.

    In a source archive it is not there at all, and then the build stops before its first step.
    """
    here = subject.context / ".git" if subject.context is not None else None
    for stage in subject.stages.stages:
        for instruction in stage.instructions:
            if not any(posixpath.normpath(source).lstrip("/") == ".git" for source in local_sources(instruction)):
                continue
            broken = here is not None and not here.is_dir()
            now = (
                "; here it is one" if here is not None and here.is_file() else "; here there is none" if broken else ""
            )
            yield subject.finding(
                "git-mount",
                "error" if broken else "warning",
                instruction.line_of(r"\.git\b"),
                f"{stage.shown} reads .git of the context",
                "pass what is needed of it: --build-arg SETUPTOOLS_SCM_PRETEND_VERSION=$(git describe --tags)",
                why=f"in a worktree or submodule it is a file that points out of it{now}",
            )


def layers(subject: Subject) -> Iterator[Finding]:
    """`layers`: an image of more layers than overlay2 takes builds, and then no container of it starts."""
    stages = subject.stages
    for stage in stages.stages:
        if any(other.parent == stage.index for other in stages.stages):
            continue
        chain = stages.chain(stage)
        own = sum(instruction.keyword in _LAYERS for one in chain for instruction in one.instructions)
        image = chain[0].image
        base = subject.bases.get(image or "")
        count = own + (base.layers if base else 0)
        if count < MANY_LAYERS:
            continue
        of_base = f", {base.layers} of them of {image}" if base else ""
        yield subject.finding(
            "layers",
            "error" if count > MOST_LAYERS else "warning",
            stage.start.line,
            f"{stage.shown} has {count} layers{of_base}",
            "join RUN and COPY lines, or copy the finished tree into a new stage: COPY --from=… / /",
            why=f"the engine takes {MOST_LAYERS}",
        )
