"""What a build was asked to do, and what it did."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from devbox.builds.caches.choose import CompilerCache
from devbox.builds.report.timeline import Timeline, timeline

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.agent.protocol import Built
    from devbox.frameworks.model import Framework, Pairs

Mode = Literal["incremental", "clean", "reconfigure"]
_CUT_OFF = frozenset(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One `devbox build`.

    `arch` is in the framework's own notation (`90-real` or `9.0`), None for a build without architectures. `args` go to
    the build program as they are. `jobs` of None means as many as CPUs and memory allow. `heal` of False sets no file
    times, `trace` asks for a timeline with nvcc's phases.
    `seed` says what a new tree starts from: `auto`, `none`, or the absolute path of another workspace. `watch` asks
    for the files whose times were set. `client` is what a second build says that it waits for. `preset` is one of
    CMake's, and `chosen` which of "type" and "arch" come before it, since the user named them. `options` are those of
    the framework's own build script, with None for one that takes no value.
    """

    framework: Framework
    build_type: str | None = None
    arch: str | None = None
    jobs: int | None = None
    targets: tuple[str, ...] = ()
    defines: Pairs = ()
    options: tuple[tuple[str, str | None], ...] = ()
    preset: str | None = None
    chosen: frozenset[str] = frozenset()
    args: tuple[str, ...] = ()
    mode: Mode = "incremental"
    heal: bool = True
    cache: CompilerCache = field(default_factory=CompilerCache)
    trace: bool = False
    seed: str = "auto"
    watch: bool = False
    client: str = "devbox build"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong first: in which step, making what, by which command line, and what that wrote."""

    step: Literal["configure", "build", "install", "pip"]
    outputs: str
    command: str
    output: str


@dataclass(frozen=True, slots=True)
class PythonReport:
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


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. Times are in seconds.

    `code` is the exit code of the program that ended the build: 0 when all went well, 128 + N when signal N did.
    `cached` and `missed` count the answers of the compiler cache `cache`, None without one; `languages` has (language,
    hits, misses). `timeline` is there where a trace was asked for and something ran. `lowered` counts the files
    that look newer than what was made from them and are as built, `raised` those that look older and are not.
    `configured` says why cmake ran (empty if it did not), `seeded` what a new tree started from, and `reasons`
    everything that was decided, for `--explain`. `log` is on the host. `python` is what was done after it for the
    Python package.
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
    reasons: tuple[str, ...] = field(default=())
    python: tuple[PythonReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is built."""
        return self.code == 0

    @property
    def interrupted(self) -> bool:
        """Whether the build was cut off from outside."""
        return self.code in _CUT_OFF


def report(result: Built, log: Path | None) -> BuildReport:
    """Make the report from the agent's result."""
    return BuildReport(
        code=result.code,
        key=result.key,
        tree=result.tree,
        log=log,
        seconds=result.seconds,
        configure_seconds=result.configure_seconds,
        configured=tuple(result.configured),
        commands=result.commands,
        compiled=result.compiled,
        cached=result.cached,
        missed=result.missed,
        cache=result.cache.kind,
        languages=tuple((name, pair[0], pair[1]) for name, pair in sorted(result.cache.languages.items())),
        timeline=timeline(result.timeline) if result.timeline else None,
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
