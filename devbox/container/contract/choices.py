"""For what a contract is written: framework, form and choices, as they are asked for now or were before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox import config
from devbox.config.table import CHOICES, TABLE, WRITTEN, Settings
from devbox.devcontainer.record import Form
from devbox.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.devcontainer.record import Record
    from devbox.frameworks.model import Framework

# What makes no sense any more once the variant is another.
OF_A_VARIANT = frozenset({"variant", "base_image", "arch", "args"})


def wants_gpus(framework: Framework, settings: Settings) -> bool:
    """Say whether a shared contract asks for GPUs: those of a framework for GPUs do, unless `--gpus none` says not to.

    Raises UsageError for a choice of single GPUs, which are one machine's.
    """
    if settings.gpus not in {None, "auto", "all", "none"} and settings.asked("gpus"):
        raise UsageError(
            f"a shared contract cannot name the GPUs {settings.gpus}: other machines have others",
            hint="devbox generate --shared --gpus all",
        )
    return framework.gpu and settings.gpus != "none"


def kept_form(existing: Record, *, compose: bool | None = None, inline: bool | None = None, flat: bool = False) -> Form:
    """Return the form of the next personal contract: what is asked for now, else as it was (None: nobody asked)."""
    before = existing.form
    return Form(
        compose=before.compose if compose is None else compose,
        inline=before.inline if inline is None else inline,
        flat=flat,
    )


def carried(settings: Settings, asked: Mapping[str, str], name: str | None) -> tuple[Settings, dict[str, str]]:
    """Return the settings with what was `asked` for before, and the choices that the contract records from now on.

    A flag or a variable is stronger than what one said before, and that is stronger than a file, as it was then.
    """
    now = {key: text for key in CHOICES if settings.asked(key) and (text := settings.text(key))}
    choices = {**asked, **now, **({"name": name} if name else {})}
    before = [key for key in CHOICES if key in asked and key not in now]
    values = {key: config.read(key, asked[key], f"what was asked for before, {TABLE[key].flag}") for key in before}
    origins = (*settings.origins, *((key, "asked for before") for key in before))
    kept = {key: choices[key] for key in (*CHOICES, "name") if key in choices}
    return replace(settings, **values, origins=origins), kept


def wheels(settings: Settings) -> Path | None:
    """Return the folder of wheels. Raises UsageError if it is not there: every build would fail until it is."""
    folder = settings.find_links
    if folder is not None and not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder} of wheels", hint="devbox up --find-links none   # or another one"
        )
    return folder


def settled(settings: Settings, choices: Mapping[str, str]) -> dict[str, str]:
    """Return what files and variables say of a contract, but for what a person's `choices` decide: it is recorded."""
    kept = {key: settings.text(key) for key in (*CHOICES, *WRITTEN) if key not in choices}
    return {key: text for key, text in kept.items() if text not in {None, "", Settings().text(key)}}


def changed_since(settings: Settings, record: Record) -> tuple[str, ...]:
    """Say which settings are others than those that a personal contract, by its `record`, was written by."""
    before, now = record.settings, settled(settings, record.choices)
    said = []
    for key in (key for key in (*CHOICES, *WRITTEN) if before.get(key) != now.get(key)):
        value = in_line(now.get(key, ""))
        what = f"{key} is now {value} ({settings.origin(key)})" if key in now else f"{key} is set no more"
        said.append(f"{what}, and the contract was written before; `devbox generate` writes it again")
    return tuple(said)


def still_asked(settings: Settings, record: Record) -> tuple[str, ...]:
    """Say that a variant holds that was asked for when the contract of `record` was written, and is not now."""
    variant = record.choices.get("variant")
    if not variant or settings.asked("variant"):
        return ()
    return (f"the variant {variant} was asked for before, and holds; --variant NAME takes another",)


def asked_before(existing: Record, framework: str) -> dict[str, str]:
    """Return what the contract that devbox wrote for `framework` records as asked for."""
    found = existing.choices if existing.framework == framework else {}
    return {key: value for key, value in found.items() if key in (*CHOICES, "name") and value}


def must_be_asked_for(workspace: Path, settings: Settings, asked: Mapping[str, str], framework: str) -> None:
    """See that what a contract says was `asked` for before, and gives a container more of the host, was asked for.

    The contract lies in the checkout: whoever works in the container can write into it, and the next contract would be
    made from that without a question. Raises RefusedError.
    """
    from devbox.trust.grants import choices

    written = choices(workspace, framework)
    for key, text in asked.items():
        if key not in TABLE or settings.asked(key) or text == written.get(key):
            continue
        flag, checkouts = TABLE[key].flag, TABLE[key].checkouts
        value = config.read(key, text, f"the contract in {workspace}")
        if value and checkouts.why(value, {}) is not None:
            raise RefusedError(
                f"the contract in {workspace} claims that you asked for {flag} {in_line(text)}",
                hint=f"devbox up {flag} …   # as it should be, or none",
            )


def in_line(text: str) -> str:
    """Return a text without line breaks."""
    return ", ".join(text.split("\n"))


def recorded(existing: Record, framework: str) -> dict[str, str]:
    """Return what a contract that devbox wrote for `framework` holds, asked for or not."""
    if existing.framework != framework:
        return {}
    found = {"variant": existing.variant, "arch": ",".join(existing.arch or ()), "base_image": existing.base_image}
    return {key: value for key, value in found.items() if value}
