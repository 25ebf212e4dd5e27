"""One build configuration: with what, for what and where a tree is built. Its inputs make the key of the tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from . import caches, cmake, launcher
from .events import AgentError
from .key import digest, key
from .outside import packages_digest
from .tools import CUDA_HOME, Probe, first_on_path, version_tuple, which

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATE = ".devbox"
TOOLCHAIN = "/etc/devbox/toolchain.json"
NINJA = "Ninja"
# Since this version ninja judges an object by when its command started, so that it sees an edit during the command.
START_COUNTS_SINCE = (1, 12)


class Configuration(NamedTuple):
    """What is decided before a tree is touched.

    `state` is the folder of records and locks. `environ` is what cmake and ninja run in, `values` what the framework's
    placeholders stand for (but the number of jobs). `ninja` is ninja's path, None for another generator. `cache` is the
    compiler cache; it is no input of the key.
    """

    volume: str
    state: str
    workspace: str
    source: str
    tree: str
    key: str
    digest: str
    inputs: dict[str, Any]
    rules: Mapping[str, Any]
    environ: dict[str, str]
    values: dict[str, str]
    ninja: str | None
    start_counts: bool
    cache: caches.Cache


def configuration(request: Mapping[str, Any]) -> Configuration:
    """Decide the configuration of a request (see `devbox.build.build.request_for`), asking the container's tools.

    Raises AgentError where there is nothing to build, or nothing to build it with.
    """
    rules = request["rules"]
    volume, workspace = request["volume"], request["workspace"]
    state = os.path.join(volume, STATE)
    source = os.path.normpath(os.path.join(workspace, rules["source"]))
    if not os.path.isfile(os.path.join(source, "CMakeLists.txt")):
        raise AgentError(
            f"{source} has no CMakeLists.txt", hint="devbox up --framework NAME   # if the framework is another one"
        )
    environ = _clean_environment()
    values = {
        "source": source,
        "build": "",
        "python": first_on_path(["python3", "python"], environ) or "",
        "type": request["type"],
        "arch": request["arch"] or "",
        "threads": str(rules["nvcc_threads"]),
        "jobs": "",
        "prefix": os.path.normpath(
            os.path.join(workspace, (rules["install_prefix"] or ".").replace("{source}", source))
        ),
    }
    environ.update(_framework_env(rules, request["arch"], values))
    cache = caches.choose(request, environ, state)
    launchers = launcher.own(environ)
    environ = {**dict.fromkeys(launcher.NAMES, launcher.write(state)), **environ, **cache.environ}
    ninja = _program("ninja", environ) if rules["generator"] == NINJA else None
    probe = Probe(os.path.join(state, "probe.json"), environ)
    inputs = _inputs(request, probe, environ, values, ninja=ninja, launchers=launchers)
    probe.save()
    name = key(inputs)
    values["build"] = os.path.join(volume, name)
    environ.update(_framework_env(rules, request["arch"], values))
    cache = caches.for_tree(cache, request, state, values["build"])
    environ.update(cache.environ)
    return Configuration(
        volume, state, workspace, source, values["build"], name, digest(inputs), inputs, rules, environ, values, ninja,
        version_tuple(inputs["ninja"]) >= START_COUNTS_SINCE, cache,
    )  # fmt: skip


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without what would change how cmake and ninja talk or where they install."""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "NINJA_STATUS", "DESTDIR"):
        environ.pop(name, None)
    return environ


def _framework_env(rules: Mapping[str, Any], arch: str | None, values: Mapping[str, str]) -> dict[str, str]:
    found = {name: cmake.expand(value, values) for name, value in rules["env"]}
    if rules["arch_env"] and arch:
        found[rules["arch_env"]] = arch
    return found


def _inputs(
    request: Mapping[str, Any],
    probe: Probe,
    environ: dict[str, str],
    values: Mapping[str, str],
    *,
    ninja: str | None,
    launchers: Sequence[str],
) -> dict[str, Any]:
    """Gather what the key is made from; the compilers that it names are pinned in `environ`."""
    rules = request["rules"]
    uses_torch = rules["arch_form"] == "torch"
    uses_python = uses_torch or any("{python}" in value for _, value in [*rules["defines"], *rules["env"]])
    return {
        "framework": request["framework"],
        "variant": request["variant"],
        "driver": rules["driver"],
        "type": request["type"],
        "arch": request["arch"],
        "generator": rules["generator"],
        "source": values["source"],
        "threads": rules["nvcc_threads"],
        "launcher": launchers,
        "c": _compiler(probe, environ, "CC", ["cc", "gcc", "clang"]),
        "cxx": _compiler(probe, environ, "CXX", ["c++", "g++", "clang++"]),
        "cuda": _compiler(probe, environ, "CUDACXX", ["nvcc"], [CUDA_HOME]),
        "cmake": probe.version(_program("cmake", environ)).partition("\n")[0],
        "ninja": probe.version(ninja) if ninja else "",
        "python": probe.python(values["python"], torch=uses_torch) if values["python"] and uses_python else None,
        "packages": packages_digest(TOOLCHAIN),
        "defines": cmake.keyed(request["defines"]),
    }


def _program(name: str, environ: Mapping[str, str]) -> str:
    path = first_on_path([name, f"{name}-build"], environ)
    if path is None:
        raise AgentError(
            f"{name} is not installed in the container",
            hint="add it to the image's packages, then: devbox up --recreate",
        )
    return path


def _compiler(
    probe: Probe, environ: dict[str, str], variable: str, names: Sequence[str], more: Sequence[str] = ()
) -> list[str] | None:
    """Return the identity of the compiler that CMake will take. If nobody chose one, the choice is pinned."""
    chosen = environ.get(variable)
    if chosen:
        return [*(probe.identity(which(chosen.split()[0], environ)) or ()), chosen]
    path = first_on_path(names, environ, more)
    if path is not None:
        environ[variable] = path
    return probe.identity(path)
