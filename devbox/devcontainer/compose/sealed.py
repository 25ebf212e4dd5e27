"""A compose project as a file of devbox's own may hold it: its secrets are variables, which docker compose is given."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from devbox.devcontainer.compose.model import without_secrets
from devbox.devcontainer.compose.mounts import escaped
from devbox.masking import SHORT, is_secret, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from devbox.devcontainer.jsonc import JSON

# A shorter value may be anywhere by chance; not as easily that of a variable that the files name.
_TELLING = 8
# What was read once is read no second time: not even from files that are no compose files.
_DONE_WITH = ("develop", "env_file", "label_file")

# Below these stand names that the file chooses, and no keys of docker compose's.
_CHOSEN = frozenset({
    "additional_contexts", "annotations", "args", "aux_addresses", "configs", "depends_on", "driver_opts",
    "environment", "extra_hosts", "labels", "networks", "options", "secrets", "services", "storage_opt", "sysctls",
    "ulimits", "volumes",
})  # fmt: skip


def secrets_in(config: JSON, environ: Mapping[str, str], named: Collection[str] = ()) -> list[str]:
    """Return the names of those secrets of `environ` whose values are anywhere in a resolved configuration.

    `named` are those variables that the files name, by whose values shorter ones are told.
    """
    text = json.dumps(config, ensure_ascii=False)
    found = ((name, json.dumps(value, ensure_ascii=False)[1:-1]) for name, value in environ.items())
    return sorted(
        name
        for name, value in found
        if len(value) >= (SHORT if name in named else _TELLING) and value in text and is_secret_name(name)
    )


def _readable(service: JSON) -> JSON:
    """Return a service without what is done with, and spelled as docker compose reads it again."""
    kept = {key: value for key, value in service.items() if key not in _DONE_WITH}
    if "blkio_config" in kept:
        # It writes `Path` and `Rate` in JSON, which it does not take.
        kept["blkio_config"] = {
            key: [{name.lower(): item for name, item in one.items()} for one in value] if key != "weight" else value
            for key, value in kept["blkio_config"].items()
        }
    return kept


def _plain(value: Any, *, chosen: bool = False) -> Any:
    """Return a part of a configuration without extensions (`x-…`), by which other programs could be steered."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if chosen or not key.startswith("x-")}
        return {key: _plain(item, chosen=not chosen and key in _CHOSEN) for key, item in kept.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def sealed(config: JSON, environ: Mapping[str, str], named: Collection[str] = ()) -> tuple[JSON, dict[str, str]]:
    """Return what docker compose said, to be read by it again, with variables in the place of `secrets_in`, and these.

    `config` has each `$` twice, as docker compose writes it. The variables have names of devbox's own: one that the
    files chose could steer docker.
    """
    names: dict[str, str] = {}

    def instead(value: str) -> str:
        return f"${{{names.setdefault(value, f'DEVBOX_SECRET_{len(names) + 1}')}}}"

    twice = {name: escaped(value) for name, value in environ.items()}
    values = [twice[name] for name in secrets_in(config, twice, named)]
    known = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True)))) if values else None

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items()}
        if isinstance(value, list):
            return [without(item) for item in value]
        return known.sub(lambda match: instead(match[0]), value) if known and isinstance(value, str) else value

    plain = _plain(config)
    services = {name: _readable(service) for name, service in (plain.get("services") or {}).items()}
    written = without(without_secrets({**plain, "services": services}, is_secret, instead))
    return written, {name: value.replace("$$", "$") for value, name in names.items()}
