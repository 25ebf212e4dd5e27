"""The contract in force for a checkout: found, or written first; and the person's consent to what it reaches."""

from __future__ import annotations

import contextlib
import os
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from devbox.config import own_file
from devbox.config.table import CHOICES, LAID, TABLE
from devbox.container import which
from devbox.container.checkout.git_mounts import with_repository
from devbox.container.contract.choices import changed_since, kept_form, still_asked
from devbox.container.contract.reach import reach_of
from devbox.container.inside.find import is_proven
from devbox.container.person import ssh_agent
from devbox.container.steps import HaveBase, MakeFolder, WriteContract
from devbox.container.target import LOCAL_FOLDER, ONE_SHOT, folder_of
from devbox.devcontainer import record
from devbox.devcontainer.read import read
from devbox.errors import DevboxError, RefusedError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from devbox.config import Settings
    from devbox.container.contract.author import Draft
    from devbox.container.request import UpRequest
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.reporter import Reporter
    from devbox.trust.names import Names
    from devbox.trust.reach import Reach

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InForce:
    """The contract in force. `written` are the files that were written for it now, or would be.

    `texts` are those of all its files, by path, where devbox itself has made them just now; `drafted` are the same in a
    dry run, where they are not written.
    """

    contract: Contract = field(hash=False)
    written: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    drafted: Mapping[Path, str] = field(default_factory=dict, hash=False)
    texts: Mapping[Path, str] = field(default_factory=dict, hash=False)

    @property
    def trusted(self) -> bool:
        """Whether devbox itself has made the content."""
        return bool(self.texts)

    @property
    def dockerfile(self) -> str | None:
        """The text of the contract's Dockerfile where it is not written."""
        build = self.contract.build
        return None if build is None else self.drafted.get(build.dockerfile)


def in_force(request: UpRequest, settings: Settings, journal: Journal) -> InForce:
    """Return the contract that `request` means, written first where devbox has to.

    Without a framework an existing one is used as it is; flags that change a contract make devbox write its own again.
    Raises ContractError, UsageError and RefusedError.
    """
    engine, reporter = journal.engine, journal.reporter
    framework = settings.framework if request.config is None else None
    given = [TABLE[key].flag for key in CHOICES if key in request.flags]
    given += [*(["--flat"] if request.flat else ())]
    given += [] if request.compose is None else ["--compose" if request.compose else "--no-compose"]
    if request.variation.content is not None and request.config is not None:
        # Its own file need not be there.
        path: Path | None = request.config
    else:
        path = which.contract(
            request.path, engine, reporter, config=request.config, framework=framework, own=bool(given)
        )
    ours = record.at(path).personal
    # What only a contract of devbox's own can follow; the others are laid over one.
    alone = [flag for flag in given if flag not in {TABLE[key].flag for key in LAID}]
    given += [f"--{name}" for name in ("name", "force") if ours is not None and getattr(request, name)]
    if path is not None and framework is None and (ours is None or not given):
        if alone:
            reporter.warn(
                f"{path} is not devbox's own to change, so it decides: {', '.join(alone)} changes nothing. "
                "`devbox up --framework NAME` writes one of your own beside it"
            )
        contract = with_repository(read(path, request.path, engine.environ, variation=request.variation))
        if ours is not None and contract.generated:
            notes = (*changed_since(settings, contract.record), *still_asked(settings, contract.record))
            return InForce(contract, notes=notes)
        return _used_as_it_is(contract, settings, engine)
    tried = bool(given or path)
    return _written(request, settings, journal, framework=framework or ours, existing=path, tried=tried)


def with_overlays(contract: Contract, settings: Settings, engine: Engine) -> Contract:
    """Return a contract that devbox has not written with what the settings lay over it. Raises UsageError."""
    devboxes = contract.record.personal is not None and contract.generated
    if devboxes or not any(settings.said(key) for key in LAID):
        return contract
    from devbox.container.contract.overlay import laid_over
    from devbox.engine.api import socket_path

    return laid_over(contract, settings, local=socket_path(engine.environ) is not None)


def _used_as_it_is(contract: Contract, settings: Settings, engine: Engine, notes: tuple[str, ...] = ()) -> InForce:
    """Return a contract that devbox does not write as it is in force."""
    contract = with_overlays(contract, settings, engine)
    if contract.overlays:
        from devbox.container.contract.overlay import said_now

        if flags := said_now(contract):
            table = f'[workspace."{contract.workspace}"]'
            notes += (f"{', '.join(flags)} holds for this time; {table} in {own_file()} keeps it",)
    return InForce(contract, notes=notes)


