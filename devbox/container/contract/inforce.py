"""The contract in force for a checkout: found, or written first; and the person's consent to what it reaches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devbox.config.table import CHOICES, TABLE
from devbox.container import which
from devbox.container.checkout.git_mounts import with_repository
from devbox.container.contract.choices import changed_since, kept_form
from devbox.container.person import ssh_agent
from devbox.devcontainer import consent, record
from devbox.devcontainer.read import read
from devbox.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.config import Settings
    from devbox.container.contract.author import Draft
    from devbox.container.up.request import UpRequest
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.image.base.choose import BaseChoice
    from devbox.reporter import Reporter

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InForce:
    """The contract in force. `written` are the files that were written for it now, or would be.

    `base` is how the base image of one that was drafted now is had.
    `drafted` are the texts of all its files, by path, in a dry run, where they are not written. `trusted` means that
    devbox itself has made the content.
    """

    contract: Contract = field(hash=False)
    written: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    drafted: Mapping[Path, str] = field(default_factory=dict, hash=False)
    trusted: bool = False
    base: BaseChoice | None = None

    @property
    def dockerfile(self) -> str | None:
        """The text of the contract's Dockerfile where it is not written."""
        build = self.contract.build
        return None if build is None else self.drafted.get(build.dockerfile)


def in_force(request: UpRequest, settings: Settings, engine: Engine, reporter: Reporter) -> InForce:
    """Return the contract that `request` means, written first where devbox has to.

    Without a framework an existing one is used as it is; flags that change a contract make devbox write its own again.
    Raises ContractError, UsageError and RefusedError.
    """
    framework = settings.framework if request.config is None else None
    given = [TABLE[key].flag for key in CHOICES if key in request.flags]
    given += [f"--{name}" for name in ("flat", "compose") if getattr(request, name)]
    path = which.contract(request.path, engine, reporter, config=request.config, framework=framework, own=bool(given))
    ours = record.at(path).personal
    given += [f"--{name}" for name in ("name", "force") if ours is not None and getattr(request, name)]
    if path is not None and framework is None and (ours is None or not given):
        if given:
            reporter.warn(
                f"{path} is not devbox's own to change, so it decides: {', '.join(given)} changes nothing. "
                "`devbox up --framework NAME` writes one of your own beside it"
            )
        contract = with_repository(read(path, request.path, engine.environ))
        ours_alone = ours is not None and contract.generated
        found = InForce(contract, notes=changed_since(settings, contract.record) if ours_alone else ())
    else:
        found = _written(
            request, settings, engine, reporter, framework=framework or ours, existing=path, tried=bool(given or path)
        )
    return found


def _written(
    request: UpRequest,
    settings: Settings,
    engine: Engine,
    reporter: Reporter,
    *,
    framework: str | None,
    existing: Path | None,
    tried: bool,
) -> InForce:
    """Draft the contract, see to its base image, put it into the checkout, and read it back.

    With `tried` the files are taken back where no container comes up by them.
    """
    from devbox.container.contract.author import base_of, draft
    from devbox.container.contract.gather import gather

    chosen = which.framework(request.path, framework, reporter)
    if chosen.why is not None:
        reporter.info(f"this is {chosen.name}, because {chosen.why}")
    before = record.at(existing)
    flat = request.flat or (existing is not None and existing.parent == request.path)
    facts = gather(
        engine,
        request.path,
        settings,
        framework=chosen.name,
        variant=chosen.variant,
        form=kept_form(before, compose=request.compose or None, flat=flat),
        container_name=request.name,
        existing=before,
    )
    base = base_of(facts, pull=request.pull)
    # Whatever can be refused comes before the image, which may take minutes.
    made = draft(facts, base.foreseen)
    if request.dry_run:
        return replace(_drafted(request, made, engine, reporter), base=base)
    if not base.certain:
        from devbox.image.base.choose import have

        made = draft(facts, have(engine, facts.framework, base, facts.network, reporter))
    return _put(request, made, engine, reporter, tried=tried)


def _put(request: UpRequest, made: Draft, engine: Engine, reporter: Reporter, *, tried: bool) -> InForce:
    """Put a draft into the checkout and return what is in force then."""
    from devbox.container.contract import attempt
    from devbox.devcontainer.writing.write import write

    if tried:
        attempt.begin(made)
    done = write(made.checkout, made.generated, force=request.force)
    contract = read(made.path, request.path, engine.environ)
    if made.ssh_agent:
        ssh_agent.prepare()
    if done.kept:
        _say_kept(done.kept, reporter)
    # Files that hold exactly what devbox makes are nothing to ask about.
    return InForce(contract, done.changed, made.notes, trusted=not done.kept)


def _drafted(request: UpRequest, made: Draft, engine: Engine, reporter: Reporter) -> InForce:
    """Return what would be in force: the draft, unless a file in its place was edited by hand."""
    from devbox.devcontainer.writing.write import preview

    stale = preview(made.checkout, made.generated)
    edited = [one.path for one in stale if one.edited]
    if edited and not request.force:
        _say_kept(edited, reporter)
        return InForce(read(made.path, request.path, engine.environ), (), made.notes)
    drafted = {made.checkout.path / relative: text for relative, text in made.generated.files}
    contract = read(made.path, request.path, engine.environ, text=drafted[made.path])
    return InForce(contract, tuple(one.path for one in stale), made.notes, drafted, trusted=True)


def _say_kept(paths: Sequence[Path], reporter: Reporter) -> None:
    names = ", ".join(str(path) for path in paths)
    reporter.warn(f"{names} was edited by hand and is used as it is; --force writes it again")


def see_consent(
    request: UpRequest,
    contract: Contract,
    reporter: Reporter,
    entries: Sequence[JSON] = (),
    *,
    services: Sequence[str] = (),
) -> tuple[str, ...]:
    """See that the person agreed to what a contract, with its image's metadata `entries`, reaches on the host.

    `services` are what the services of its compose files reach. `--trust` answers, `--yes` does not. A dry run asks
    nothing: what would be asked is returned. Raises RefusedError.
    """
    if consent.granted(contract, entries, services):
        return ()
    reach = consent.host_reach(contract, entries, services)
    if (entries or services) and reach == consent.host_reach(contract) and consent.granted(contract):
        return ()
    if consent.as_written(contract, entries, services):
        if not request.dry_run:
            consent.grant(contract, entries, services)
        return ()
    if request.dry_run:
        return tuple(f"needs your consent (--trust): {item}" for item in reach)
    if not request.trust:
        listed = "\n".join(f"  {item}" for item in reach)
        question = f"{contract.path} reaches beyond its container:\n{listed}\nDo you trust it?"
        answer = None if request.yes else reporter.confirm(question)
        if not answer:
            raise RefusedError(
                f"{contract.path} reaches beyond its container, and that needs your consent",
                hint="devbox up --trust   # once you have read what it does",
                detail="\n".join(reach) if answer is None else None,
            )
    consent.grant(contract, entries, services)
    return ()
