"""The cmake driver at work: configuring, building with ninja or make, and installing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from ..ninja import output
from ..protocol import Progress
from ..tools import required, run
from . import architectures, cmake_call
from .base import Call, Done, Driver, Outcome, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..install import Install
    from ..ninja.left import Estimate
    from ..protocol import Rules
    from ..record import Attempt
    from ..tools import Probe

NINJA = "Ninja"


class CmakeDriver(Driver):
    """Builds a tree that cmake configured."""

    marker: ClassVar[str] = "CMakeLists.txt"
    speaker: ClassVar[str] = "cmake"

    @classmethod
    def ninja(cls, rules: Rules, environ: Mapping[str, str]) -> str | None:
        """Return ninja's path, None for another generator. Raises AgentError if it is not installed."""
        return required("ninja", environ) if rules.generator == NINJA else None

    @classmethod
    def inputs(
        cls,
        rules: Rules,
        source: str,  # noqa: ARG003
        environ: Mapping[str, str],
        probe: Probe,
    ) -> dict[str, Any]:
        """Return the generator and the versions of cmake and ninja."""
        program = cls.ninja(rules, environ)
        return {
            "generator": rules.generator,
            "cmake": probe.version(required("cmake", environ)).partition("\n")[0],
            "ninja": probe.version(program) if program else "",
        }

    def plan(self, last: Attempt | None, changed: Sequence[str]) -> Plan:
        """Compare what cmake would be told with what the tree was configured from."""
        known = self._configuration
        arguments = self._arguments(self._defines("{jobs}"))
        variables = cmake_call.environment(known.environ, [name for name, _ in known.rules.env])
        reasons = ["--reconfigure was given"] if self._request.mode == "reconfigure" else []
        build_file = "build.ninja" if known.ninja else "Makefile"
        reasons += cmake_call.why_configure(last, known.tree, arguments, variables, build_file)
        return Plan([*reasons, *changed], arguments, variables)

    def configure(self, plan: Plan) -> Outcome:
        """Run cmake."""
        self._begin_configuring(plan)
        return self._call(self.configuring(plan), "configure")

    def configuring(self, plan: Plan) -> Call:  # noqa: ARG002
        """Return the call of cmake."""
        return Call(["cmake", *self._arguments(self._defines(str(self.jobs.number)))], self._configuration.tree)

    def building(self, jobs: int) -> list[Call]:
        """Return the call of ninja, or of make by way of cmake."""
        known, tree = self._configuration, self._configuration.tree
        if known.ninja:
            return [Call([known.ninja, "-j", str(jobs), *self._request.args, *self._targets()], tree)]
        targets = ["--target", *self._targets()] if self._targets() else []
        argv = ["cmake", "--build", tree, "--parallel", str(jobs), *targets]
        return [Call([*argv, "--", *self._request.args], tree)]

    def _begin_configuring(self, plan: Plan) -> None:
        """Say that the tree is being configured, and empty its cache.

        CMake keeps there what it found out from other files, arguments and variables, and does not look again.
        """
        self._say_configuring(plan)
        for note in self.notes():
            self._events.info(note)
        cmake_call.forget(self._configuration.tree)

    def notes(self) -> Sequence[str]:
        """Return by which variables the project is told its architectures, where these are not CMake's own."""
        known = self._configuration
        return architectures.read(self._request.rules, known.source, self._request.arch).notes(
            [cmake_call.name_of(left) for left, _ in known.defines]
        )

    def mark(self) -> None:
        """Remember the end of ninja's log."""
        self._mark = output.mark_log(self._configuration.tree)

    def done(self) -> Done:
        """Read what ninja logged; make keeps no log."""
        if not self._configuration.ninja:
            return Done([], 0)
        commands = output.commands_since(self._configuration.tree, self._mark)
        return Done(commands, output.compiled(commands))

    def install(self, installing: Install) -> Outcome:
        """Run cmake's installation into the stage."""
        self._events.phase(f"installing into {self._configuration.values['prefix']}")
        for argv in installing.commands(self._request.targets):
            outcome = self._run(
                [*argv, *self._more_to_install()], "install", DESTDIR=installing.stage, CMAKE_INSTALL_ALWAYS="1"
            )
            if outcome.code:
                return outcome
        return Outcome(0)

    def _more_to_install(self) -> Sequence[str]:
        """Return further arguments for `cmake --install`."""
        return ()

    def _targets(self) -> Sequence[str]:
        """Return what is built: the targets that were asked for, else ninja's default."""
        return list(self._request.targets)

    def _defines(self, jobs: str) -> dict[str, str]:
        known = self._configuration
        return cmake_call.defines(known.rules, {**known.values, "jobs": jobs}, known.defines)

    def _arguments(self, given: Mapping[str, str]) -> list[str]:
        known = self._configuration
        return cmake_call.arguments(known.source, known.tree, known.rules.generator, given)

    def _build_with(self, jobs: int) -> Outcome:
        (call,) = self.building(jobs)
        return self._ninja(call, jobs) if self._configuration.ninja else self._call(call, "build")

    def _ninja(self, call: Call, count: int) -> Outcome:
        tree = self._configuration.tree
        guesses: list[Estimate | None] = []

        def on_progress(now: output.Progress) -> None:
            from ..ninja.left import Estimate, kinds_of

            if not guesses:
                # ninja foretells well what it has done before.
                knows = now.eta is not None and output.logged(tree) >= now.total
                guesses.append(None if knows else Estimate(kinds_of(tree), now.total, count))
            if guesses[0] is None:
                self._events.send(Progress(**now._asdict()))
                return
            ended = [output.short(title.partition("] ")[2]) for title in now.finished]
            left = guesses[0].after(now, ended, time.monotonic())
            self._events.send(Progress(**now._replace(eta=left.seconds)._asdict(), least=left.least))

        status = output.STATUS_WITH_ETA if self._configuration.start_counts else output.STATUS
        talk = output.Conversation(on_progress, lambda line: self._events.output(line, "ninja", talk.step))
        code = self._context.supervisor.run(
            call.argv,
            cwd=call.cwd,
            environ={**self._configuration.environ, "NINJA_STATUS": status, "TERM": "xterm"},
            on_text=talk.feed,
            terminal=True,
        )
        talk.end()
        if not talk.failure or not code:
            return Outcome(code)
        from ..ninja.targets import nearest, unknown

        failure = talk.failure
        if (name := unknown(failure.output)) is not None:
            listed = run([call.argv[0], "-t", "targets", "all"], self._configuration.environ, cwd=tree)
            failure = failure._replace(output=f"{failure.output}\n{nearest(name, listed)}")
        return Outcome(code, {"step": "build", **failure._asdict()})
