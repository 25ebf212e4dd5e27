"""The driver of trees that cargo builds, such as Dynamo: a list of commands, with cargo's target folder in the tree.

cargo keeps no log that shows what an object was made from, so its trees are proven by time (`proof.by_time`). A command
for Python's side, such as `maturin develop`, runs in the environment on the build volume.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from ..events import AgentError
from ..ninja.output import Command
from ..placeholders import fill
from ..protocol import Progress
from ..python import environment
from ..tools import required, run, which
from . import cmake_call
from .base import TAIL_LINES, Call, Done, Driver, Outcome, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..protocol import Configured, Rules, Step
    from ..record import Attempt
    from ..tools import Probe

CARGO = "cargo"
FEATURES = "--features"
# Both are cargo's status lines (Shell::status and Progress in its sources).
COMPILING = re.compile(r"\s*Compiling (\S+) v\S+.*")
BUILDING = re.compile(r"\s*Building \[[=> ]*\] (\d+)/(\d+)(?:: (.*))?")
CUT = "..."


class CargoDriver(Driver):
    """Runs the steps of the framework's rules."""

    marker: ClassVar[str] = "Cargo.toml"
    speaker: ClassVar[str] = CARGO

    @classmethod
    def check(cls, request: Configured[Any], source: str) -> None:
        """Raise AgentError as every driver does, and for a define: cargo has none."""
        super().check(request, source)
        if not request.rules.steps:
            raise AgentError(
                f"{request.framework} says no step of its build", hint="devbox frameworks show NAME   # build.steps"
            )
        if request.defines or request.preset:
            raise AgentError(
                "cargo takes neither -D nor --preset", hint="devbox build -- --features NAME   # arguments for cargo"
            )

    @classmethod
    def ninja(cls, rules: Rules, environ: Mapping[str, str]) -> str | None:  # noqa: ARG003
        """Return None: ninja builds nothing here that a record could prove."""
        return None

    @classmethod
    def inputs(cls, rules: Rules, source: str, environ: Mapping[str, str], probe: Probe) -> dict[str, Any]:
        """Return the Rust compiler that the checkout's toolchain file chooses, and cmake for build scripts."""
        required(CARGO, environ)
        # rustup's rustc is another one in each folder with a rust-toolchain.toml, so it is asked there, each time.
        rustc = run([required("rustc", environ), "-vV"], environ, cwd=source)
        program = which("cmake", environ)
        return {
            "rustc": rustc,
            "steps": [step.command for step in rules.steps],
            "cmake": probe.version(program).partition("\n")[0] if program else "",
        }

    def plan(self, last: Attempt | None, changed: Sequence[str]) -> Plan:  # noqa: ARG002
        """Return a plan without a reason: cargo decides by itself, there is nothing to configure."""
        names = [name for name, _ in self._configuration.rules.env]
        return Plan([], [], cmake_call.environment(self._configuration.environ, names))

    def mark(self) -> None:
        """Begin to note what is compiled."""
        self._compiled: list[Command] = []

    def done(self) -> Done:
        """Return the crates that were compiled."""
        return Done(self._compiled, len(self._compiled))

    def configuring(self, plan: Plan) -> None:
        """Return None: cargo decides by itself."""

    def building(self, jobs: int) -> list[Call]:
        """Return the steps of the build."""
        return [call for _, call in self._steps(jobs)]

    def _steps(self, jobs: int) -> Iterator[tuple[Step, Call]]:
        """Yield each step that is done, with its call: of some packages, only cargo's."""
        known = self._configuration
        values = {**known.values, "jobs": str(jobs)}
        packages = self._request.targets
        environ = {
            "CARGO_TARGET_DIR": known.tree,
            "CARGO_BUILD_JOBS": str(jobs),
            "CARGO_TERM_PROGRESS_WHEN": "always",
            "CARGO_TERM_PROGRESS_WIDTH": "200",
            "CARGO_TERM_COLOR": "never",
        }
        for step in known.rules.steps:
            argv = [fill(word, values) for word in step.command]
            if argv[0] == CARGO:
                argv = [*only(argv, packages), *self._request.args]
            elif packages:
                continue
            yield step, Call(argv, self._folder(step.folder), environ)

    def _build_with(self, jobs: int) -> Outcome:
        for step, call in self._steps(jobs):
            with self._python() if step.python else nullcontext(dict(self._configuration.environ)) as environ:
                outcome = self._step(call, environ)
            if outcome.code:
                return outcome
        return Outcome(0)

    def _folder(self, alternatives: Sequence[str]) -> str:
        places = [os.path.normpath(os.path.join(self._configuration.source, place)) for place in alternatives]
        found = next((place for place in places if os.path.isdir(place)), None)
        if found is None:
            raise AgentError(f"{places[0]} is not in this checkout", hint="devbox frameworks show NAME   # build.steps")
        return found

    @contextmanager
    def _python(self) -> Iterator[dict[str, str]]:
        """Yield the environment for a step of Python's side; nobody else installs there meanwhile."""
        known = self._configuration
        shared = os.path.join(environment.home(known.volume), os.path.basename(known.state))
        with self._context.lock(environment.NAME, tell=True, state=shared):
            yield environment.ensure(known.volume, shared, known.environ).inside(known.environ)

    def _step(self, call: Call, environ: dict[str, str]) -> Outcome:
        known, argv = self._configuration, call.argv
        environ.update(call.environ)
        if known.cache.kind == "sccache":
            environ.setdefault("RUSTC_WRAPPER", known.cache.program)
        talk = Conversation(
            lambda **now: self._events.send(Progress(**now)),
            lambda line: self._events.output(line, argv[0]),
        )
        began = len(talk.commands)
        code = self._context.supervisor.run(argv, cwd=call.cwd, environ=environ, on_text=talk.feed)
        talk.end()
        self._compiled += talk.commands[began:]
        if code == 0:
            return Outcome(0)
        return Outcome(
            code,
            {"step": "build", "outputs": "", "command": " ".join(argv), "output": "\n".join(talk.tail)},
        )


