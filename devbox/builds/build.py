"""`devbox build`, the host's part: it asks the agent in the container, shows what that says, and keeps the log.

A build with nothing to do pays for each import, so this module has few at its top.
"""

from __future__ import annotations

import contextlib
import time
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from devbox.agent import protocol
from devbox.builds.talk import ask
from devbox.container import memory
from devbox.devcontainer.identity import workspace_hash
from devbox.errors import UsageError
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from devbox.agent.protocol import Built, Event, Request, WantSeed
    from devbox.builds.diagnostics import Collector, Diagnostic
    from devbox.builds.report.summary import BuildReport
    from devbox.builds.request import BuildRequest
    from devbox.builds.running import Record
    from devbox.builds.talk import Answers
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import BuildRules, Framework, Pairs
    from devbox.reporter import Reporter

    # Takes `[path, mtime, size, ctime, inode]` of each file whose time was set.
    OnHealed = Callable[[Sequence[Sequence[Any]]], object]
    # Takes the name and the fields of an event.
    OnEvent = Callable[[str, dict[str, Any]], object]

KEPT_LOGS = 20
Done = TypeVar("Done", protocol.Built, protocol.PythonDone)
# What `--json-events` passes on; the rest is between the agent and this process.
TOLD = (protocol.Tree, protocol.Phase, protocol.Progress, protocol.Output, protocol.Info, protocol.Warn)


def build(
    request: BuildRequest,
    target: Target,
    engine: Engine,
    reporter: Reporter,
    *,
    on_healed: OnHealed | None = None,
    on_event: OnEvent | None = None,
) -> BuildReport:
    """Build in the dev container, and report what was done; a failed or interrupted build is a report too.

    The whole log is kept on the host, below `state_dir()/logs/build`. Ctrl-C ends the compilers inside, closes the
    record, and comes back as a report with code 130. Raises UsageError for a build type that the framework does not
    have, and for a workspace to start from that has no trees; BuildError where a build cannot even begin. `on_healed`
    is told of the files whose times were set, `on_event` of everything that goes on, by the names in docs/caches.md.
    """
    reporter.mask.hide(request.cache.secrets())
    asked = order(request, target)
    if request.seed not in {"auto", "none"}:
        from devbox.builds.seed import require

        require(request.seed, engine)
    done, log, complaints = carry_out(
        asked,
        target,
        engine,
        reporter,
        seeded=request.seed,
        framework=lambda: request.framework,
        on_healed=on_healed,
        on_event=on_event,
    )
    if done.cache.errors:
        where = f" {request.cache.storage.url}" if request.cache.storage is not None else ""
        often = f"{done.cache.errors} time{'s' * (done.cache.errors > 1)}"
        reporter.warn(f"the compiler cache's shared storage{where} failed {often}: devbox cache doctor   # says why")
    from devbox.builds.report.summary import report

    return report(done, log, complaints)


def order(request: BuildRequest, target: Target) -> protocol.Build:
    """Return what the agent is asked for. Raises UsageError where it makes no sense."""
    return protocol.Build(
        **configured(request, target),
        trace=request.trace,
        seed=request.seed != "none",
        watch=request.watch,
        owner=str(target.workspace),
    )


def carry_out(
    asked: protocol.Build,
    target: Target,
    engine: Engine,
    reporter: Reporter,
    *,
    seeded: str,
    framework: Callable[[], Framework],
    on_healed: OnHealed | None = None,
    on_event: OnEvent | None = None,
) -> tuple[Built, Path | None, tuple[Diagnostic, ...]]:
    """Have the agent build what is asked; return its result, where the log is, and what compilers complained of.

    `seeded` is as in `BuildRequest`, and `framework` says which one it is, where that matters.
    """

    def on_seed(wanted: WantSeed) -> None:
        from devbox.builds.seed import seed

        seed(wanted, seeded, target, engine, reporter)

    complaints = _Complaints(target.folder, on_event)

    def note(event: Event) -> None:
        complaints.take(event)
        if isinstance(event, protocol.Phase) and event.step == "configure":
            # Before a tree is configured, say what the checkout lacks for it. Nothing to do costs nothing.
            from devbox.builds.helper import remember_image
            from devbox.container.checkout import preflight

            preflight.warn(target.workspace, framework(), reporter)
            remember_image(target, engine)
        elif isinstance(event, protocol.Healed) and on_healed is not None:
            on_healed(event.files)

    memory.forget_looks()
    done, log = relay(
        asked, target, engine, reporter, on_event=on_event, note=note, answers={protocol.WantSeed: on_seed}
    )
    return done, log, complaints.found()


class _Complaints:
    """What compilers complain of. A build that has nothing to say does not import what would understand it."""

    def __init__(self, folder: str, on_event: OnEvent | None) -> None:
        """Take the checkout's folder inside, and who is told of each complaint as it comes."""
        self._folder = folder
        self._on_event = on_event
        self._tree = ""
        self._collector: Collector | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, protocol.Tree):
            self._tree = event.path
        elif isinstance(event, protocol.Output):
            if self._collector is None:
                from devbox.builds.diagnostics import Collector

                self._collector = Collector(self._folder, self._tree, self._tell)
            self._collector.take(event.line, event.source, event.step)

    def found(self) -> tuple[Diagnostic, ...]:
        return self._collector.found() if self._collector is not None else ()

    def _tell(self, one: Diagnostic) -> None:
        if self._on_event is not None:
            self._on_event("diagnostic", one._asdict())


