"""Where this machine's traffic goes: the networks that it has a route to, by all of the kernel's tables."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from devbox.agent.cgroup import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A network in the kernel's tree, and what is at it; a broadcast's address is in one of them.
_ENTRY = re.compile(r"\|-- (\S+)((?:\s+/\d+ \w+ \w+)+)")
_LENGTH = re.compile(r"/(\d+) \w+ (\w+)")
_NOWHERE = frozenset({"BROADCAST", "MULTICAST"})
# A shorter one is a way to everywhere: that of a VPN may be halves of it.
_SHORTEST = 7


def gather() -> frozenset[Network]:
    """Return the networks and addresses that this machine reaches by something else than a way to everywhere."""
    trie, table = (read_file(f"/proc/net/{name}") or "" for name in ("fib_trie", "ipv6_route"))
    return frozenset((*of_trie(trie), *_of_table(table)))


def of_trie(text: str) -> Iterator[Network]:
    """Yield the networks of `/proc/net/fib_trie`."""
    for address, entries in _ENTRY.findall(text):
        for length, kind in _LENGTH.findall(entries):
            if kind not in _NOWHERE and int(length) >= _SHORTEST:
                yield ipaddress.ip_network((address, int(length)), strict=False)


def _of_table(text: str) -> Iterator[Network]:
    """Yield the networks of `/proc/net/ipv6_route`: destination and length in hexadecimal digits."""
    for line in text.splitlines():
        address, length = line.split()[:2]
        if int(length, 16) >= _SHORTEST:
            yield ipaddress.ip_network((int(address, 16), int(length, 16)), strict=False)
