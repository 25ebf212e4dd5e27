"""The contract that devbox would write: drafted from facts, settings and choices, not written yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.config.kinds import NONE
from devbox.config.table import PERSONAL as PERSONAL_CHOICES
from devbox.container.contract.choices import (
    OF_A_VARIANT,
    asked_before,
    carried,
    must_be_asked_for,
    recorded,
    settled,
    wants_gpus,
    wheels,
)
from devbox.container.person import ssh_agent
from devbox.devcontainer.find import place
from devbox.devcontainer.gpu import ALL, gpu_args
from devbox.devcontainer.record import NOTHING, PERSONAL, Form, Record, definition
from devbox.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.devcontainer.writing.request import Generated, Recipe
    from devbox.engine.docker import Engine
    from devbox.facts.model import Checkout, EngineFacts
    from devbox.frameworks.model import Framework, Service
    from devbox.reporter import Reporter


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated contract, not written yet: its content, where it goes, and what to say about how it came about."""

    checkout: Checkout
    framework: Framework
    form: Form
    generated: Generated = field(hash=False)
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The devcontainer.json."""
        return self.checkout.path / self.generated.files[0][0]


def draft(
    engine: Engine,
    workspace: Path,
    settings: Settings,
    reporter: Reporter,
    *,
    framework: str,
    variant: str | None = None,
    form: Form = PERSONAL,
    container_name: str | None = None,
    existing: Record = NOTHING,
    pull: bool = False,
    dry_run: bool = False,
) -> Draft:
    """Gather the facts and return the personal contract that devbox would write for `framework`, in its `form`.

    `existing` is the record of the contract that devbox wrote before. What was asked for then stays asked for until it
    is asked for otherwise; variant, base image and architectures are taken from it even where nobody asked, so that
    a second run finds what the first one chose. With `dry_run` nothing is pulled or built to choose the base image.
    """
    from devbox.config.network import network_of
    from devbox.container.contract import checkouts, personal
    from devbox.devcontainer.users import resolve as resolve_user
    from devbox.devcontainer.writing.draft import generate
    from devbox.devcontainer.writing.limits import limit_args
    from devbox.devcontainer.writing.request import GenerateRequest
    from devbox.facts import checkout as checkout_facts
    from devbox.facts import engine as engine_facts
    from devbox.facts import gpu as gpu_facts
    from devbox.facts import host as host_facts
    from devbox.frameworks.arch import resolve
    from devbox.frameworks.load import load
    from devbox.image.assembly.recipe import recipe
    from devbox.image.base.choose import pinned

    before, asked = recorded(existing, framework), asked_before(existing, framework)
    chosen = load(
        framework,
        (settings.variant if settings.asked("variant") else None)
        or asked.get("variant")
        or settings.variant
        or variant
        or before.get("variant"),
        workspace,
    )
    chosen = with_cache(pinned(chosen, workspace), settings)
    same = before.get("variant") == chosen.variant
    if not same:
        asked = {key: value for key, value in asked.items() if key not in OF_A_VARIANT}
    must_be_asked_for(workspace, settings, asked, framework)
    said, (settings, choices) = settings, carried(settings, asked, container_name)
    facts = engine_facts.gather(engine)
    gpus = gpu_facts.gather(engine, facts)
    host = host_facts.gather()
    checkout = checkout_facts.gather(workspace)
    network = network_of(settings, engine.environ)
    gpu = gpu_args(settings.gpus or ("auto" if chosen.gpu else "none"), gpus, facts)
    if gpu.denied:
        raise RefusedError(f"the GPUs {settings.gpus} cannot be had: {gpu.reason}", hint="devbox up --gpus none")
    limits, limit_notes = limit_args(facts)
    user = resolve_user(settings.user, host.user, facts)
    arch = resolve(chosen, settings.arch or (before.get("arch") if same else None), gpus)
    if settings.arch is None and same and before.get("arch"):
        arch = replace(arch, origin="as the contract was written for")
    hardware, hardware_notes = _hardware(chosen, settings, facts)
    # Whatever can be refused comes before the image, which may take minutes.
    folder = wheels(settings)
    placement, beside = place(checkout, chosen.name, flat=form.flat), _services(chosen, settings, form)
    further = checkouts.chosen(chosen, workspace, settings)
    more = personal.chosen(chosen, settings, form, further=further, local=facts.local)
    base = _base_image(
        engine,
        chosen,
        settings,
        reporter,
        before=before.get("base_image") if same else None,
        pull=pull,
        dry_run=dry_run,
    )
    made = recipe(
        chosen,
        base_image=base,
        user=user,
        find_links=folder,
        network=network,
        checkout=workspace,
        inline=form.inline,
    )
    generated = generate(
        GenerateRequest(
            checkout=checkout,
            framework=chosen,
            recipe=made,
            user=user,
            placement=placement,
            owner=host.user.uid,
            guest=user.uid if user.uid != resolve_user(None, host.user, facts).uid else None,
            form=form,
            arch=arch,
            network=network,
            gpu=gpu.grant,
            limits=limits,
            devices=hardware,
            services=beside,
            repositories=further,
            additions=more,
            ccache_size=settings.ccache_size,
            cache_group=_gid(settings),
            container_name=choices.get("name"),
            choices=tuple(choices.items()),
            settings=tuple(settled(said, choices).items()),
            ssh_agent=ssh_agent.folder_for(facts, wanted=settings.ssh_agent, dry_run=dry_run),
            environ=engine.environ,
        )
    )
    notes = [f"GPUs: {gpu.reason}"]
    if arch.capabilities:
        notes.append(f"architectures: {', '.join(arch.capabilities)} ({arch.origin})")
    notes += [*limit_notes, *hardware_notes, *personal.unset(more, engine.environ)]
    return Draft(checkout, chosen, form, generated, (*notes, *_needs_options(form, made), *_remote(facts)))


def draft_shared(
    checkout: Checkout | None,
    settings: Settings,
    *,
    framework: str,
    variant: str | None = None,
    form: Form,
    existing: Record = NOTHING,
) -> Draft:
    """Return the shared contract that devbox would write for `framework`: no engine is asked, no machine looked at.

    Without a checkout it is the one that fits any. `settings` are those without the person's own files. `existing` is
    the record of the shared contract that is there: base image, architectures and services stay as they were asked for.
    Raises UsageError for a choice of one machine's.
    """
    from devbox.config.network import Network
    from devbox.container.contract import personal
    from devbox.devcontainer.users import SHARED as SHARED_USER
    from devbox.devcontainer.writing.draft import generate
    from devbox.devcontainer.writing.limits import GRANTED_EVERYWHERE, UNCLAMPED
    from devbox.devcontainer.writing.request import GenerateRequest
    from devbox.facts.model import Checkout, Gpus
    from devbox.frameworks.arch import resolve
    from devbox.frameworks.load import load
    from devbox.image.assembly.recipe import ANYBODYS_BUNDLE, CA_SECRET, recipe
    from devbox.image.base.choose import pinned

    for key in PERSONAL_CHOICES:
        if settings.asked(key):
            raise UsageError(
                f"{settings.origin(key)} is one person's, and a shared contract is everybody's",
                hint="devbox generate   # writes a personal one, which may differ",
            )
    here = checkout.path if checkout else None
    chosen = with_cache(pinned(load(framework, settings.variant or variant, here), here), settings)
    gpu = wants_gpus(chosen, settings)
    asked = {
        key: value for key, value in asked_before(existing, framework).items() if key not in {"name", *PERSONAL_CHOICES}
    }
    settings, choices = carried(settings, asked, None)
    network = Network()
    made = recipe(
        chosen,
        base_image=settings.base_image or chosen.base_image,
        user=SHARED_USER,
        find_links=None,
        network=network,
        checkout=None if checkout is None else checkout.path,
        inline=form.inline,
    )
    if not form.inline:
        made = replace(made, secrets=((CA_SECRET, ANYBODYS_BUNDLE),))
    checkout = checkout or Checkout(Path("/"))
    generated = generate(
        GenerateRequest(
            checkout=checkout,
            framework=chosen,
            recipe=made,
            user=SHARED_USER,
            placement=place(checkout, chosen.name, flat=form.flat, shared=definition(chosen, gpu=gpu)),
            network=network,
            form=form,
            # Each machine finds its own, unless somebody said one for all.
            arch=resolve(chosen, settings.arch, Gpus()) if settings.arch not in {None, "auto"} else None,
            gpu=ALL if gpu else None,
            limits=UNCLAMPED if gpu else GRANTED_EVERYWHERE,
            devices=() if settings.gpus == NONE else chosen.run.devices,
            services=_services(chosen, settings, form),
            additions=personal.chosen(chosen, settings, form),
            ccache_size=settings.ccache_size,
            choices=tuple(choices.items()),
        )
    )
    return Draft(checkout, chosen, form, generated, _needs_options(form, made))


def _hardware(framework: Framework, settings: Settings, facts: EngineFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the device files that the framework's hardware has on this host, and what to say of those it has not."""
    wanted = () if settings.gpus == NONE else framework.run.devices
    there = tuple(device for device in wanted if not facts.local or Path(device).exists())
    missing = [device for device in wanted if device not in there]
    return there, (f"this host has no {' and no '.join(missing)}: the container gets none",) if missing else ()


