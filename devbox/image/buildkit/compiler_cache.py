"""What compiler caches said while images were built: one line of the log for each RUN that compiled something."""

from __future__ import annotations

import json
import re

from devbox.values import dataclass

# What `compiler_cache_end` of the preamble prints.
_LINE = re.compile(r"\bdevbox-compiler-cache (\{.*\})\s*$")
# The build secret with the shared storage's address and credentials, and the variable of docker's that carries it.
SECRET = "sccache"  # noqa: S105  # the name of a secret
VARIABLE = "DEVBOX_SCCACHE"


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How often a compiler cache had the answer. `cache` is ccache, sccache, or both."""

    hits: int = 0
    misses: int = 0
    cache: str = ""

    def __add__(self, other: CacheUse) -> CacheUse:
        names = dict.fromkeys(name for name in (self.cache, other.cache) if name)
        return CacheUse(self.hits + other.hits, self.misses + other.misses, " and ".join(names))


def use_of(line: str) -> CacheUse | None:
    """Return what a line of a build's log says of a compiler cache, None for every other line."""
    found = _LINE.search(line)
    if found is None:
        return None
    try:
        data = json.loads(found[1])
        return CacheUse(int(data["hits"]), int(data["misses"]), str(data.get("cache") or "ccache"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
