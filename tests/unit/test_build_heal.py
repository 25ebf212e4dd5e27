"""What is dirty, by content: windows between two looks, runs that prove something, and what ninja is told."""

from __future__ import annotations

import json
import os
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from devbox.agent.content import FINE_TICK_NS, UNKNOWN, Entry
from devbox.agent.files import Stamp, stamp_of
from devbox.agent.ninja import log as ninja_log
from devbox.agent.ninja.log import Mark
from devbox.agent.proof import by_time, cmake_files, configured, kept, look, shadows
from devbox.agent.proof.arrange import apply, plan
from devbox.agent.proof.by_content import ByContent
from devbox.agent.proof.configured import Hidden, Pattern
from devbox.agent.proof.edges import Edges, libraries, named_in, read_depfile
from devbox.agent.proof.git import Git
from devbox.agent.proof.judge import Judged, Seen, judge, names_to_look_at, to_judge
from devbox.agent.proof.kept import Kept
from devbox.agent.proof.look import Eye, Look, Window
from devbox.agent.proof.made import NOT_PROVEN, Made, version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECOND = 1_000_000_000
NINJA = """\
rule C
  command = cc
  deps = gcc
rule LINK
  command = ld
rule CUSTOM_COMMAND
  command = $COMMAND
build gen.h: CUSTOM_COMMAND gen.in
  restat = 1
build a.o: C a.c || gen.h
build b.o: C b.c | gen.h
build all.so: LINK a.o b.o
"""


