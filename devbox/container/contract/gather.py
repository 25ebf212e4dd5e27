"""What is true of all that a personal contract depends on: asked of the world once, and kept as one frozen value."""

from __future__ import annotations

import grp
import os
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.config.kinds import NONE
from devbox.config.network import network_of
from devbox.container.contract import checkouts, personal
from devbox.container.contract.choices import (
    OF_A_VARIANT,
    asked_before,
    carried,
    must_be_asked_for,
    recorded,
    settled,
    wheels,
)
from devbox.devcontainer.find import place
from devbox.devcontainer.record import NOTHING, PERSONAL, Form, Record
from devbox.devcontainer.users import resolve as resolve_user
from devbox.engine.spec import must_be_name
from devbox.errors import UsageError
from devbox.facts import checkout as checkout_facts
from devbox.facts import engine as engine_facts
from devbox.facts import gpu as gpu_facts
from devbox.facts import host as host_facts
from devbox.frameworks import services
from devbox.frameworks.load import load
from devbox.frameworks.stated import pins
from devbox.image.assembly.recipe import recipe
from devbox.image.base.choose import candidates, pinned
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.devcontainer.find import Placement
    from devbox.devcontainer.users import ContainerUser
    from devbox.devcontainer.writing.additions import Additions
    from devbox.devcontainer.writing.repositories import Repository
    from devbox.devcontainer.writing.request import Recipe
    from devbox.engine.docker import Engine
    from devbox.facts.model import Checkout, EngineFacts, Gpus, Host
    from devbox.facts.stated import Stated
    from devbox.frameworks.model import Framework, Service


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a personal contract is drafted from.

    `settings` have what was asked for before in them; `choices` are what a person asked for, now or before, and
    `settled` what files said. `pins` are the image's arguments that the checkout says and nobody before it. `before` is
    what the contract before holds of this variant. `images` are those that are on the engine, of the ones that the base
    image may be. `recipe` builds on the framework's own base image. `devices` are the framework's device files that
    this host has, and `groups` whose they are. `environ` is the host's environment.
    """

    framework: Framework
    form: Form
    settings: Settings
    choices: Mapping[str, str] = field(hash=False)
    settled: Mapping[str, str] = field(hash=False)
    before: Mapping[str, str] = field(hash=False)
    engine: EngineFacts
    gpus: Gpus
    host: Host
    checkout: Checkout
    network: Network
    images: frozenset[str]
    user: ContainerUser
    pins: tuple[Stated, ...]
    recipe: Recipe
    placement: Placement
    devices: tuple[str, ...]
    groups: tuple[str, ...]
    services: tuple[Service, ...]
    repositories: tuple[Repository, ...]
    additions: Additions
    cache_group: int | None
    environ: Mapping[str, str] = field(hash=False, repr=False)


def gather(
    engine: Engine,
    workspace: Path,
    settings: Settings,
    *,
    framework: str,
    variant: str | None = None,
    form: Form = PERSONAL,
    container_name: str | None = None,
    existing: Record = NOTHING,
) -> Facts:
    """Ask engine, host and checkout for what the personal contract of `framework` in its `form` depends on.

    `existing` is the record of the contract that devbox wrote before. What was asked for then stays asked for until it
    is asked for otherwise; variant, base image and architectures are taken from it even where nobody asked, so that
    a second run finds what the first one chose. Raises UsageError and RefusedError for what is asked for and cannot be.
    """
    before, asked = recorded(existing, framework), asked_before(existing, framework)
    said = settings.variant if settings.asked("variant") else None
    known = said or asked.get("variant") or settings.variant or variant or before.get("variant")
    loaded = load(framework, known, workspace)
    chosen = with_cache(pinned(loaded, workspace), settings)
    if before.get("variant") != chosen.variant:
        before, asked = {}, {key: value for key, value in asked.items() if key not in OF_A_VARIANT}
    if container_name is not None:
        must_be_name(container_name)
    must_be_asked_for(workspace, settings, asked, framework)
    wanted, choices = carried(settings, asked, container_name)
    facts, host, checkout = engine_facts.gather(engine), host_facts.gather(), checkout_facts.gather(workspace)
    network, user = network_of(wanted, engine.environ), resolve_user(wanted.user, host.user, facts)
    further = checkouts.chosen(chosen, workspace, wanted)
    devices = () if wanted.gpus == NONE else chosen.run.devices
    images = candidates(chosen, wanted.base_image, before.get("base_image"))
    return Facts(
        framework=chosen,
        form=form,
        settings=wanted,
        choices=choices,
        settled=settled(settings, choices),
        before=before,
        engine=facts,
        gpus=gpu_facts.gather(engine, facts),
        host=host,
        checkout=checkout,
        network=network,
        images=frozenset(name for name in images if engine.image(name) is not None),
        user=user,
        pins=tuple(
            one for one in pins(loaded, workspace) if one.name not in {arg.partition("=")[0] for arg in wanted.args}
        ),
        recipe=recipe(
            chosen,
            base_image=chosen.base_image,
            user=user,
            find_links=wheels(wanted),
            network=network,
            checkout=workspace,
            args=wanted.args,
            inline=form.inline,
        ),
        placement=place(checkout, chosen.name, flat=form.flat),
        devices=tuple(device for device in devices if not facts.local or Path(device).exists()),
        groups=tuple(host_facts.group(name) if facts.local else name for name in chosen.run.groups),
        services=services_of(chosen, wanted, form),
        repositories=further,
        additions=personal.chosen(chosen, wanted, form, further=further, local=facts.local),
        cache_group=_gid(wanted),
        environ=engine.environ,
    )


def with_cache(framework: Framework, settings: Settings) -> Framework:
    """Return the framework with a volume for sccache, too, where the settings choose it."""
    if settings.compiler_cache != "sccache" or "sccache" in framework.caches:
        return framework
    return replace(framework, caches=(*framework.caches, "sccache"))


def services_of(framework: Framework, settings: Settings, form: Form) -> tuple[Service, ...]:
    """Return the services beside a dev container: those of the settings, else those of the framework."""
    if not form.compose:
        return ()
    if settings.services is None:
        return services.load(framework.services)
    return services.load(settings.services)


def _gid(settings: Settings) -> int | None:
    """Return the host's group that shares the compiler caches. Raises UsageError if the user is no member of it."""
    if not settings.cache_group:
        return None

    named = settings.cache_group
    try:
        group = grp.getgrgid(int(named)) if named.isdecimal() else grp.getgrnam(named)
    except KeyError:
        origin = settings.origin("cache_group")
        raise UsageError(f"{origin}: there is no group {named}", hint="getent group   # lists them") from None
    if group.gr_gid not in {os.getgid(), *os.getgroups()}:
        raise UsageError(f"you are no member of the group {group.gr_name}", hint="id   # lists your groups")
    return group.gr_gid
