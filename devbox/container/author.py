"""Which contract is in force, and writing one where devbox has to: from facts and settings to the file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.config import Settings
    from devbox.devcontainer.generate import Generated
    from devbox.engine.docker import Engine
    from devbox.facts.model import Checkout, EngineFacts
    from devbox.frameworks.detect import Match
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

JSON = dict[str, Any]

# What of the settings a generated contract depends on. Given as a flag, it makes devbox write its contract again.
CONTRACT_FLAGS = ("variant", "base_image", "gpus", "arch", "user", "find_links")
# What makes no sense any more once the variant is another.
_OF_A_VARIANT = frozenset({"variant", "base_image", "arch"})


@dataclass(frozen=True, slots=True)
class Draft:
    """A generated contract, not written yet: its content, where it goes, and what to say about how it came about."""

    checkout: Checkout
    framework: Framework
    generated: Generated = field(hash=False)
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The devcontainer.json."""
        return self.checkout.path / self.generated.files[0][0]


def framework_of(workspace: Path, requested: str | None, reporter: Reporter) -> tuple[str, str | None, tuple[str, ...]]:
    """Return framework and variant for a checkout, and why: the requested one, or the one that its files show.

    In doubt the person is asked. Raises UsageError with the choices where nobody can be asked, or nothing matches.
    """
    from devbox.frameworks.detect import detect
    from devbox.frameworks.load import available

    if requested is not None:
        return requested, None, ()
    matches = detect(workspace)
    if not matches:
        raise UsageError(
            f"{workspace} looks like none of the frameworks that devbox knows ({', '.join(available())})",
            hint=f"devbox up --framework {available()[0]}   # or another of them",
        )
    best = [match for match in matches if match.weight == matches[0].weight]
    chosen = best[0] if len(best) == 1 else _ask(workspace, best, reporter)
    return chosen.name, chosen.variant, (f"{chosen.name}, because {' and '.join(chosen.why)}",)


def _ask(workspace: Path, matches: Sequence[Match], reporter: Reporter) -> Match:
    choices = {match.name: match for match in matches}
    answer = reporter.choose(f"Which framework is {workspace.name}?", tuple(choices))
    if answer is None:
        found = "; ".join(f"{match.name} ({' and '.join(match.why)})" for match in matches)
        raise UsageError(
            f"{workspace} looks like several frameworks: {found}", hint=f"devbox up --framework {matches[0].name}"
        )
    return choices[answer]


def draft(
    engine: Engine,
    workspace: Path,
    settings: Settings,
    reporter: Reporter,
    *,
    framework: str,
    variant: str | None = None,
    flat: bool = False,
    container_name: str | None = None,
    existing: JSON | None = None,
    pull: bool = False,
    dry_run: bool = False,
) -> Draft:
    """Gather the facts and return the contract that devbox would write for `framework`.

    `existing` is the devcontainer.json that devbox wrote before, if any. What was asked for then stays asked for until
    it is asked for otherwise; variant, base image and architectures are taken from it even where nobody asked, so that
    a second run finds what the first one chose. With `dry_run` nothing is pulled or built to choose the base image.
    """
    from devbox import config
    from devbox.devcontainer.find import place
    from devbox.devcontainer.generate import GenerateRequest, generate
    from devbox.devcontainer.gpu import gpu_args
    from devbox.devcontainer.limits import limit_args
    from devbox.facts import checkout as checkout_facts
    from devbox.facts import engine as engine_facts
    from devbox.facts import gpu as gpu_facts
    from devbox.facts import host as host_facts
    from devbox.frameworks.arch import resolve
    from devbox.frameworks.load import load
    from devbox.image.recipe import recipe
    from devbox.image.users import resolve as resolve_user

    before, asked = _chosen(existing, framework), _asked(existing, framework)
    chosen = load(
        framework,
        settings.asked("variant") or asked.get("variant") or settings.variant or variant or before.get("variant"),
    )
    same = before.get("variant") == chosen.variant
    if not same:
        asked = {key: value for key, value in asked.items() if key not in _OF_A_VARIANT}
    settings, choices = carried(settings, asked, container_name)
    facts = engine_facts.gather(engine)
    gpus = gpu_facts.gather(engine, facts)
    host = host_facts.gather()
    checkout = checkout_facts.gather(workspace)
    network = config.network(settings, engine.environ)
    gpu = gpu_args(settings.gpus or ("auto" if chosen.gpu else "none"), gpus, facts)
    if gpu.denied:
        raise RefusedError(f"the GPUs {settings.gpus} cannot be had: {gpu.reason}", hint="devbox up --gpus none")
    limits, limit_notes = limit_args(facts)
    user = resolve_user(settings.user, host.user, facts)
    arch = resolve(chosen, settings.arch or (before.get("arch") if same else None), gpus)
    base = _base_image(
        engine,
        chosen,
        settings,
        reporter,
        before=before.get("base_image") if same else None,
        pull=pull,
        dry_run=dry_run,
    )
    generated = generate(
        GenerateRequest(
            checkout=checkout,
            framework=chosen,
            recipe=recipe(
                chosen,
                base_image=base,
                user=user,
                find_links=Path(settings.find_links) if settings.find_links else None,
                network=network,
                checkout=workspace,
            ),
            arch=arch,
            user=user,
            host=host,
            network=network,
            placement=place(checkout, chosen.name, flat=flat),
            gpu_args=gpu.args,
            limits=limits,
            ccache_size=settings.ccache_size or "20G",
            container_name=choices.get("name"),
            choices=tuple(choices.items()),
            environ=engine.environ,
        )
    )
    notes = [f"GPUs: {gpu.reason}"]
    if arch.capabilities:
        notes.append(f"architectures: {', '.join(arch.capabilities)} ({arch.origin})")
    notes += limit_notes
    return Draft(checkout, chosen, generated, (*notes, *_remote(facts)))


