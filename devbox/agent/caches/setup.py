"""The compiler cache of a build: ccache or sccache, set up so that a shared cache never lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ..events import AgentError
from ..files import remove
from ..protocol import Storage
from ..tools import which
from . import launcher, sccache
from .counts import Counts, difference, read_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import CacheChoice, Configured

CCACHE, SCCACHE, NONE = "ccache", "sccache", "none"


class Cache(NamedTuple):
    """The cache of one build: its program, the environment of the compilers, and how to ask it what it did.

    `size` is its limit, `storage` what the request says of the shared storage; its secrets stay out of `environ` with
    sccache, whose server alone needs them. `log` is ccache's log for one tree, `phases` the folder of nvcc's tables; ""
    for none.
    """

    kind: str
    program: str
    environ: dict[str, str]
    folder: str
    log: str
    size: str
    storage: Storage
    group: bool
    phases: str = ""


def choose(wanted: CacheChoice, environ: Mapping[str, str], state: str) -> Cache:
    """Return the cache that a request asks for. ccache that is not installed is no cache.

    Raises AgentError where sccache is asked for and is not there.
    """
    kind = wanted.kind
    program = which(kind, environ) if kind != NONE else None
    if kind == SCCACHE and program is None:
        raise AgentError(
            "sccache is not installed in the container",
            hint="devbox up --recreate   # devbox's images have it; or: devbox build --compiler-cache ccache",
        )
    if program is None:
        # A tree may look for ccache by itself.
        return Cache(NONE, "", {launcher.CACHE: "", "CCACHE_DISABLE": "1"}, "", "", "", Storage(), group=False)
    group, storage = wanted.group, wanted.storage
    if kind == SCCACHE:
        if wanted.prefix:
            raise AgentError(
                "sccache puts no other program before the compiler",
                hint='compiler_cache = "ccache"   # in devbox.toml, with compiler_prefix',
            )
        folder = _folder(wanted.folders[SCCACHE], os.path.join(state, "caches", SCCACHE))
        found = {launcher.CACHE: program, "SCCACHE_IGNORE_SERVER_IO_ERROR": "1"}
        cache = Cache(SCCACHE, program, found, folder, "", wanted.size, storage, group)
        found["SCCACHE_SERVER_UDS"] = sccache.socket_path(cache)
        return cache
    folder = _folder(wanted.folders[CCACHE], os.path.join(state, "caches", CCACHE))
    settings = _ccache_environment(program, folder, wanted.size, storage, group=group)
    return Cache(CCACHE, program, settings, folder, "", wanted.size, storage, group)


def _folder(shared: str, own: str) -> str:
    """Return the cache volume's folder, or another one where the container has no such volume."""
    return shared if os.access(shared, os.W_OK) else own


def _ccache_environment(program: str, folder: str, size: str, storage: Storage, *, group: bool) -> dict[str, str]:
    """Return ccache's settings: by the compiler's content, without sloppiness, whatever its configuration file says."""
    return {
        launcher.CACHE: program,
        "CCACHE_DIR": folder,
        "CCACHE_COMPILERCHECK": "content",
        "CCACHE_SLOPPINESS": "",
        "CCACHE_MAXSIZE": size,
        **({"CCACHE_UMASK": "002"} if group else {}),
        **storage.variables,
        **storage.secrets,
    }


def for_tree(cache: Cache, request: Configured[Any], state: str, tree: str) -> Cache:
    """Return the cache of one build tree: what compiles for it knows the tree, its log, and what goes before nvcc."""
    name = os.path.basename(tree)
    phases = os.path.join(state, "phases", name) if request.trace else ""
    environ = {**cache.environ, sccache.TREE: tree}
    log = ""
    if cache.kind != SCCACHE:
        environ.update(launcher.step(state, prefix=request.cache.prefix or "", phases=phases))
    if cache.kind == CCACHE:
        log = environ["CCACHE_STATSLOG"] = os.path.join(state, "ccache", f"{name}.log")
        os.makedirs(os.path.dirname(log), exist_ok=True)
    return cache._replace(environ=environ, log=log, phases=phases)


class Session:
    """The cache while one build runs: a server where it needs one, and what it answered since `mark`."""

    def __init__(self, cache: Cache, tree: str) -> None:
        """Take the cache, and the build tree: what the server compiles for it carries its name."""
        self.cache = cache
        self._tree = tree
        self._before: Mapping[str, Any] = {}

    def start(self, environ: dict[str, str]) -> str | None:
        """Get ready, and end what an earlier build left compiling. Where the server does not start, say why.

        The compilers' environment `environ` then names no cache: the build goes on without.
        """
        if self.cache.phases:
            # Configuring compiles with nvcc, which fails where it cannot write its table.
            os.makedirs(self.cache.phases, exist_ok=True)
        if self.cache.kind != SCCACHE:
            return None
        self.end_strays()
        problem = sccache.start(self.cache)
        if problem is not None:
            environ[launcher.CACHE] = ""
            self.cache = self.cache._replace(kind=NONE)
        return problem

    def mark(self) -> None:
        """Count from here on: configuring compiles too."""
        if self.cache.phases:
            import shutil

            shutil.rmtree(self.cache.phases, ignore_errors=True)
            os.makedirs(self.cache.phases)
        if self.cache.kind == CCACHE:
            remove([self.cache.log])
        elif self.cache.kind == SCCACHE:
            self._before = sccache.statistics(self.cache)

    def end_strays(self) -> None:
        """End the compiles of this tree that sccache's server runs: they outlive the commands that asked for them."""
        if self.cache.kind == SCCACHE:
            sccache.end_compiles(self._tree)

    def counts(self) -> Counts | None:
        """Return what the cache answered since `mark`, None without a cache."""
        if self.cache.kind == CCACHE:
            return read_log(self.cache.log)
        if self.cache.kind == SCCACHE:
            return difference(self._before, sccache.statistics(self.cache))
        return None