def only(argv: Sequence[str], packages: Sequence[str]) -> list[str]:
    """Return a command of cargo's for some packages; without any, as it is.

    A feature of another package (`--features PACKAGE/FEATURE`) is left out: cargo refuses it then.
    """
    if not packages:
        return list(argv)
    kept: list[str] = []
    for word in argv:
        if not kept or kept[-1] != FEATURES:
            kept.append(word)
            continue
        features = [one for one in word.split(",") if "/" not in one or one.partition("/")[0] in packages]
        if features:
            kept.append(",".join(features))
        else:
            kept.pop()
    return [*kept, *(word for name in packages for word in ("--package", name))]


class Conversation:
    """Follows what cargo writes: how far it is, which crates it compiles, and all other lines."""

    def __init__(self, on_progress: Callable[..., object], on_line: Callable[[str], object]) -> None:
        """Take what is told of the progress (done, total, running, finished, eta), and of each line."""
        self._on_progress = on_progress
        self._on_line = on_line
        self._rest = ""
        self._began = time.monotonic()
        self._running: dict[str, float] = {}
        self._told = (0, 0, "")
        self.commands: list[Command] = []
        self.tail: list[str] = []

    def feed(self, text: str) -> None:
        """Take the next piece of what cargo wrote."""
        *whole, self._rest = re.split("[\r\n]", self._rest + text)
        for line in whole:
            self._line(line.rstrip())

    def end(self) -> None:
        """Take what was left without a line's end; whatever ran has ended."""
        self._line(self._rest.rstrip())
        self._rest = ""
        self._only(())

    def _line(self, line: str) -> None:
        building = BUILDING.fullmatch(line)
        if building is not None:
            self._progress(int(building.group(1)), int(building.group(2)), building.group(3) or "")
            return
        if not line:
            return
        compiling = COMPILING.fullmatch(line)
        if compiling is not None:
            self._running.setdefault(compiling.group(1), time.monotonic() - self._began)
        else:
            self.tail.append(line)
            del self.tail[:-TAIL_LINES]
        self._on_line(line)

    def _progress(self, done: int, total: int, names: str) -> None:
        if (done, total, names) == self._told:
            return
        self._told = (done, total, names)
        running = [name for name in names.split(", ") if name]
        finished = [] if names.endswith(CUT) else self._only([name.partition("(")[0] for name in running])
        seconds = time.monotonic() - self._began
        eta = seconds / done * (total - done) if done else None
        self._on_progress(done=done, total=total, running=running, finished=finished, eta=eta)

    def _only(self, names: Sequence[str]) -> list[str]:
        """Note the end of every crate but `names`, and return what ended."""
        now = time.monotonic() - self._began
        ended = [name for name in self._running if name not in names]
        self.commands += [Command((name,), self._running.pop(name), now) for name in ended]
        return ended
