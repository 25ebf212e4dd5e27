"""The proof of one build tree at work: it looks, judges by content, tells ninja, and keeps what it knows in the record.

The course of an attempt has three looks: `look` before anything runs, `look` again after cmake ran, and `close` after
ninja. Between two looks lies a window: whatever ran in it is proven if nothing that it read moved within it. So what a
person's ninja or a killed build made is proven or dirty by the same rule as what this attempt makes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..files import remove, stamp_of
from ..ninja import log as ninja_log
from . import configured
from . import look as looks
from .git import Git
from .kept import Kept, ninja_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..content import Entry
    from ..context import Context
    from ..files import Stamp
    from .edges import Edges
    from .judge import Judged, Seen

NAMED = 20


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
        self._last: tuple[Judged, Seen] | None = None
        self._window: looks.Window | None = None
        self.foreign = False
        self.generation = ""
        self._changed: set[str] = set()
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
        same = record.settled and record.environment == self._environment and now == record.ninja
        if not (same and self._is_still()):
            self._judge()

    def _is_still(self) -> bool:
        """Whether every file and every output is by its stamp what it was: then nothing has to be read or judged."""
        record = self._record
        below = os.path.join(self._tree, "")
        for name, one in record.made.items():
            if stamp_of(name if name.startswith("/") else below + name) != one.stamp:
                return False
        from .shadows import listed

        if listed(record.listed, record.listed) != record.listed:
            return False
        now = self._eye.look(record.look.files, record.look, self._known)
        if now.files != record.look.files:
            self._known.append(now.files)  # what was read need not be read again to judge
            return False
        record.look = now
        return True

    def _judge(self) -> None:
        from .edges import Edges
        from .judge import Seen, judge, names_to_look_at

        record = self._record
        self._edges = edges = Edges(self._tree, self._context.decided.workspace, self._edges)
        others = self._known or list(self._other_looks())
        was = record.look
        names, record.hidden = configured.reads(edges.configured_from(), self._source, self._tree, self._eye, self._git)
        shadowed = self._shadowed(edges)
        log = ninja_log.read(self._tree, record.log)
        now = self._eye.look([*names_to_look_at(edges), *names], was, others)
        made: dict[str, Stamp | None] = {
            name: stamp_of(edges.path(name)) for one in edges.edges if not one.phony for name in one.outputs
        }
        seen = Seen(log.lines, made, self._environment, shadowed)
        self._window = window = looks.Window(was, now, self._eye)
        judged = judge(edges, record.made, seen, window)
        proven = {edge.outputs[0] for edge in judged.clean}
        record.shadowed = [name for name in dict.fromkeys([*record.shadowed, *seen.shadowed]) if name not in proven]
        self._last = judged, seen
        self._changed |= {
            name
            for name, entry in now.files.items()
            if (before := was.files.get(name)) is not None and before.content != entry.content
        }
        record.look, record.made, record.log = now, judged.made, log.mark
        record.environment, record.configured_from = self._environment, names

    def _shadowed(self, edges: Edges) -> dict[str, str]:
        """List the folders that compilers search, and return which objects may read something that came there."""
        from . import shadows

        record = self._record
        search = shadows.Search(edges.edges, self._tree, self._environment)
        before, record.listed = record.listed, shadows.listed(search.folders, record.listed)
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
        judged, seen = self._last
        self._last = None
        self._explain(judged)
        if heal:
            self._tell(self._edges, judged, seen, configured=configured)
        self._save(settled=heal)

    def _save(self, *, settled: bool) -> None:
        record = self._record
        record.settled, record.ninja = settled, ninja_files(self._tree)
        record.save()

    def _tell(self, edges: Edges, judged: Judged, seen: Seen, *, configured: bool) -> None:
        from . import arrange

        record = self._record
        plan = arrange.plan(edges, judged, seen, record.look, self._changed, configured=configured)
        if plan.forget or plan.logged or plan.on_disk:
            # What ran is known before its times are changed: if this is cut off, they are not taken for a run's.
            if not record.has_written_made():
                self._save(settled=False)
            record.made, record.log = arrange.apply(plan, edges, record.made, record.look.files, record.log)
        self.newer.update(dict.fromkeys(map(self._shown, sorted(plan.newer))))
        self.hidden.update(dict.fromkeys(map(self._shown, sorted(plan.hidden))))

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
        configured = configured and bool(record.ninja) and now[0] == record.ninja[0]
        reasons = len(self._context.reasons)
        newer, hidden = self.newer, self.hidden
        self.newer, self.hidden, self._changed = {}, {}, set()
        self._judge()
        self.arrange(heal=heal, configured=configured)
        self.newer, self.hidden = newer, hidden
        del self._context.reasons[reasons:]
        return configured
