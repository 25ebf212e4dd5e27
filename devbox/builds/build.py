"""`devbox build`, the host's part: it asks the agent in the container, shows what that says, and keeps the log."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, Self

from devbox.builds.report.summary import BuildReport, BuildRequest, report
from devbox.builds.talk import ask
from devbox.container.hooks.secrets import hide_passed
from devbox.devcontainer.identity import workspace_hash
from devbox.errors import UsageError
from devbox.frameworks import arch
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from devbox.container.inside.target import Target
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import BuildRules, Pairs
    from devbox.reporter import Reporter

    # Takes `[path, mtime, size, ctime, inode]` of each file whose time was set.
    OnHealed = Callable[[list[list[Any]]], object]
    # Takes the name and the fields of an event.
    OnEvent = Callable[[str, dict[str, Any]], object]

KEPT_LOGS = 20
# What `--json-events` passes on; the rest is between the agent and this process.
TOLD = frozenset({"tree", "phase", "progress", "output", "info", "warn"})


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
    have, BuildError where a build cannot even begin. `on_healed` is told of the files whose times were set, `on_event`
    of everything that goes on, by the names in docs/caches.md.
    """

    def on_seed(event: dict[str, Any]) -> None:
        from devbox.builds.seed import seed

        seed(event, request.seed, target, engine, reporter)

    hide_passed(target, engine.environ, reporter)
    reporter.mask.hide(request.cache.secrets())
    events = ask(request_for(request, target), target, engine, answers={"seed": on_seed})
    events = _looked_at(events, request, target, reporter)
    result, log = relay(events, target, reporter, on_healed=on_healed, on_event=on_event)
    _warn_of_storage(result, reporter)
    return report(result, log)


def _looked_at(
    events: Iterator[dict[str, Any]], request: BuildRequest, target: Target, reporter: Reporter
) -> Iterator[dict[str, Any]]:
    """Pass events on; before a tree is configured, say what the checkout lacks for it. Nothing to do costs nothing."""
    for event in events:
        if event.get("step") == "configure":
            from devbox.container.checkout import preflight

            preflight.warn(target.workspace, request.framework, reporter)
        yield event


def relay(
    events: Iterator[dict[str, Any]],
    target: Target,
    reporter: Reporter,
    *,
    on_healed: OnHealed | None = None,
    on_event: OnEvent | None = None,
) -> tuple[dict[str, Any], Path | None]:
    """Show what the agent says and keep it in a log on the host; return its last event, and where the log is."""
    result: dict[str, Any] | None = None
    with _Log(target) as log, _Phases(reporter) as phases:
        for event in map(reporter.mask.data, events):
            kind = event["event"]
            log.take(event)
            if on_event is not None and kind in TOLD:
                on_event(kind, {name: value for name, value in event.items() if name != "event"})
            if kind == "phase":
                phases.begin(event["title"])
            elif kind == "output":
                reporter.output(event["line"], prefix=event["source"])
            elif kind == "progress":
                reporter.progress(event["done"], event["total"], eta=event["eta"], running=event["running"])
            elif kind == "info":
                reporter.info(event["text"])
            elif kind == "warn":
                reporter.warn(event["text"])
            elif kind == "healed" and on_healed is not None:
                on_healed(event["files"])
            elif kind == "result":
                result = event
                if event["code"] != 0:
                    phases.fail()
    assert result is not None  # noqa: S101  # `ask` ends with it or raises
    return result, log.path


def _warn_of_storage(result: dict[str, Any], reporter: Reporter) -> None:
    failures = result.get("cache", {}).get("errors")
    if failures:
        reporter.warn(f"the compiler cache's shared storage failed {failures} times (see: devbox cache doctor)")


def _switches(rules: BuildRules, architectures: str | None) -> Pairs:
    """Return what stands for the architectures where the build system takes no list of them."""
    return arch.switches(arch.parse(architectures), rules.arch_switches) if architectures else ()


def request_for(request: BuildRequest, target: Target) -> dict[str, Any]:
    """Return what the agent is asked, as it travels. Raises UsageError where the request makes no sense."""
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
        "command": "build",
        "client": request.client,
        "framework": request.framework.name,
        "variant": request.framework.variant,
        "rules": {**asdict(rules), "defines": [*rules.defines, *_switches(rules, request.arch)]},
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
        "trace": request.trace,
        "seed": request.seed != "none",
        "watch": request.watch,
        "owner": str(target.workspace),
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

    def take(self, event: dict[str, Any]) -> None:
        """Write what belongs into a log."""
        if event["event"] == "tree":
            self._begin(event["key"])
        if self._stream is not None:
            said = event.get("line") or event.get("title") or event.get("text")
            for text in event.get("finished", ()) if said is None else (said,):
                self._stream.write(f"{text}\n")

    def _begin(self, key: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(self._folder.glob("*.log"))[: -(KEPT_LOGS - 1)]:
            old.unlink(missing_ok=True)
        self.path = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{key}.log"
        self._stream = self.path.open("w", encoding="utf-8", errors="surrogateescape")

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
