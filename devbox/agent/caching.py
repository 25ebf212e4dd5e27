"""What `devbox cache` asks of the container: statistics, clearing, what a doctor looks at, and why a file missed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, cast

from .caches import sccache, setup, trial
from .caches.counts import difference, read_log
from .caches.reach import unreachable
from .caches.setup import CCACHE, NONE
from .events import AgentError
from .files import read_json
from .protocol import ClearCache, CountCache, ExplainCache, LookAtCache
from .record import Records
from .tools import first_on_path, run
from .trees import disk_use
from .volume import CURRENT, records_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .protocol import CacheRequest, R

COMMANDS = "compile_commands.json"
# Longer than any compile.
SECONDS = 3600
LOG_LINES = 400


def act(request: CacheRequest[R]) -> R:
    """Do what one of the requests about the cache says. Raises AgentError where there is no cache."""
    state = state_of(request.volume)
    cache = setup.choose(request.cache, os.environ, state)
    if cache.kind == NONE:
        raise AgentError(
            "there is no compiler cache in this container", hint="devbox config show   # compiler_cache says which"
        )
    work = CacheWork(cache, request, state)
    actions: dict[type[Any], Callable[[], dict[str, Any]]] = {
        CountCache: work.stats, ClearCache: work.clear, LookAtCache: work.look,
    }  # fmt: skip
    found = work.explain(request) if isinstance(request, ExplainCache) else actions[type(request)]()
    return cast("R", request.RESULT(kind=cache.kind, folder=cache.folder, **found))


class CacheWork:
    """One of the actions, on one cache."""

    def __init__(self, cache: setup.Cache, request: CacheRequest[Any], state: str) -> None:
        """Take the cache, the request, and the volume's state folder."""
        self._cache = cache
        self._request = request
        self._state = state
        self._environ = {**os.environ, **cache.environ}

    def stats(self) -> dict[str, Any]:
        """Return the cache's counters: ccache's since they were last cleared, sccache's since its server started."""
        if self._cache.kind == CCACHE:
            text = run([self._cache.program, "--print-stats"], self._environ)
            pairs = (line.split("\t") for line in text.splitlines() if "\t" in line)
            return {"counters": {pair[0]: int(pair[1]) for pair in pairs}, "languages": _languages(self._state)}
        self._must_start()
        return {"server": sccache.statistics(self._cache), "bytes": disk_use(self._cache.folder)}

    def _must_start(self) -> None:
        problem = sccache.start(self._cache)
        if problem is not None:
            raise AgentError(f"sccache does not start: {problem}", hint="devbox cache doctor")

    def clear(self) -> dict[str, Any]:
        """Remove what the cache holds in its folder, and set its counters to zero. A shared storage stays as it is."""
        folder = self._cache.folder
        if self._cache.kind == CCACHE:
            held = self.stats()["counters"].get("cache_size_kibibyte", 0) << 10
            run([self._cache.program, "--clear", "--zero-stats"], self._environ)
            return {"removed": held - (self.stats()["counters"].get("cache_size_kibibyte", 0) << 10)}
        held = disk_use(folder)
        sccache.stop(self._cache)
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
        return {"removed": max(0, held - disk_use(folder))}

    def look(self) -> dict[str, Any]:
        """Return what tells whether the cache is set up well: its folder, its settings with their origin, the clock."""
        folder = self._cache.folder
        found: dict[str, Any] = {
            "exists": os.path.isdir(folder),
            "writable": os.access(folder, os.W_OK | os.X_OK),
            "uid": os.getuid(),
            "shared": self._remote() or folder == self._request.cache.folders[self._cache.kind],
        }
        if found["exists"]:
            status = os.stat(folder)
            space = os.statvfs(folder)
            found.update(
                owner=status.st_uid, group=status.st_gid, mode=status.st_mode, groups=os.getgroups(),
                free=space.f_bavail * space.f_frsize, foreign=_foreign(folder),
            )  # fmt: skip
            if found["writable"]:
                found["skew"] = _skew(folder)
        found["unreachable"] = unreachable(self._cache.storage.url)
        if self._cache.kind == CCACHE:
            found["settings"] = _settings(run([self._cache.program, "--show-config"], self._environ))
            # What ninja run by hand would meet: the container's own environment and ccache's files.
            found["by_hand"] = _settings(run([self._cache.program, "--show-config"], os.environ))
            found.update(self.stats())
        else:
            found["problem"] = sccache.start(self._cache)
            found["server"] = sccache.statistics(self._cache)
            found["bytes"] = disk_use(folder)
        if not found["unreachable"] and not found.get("problem"):
            found.update(trial.attempt(self._cache))
        return found

    def _remote(self) -> bool:
        """Return whether sccache keeps everything elsewhere; ccache has its folder in any case."""
        return self._cache.kind != CCACHE and bool(self._cache.storage.variables)

    def explain(self, request: ExplainCache) -> dict[str, Any]:
        """Compile one source of a tree again, with the outputs elsewhere, and return what the cache says to it.

        ccache is only read. `last` is what it answered in the tree's last build.
        """
        tree = os.path.join(request.volume, request.key or CURRENT)
        command = _command(os.path.join(tree, COMMANDS), request.file)
        with tempfile.TemporaryDirectory() as beside:
            argv = _elsewhere(self._argv(command, tree), beside)
            if self._cache.kind == CCACHE:
                found = self._explain_ccache(argv, command["directory"], beside)
            else:
                found = self._explain_sccache(argv, command["directory"])
        name = os.path.basename(os.path.realpath(tree))
        outcomes = read_log(os.path.join(self._state, "ccache", f"{name}.log")).outcomes
        return {
            **found,
            "tree": name,
            "source": command["file"],
            "last": outcomes.get(command["file"], ""),
            "compilers": _compilers(request.volume, name),
        }

    def _argv(self, command: Mapping[str, Any], tree: str) -> list[str]:
        """Return the command line of a compile as ninja runs it: CMake's list of commands leaves out the -MD."""
        ninja = first_on_path(["ninja", "ninja-build"], self._environ)
        output = command.get("output")
        text = run([ninja, "-C", tree, "-t", "commands", "-s", output], self._environ) if ninja and output else ""
        argv = shlex.split(text.splitlines()[-1]) if text else shlex.split(command["command"])
        return argv[1:] if argv[0] == os.path.join(self._state, "launch") else argv

    def _explain_ccache(self, argv: list[str], cwd: str, beside: str) -> dict[str, Any]:
        log = os.path.join(beside, "log")
        environ = {**self._environ, "CCACHE_LOGFILE": log, "CCACHE_READONLY": "1"}
        environ.pop("CCACHE_STATSLOG", None)
        code = _run([self._cache.program, *argv], cwd, environ)
        try:
            with open(log, encoding="utf-8", errors="replace") as stream:
                lines = [line.partition("] ")[2].rstrip("\n") for line in stream]
        except OSError:
            lines = []
        return {"code": code, "log": [line for line in lines if not line.startswith("Config: ")][:LOG_LINES]}

    def _explain_sccache(self, argv: list[str], cwd: str) -> dict[str, Any]:
        self._must_start()
        before = sccache.statistics(self._cache)
        code = _run([self._cache.program, *argv], cwd, self._environ)
        after = sccache.statistics(self._cache)
        counts = difference(before, after)
        then, now = (one.get("stats", {}).get("not_cached", {}) for one in (before, after))
        refused = [why for why, count in now.items() if count > then.get(why, 0)]
        return {"code": code, "hits": counts.hits, "misses": counts.misses, "refused": refused}


