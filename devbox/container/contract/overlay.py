"""What a person lays over a contract that devbox has not written: flags, variables, and the settings' files.

A file of the checkout is the checkout's, whoever wrote it: what it lays over is judged like the contract itself. What
the person's own flags and file say is theirs, and nobody is asked for it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.config import Settings, is_checkouts, kinds
from devbox.container.contract import personal
from devbox.devcontainer.overlay import Overlay
from devbox.errors import RefusedError
from devbox.trust import grants
from devbox.trust.contracts import of_contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract

# The settings that can be laid over a contract, and what they become in it.
KEYS: Mapping[str, tuple[str, ...]] = {
    "gpus": ("gpus",),
    "user": ("remoteUser", "updateRemoteUserUID", "ids"),
    "mounts": ("mounts",),
    "env": ("containerEnv", "remoteEnv"),
    "ports": ("appPort",),
    "run_args": ("runArgs",),
    "features": ("features",),
    "hooks": kinds.HOOKS,
}


def laid_over(contract: Contract, settings: Settings, *, local: bool) -> Contract:
    """Return `contract` with what the settings lay over it.

    With an engine that is not `local`, nobody can tell what lies on its machine. Raises UsageError for what makes no
    sense, or what a compose file cannot say.
    """
    said = [key for key in KEYS if settings.said(key) and not _is_in(contract, settings, key)]
    theirs = [key for key in said if is_checkouts(settings.origin(key), contract.workspace)]
    own = [key for key in said if key not in theirs]
    made = [_overlay(contract, _only(settings, keys), own=keys is own, local=local) for keys in (theirs, own) if keys]
    return replace(contract, overlays=tuple(one for one in made if one.entry or one.beside()))


def said_now(contract: Contract) -> tuple[str, ...]:
    """Return the flags by which something is laid over the contract this time alone."""
    origins = (origin for one in contract.overlays for origin in one.origins.values())
    return tuple(dict.fromkeys(origin for origin in origins if origin.startswith("--")))


def agree_to_own(contract: Contract) -> None:
    """Remember that variables of the host which look like secrets are asked for by the person's own flags or file.

    Where it cannot be remembered, commands in the container do without them.
    """
    judged = set(of_contract(contract.judged))
    own = [one for one in of_contract(contract) if one.kind == "variable" and one not in judged]
    with contextlib.suppress(RefusedError):
        grants.grant(contract.workspace, own, "a flag, or your own settings")


def _is_in(contract: Contract, settings: Settings, key: str) -> bool:
    """Tell whether devbox wrote the contract by this setting: somebody has edited it since, and has the last word."""
    record = contract.record
    return record.choices.get(key, record.settings.get(key)) == settings.text(key)


def _only(settings: Settings, keys: Sequence[str]) -> Settings:
    values = {key: getattr(settings, key) for key in keys}
    return replace(Settings(), **values, origins=tuple((key, settings.origin(key)) for key in keys))


def _overlay(contract: Contract, settings: Settings, *, own: bool, local: bool) -> Overlay:
    """Return what `settings` lay over the contract."""
    composed = contract.kind == "compose"
    if composed and settings.run_args and not settings.asked("run_args"):
        # A file may speak of many workspaces.
        settings = replace(settings, run_args=())
    taken = {contract.workspace_folder: "the checkout lies"}
    added = personal.additions(settings, taken, compose=composed, local=local)
    entry: JSON = {
        "mounts": [mount.csv() for mount in added.mounts],
        "containerEnv": dict(added.env),
        "remoteEnv": added.remote_env(),
        **{name: json.loads(text) for name, text in settings.hooks},
    }
    ids = None
    if settings.user is not None:
        asked = kinds.user(settings.user)
        if asked is not None and asked[0] == 0:
            entry["remoteUser"] = "root"
        else:
            entry["updateRemoteUserUID"] = True
            ids = None if asked is None else asked[:2]
    return Overlay(
        entry={key: value for key, value in entry.items() if value not in ([], {}, "")},
        ports=added.ports,
        run_args=added.run_args,
        features={name: json.loads(text) for name, text in settings.features},
        gpus=settings.gpus,
        ids=ids,
        origins=dict(_origins(settings)),
        own=own,
    )


def _origins(settings: Settings) -> Iterator[tuple[str, str]]:
    for key, properties in KEYS.items():
        if settings.said(key):
            yield from ((name, settings.origin(key)) for name in properties)