def relay(
    request: Request[Done],
    target: Target,
    engine: Engine,
    reporter: Reporter,
    *,
    on_event: OnEvent | None = None,
    note: Callable[[Event], object] | None = None,
    answers: Answers | None = None,
) -> tuple[Done, Path | None]:
    """Ask the agent, show what it says and keep it in a log on the host; return the result, and where the log is.

    `note` is told each event before that, and `on_event` those that are of use outside.
    """
    if target.copied:
        # Of what a build with nothing to do need not import.
        from devbox.container.sync.send import bring

        bring(target, engine, reporter)
    if target.host_env:
        # A build with nothing to do pays for each import, and mostly nothing is passed.
        from devbox.container.hooks.secrets import hide_passed

        hide_passed(target, engine.environ, reporter)
    with _Log(target) as log, _Told(str(target.workspace)) as told, _Phases(reporter) as phases:

        def take(event: Event) -> None:
            if note is not None:
                note(event)
            log.take(event)
            told.take(event)
            if on_event is not None and isinstance(event, TOLD):
                on_event(event.KIND, event.values())
            if isinstance(event, protocol.Phase):
                phases.begin(event.title)
            elif isinstance(event, protocol.Output):
                reporter.output(event.line, prefix=event.source)
            elif isinstance(event, protocol.Progress):
                reporter.progress(event.done, event.total, eta=event.eta, running=event.running, least=event.least)
            elif isinstance(event, protocol.Info):
                reporter.info(event.text)
            elif isinstance(event, protocol.Warn):
                reporter.warn(event.text)

        result = ask(request, target, engine, on_event=take, answers=answers, mask=reporter.mask)
        if result.code != 0:
            phases.fail()
    return result, log.path


def _switches(rules: BuildRules, architectures: str | None) -> Pairs:
    """Return what stands for the architectures where the build system takes no list of them."""
    from devbox.frameworks import arch

    return arch.switches(arch.parse(architectures), rules.arch_switches) if architectures else ()


def configured(request: BuildRequest, target: Target) -> dict[str, Any]:
    """Return the values of a `protocol.Configured`. Raises UsageError where the request makes no sense."""
    from dataclasses import asdict

    rules = request.framework.build
    build_type = request.build_type or rules.build_type
    known = {one.lower(): one for one in rules.build_types}
    if build_type.lower() not in known:
        raise UsageError(
            f"{request.framework.title} has no build type '{build_type}'",
            hint=f"--type {' | '.join(rules.build_types)}",
        )
    for name, _ in request.defines:
        if name.partition(":")[0] == "CMAKE_BUILD_TYPE":
            raise UsageError("the build type is not chosen with -D", hint=f"--type {' | '.join(rules.build_types)}")
    return {
        "client": request.client,
        "framework": request.framework.name,
        "variant": request.framework.variant,
        "rules": protocol.Rules.of({**asdict(rules), "defines": [*rules.defines, *_switches(rules, request.arch)]}),
        "type": known[build_type.lower()],
        "arch": request.arch,
        "jobs": request.jobs,
        "targets": request.targets,
        "defines": request.defines,
        "options": request.options,
        "preset": request.preset,
        "chosen": sorted(request.chosen),
        "args": request.args,
        "mode": request.mode,
        "heal": request.heal,
        "cache": request.cache.asked(),
        "workspace": target.folder,
        "container": target.container,
    }


class _Phases:
    """Turns the agent's phases, which say only when they begin, into the reporter's steps."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def begin(self, title: str) -> None:
        """End the phase before, and begin this one."""
        self._open.close()
        self._open.enter_context(self._reporter.step(title))

    def fail(self) -> None:
        """End the phase as one that failed: what ended it is in the result, and no exception here."""
        with contextlib.suppress(_PhaseFailedError), self._open:
            raise _PhaseFailedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)


class _PhaseFailedError(Exception):
    """Passes through a reporter's step, so that it shows the failure."""


class _Log:
    """The log of one build on the host; the file is made when the tree is known."""

    def __init__(self, target: Target) -> None:
        self._folder = state_dir() / "logs" / "build" / workspace_hash(target.workspace)
        self._stream: IO[str] | None = None
        self.path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def take(self, event: Event) -> None:
        """Write what belongs into a log."""
        if isinstance(event, protocol.Tree):
            self._begin(event.key)
        if self._stream is not None:
            for text in _written(event):
                self._stream.write(f"{text}\n")

    def _begin(self, key: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(self._folder.glob("*.log"))[: -(KEPT_LOGS - 1)]:
            old.unlink(missing_ok=True)
        self.path = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{key}.log"
        self._stream = self.path.open("w", encoding="utf-8", errors="surrogateescape")

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError as error:
                # A full disk names no file.
                error.filename = str(self.path)
                raise


class _Told:
    """What other terminals are told of a build, from its first step on: one that has nothing to do tells nothing."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._key = ""
        self._phase: protocol.Phase | None = None
        self._record: Record | None = None

    def __enter__(self) -> Self:
        return self

    def take(self, event: Event) -> None:
        """Pass on how far the build is."""
        if isinstance(event, protocol.Tree):
            self._key = event.key
        elif isinstance(event, (protocol.Phase, protocol.Progress)):
            if self._record is None and (isinstance(event, protocol.Progress) or event.step == "configure"):
                from devbox.builds.running import Record

                self._record = Record(self._workspace, self._key)
                if self._phase is not None:
                    self._record.take(self._phase)
            if self._record is not None:
                self._record.take(event)
            elif isinstance(event, protocol.Phase):
                self._phase = event

    def __exit__(self, *_: object) -> None:
        if self._record is not None:
            self._record.close()


def _written(event: Event) -> Sequence[str]:
    """Return the lines that a log has of an event."""
    if isinstance(event, protocol.Phase):
        return [event.title]
    if isinstance(event, protocol.Output):
        return [event.line]
    if isinstance(event, (protocol.Info, protocol.Warn)):
        return [event.text]
    return event.finished if isinstance(event, protocol.Progress) else ()
