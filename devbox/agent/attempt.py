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
from .ninja import output
from .process import INTERRUPTED, Interrupted
from .proof.healing import Healing
from .proof.known import recall
from .proof.record import Attempt, ninja_identity
from .proof.sources import Sources
from .protocol import Built, Tree
from .trees import note_owner
from .volume import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .drivers.base import Done, Driver, Plan
    from .events import Events
    from .process import Supervisor
    from .proof.sources import Entry
    from .protocol import Build

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
        self.past = recall(context, self.sources)
        self.known, self.generation = self.past.known, self.past.generation
        self.healing = Healing(context, self.sources, self.past)
        driver = driver_for(context)
        self._start_cache()
        plan = driver.plan(self.past.last)
        context.reasons += [f"configured: {reason}" for reason in plan.reasons]
        self.result.update(jobs=driver.jobs.number, jobs_reason=driver.jobs.reason, configured=plan.reasons)
        files = self._open(plan)
        compiles = bool(plan.reasons) and driver.compiles_to_configure
        if compiles:
            self._mark(driver)
        if plan.reasons:
            if not self._configure(driver, plan):
                return  # the record stays open, so that the next attempt configures again
            if compiles:
                self.healing.begin_again(files, self.start)
            files = self._open(plan._replace(reasons=[]))
        if not compiles:
            self._mark(driver)
        point_link(os.path.join(decided.volume, CURRENT), decided.key)
        self._compile(driver, files)
        if installing is not None and self.result["code"] == 0:
            self._install(driver, installing)

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

    # The record.

    def _open(self, plan: Plan) -> dict[str, Entry]:
        """Heal, and write the open record: from here on nothing counts as proof until it is closed."""
        last = self.past.last
        with self.context.lock("sources"):
            files = self.healing.look(self.known)
            if not self.generation or self.known != files:
                self.generation = f"{self.start:x}.{os.getpid():x}.{time.monotonic_ns():x}"
                self.records.write_sources(self.decided.key, self.generation, files)
                self.known = files
            earlier = last.defined if last and plan.reasons else ()
            self.attempt = attempt = Attempt(
                key=self.decided.key,
                digest=self.decided.digest,
                inputs=self.decided.inputs,
                state="open",
                start=self.start,
                end=0,
                created=last.created if last else self.start,
                generation=self.generation,
                ninja=[],
                configured=not plan.reasons,
                arguments=plan.arguments,
                environment=plan.variables,
                defined=sorted({*earlier, *map(cmake_call.name_of, plan.defines)}),
                cache="",
                around=self.past.around,
                code=-1,
            )
            self.records.write(attempt)
        return files

    def _close(self, files: Mapping[str, Entry], *, idle: bool) -> None:
        """Close the record with the files that did not move meanwhile; after an idle build, no move matters."""
        if self.attempt is None:
            return
        if not idle:
            if self.decided.ninja:
                self.past.outside.note()
            stamps = self.sources.stamps().stamps
            kept = {path: entry for path, entry in files.items() if stamps.get(path) == entry[1:]}
            if len(kept) < len(files):
                self.generation += "c"
                self.records.write_sources(self.decided.key, self.generation, kept)
        self.records.write(
            self.attempt._replace(
                state="closed",
                end=time.time_ns(),
                generation=self.generation,
                ninja=ninja_identity(self.decided.tree),
                cache=cmake_call.cache_digest(self.decided.tree),
                code=self.result["code"],
            )
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

    def _mark(self, driver: Driver) -> None:
        """Remember what is there: what comes after it is this build's."""
        driver.mark()
        self.cache.mark()

    def _compile(self, driver: Driver, files: Mapping[str, Entry]) -> None:
        """Build, report what was done, and close the record, also where the build failed or was stopped in order."""
        before = ninja_identity(self.decided.tree)
        try:
            outcome, jobs = driver.build()
            self.result.update(outcome._asdict(), jobs=jobs.number)
        except Interrupted as interrupted:
            self.result["code"] = INTERRUPTED
            self.cache.end_strays()
            if not interrupted.clean:
                raise
        done = driver.done(self.start)
        # If neither cmake nor a command ran, it does not matter what moved meanwhile.
        ran = self.result["configured"] or self.result["code"] or before != ninja_identity(self.decided.tree)
        self._close(files, idle=self.decided.ninja is not None and not ran)
        self._report(done)

    def _report(self, done: Done) -> None:
        healed = self.healing.done
        self.result.update(
            commands=len(done.commands),
            compiled=done.compiled,
            slowest=[[command.output, command.seconds] for command in output.slowest(done.commands)[:SLOWEST]],
            healed={"lowered": len(healed.lowered), "raised": len(healed.raised)},
        )
        reasons = self.context.reasons
        as_built = [*healed.lowered, *healed.lifted]
        reasons += [f"recorded time set again, its content is as built: {path}" for path in as_built[:NAMED]]
        reasons += [f"made newer, its content is not as built: {path}" for path in healed.raised[:NAMED]]
        timeline.keep(self.decided, self.result, done.commands, self.cache.counts(), start_ns=self.start)

    def _install(self, driver: Driver, installing: Install) -> None:
        targets = self.context.request.targets
        with self.context.lock("install", tell=True):
            if installing.needed(targets):
                outcome = driver.install(installing)
                self.result.update(outcome._asdict())
                if outcome.code == 0:
                    self.result["installed"] = installing.move(targets)
