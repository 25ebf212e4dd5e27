"""`devbox build --install`, `--python` and `--wheel`, the host's part: the Python package of a checkout."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from devbox.agent import protocol
from devbox.builds.build import configured, relay
from devbox.builds.report.summary import Failure, PythonReport
from devbox.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.builds.build import OnEvent
    from devbox.builds.precompiled import Precompiled
    from devbox.builds.request import BuildRequest
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import PythonRules
    from devbox.reporter import Reporter

Action = Literal["install", "wheel"]


def python(
    action: Action,
    request: BuildRequest,
    target: Target,
    engine: Engine,
    reporter: Reporter,
    *,
    precompiled: Precompiled | None = None,
    force: bool = False,
    deps: bool = True,
    on_event: OnEvent | None = None,
) -> PythonReport:
    """Install the Python package editable into the environment on the build volume, or make a wheel of it in `dist/`.

    The C++ part is what the last build made of it, or the `precompiled` one, which is refused where the checkout's C++
    sources are others, unless `force`. `deps` of False leaves out what the package needs. What pip fails at is a report
    too. Raises UsageError for a framework without a Python package, BuildError where it cannot even begin.
    """
    rules = rules_of(request)
    reporter.mask.hide(request.cache.secrets())
    asked = protocol.Python(
        **configured(request, target),
        action=action,
        package=protocol.PythonRules.of(asdict(rules)),
        precompiled=None if precompiled is None else protocol.Precompiled.of(asdict(precompiled)),
        force=force,
        deps=deps,
    )
    return _report(*relay(asked, target, engine, reporter, on_event=on_event))


def rules_of(request: BuildRequest) -> PythonRules:
    """Return the framework's rules for Python. Raises UsageError where it has no Python package."""
    framework = request.framework
    if framework.python is None:
        raise UsageError(f"{framework.title} has no Python package", hint="devbox build   # builds its C++ part")
    return framework.python


def _report(result: protocol.PythonDone, log: Path | None) -> PythonReport:
    return PythonReport(
        code=result.code,
        did=result.did,
        seconds=result.seconds,
        log=log,
        package=result.package,
        environment=result.environment,
        made=result.made,
        wheel=result.wheel,
        size=result.bytes,
        added=result.added,
        failure=Failure(**result.failure) if result.failure else None,
    )
