"""Whether a shared storage takes an object and gives it back: one compile writes it, another one has to find it there.

What is compiled is a file that nobody has compiled before.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Any

from ..tools import first_on_path, run
from . import sccache
from .counts import HITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .setup import Cache

SECONDS = 20.0
# What ccache's log has on a storage: in its own words, which begin with the step that failed.
_FAILED = re.compile(r"remote storage|redis|http|storage helper", re.IGNORECASE)
_REASON = re.compile(r"fail|error|denied|refused|timed out|noauth|wrongpass|noperm|readonly|not found", re.IGNORECASE)


def attempt(cache: Cache) -> dict[str, Any]:
    """Return whether the storage of a cache `took` and `gave` an object, in how many `took_seconds`, and `why` not.

    Nothing is told where there is no storage or no compiler.
    """
    environ = {**os.environ, **cache.environ}
    compiler = first_on_path(["cc", "gcc", "clang"], environ)
    if not cache.storage.url or compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "trial.c")
        with open(source, "w", encoding="utf-8") as stream:
            stream.write(f"int devbox_{uuid.uuid4().hex};\n")
        argv = [cache.program, compiler, "-c", source, "-o", os.path.join(folder, "trial.o")]
        begun = time.monotonic()
        try:
            found = _by_sccache(cache, argv, environ) if cache.kind == "sccache" else _by_ccache(argv, environ, folder)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            found = {"took": False, "gave": False, "why": str(error)}
        return {**found, "trial_seconds": round(time.monotonic() - begun, 3)}


def _by_ccache(argv: list[str], environ: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Compile in one empty folder of ccache, and again in another: a hit there can come from the storage alone."""
    counters, said = [], ""
    for name in ("write", "read"):
        own = {**environ, "CCACHE_DIR": os.path.join(folder, name), "CCACHE_LOGFILE": os.path.join(folder, "log")}
        own.pop("CCACHE_STATSLOG", None)
        _compile(argv, own)
        pairs = (line.split("\t") for line in run([argv[0], "--print-stats"], own).splitlines() if "\t" in line)
        counters.append({pair[0]: int(pair[1]) for pair in pairs})
    with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as stream:
        lines = [line.partition("] ")[2].strip() for line in stream]
    told = [line for line in lines if not line.startswith("Config: ") and _FAILED.search(line) and _REASON.search(line)]
    said = told[0] if told else ""
    gave = any(counters[1].get(hit) for hit in HITS)
    took = gave or bool(counters[0].get("remote_storage_write"))
    return {"took": took, "gave": gave, "why": "" if gave else said}


def _by_sccache(cache: Cache, argv: list[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Compile twice: the server keeps nothing itself where it has a storage. It writes after the compile has ended."""
    before = sccache.statistics(cache).get("stats", {})
    _compile(argv, environ)
    deadline, wrote, failed = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < deadline and not wrote + failed:
        now = sccache.statistics(cache).get("stats", {})
        wrote, failed = (now.get(name, 0) - before.get(name, 0) for name in ("cache_writes", "cache_write_errors"))
        time.sleep(0.05)
    if not wrote:
        return {"took": False, "gave": False, "why": "sccache's server could not write there" if failed else ""}
    _compile(argv, environ)
    after = sccache.statistics(cache).get("stats", {})
    gave = _hits(after) > _hits(before)
    return {"took": True, "gave": gave, "why": "" if gave else "sccache's server did not find it there"}


def _hits(stats: Mapping[str, Any]) -> int:
    return sum(stats.get("cache_hits", {}).get("counts", {}).values())


def _compile(argv: list[str], environ: Mapping[str, str]) -> None:
    subprocess.run(
        argv, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=SECONDS, check=False,
    )  # fmt: skip
