"""One attempt at a build tree: lock it, look at what changed, configure if needed, build, and keep the record true."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from . import caches, cmake, heal, history, ninja, outside, record, timeline
from .configuration import configuration
from .driver import Driver, Plan
from .events import AgentError
from .files import point_link, remove
from .install import Install
from .locks import held, lock, lock_path
from .process import INTERRUPTED, Interrupted, Supervisor
from .record import Attempt, Records, ninja_identity
from .seed import Seeding
from .sources import Sources
from .trees import note_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from .configuration import Configuration
    from .events import Events
    from .sources import Entry

SLOWEST = 5
# How many files of each kind `--explain` names.
NAMED = 20


def build(request: Mapping[str, Any], events: Events, supervisor: Supervisor) -> dict[str, Any]:
    """Do what a request asks, and return the report. Raises AgentError where a build cannot even begin."""
    begin = time.monotonic()
    decided = configuration(request)
    events.send("tree", key=decided.key, path=decided.tree)
    work = Work(decided, request, events, supervisor)
    try:
        with work.lock(decided.key, tell=True) as descriptor, supervisor.holding(descriptor):
            try:
                work.run()
            finally:
                work.remember(time.monotonic() - begin)
    except Interrupted:
        work.result["code"] = INTERRUPTED
    return {**work.result, "seconds": time.monotonic() - begin}


class Work:
    """The state of one attempt, from the moment that the tree's lock is held."""

    def __init__(
        self, decided: Configuration, request: Mapping[str, Any], events: Events, supervisor: Supervisor
    ) -> None:
        """Take the configuration, the request, where to speak, and what runs programs."""
        self.decided = decided
        self.request = request
        self.events = events
        self.supervisor = supervisor
        self.records = Records(os.path.join(decided.state, "records"))
        self.healed = heal.Healed([], [], [], [])
        self.seen: Mapping[str, Entry] = {}
        self.attempt: Attempt | None = None
        self.reasons: list[str] = []
        self.result: dict[str, Any] = {
            "code": 0,
            "key": decided.key,
            "tree": decided.tree,
            "reasons": self.reasons,
        }

    def lock(self, name: str, *, tell: bool = False) -> AbstractContextManager[int]:
        """Return one of the volume's locks: a tree's by its key, `sources` or `install`."""

        def on_wait(holder: str) -> None:
            if tell:
                self.events.info(f"waiting for {name}: {holder}")

        note = f"{self.request['client']} (process {os.getpid()} in the container)"
        return lock(lock_path(self.decided.state, name), note, wait=self.supervisor.wait, on_wait=on_wait)

    def run(self) -> None:
        """Build; the result is in `result`, also where this raises Interrupted."""
        self.start = time.time_ns()
        note_owner(self.decided.volume, self.request.get("owner", ""))
        installing = None
        if self.decided.rules["install"]:
            installing = Install(self.decided.state, self.decided.key, self.decided.tree, self.decided.values["prefix"])
        self.sources = Sources(
            self.decided.workspace, self.decided.tree, installing.files(self.decided.workspace) if installing else ()
        )
        self._recall()
        driver = Driver(self.decided, self.request, self.events, self.supervisor)
        self._start_cache()
        plan = driver.plan(self.last)
        self.reasons += [f"configured: {reason}" for reason in plan.reasons]
        self.result.update(jobs=driver.jobs.number, jobs_reason=driver.jobs.reason, configured=plan.reasons)
        files = self._open(plan)
        if plan.reasons:
            if not self._configure(driver, plan):
                return  # the record stays open, so that the next attempt configures again
            files = self._open(plan._replace(reasons=[]))
        point_link(os.path.join(self.decided.volume, "current"), self.decided.key)
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
        reasons = self.reasons[: history.REASONS]
        more = {"start": self.start, "seconds": round(seconds, 3), "client": self.request["client"], "reasons": reasons}
        history.note(self.records.path(self.decided.key, history.NAME), {**more, **entry})

    # What is known of the tree.

    def _recall(self) -> None:
        """Read the tree's record, and settle what changed outside the workspace. A tree without a record is emptied."""
        key, tree = self.decided.key, self.decided.tree
        self.last = self.records.attempt(key)
        clean = self.request["mode"] == "clean"
        if self.last is not None and (self.last.digest != self.decided.digest or not os.path.isdir(tree)):
            self.last = None
        if not clean:
            self._refuse_another_place()
        if clean or (self.last is None and os.path.isdir(tree)):
            self._empty()
        # What a seeded tree may miss has to be made newer: without healing there is no seed.
        if self.last is None and self.request.get("seed") and self.request["heal"] and not clean:
            self._seed()
        os.makedirs(tree, exist_ok=True)
        self.around = outside.identity(self.request["container"])
        self.outside = outside.Outside(self.records.path(key, "outside.json"), tree, self.decided.workspace)
        self.known: Mapping[str, Entry] = {}
        self.base: heal.Base | None = None
        self.generation = ""
        if self.last is None:
            self._explain_new_tree()
            return
        known = self.records.sources(key, self.last)
        self.known = known or {}
        self.generation = self.last.generation
        self.base, doubt = record.base(
            self.last, known, tree, ninja=self.decided.ninja is not None, start_counts=self.decided.start_counts
        )
        if doubt:
            self.reasons.append(f"no time was set back: {doubt}")
        if self.around != self.last.around and self.decided.ninja:
            self.reasons += self.outside.settle(self._set_as_root)

    def _refuse_another_place(self) -> None:
        """Raise AgentError if the tree was configured for other folders: it is not what the key says that it is."""
        known = cmake.places(self.decided.tree)
        for what, now, then in (
            ("build tree", self.decided.tree, known.tree),
            ("sources", self.decided.source, known.source),
        ):
            if then and os.path.realpath(then) != os.path.realpath(now):
                raise AgentError(
                    f"{self.decided.tree} was configured for the {what} {then}, and these are at {now} here",
                    hint="devbox build --clean   # empties it and starts anew",
                )

    def _seed(self) -> None:
        """Let the client have a tree of another workspace copied here, and take that copy."""
        seeding = Seeding(self.decided.state, self.decided.key, self.decided.tree)
        with self.lock("sources"):
            self.seen = self.sources.entries({}, lambda: list(self.records.others(self.decided.key)))
        foreign = self.sources.belonging_to_others(self.seen)
        if foreign:
            self.reasons.append(f"not seeded: {foreign} belongs to another user, so its time cannot be set")
            return
        seeding.ask(self.seen)
        self.events.send("seed", key=self.decided.key, digest=self.decided.digest, token=seeding.token)
        self.supervisor.answer()
        taken = seeding.take(self.records)
        if taken is not None:
            self.last = taken.attempt
            self.reasons.append(taken.reason)
            self.result["seeded"] = taken.reason

    def _empty(self) -> None:
        """Remove everything from the tree but what FetchContent downloaded."""
        import shutil

        tree = self.decided.tree
        self.events.send("phase", title=f"emptying {tree}")
        names = ("attempt.json", "sources.json", "outside.json")
        remove(self.records.path(self.decided.key, name) for name in names)
        self.last = None
        if not os.path.isdir(tree):
            return
        self.reasons.append("the tree was emptied")
        downloads = os.path.join(tree, "_deps")
        for entry in [*os.scandir(tree), *(os.scandir(downloads) if os.path.isdir(downloads) else ())]:
            if entry.path == downloads or (entry.path.startswith(downloads) and not entry.name.endswith("-build")):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)

    def _explain_new_tree(self) -> None:
        """Say how the tree differs from the one that was built before."""
        try:
            current = os.readlink(os.path.join(self.decided.volume, "current"))
        except OSError:
            return
        other = self.records.attempt(current) if current != self.decided.key else None
        if other is not None:
            old, new = other.inputs, self.decided.inputs
            changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            self.reasons.append(f"another tree than {current}: {', '.join(changed)} changed")

    def _set_as_root(self, files: list[tuple[str, int]]) -> None:
        """Have the client set times of the image's files, which belong to root; it answers with a line."""
        self.events.send("as_root", files=files)
        self.supervisor.answer()

    # Healing.

    def _heal(self) -> dict[str, Entry]:
        """Look at the sources, set the times that are to be set, and return what ninja will see."""
        others: list[dict[str, Entry]] | None = None

        def load_others() -> list[dict[str, Entry]]:
            nonlocal others
            if others is None:
                others = list(self.records.others(self.decided.key))
            return others

        files = self.sources.entries({**self.known, **self.seen} if self.seen else self.known, load_others)
        self.seen = {}
        changes = [] if self.base is None else heal.plan(files, self.base, self._may_lower(load_others))
        changes = self._without_unused_git(changes)
        if not self.request["heal"]:
            # Nothing is set, and what ninja may therefore miss is not recorded as built.
            for change in changes:
                if not change.lowers:
                    del files[change.path]
            return files
        done = heal.apply(changes, self.sources, files)
        for all_of_them, new in zip(self.healed, done):
            all_of_them.extend(new)
        self._warn(done)
        if self.request.get("watch"):
            # Who watches the files has to tell these changes from a person's.
            touched = [path for path in (*done.lowered, *done.lifted, *done.raised) if path in files]
            self.events.send("healed", files=[[path, *files[path].stamp] for path in touched])
        return files

    def _may_lower(self, load_others: Callable[[], list[dict[str, Entry]]]) -> Callable[[str, str], bool]:
        """Return the question whether a time may be set back: no other tree has other content or is being built."""
        building: list[str] | None = None

        def ask(path: str, content: str) -> bool:
            nonlocal building
            if building is None:
                keys = [key for key in self.records.all_keys() if key != self.decided.key]
                building = [key for key in keys if held(lock_path(self.decided.state, key))]
                if building:
                    self.reasons.append(f"no time was set back: {building[0]} is being built")
            if building:
                return False
            if path.startswith(self.decided.tree + os.sep):
                return True
            return all(path in files and files[path].content == content for files in load_others())

        return ask

    def _without_unused_git(self, changes: list[heal.Change]) -> list[heal.Change]:
        """Leave git's own files alone where the build does not depend on them."""
        git = {name: self.sources.path(name) for name in self.sources.git.names}
        if not any(change.path in git for change in changes):
            return changes
        used = ninja.mentioned(os.path.join(self.decided.tree, "build.ninja"), list(git.values()))
        return [change for change in changes if change.path not in git or git[change.path] in used]

    def _warn(self, done: heal.Healed) -> None:
        for name in done.failed:
            self.events.warn(
                f"{name} belongs to another user: its time cannot be set, and the build may miss its change"
            )
        if done.lowered and self.sources.foreign:
            own = self.sources.foreign[0]
            self.events.warn(f"the build tree of yours in {own} may miss changes: devbox sets times of sources back")

    # The record.

    def _open(self, plan: Plan) -> dict[str, Entry]:
        """Heal, and write the open record: from here on nothing counts as proof until it is closed."""
        with self.lock("sources"):
            files = self._heal()
            if not self.generation or self.known != files:
                self.generation = f"{self.start:x}.{os.getpid():x}.{time.monotonic_ns():x}"
                self.records.write_sources(self.decided.key, self.generation, files)
                self.known = files
            earlier = self.last.defined if self.last and plan.reasons else ()
            self.attempt = attempt = Attempt(
                key=self.decided.key,
                digest=self.decided.digest,
                inputs=self.decided.inputs,
                state="open",
                start=self.start,
                end=0,
                created=self.last.created if self.last else self.start,
                generation=self.generation,
                ninja=[],
                configured=not plan.reasons,
                arguments=plan.arguments,
                environment=plan.variables,
                defined=sorted({*earlier, *map(cmake.name_of, plan.defines)}),
                cache="",
                around=self.around,
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
                self.outside.note()
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
                cache=cmake.cache_digest(self.decided.tree),
                code=self.result["code"],
            )
        )

    # The programs.

    def _start_cache(self) -> None:
        self.cache = caches.Session(self.decided.cache, self.decided.tree)
        problem = self.cache.start(self.decided.environ)
        if problem is not None:
            self.events.warn(f"sccache did not start, so nothing is cached in this build: {problem}")

    def _configure(self, driver: Driver, plan: Plan) -> bool:
        begin = time.monotonic()
        outcome = driver.configure(plan)
        self.result.update(outcome._asdict(), configure_seconds=time.monotonic() - begin)
        return outcome.code == 0

    def _compile(self, driver: Driver, files: Mapping[str, Entry]) -> None:
        """Build, report what was done, and close the record, also where the build failed or was stopped in order."""
        tree = self.decided.tree
        mark, before = ninja.mark_log(tree), ninja_identity(tree)
        self.cache.mark()
        try:
            outcome, jobs = driver.build()
            self.result.update(outcome._asdict(), jobs=jobs.number)
        except Interrupted as interrupted:
            self.result["code"] = INTERRUPTED
            self.cache.end_strays()
            if not interrupted.clean:
                raise
        commands = ninja.commands_since(tree, mark, self.start) if self.decided.ninja else []
        # If neither cmake nor a command ran, it does not matter what moved meanwhile.
        ran = self.result["configured"] or self.result["code"] or before != ninja_identity(tree)
        self._close(files, idle=self.decided.ninja is not None and not ran)
        self._report(commands)

    def _report(self, commands: list[ninja.Command]) -> None:
        self.result.update(
            commands=len(commands),
            compiled=ninja.compiled(commands),
            slowest=[[command.output, command.seconds] for command in ninja.slowest(commands)[:SLOWEST]],
            healed={"lowered": len(self.healed.lowered), "raised": len(self.healed.raised)},
        )
        as_built = [*self.healed.lowered, *self.healed.lifted]
        self.reasons += [f"recorded time set again, its content is as built: {path}" for path in as_built[:NAMED]]
        self.reasons += [f"made newer, its content is not as built: {path}" for path in self.healed.raised[:NAMED]]
        timeline.keep(self.decided, self.result, commands, self.cache.counts(), start_ns=self.start)

    def _install(self, driver: Driver, installing: Install) -> None:
        targets = self.request["targets"]
        with self.lock("install", tell=True):
            if installing.needed(targets):
                outcome = driver.install(installing)
                self.result.update(outcome._asdict())
                if outcome.code == 0:
                    self.result["installed"] = installing.move(targets)
