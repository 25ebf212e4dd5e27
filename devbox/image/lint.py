"""The linter of Dockerfiles: what builds, and still is not what its author meant.

hadolint and `docker build --check` look at style. The rules here are about large C++/CUDA images: arguments that never
arrive, jobs and threads that cancel out, CUDA versions that do not agree, what a context uploads. A rule is a function
of a subject; each is in doubt silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.image import lint_args, lint_bake, lint_commands, lint_context, lint_cuda, lint_order, lint_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.image.lint_model import Finding, Subject

RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    lint_args.undeclared,
    lint_args.unused,
    lint_args.commented,
    lint_args.secrets,
    lint_order.used_before_declared,
    lint_order.declared_between_equal_commands,
    lint_stage.jobs_and_threads,
    lint_stage.git_folder,
    lint_stage.layers,
    lint_cuda.base_images,
    lint_commands.commands,
    lint_bake.bake,
    lint_context.upload,
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
    kept = [one for one in found if one.path != subject.path or (one.rule, one.line) not in ignored]
    return sorted(kept, key=lambda one: (one.path != subject.path, one.path, one.line, one.rule))
