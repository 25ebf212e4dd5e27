"""Rules about build arguments: those that nothing reads, and those that are secrets."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from devbox.image.dockerfile.stages import PROXIES, platform_values
from devbox.image.dockerfile.words import assignments, fill, split_words
from devbox.masking import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.finding import Finding
    from devbox.image.dockerfile.instructions import Instruction
    from devbox.image.dockerfile.stages import Stage, Stages
    from devbox.image.lint.model import Subject

AUTOMATIC = frozenset(platform_values("linux/amd64"))
# BuildKit reads these whether they are declared or not.
_BUILTIN = re.compile(r"BUILDKIT_\w+|SOURCE_DATE_EPOCH|DOCKER_\w+")
_KEPT = "the image's history keeps it"


def known(name: str) -> bool:
    """Whether BuildKit has an argument of this name without an ARG."""
    return name in PROXIES or name in AUTOMATIC or bool(_BUILTIN.fullmatch(name))


def declarations(stages: Stages) -> list[str]:
    """Return the names that some ARG declares, in order."""
    everywhere = [*stages.declared, *(one for stage in stages.stages for one in stage.instructions)]
    names = (name for one in everywhere for name in declared_by(one, stages))
    return list(dict.fromkeys(names))


def declared_by(instruction: Instruction, stages: Stages) -> list[str]:
    """Return the names that an instruction declares, if it is an ARG."""
    if instruction.keyword != "ARG":
        return []
    return [name for name, _ in assignments(instruction.keyword, instruction.text, stages.dockerfile.escape)]


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return what to do about an argument that is not declared: which one may be meant."""
    near = difflib.get_close_matches(name.lower(), [one.lower() for one in names], n=1, cutoff=0.6)
    meant = next((one for one in names if near and one.lower() == near[0]), None)
    return f"is {meant} meant?" if meant else f"leave it out, or declare it where it is used: ARG {name}"


def undeclared(subject: Subject) -> Iterator[Finding]:
    """`undeclared-arg`: a build argument is given that no ARG takes. BuildKit says so after a long build."""
    names = declarations(subject.stages)
    for name in subject.stages.args:
        if name not in names and not known(name):
            yield subject.finding(
                "undeclared-arg",
                "warning",
                0,
                f"the build argument {name} is given, and no ARG takes it",
                suggestion(name, names),
            )


def unused(subject: Subject) -> Iterator[Finding]:
    """`unused-arg`: an ARG that nothing can read."""
    stages = subject.stages
    inside = {name for stage in stages.stages for one in stage.instructions for name in declared_by(one, stages)}
    for instruction in stages.declared:
        for name in declared_by(instruction, stages):
            if name not in inside and not _named_before_stages(stages, name) and name not in AUTOMATIC | PROXIES:
                yield subject.finding(
                    "unused-arg",
                    "warning",
                    instruction.line,
                    f"no FROM uses {name}, and no stage takes it over",
                    f"repeat it in the stage that needs it: ARG {name}; or delete it",
                    why="its value reaches nothing",
                )
    for stage in stages.stages:
        for index, instruction in enumerate(stage.instructions):
            for name in declared_by(instruction, stages):
                if name not in AUTOMATIC | PROXIES and not _read_after(stages, stage, index, instruction, name):
                    yield subject.finding(
                        "unused-arg",
                        "warning",
                        instruction.line_of(rf"\b{re.escape(name)}\b"),
                        f"nothing in {stage.shown} or in the stages on top of it reads {name}",
                        "delete it, or declare it in the stage that reads it",
                    )


def _named_before_stages(stages: Stages, name: str) -> bool:
    """Whether a FROM or the default of another global ARG uses the argument."""
    escape = stages.dockerfile.escape
    texts = [text or "" for one in stages.declared for _, text in assignments(one.keyword, one.text, escape)]
    for stage in stages.stages:
        texts += [stage.start.text, *(value for _, value in stage.start.flags)]
    return any(name in fill(text, {}, escape).named for text in texts)


def _read_after(stages: Stages, stage: Stage, index: int, declaration: Instruction, name: str) -> bool:
    """Whether something may read the argument: what names it, or for a name in capitals a program of a later RUN.

    Programs take variables such as PIP_INDEX_URL from the environment unasked; none takes one in small letters.
    """
    later = [*stage.instructions[index + 1 :]]
    on_top = [one for one in stages.stages if one is not stage and stage in stages.chain(one)]
    later += [instruction for one in on_top for instruction in one.instructions]
    word = re.compile(rf"\b{re.escape(name)}\b")
    # `ARG A` and `ARG B=${A}` in one instruction.
    if len(re.findall(word, declaration.text)) > 1:
        return True
    for instruction in later:
        holder = instruction.trigger or instruction
        if holder.keyword == "RUN" and not name.islower():
            return True
        if holder.keyword == "ARG" and all(
            name not in (text or "") for _, text in assignments(holder.keyword, holder.text, stages.dockerfile.escape)
        ):
            continue
        if any(word.search(text) for _, text in instruction.written()):
            return True
    return False


def commented(subject: Subject) -> Iterator[Finding]:
    """`arg-comment`: what looks like a comment after an ARG is none: each word of it declares an argument."""
    for instruction in subject.stages.dockerfile.instructions:
        words = split_words(instruction.text, subject.stages.dockerfile.escape) or ()
        if instruction.keyword == "ARG" and any(word.startswith("#") for word in words):
            yield subject.finding(
                "arg-comment",
                "info",
                instruction.line,
                "a comment after an ARG is none",
                "move it to a line of its own",
                why="each word of it declares a build argument",
            )


def secrets(subject: Subject) -> Iterator[Finding]:
    """`secret-arg`: a secret as an ARG or ENV. Both are in the image's history, for everybody who pulls it."""
    stages = subject.stages
    everywhere = [*stages.declared, *(one for stage in stages.stages for one in stage.instructions)]
    for instruction in everywhere:
        if instruction.keyword not in {"ARG", "ENV"}:
            continue
        for name, text in assignments(instruction.keyword, instruction.text, stages.dockerfile.escape):
            # An ENV that is set empty hides one of the base image.
            empty = instruction.keyword == "ENV" and (text or "").strip("\"'") in {"", "0"}
            if not is_secret_name(name) or _negated(name) or empty:
                continue
            yield subject.finding(
                "secret-arg",
                "error",
                instruction.line_of(rf"\b{re.escape(name)}\b"),
                f"{name} looks like a secret, and is an {instruction.keyword}",
                f"RUN --mount=type=secret,id={name},env={name} …   # and docker build --secret id={name}",
                why=_KEPT,
            )
    for name in subject.stages.args:
        if is_secret_name(name) and not _negated(name) and name not in declarations(stages):
            yield subject.finding(
                "secret-arg",
                "error",
                0,
                f"{name} looks like a secret, and is given as a build argument",
                f"docker build --secret id={name},env={name}",
                why=_KEPT,
            )


def _negated(name: str) -> bool:
    """Whether it says that there is no secret, a public one, or where it is: SCCACHE_S3_NO_CREDENTIALS, GPG_KEY_URL."""
    said = r"(?:^|_)(?:NO|WITHOUT|PUBLIC|USE|ENABLE|DISABLE)_|_(?:URL|FILE|PATH|DIR|NAME|PROVIDER|SERVER)$"
    return bool(re.search(said, name, re.IGNORECASE))