class Tree:
    """A tree without a compiler: its edges, a log, and looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "build.ninja").write_text(NINJA)
        for name in ("gen.in", "a.c", "b.c", "gen.h", "a.o", "b.o", "all.so"):
            self.write(name, name)
        lines = ["gen.h", "a.o", "b.o", "all.so"]
        text = "".join(f"{n * 10}\t{n * 10 + 5}\t{2**61}\t{name}\t{n}\n" for n, name in enumerate(lines))
        (folder / ".ninja_log").write_text("# ninja log v5\n" + text)
        self.eye = Eye(str(folder), Git(str(folder)))
        self.edges = Edges(str(folder))
        self.look = self.eye.look(names_to_look_at(self.edges), look.NOTHING)
        self.made: dict[str, Made] = {}
        self.log = ninja_log.NOT_READ

    def write(self, name: str, text: str, mtime: int = 1) -> None:
        (self.folder / name).write_text(text)
        os.utime(self.folder / name, (mtime, mtime))

    def judge(self, environment: str = "") -> Judged:
        was, self.edges = self.look, Edges(str(self.folder))
        self.look = self.eye.look(names_to_look_at(self.edges), was)
        stamps = {name: stamp_of(str(self.folder / name)) for edge in self.edges.edges for name in edge.outputs}
        lines, self.log, _ = ninja_log.read(str(self.folder), self.log)
        self.seen = Seen(lines, stamps, environment)
        judged = judge(self.edges, self.made, self.seen, Window(was, self.look, self.eye))
        self.made = judged.made
        return judged

    def dirty(self, environment: str = "") -> list[str]:
        return [edge.outputs[0] for edge, _ in self.judge(environment).dirty]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    one = Tree(tmp_path)
    assert one.dirty() == []
    return one


class TestJudging:
    def test_another_content_is_dirty_whatever_its_time(self, tree: Tree) -> None:
        tree.write("a.c", "another", mtime=2)
        assert tree.dirty() == ["a.o"]
        tree.write("a.c", "a.c", mtime=9)
        assert tree.dirty() == []

    def test_what_is_only_ordered_is_not_read(self, tree: Tree) -> None:
        tree.write("gen.h", "another")
        assert tree.dirty() == ["gen.h", "b.o"]

    def test_a_generated_file_with_what_it_held_is_as_it_was(self, tree: Tree) -> None:
        tree.write("gen.h", "gen.h", mtime=7)
        assert tree.dirty() == []

    def test_what_somebody_wrote_does_not_become_what_was_made_by_being_seen_twice(self, tree: Tree) -> None:
        tree.write("gen.h", "by hand")
        assert tree.dirty() == ["gen.h", "b.o"]
        assert tree.dirty() == ["gen.h", "b.o"]

    @pytest.mark.parametrize("name", ["gen.h", "stamp"])
    def test_what_a_command_made_anew_is_another_whatever_it_holds(self, tmp_path: Path, name: str) -> None:
        tree = Tree(tmp_path)
        (tmp_path / "build.ninja").write_text(NINJA.replace("gen.h", name))
        log = tmp_path / ".ninja_log"
        log.write_text(log.read_text().replace("gen.h", name))
        tree.write(name, "" if name == "stamp" else "gen.h")
        tree.judge()
        assert tree.dirty() == []
        log.write_text(log.read_text() + f"50\t55\t{2**61}\t{name}\t0\n")
        tree.write(name, "" if name == "stamp" else "gen.h", mtime=7)
        assert tree.dirty() == ["b.o"]

    def test_a_command_that_ran_again_in_the_same_milliseconds_ran_again(self, tree: Tree) -> None:
        log = tree.folder / ".ninja_log"
        log.write_text(log.read_text() + next(line for line in log.read_text().splitlines(True) if "a.o" in line))
        tree.write("a.o", "made anew")
        assert tree.dirty() == ["all.so"]

    def test_a_log_that_was_written_anew_tells_of_no_run(self, tree: Tree) -> None:
        log = tree.folder / ".ninja_log"
        first, *lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join([first, *reversed(lines), lines[1]]))
        tree.write("a.o", "by hand")
        assert tree.dirty() == ["a.o"]

    def test_what_a_command_left_as_it_was_is_as_it_was(self, tree: Tree) -> None:
        log = tree.folder / ".ninja_log"
        said = log.read_text()
        log.write_text(said.replace("gen.h", "forgotten"))
        assert tree.dirty() == []
        log.write_text(said + f"50\t55\t{2**61}\tgen.h\t0\n")
        assert tree.dirty() == []

    def test_a_log_in_another_order_does_not_prove_an_output_that_is_newer(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        os.utime(tmp_path / "a.o", ns=(2**62, 2**62))  # it was made again after all.so, whose line came last
        log = tmp_path / ".ninja_log"
        log.write_text(log.read_text().replace(f"{2**61}\ta.o", f"{2**62}\ta.o"))
        assert tree.judge().unproven == ["all.so"]

    def test_a_command_that_left_one_of_its_outputs_is_not_late_for_having_waited(self, tmp_path: Path) -> None:
        """ninja logs the time of its newest input, which was there long before the command had a turn."""
        tree = Tree(tmp_path)
        build = tmp_path / "build.ninja"
        build.write_text(build.read_text().replace("build gen.h:", "build gen.h gen.c:"))
        tree.write("gen.c", "left", mtime=2**33)
        now = (tmp_path / "gen.c").stat().st_ctime_ns
        lines = [(8990, 8995, now - 9 * SECOND, name) for name in ("gen.h", "gen.c")] + [(0, 9000, now, "a.o")]
        text = "".join(f"{start}\t{end}\t{time}\t{name}\t{name}\n" for start, end, time, name in lines)
        (tmp_path / ".ninja_log").write_text("# ninja log v5\n" + text)
        assert "gen.h" not in tree.judge().unproven

    def test_an_object_is_known_by_its_stamp(self, tree: Tree) -> None:
        tree.write("a.o", "a.o", mtime=7)
        assert tree.dirty() == ["a.o"]

    def test_what_compilers_read_in_the_environment_counts(self, tree: Tree) -> None:
        assert set(tree.dirty("CPATH=/x")) == {"gen.h", "a.o", "b.o", "all.so"}

    def test_a_run_proves_nothing_where_an_input_moved_in_its_window(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        tree.write("b.c", "b.c", mtime=7)
        judged = tree.judge()
        assert judged.unproven == ["b.o"]
        assert tree.dirty() == ["b.o"]  # and it stays so until it runs again

    def test_a_run_proves_nothing_where_its_output_was_written_after_it(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        log = tmp_path / ".ninja_log"
        log.write_text(log.read_text().replace(f"{2**61}\ta.o", "1000000000\ta.o"))
        tree.write("a.o", "by hand", mtime=2)
        assert "a.o" in tree.judge().unproven

    def test_a_header_that_was_made_while_its_user_compiled_proves_nothing(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        log = tmp_path / ".ninja_log"
        log.write_text(log.read_text().replace("20\t25", "3\t25"))
        assert tree.judge().unproven == ["b.o"]

    def test_what_is_not_there_is_left_to_ninja(self, tree: Tree) -> None:
        (tree.folder / "a.o").unlink()
        judged = tree.judge()
        assert "a.o" not in [edge.outputs[0] for edge in judged.clean]
        assert [edge.outputs[0] for edge, _ in judged.dirty] == ["all.so"]

    def test_one_of_two_names_of_a_library_that_is_gone_is_left_to_ninja(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path)
        ninja = NINJA.replace("build all.so:", "build all.so all.so.1:") + "build all: phony all.so all.so.1\n"
        (tmp_path / "build.ninja").write_text(ninja)
        log = tmp_path / ".ninja_log"
        log.write_text(log.read_text() + log.read_text().splitlines()[-1].replace("all.so", "all.so.1") + "\n")
        assert tree.dirty() == []
        assert "all.so" not in [edge.outputs[0] for edge in tree.judge().clean]


class TestTelling:
    def test_what_is_clean_gets_the_time_of_its_newest_input(self, tree: Tree) -> None:
        log = tree.folder / ".ninja_log"
        log.write_text(log.read_text().replace(str(2**61), "1000000000"))
        tree.made = {name: one._replace(mtime=1_000_000_000) for name, one in tree.made.items()}
        tree.write("a.c", "a.c", mtime=50)
        tree.write("b.c", "another", mtime=1)
        judged = tree.judge()
        done = plan(tree.edges, judged, tree.seen, tree.look, {"b.c"}, configured=True)
        assert done.forget == {"b.o"}
        assert done.logged == {"a.o": 50 * SECOND, "all.so": 50 * SECOND}
        assert done.on_disk == {"a.o": 50 * SECOND, "all.so": 50 * SECOND}
        assert (done.newer, done.hidden) == ({"a.c"}, {"b.c"})

    def test_the_log_forgets_and_keeps(self, tmp_path: Path) -> None:
        (tmp_path / ".ninja_log").write_text("# ninja log v5\n0\t1\t5\ta\tx\n0\t2\t5\tb c\ty\nbroken\n")
        before = ninja_log.identity(str(tmp_path))
        ninja_log.rewrite(str(tmp_path), (), {"b c": 9})
        assert ninja_log.identity(str(tmp_path)) == before
        ninja_log.rewrite(str(tmp_path), {"a"}, {})
        assert ninja_log.read(str(tmp_path)).lines == {"b c": ninja_log.Line(0, 2, 9, "y")}


def entry(content: str = "a", mtime: int = 500, *, ctime: int | None = None, inode: int = 1) -> Entry:
    return Entry(content, mtime, 10, mtime if ctime is None else ctime, inode, 1)


def test_what_is_judged_again_says_what_all_would_say(tmp_path: Path) -> None:
    """Whatever moved: edits, runs, and what people do to outputs and to ninja's record."""
    tree, rng = Tree(tmp_path), Random(7)
    more = "build c.o: C a.c | gen.h\nbuild group: phony b.o c.o\nbuild last.so: LINK group all.so | gen.in\n"
    (tmp_path / "build.ninja").write_text(NINJA + more)
    outputs = ["gen.h", "a.o", "b.o", "c.o", "all.so", "last.so"]
    chosen_of_all = 0

    def run(name: str) -> None:
        tree.write(name, f"{rng.random()}")
        with (tmp_path / ".ninja_log").open("a") as log:
            log.write(f"{rng.randrange(99)}\t{rng.randrange(100, 199)}\t{2**61}\t{name}\t{rng.randrange(3)}\n")

    for name in outputs:
        run(name)
    tree.judge()
    for _ in range(60):
        for _ in range(rng.randrange(1, 4)):
            step = rng.randrange(6)
            if step < 2:
                tree.write(rng.choice(["gen.in", "a.c", "b.c"]), rng.choice("xy"), mtime=rng.choice([1, 2**32]))
            elif step < 4:
                run(rng.choice(outputs))
            elif step == 4:
                tree.write(rng.choice(outputs), "by hand")
            else:
                (tmp_path / rng.choice(outputs)).unlink(missing_ok=True)
        was, made = tree.look, tree.made
        judged = tree.judge()
        window = Window(was, tree.look, tree.eye)
        chosen = to_judge(tree.edges, made, tree.seen, window)
        again = judge(tree.edges, made, tree.seen, window, chosen)
        assert (again.made, again.dirty) == (judged.made, judged.dirty)
        assert {*judged.clean} - {*again.clean} == {edge for edge in judged.clean if edge not in chosen}
        both = [
            plan(tree.edges, judged, tree.seen, tree.look, set(), configured=True, chosen=one) for one in (None, chosen)
        ]
        assert both[0] == both[1]
        chosen_of_all += len(chosen)
        tree.made, tree.log, _ = apply(both[0], tree.edges, judged.made, tree.look.files, tree.log)
    assert 0 < chosen_of_all < 60 * len(tree.edges.edges)


