"""The question: what a contract reaches is shown in full, and agreed to or not, once for each thing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from devbox.errors import RefusedError, UsageError
from devbox.masking import visible
from devbox.trust import grants
from devbox.trust.containers import agent
from devbox.trust.reach import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.reporter import Reporter
    from devbox.trust.reach import Reach


class Answers(NamedTuple):
    """What a person has said on the command line: `trust` everything that is shown, or `allow` kinds of it.

    `asks` is false where nobody wants to be asked (`--yes`), `dry_run` where nothing is to happen. `command` is the one
    that takes `--trust`.
    """

    trust: bool = False
    allow: tuple[str, ...] = ()
    asks: bool = True
    dry_run: bool = False
    command: str = "devbox up"


# A contract that an older devbox wrote mounts it; who has written a file of the checkout cannot be told.
_AGENT_HINT = "devbox up --allow agent   # or, to write the contract without it: devbox generate"
NOBODY = Answers(asks=False)


def agree(workspace: Path, what: Path, reach: Sequence[Reach], answers: Answers, reporter: Reporter) -> tuple[str, ...]:
    """See that the person agreed to what `what`, a contract's file, reaches.

    Only what has not been agreed to in this workspace is shown and asked for. A dry run asks nothing: what would be
    asked is returned. Raises RefusedError.
    """
    new = grants.missing(workspace, reach)
    if not new:
        return ()
    if answers.dry_run:
        return tuple(f"needs your consent (--trust): {visible(one.said)}" for one in new)
    allowed = [one for one in new if answers.trust or any(one.allowed_by(rule) for rule in answers.allow)]
    left = [one for one in new if one not in allowed]
    how = "--trust" if answers.trust else f"--allow {' '.join(answers.allow)}"
    if left:
        before = len(new) < len(reach)
        listed = [
            f"{what} reaches {'more ' if before else ''}beyond its container:",
            *(f"  {one.said}" for one in left),
        ]
        answer = reporter.confirm("Do you trust it?", shown=listed) if answers.asks else None
        if not answer:
            raise RefusedError(
                f"{what} reaches beyond its container, and that needs your consent",
                hint=_AGENT_HINT
                if {one.kind for one in left} == {"agent"}
                else f"{answers.command} --trust   # once you have read what it does",
                detail="\n".join(visible(one.said) for one in left) if answer is None else None,
            )
        how = "asked"
    grants.grant(workspace, new, how)
    return ()


def may_use_agent(workspace: Path, answers: Answers, reporter: Reporter, *, own: str | None, there: bool) -> bool:
    """Tell whether a container of this workspace may use the person's ssh-agent: asked once, with either answer kept.

    `own` is where the person has switched it on for all workspaces, `there` whether there is an agent now.
    """
    reach = agent()
    if not grants.missing(workspace, [reach]):
        return True
    allowed = "--trust" if answers.trust else next((rule for rule in answers.allow if reach.allowed_by(rule)), own)
    if answers.dry_run or allowed is not None:
        if allowed is not None and not answers.dry_run:
            grants.grant(workspace, [reach], allowed)
        return allowed is not None
    if not there or not answers.asks or reach.kind in grants.recall(workspace).refused:
        return False
    answer = reporter.confirm("May it use your ssh-agent?", shown=[f"The container of {workspace} {reach.said}"])
    if answer:
        grants.grant(workspace, [reach], "asked")
    elif answer is not None:
        grants.refuse(workspace, reach.kind)
    else:
        reporter.info("the container gets no ssh-agent: devbox generate --allow agent   # lets it use yours")
    return bool(answer)


def check_rules(rules: Sequence[str], *, option: str = "--allow", value: str = "[=VALUE]") -> tuple[str, ...]:
    """Return the values of `--allow`, or of another option. Raises UsageError for a kind that there is not."""
    for rule in rules:
        kind = rule.partition("=")[0]
        if kind not in KINDS:
            raise UsageError(f"'{kind}' is no kind of reach", hint=f"{option} {'|'.join(sorted(KINDS))}{value}")
    return tuple(rules)


def needs_consent(workspace: Path, what: Path, reach: Sequence[Reach]) -> None:
    """See that all of `reach` has been agreed to already. Raises RefusedError that says where one is asked."""
    left = grants.missing(workspace, reach)
    if left:
        raise RefusedError(
            f"{what} reaches beyond its container, and that needs your consent first",
            hint=f"devbox up {shlex.quote(str(workspace))}",
            detail="\n".join(visible(one.said) for one in left),
        )
