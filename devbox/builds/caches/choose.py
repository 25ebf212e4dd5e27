"""The compiler cache, the host's part: which one the settings choose, and what it holds in the container."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.agent.caches.counts import PARTS
from devbox.builds.caches.storage import Storage, storage
from devbox.builds.talk import ask
from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devbox.agent.protocol import CacheCounts
    from devbox.config import Settings
    from devbox.container.target import Target
    from devbox.engine.docker import Engine

FOLDERS = {"ccache": "/cache/ccache", "sccache": "/cache/sccache"}


@dataclass(frozen=True, slots=True)
class CompilerCache:
    """Which compiler cache a build has: `size` in ccache's notation, `prefix` a program before the compiler on a miss.

    `group` says that the cache's files are shared with a group.
    """

    kind: str = "ccache"
    size: str = "20G"
    storage: Storage | None = None
    prefix: str | None = None
    group: bool = False

    def asked(self) -> protocol.CacheChoice:
        """Return what the agent is told."""
        known = self.storage or Storage("")
        return protocol.CacheChoice(
            kind=self.kind,
            size=self.size,
            folders=FOLDERS,
            prefix=self.prefix,
            group=self.group,
            storage=protocol.Storage(
                url=known.url, variables=known.variables, secrets=known.secrets, files=known.files
            ),
        )

    def secrets(self) -> Iterator[str]:
        """Return the values that nobody may see."""
        return self.storage.values() if self.storage is not None else iter(())


def compiler_cache(settings: Settings, environ: Mapping[str, str]) -> CompilerCache:
    """Return the compiler cache that the settings choose. Raises UsageError where they make no sense."""
    kind = settings.compiler_cache
    remote = settings.cache_remote
    if kind == "sccache" and settings.compiler_prefix:
        raise UsageError(
            f"sccache runs no {settings.compiler_prefix} before the compiler",
            hint="devbox build --compiler-cache ccache",
        )
    if kind == "sccache" and settings.cache_group and not remote:
        raise UsageError(
            "sccache keeps its files from other users, so a group cannot share them",
            hint='compiler_cache = "ccache"   # in devbox.toml; or cache_remote = "redis://HOST"',
        )
    return CompilerCache(
        kind=kind,
        size=settings.ccache_size,
        storage=storage(kind, remote, environ) if remote and kind != "none" else None,
        prefix=settings.compiler_prefix or None,
        group=bool(settings.cache_group) and kind == "ccache",
    )


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds and answered: bytes, and hits and misses as counted since `since` says.

    `limit` is 0 where nothing limits it, `languages` has (hits, misses). `remote` is the storage that machines share.
    """

    kind: str
    folder: str
    size: int
    limit: int
    hits: int
    misses: int
    since: str
    languages: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    remote: str | None = None
    remote_hits: int = 0
    errors: int = 0


def hit_rate(hits: int, misses: int) -> str:
    """Return the hits' share for people: `67 %`; "-" where nothing was asked."""
    return f"{100 * hits / (hits + misses):.0f} %" if hits + misses else "-"


def stats(cache: CompilerCache, target: Target, engine: Engine) -> CacheStats:
    """Return the cache's size and counters. Raises BuildError if the container cannot be asked."""
    return read_stats(ask(protocol.CountCache(cache=cache.asked()), target, engine), cache)


def read_stats(said: CacheCounts, cache: CompilerCache) -> CacheStats:
    """Return the statistics in what the container said."""
    remote = cache.storage.url if cache.storage else None
    if said.kind == "ccache":
        count = said.counters.get
        return CacheStats(
            "ccache",
            said.folder,
            count("cache_size_kibibyte", 0) << 10,
            count("max_cache_size_kibibyte", 0) << 10,
            count("direct_cache_hit", 0) + count("preprocessed_cache_hit", 0),
            count("cache_miss", 0),
            "since it was cleared",
            {name: (pair[0], pair[1]) for name, pair in said.languages.items()},
            remote,
            count("remote_storage_hit", 0),
            count("remote_storage_error", 0) + count("remote_storage_timeout", 0),
        )
    server = said.server or {}
    counted = server.get("stats", {})
    hits, misses = (dict(counted.get(name, {}).get("counts", {})) for name in ("cache_hits", "cache_misses"))
    return CacheStats(
        "sccache",
        said.folder,
        server.get("cache_size") or (0 if remote else said.bytes),
        server.get("max_cache_size") or 0,
        sum(count for name, count in hits.items() if name not in PARTS),
        sum(count for name, count in misses.items() if name not in PARTS),
        "since its server started",
        {name: (hits.get(name, 0), misses.get(name, 0)) for name in sorted({*hits, *misses})},
        remote,
        sum(count for name, count in hits.items() if name not in PARTS) if remote else 0,
        counted.get("cache_read_errors", 0) + counted.get("cache_write_errors", 0),
    )


def clear(cache: CompilerCache, target: Target, engine: Engine) -> int:
    """Remove what the cache holds in its folder; return the bytes. A storage that machines share is left as it is."""
    return ask(protocol.ClearCache(cache=cache.asked()), target, engine).removed
