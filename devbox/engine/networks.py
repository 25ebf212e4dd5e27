"""The networks that a container joins, as `docker run --network` takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.engine.spec import csv_fields, csv_record, plain
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the engine's own making, and without anybody else in it.
OWN = frozenset({"none", "bridge", "default"})
_NAME = re.compile(r"(?:container:)?[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
# Source: `opts/network.go` of docker's client. It takes keys in any case, and trims them.
_KEYS = frozenset({"name", "alias", "driver-opt", "ip", "ip6", "link-local-ip", "mac-address", "gw-priority"})
_REPEATED = frozenset({"alias", "driver-opt", "link-local-ip"})


@dataclass(frozen=True, slots=True)
class Network:
    """One network by its name (`host`, `container:NAME`, a network of the engine), and the options of joining it."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return csv_record([f"name={self.name}", *(f"{key}={value}" for key, value in self.options)])

    @classmethod
    def parse(cls, text: str) -> Network:
        """Read the value of `--network`: a name, or `name=…` with options. Raises ContractError, naming it."""
        what = f"the network {text!r}"
        if "=" not in plain(text, what):
            return cls(_named(text, what))
        fields = list(_fields(text, what))
        names = [value for key, value in fields if key == "name"]
        if len(names) != 1:
            raise ContractError(f"{what} must have one name")
        return cls(_named(names[0], what), tuple(field for field in fields if field[0] != "name"))


def _fields(text: str, what: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for item in csv_fields(text, what):
        key, equals, value = item.partition("=")
        # docker's client lowers and trims the value, too, before it looks at it.
        if key not in _KEYS or not equals or not value or value != value.strip().lower():
            raise ContractError(f"{what} has '{item}', which is no option of joining a network")
        if key in seen and key not in _REPEATED:
            raise ContractError(f"{what} says '{key}' twice")
        seen.add(key)
        yield key, value


def _named(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise ContractError(f"{what} is no name of a network")
    return name
