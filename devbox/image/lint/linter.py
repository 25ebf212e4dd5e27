"""The linter of Dockerfiles: what builds, and still is not what its author meant.

hadolint and `docker build --check` look at style. The rules here are about large C++/CUDA images: arguments that never
arrive, jobs and threads that cancel out, CUDA versions that do not agree, what a context uploads. A rule is a function
of a subject; each is in doubt silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.image.lint import args, bake, commands, context, cuda, order, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.finding import Finding
    from devbox.image.lint.model import Subject

RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    args.undeclared,
    args.unused,
    args.commented,
    args.secrets,
    order.used_before_declared,
    order.declared_between_equal_commands,
    stage.jobs_and_threads,
    stage.git_folder,
    stage.layers,
    cuda.base_images,
    commands.commands,
    bake.bake,
    context.upload,
)


def lint(subject: Subject) -> list[Finding]:
    """Return what the rules find, in the order of lines, without what a comment above an instruction ignores.

    `# devbox ignore=RULE,RULE` is such a comment. What is found in other files comes last.
    """
    found = {finding: None for rule in RULES for finding in rule(subject)}
    ignored = {
        (rule, line)
        for instruction in subject.stages.dockerfile.instructions
        for rule in instruction.ignored
        for line in range(instruction.line, instruction.end_line + 1)
    }
    kept = [one for one in found if one.path != subject.path or (one.check, one.line) not in ignored]
    return sorted(kept, key=lambda one: (one.path != subject.path, one.path or "", one.line, one.check))