def _written(
    request: UpRequest,
    settings: Settings,
    journal: Journal,
    *,
    framework: str | None,
    existing: Path | None,
    tried: bool,
) -> InForce:
    """Gather the facts, draft the contract, see to its base image, and put it into the checkout.

    With `tried` the files are taken back where no container comes up by them.
    """
    from devbox.container.contract.author import base_of, draft
    from devbox.container.contract.gather import gather
    from devbox.container.contract.ssh_agent import with_agent

    engine, reporter = journal.engine, journal.reporter
    chosen = which.framework(request.path, framework, reporter)
    if chosen.why is not None:
        reporter.info(f"this is {chosen.told}")
    before = record.at(existing)
    flat = request.flat or (existing is not None and existing.parent == request.path)
    form = kept_form(before, compose=request.compose, flat=flat)
    facts = gather(
        engine,
        request.path,
        settings,
        framework=chosen.name,
        variant=chosen.variant,
        form=form,
        container_name=request.name,
        existing=before,
    )
    facts = with_agent(facts, request.answers, reporter)
    base = base_of(facts, pull=request.pull)
    # Whatever can be refused comes before the image, which may take minutes.
    made = draft(facts, base.foreseen)
    if not base.certain:
        journal.do(HaveBase(facts.framework, base, facts.network))
        there = {name for name in (base.image, base.instead) if name is not None and engine.image(name) is not None}
        made = draft(facts, base.outcome(there))
    made = replace(made, notes=(*made.notes, *still_asked(settings, before)))
    return _put(request, made, journal, settings, tried=tried)


def _put(request: UpRequest, made: Draft, journal: Journal, settings: Settings, *, tried: bool) -> InForce:
    """Put a draft into the checkout, unless somebody has edited it there, and return what is in force then."""
    from devbox.devcontainer.writing.write import preview

    environ = journal.engine.environ
    stale = preview(made.checkout, made.generated)
    edited = [one.path for one in stale if one.edited]
    if edited and not request.force:
        names = ", ".join(map(str, edited))
        journal.reporter.warn(f"{names} was edited by hand and is used as it is; --force writes it again")
        contract = with_repository(read(made.path, request.path, environ))
        return _used_as_it_is(contract, settings, journal.engine, made.notes)
    paths = tuple(one.path for one in stale)
    journal.do(WriteContract(made, paths, tried=tried, force=request.force))
    if made.ssh_agent and not ssh_agent.mounted_folder().is_dir():
        journal.do(MakeFolder(ssh_agent.mounted_folder()))
    drafted = {made.checkout.path / relative: text for relative, text in made.generated.files}
    contract = read(made.path, request.path, environ, text=drafted[made.path])
    if not journal.dry_run:
        # The files hold exactly what devbox makes, as it was asked for: there is nothing to ask.
        agree_by_writing(contract, environ)
        journal.hold(partial(reach_of, contract, environ))
    return InForce(contract, paths, made.notes, drafted if journal.dry_run else {}, texts=drafted)


def see_consent(
    request: UpRequest,
    contract: Contract,
    journal: Journal,
    entries: Sequence[JSON] = (),
    *,
    project: Project | None = None,
) -> tuple[str, ...]:
    """See that the person agreed to what a contract, with its image's metadata `entries`, reaches.

    `project` is its compose project where that is known. The journal does nothing where it reaches more later. A dry
    run asks nothing: what would be asked is returned. Raises RefusedError.
    """
    reach = journal.hold(partial(reach_of, contract, journal.engine.environ, entries, project))
    if not reach:
        return ()
    from devbox.trust.ask import agree

    return agree(contract.workspace, contract.path, reach, request.answers, journal.reporter)


def see_names(
    request: UpRequest, contract: Contract, engine: Engine, reporter: Reporter, names: Names
) -> tuple[str, ...]:
    """See that the person agreed to the names that a contract uses and somebody else has. As `see_consent`."""
    from devbox.trust.ask import agree

    return agree(contract.workspace, contract.path, names_taken(contract, engine, names), request.answers, reporter)


def names_taken(contract: Contract, engine: Engine, names: Names) -> tuple[Reach, ...]:
    """Return which of the names that a contract uses somebody else has on the engine."""
    from devbox.trust.names import taken

    folder = str(contract.workspace)

    def is_ours(one: ContainerSummary) -> bool:
        said = folder_of(one.labels) if LOCAL_FOLDER in one.labels else one.labels.get(ONE_SHOT, "/")
        return os.path.realpath(said) == os.path.realpath(folder) and is_proven(one, folder)

    # Nobody else has the id of this contract.
    volumes = tuple(name for name in names.volumes if contract.devcontainer_id not in name)
    return tuple(taken(names._replace(volumes=volumes), engine, contract.workspace, is_ours))


@contextlib.contextmanager
def claimed(contract: Contract, engine: Engine, *used: Names) -> Iterator[None]:
    """Remember what there is by the `used` names as the workspace's, however the block ends.

    What cannot be remembered is asked for the next time.
    """
    from devbox.trust.names import claim

    try:
        yield
    finally:
        for names in used:
            with contextlib.suppress(DevboxError):
                claim(names, engine, contract.workspace)


def agree_by_writing(contract: Contract, environ: Mapping[str, str], project: Project | None = None) -> None:
    """Remember what a contract reaches that devbox has written as the person asked for it: that is consent.

    Files of the checkout cannot ask for anything that reaches the host. Where it cannot be remembered, the person will
    be asked: that is no reason to fail now.
    """
    from devbox.trust import grants

    with contextlib.suppress(RefusedError):
        reach = reach_of(contract, environ, project=project)
        grants.grant(contract.workspace, [one for one in reach if one.kind != "agent"], "devbox wrote it, as asked for")
        if contract.record.framework is not None and contract.record.shared is None:
            grants.remember_choices(contract.workspace, contract.record.framework, contract.record.choices)
