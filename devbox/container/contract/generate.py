"""`devbox generate`: write a contract and start nothing, show what would change, or prove that it is current."""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.config.table import TABLE
from devbox.container import memory, which
from devbox.container.contract import author, choices
from devbox.container.contract.gather import gather
from devbox.container.contract.inforce import agree_by_writing
from devbox.container.contract.ssh_agent import with_agent
from devbox.container.person import ssh_agent
from devbox.container.project import resolve
from devbox.devcontainer import record
from devbox.devcontainer.find import advice, candidates_in
from devbox.devcontainer.read import read
from devbox.devcontainer.record import definition
from devbox.devcontainer.writing.write import preview, write
from devbox.errors import DevboxError, DriftError, RefusedError, UsageError
from devbox.facts import checkout as checkout_facts
from devbox.frameworks.load import load
from devbox.image.base.choose import have
from devbox.trust.ask import Answers, agree
from devbox.trust.settings import of_settings
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.config.table import Flags
    from devbox.container.contract.author import Draft
    from devbox.container.which import Chosen
    from devbox.devcontainer.writing.write import Difference
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What `devbox generate` was asked for. `path` is absolute; `flags` are settings, by their keys.

    None leaves a choice to devbox, or to the last time.

    `look` writes nothing: `check` makes a difference an error, and `diff` shows it.
    """

    path: Path
    flags: Flags = field(default_factory=dict, hash=False)
    name: str | None = None
    shared: bool = False
    compose: bool | None = None
    inline: bool | None = None
    flat: bool = False
    force: bool = False
    check: bool = False
    diff: bool = False
    dry_run: bool = False
    allow: tuple[str, ...] = ()
    yes: bool = False

    @property
    def look(self) -> bool:
        """Whether nothing is written."""
        return self.check or self.diff or self.dry_run


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """What `devbox generate` did, or would do.

    `files` are all files of the contract, the devcontainer.json first, and then those of further shared ones. `written`
    were or would be written; `removed` are those of devbox's that the contract before had and this one has not. `stale`
    says what is the matter with each file that differs. `diff` is a unified diff from what is there, where it was asked
    for. `verdict` says in a sentence how the files are, where nothing was written. `hint` is what other tools need to
    be told, `next` what to type now.
    """

    workspace: Path
    contract: Path
    framework: str
    variant: str
    form: tuple[str, ...]
    files: tuple[Path, ...]
    written: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()
    stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diff: str | None = None
    verdict: str | None = None
    hint: str | None = None
    next: str | None = None


def generate(options: GenerateOptions, engine: Engine, reporter: Reporter) -> tuple[GenerateResult, DriftError | None]:
    """Draft the contract and write it; with `check`, return an error where the files are not what would be written.

    A shared contract asks no engine. Where nothing says which one is meant, all that are there are. Raises RefusedError
    where a file was edited and `force` is not given, UsageError for a choice that makes no sense, and what drafting
    raises.
    """
    made = _draft_shared(options, reporter) if options.shared else (_draft(options, engine, reporter),)
    if options.look:
        return _looked(options, made, [one for draft in made for one in preview(draft.checkout, draft.generated)])
    with memory.lock(options.path, reporter):
        done = [write(draft.checkout, draft.generated, force=options.force) for draft in made]
    kept = [str(path) for one in done for path in one.kept]
    if kept:
        raise RefusedError(
            f"{', '.join(kept)} was edited by hand, or is not devbox's, and is left as it is",
            hint=f"{_again(options, '--diff')}   # shows what --force would change",
        )
    for draft in made:
        if draft.ssh_agent:
            ssh_agent.prepare()
        _agree(options, draft, engine)
    written = tuple(path for one in done for path in one.changed)
    removed = tuple(path for one in done for path in one.removed)
    return _result(options, made, written=written, removed=removed), None


def _agree(options: GenerateOptions, made: Draft, engine: Engine) -> None:
    """Remember that the person agreed to what the contract reaches, by having it written.

    Of services, compose itself says what that is; where it does not answer, `up` will ask.
    """
    with contextlib.suppress(DevboxError):
        # The files may be others by now than devbox has written: only its own words are agreed to.
        texts = {made.checkout.path / relative: text for relative, text in made.generated.files}
        contract = read(made.path, options.path, engine.environ, text=texts[made.path])
        project = resolve(engine, contract, drafted=texts) if made.form.compose else None
        agree_by_writing(contract, engine.environ, project)


def _draft(options: GenerateOptions, engine: Engine, reporter: Reporter) -> Draft:
    """Return the personal contract, from the one that devbox wrote before if there is one."""
    settings = config.load(options.path, environ=engine.environ, flags=options.flags)
    chosen = which.framework(options.path, settings.framework, reporter)
    _say(chosen, reporter)
    existing = next(iter(which.contracts(options.path, framework=chosen.name)), None)
    before = record.at(existing)
    flat = options.flat or (existing is not None and existing.parent == options.path)
    answers = Answers(allow=options.allow, asks=not options.yes, dry_run=options.look)
    agree(options.path, options.path, tuple(of_settings(settings, options.path, engine.environ)), answers, reporter)
    facts = gather(
        engine,
        options.path,
        settings,
        framework=chosen.name,
        variant=chosen.variant,
        form=choices.kept_form(before, compose=options.compose, inline=options.inline, flat=flat),
        container_name=options.name,
        existing=before,
    )
    facts = with_agent(facts, answers, reporter)
    base = author.base_of(facts)
    # Whatever can be refused comes before the image, which may take minutes.
    made = author.draft(facts, base.foreseen)
    if options.look or base.certain:
        return made
    return author.draft(facts, have(engine, facts.framework, base, facts.network, reporter))


def _draft_shared(options: GenerateOptions, reporter: Reporter) -> tuple[Draft, ...]:
    """Return the shared contracts. They depend on the checkout, its devbox.toml and the command line alone."""
    if options.name is not None:
        raise UsageError(
            "--name is one person's, and a shared contract is everybody's", hint="devbox generate --name NAME"
        )
    checkout = checkout_facts.gather(options.path)
    there = {found: path for path in candidates_in(options.path) if (found := record.at(path).definition)}
    said = config.load(options.path, environ=os.environ, flags=options.flags, personal=False)
    asked = options.flat or any(said.asked(key) for key in ("framework", "variant", "gpus"))
    drafts = []
    for recorded in [{}] if asked or not there else [_recorded(path) for path in there.values()]:
        settings = replace(said, **recorded)
        name, variant, *_ = seen = which.framework(options.path, settings.framework, reporter, personal=False)
        _say(seen, reporter)
        chosen = load(name, settings.variant or variant, options.path)
        path = there.get((name, definition(chosen, gpu=choices.wants_gpus(chosen, settings))))
        before = record.at(path)
        kept = choices.kept_form(before, compose=options.compose, inline=options.inline)
        flat = options.flat or (path is not None and path.parent == options.path)
        form = replace(kept, shared=True, flat=flat)
        drafts.append(
            author.draft_shared(checkout, settings, framework=name, variant=variant, form=form, existing=before)
        )
    return tuple(drafts)


def _recorded(path: Path) -> JSON:
    """Return for what a shared contract was written, as it would be asked for."""
    said = record.at(path)
    return {"framework": said.framework, "variant": said.variant, "gpus": "all" if said.for_gpus else "none"}


def _say(chosen: Chosen, reporter: Reporter) -> None:
    if chosen.why is not None:
        reporter.info(f"this is {chosen.told}")


def _looked(
    options: GenerateOptions, made: tuple[Draft, ...], differences: Sequence[Difference]
) -> tuple[GenerateResult, DriftError | None]:
    """Return what would change, and the error that `check` makes of it."""
    kept = [one for one in differences if one.edited and not options.force]
    count = len(differences)
    verdict = f"{' and '.join(str(draft.path) for draft in made)} {'is' if len(made) == 1 else 'are'} current"
    if kept:
        names = ", ".join(str(one.path) for one in kept)
        verdict = f"{names} was edited by hand, or is not devbox's: only --force writes over it"
    elif differences:
        verdict = f"{count} file{'s' if count > 1 else ''} would be written"
    result = _result(
        options,
        made,
        written=() if kept else tuple(one.path for one in differences),
        stale=tuple(f"{one.path} {one.reason}" for one in differences),
        diff="".join(_unified(options.path, one) for one in differences) if options.diff else None,
        verdict=verdict,
    )
    if not options.check or not differences:
        return result, None
    hint = f"{_again(options, '--diff')}   # shows what would change"
    return result, DriftError(f"the generated files are not current: {'; '.join(result.stale)}", hint=hint)


def _result(
    options: GenerateOptions,
    made: tuple[Draft, ...],
    *,
    written: tuple[Path, ...],
    removed: tuple[Path, ...] = (),
    stale: tuple[str, ...] = (),
    diff: str | None = None,
    verdict: str | None = None,
) -> GenerateResult:
    first = made[0]
    return GenerateResult(
        workspace=options.path,
        contract=first.path,
        framework=first.framework.name,
        variant=first.framework.variant,
        form=(("shared",) if first.form.shared else ()) + first.form.words,
        files=tuple(options.path / relative for draft in made for relative, _ in draft.generated.files),
        written=written,
        removed=removed,
        stale=stale,
        notes=tuple(dict.fromkeys(note for draft in made for note in draft.notes)),
        diff=diff,
        verdict=verdict,
        hint=advice(options.path, first.path),
        next=_next(options, made) if verdict is None else None,
    )


def _next(options: GenerateOptions, made: tuple[Draft, ...]) -> str:
    """Return what to type after the files are written: where they are to be committed, that; else what starts them."""
    first = made[0]
    if options.shared and first.checkout.git_top is not None:
        return shlex.join(["git", "add", *(relative for draft in made for relative, _ in draft.generated.files)])
    if len(made) > 1 or which.contracts(options.path) == (first.path,):
        return which.up_line(options.path)
    if options.shared:
        return which.up_line(options.path, "--config", str(first.path))
    return which.up_line(options.path, "--framework", first.framework.name)


def _again(options: GenerateOptions, *words: str) -> str:
    """Return the command line that means the same files, with further `words`."""
    line = ["devbox", "generate"]
    line += [f"--{name}" for name in ("shared", "compose", "inline", "flat") if getattr(options, name)]
    # Of those that stay as they were, "no" is said, too.
    line += [f"--no-{name}" for name in ("compose", "inline") if getattr(options, name) is False]
    for key, said in options.flags.items():
        line += [word for text in ([said] if isinstance(said, str) else said) for word in (TABLE[key].flag, text)]
    line += [] if options.name is None else ["--name", options.name]
    return shlex.join([*line, *words])


def _unified(workspace: Path, one: Difference) -> str:
    """Return the unified diff of a file, as `patch` and editors read it."""
    name = one.path.relative_to(workspace).as_posix()
    before = "/dev/null" if one.old is None else f"a/{name}"
    lines = difflib.unified_diff(
        (one.old or "").splitlines(keepends=True), one.new.splitlines(keepends=True), before, f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
