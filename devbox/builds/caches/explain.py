"""Why a source comes from the compiler cache or not, in words."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.agent.caches.counts import UNCACHEABLE
from devbox.builds.talk import ask
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.agent.protocol import CacheExplained
    from devbox.builds.caches.choose import CompilerCache
    from devbox.container.target import Target
    from devbox.engine.docker import Engine


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a source comes from the cache or not: `hit` now, the sentence, and what the last build's cache answered."""

    source: str
    tree: str
    kind: str
    hit: bool
    why: str
    last: str
    log: tuple[str, ...] = ()


def explain(cache: CompilerCache, target: Target, engine: Engine, path: Path) -> Explanation:
    """Compile the source `path` (on the host or in the container) again, and say why the cache has it or not.

    Raises BuildError where the current build tree does not compile it.
    """
    source = str(path)
    if path.is_relative_to(target.workspace):
        source = f"{target.folder}/{path.relative_to(target.workspace)}"
    return read_explanation(ask(protocol.ExplainCache(cache=cache.asked(), file=source), target, engine))


def read_explanation(said: CacheExplained) -> Explanation:
    """Return the explanation in what the container said."""
    if said.kind == "ccache":
        hit, why = why_ccache(said.log, said.compilers)
        log = tuple(said.log)
    else:
        hit, why = _why_sccache(said)
        log = ()
    return Explanation(said.source, said.tree, said.kind, hit, why, said.last, log)


def why_ccache(log: Sequence[str], compilers: Sequence[str] = ()) -> tuple[bool, str]:
    """Return whether ccache's log of one call tells of a hit, and the reason as a sentence.

    `compilers` are the compilers that differ from another tree's, as JSON of (variable, then, now). The log's lines are
    those of ccache 4 (`src/ccache/ccache.cpp`).
    """
    text = "\n".join(log)
    results = set(re.findall(r"^Result: (\w+)", text, re.MULTILINE))
    if "direct_cache_hit" in results:
        where = "the shared storage" if "remote_storage_hit" in results else "the cache"
        return True, f"it comes from {where}: source, headers, options and compiler are known"
    if "preprocessed_cache_hit" in results:
        return True, "it comes from the cache: a file changed, but not what the preprocessor makes of it"
    for counter in sorted(results):
        if counter in UNCACHEABLE:
            option = re.search(r"[Uu]nsupported (?:compiler )?option:? (\S+)|(\S+) is unsupported", text)
            detail = f": {option[1] or option[2]}" if option else ""
            return False, f"it cannot be cached: {UNCACHEABLE[counter]}{detail}"
    new = re.search(r"^(?:Include file )?(\S+).* (?:too new|modified too recently)", text, re.MULTILINE)
    if new:
        return False, f"{new[1]} was changed just now, so ccache did not trust its time; the next compile is cached"
    changed = list(dict.fromkeys(re.findall(r"^Mismatch for (.+?): (?:hash|size|mtime|ctime)", text, re.MULTILINE)))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return False, f"{changed[0]}{more} changed since it was compiled, and what the preprocessor makes of it, too"
    why = "it was never compiled with this content, these options and this compiler"
    if compilers:
        variable, then, now = json.loads(compilers[0])
        why += f"; the {variable.upper()} compiler is {now}, and another tree here was built with {then}"
    return False, why


def _why_sccache(said: CacheExplained) -> tuple[bool, str]:
    if said.refused:
        return False, f"it cannot be cached: {', '.join(said.refused)}"
    if said.hits and not said.misses:
        return True, "it comes from the cache"
    if said.hits:
        return False, f"{said.hits} of its parts come from the cache, {said.misses} do not"
    if said.misses:
        return False, "it was never compiled with this content, these options and this compiler"
    return False, "sccache passed it on to the compiler"