class TestWindows:
    @pytest.fixture
    def moved(self, tmp_path: Path) -> Callable[..., bool]:
        eye = Eye(str(tmp_path), Git(str(tmp_path)))

        def ask(before: Entry | None, after: Entry, *, step: int = 0) -> bool:
            was = Look({"f": before} if before else {}, {}, SECOND, SECOND)
            return Window(was, Look({"f": after}, {}, 2 * SECOND + step, 2 * SECOND), eye).moved("f")

        return ask

    def test_a_stamp_that_is_the_same(self, moved: Callable[..., bool]) -> None:
        assert not moved(entry(), entry())
        for other in (entry(mtime=501), entry(ctime=501), entry(inode=2), entry("b")):
            assert moved(entry(), other)

    def test_what_nobody_looked_at_before_is_judged_by_a_steady_clock(self, moved: Callable[..., bool]) -> None:
        assert not moved(None, entry(ctime=SECOND - 2 * FINE_TICK_NS))
        assert moved(None, entry(ctime=SECOND))
        assert moved(None, entry(ctime=SECOND - 1))
        assert moved(None, entry(ctime=500), step=3600 * SECOND)
        assert moved(None, Entry(UNKNOWN, 0, 0, 0, 0, 0))

    @pytest.mark.parametrize("what", ["folder", "link", "none"])
    def test_the_way_to_a_file_counts(self, tmp_path: Path, what: str) -> None:
        top = tmp_path / "top"
        (top / "real").mkdir(parents=True)
        (top / "real" / "x.h").write_text("x")
        (top / "other").mkdir()
        (top / "link").symlink_to("real")
        eye = Eye(str(tmp_path / "tree"), Git(str(tmp_path)))
        name = str(top / "link" / "x.h")
        before = eye.look([name], look.NOTHING)
        if what == "folder":
            (top / "real").rename(top / "away")
            (top / "away").rename(top / "real")
        elif what == "link":
            (top / "link").unlink()
            (top / "link").symlink_to("other")
            (top / "link").unlink()
            (top / "link").symlink_to("real")
        else:
            (top / "real" / "new.h").write_text("a file that came is no move")
        after = eye.look([name], before)
        assert after.files == before.files
        assert Window(before, after, eye).moved(name) == (what != "none")


