"""The contract that devbox would write: drafted from facts, settings and choices, not written yet."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.config.kinds import NONE
from devbox.config.network import Network
from devbox.config.table import PERSONAL as PERSONAL_CHOICES
from devbox.container.contract import personal
from devbox.container.contract.choices import asked_before, carried, wants_gpus
from devbox.container.contract.gather import services_of, with_cache
from devbox.container.person import ssh_agent
from devbox.devcontainer.find import place
from devbox.devcontainer.gpu import ALL, gpu_args
from devbox.devcontainer.record import NOTHING, Form, Record, definition
from devbox.devcontainer.users import SHARED as SHARED_USER
from devbox.devcontainer.users import resolve as resolve_user
from devbox.devcontainer.writing.draft import generate
from devbox.devcontainer.writing.limits import GRANTED_EVERYWHERE, UNCLAMPED, limit_args
from devbox.devcontainer.writing.request import GenerateRequest
from devbox.errors import RefusedError, UsageError
from devbox.facts.model import Checkout, Gpus
from devbox.frameworks.arch import resolve
from devbox.frameworks.load import load
from devbox.image.assembly.recipe import ANYBODYS_BUNDLE, CA_SECRET, recipe
from devbox.image.base.choose import PACKAGE, pinned, plan_base
from devbox.image.base.package import made_by
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.container.contract.gather import Facts
    from devbox.devcontainer.writing.request import Generated, Recipe
    from devbox.frameworks.model import Framework
    from devbox.image.base.choose import BaseChoice


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated contract, not written yet: its content, where it goes, and what to say about how it came about.

    `ssh_agent` tells that it mounts the folder of the ssh-agent's proxy, which has to be there.
    """

    checkout: Checkout
    framework: Framework
    form: Form
    generated: Generated = field(hash=False)
    notes: tuple[str, ...] = ()
    ssh_agent: bool = False

    @property
    def path(self) -> Path:
        """The devcontainer.json."""
        return self.checkout.path / self.generated.files[0][0]


def base_of(facts: Facts, *, pull: bool = False) -> BaseChoice:
    """Return how the base image of a personal contract is had; `pull` looks for a newer one."""
    before = facts.before.get("base_image")
    return plan_base(facts.framework, facts.settings.base_image, facts.images, before=before, pull=pull)


def draft(facts: Facts, base_image: str) -> Draft:
    """Return the personal contract that devbox would write, on `base_image`. Nothing is asked and nothing changed.

    Raises RefusedError and UsageError for what is asked for and cannot be.
    """
    framework, settings, user = facts.framework, facts.settings, facts.user
    gpu = gpu_args(settings.gpus or ("auto" if framework.gpu else "none"), facts.gpus, facts.engine)
    if gpu.denied:
        raise RefusedError(f"the GPUs {settings.gpus} cannot be had: {gpu.reason}", hint="devbox up --gpus none")
    limits, limit_notes = limit_args(facts.engine)
    arch = resolve(framework, settings.arch or facts.before.get("arch"), facts.gpus)
    if settings.arch is None and facts.before.get("arch"):
        arch = replace(arch, origin="as the contract was written for")
    agent = ssh_agent.folder_for(facts.engine, wanted=settings.ssh_agent)
    args = [(name, base_image if name == "BASE_IMAGE" else value) for name, value in facts.recipe.args]
    recipe = replace(facts.recipe, args=tuple(args))
    generated = generate(
        GenerateRequest(
            checkout=facts.checkout,
            framework=framework,
            recipe=recipe,
            user=user,
            placement=facts.placement,
            owner=facts.host.user.uid,
            guest=user.uid if user.uid != resolve_user(None, facts.host.user, facts.engine).uid else None,
            form=facts.form,
            arch=arch,
            network=facts.network,
            gpu=gpu.grant,
            limits=limits,
            devices=facts.devices,
            device_groups=facts.groups,
            services=facts.services,
            repositories=facts.repositories,
            additions=facts.additions,
            ccache_size=settings.ccache_size,
            cache_group=facts.cache_group,
            container_name=facts.choices.get("name"),
            choices=tuple(facts.choices.items()),
            settings=tuple(facts.settled.items()),
            ssh_agent=agent,
            environ=facts.environ,
        )
    )
    personal.see_features(settings, facts.checkout.path / facts.placement.config, facts.checkout.path)
    missing = [] if settings.gpus == NONE else [one for one in framework.run.devices if one not in facts.devices]
    notes = [
        f"GPUs: {gpu.reason}",
        *([f"architectures: {', '.join(arch.capabilities)} ({arch.origin})"] if arch.capabilities else []),
        *(f"{one.name} is {one.value}: {one.place}" for one in facts.pins),
        *limit_notes,
        *facts.network.note(),
        *([f"this host has no {' and no '.join(missing)}: the container gets none"] if missing else []),
        *personal.unset(facts.additions, facts.environ),
        *personal.without_effect(settings, facts.form),
        *_needs_options(facts.form, recipe),
    ]
    return Draft(facts.checkout, framework, facts.form, generated, tuple(notes), agent is not None)


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
    # Each machine has it by its own means: nothing is asked here of what this one has.
    base = plan_base(chosen, settings.base_image, frozenset())
    made = recipe(
        chosen,
        base_image=base.image,
        user=SHARED_USER,
        find_links=None,
        network=network,
        checkout=None if checkout is None else checkout.path,
        args=settings.args,
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
            services=services_of(chosen, settings, form),
            additions=personal.chosen(chosen, settings, form),
            ccache_size=settings.ccache_size,
            choices=tuple(choices.items()),
        )
    )
    personal.see_features(settings, checkout.path / generated.files[0][0], checkout.path)
    notes = [*personal.without_effect(settings, form), *_needs_options(form, made)]
    if settings.base_image == PACKAGE:
        notes.append(f"`devbox up` makes {base.image} where it is missing; for other tools: {made_by(base.image)}")
    if settings.gpus == NONE and not chosen.gpu:
        notes.append(f"{chosen.name} in its variant {chosen.variant} takes no GPUs: one contract is for all machines")
    return Draft(checkout, chosen, form, generated, tuple(notes))


def _needs_options(form: Form, recipe: Recipe) -> tuple[str, ...]:
    """Say what even the inline form cannot do without `build.options`, or their like in a compose file."""
    if not form.inline or not recipe.options():
        return ()
    needs = [name for name, _ in (*recipe.contexts, *recipe.secrets)] + list(recipe.forwarded)
    return (f"the image's build still takes from this machine: {', '.join(needs)}",)