def _remote(facts: EngineFacts) -> tuple[str, ...]:
    return () if facts.local else ("the engine is on another machine: the checkout's folder must exist there, too",)


def carried(settings: Settings, asked: Mapping[str, str], name: str | None) -> tuple[Settings, dict[str, str]]:
    """Return the settings with what was `asked` for before, and the choices that the contract records from now on.

    A flag or a variable is stronger than what one said before, and that is stronger than a file, as it was then.
    """
    now = {key: value for key in CONTRACT_FLAGS if (value := settings.asked(key)) is not None}
    choices = {**asked, **now, **({"name": name} if name else {})}
    values: dict[str, Any] = {key: choices[key] for key in CONTRACT_FLAGS if key in choices}
    return replace(settings, **values), {key: choices[key] for key in (*CONTRACT_FLAGS, "name") if key in choices}


def _asked(existing: JSON | None, framework: str) -> dict[str, str]:
    """Return what the contract that devbox wrote for `framework` records as asked for."""
    try:
        devbox = (existing or {})["customizations"]["devbox"]
        found = dict(devbox["choices"]) if devbox["framework"] == framework else {}
    except (KeyError, TypeError, ValueError):
        return {}
    return {
        key: value
        for key, value in found.items()
        if key in (*CONTRACT_FLAGS, "name") and isinstance(value, str) and value
    }


def _chosen(existing: JSON | None, framework: str) -> dict[str, str]:
    """Return what a contract that devbox wrote for `framework` holds, asked for or not."""
    try:
        devbox = (existing or {})["customizations"]["devbox"]
        if devbox["framework"] != framework:
            return {}
        found = {"variant": devbox["variant"], "arch": ",".join(devbox["arch"])}
        found["base_image"] = (existing or {})["build"]["args"]["BASE_IMAGE"]
    except (KeyError, TypeError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str) and value}


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
    from devbox import config
    from devbox.image import base

    requested = settings.base_image
    fallback = base.reference(framework.cuda if framework.package_base == "cuda" else None)
    if requested == "package":
        requested = fallback
        if not dry_run:
            return base.ensure(
                engine,
                cuda=framework.cuda if framework.package_base == "cuda" else None,
                network=config.network(settings, engine.environ),
                reporter=reporter,
            )
    if requested is None and before is not None and not pull and engine.image(before) is not None:
        return before
    if dry_run:
        if requested or engine.image(framework.base_image) is not None:
            return requested or framework.base_image
        return fallback if engine.image(fallback) is not None else framework.base_image
    return base.choose(
        engine, framework, requested, network=config.network(settings, engine.environ), reporter=reporter, pull=pull
    )
