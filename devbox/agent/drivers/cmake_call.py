"""The cmake driver: its arguments and environment, and whether it has to run."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ..content import digest_file
from ..files import remove
from ..key import KEYED
from ..placeholders import fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocol import Rules
    from ..record import Attempt

CACHE = "CMakeCache.txt"
# CMake reads these when it fills an empty cache, and never again.
READ_ONCE = re.compile(
    r"(C|CXX|CUDA|HIP|ISPC|OBJC|OBJCXX|F|ASM(_\w+)?|RC|LD|CPP)FLAGS|(CUDA|HIP)(HOSTCXX|ARCHS)|(HIP|OBJ)CXX|OBJC|FC|ASM|ISPC|RC"
    r"|PKG_CONFIG(_\w+)?|MKLROOT|(CUDA|CUDNN|NCCL|ROCM|HIP)_(HOME|PATH)"
    r"|CMAKE_(?!BUILD_PARALLEL_LEVEL|\w+_COMPILER_LAUNCHER)\w+"
    r"|(?!XDG_|S?CCACHE_|DEVBOX_|UV_|PIP_|HF_|PYENV_|VSCODE_)\w+_(ROOT|DIR)"
)
# Compilers and linkers read these at each call, and no command line shows them.
COMPILING = re.compile(
    r"CPATH|(C|CPLUS|OBJC|OBJCPLUS)_INCLUDE_PATH|LIBRARY_PATH|LD_RUN_PATH|COMPILER_PATH|GCC_EXEC_PREFIX"
    r"|NVCC_(APPEND|PREPEND)_FLAGS|NVCC_CCBIN|CCC_OVERRIDE_OPTIONS|SDKROOT|SOURCE_DATE_EPOCH"
)


def name_of(define: str) -> str:
    """Return the name in a define's left side: `NAME` or `NAME:TYPE`."""
    return define.partition(":")[0]


def defines(rules: Rules, values: Mapping[str, str], more: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return every `-D` by its left side; the user's (`more`) replace the framework's of the same name."""
    found: dict[str, str] = {"CMAKE_BUILD_TYPE": values["type"], "CMAKE_EXPORT_COMPILE_COMMANDS": "ON"}
    if rules.arch_define and values["arch"]:
        found[rules.arch_define] = values["arch"]
    if rules.install_prefix:
        found["CMAKE_INSTALL_PREFIX"] = values["prefix"]
    given = [(left, fill(right, values)) for left, right in rules.defines]
    for left, right in [*given, *((left, right) for left, right in more)]:
        for known in [known for known in found if name_of(known) == name_of(left)]:
            del found[known]
        found[left] = right
    return found


def arguments(source: str, tree: str, generator: str, given: Mapping[str, str]) -> list[str]:
    """Return what cmake is told, without its name and without `-U`."""
    return ["-S", source, "-B", tree, "-G", generator, *(f"-D{left}={right}" for left, right in given.items())]


def keyed(more: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return those of the user's defines that choose a toolchain, type or architecture: they belong to the key."""
    return sorted([name_of(left), right] for left, right in more if KEYED.fullmatch(name_of(left)))


def environment(environ: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the variables that CMake reads once: the usual ones, the framework's own (`names`), and the compilers'."""
    return {
        name: environ[name]
        for name in sorted(environ)
        if name in names or READ_ONCE.fullmatch(name) or COMPILING.fullmatch(name)
    }


def compiling(environ: Mapping[str, str]) -> str:
    """Return what compilers read in the environment: objects that were made with another one are others."""
    return "\n".join(f"{name}={environ[name]}" for name in sorted(environ) if COMPILING.fullmatch(name))


def cache_digest(tree: str) -> str:
    """Return the hash of the tree's CMake cache."""
    return digest_file(os.path.join(tree, CACHE))


def cached(tree: str, name: str) -> str:
    """Return the value of a variable in the tree's CMake cache, "" if it has none."""
    with contextlib.suppress(OSError), open(os.path.join(tree, CACHE), errors="surrogateescape") as stream:
        for line in stream:
            if line.startswith(f"{name}:"):
                return line.partition("=")[2].rstrip("\n")
    return ""


class Places(NamedTuple):
    """The folders that a tree's CMake cache was made for, "" where it does not say."""

    tree: str
    source: str


def places(tree: str) -> Places:
    """Return the folders in the tree's CMake cache: cmake itself refuses to go on where they are others."""
    return Places(cached(tree, "CMAKE_CACHEFILE_DIR"), cached(tree, "CMAKE_HOME_DIRECTORY"))


def why_configure(
    last: Attempt | None, tree: str, given: Sequence[str], variables: Mapping[str, str], build_file: str
) -> list[str]:
    """Return why cmake has to run; empty if the tree is configured from exactly this."""
    if last is None or not os.path.exists(os.path.join(tree, CACHE)):
        return ["the tree is new"]
    reasons = []
    if last.environment != variables:
        names = sorted(
            name for name in {*last.environment, *variables} if last.environment.get(name) != variables.get(name)
        )
        reasons.append(f"environment changed: {', '.join(names)}")
    if not last.configured:
        reasons.append("the last configure did not end well")
    if not os.path.exists(os.path.join(tree, build_file)):
        reasons.append(f"{build_file} is missing")
    gone, new = [one for one in last.arguments if one not in given], [one for one in given if one not in last.arguments]
    if gone or new or list(given) != last.arguments:
        # The words begin with dashes of their own, so a plus or minus before them would be read as one of these.
        changes = [f"{how} {', '.join(words)}" for how, words in (("now", new), ("no longer", gone)) if words]
        reasons.append(f"arguments changed: {'; '.join(changes) or 'their order'}")
    if not reasons and last.cache != cache_digest(tree):
        reasons.append(f"{CACHE} was changed by hand or by an IDE")
    return reasons


def forget(tree: str) -> None:
    """Remove what cmake found out, but none of the objects: the cache, and what it detected of the compilers."""
    remove([os.path.join(tree, CACHE)])
    folder = os.path.join(tree, "CMakeFiles")
    if os.path.isdir(folder):
        import shutil

        for name in os.listdir(folder):
            if re.fullmatch(r"\d+(\.\d+)+.*", name):
                shutil.rmtree(os.path.join(folder, name))
