"""What somebody may have built for a checkout already: a framework's `prebuilt` rules, filled in with what it is.

A rule's reference may hold `*`, and {short} stands for as much of a commit as a tag has: such tags cannot be composed,
so they are looked for in the list of the repository's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.agent.placeholders import fill, names
from devbox.errors import ConfigError, UsageError
from devbox.facts.stated import assigned
from devbox.image.names import reference as built_here
from devbox.image.registry import tags as tag_names
from devbox.image.registry.reference import parse
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.frameworks.model import Framework, Prebuilt
    from devbox.image.prebuilt.history import History

_COMMITS = ("{commit}", "{merge_base}", "{short}")
_WHOLE = 40
_MOST_TAGS = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that may be there, or several of which the first will do.

    `references` are tried in order; where `pattern` is set, the tags of that one repository are listed instead, and the
    one that fits it and carries the first of `commits` is taken. `skipped` says why there is nothing to look for. What
    is not `published` is in no registry: it is looked for on the engine alone.
    """

    stage: str
    why: str
    template: str
    references: tuple[str, ...] = ()
    pattern: str | None = None
    commits: tuple[str, ...] = ()
    skipped: str | None = None
    published: bool = True


def candidates(
    framework: Framework,
    workspace: Path,
    history: History,
    *,
    stage: str | None,
    machine: str,
    commits_only: bool = False,
    back: int | None = None,
) -> tuple[Candidate, ...]:
    """Return what may be there of `framework` for the checkout, in the order of its `prebuilt`.

    `stage` None means every stage; `machine` is `x86_64`, `aarch64` …; `commits_only` leaves out what is not published
    by commit. `back` is how many commits further back will do, instead of what each rule says. The last is what
    devbox itself has built of the stage. Raises ConfigError for a placeholder that does not exist.
    """
    rules = [rule for rule in framework.prebuilt if stage is None or rule.stage == stage]
    if commits_only:
        rules = [rule for rule in rules if any(word in rule.reference for word in _COMMITS)]
    rules = [rule if back is None else replace(rule, back=back) for rule in rules]
    found = [_candidate(framework, rule, workspace, history, machine) for rule in rules]
    if stage is not None and not commits_only:
        name = built_here(framework, stage)
        found.append(Candidate(stage, "built here", name, (name,), published=False))
    return tuple(found)


def of_commit(repository: str, pattern: str | None, history: History, *, back: int | None = None) -> Candidate:
    """Return the candidate for the tags of one repository that fit `pattern` and carry a commit of `history`.

    Raises UsageError where `repository` is none, or has a tag.
    """
    place = parse(repository)
    if place.tag or place.digest:
        raise UsageError(f"{repository} names one image, not a repository", hint=place.repository)
    commits = history.since_head if back is None else history.since_head[: back + 1]
    wanted = f"{place.repository}:{tag_names.shell_pattern(pattern)}"
    skipped = None if commits else "this checkout has no commit"
    return Candidate("", "by commit", wanted, pattern=wanted, commits=commits, skipped=skipped)


def _candidate(framework: Framework, rule: Prebuilt, workspace: Path, history: History, machine: str) -> Candidate:
    empty = Candidate(rule.stage, rule.why, rule.reference)
    known = {"machine": machine}
    if "{key}" in rule.reference:
        key = dict(rule.machines).get(machine, rule.key or "")
        found = assigned(workspace, rule.file, key)
        if found is None:
            said = rule.reference.replace("{key}", f"{{{key}}}")
            return replace(empty, template=said, skipped=f"no {key} in {' or '.join(rule.file)} of this checkout")
        known["key"] = found.value
    template = fill(rule.reference, known)
    # What a file names is taken as it is.
    wanted = frozenset(names(rule.reference)) - known.keys()
    unknown = wanted - {"version", "tag", "commit", "short", "merge_base"}
    if unknown:
        raise ConfigError(
            f"the framework {framework.name}: nothing fills in {{{min(unknown)}}} of its 'prebuilt' {rule.reference}",
            hint="{version} {tag} {commit} {short} {merge_base} {machine} {key}",
        )
    if wanted & {"version", "tag"}:
        return _by_tag(replace(empty, template=template), history)
    if wanted:
        start = history.since_head if wanted == {"commit"} else history.since_base
        return _by_commit(replace(empty, template=template), wanted, start[: rule.back + 1])
    # A bare name is what scripts have built on this machine: Docker Hub's own images are no framework's.
    return replace(empty, references=(template,), published=not parse(template).official)


def _by_tag(empty: Candidate, history: History) -> Candidate:
    """Return the candidate for the newest tags of a history, the newest first: not each one has been published."""
    names = history.tags[:_MOST_TAGS]
    if not names:
        return replace(empty, skipped="there is no tag in this checkout's history")
    filled = [fill(empty.template, {"tag": name, "version": name.removeprefix("v")}) for name in names]
    return replace(empty, references=tuple(filled))


def _by_commit(empty: Candidate, wanted: frozenset[str], commits: tuple[str, ...]) -> Candidate:
    """Return the candidate for `commits`. Where a tag cannot be composed, the repository's are to be listed."""
    if not commits:
        return replace(empty, skipped="this checkout has no commit")
    if "short" in wanted or "*" in empty.template or len(commits[0]) < _WHOLE:
        return replace(empty, pattern=fill(empty.template, dict.fromkeys(wanted, "*")), commits=commits)
    filled = [fill(empty.template, dict.fromkeys(wanted, commit)) for commit in commits]
    return replace(empty, references=tuple(filled), commits=commits)
