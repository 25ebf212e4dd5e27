"""What the engine has of a Dockerfile's stages: how large they are, and whether they are what the Dockerfile says now.

An image's history names the instructions that made it, RUN with its whole text. So one image tells about all stages
that it was made through: a stage is *current* where an image has all of its instructions in order, each RUN word for
word. What COPY copied is not in a history.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from devbox.image import names
from devbox.image.dockerfile.stages import SCRATCH
from devbox.image.graph.model import Graph, State, node_keys, with_images
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.image.dockerfile.instructions import Instruction
    from devbox.image.dockerfile.stages import Stage, Stages

# Images of one framework that are looked at, the newest first: more would take longer than they tell.
MOST_IMAGES = 8
# Each of these adds an entry to the history, and no other instruction does.
_ENTRIES = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Built:
    """An image with its history, oldest entry first: (what made it, bytes). `stage` is the one it is labelled as."""

    name: str
    entries: tuple[tuple[str, int], ...]
    stage: str = ""


def gather(engine: Engine, framework: Framework) -> list[Built]:
    """Return the images that the engine has of a framework's stages, the newest first. Raises EngineError."""
    own = names.label(framework, "")
    args = [
        "image",
        "ls",
        "--no-trunc",
        "--quiet",
        "--filter",
        f"reference={names.repository(framework.name, framework.rules)}",
    ]
    ids = list(dict.fromkeys(engine.run(args).stdout.split()))
    stages = {}
    for found in engine.inspect("image", ids):
        config = found.get("Config") or {}
        said = (config.get("Labels") or {}).get(names.LABEL, own)
        told = framework.cuda is not None or framework.package_base == "cpu"
        if said.startswith(own) and (not told or _cuda(config.get("Env") or ()) == framework.cuda):
            stages[found["Id"]] = said.removeprefix(own)
    return [built(engine, one, stages[one]) for one in ids if one in stages][:MOST_IMAGES]


def _cuda(environment: Sequence[str]) -> str | None:
    """Return the CUDA release of an image ("13.0"), by which a dev container's tells its variant: bases set it."""
    values = dict(entry.partition("=")[::2] for entry in environment)
    release = values.get("CUDA_VERSION", "").split(".")[:2]
    return ".".join(release) if len(release) == 2 else None


def built(engine: Engine, reference: str, stage: str = "") -> Built:
    """Return an image with its history. Raises EngineError where the engine does not have it."""
    lines = engine.run(["history", "--no-trunc", "--human=false", "--format", "json", reference]).stdout.splitlines()
    entries = [json.loads(line) for line in reversed(lines)]
    return Built(reference, tuple((entry["CreatedBy"], int(entry["Size"])) for entry in entries), stage)


def with_engine(found: Graph, stages: Stages, images: Sequence[Built], engine: Engine) -> Graph:
    """Return the graph with sizes and states of what `images` and the engine tell."""
    keys = node_keys(stages)
    known: dict[str, tuple[State, int | None, int | None]] = {}
    for node in found.nodes:
        if node.kind == "image" and (image := engine.image(node.name)) is not None:
            known[node.key] = ("", int(image["Size"]), None)
    for stage in stages.stages:
        if not stage.empty:
            known[keys[stage.index]] = state(stages, stage, images)
    return with_images(found, known)


def state(stages: Stages, stage: Stage, images: Iterable[Built]) -> tuple[State, int | None, int | None]:
    """Return (state, bytes, bytes that the stage adds). An image of another stage says nothing against it.

    A stage without a RUN looks like many others, so only an image that is labelled as it is taken for it.
    """
    chain = stages.chain(stage)
    made = [entry for one in chain for entry in _entries(one)]
    own = len(_entries(stage))
    telling = any(one.keyword == "RUN" for one in made)
    outdated = False
    for image in images:
        if made and (telling or image.stage == stage.name):
            start = _start(image.entries, made, whole=chain[0].base == SCRATCH)
            if start is not None:
                sizes = [size for _, size in image.entries[: start + len(made)]]
                return "current", sum(sizes), sum(sizes[len(sizes) - own :])
        outdated = outdated or image.stage == stage.name
    if outdated:
        return "stale", None, None
    return ("absent" if telling else ""), None, None


def _entries(stage: Stage) -> list[Instruction]:
    return [one for one in stage.instructions if one.keyword in _ENTRIES]


def _start(entries: Sequence[tuple[str, int]], made: Sequence[Instruction], *, whole: bool) -> int | None:
    """Return where in a history the instructions begin, or None where they are not all there.

    `whole` is a history that begins with them: of a stage that starts from nothing.
    """
    for start in range(1 if whole else len(entries) - len(made) + 1):
        following = entries[start : start + len(made)]
        if len(following) == len(made) and all(map(_made_by, following, made)):
            return start
    return None


def _made_by(entry: tuple[str, int], instruction: Instruction) -> bool:
    """Whether an entry of a history comes from an instruction. `RUN |2 A=1 B=2 /bin/sh -c TEXT # buildkit`."""
    keyword, _, rest = entry[0].strip().partition(" ")
    if keyword != instruction.keyword:
        return False
    if keyword == "ARG":
        return rest.partition("=")[0].split(" ")[0] == instruction.text.partition("=")[0].split(" ")[0]
    if keyword != "RUN":
        return True
    scripts = [heredoc.text for heredoc in instruction.heredocs] or [instruction.text]
    there = " ".join(rest.split())
    return all(" ".join(script.split()) in there for script in scripts)
