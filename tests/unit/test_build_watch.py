"""`--watch`: what counts as a save, and that whatever is saved during a build is built once more, and once only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Never

import pytest

from devbox.agent.files import stamp
from devbox.builds.report.summary import BuildReport
from devbox.builds.watch import Change, Saves, news, watch
from devbox.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.agent.files import Stamp
    from devbox.errors import DevboxError


def report(code: int = 0) -> BuildReport:
    return BuildReport(code, "release", "/build/release", None, 0.1)


def unexpected(error: DevboxError) -> Never:
    pytest.fail(str(error))


class TestNews:
    def found(self, folder: Path, *changes: tuple[str, str], known: dict[str, Stamp] | None = None) -> list[str]:
        all_of_them = [Change(kind, str(folder / name)) for kind, name in changes]
        return news(folder, all_of_them, known or {})

    def test_a_save_a_new_file_and_a_removed_one(self, tmp_path: Path) -> None:
        (tmp_path / "a.cu").write_text("")
        assert self.found(tmp_path, ("modified", "a.cu"), ("deleted", "b.cu")) == ["a.cu", "b.cu"]

    def test_a_file_that_came_and_went_is_none(self, tmp_path: Path) -> None:
        assert self.found(tmp_path, ("added", "4913"), ("deleted", "4913")) == []

    def test_a_time_that_healing_set_is_none_and_an_edit_after_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "a.cu"
        path.write_text("one")
        known = {str(path): stamp(path.stat())}
        assert self.found(tmp_path, ("modified", "a.cu"), known=known) == []
        path.write_text("two")
        os.utime(path, ns=(0, known[str(path)].mtime))
        assert self.found(tmp_path, ("modified", "a.cu"), known=known) == ["a.cu"]

    def test_what_git_ignores_is_none_unless_it_is_tracked(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        (tmp_path / ".gitignore").write_text("*.so\nout/\n")
        (tmp_path / "out").mkdir()
        for name in ("a.so", "kept.so", "out/x.cu", "b.cu", 'ä "odd".so'):
            (tmp_path / name).write_text("")
        subprocess.run(["git", "-C", str(tmp_path), "add", "-f", "kept.so"], check=True)
        changes = [("modified", name) for name in ("a.so", "kept.so", "out/x.cu", "b.cu", 'ä "odd".so')]
        assert self.found(tmp_path, *changes) == ["b.cu", "kept.so"]

    def test_a_build_tree_of_another_tool_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "build" / "deep").mkdir(parents=True)
        (tmp_path / "build" / "CMakeCache.txt").write_text("")
        (tmp_path / "build" / "deep" / "a.o").write_text("")
        assert self.found(tmp_path, ("added", "build/deep/a.o")) == []

    def test_a_folder_is_news_only_when_it_is_new(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        assert self.found(tmp_path, ("modified", "sub")) == []
        assert self.found(tmp_path, ("added", "sub")) == ["sub"]


class TestWatch:
    """The real watcher, and builds that only take notes."""

    def test_each_save_is_one_build_and_saves_during_a_build_are_one_more(self, tmp_path: Path) -> None:
        source = tmp_path / "a.cu"
        source.write_text("")
        builds: list[list[str]] = []
        waits = 0

        def build(changed: list[str]) -> BuildReport:
            builds.append(changed)
            if len(builds) == 2:
                for name in ("a.cu", "b.cu", "c.cu"):
                    (tmp_path / name).write_text("during the build")
            return report()

        def on_wait(_: BuildReport | None) -> None:
            nonlocal waits
            waits += 1
            if waits == 1:
                source.write_text("saved")
            elif waits == 3:
                raise KeyboardInterrupt

        assert watch(Saves(tmp_path), build, on_error=unexpected, on_wait=on_wait) == 0
        assert builds == [[], ["a.cu"], ["a.cu", "b.cu", "c.cu"]]

    @pytest.mark.parametrize("when", ["before", "with a save"])
    @pytest.mark.parametrize("odd", [b"x\xe9", b"d\xe9/x"])
    def test_a_name_that_is_no_text_is_passed_over(self, tmp_path: Path, odd: bytes, when: str) -> None:
        source, gone = tmp_path / "a.cu", tmp_path / "gone.cu"
        source.write_text("")
        gone.write_text("")
        (tmp_path / ".git").mkdir()
        path = tmp_path / os.fsdecode(odd)
        builds: list[list[str]] = []

        def save_odd() -> None:
            path.parent.mkdir(exist_ok=True)
            path.write_text("1")

        def on_wait(_: BuildReport | None) -> None:
            if len(builds) in {1, 2}:
                save_odd()
                source.write_text(f"saved {len(builds)}")
            elif len(builds) == 3:
                (tmp_path / ".git" / "index").write_text("")
                (tmp_path / "new.cu").write_text("")
                gone.unlink()
            else:
                raise KeyboardInterrupt

        def build(changed: list[str]) -> BuildReport:
            builds.append(changed)
            return report()

        if when == "before":
            save_odd()
        assert watch(Saves(tmp_path), build, on_error=unexpected, on_wait=on_wait) == 0
        assert builds == [[], ["a.cu"], ["a.cu"], ["gone.cu", "new.cu"]]

    def test_what_the_build_itself_touches_does_not_trigger(self, tmp_path: Path) -> None:
        source, other = tmp_path / "a.cu", tmp_path / "b.cu"
        source.write_text("")
        other.write_text("")
        saves = Saves(tmp_path)
        builds: list[list[str]] = []

        def build(changed: list[str]) -> BuildReport:
            builds.append(changed)
            os.utime(source, (1, 1))
            one = stamp(source.stat())
            saves.healed([["a.cu", *one]])
            return report(130 if len(builds) == 2 else 0)

        timer = threading.Timer(1.0, other.write_text, ["saved later than the healing was seen"])
        timer.start()
        assert watch(saves, build, on_error=unexpected, on_wait=lambda _: None) == 130
        assert builds == [[], ["b.cu"]]

    def test_a_build_that_cannot_begin_is_told_and_the_next_save_tries_again(self, tmp_path: Path) -> None:
        source = tmp_path / "a.cu"
        told: list[str] = []
        builds = 0

        def build(_: list[str]) -> BuildReport:
            nonlocal builds
            builds += 1
            if builds == 2:
                raise BuildError("the container is stopped")
            return report(130 if builds == 3 else 0)

        result = watch(
            Saves(tmp_path),
            build,
            on_error=lambda error: told.append(error.message),
            on_wait=lambda _: source.write_text(f"save {builds}"),
        )
        assert (result, told, builds) == (130, ["the container is stopped"], 3)

    def test_a_folder_that_cannot_be_watched_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="cannot be watched"):
            Saves(tmp_path / "missing").start()

    def test_ctrl_c_while_it_waits_ends_it_with_0(self, tmp_path: Path) -> None:
        code = """
            import sys
            from pathlib import Path
            from devbox.builds.report.summary import BuildReport
            from devbox.builds.watch import Saves, watch
            report = BuildReport(0, "k", "/t", None, 0.1)
            sys.exit(watch(Saves(Path(sys.argv[1])), lambda _: report, on_error=print,
                           on_wait=lambda _: print("waiting", flush=True)))
        """
        argv = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline() == "waiting\n"
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 0
            assert child.stderr.read() == ""
