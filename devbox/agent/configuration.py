"""One build configuration: with what, for what and where a tree is built. Its inputs make the key of the tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .caches import launcher, setup
from .drivers import architectures, cmake_call
from .drivers.choose import kind_of
from .key import digest, key
from .placeholders import fill
from .python import environment
from .tools import CUDA_HOME, Probe, first_on_path, packages_digest, required, version_tuple, which
from .volume import state_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .drivers.base import Driver
    from .protocol import Configured, Rules

TOOLCHAIN = "/etc/devbox/toolchain.json"
PREFIX = "CMAKE_INSTALL_PREFIX"
# Cargo's names for CMake's build types.
PROFILES = {"Debug": "dev", "Release": "release"}
# Since this version ninja judges an object by when its command started, so that it sees an edit during the command.
START_COUNTS_SINCE = (1, 12)


class Configuration(NamedTuple):
    """What is decided before a tree is touched.

    `state` is the folder of records and locks. `environ` is what the build's programs run in, `values` what the
    framework's placeholders stand for (but the number of jobs). `ninja` is ninja's path, None where it does not build.
    `defines` are what the user and a preset add to the framework's. `cache` is the compiler cache; it is no input of
    the key.
    """

    volume: str
    state: str
    workspace: str
    source: str
    tree: str
    key: str
    digest: str
    inputs: dict[str, Any]
    rules: Rules
    environ: dict[str, str]
    values: dict[str, str]
    defines: Sequence[tuple[str, str]]
    ninja: str | None
    start_counts: bool
    cache: setup.Cache


def configuration(request: Configured[Any]) -> Configuration:
    """Decide the configuration of a request (see `devbox.builds.build.request_for`), asking the container's tools.

    Raises AgentError where there is nothing to build, or nothing to build it with.
    """
    volume, workspace = request.volume, request.workspace
    state = state_of(volume)
    source = _source(request.rules.source, workspace)
    kind = kind_of(request.rules)
    kind.check(request, source)
    environ = _clean_environment(volume)
    own = architectures.read(request.rules, source, request.arch)
    request = request.but(rules=architectures.told(request.rules, own))
    if request.preset:
        request = _with_preset(request, request.preset, source, environ, [one.name for one in own if one is not None])
    rules = request.rules
    values = {
        "source": source,
        "build": "",
        "python": first_on_path(["python3", "python"], environ) or "",
        "type": request.type,
        "profile": PROFILES.get(request.type, request.type.lower()),
        "arch": request.arch or "",
        "threads": str(rules.nvcc_threads),
        "jobs": "",
        "prefix": _prefix(request, source),
    }
    environ.update(_framework_env(rules, request.arch, values))
    cache = setup.choose(request.cache, environ, state)
    launchers = launcher.own(environ)
    environ = {**dict.fromkeys(launcher.NAMES, launcher.write(state)), **environ, **cache.environ}
    ninja = kind.ninja(rules, environ)
    probe = Probe(os.path.join(state, "probe.json"), environ)
    inputs = {
        **_inputs(request, kind, probe, environ, values, launchers=launchers),
        **kind.inputs(rules, source, environ, probe),
    }
    probe.save()
    name = key(inputs)
    values["build"] = os.path.join(volume, name)
    environ.update(_framework_env(rules, request.arch, values))
    cache = setup.for_tree(cache, request, state, values["build"])
    environ.update(cache.environ)
    return Configuration(
        volume, state, workspace, source, values["build"], name, digest(inputs), inputs, rules, environ, values,
        request.defines, ninja, version_tuple(inputs.get("ninja", "")) >= START_COUNTS_SINCE, cache,
    )  # fmt: skip


def _source(alternatives: Sequence[str], workspace: str) -> str:
    """Return the source folder: the first of its alternatives that exists, else the first, which is then missed."""
    places = [os.path.normpath(os.path.join(workspace, place)) for place in alternatives]
    return next((place for place in places if os.path.isdir(place)), places[0])


def _prefix(request: Configured[Any], source: str) -> str:
    """Return the folder to install into: the user's or the preset's, else the framework's."""
    chosen = [right for left, right in request.defines if cmake_call.name_of(left) == PREFIX]
    prefix = str((chosen or [request.rules.install_prefix or "."])[-1]).replace("{source}", source)
    return os.path.normpath(os.path.join(request.workspace, prefix))


def _with_preset(
    request: Configured[Any], name: str, source: str, environ: dict[str, str], architectures: Sequence[str]
) -> Configured[Any]:
    """Return the request with what a CMake preset sets: before what the user says, after what the framework says.

    `chosen` names what the user said on the command line, `type` and `arch`; `architectures` are the variables by which
    the project is told these, beside that of the rules.
    """
    from .drivers import presets

    rules = request.rules
    preset = presets.read(name, source, required("cmake", environ), environ)
    environ.update(preset.environ)
    build_type = preset.take("CMAKE_BUILD_TYPE")
    if "arch" in request.chosen:
        for variable in (rules.arch_define, *architectures):
            preset.take(variable or "")
    return request.but(
        type=build_type if build_type and "type" not in request.chosen else request.type,
        defines=[*preset.defines, *request.defines],
        # A change of one of them asks for an empty cache, as for the framework's own variables.
        rules=rules.but(env=[*rules.env, *preset.environ.items()]),
    )


def _clean_environment(volume: str) -> dict[str, str]:
    """Return this process's environment without what would change how cmake and ninja talk or where they install."""
    environ = {**environment.outside(os.environ, volume), "GIT_OPTIONAL_LOCKS": "0"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "NINJA_STATUS", "DESTDIR"):
        environ.pop(name, None)
    return environ


def _framework_env(rules: Rules, arch: str | None, values: Mapping[str, str]) -> dict[str, str]:
    found = {name: fill(value, values) for name, value in rules.env}
    if rules.arch_env and arch:
        found[rules.arch_env] = arch
    return found


def _inputs(
    request: Configured[Any],
    kind: type[Driver],
    probe: Probe,
    environ: dict[str, str],
    values: Mapping[str, str],
    *,
    launchers: Sequence[str],
) -> dict[str, Any]:
    """Gather what every driver's key is made from; the compilers that it names are pinned in `environ`."""
    rules = request.rules
    uses_torch = kind.uses_torch or rules.arch_form == "torch"
    uses_python = uses_torch or any("{python}" in value for _, value in [*rules.defines, *rules.env])
    return {
        "framework": request.framework,
        "variant": request.variant,
        "driver": rules.driver,
        "type": request.type,
        "arch": request.arch,
        "source": values["source"],
        "threads": rules.nvcc_threads,
        "launcher": launchers,
        "c": _compiler(probe, environ, "CC", ["cc", "gcc", "clang"]),
        "cxx": _compiler(probe, environ, "CXX", ["c++", "g++", "clang++"]),
        "cuda": _compiler(probe, environ, "CUDACXX", ["nvcc"], [CUDA_HOME]),
        "python": probe.python(values["python"], torch=uses_torch) if values["python"] and uses_python else None,
        "packages": packages_digest(TOOLCHAIN),
        "defines": cmake_call.keyed(request.defines),
        **({"preset": request.preset} if request.preset else {}),
    }


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