def with_cache(framework: Framework, settings: Settings) -> Framework:
    """Return the framework with a volume for sccache, too, where the settings choose it."""
    if settings.compiler_cache != "sccache" or "sccache" in framework.caches:
        return framework
    return replace(framework, caches=(*framework.caches, "sccache"))


def _gid(settings: Settings) -> int | None:
    """Return the host's group that shares the compiler caches. Raises UsageError if the user is no member of it."""
    if not settings.cache_group:
        return None
    import grp
    import os

    named = settings.cache_group
    try:
        group = grp.getgrgid(int(named)) if named.isdecimal() else grp.getgrnam(named)
    except KeyError:
        origin = settings.origin("cache_group")
        raise UsageError(f"{origin}: there is no group {named}", hint="getent group   # lists them") from None
    if group.gr_gid not in {os.getgid(), *os.getgroups()}:
        raise UsageError(f"you are no member of the group {group.gr_name}", hint="id   # lists your groups")
    return group.gr_gid


def _services(framework: Framework, settings: Settings, form: Form) -> tuple[Service, ...]:
    from devbox.frameworks import services

    if not form.compose:
        return ()
    if settings.services is None:
        return services.load(framework.services)
    return services.load(settings.services)


def _needs_options(form: Form, recipe: Recipe) -> tuple[str, ...]:
    """Say what even the inline form cannot do without `build.options`, or their like in a compose file."""
    if not form.inline or not recipe.options():
        return ()
    needs = [name for name, _ in (*recipe.contexts, *recipe.secrets)] + list(recipe.forwarded)
    return (f"the image's build still takes from this machine: {', '.join(needs)}",)


def _remote(facts: EngineFacts) -> tuple[str, ...]:
    return () if facts.local else ("the engine is on another machine: the checkout's folder must exist there, too",)


def _base_image(
    engine: Engine,
    framework: Framework,
    settings: Settings,
    reporter: Reporter,
    *,
    before: str | None,
    pull: bool,
    dry_run: bool,
) -> str:
    from devbox.config.network import network_of
    from devbox.image.base.choose import decide

    requested = settings.base_image
    if requested is None and before is not None and not pull and engine.image(before) is not None:
        own = framework.base_image
        # The lock file is stronger than what the contract was written for, where both speak of the same image.
        if not ("@" in own and before != own and before.partition("@")[0] == own.partition("@")[0]):
            return before
    network = network_of(settings, engine.environ)
    return decide(engine, framework, requested, network=network, reporter=reporter, pull=pull, dry_run=dry_run)
