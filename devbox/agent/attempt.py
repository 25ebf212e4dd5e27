"""One attempt at a build tree: lock it, look at what changed, configure if needed, build, and keep the record true."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import history, timeline
from .caches import setup
from .configuration import configuration
from .context import Context
from .drivers import cmake_call
from .drivers.choose import driver_for
from .files import point_link
from .install import Install
from .known import recall
from .ninja import output
from .process import INTERRUPTED, Interrupted
from .proof.choose import proof_for
from .proof.sources import BUILD_MARK, Sources
from .protocol import PRESETS, Built, Tree, Warn
from .record import Attempt, ninja_identity
from .trees import note_owner
from .volume import CURRENT, states_of

if TYPE_CHECKING:
    from .drivers.base import Done, Driver, Plan
    from .events import Events
    from .process import Supervisor
    from .protocol import Build
    from .states import States

SLOWEST = 5
# How many files of each kind `--explain` names.
NAMED = 20


def build(request: Build, events: Events, supervisor: Supervisor) -> Built:
    """Do what a request asks, and return the report. Raises AgentError where a build cannot even begin."""
    begin = time.monotonic()
    decided = configuration(request)
    events.send(Tree(key=decided.key, path=decided.tree))
    context = Context(decided, request, events, supervisor)
    work = Work(context)
    try:
        with context.lock(decided.key, tell=True) as descriptor, supervisor.holding(descriptor):
            try:
                work.run()
            finally:
                work.remember(time.monotonic() - begin)
    except Interrupted:
        context.result["code"] = INTERRUPTED
    return Built(**context.result, seconds=time.monotonic() - begin)


class Work:
    """The course of one attempt, from the moment that the tree's lock is held."""

    def __init__(self, context: Context) -> None:
        """Take the attempt's surroundings, which also hold its result."""
        self.context = context
        self.decided = context.decided
        self.records = context.records
        self.result = context.result
        self.attempt: Attempt | None = None

    def run(self) -> None:
        """Build; the result is in `result`, also where this raises Interrupted."""
        context, decided = self.context, self.decided
        self.start = time.time_ns()
        note_owner(decided.volume, context.request.owner)
        installing = None
        if decided.rules.install:
            installing = Install(decided.state, decided.key, decided.tree, decided.values["prefix"])
        self.sources = Sources(
            decided.workspace, decided.tree, installing.files(decided.workspace) if installing else ()
        )
        if os.path.isdir(states_of(decided.volume, decided.key)):
            self._states()
        self.last, seen = recall(context, self.sources)
        self.proof = proof_for(context, self.sources, self.last, seen)
        self.proof.look()
        driver = driver_for(context)
        self._start_cache()
        plan = self._plan(driver)
        if plan.reasons:
            plan = self._change_state(driver, plan)
        context.reasons += [f"configured: {reason}" for reason in plan.reasons]
        self.result.update(jobs=driver.jobs.number, jobs_reason=driver.jobs.reason, configured=plan.reasons)
        self._open(plan)
        compiles = bool(plan.reasons) and driver.compiles_to_configure
        if compiles:
            self._mark(driver)
        if plan.reasons:
            if not self._configure(driver, plan):
                return  # the record stays open, so that the next attempt configures again
            self.proof.look()
            self._open(plan._replace(reasons=[]), configured_from=self.proof.configured_from())
        self.proof.arrange(heal=context.request.heal)
        self._keep_the_cache_from_lying()
        if not compiles:
            self._mark(driver)
        point_link(os.path.join(decided.volume, CURRENT), decided.key)
        if any(os.path.exists(os.path.join(decided.source, name)) for name in PRESETS):
            self._tell_editors(driver)
        self._compile(driver)
        if installing is not None and self.result["code"] == 0:
            self._install(driver, installing)

    def _tell_editors(self, driver: Driver) -> None:
        from . import editor

        try:
            editor.keep(self.decided, self.context.request.rules, driver.jobs.number)
        except (OSError, AttributeError, TypeError) as error:
            self.context.events.send(Warn(text=f"the CMake preset for editors is not renewed: {error}"))

    def remember(self, seconds: float) -> None:
        """Add this attempt to the tree's history, unless there was nothing to do. It took `seconds`."""
        result = self.result
        if self.attempt is None or not (result.get("commands") or result.get("configured") or result["code"]):
            return
        kept = ("code", "configured", "commands", "compiled", "cached", "missed", "jobs", "configure_seconds")
        entry = {name: result[name] for name in kept if result.get(name) not in (None, [])}
        reasons = self.context.reasons[: history.REASONS]
        client = self.context.request.client
        more = {"start": self.start, "seconds": round(seconds, 3), "client": client, "reasons": reasons}
        history.note(self.records.path(self.decided.key, history.NAME), {**more, **entry})

    # What has to be configured.

    def _plan(self, driver: Driver) -> Plan:
        return driver.plan(self.last, self.proof.why_configure(self.last.configured_from) if self.last else [])

    def _states(self) -> States:
        from .states import States

        return States(self.context)

    def _change_state(self, driver: Driver, plan: Plan) -> Plan:
        """Put the tree in place that was configured from what is there now, or keep this one; return what is to do."""
        from .proof.by_content import ByContent

        last, proof, request = self.last, self.proof, self.context.request
        if last is None or not isinstance(proof, ByContent) or not request.heal or request.mode != "incremental":
            return plan
        alike = last._replace(arguments=plan.arguments, environment=plan.variables)
        # Whether other files, arguments or variables are all that is wrong with this one.
        is_sound = bool(last.configured_from) and not proof.why_spoiled() and not driver.plan(alike, []).reasons
        said = proof.note() if is_sound else None
        states = self._states()
        if states.take(plan, proof.seen, said):
            self.last = self.records.attempt(self.decided.key)
            self.proof = proof_for(self.context, self.sources, self.last, proof.seen)
            self.proof.look()
            return self._plan(driver)
        if said is not None and alike == last and not proof.is_next_commit():
            states.keep(said)
        return plan

    # The record.

    def _open(self, plan: Plan, configured_from: str | None = None) -> None:
        """Write the open record: who finds it knows that this attempt was cut off.

        `configured_from` is the hash of the files that cmake ran on in this attempt.
        """
        last = self.last
        if configured_from is None:
            configured_from = last.configured_from if last else ""
        self.attempt = Attempt(
            key=self.decided.key,
            digest=self.decided.digest,
            inputs=self.decided.inputs,
            state="open",
            start=self.start,
            end=0,
            created=last.created if last else self.start,
            generation=last.generation if last else "",
            ninja=[],
            configured=not plan.reasons,
            configured_from=configured_from,
            arguments=plan.arguments,
            environment=plan.variables,
            cache="" if plan.reasons else cmake_call.cache_digest(self.decided.tree),
            code=-1,
        )
        # Where nothing is to be done, nothing can be cut off.
        if plan.reasons or not self.proof.is_still:
            self.records.write(self.attempt)

    def _close(self) -> None:
        """Close the record; what moved while the attempt ran is no proof."""
        attempt = self.attempt
        if attempt is None:
            return
        as_it_was = self.proof.close(heal=self.context.request.heal, configured=bool(attempt.configured_from))
        self.records.write(
            attempt._replace(
                state="closed",
                end=time.time_ns(),
                generation=self.proof.generation,
                configured_from=attempt.configured_from if as_it_was else "",
                ninja=ninja_identity(self.decided.tree),
                cache=cmake_call.cache_digest(self.decided.tree),
                code=self.result["code"],
            ),
            # Only the time of a build that did nothing is new.
            lasting=not self.proof.is_still,
        )

    # The programs.

    def _start_cache(self) -> None:
        self.cache = setup.Session(self.decided.cache, self.decided.tree)
        problem = self.cache.start(self.decided.environ)
        if problem is not None:
            self.context.events.warn(f"sccache did not start, so nothing is cached in this build: {problem}")

    def _configure(self, driver: Driver, plan: Plan) -> bool:
        begin = time.monotonic()
        outcome = driver.configure(plan)
        self.result.update(outcome._asdict(), configure_seconds=time.monotonic() - begin)
        if outcome.code and self.attempt is not None:
            self.attempt = self.attempt._replace(code=outcome.code)
            self.records.write(self.attempt)  # still open: it proves nothing, but says that nobody cut it off
        return outcome.code == 0

    def _keep_the_cache_from_lying(self) -> None:
        """Have ccache look at what the preprocessor finds, where a header may lie before one that it knows of.

        Its quicker way compares the files that were read when the object was made; one that came before these is none.
        """
        old = next((place for place in (self.decided.source, self.decided.workspace) if _was_built_in(place)), None)
        if old is not None:
            self.context.events.warn(
                f"an old build lies in {old} itself (CMakeCache.txt): a header that it generated there may be found "
                "before this build's"
            )
        if old is not None or self.proof.cache_may_lie:
            self.decided.environ.update(CCACHE_NODIRECT="1", SCCACHE_DIRECT="false")

    def _mark(self, driver: Driver) -> None:
        """Remember what is there: what comes after it is this build's."""
        driver.mark()
        self.cache.mark()

    def _compile(self, driver: Driver) -> None:
        """Build, report what was done, and close the record, also where the build failed or was stopped in order."""
        try:
            outcome, jobs = driver.build()
            self.result.update(outcome._asdict(), jobs=jobs.number)
        except Interrupted as interrupted:
            self.result["code"] = INTERRUPTED
            self.cache.end_strays()
            if not interrupted.clean:
                raise
        done = driver.done()
        self._close()
        self._report(done)

    def _report(self, done: Done) -> None:
        newer, hidden = list(self.proof.newer), list(self.proof.hidden)
        self.result.update(
            commands=len(done.commands),
            compiled=done.compiled,
            slowest=[[command.output, command.seconds] for command in output.slowest(done.commands)[:SLOWEST]],
            healed={"lowered": len(newer), "raised": len(hidden)},
        )
        reasons = self.context.reasons
        reasons += [f"newer, but its content is as built: {path}" for path in newer[:NAMED]]
        reasons += [f"not newer, but its content is not as built: {path}" for path in hidden[:NAMED]]
        timeline.keep(self.decided, self.result, done.commands, self.cache.counts(), start_ns=self.start)

    def _install(self, driver: Driver, installing: Install) -> None:
        targets = self.context.request.targets
        with self.context.lock("install", tell=True):
            if installing.needed(targets):
                outcome = driver.install(installing)
                self.result.update(outcome._asdict())
                if outcome.code == 0:
                    self.result["installed"] = installing.move(targets)


def _was_built_in(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, BUILD_MARK))
