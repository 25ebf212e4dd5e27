"""What a driver is: the part of an attempt that knows a framework's build system.

A driver says what has to be configured and why, configures, builds, tells what was made, and installs. All that keeps a
build true, the record, healing, locks and the report, is around it and the same for each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..events import AgentError
from ..jobs import Jobs, measure, memory_kills, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..context import Context
    from ..install import Install
    from ..ninja.output import Command
    from ..process import Supervisor
    from ..protocol import Configured, Rules
    from ..record import Attempt
    from ..tools import Probe

TAIL_LINES = 60


class Outcome(NamedTuple):
    """How a program ended: its exit code, and what went wrong, as the report shows it."""

    code: int
    failure: dict[str, str] | None = None


class Plan(NamedTuple):
    """What the build system is to be told, and why it has to configure (no reasons: it need not).

    `arguments` and `variables` are what the record keeps; the number of jobs is not in them, since it is no reason to
    configure.
    """

    reasons: list[str]
    arguments: list[str]
    variables: dict[str, str]


class Call(NamedTuple):
    """A program that a driver starts: its words, the folder, and what is added to the build's environment."""

    argv: Sequence[str]
    cwd: str
    environ: Mapping[str, str] = {}


class Done(NamedTuple):
    """What was made since `mark`: the commands, and how many of them compiled something."""

    commands: list[Command]
    compiled: int


class Driver:
    """What the drivers have in common: jobs, running programs, and going on with fewer jobs.

    `marker` is the file that makes a folder one that the driver can build, `speaker` who speaks in the log.
    """

    marker: ClassVar[str]
    speaker: ClassVar[str]
    uses_torch: ClassVar[bool] = False

    # Before there is a tree: what its key is made from.

    @classmethod
    def check(cls, request: Configured[Any], source: str) -> None:
        """Raise AgentError where there is nothing to build in `source`, or where the request cannot be done."""
        if not os.path.isfile(os.path.join(source, cls.marker)):
            raise AgentError(
                f"{source} has no {cls.marker}", hint="devbox up --framework NAME   # if the framework is another one"
            )
        if request.options:
            raise AgentError(
                f"{request.framework} has no build script of its own that takes '{request.options[0][0]}'",
                hint="devbox build -D NAME=VALUE   # a variable of CMake",
            )

    @classmethod
    def ninja(cls, rules: Rules, environ: Mapping[str, str]) -> str | None:
        """Return ninja's path where ninja builds the tree: its log is what proves that nobody else did."""
        raise NotImplementedError

    @classmethod
    def inputs(cls, rules: Rules, source: str, environ: Mapping[str, str], probe: Probe) -> dict[str, Any]:
        """Return what the key is made from beside compilers, type and architectures: the build system's own tools."""
        raise NotImplementedError

    # At work.

    def __init__(self, context: Context) -> None:
        """Take the attempt's surroundings."""
        self._context = context
        self._configuration = context.decided
        self._request = context.request
        self._events = context.events
        asked = context.request.jobs
        self.jobs = Jobs(asked, "--jobs") if asked else measure(context.decided.rules.memory_per_job)

    def plan(self, last: Attempt | None, changed: Sequence[str]) -> Plan:
        """Compare what the build system would be told with what the tree was configured from.

        `changed` says what is not as it was of what the build system reads itself when it configures.
        """
        raise NotImplementedError

    @property
    def compiles_to_configure(self) -> bool:
        """Whether configuring compiles the tree as well, so that it may miss what is edited meanwhile."""
        return False

    def configuring(self, plan: Plan) -> Call | None:
        """Return what configures the tree, None where building does it by itself."""
        raise NotImplementedError

    def building(self, jobs: int) -> list[Call]:
        """Return what builds the tree with so many jobs, one after the other."""
        raise NotImplementedError

    def notes(self) -> Sequence[str]:
        """Return what the checkout says of how it is built, for `--dry-run`."""
        return ()

    def configure(self, plan: Plan) -> Outcome:
        """Configure the tree."""
        raise NotImplementedError

    def mark(self) -> None:
        """Remember what is there before the build."""
        raise NotImplementedError

    def done(self) -> Done:
        """Return what was made since `mark`."""
        raise NotImplementedError

    def install(self, installing: Install) -> Outcome:
        """Install into the stage of `installing`."""
        raise NotImplementedError

    def _build_with(self, jobs: int) -> Outcome:
        """Run the build program with so many jobs."""
        raise NotImplementedError

    def build(self) -> tuple[Outcome, Jobs]:
        """Run the build program, with half the jobs again as long as compilers are killed for memory."""
        jobs = self.jobs
        self._events.phase(f"building {self._configuration.key} with {jobs.number} jobs ({jobs.reason})")
        while True:
            kills = memory_kills()
            outcome = self._build_with(jobs.number)
            # Not every program says how a child of its ended, but the kernel counts.
            said = outcome.failure is not None and out_of_memory(outcome.failure["output"])
            if outcome.code == 0 or jobs.number == 1 or not (said or memory_kills() > kills):
                return outcome, jobs
            jobs = Jobs(jobs.number // 2, "a compiler was killed for memory")
            self._events.warn(f"{jobs.reason}: going on with {jobs.number} job{'s' if jobs.number > 1 else ''}")

    def _say_configuring(self, plan: Plan) -> None:
        """Say that the tree is being configured, and why; the client looks then for what the checkout lacks."""
        title = f"configuring {self._configuration.key} ({plan.reasons[0]})"
        self._events.phase(title, step="configure")

    def _call(self, call: Call, step: str) -> Outcome:
        """Run a program as `_run` does."""
        return self._run(call.argv, step, cwd=call.cwd, **call.environ)

    def _run(self, argv: Sequence[str], step: str, *, cwd: str | None = None, **environ: str) -> Outcome:
        """Run a program whose output is only lines; if it fails, the last of them are what is shown.

        It runs in the tree, or in `cwd`, with `environ` added to the build's environment.
        """
        code, tail = run_by_lines(
            self._context.supervisor,
            argv,
            cwd=cwd or self._configuration.tree,
            environ={**self._configuration.environ, **environ},
            on_line=lambda line: self._events.output(line, self.speaker),
        )
        shown = {"step": step, "outputs": "", "command": "", "output": tail}
        return Outcome(code, shown if code else None)


def run_by_lines(
    supervisor: Supervisor,
    argv: Sequence[str],
    *,
    cwd: str,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
) -> tuple[int, str]:
    """Run a program, pass on each line that it writes, and return its exit code and the last lines. As `run` raises."""
    tail: list[str] = []

    def keep(line: str) -> None:
        tail.append(line)
        del tail[:-TAIL_LINES]
        on_line(line)

    on_text, end = lines(keep)
    code = supervisor.run(argv, cwd=cwd, environ=environ, on_text=on_text)
    end()
    return code, "\n".join(tail)


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
