"""What is well or wrong with how a compiler cache is set up in its container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.agent import protocol
from devbox.builds.caches.choose import FOLDERS, CacheStats, CompilerCache, hit_rate, read_stats
from devbox.builds.talk import ask
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.agent.protocol import CacheLook
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.finding import Severity

    Note = Callable[..., None]

# Sloppiness that lets a header, edited during a compile, into what everybody shares.
_UNSAFE = re.compile(r"include_file_\w+|file_stat_matches\w*|time_macros|system_headers|modules")
_SKEW_SECONDS = 2.0
_FULL = 0.95
_LITTLE = 1 << 30
# Writable by the group, which new folders inherit.
_GROUP_MODE = 0o2020
# Settings that builds here want as they are by default.
_SETTINGS = (
    ("hash_dir", "true", "debug information may name the folders of another build"),
    ("base_dir", "", "paths are the same in every container, so none is needed, and it rewrites them"),
    ("direct_mode", "true", "every hit costs a run of the preprocessor"),
    ("disable", "false", "nothing is cached"),
    ("stats", "true", "hits cannot be counted"),
    ("compiler_check", "content", "another compiler may go unnoticed, or a rebuilt image miss"),
)


def findings(cache: CompilerCache, target: Target, engine: Engine) -> tuple[Finding, ...]:
    """Look at how the cache is set up in the container, and return what is well and what is not."""
    return diagnose(ask(protocol.LookAtCache(cache=cache.asked()), target, engine), cache)


def diagnose(said: CacheLook, cache: CompilerCache) -> tuple[Finding, ...]:
    """Return the findings in what the container said of its cache."""
    found: list[Finding] = []

    def note(severity: Severity, message: str, remedy: str | None = None, why: str | None = None) -> None:
        found.append(Finding("cache", severity, message, remedy, why))

    where = cache.storage.url if cache.storage is not None else ""
    # With a storage sccache keeps nothing in its folder.
    elsewhere = said.kind == "sccache" and cache.storage is not None
    if not elsewhere and not _diagnose_folder(said, cache, note):
        return tuple(found)
    if said.kind == "ccache":
        _diagnose_ccache(said, note)
    elif said.problem:
        place = f" with {where}" if where else ""
        note("error", f"sccache does not start{place}: {said.problem}", "devbox config show   # cache_remote")
    statistics = read_stats(said, cache)
    _diagnose_space(said, statistics, note)
    if statistics.errors:
        note(
            "warning",
            f"the shared storage {where} failed {statistics.errors} time{'s' * (statistics.errors > 1)}",
            "devbox config show   # cache_remote",
            said.unreachable or "it answers at its address: the password or the database may be wrong",
        )
    elif said.unreachable and not said.problem:
        note(
            "warning",
            f"the shared storage {where} does not answer",
            "devbox config show   # cache_remote",
            said.unreachable,
        )
    _diagnose_trial(said, where, note)
    if not any(one.severity in {"warning", "error"} for one in found):
        rate = hit_rate(statistics.hits, statistics.misses)
        note("ok", f"{statistics.kind} in {said.folder}: {statistics.size >> 20} MiB, hit rate {rate}")
    return tuple(found)


def _diagnose_trial(said: CacheLook, where: str, note: Note) -> None:
    """Say whether the shared storage took an object and gave it back, where that was tried."""
    if said.took is None:
        return
    if said.gave:
        note("ok", f"the shared storage {where} took an object and gave it back, in {said.trial_seconds:.2f} s")
        return
    what = "took an object and did not give it back" if said.took else "takes nothing"
    note(
        "error",
        f"the shared storage {where} {what}",
        "devbox config show   # cache_remote; its password, database or bucket may be wrong",
        said.why or "it answers at its address",
    )


def _diagnose_folder(said: CacheLook, cache: CompilerCache, note: Note) -> bool:
    """Look at the cache's folder; return whether it can be used at all."""
    folder = said.folder
    if not said.exists or not said.writable:
        owner = f", it belongs to uid {said.owner}" if said.exists and said.owner != said.uid else ""
        what = f"you (uid {said.uid}) may not write to it{owner}" if said.exists else "it is not there"
        note("error", f"the cache's folder {folder}: {what}", "devbox up   # makes the volume and sets its owner")
        return False
    if not said.shared:
        note(
            "warning",
            f"the cache lies in {folder}, for this workspace alone: the container has no {FOLDERS[said.kind]}",
            f'devbox up --framework NAME   # with compiler_cache = "{said.kind}" in devbox.toml',
        )
    if said.foreign:
        note(
            "error",
            f"{said.foreign} in the cache belongs to another user, and cannot be written to",
            "devbox cache clear   # or share it: cache_group = NAME in devbox.toml",
        )
    if cache.group and said.shared and said.mode & _GROUP_MODE != _GROUP_MODE:
        note("error", f"{folder} is not its group's: its mode is {said.mode & 0o7777:04o}", "devbox up")
    if abs(said.skew) > _SKEW_SECONDS:
        note(
            "warning",
            f"the cache's file system is {said.skew:+.1f} s off the container's clock",
            "synchronise the clocks of this machine and its file server",
            "files may look too new",
        )
    return True


def _diagnose_space(said: CacheLook, statistics: CacheStats, note: Note) -> None:
    size, limit = statistics.size, statistics.limit
    if limit and size > _FULL * limit:
        note(
            "warning",
            f"the cache is full ({size >> 20} of {limit >> 20} MiB)",
            'ccache_size = "50G"   # in devbox.toml',
            "old results go early",
        )
    if said.exists and said.free < _LITTLE:
        note("warning", f"only {said.free >> 20} MiB are free where the cache lies", "devbox builds prune --all")


def _diagnose_ccache(said: CacheLook, note: Note) -> None:
    """Look at ccache's settings, those of a build and those that ninja would meet when it is run by hand."""
    for title, settings in (("", said.settings), ("by hand: ", said.by_hand)):
        values = {name: (pair[0], pair[1]) for name, pair in settings.items()}
        unsafe = [word for word in re.split(r"[\s,]+", values["sloppiness"][0]) if _UNSAFE.fullmatch(word)]
        if unsafe:
            origin = values["sloppiness"][1]
            note(
                "error", f"{title}sloppiness {', '.join(unsafe)} ({origin})", _unset(origin), "it can poison the cache"
            )
        for name, good, why in _SETTINGS:
            value, origin = values.get(name, (good, "default"))
            if value != good and origin != "default":
                note("warning", f"{title}{name} is {value} ({origin})", _unset(origin), why)


def _unset(origin: str) -> str:
    return "take it out of the container's environment" if origin == "environment" else f"take it out of {origin}"