class TestByTime:
    def test_what_make_may_miss_is_raised(self) -> None:
        known = {"f": entry("a", 500)}
        for now, raised in [
            (entry("a", 500), False),  # nobody touched it
            (entry("a", 900), False),  # newer, so made again: in doubt, rebuild
            (entry("a", 400), True),  # what was built was newer, and may have been another
            (entry("b", 900), True),  # older than what the tree has seen
            (entry("b", 3000), False),
            (entry(UNKNOWN, 900), True),
        ]:
            assert by_time.to_raise({"f": now}, known, seen=2000) == (["f"] if raised else []), now
        assert by_time.to_raise({"f": entry("b", 900)}, {}, seen=2000) == ["f"]
        assert by_time.to_raise({"f": entry("@b", 3000)}, known, seen=2000) == ["f"]


class TestTheRecord:
    FILES: ClassVar = {
        "a.c": Entry("0" * 32, 7, 3, 9, 2, 1),
        "gone": Entry(UNKNOWN, 0, 0, 0, 0, 0),
        "HEAD\nä\udcff": Entry("refs/heads/main=" + "f" * 40, -1, 2**63, -1, 2**64 - 1, 2),
        "model": Entry("f.1.2.3", 2**70, 1, 1, 1, 1),
    }
    MADE: ClassVar = {
        "a.o": Made(1, 5, 10**18, "f" * 16, "a" * 32, "9.8.7", Stamp(7, 3, 9, 2)),
        "b.o": Made(2, 3, 5, "abc", NOT_PROVEN, version(Stamp(7, 1, 7, 5)), Stamp(7, 1, 7, 5)),
    }

    def kept(self, folder: Path) -> Kept:
        record = Kept(str(folder))
        record.look = Look(self.FILES, {"/": Stamp(1, 2, 3, 4, 5)}, SECOND, SECOND)
        record.made, record.configured_from = self.MADE, ["/w/CMakeLists.txt"]
        record.hidden = Hidden([Pattern("/w", ["*.c"], recurses=False)], git=True, tags=False, files=["x"], made=["y"])
        return record

    def read(self, folder: Path) -> Kept:
        again = Kept(str(folder))
        again.load()
        return again

    def is_whole(self, folder: Path) -> bool:
        whole, again = self.kept(folder), self.read(folder)
        return all(
            getattr(whole, name) == getattr(again, name) for name in ("look", "made", "hidden", "configured_from")
        )

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        self.kept(tmp_path).save()
        assert self.is_whole(tmp_path)

    def test_what_an_earlier_version_wrote_is_read_until_it_is_written_anew(self, tmp_path: Path) -> None:
        one = self.kept(tmp_path)
        plain = {name: getattr(one, name) for name in kept.PLAIN}
        said = {"look": one.look._asdict(), "hidden": one.hidden, "log": [7, "x"], **plain}
        (tmp_path / kept.FILES).write_text(json.dumps(said))
        (tmp_path / kept.MADE).write_text(json.dumps(one.made))
        assert self.is_whole(tmp_path)
        assert self.read(tmp_path).log == Mark(7, "x")
        self.read(tmp_path).save()
        assert [path.name for path in tmp_path.iterdir()] == [kept.KNOWN]
        assert self.is_whole(tmp_path)

    def test_what_is_damaged_says_nothing(self, tmp_path: Path) -> None:
        self.kept(tmp_path).save()
        path = tmp_path / kept.KNOWN
        whole = path.read_bytes()
        for end in range(1, len(whole)):
            path.write_bytes(whole[:end])
            again = self.read(tmp_path)
            assert (again.look, again.made) == (look.NOTHING, {}), end

    def test_of_many_files_it_is_small(self, tmp_path: Path) -> None:
        """Of a source and its object, a fifth of what JSON took."""
        count, rng = 2000, Random(1)
        record = Kept(str(tmp_path))
        for number in range(count):
            mtime = 1_700_000_000_000_000_000 + rng.randrange(10**12)
            stamp = Stamp(mtime, rng.randrange(9999), mtime + rng.randrange(10**6), 10**7 + number)
            path = f"src/part{number // 100}/file{number}.c"
            record.look.files[f"/workspaces/tree/{path}"] = Entry(rng.randbytes(16).hex(), *stamp)
            run = (number * 10, number * 10 + 99, mtime - 10**8, rng.randbytes(8).hex(), rng.randbytes(16).hex())
            record.made[f"CMakeFiles/some.dir/{path}.o"] = Made(*run, version(stamp), stamp)
        record.save()
        assert (tmp_path / kept.KNOWN).stat().st_size <= 120 * count


