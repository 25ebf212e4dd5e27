"""The proof of one build tree at work: it looks, judges by content, tells ninja, and keeps what it knows in the record.

The course of an attempt has three looks: `look` before anything runs, `look` again after cmake ran, and `close` after
ninja. Between two looks lies a window: whatever ran in it is proven if nothing that it read moved within it. So what a
person's ninja or a killed build made is proven or dirty by the same rule as what this attempt makes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..files import remove, stamps_of
from ..ninja import log as ninja_log
from . import configured
from . import look as looks
from .git import Git
from .kept import Kept, ninja_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ..content import Entry
    from ..context import Context
    from ..files import Stamp
    from .edges import Edge, Edges
    from .judge import Judged, Seen
    from .shadows import Listing

NAMED = 20
SECOND_NS = 1_000_000_000
# Other machines' clocks differ by less.
AHEAD_NS = 2 * SECOND_NS
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Glance(NamedTuple):
    """What was seen of a tree whose edges nobody ran: files, the stamps of outputs, and what lies in folders."""

    look: looks.Look
    outputs: dict[str, Stamp | None]
    listed: Listing


class Judgement(NamedTuple):
    """What was judged, from what, and which edges of the tree."""

    judged: Judged
    seen: Seen
    chosen: Collection[Edge]


class ByContent:
    """The proof of one attempt at a tree that ninja builds."""

    def __init__(self, context: Context, environment: str, known: Mapping[str, Entry]) -> None:
        """Take the surroundings, what compilers read in the environment, and contents that were read already."""
        self._context = context
        self._tree = context.decided.tree
        self._source = context.decided.source
        self._environment = environment
        self._known = [known] if known else []
        self._git = Git(context.decided.workspace)
        self._eye = looks.Eye(self._tree, self._git)
        self._record = Kept(context.records.folder_of(context.decided.key))
        self._record.load()
        self._began = self._record.look
        self._edges: Edges | None = None
        self._last: Judgement | None = None
        self._window: looks.Window | None = None
        # Whether nothing moved since ninja was told of all: then nothing has to be made.
        self.is_still = False
        self.foreign = False
        self.generation = ""
        self._changed: set[str] = set()
        self._ahead: dict[str, int] = {}
        self.newer: dict[str, None] = {}
        self.hidden: dict[str, None] = {}

    # Looking.

    def look(self) -> None:
        """See what moved, prove what ran since the last look, and judge. Ninja is told nothing."""
        record = self._record
        now = ninja_files(self._tree)
        if now[0] is None:  # there is no build.ninja
            if now[1] is None:  # and no log: nothing ran that would have to be proven
                record.look, record.configured_from = self._eye.look((), record.look), []
            return
        self.foreign = self.foreign or bool(record.ninja and record.ninja[0] != now[0])
        if record.ninja and now[1:] != record.ninja[1:] and self._window is None:
            self._context.reasons.append("ninja ran here by hand, by an IDE or in a build that was cut off")
        there = self._glance() if now == record.ninja and self._is_told() else None
        self.is_still = there is not None and self._is_what_it_was(there)
        if there is not None and self.is_still:
            record.look = there.look
        else:
            self._judge(there)

    def _is_told(self) -> bool:
        """Whether ninja was told of all that was known, and its statements and the environment are still the same."""
        record = self._record
        same = record.environment == self._environment and record.ninja[:1] == ninja_files(self._tree)[:1]
        return record.settled and same

    def _glance(self) -> Glance:
        """See by their stamps whether files, outputs and folders are what they were."""
        from .shadows import listed

        record = self._record
        there = self._eye.look(record.look.files, record.look, self._known)
        return Glance(there, stamps_of(record.made, self._tree), listed(record.listed, record.listed))

    def _is_what_it_was(self, there: Glance) -> bool:
        """Whether nothing moved: then nothing has to be read or judged."""
        record = self._record
        if there.look.files != record.look.files or there.listed != record.listed:
            return False
        return all(there.outputs[name] == one.stamp for name, one in record.made.items())

    def _judge(self, there: Glance | None = None) -> None:
        """Judge all edges that may not be what they were. `there` is what was seen of them just now."""
        from .edges import Edges
        from .judge import Seen, judge, names_to_look_at, to_judge

        record, was, told = self._record, self._record.look, self._is_told()
        self._edges = edges = Edges(self._tree, self._context.decided.workspace, self._edges, record.deps)
        others = self._known or list(self._other_looks())
        if not told or self._window is None:
            said = edges.configured_from()
            reads = configured.reads(said, self._source, self._tree, self._eye, self._git)
            record.configured_from, record.hidden = reads
        shadowed = self._shadowed(edges)
        log = ninja_log.read(self._tree, record.log)
        names = [*names_to_look_at(edges), *record.configured_from]
        now = self._eye.look(names, was, others, there.look if there else looks.NOTHING)
        outputs = dict(there.outputs) if there else {}
        made = [name for edge in edges.edges if not edge.phony for name in edge.outputs if name not in outputs]
        outputs.update(stamps_of(made, self._tree))
        seen = Seen(log.lines, outputs, self._environment, shadowed)
        self._window = window = looks.Window(was, now, self._eye)
        as_known = told and log.grew and edges.only_appended and was.files.keys() <= now.files.keys()
        chosen = to_judge(edges, record.made, seen, window) if as_known else set(edges.edges)
        judged = judge(edges, record.made, seen, window, chosen)
        proven = {edge.outputs[0] for edge in judged.clean}
        record.shadowed = [name for name in dict.fromkeys([*record.shadowed, *seen.shadowed]) if name not in proven]
        self._last = Judgement(judged, seen, chosen)
        self._changed |= {
            name
            for name, entry in now.files.items()
            if (before := was.files.get(name)) is not None and before.content != entry.content
        }
        late = now.time + AHEAD_NS
        for name, entry in now.files.items():
            if entry.mtime > late and name.startswith("/") and entry.mtime != was.files.get(name, looks.ABSENT).mtime:
                self._ahead[name] = (entry.mtime - now.time) // SECOND_NS
        record.look, record.made, record.log, record.deps = now, judged.made, log.mark, edges.mark
        record.environment = self._environment

    def _shadowed(self, edges: Edges) -> dict[str, str]:
        """List the folders that compilers search, and return which objects may read something that came there."""
        from . import shadows

        record = self._record
        search = shadows.Search(edges.edges, edges.discovered(), self._tree, self._environment)
        folders = [one for one in edges.link_folders if not (one + os.sep).startswith(self._tree + os.sep)]
        before, record.listed = record.listed, shadows.listed([*search.folders, *folders], record.listed)
        came = shadows.new_names(before, record.listed)
        if record.ninja[:1] != ninja_files(self._tree)[:1]:  # cmake ran
            made = search.made([*record.hidden.made, *(name for name, edge in edges.maker.items() if edge.custom)])
            came.update(shadows.new_names(record.generated, made))
            # What was made from other build files, of another branch: compilers would find it.
            left = shadows.new_names(made, record.generated)
            paths = [os.path.join(folder, name) for folder, names in left.items() for name in names]
            remove(path for path in paths if os.path.isfile(path))
            record.generated.update(made)
        return shadows.shadowed(search, came, self._tree) if came else {}

    @property
    def cache_may_lie(self) -> bool:
        """Whether an object is to be made anew that a compiler cache may have with another header than is found now."""
        return bool(self._record.shadowed)

    def _other_looks(self) -> Iterable[Mapping[str, Entry]]:
        """Yield what other trees of the volume know of files: a new tree need not read them again."""
        if not self._record.look.files:
            for key in self._context.records.all_keys():
                if key != self._context.decided.key:
                    other = Kept(self._context.records.folder_of(key))
                    other.load()
                    yield other.look.files

    # The configure step, which is an edge as well.

    def configured_from(self) -> str:
        """Return the hash of what cmake was run on, as it is now; "" without build files, or where it moved.

        It moved if it did so since the look before this one: cmake ran between them.
        """
        names = self._record.configured_from
        if not names or (self._window is not None and any(map(self._window.moved, names))):
            return ""
        return self._hash_configured_from()

    def why_spoiled(self) -> list[str]:
        """Return why the tree is not what cmake left when this devbox ran it."""
        if self.foreign:
            return ["cmake was run here by hand or by an IDE since the last build"]
        made = [name for name in self._changed if self._is_made_by_cmake(name)]
        return [f"{made[0]} was changed by hand, which cmake made"] if made else []

    def why_configure(self, since: str) -> list[str]:
        """Return why cmake has to run on files, where it ran last on those with the hash `since`."""
        spoiled = self.why_spoiled()
        if spoiled or self._hash_configured_from() == since:
            return spoiled
        changed = [self._shown(name) for name in self.changed(self._record.configured_from)]
        return [f"changed: {', '.join(changed[:3])}" if changed else "other files are there, which file(GLOB) finds"]

    def _is_made_by_cmake(self, name: str) -> bool:
        if name.startswith(os.sep) or self._edges is None:
            return False
        maker = self._edges.maker.get(name)
        if maker is not None and not maker.generator:
            return False
        return not (name.startswith("_deps/") and "-src/" in name)

    def _hash_configured_from(self) -> str:
        record = self._record
        return configured.digest(record.configured_from, record.hidden, record.look.files)

    def changed(self, names: Iterable[str]) -> list[str]:
        """Return those of the files that hold something else than at the last attempt."""
        return [name for name in names if name in self._changed]

    # The states that a tree was configured in.

    @property
    def seen(self) -> Mapping[str, Entry]:
        """What was seen, by the names of files."""
        return self._record.look.files

    def is_next_commit(self) -> bool:
        """Whether all that cmake would see is another commit or index of one branch: nobody goes back to that."""
        gits = [os.path.join(self._git.workspace, name) for name in self._git.names]
        names = self.changed(self._record.configured_from)
        looks = (self._began.files, self._record.look.files)
        # Of HEAD `branch=commit`, and of the index `entries+branch=commit`.
        said = [[files[name].content.rpartition("=")[0].rpartition("+")[2] for files in looks] for name in names]
        return bool(names) and all(name in gits for name in names) and all(was == now != "" for was, now in said)

    def note(self) -> list[str]:
        """Write down what the looks so far prove, and return the files that cmake said it was run on."""
        if self._last is not None:
            self._save(settled=False)
        if self._edges is not None:
            return self._edges.configured_from()
        more = {*self._record.hidden.files, *self._eye.git_head, *self._git.tags()}
        return [name for name in self._record.configured_from if name not in more]

    # Telling ninja.

    def arrange(self, *, heal: bool, configured: bool = True) -> None:
        """Have ninja see what is dirty and nothing else, and keep what is known. `configured`: cmake need not run."""
        if self._last is None or self._edges is None:
            return
        last, self._last = self._last, None
        self._explain(last.judged)
        if heal:
            self._tell(self._edges, last, configured=configured)
            self._say_ahead()
        self._save(settled=heal)

    def _save(self, *, settled: bool) -> None:
        record = self._record
        record.settled, record.ninja = settled, ninja_files(self._tree)
        record.save()

    def _tell(self, edges: Edges, last: Judgement, *, configured: bool) -> None:
        from . import arrange

        record = self._record
        judged, seen, chosen = last
        plan = arrange.plan(edges, judged, seen, record.look, self._changed, configured=configured, chosen=chosen)
        if plan.forget or plan.logged or plan.on_disk or plan.recalled:
            # What ran is known before its times are changed: if this is cut off, they are not taken for a run's.
            if not record.has_written_made():
                self._save(settled=False)
            told = arrange.apply(plan, edges, record.made, record.look.files, record.log)
            record.made, record.log, record.deps = told
        self.newer.update(dict.fromkeys(map(self._shown, sorted(plan.newer))))
        self.hidden.update(dict.fromkeys(map(self._shown, sorted(plan.hidden))))

    def _say_ahead(self) -> None:
        """Say once which files have times of the future, and what was done about that."""
        if self._ahead:
            name = max(self._ahead, key=self._ahead.__getitem__)
            seconds = self._ahead[name]
            size, unit = next((size, unit) for size, unit in UNITS if seconds >= size)
            others = f" (and {len(self._ahead) - 1} more)" if len(self._ahead) > 1 else ""
            self._ahead = {}
            self._context.events.warn(
                f"the time of {self._shown(name)}{others} is {seconds // size} {unit} in the future: what is made from "
                "it gets the same time, so that it is not made anew in each build"
            )

    def _explain(self, judged: Judged) -> None:
        reasons = self._context.reasons
        for edge, why in judged.dirty[:NAMED]:
            from_what = ", ".join(map(self._shown, self.changed(edge.reads)[:3])) or "what it reads"
            reasons.append(f"made anew, {why or f'{from_what} changed'}: {edge.outputs[0]}")

    def _shown(self, name: str) -> str:
        inside = self._context.decided.workspace + os.sep
        return name[len(inside) :] if name.startswith(inside) else name

    def close(self, *, heal: bool, configured: bool) -> bool:
        """See what ran, and what moved meanwhile; ninja is told at once, whoever runs it next.

        Returns whether the tree is still configured as it was: ninja may have run cmake.
        """
        record = self._record
        now = ninja_files(self._tree)
        if record.settled and now == record.ninja:
            return configured
        self.is_still = False
        configured = configured and bool(record.ninja) and now[0] == record.ninja[0]
        reasons = len(self._context.reasons)
        newer, hidden = self.newer, self.hidden
        self.newer, self.hidden, self._changed = {}, {}, set()
        self._judge()
        self.arrange(heal=heal, configured=configured)
        self.newer, self.hidden = newer, hidden
        del self._context.reasons[reasons:]
        return configured
