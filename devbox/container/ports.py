"""Ports of a container whose engine is elsewhere, as ports of this machine: what it publishes, and `forwardPorts`.

By ssh they are forwarded until the container is stopped. A connection by TLS carries none, which is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.container.inside.probe import project_of
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.devcontainer.identity import workspace_hash
from devbox.engine.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]

_NUMBER = re.compile(r"[0-9]{1,5}")
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # as docker lists them


class Port(NamedTuple):
    """A port of this machine's own address, and the address that it leads to, seen from the engine's machine."""

    number: int
    there: str

    @property
    def option(self) -> str:
        """The value of ssh's `-L`."""
        return f"{LOOPBACK}:{self.number}:{self.there}"


def ports_of(containers: Sequence[JSON], wanted: Iterable[object]) -> tuple[Port, ...]:
    """Return the ports of inspected containers, the dev container first: what they publish, then `wanted` ones.

    These are as `forwardPorts` has them: a port of the dev container, or `service:port` of a compose project.
    """
    found = {port.number: port for one in reversed(containers) for port in _published(one)}
    inner = {_number(name) for one in containers[:1] for name, there in _bindings(one) if there}
    for said in wanted:
        service, _, number = str(said).rpartition(":")
        if not _NUMBER.fullmatch(number) or not 0 < int(number) < 1 << 16 or (not service and int(number) in inner):
            continue
        named = [one for one in containers if not service or _labels(one).get(SERVICE) == service]
        if named and (address := _address(named[0])):
            found.setdefault(int(number), Port(int(number), f"{address}:{int(number)}"))
    return tuple(sorted(found.values()))


def _published(container: JSON) -> Iterator[Port]:
    for name, bindings in _bindings(container):
        for one in bindings if name.endswith("/tcp") else ():
            host = str(one.get("HostIp") or "")
            address = LOOPBACK if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
            yield Port(int(one["HostPort"]), f"{address}:{one['HostPort']}")


def _bindings(container: JSON) -> list[tuple[str, list[JSON]]]:
    ports = (container.get("NetworkSettings") or {}).get("Ports") or {}
    return [(name, bindings or []) for name, bindings in ports.items()]


def _number(name: str) -> int:
    return int(name.partition("/")[0])


def _address(container: JSON) -> str:
    """Return the address of a container on the engine's machine, which is that machine's own on its network."""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    own = LOOPBACK if "host" in networks else ""
    return next((str(one["IPAddress"]) for one in networks.values() if one.get("IPAddress")), own)


def _labels(container: JSON) -> JSON:
    return (container.get("Config") or {}).get("Labels") or {}


def provide(
    engine: Engine, workspace: Path, inspected: JSON, wanted: Iterable[object], reporter: Reporter, *, fresh: bool
) -> None:
    """Have the ports of a running dev container, and of its compose project, lead here, where its engine is elsewhere.

    What is there already costs one question to ssh. `fresh` tells that the container has started now. Raises
    EngineError where ssh does not connect.
    """
    url = engine.address.url
    if engine.address.is_here:
        return
    project = project_of(_labels(inspected))
    others = [one.id for one in engine.containers({PROJECT: project})] if project else []
    members = engine.inspect("container", [one for one in others if one != inspected["Id"]])
    found = ports_of([inspected, *members], wanted)
    if not url.startswith("ssh://"):
        if found and fresh:
            options = " ".join(f"-L {one.option}" for one in found)
            reporter.info(
                f"{_named(found)}: on the engine's machine; a connection by TLS carries no ports. "
                f"If you may log in there: ssh -N {options} HOST"
            )
        return
    from devbox.engine.tunnel import forward, unforward

    key = workspace_hash(workspace)
    if not found:
        unforward(url, key)
        return
    taken = forward(url, key, str(inspected["Id"]), [one.option for one in found])
    if taken is None:
        return
    if led := [one for one in found if one.number not in taken]:
        reporter.info(f"{_named(led)}: forwarded from {LOOPBACK} here, until devbox stop or down")
    for one in found:
        if one.number in taken:
            reporter.warn(f"the port {one.number} of this machine is taken: the container's is not forwarded to it")


def end(engine: Engine, workspace: Path) -> None:
    """Forward no port of a workspace any more."""
    if engine.address.url.startswith("ssh://"):
        from devbox.engine.tunnel import unforward

        unforward(engine.address.url, workspace_hash(workspace))


def _named(ports: Iterable[Port]) -> str:
    numbers = [str(one.number) for one in ports]
    return f"port{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
