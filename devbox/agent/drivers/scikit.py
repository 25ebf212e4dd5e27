"""The driver of trees whose CMake is configured by scikit-build-core, such as SGLang's kernels.

scikit-build-core configures: it passes CMake what a Python package needs to know. Its PEP 517 hook is called in the
image's own Python with the build tree as its fixed `build-dir`, told to build no more than CMake's target `help`. Then
ninja compiles straight in that tree, as it does for the driver "cmake", and `cmake --install` puts the modules into the
package's folder in the checkout, from which Python imports them.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar

from ..events import AgentError
from . import cmake_call
from .base import Call
from .cmake import CmakeDriver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocol import Configured
    from .base import Outcome, Plan

BACKEND = "scikit_build_core.build"
# A component that no tree has: the wheel of this configuring is empty, and thrown away.
NOTHING = "devbox-nothing"
HOOK = """
import json, sys
try:
    from scikit_build_core.build import build_editable
except ImportError as error:
    sys.exit("%s: pip install 'scikit-build-core>=0.10'" % error)
build_editable(sys.argv[1], json.loads(sys.argv[2]))
"""


class ScikitDriver(CmakeDriver):
    """Builds a tree that scikit-build-core configured."""

    marker: ClassVar[str] = "pyproject.toml"
    speaker: ClassVar[str] = "scikit-build"
    uses_torch: ClassVar[bool] = True

    @classmethod
    def check(cls, request: Configured[Any], source: str) -> None:
        """Raise AgentError as every driver does, and where another build backend is named."""
        super().check(request, source)
        with open(os.path.join(source, cls.marker), encoding="utf-8", errors="replace") as stream:
            if BACKEND not in stream.read():
                raise AgentError(
                    f"{source}/{cls.marker} does not name scikit-build-core as its build backend",
                    hint="devbox frameworks show NAME   # which driver builds it",
                )

    def configure(self, plan: Plan) -> Outcome:
        """Have scikit-build-core configure the tree; its wheel is thrown away."""
        import shutil

        self._begin_configuring(plan)
        os.makedirs(self._wheel, exist_ok=True)
        try:
            return self._call(self.configuring(plan), "configure")
        finally:
            shutil.rmtree(self._wheel, ignore_errors=True)

    def configuring(self, plan: Plan) -> Call:  # noqa: ARG002
        """Return the call of scikit-build-core."""
        known = self._configuration
        settings = {
            **dict(one.split("=", 1) for one in self._arguments(self._defines(str(self.jobs.number)))),
            "build.targets": ["help"],
            "install.components": [NOTHING],
        }
        argv = [known.values["python"], "-c", HOOK, self._wheel, json.dumps(settings)]
        return Call(argv, known.source, {"CMAKE_GENERATOR": known.rules.generator})

    @property
    def _wheel(self) -> str:
        return os.path.join(self._configuration.state, "stage", f"{self._configuration.key}.wheel")

    def _arguments(self, given: Mapping[str, str]) -> list[str]:
        """Return scikit-build-core's settings as `NAME=VALUE`."""
        known = self._configuration
        more = {name: value for name, value in given.items() if name != "CMAKE_BUILD_TYPE"}
        return [
            f"build-dir={known.tree}",
            f"cmake.build-type={known.values['type']}",
            *(f"cmake.define.{cmake_call.name_of(left)}={right}" for left, right in more.items()),
        ]

    def _more_to_install(self) -> Sequence[str]:
        # scikit-build-core chooses the place when it installs, so the tree's own prefix says nothing.
        return ["--prefix", self._configuration.values["prefix"]]
