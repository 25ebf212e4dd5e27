"""The linter of Dockerfiles: what builds, and still is not what its author meant.

hadolint and `docker build --check` look at style. The rules here are about large C++/CUDA images: arguments that never
arrive, jobs and threads that cancel out, CUDA versions that do not agree, what a context uploads. A rule is a function
of a subject; each is in doubt silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from devbox.finding import Finding
from devbox.image.lint import args, bake, commands, context, cuda, order, stage
from devbox.image.lint.model import Subject

# Statements of Jinja, by which projects write their Dockerfiles.
_TEMPLATE = re.compile(r"\{%[-+]?\s*(?:if|elif|else|for|set|include|import|from|macro|block|raw|end\w+)\b")

Rule = Callable[[Subject], Iterator[Finding]]
# Those of one instruction hold in a template, too, of which nobody knows the whole.
ALONE: tuple[Rule, ...] = (args.commented, args.secrets, stage.git_folder)
RULES: tuple[Rule, ...] = (
    *ALONE,
    args.undeclared,
    args.unused,
    order.used_before_declared,
    order.declared_between_equal_commands,
    stage.jobs_and_threads,
    stage.layers,
    cuda.base_images,
    commands.commands,
    bake.bake,
    context.upload,
)


def lint(subject: Subject) -> list[Finding]:
    """Return what the rules find, in the order of lines, without what a comment above an instruction ignores.

    A template of a Dockerfile, or a fragment of one, is looked at instruction by instruction, and said to be one.
    `# devbox ignore=RULE,RULE` is such a comment. What is found in other files comes last.
    """
    templated = next(
        (one for one in subject.stages.dockerfile.instructions if _TEMPLATE.search(f"{one.keyword} {one.text}")), None
    )
    rules = RULES if templated is None else (*ALONE, _template(templated.line))
    found = {finding: None for rule in rules for finding in rule(subject)}
    ignored = {
        (rule, line)
        for instruction in subject.stages.dockerfile.instructions
        for rule in instruction.ignored
        for line in range(instruction.line, instruction.end_line + 1)
    }
    kept = [one for one in found if one.path != subject.path or (one.check, one.line) not in ignored]
    return sorted(kept, key=lambda one: (one.path != subject.path, one.path or "", one.line, one.check))


def _template(line: int) -> Rule:
    """Return the rule that says that a Dockerfile is a template."""

    def template(subject: Subject) -> Iterator[Finding]:
        """`template`: what Jinja renders is what is built."""
        yield subject.finding(
            "template",
            "info",
            line,
            "a template: rules about the whole of a Dockerfile are for what it renders",
            "render it, and lint what comes out",
        )

    return template
