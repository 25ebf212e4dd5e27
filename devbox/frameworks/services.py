"""What can run beside a dev container: one TOML file a service, below `templates/services/` or of the user's own."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING

from devbox import toml
from devbox.errors import UsageError
from devbox.frameworks.load import structured
from devbox.frameworks.model import Service
from devbox.paths import config_dir, data_dir

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def files() -> dict[str, Path]:
    """Return the TOML file of each service by name: the built-in ones, and the user's, which come before those."""
    folders = (data_dir("templates") / "services", config_dir() / "services")
    found = [file for folder in folders for file in sorted(folder.glob("*.toml")) if _NAME.fullmatch(file.stem)]
    return {file.stem: file for file in found}


def load(names: Iterable[str]) -> tuple[Service, ...]:
    """Return the services called `names`, each once, in their order.

    Raises UsageError, with the choices, for a name that is none, and ConfigError where its file is wrong.
    """
    known = files()
    services = []
    for name in dict.fromkeys(names):
        if name not in known:
            near = toml.nearest(name, known)
            meant = f"did you mean '{near}'? " if near else ""
            raise UsageError(
                f"there is no service called '{name}'", hint=f"{meant}the choices are: {', '.join(sorted(known))}"
            )
        table = toml.read(known[name])
        if "name" in table:
            raise toml.unknown_key(known[name], "name", {field.name for field in fields(Service)} - {"name"})
        service: Service = structured(Service, table | {"name": name}, known[name])
        services.append(service)
    return tuple(services)
