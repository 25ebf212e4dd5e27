"""The driver of TensorRT-LLM, whose C++ part is configured by its own scripts/build_wheel.py.

The script knows what a checkout of its version needs: conan's packages, generated kernels, the list of libraries. So it
configures, with the build tree as its `--build_dir`. From then on ninja builds straight in that tree, without the
script's virtual environment, requirements and conan, which it goes through each time. The script runs once more after
the first build, to link the libraries into the package in the checkout; the links lead into the tree and stay true.

Checkouts differ in the options that their script has, so its parser is read, and it is told nothing that it does not
know. One that has no `--generator` (up to 0.16) takes CMake's by the environment. One that has no `--configure-only`
configures and builds in one run. Its failure is then ninja's to show, if ninja had begun: the configuring went well.
One that has no `--configure_cmake` (0.5) configures an empty folder alone.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar

from ..events import AgentError
from ..files import read_json, write_json
from ..ninja.log import identity
from ..parsers import options
from ..tools import which
from . import cmake_call
from .base import Call, Outcome
from .cmake import CmakeDriver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..context import Context
    from ..jobs import Jobs
    from ..protocol import Configured
    from ..record import Attempt
    from .base import Plan

SCRIPT = "scripts/build_wheel.py"
PACKAGE = "tensorrt_llm"
TARGET = "build_wheel_targets"
# The script puts every define into a line for the shell, between double quotes, and splits it at semicolons.
NOT_PASSED = re.compile(r'[;"$`\\\n]')
# What `--option` may not say, since devbox says it: how it is said here.
OWN = {
    "build-type": "devbox build --type TYPE",
    "generator": "build.generator in the framework's file",
    "cuda-architectures": "devbox build --arch LIST",
    "job-count": "devbox build --jobs N",
    "clean": "devbox build --clean",
    "clean-wheel": "devbox build --wheel",
    "configure-cmake": "devbox build --reconfigure",
    "configure-only": "devbox build --reconfigure",
    "extra-cmake-vars": "devbox build -D NAME=VALUE",
    "extra-make-targets": "devbox build --target NAME",
    "use-ccache": "devbox build --compiler-cache ccache",
    "cpp-only": "devbox build --cpp-only",
    "benchmarks": "devbox build --benchmarks",
    "install": "devbox build --install",
    "python-only": "devbox build --install",
    "skip-building-wheel": "devbox build   # without --wheel there is none",
    "dist-dir": "devbox build --wheel",
    "linking-install-binary": "devbox build   # links already",
    "build-dir": "devbox build   # the tree lies in the build volume",
    "build-root": "devbox build   # it lies in the build volume",
}
# devbox's own names for options that the script has under one of several names; where it has both, they are two things.
ALIASES = {"benchmarks": ("benchmarks", "micro-benchmarks"), "cpp-only": ("cpp-only",)}


def plain(name: str) -> str:
    """Return an option's name as it is compared: versions of the script differ in `-` and `_`."""
    return name.lstrip("-").replace("_", "-")