def _languages(state: str) -> dict[str, list[int]]:
    """Return hits and misses by language in the last build of each tree: ccache itself does not tell them apart."""
    total: dict[str, list[int]] = {}
    folder = os.path.join(state, "ccache")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        for language, pair in read_log(os.path.join(folder, name)).languages.items():
            known = total.setdefault(language, [0, 0])
            total[language] = [known[0] + pair[0], known[1] + pair[1]]
    return total


def _foreign(folder: str) -> str:
    """Return an entry of the folder that this user cannot write to, "" if there is none."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not os.access(entry.path, os.W_OK):
                return entry.path
    return ""


def _skew(folder: str) -> float:
    """Return by how many seconds the folder's file system is ahead of the container's clock."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        before = time.time()
        probe.write(b"x")
        probe.flush()
        return os.fstat(probe.fileno()).st_mtime - before


def _settings(text: str) -> dict[str, list[str]]:
    """Return ccache's settings as (value, origin): a line is `(ORIGIN) NAME = VALUE`."""
    found = {}
    for line in text.splitlines():
        origin, _, rest = line.partition(") ")
        name, equals, value = rest.partition(" =")
        if equals:
            found[name] = [value.strip(), origin.lstrip("(")]
    return found


def _command(path: str, source: str) -> dict[str, Any]:
    commands = read_json(path)
    if commands is None:
        raise AgentError("no build tree is configured yet", hint="devbox build")
    found = [one for one in commands if os.path.normpath(os.path.join(one["directory"], one["file"])) == source]
    if not found:
        raise AgentError(
            f"the build tree compiles no {source}", hint="devbox cache explain FILE   # a source, not a header"
        )
    return dict(found[0])


def _elsewhere(argv: list[str], folder: str) -> list[str]:
    """Return the command line with its outputs in another folder; what only names them stays."""
    moved = list(argv)
    for index, word in enumerate(argv[:-1]):
        if word in ("-o", "-MF"):
            moved[index + 1] = os.path.join(folder, "object.o" if word == "-o" else "object.d")
    return moved


def _run(argv: list[str], cwd: str, environ: Mapping[str, str]) -> int:
    done = subprocess.run(
        argv, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.returncode


def _compilers(volume: str, key: str) -> list[str]:
    """Return which compilers another tree of the volume was built with that this one is not."""
    records = Records(records_of(volume))
    own = records.attempt(key)
    changed = set()
    for other in records.all_keys():
        attempt = records.attempt(other)
        if own is None or attempt is None or attempt.inputs.get("type") != own.inputs.get("type"):
            continue
        for name in ("c", "cxx", "cuda"):
            now, then = own.inputs.get(name), attempt.inputs.get(name)
            if now and then and now != then:
                changed.add(json.dumps([name, then[1], now[1]]))
    return sorted(changed)
