"""What to say before something that takes long: what the checkout and the machine lack for it, and what mends that."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from devbox import finding
from devbox.facts import fitness, gaps
from devbox.finding import Finding

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.facts.gaps import Gaps
    from devbox.finding import Severity
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

_NAMED = 3


def look(checkout: Path, framework: Framework | None) -> tuple[Finding, ...]:
    """Return what a checkout lacks by the rules of its framework; without one, what every checkout needs.

    An error is what no build can succeed without.
    """
    rules = framework.preflight if framework is not None else None
    found = gaps.gather(checkout, lfs=rules.lfs if rules else (), history=bool(rules and rules.history))
    return findings(found)


def findings(found: Gaps) -> tuple[Finding, ...]:
    """Return the gaps of a checkout, with the commands that close them in the order to run these in."""
    said = []
    if found.submodules:
        fetch = ("git", "submodule", "update", "--init", "--recursive", "--", *_tops(found.submodules))
        said.append(_gap("error", f"{_named(found.submodules, 'submodule')} without content", fetch))
    if found.pointers:
        said.append(
            _gap(
                "error",
                f"{_named(found.pointers, 'git-lfs file')} not fetched",
                ("git", "lfs", "install", "--local"),
                ("git", "lfs", "pull"),
                why="a pointer of some 130 bytes stands there",
            )
        )
    unversioned = "no version can be told from its tags"
    if found.shallow:
        said.append(_gap("warning", "the clone is shallow", ("git", "fetch", "--unshallow", "--tags"), why=unversioned))
    elif found.untagged:
        said.append(_gap("warning", "the clone has no tags", ("git", "fetch", "--tags"), why=unversioned))
    return tuple(said)


def _gap(severity: Severity, message: str, *fix: tuple[str, ...], why: str | None = None) -> Finding:
    return Finding("checkout", severity, message, " && ".join(shlex.join(argv) for argv in fix), why, fix=fix)


def warn(checkout: Path, framework: Framework | None, reporter: Reporter) -> None:
    """Say what the checkout lacks, each with the command that mends it."""
    finding.warn(look(checkout, framework), reporter, first="devbox prepare")


def require_engine(engine: Engine, framework: Framework | None, reporter: Reporter) -> None:
    """See that the engine can build the image of a framework. Raises EngineError where it cannot."""
    if framework is None:
        fitness.require(engine, reporter)
    else:
        fitness.require(engine, reporter, title=framework.title, wanted=framework.preflight.disk)


def _named(paths: tuple[str, ...], what: str) -> str:
    shown = ", ".join(paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{what}{'s' if len(paths) > 1 else ''} {shown}{more}"


def _tops(submodules: tuple[str, ...]) -> list[str]:
    """Return the submodules that are in no other one of the list."""
    return [one for one in submodules if not any(one.startswith(f"{other}/") for other in submodules)]
