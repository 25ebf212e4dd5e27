"""What a build did.

Named tuples, because a build with nothing to do makes one, and dataclasses take longer to import than all of that.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.agent.protocol import Built
    from devbox.builds.diagnostics import Diagnostic
    from devbox.builds.report.timeline import Timeline

_CUT_OFF = frozenset(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


class Failure(NamedTuple):
    """What went wrong first: in which step, making what, by which command line, and what that wrote."""

    step: Literal["configure", "build", "install", "pip"]
    outputs: str
    command: str
    output: str


class PythonReport(NamedTuple):
    """What was done for the Python package. Times are in seconds, sizes in bytes.

    `did` is "installed", "nothing" where it was installed from the same files already, or "wheel"; "" after a failure.
    `package` is its name and version, `environment` the folder inside that has it, `made` whether that is new. `wheel`
    is relative to the checkout; `added` counts the files that it got from the build tree.
    """

    code: int
    did: str
    seconds: float
    log: Path | None = None
    package: str = ""
    environment: str = ""
    made: bool = False
    wheel: str | None = None
    size: int = 0
    added: int = 0
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether what was asked for is done."""
        return self.code == 0


class BuildReport(NamedTuple):
    """What a build did. Times are in seconds.

    `code` is the exit code of the program that ended the build: 0 when all went well, 128 + N when signal N did.
    `cached` and `missed` count the answers of the compiler cache `cache`, None without one; `languages` has (language,
    hits, misses). `timeline` is there where a trace was asked for and something ran. `lowered` counts the files
    that look newer than what was made from them and are as built, `raised` those that look older and are not.
    `configured` says why cmake ran (empty if it did not), `seeded` what a new tree started from, and `reasons`
    everything that was decided, for `--explain`. `log` is on the host. `python` is what was done after it for the
    Python package. `diagnostics` are what compilers, linkers and CMake complained of.
    """

    code: int
    key: str
    tree: str
    log: Path | None
    seconds: float
    configure_seconds: float = 0.0
    configured: tuple[str, ...] = ()
    commands: int = 0
    compiled: int = 0
    cached: int | None = None
    missed: int | None = None
    cache: str = "none"
    languages: tuple[tuple[str, int, int], ...] = ()
    timeline: Timeline | None = None
    slowest: tuple[tuple[str, float], ...] = ()
    jobs: int = 0
    jobs_reason: str = ""
    lowered: int = 0
    raised: int = 0
    installed: tuple[str, ...] = ()
    seeded: str | None = None
    failure: Failure | None = None
    reasons: tuple[str, ...] = ()
    python: tuple[PythonReport, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is built."""
        return self.code == 0

    @property
    def interrupted(self) -> bool:
        """Whether the build was cut off from outside."""
        return self.code in _CUT_OFF


def report(result: Built, log: Path | None, diagnostics: tuple[Diagnostic, ...] = ()) -> BuildReport:
    """Make the report from the agent's result, and what was complained of."""
    return BuildReport(
        code=result.code,
        key=result.key,
        tree=result.tree,
        log=log,
        diagnostics=diagnostics,
        seconds=result.seconds,
        configure_seconds=result.configure_seconds,
        configured=tuple(result.configured),
        commands=result.commands,
        compiled=result.compiled,
        cached=result.cached,
        missed=result.missed,
        cache=result.cache.kind,
        languages=tuple((name, pair[0], pair[1]) for name, pair in sorted(result.cache.languages.items())),
        timeline=_timeline(result.timeline) if result.timeline else None,
        slowest=tuple((name, seconds) for name, seconds in result.slowest),
        jobs=result.jobs,
        jobs_reason=result.jobs_reason,
        lowered=result.healed.get("lowered", 0),
        raised=result.healed.get("raised", 0),
        installed=tuple(result.installed),
        seeded=result.seeded,
        failure=Failure(**result.failure) if result.failure else None,
        reasons=tuple(result.reasons),
    )


def _timeline(said: Mapping[str, Any]) -> Timeline:
    from devbox.builds.report.timeline import timeline

    return timeline(said)
