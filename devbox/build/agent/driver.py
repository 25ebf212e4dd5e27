"""The programs of the cmake driver at work: configuring, building with ninja or make, and installing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from . import cmake, ninja
from .jobs import Jobs, measure, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .configuration import Configuration
    from .events import Events
    from .install import Install
    from .process import Supervisor
    from .record import Attempt

TAIL_LINES = 60


class Outcome(NamedTuple):
    """How a program ended: its exit code, and what went wrong, as the report shows it."""

    code: int
    failure: dict[str, str] | None = None


class Plan(NamedTuple):
    """What cmake is to be told, and why it has to run (no reasons: it need not). `unset` are names for `-U`.

    `defines`, `arguments` and `variables` are what the record keeps; the number of jobs is not in them, since it is no
    reason to configure.
    """

    reasons: list[str]
    defines: dict[str, str]
    arguments: list[str]
    variables: dict[str, str]
    unset: list[str]


class Driver:
    """Runs the programs for one configuration."""

    def __init__(
        self, configuration: Configuration, request: Mapping[str, Any], events: Events, supervisor: Supervisor
    ) -> None:
        """Take the configuration, the request's targets, arguments and jobs, where to speak, and what runs programs."""
        self._configuration = configuration
        self._request = request
        self._events = events
        self._supervisor = supervisor
        asked = request["jobs"]
        self.jobs = Jobs(asked, "--jobs") if asked else measure(configuration.rules["memory_per_job"])

    def plan(self, last: Attempt | None) -> Plan:
        """Compare what cmake would be told with what the tree was configured from. A stale cache is removed."""
        known = self._configuration
        given = self._defines("{jobs}")
        arguments = self._arguments(given)
        variables = cmake.environment(known.environ, [name for name, _ in known.rules["env"]])
        fresh = cmake.why_fresh(last, variables, self._request["mode"])
        unset = [] if fresh else cmake.dropped(last, given)
        if fresh:
            cmake.forget(known.tree)
        build_file = "build.ninja" if known.ninja else "Makefile"
        reasons = fresh or cmake.why_configure(last, known.tree, arguments, unset, build_file)
        return Plan(reasons, given, arguments, variables, unset)

    def configure(self, plan: Plan) -> Outcome:
        """Run cmake."""
        self._events.send("phase", title=f"configuring {self._configuration.key} ({plan.reasons[0]})")
        given = self._defines(str(self.jobs.number))
        argv = ["cmake", *self._arguments(given), *(f"-U{name}" for name in plan.unset)]
        return self._run(argv, "configure")

    def build(self) -> tuple[Outcome, Jobs]:
        """Run the build program, with half the jobs again as long as compilers are killed for memory."""
        known = self._configuration
        jobs = self.jobs
        self._events.send("phase", title=f"building {known.key} with {jobs.number} jobs ({jobs.reason})")
        while True:
            outcome = self._ninja(known.ninja, jobs.number) if known.ninja else self._make(jobs.number)
            if outcome.failure is None or jobs.number == 1 or not out_of_memory(outcome.failure["output"]):
                return outcome, jobs
            jobs = Jobs(jobs.number // 2, "a compiler was killed for memory")
            self._events.warn(f"{jobs.reason}: going on with {jobs.number} job{'s' if jobs.number > 1 else ''}")

    def install(self, installing: Install) -> Outcome:
        """Run cmake's installation into the stage."""
        self._events.send("phase", title=f"installing into {self._configuration.values['prefix']}")
        for argv in installing.commands(self._request["targets"]):
            outcome = self._run(argv, "install", DESTDIR=installing.stage, CMAKE_INSTALL_ALWAYS="1")
            if outcome.code:
                return outcome
        return Outcome(0)

    def _defines(self, jobs: str) -> dict[str, str]:
        known = self._configuration
        return cmake.defines(known.rules, {**known.values, "jobs": jobs}, self._request["defines"])

    def _arguments(self, given: Mapping[str, str]) -> list[str]:
        known = self._configuration
        return cmake.arguments(known.source, known.tree, known.rules["generator"], given)

    def _ninja(self, program: str, count: int) -> Outcome:
        began = time.monotonic()

        def on_progress(now: ninja.Progress) -> None:
            if now.eta is None and now.done:
                now = now._replace(eta=(time.monotonic() - began) / now.done * (now.total - now.done))
            self._events.send("progress", **now._asdict())

        status = ninja.STATUS_WITH_ETA if self._configuration.start_counts else ninja.STATUS
        talk = ninja.Conversation(on_progress, lambda line: self._events.output(line, "ninja"))
        code = self._supervisor.run(
            [program, "-j", str(count), *self._request["args"], *self._request["targets"]],
            cwd=self._configuration.tree,
            environ={**self._configuration.environ, "NINJA_STATUS": status, "TERM": "xterm"},
            on_text=talk.feed,
            terminal=True,
        )
        talk.end()
        return Outcome(code, {"step": "build", **talk.failure._asdict()} if talk.failure and code else None)

    def _make(self, count: int) -> Outcome:
        targets = ["--target", *self._request["targets"]] if self._request["targets"] else []
        argv = ["cmake", "--build", self._configuration.tree, "--parallel", str(count), *targets]
        return self._run([*argv, "--", *self._request["args"]], "build")

    def _run(self, argv: Sequence[str], step: str, **environ: str) -> Outcome:
        """Run a program whose output is only lines; if it fails, the last of them are what is shown."""
        tail: list[str] = []

        def on_line(line: str) -> None:
            tail.append(line)
            del tail[:-TAIL_LINES]
            self._events.output(line, "cmake")

        on_text, end = lines(on_line)
        code = self._supervisor.run(
            argv,
            cwd=self._configuration.tree,
            environ={**self._configuration.environ, **environ},
            on_text=on_text,
        )
        end()
        shown = {"step": step, "outputs": "", "command": "", "output": "\n".join(tail)}
        return Outcome(code, shown if code else None)


def lines(on_line: Callable[[str], None]) -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return a function that takes text and passes on whole lines, and one that passes on the rest."""
    rest = ""

    def feed(text: str) -> None:
        nonlocal rest
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            on_line(line.rstrip("\r"))

    def end() -> None:
        if rest:
            on_line(rest)

    return feed, end
