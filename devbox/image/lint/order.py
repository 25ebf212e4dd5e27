"""Rules about order: an ARG takes effect from its line on, in its own stage and in those on top of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.image.dockerfile.words import fill
from devbox.image.lint.args import AUTOMATIC, declared_by
from devbox.image.lint.shell import assigned, scripts, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.finding import Finding
    from devbox.image.dockerfile.instructions import Instruction
    from devbox.image.dockerfile.stages import Stage, Stages
    from devbox.image.lint.model import Subject

# `${J:+-j$J}` is there only where J is; `${J:-4}` says what to take where it is not.
_ALTERNATIVE = re.compile(r"\$\{\w+:?\+[^{}]*\}")
_DEFAULT = re.compile(r"\$\{\w+:?[-?=]")
# Where BuildKit fills in variables: https://docs.docker.com/reference/dockerfile/#environment-replacement
_EMPTY = "it is empty here"
_FILLED = frozenset({"ADD", "ARG", "COPY", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
# Images of vendors set these themselves, so that a stage has a value without an ARG.
_OF_IMAGES = re.compile(
    r"PATH|HOME|LANG|LC_\w+|LD_LIBRARY_PATH|CUDA_\w+|NV_\w+|NVIDIA_\w+|NCCL_VERSION|PYTHON\w*|ROCM_\w+"
)
# What builds: two of the same are meant to make the same thing.
_BUILDS = re.compile(
    r"\bsetup\.py\b|\bbuild_wheel\b|\b(?:pip3?|uv)\s+(?:wheel|build)\b|-m\s+build\b|^cmake\b|^(?:ninja|make|maturin)\s|"
    r"^cargo\s+(?:build|install)\b"
)
# What changes the sources that a command finds.
_GOES = re.compile(r"(?:cd|pushd|popd|git (?:clone|checkout))\b")


def used_before_declared(subject: Subject) -> Iterator[Finding]:
    """`arg-order`: a variable is used where its ARG does not reach, so it is empty there."""
    stages = subject.stages
    everywhere = {name for one in stages.declared for name in declared_by(one, stages)}
    for stage in stages.stages:
        later = _declared_on(stages, stage)
        image = stages.chain(stage)[0].image
        base = subject.bases.get(image or "")
        for instruction, _, declared in stages.scopes(stage):
            for name in sorted(_used(instruction, stages) - declared):
                line = next((line for line in later.get(name, ()) if line > instruction.line), None)
                if line is None and name not in everywhere and name not in AUTOMATIC:
                    continue
                if name in base.environment if base else image and _OF_IMAGES.fullmatch(name):
                    continue
                place = rf"\$(?:\{{[#!]?)?{re.escape(name)}\b"
                message, remedy = _told(name, stage, line)
                line = instruction.line_of(place)
                yield subject.finding("arg-order", "error", line, message, remedy, why=_EMPTY)


def _told(name: str, stage: Stage, line: int | None) -> tuple[str, str]:
    if line is not None:
        return f"{name} is used before its ARG on line {line}", f"move ARG {name} above this line"
    if name in AUTOMATIC:
        return f"{name} is used in {stage.shown}, which does not declare it", f"ARG {name}"
    return (
        f"{name} is declared before the first FROM, which does not reach into {stage.shown}",
        f"repeat it in the stage: ARG {name}",
    )


def _declared_on(stages: Stages, stage: Stage) -> dict[str, list[int]]:
    """Return the lines of the ARGs of a stage by name."""
    found: dict[str, list[int]] = {}
    for instruction in stage.instructions:
        for name in declared_by(instruction, stages):
            found.setdefault(name, []).append(instruction.line)
    return found


def _used(instruction: Instruction, stages: Stages) -> set[str]:
    """Return the variables that an instruction or its shell fills in. Those with a default may be empty."""
    if instruction.keyword in _FILLED:
        return set(fill(instruction.text, {}, stages.dockerfile.escape).unset)
    names: set[str] = set()
    for script in scripts(instruction):
        names |= used(_DEFAULT.sub("{", _ALTERNATIVE.sub("", script))) - assigned(script)
    return names


def declared_between_equal_commands(subject: Subject) -> Iterator[Finding]:
    """`late-arg`: two RUN lines of a stage run the same command in the same folder, and an ARG comes in between.

    It reaches only the second one. That is how a build with and one without a cache come to build different things.
    """
    stages = subject.stages
    for stage in stages.stages:
        for command, first, second in _repeated(stage):
            before = stage.instructions[first]
            for between in stage.instructions[first + 1 : second]:
                for name in declared_by(between, stages):
                    if not _declared_before(stages, stage, before, name):
                        yield subject.finding(
                            "late-arg",
                            "warning",
                            between.line,
                            f"{name} reaches the second `{_short(command)}` only",
                            f"move ARG {name} above line {before.line}",
                            why=f"the one of line {_line_of(before, command)} runs before it is declared",
                        )


def _repeated(stage: Stage) -> Iterator[tuple[str, int, int]]:
    """Yield (command, index, index) of the instructions of a stage that build by the same command in one folder."""
    seen: dict[tuple[str, ...], int] = {}
    folder = ""
    for index, instruction in enumerate(stage.instructions):
        if instruction.keyword == "WORKDIR":
            folder = instruction.text.strip()
        for place, command in sorted(_commands(instruction)):
            first = seen.setdefault((folder, place, command), index)
            if first != index:
                yield command, first, index


def _declared_before(stages: Stages, stage: Stage, instruction: Instruction, name: str) -> bool:
    return any(name in declared for one, _, declared in stages.scopes(stage) if one is instruction)


def _commands(instruction: Instruction) -> set[tuple[str, str]]:
    """Return the commands of a RUN that build something, each after the folders that its script went to before it.

    Their words are joined by one space. What is cloned first is a folder of its own, too.
    """
    found = set()
    for script in scripts(instruction):
        folders: list[str] = []
        for part in re.split(r"&&|\|\||[;|\n]|\bthen\b|\belse\b|\bfi\b", script):
            words = " ".join(part.strip().lstrip("({").split())
            if _GOES.match(words):
                folders.append(words)
            elif _BUILDS.search(words):
                found.add((" ".join(folders), words))
    return found


def _line_of(instruction: Instruction, command: str) -> int:
    lines = (line for line, text in instruction.written() if command in " ".join(text.split()))
    return next(lines, instruction.line)


def _short(command: str) -> str:
    return command if len(command) <= 60 else f"{command[:59]}…"