class Script:
    """The checkout's build script, and which options it has."""

    def __init__(self, workspace: str) -> None:
        """Take the checkout. Raises AgentError if it has no such script."""
        self.path = os.path.join(workspace, SCRIPT)
        try:
            with open(self.path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            raise AgentError(
                f"{workspace} has no {SCRIPT}", hint="devbox up --framework NAME   # if the framework is another one"
            ) from None
        self.declared = options(text)
        self.options = {plain(name): name for option in self.declared for name in option.names}
        self.has_target = TARGET in text

    def has(self, *names: str) -> Iterator[str]:
        """Yield those of the options that this version has, as they are written."""
        for name in names:
            if name in self.options:
                yield self.options[name]

    def said(self, name: str, *values: str) -> list[str]:
        """Return an option with each of `values`, as this version writes it; nothing where it has none."""
        return [f"{option}={value}" for option in self.has(name) for value in values]

    def chosen(self, wanted: Sequence[Sequence[str | None]]) -> list[str]:
        """Return the user's options (name, value or None) as the script takes them.

        Raises AgentError for one that this version of the script does not have, or that devbox gives itself.
        """
        said = []
        for name, value in wanted:
            known = plain(str(name))
            if known in OWN and known not in ALIASES:
                raise AgentError(f"--option {name} is devbox's own to say", hint=OWN[known])
            found = next(self.has(*ALIASES.get(known, (known,))), None)
            if found is None:
                choices = ", ".join(sorted(set(self.options) - set(OWN)))
                raise AgentError(f"{SCRIPT} of this checkout has no option --{known}", hint=f"--option {choices}")
            said.append(found if value is None else f"{found}={value}")
        return said


class BuildWheelDriver(CmakeDriver):
    """Builds a tree that scripts/build_wheel.py configured."""

    speaker: ClassVar[str] = "build_wheel"
    uses_torch: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        """Read the checkout's script."""
        super().__init__(context)
        self._script = Script(context.decided.workspace)

    @classmethod
    def check(cls, request: Configured[Any], source: str) -> None:
        """Raise AgentError where there is no such script, or where it cannot be told what was asked."""
        super().check(request.but(options=()), source)
        Script(request.workspace).chosen(request.options)
        for left, right in request.defines:
            if NOT_PASSED.search(right):
                raise AgentError(
                    f"-D {left}={right} cannot be passed through {SCRIPT}: it splits values at ';' and quotes nothing",
                    hint="set it in the checkout's CMake files, or by an environment variable that they read",
                )

    def plan(self, last: Attempt | None, changed: Sequence[str]) -> Plan:
        """Compare the script's options with what the tree was configured from."""
        plan = super().plan(last, changed)
        python = cmake_call.cached(self._configuration.tree, "Python3_EXECUTABLE") if not plan.reasons else ""
        if python and not os.path.exists(python):
            # The script's own environment, which another container or another volume does not have.
            return plan._replace(reasons=[f"{python} is gone"])
        return plan

    @property
    def compiles_to_configure(self) -> bool:
        """Whether the script can do no less than build."""
        return not [*self._script.has("configure-only")]

    def configure(self, plan: Plan) -> Outcome:
        """Run the script up to the configured tree, or as a whole where it can do no less."""
        known = self._configuration
        self._begin_configuring(plan)
        before = identity(known.tree)
        outcome = self._call(self.configuring(plan), "configure")
        if not self.compiles_to_configure:
            return outcome
        if outcome.code == 0:
            self._note_links()
        elif known.ninja and identity(known.tree) != before:
            self._events.info("the tree is configured; what failed is built again, to show it")
            return Outcome(0)
        return outcome

    def configuring(self, plan: Plan) -> Call:
        """Return the call of the script that configures, and builds where it can do no less."""
        script, arguments = self._script, plan.arguments
        if self._request.mode == "clean":
            # `--clean` empties the build folder too, with what was downloaded into it.
            arguments = [*arguments, *([*script.has("generate-fmha")] or script.has("clean"))]
        elif not [*script.has("configure-only", "configure-cmake")]:
            arguments = [*arguments, *script.has("clean")]
        if not self.compiles_to_configure:
            return self._script_call([*arguments, *script.has("configure-only")])
        return self._script_call([*arguments, *script.has("configure-cmake"), *self._linking()])

    def notes(self) -> Sequence[str]:
        """Return which of the options that decide how it is driven this version of the script takes, and where."""
        asked = ("generator", "configure-only", "configure-cmake", "build-root", "linking-install-binary")
        lines = {plain(one.names[0]): one.line for one in self._script.declared}
        words = (f"--{one} on line {lines[one]}" if one in lines else f"no --{one}" for one in asked)
        return [f"{SCRIPT} has {', '.join(words)}"]

    def build(self) -> tuple[Outcome, Jobs]:
        """Build with ninja, and have the script link the libraries where the links in the checkout are not these."""
        outcome, jobs = super().build()
        if outcome.code == 0 and not self._request.targets and self._links and not self._are_linked():
            self._events.phase(f"linking the libraries into {PACKAGE}")
            arguments = self._arguments(self._defines(str(jobs.number)))
            outcome = self._call(self._script_call([*arguments, *self._linking()]), "install")
            if outcome.code == 0:
                self._note_links()
        return outcome, jobs

    # What the script is told.

    def _arguments(self, given: Mapping[str, str]) -> list[str]:
        known, script = self._configuration, self._script
        arch = known.values["arch"]
        return [
            *script.said("build-type", known.values["type"]),
            *(script.said("generator", known.rules.generator) if known.ninja else []),
            *(script.said("cuda-architectures", arch) if arch else []),
            *script.said("build-dir", known.tree),
            # Its virtual environment and what setuptools writes lie here too, and not in the checkout.
            *script.said("build-root", os.path.join(known.state, "build_wheel")),
            *script.has("yes"),
            *self._without_requirements(script),
            *script.chosen(self._request.options),
            *script.said("extra-cmake-vars", *(f"{left}={right}" for left, right in given.items())),
        ]

    def _defines(self, jobs: str) -> dict[str, str]:
        """Return the defines that the script has no option for."""
        said = {"CMAKE_BUILD_TYPE", self._configuration.rules.arch_define}
        return {left: right for left, right in super()._defines(jobs).items() if cmake_call.name_of(left) not in said}

    def _without_requirements(self, script: Script) -> list[str]:
        """Return what leaves the image's Python as it is, where the image has what the script would install."""
        return [*script.has("no-venv", "skip-requirements")] if which("conan", self._configuration.environ) else []

    def _linking(self) -> list[str]:
        """Return what makes the script link the libraries into the checkout and pack no wheel."""
        return [*self._script.has("skip-building-wheel", "linking-install-binary")] if self._links else []

    @property
    def _links(self) -> bool:
        """Whether the libraries belong into the checkout: C++ alone stays in the tree, and so does all out of tree."""
        said = {plain(str(name)) for name, _ in self._request.options}
        return not said & {"cpp-only", "out-of-tree"}

    def _script_call(self, arguments: Sequence[str]) -> Call:
        known = self._configuration
        jobs = self._script.said("job-count", str(self.jobs.number))
        argv = [known.values["python"] or "python3", self._script.path, *arguments, *jobs]
        generator = {} if [*self._script.has("generator")] else {"CMAKE_GENERATOR": known.rules.generator}
        return Call(argv, known.workspace, generator)

    def _targets(self) -> Sequence[str]:
        asked = super()._targets()
        return asked or ([TARGET] if self._script.has_target else [])

    # The links in the checkout.

    @property
    def _record(self) -> str:
        return os.path.join(self._configuration.state, "linked.json")

    def _note_links(self) -> None:
        if self._links:
            write_json(self._record, [self._look_at_links(), identity(self._configuration.tree)])

    def _are_linked(self) -> bool:
        """Whether the package has this tree's libraries: links to them, or copies since which nothing was built."""
        links, built = read_json(self._record) or ({}, None)
        if links != self._look_at_links():
            return False
        return bool(links) or built == identity(self._configuration.tree)

    def _look_at_links(self) -> dict[str, str]:
        """Return the links of the package that lead into this tree, with where each leads."""
        package = os.path.join(self._configuration.workspace, PACKAGE)
        inside = self._configuration.tree + os.sep
        found = {}
        for folder, folders, names in os.walk(package):
            for path in (os.path.join(folder, name) for name in [*names, *folders]):
                if os.path.islink(path) and os.readlink(path).startswith(inside):
                    found[os.path.relpath(path, package)] = os.readlink(path)
        return found
