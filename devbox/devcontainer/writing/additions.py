"""What a person adds to a container of theirs: mounts, variables, ports, words for `docker run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.engine.spec import Mount


@dataclass(frozen=True, slots=True)
class Additions:
    """What is added to a generated contract.

    `env` are variables with their values, `host_env` the names of those that each command finds in the host's
    environment: their values are written nowhere. `ports` are ADDRESS:OUTER:INNER. `run_args` are verbatim; a compose
    file has no place for them. `features` and `hooks` are names with their values as JSON.
    """

    mounts: tuple[Mount, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    host_env: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    run_args: tuple[str, ...] = ()
    features: tuple[tuple[str, str], ...] = ()
    hooks: tuple[tuple[str, str], ...] = ()

    @property
    def inner_ports(self) -> frozenset[int]:
        """The container's ports that are published."""
        return frozenset(int(port.rpartition(":")[2]) for port in self.ports)

    def remote_env(self) -> dict[str, str]:
        """Return the variables of the host, as a contract names them."""
        return {name: f"${{localEnv:{name}}}" for name in self.host_env}