class TestTheCourseOfAnAttempt:
    MORE = (
        "rule CMAKE\n  command = cmake\n  generator = 1\nbuild build.ninja config.h: CMAKE {top}/CMakeLists.txt\n"
        "build c.o: C c.c | config.h\n"
    )

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Tree:
        """Have a tree that was looked at before ninja ran by hand."""
        (tmp_path / "tree").mkdir()
        (tmp_path / "CMakeLists.txt").touch()
        tree = Tree(tmp_path / "tree")
        (tree.folder / "build.ninja").write_text(NINJA + self.MORE.format(top=tmp_path))
        for name in ("c.c", "c.o", "config.h"):
            tree.write(name, name)
        os.utime(tree.folder / "a.c", ns=(2**62, 2**62))
        log = tree.folder / ".ninja_log"
        log.write_text(log.read_text().replace("v5", "v6") + f"50\t55\t{2**61}\tc.o\t1\n")
        edges = Edges(str(tree.folder))
        record = Kept(str(tmp_path / "record"))
        eye = Eye(str(tree.folder), Git(str(tmp_path)))
        record.look = eye.look([*names_to_look_at(edges), *edges.configured_from()], look.NOTHING)
        record.save()
        return tree

    def proof(self, tree: Tree) -> ByContent:
        top = tree.folder.parent
        decided = SimpleNamespace(tree=str(tree.folder), source=str(top), workspace=str(top), key="key")
        records = SimpleNamespace(folder_of=lambda _: str(top / "record"), all_keys=list)
        context: Any = SimpleNamespace(decided=decided, records=records, reasons=[], events=SimpleNamespace(warn=print))
        return ByContent(context, "", {})

    def test_one_that_is_cut_off_while_it_tells_ninja(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = ninja_log.rewrite

        def cut_off(*args: Any) -> None:
            whole(*args)
            raise KeyboardInterrupt

        proof = self.proof(tree)
        proof.look()
        with monkeypatch.context() as patched:
            patched.setattr(ninja_log, "rewrite", cut_off)
            with pytest.raises(KeyboardInterrupt):
                proof.arrange(heal=True)
        tree.write("a.c", "another")
        proof = self.proof(tree)
        proof.look()
        proof.arrange(heal=True)
        assert "a.o" not in ninja_log.read(str(tree.folder)).lines

    def test_the_times_that_it_sets_are_no_moves(self, tree: Tree) -> None:
        os.utime(tree.folder.parent / "CMakeLists.txt", ns=(2**62, 2**62))
        proof = self.proof(tree)
        proof.look()
        proof.arrange(heal=True)
        record = Kept(str(tree.folder.parent / "record"))
        record.load()
        now = stamp_of(str(tree.folder / "config.h"))
        assert now is not None
        assert now.mtime == 2**62
        assert record.look.files["config.h"].stamp._replace(device=0) == now

    def test_what_cmake_says_that_it_made_and_somebody_changed(self, tree: Tree) -> None:
        proof = self.proof(tree)
        proof.look()
        proof.arrange(heal=True)
        tree.write("config.h", "by hand")
        proof = self.proof(tree)
        proof.look()
        assert proof.why_configure("") == ["config.h was changed by hand, which cmake made"]


def test_depfiles(tmp_path: Path) -> None:
    path = tmp_path / "x.d"
    path.write_text("out.h: a\\ b.in \\\n  /w/c$$d.in\n\n/w/e.in:\n")
    assert read_depfile(str(path)) == ["a b.in", "/w/c$d.in"]
    assert read_depfile(str(tmp_path / "none")) == []


def test_a_look_tells_devices_apart_and_a_volume_s_stamps_outlast_a_reboot(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    here = stamp_of(str(path))
    assert here is not None
    assert here.device == 0
    seen = Eye(str(tmp_path), Git(str(tmp_path))).look(["f"], look.NOTHING).files["f"]
    assert seen.stamp == here._replace(device=path.stat().st_dev)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("file(GLOB A ${CMAKE_CURRENT_SOURCE_DIR}/src/*.c)", ["src/a.c"]),
        ("file(GLOB A RELATIVE ${X} CONFIGURE_DEPENDS src/*.c *.h)", ["src/a.c", "top.h"]),
        ('file(GLOB_RECURSE A "*.c")', ["src/a.c", "src/deep/b.c"]),
        ("set(D src/deep)\nfile(GLOB A ${D}/*.c)", ["src/deep/b.c"]),
        ("if(X)\nset(D src)\nelse()\nset(D src/deep)\nendif()\nfile(GLOB A ${D}/*.c)", ["src/a.c", "src/deep/b.c"]),
        ("file(GLOB A ${UNKNOWN}/*.h)", ["src/deep/c.h", "top.h"]),
        ("file(GLOB A ${ELSEWHERE}/*.y)", ["../outside/b.y", "more/a.y"]),
        ("set(E ${E}/x)\nfile(GLOB A ${E}/*.z)", []),
        ("file(GLOB_RECURSE A *.x)", ["venv/m.x"]),
        ("file(GLOB A ${UNKNOWN}/*.x)", []),
        ("# file(GLOB A *.h)\naux_source_directory(src A)", ["src/a.c", "src/deep"]),
    ],
)
def test_what_a_glob_finds(tmp_path: Path, text: str, names: list[str]) -> None:
    top = tmp_path / "top"
    files = ("src/a.c", "more/a.y", "src/deep/b.c", "src/deep/c.h", "top.h", "venv/m.x", "venv/pyvenv.cfg")
    for name in (*files, "../outside/b.y"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    (top / "CMakeLists.txt").write_text(text)
    (top / "elsewhere.cmake").write_text("set(ELSEWHERE ${CMAKE_CURRENT_LIST_DIR}/../outside)\n")
    hidden = cmake_files.read([str(top / "CMakeLists.txt"), str(top / "elsewhere.cmake")], str(top), "/tree")
    found = sorted(os.path.relpath(name, top) for one in hidden.globs for name in configured.found(one))
    assert found == names


@pytest.mark.parametrize(
    ("text", "there", "comes"),
    [
        ("if(EXISTS ${CMAKE_SOURCE_DIR}/new)", "a", "new"),
        ("if(A AND NOT IS_DIRECTORY new)", "a", "new/b"),
        ("include(new.cmake OPTIONAL)", "a", "new.cmake"),
        ("find_file(F new.txt PATHS ${CMAKE_SOURCE_DIR}/early NO_DEFAULT_PATH)", "early/a", "early/new.txt"),
        ("find_library(F NAMES new HINTS early)", "early/a", "early/libnew.a"),
        ("file(COPY folder DESTINATION ${CMAKE_BINARY_DIR})", "folder/a", "folder/inner/new"),
    ],
)
def test_what_cmake_asks_for_and_comes(tmp_path: Path, text: str, there: str, comes: str) -> None:
    def hidden() -> list[str]:
        return [name for one in cmake_files.read([str(path)], str(tmp_path), "/tree").globs for name in found(one)]

    path = tmp_path / "CMakeLists.txt"
    path.write_text(text)
    found = configured.found
    for name in (there, comes):
        before = hidden()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert hidden() != before


@pytest.mark.parametrize(
    "text", ["file(COPY_FILE x.in o)", "file(INSTALL folder x.in DESTINATION o)", "file(COPY folder)"]
)
def test_what_cmake_copies(tmp_path: Path, text: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("x.in", "folder/y.in", "CMakeLists.txt"):
        (tmp_path / name).write_text(text)
    files = cmake_files.read([str(tmp_path / "CMakeLists.txt")], str(tmp_path), "/tree").files
    assert {*files} == {str(tmp_path / name) for name in ("x.in", "folder/y.in") if name.partition("/")[0] in text}


def test_files_that_commands_name(tmp_path: Path) -> None:
    top, tree = tmp_path / "a checkout", tmp_path / "tree"
    for folder in (top / "late", top / "early", tree):
        folder.mkdir(parents=True)
    for name in ("run.sh", "l.ld", "late/libz.a", "late/z.o"):
        (top / name).touch()
    (top / "inner.rsp").write_text(f"'-I{top}/late'")
    (top / "flags.rsp").write_text(f"-DX '@{top}/inner.rsp' @none")
    for command, names in [
        (f"cc '@{top}/flags.rsp' -c x", ["flags.rsp", "inner.rsp"]),
        (f"$LAUNCH '{top}/run.sh' cc $FLAGS", ["run.sh"]),
        ("cc -Wl,-T,'../a checkout/l.ld'", ["l.ld"]),
        (f"cd '{top}' && sh run.sh '{top}/late'", ["run.sh"]),
        ("cc x.c", []),
    ]:
        assert named_in(command, str(top), str(tree)) == [str(top / name) for name in names], command
    link = f"'-L{top}/early' '-L{top}/late' -lz -l:z.o"
    assert libraries(link) == [str(top / "late/libz.a"), str(top / "late/z.o")]
    (top / "early/z.o").touch()
    assert libraries(link)[1:] == [str(top / "early/z.o"), str(top / "late/z.o")]
    assert shadows.searched(f"'@{top}/flags.rsp'", str(tree)) == [str(top / "late")]
    assert shadows.searched("--sysroot=/r -I=/x", "/t") == ["/r/x", "/r/usr/local/include", "/r/usr/include"]


def test_a_file_that_becomes_a_folder_is_a_name_that_comes(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    known = shadows.listed([str(tmp_path)], {})
    (tmp_path / "x").unlink()
    (tmp_path / "x").mkdir()
    assert shadows.new_names(known, shadows.listed([str(tmp_path)], known)) == {str(tmp_path): {"x/"}}


def test_where_git_is_asked_for_a_version(tmp_path: Path) -> None:
    path = tmp_path / "version.cmake"
    for text, asked in [
        ("execute_process(COMMAND git describe --tags)", True),
        ("execute_process(COMMAND ${GIT_EXECUTABLE} -c log.showSignature=false log -1 --format=%H)", True),
        ("find_package(Git)", False),
    ]:
        path.write_text(text)
        assert cmake_files.read([str(path)], str(tmp_path), "/tree").git == asked


def test_where_compilers_search() -> None:
    flags = '-I/a -I "/with space" -isystem /s/x/.. -DX=-I/no -idirafter rel -isystem=/cuda'
    assert shadows.searched(flags, "/tree") == ["/a", "/with space", "/s", "/tree/rel", "/cuda"]


def test_a_folder_is_listed_after_the_tick_in_which_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(shadows, "await_tick", lambda stamps: waited.extend(stamp.ctime for stamp in stamps))
    known = shadows.listed([str(tmp_path)], {})
    shadows.listed([str(tmp_path)], known)
    assert waited == [tmp_path.stat().st_ctime_ns]


DYNAMIC = """\
rule CXX
  command = cc
  deps = gcc
build m.o: CXX m.cc || modules.dd
  dyndep = modules.dd
build user.o: CXX user.cc || modules.dd
  dyndep = modules.dd
"""


def test_what_a_dyndep_file_says_is_of_the_edge(tmp_path: Path) -> None:
    (tmp_path / "build.ninja").write_text(DYNAMIC)
    (tmp_path / "modules.dd").write_text(
        "ninja_dyndep_version = 1.0\nbuild m.o | m.gcm: dyndep\n  restat = 1\nbuild user.o: dyndep | m.gcm\n"
    )
    edges = Edges(str(tmp_path))
    made, user = edges.maker["m.o"], edges.maker["user.o"]
    assert (made.names, made.outputs, made.restat) == (["m.o", "m.gcm"], ["m.o", "m.gcm"], True)
    assert (user.inputs, user.restat) == (["user.cc", "m.gcm"], False)
    assert edges.maker["m.gcm"] is made


def test_a_variable_with_more_values_than_are_followed_stands_for_any(tmp_path: Path) -> None:
    """A file that comes where the 64th or a later value leads is a reason to configure, too."""
    for number in range(99):
        (tmp_path / f"part{number}").mkdir()
    lines = [f"set(PART part{number})" for number in range(99)]
    (tmp_path / "CMakeLists.txt").write_text("\n".join([*lines, "file(GLOB SOURCES ${PART}/*.cpp)"]))
    (tmp_path / "part1/new.cpp").touch()
    (tmp_path / "part98/new.cpp").touch()
    hidden = cmake_files.read([str(tmp_path / "CMakeLists.txt")], str(tmp_path), str(tmp_path / "build"))
    seen = {path for one in hidden.globs for path in configured.found(one)}
    assert {str(tmp_path / "part1/new.cpp"), str(tmp_path / "part98/new.cpp")} <= seen
