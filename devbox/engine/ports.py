"""Published ports: what a person or a contract asks for, as `docker run -p` takes it."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from devbox.errors import ContractError, UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = "127.0.0.1"

_RANGE = r"\d{1,5}(?:-\d{1,5})?"
_PUBLISHED = re.compile(
    rf"(?:(?:(?P<host>[0-9.]+|\[[0-9a-fA-F:.]+\])?:)?(?P<outer>{_RANGE})?:)?(?P<inner>{_RANGE})"
    r"(?:/(?P<protocol>tcp|udp|sctp))?",
    re.ASCII | re.IGNORECASE,
)
_PORT = re.compile(r"(?:(?:(?P<host>[0-9.]+|\[[0-9a-fA-F:]+\]):)?(?P<outer>\d+):)?(?P<inner>\d+)", re.ASCII)


def ports(asked: Iterable[str], own: Iterable[int]) -> tuple[str, ...]:
    """Return what is published, for `-p`: `asked` as docker takes it, else the framework's `own` ports.

    Without an address it is this machine's own: a server without a password is nobody else's. Raises UsageError.
    """
    words = list(asked) or [str(port) for port in own]
    if words == ["none"]:
        return ()
    found = []
    for word in words:
        match = _PORT.fullmatch(word)
        numbers = [int(match[key]) for key in ("outer", "inner") if match[key]] if match else []
        if match is None or not all(0 < number < 1 << 16 for number in numbers):
            raise UsageError(
                f"'{word}' is no port", hint="--port 8000, --port 9000:8000, --port 0.0.0.0:8000:8000, --port none"
            )
        found.append(f"{match['host'] or LOOPBACK}:{match['outer'] or match['inner']}:{match['inner']}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Published:
    """What `-p` publishes: ports of the container, each a first and a last one, at ports of an address of the host.

    Without an address it is every one that the host has, without `outer` ports the engine chooses.
    """

    inner: tuple[int, int]
    outer: tuple[int, int] | None = None
    host: str | None = None
    protocol: str | None = None

    def __str__(self) -> str:
        host = self.host if self.host is None or ":" not in self.host else f"[{self.host}]"
        outer = "" if self.outer is None else _range(self.outer)
        before = f"{host}:{outer}:" if host is not None else f"{outer}:" if outer else ""
        return f"{before}{_range(self.inner)}{'' if self.protocol is None else f'/{self.protocol}'}"

    @classmethod
    def parse(cls, text: str) -> Published:
        """Read the value of `-p`. Raises ContractError, naming it."""
        match = _PUBLISHED.fullmatch(text)
        wrong = ContractError(
            f"{text!r} is no port to be published; they are written as 8000, 9000:8000 or 127.0.0.1:9000:8000"
        )
        if match is None:
            raise wrong
        inner, outer = _numbers(match["inner"]), _numbers(match["outer"]) if match["outer"] else None
        spans = [last - first for first, last in (inner, *([outer] if outer else []))]
        ports = [*inner, *(outer or ())]
        if not all(0 <= port < 1 << 16 for port in ports) or min(spans) < 0 or inner[0] == 0:
            raise wrong
        if spans[0] not in {0, spans[-1]}:
            raise wrong
        try:
            host = None if match["host"] is None else str(ipaddress.ip_address(match["host"].strip("[]")))
        except ValueError:
            raise wrong from None
        protocol = match["protocol"]
        return cls(inner, outer, host, None if protocol is None else protocol.lower())


def _numbers(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _range(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
