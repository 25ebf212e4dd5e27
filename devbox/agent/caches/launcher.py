"""The compiler launcher: one script in every build file, whatever compiler cache there is.

CMake writes a launcher into every command line, and ninja makes anew whatever has another command line than before. So
build files name a script of devbox's that never changes its name, and that reads from its environment what to put
before the compiler: another cache, none, or a program that sends compiles to other machines. Choosing another one
changes nothing in a build tree, as it changes nothing in what is compiled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = tuple(f"CMAKE_{language}_COMPILER_LAUNCHER" for language in ("C", "CXX", "CUDA"))
# What the scripts read.
CACHE = "DEVBOX_COMPILER_CACHE"
STEP = "DEVBOX_COMPILER_STEP"
PREFIX = "DEVBOX_COMPILER_PREFIX"
PHASES = "DEVBOX_NVCC_PHASES"

LAUNCH = f"""\
#!/bin/sh
# Starts a compiler behind the compiler cache of this build. ninja run by hand takes ccache, where there is one.
cache=${{{CACHE}-$(command -v ccache)}}
if [ -n "$cache" ]; then exec "$cache" "$@"; fi
exec ${STEP} "$@"
"""
COMPILE = f"""\
#!/bin/sh
# Runs a compile that no cache had: nvcc with a table of its phases, others through the chosen prefix, such as icecc.
case $1 in
*nvcc) if [ -n "${PHASES}" ]; then exec "$@" --time "${PHASES}/$$.csv"; fi; exec "$@" ;;
esac
exec ${PREFIX} "$@"
"""


def write(state: str) -> str:
    """Write the scripts to the volume's state folder where they are not as they should be; return the launcher's."""
    for name, text in (("launch", LAUNCH), ("compile", COMPILE)):
        path = os.path.join(state, name)
        if _content(path) != text.encode():
            write_bytes(path, text.encode(), mode=0o755)
    return os.path.join(state, "launch")


def step(state: str, *, prefix: str, phases: str) -> dict[str, str]:
    """Return the environment for compiles that no cache had.

    `prefix` goes before the compiler, and nvcc's tables of phases into the folder `phases`; "" for neither. The tables
    are asked for behind the cache, which would take the option for another way to compile.
    """
    found = {}
    if prefix or phases:
        found[STEP] = found["CCACHE_PREFIX"] = os.path.join(state, "compile")
    if prefix:
        found[PREFIX] = prefix
    if phases:
        found[PHASES] = phases
    return found


def own(environ: Mapping[str, str]) -> list[str]:
    """Return the launchers that the container's environment itself sets, by name: they stay, and are in the key."""
    return sorted({os.path.basename(environ[name]) for name in NAMES if environ.get(name)})


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
