"""Which build trees a prune takes, which trees a word names, and how ages and sizes are read."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent import history
from devbox.agent.events import Events
from devbox.agent.protocol import Look, Past, Removal, Removed, VolumesTold, VolumeTold
from devbox.agent.trees import describe, remove
from devbox.builds import volumes as host
from devbox.builds.trees import BuildTree
from devbox.builds.volumes import BuildVolume, Doomed, find_trees, prunable, with_trees
from devbox.cli.removing import parse_age
from devbox.config import kinds
from devbox.container import memory
from devbox.engine.docker import ContainerSummary, Engine
from devbox.errors import BuildError, UsageError
from devbox.reporter import Silent

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.spec import Mount

NOW = 1_000_000.0


def tree(key: str, used: float, size: int = 10, *, current: bool = False, building: bool = False) -> BuildTree:
    return BuildTree(key, f"/build/{key}", size, current, building, "closed", 1.0, used, 0, {})


def volume(name: str, *trees: BuildTree, gone: bool = False, used_by: tuple[str, ...] = ()) -> BuildVolume:
    return BuildVolume(name, f"/work/{name}", gone, used_by, trees)


ONE = volume("one", tree("a", NOW - 1, current=True), tree("b", NOW - 100), tree("c", NOW - 1000), tree("d", 0.0))
TWO = volume("two", tree("e", NOW - 10), tree("f", NOW - 500, building=True))


def names(**rules: float) -> list[str]:
    return [str(one.key) for one in prunable([ONE, TWO], now=NOW, **rules)]  # type: ignore[arg-type]


class TestPrune:
    def test_without_a_rule_only_what_belongs_to_nobody_goes(self) -> None:
        gone = volume("gone", tree("x", NOW, current=True), gone=True)
        held = volume("held", tree("y", NOW), gone=True, used_by=("devbox-held",))
        found = prunable([ONE, gone, held], now=NOW)
        assert [(one.volume, one.key) for one in found] == [("gone", None)]
        assert found[0].size == 10

    def test_a_further_checkout_goes_with_its_volume_and_else_by_the_rules(self) -> None:
        main = volume("gone", tree("x", NOW, 1, current=True), gone=True)
        side = replace(volume("gone", tree("a", NOW, 2, current=True), tree("b", 1.0, 4)), folder=".repositories/side")
        assert [(one.key, one.size) for one in prunable([main, side], now=NOW)] == [(None, 7)]
        main = replace(main, gone=False)
        (found,) = prunable([main, side], now=NOW, older_than=50.0)
        assert (found.key, found.folder) == ("b", ".repositories/side")
        assert prunable([main, replace(side, gone=True)], now=NOW) == ()

    def test_by_age(self) -> None:
        assert names(older_than=50.0) == ["b", "c", "d"]
        assert names(older_than=5000.0) == ["d"]

    def test_by_number(self) -> None:
        assert names(keep=2) == ["c", "d"]
        assert names(keep=1) == ["b", "c", "d"]

    def test_by_size_the_longest_unused_first(self) -> None:
        assert names(max_size=60) == []
        assert names(max_size=45) == ["d", "c"]
        assert names(max_size=0) == ["d", "c", "b", "e"]

    def test_what_goes_by_age_counts_for_the_size(self) -> None:
        assert names(older_than=50.0, max_size=30) == ["b", "c", "d"]

    @given(
        st.lists(st.tuples(st.floats(0, NOW), st.integers(0, 100), st.booleans(), st.booleans()), max_size=8),
        st.none() | st.floats(0, NOW),
        st.none() | st.integers(1, 5),
        st.none() | st.integers(0, 300),
    )
    def test_never_one_in_use_and_never_more_than_the_rules_say(
        self, trees: list[tuple[float, int, bool, bool]], age: float | None, keep: int | None, limit: int | None
    ) -> None:
        every = [
            tree(str(number), used, size, current=current, building=building)
            for number, (used, size, current, building) in enumerate(trees)
        ]
        found = prunable([volume("v", *every)], now=NOW, older_than=age, keep=keep, max_size=limit)
        doomed = {one.key for one in found}
        assert not doomed & {one.key for one in every if one.in_use}
        if age is None and keep is None and limit is None:
            assert not doomed
        if limit is not None:
            left = [one for one in every if one.key not in doomed]
            assert sum(one.size for one in left) <= limit or all(one.in_use for one in left)


class TestFind:
    def test_a_beginning_is_enough(self) -> None:
        assert [one.key for _, one in find_trees([ONE], ["c"])] == ["c"]

    def test_none_and_several_are_told(self) -> None:
        with pytest.raises(UsageError, match="no build tree 'z'"):
            find_trees([ONE], ["z"])
        both = volume("three", tree("release-1", 1.0), tree("release-2", 1.0))
        with pytest.raises(UsageError, match="release-1 of /work/three, release-2"):
            find_trees([both], ["rel"])
        assert len(find_trees([both], ["release-1", "release-1"])) == 1


@pytest.mark.parametrize(
    ("kept", "code", "said"),
    [("closed", 0, "ready"), ("closed", 1, "failed"), ("closed", 130, "interrupted"), ("open", -1, "interrupted"),
     ("open", 1, "failed"), ("unknown", -1, "unknown")],
)  # fmt: skip
def test_a_state_in_a_word(kept: str, code: int, said: str) -> None:
    assert replace(tree("a", NOW), state=kept, code=code).outcome == said


class TestUnits:
    @pytest.mark.parametrize(("text", "value"), [("30d", 2592000), ("12h", 43200), ("45min", 2700), ("2 w", 1209600)])
    def test_ages(self, text: str, value: float) -> None:
        assert parse_age(text) == value

    @pytest.mark.parametrize(
        ("text", "value"), [("50G", 50 << 30), ("1.5T", 3 << 39), ("800MiB", 800 << 20), ("7", 7), ("2kB", 2048)]
    )
    def test_sizes(self, text: str, value: int) -> None:
        assert kinds.size(text) == value

    @given(st.text())
    def test_anything_else_is_told(self, text: str) -> None:
        for parse in (parse_age, kinds.size):
            with contextlib.suppress(UsageError):
                assert parse(text) >= 0


class TestRemove:
    """The agent's part, on a folder that stands for a volume."""

    @pytest.fixture
    def volume(self, tmp_path: Path) -> Path:
        for key in ("a", "b"):
            (tmp_path / key).mkdir()
            (tmp_path / key / "x.o").write_bytes(b"x" * 8192)
            records = tmp_path / ".devbox/records" / key
            records.mkdir(parents=True)
            (records / "attempt.json").write_text("{}")
        (tmp_path / "current").symlink_to("a")
        return tmp_path

    def test_a_tree_goes_with_its_record(self, volume: Path) -> None:
        assert remove(str(volume), ["b"], Events(-1)) == [Removal(key="b", removed=True, why="")]
        assert not (volume / "b").exists()
        assert not (volume / ".devbox/records/b").exists()
        assert not (volume / ".devbox/trash").exists()
        assert [one.key for one in describe(str(volume))] == ["a"]

    def test_its_states_go_with_it(self, volume: Path) -> None:
        alone = describe(str(volume))[1].bytes
        for key, name in (("a", "1"), ("b", "2"), ("b", "3"), ("b", "gone.1")):
            place = volume / ".devbox/states" / key / name / "tree"
            place.mkdir(parents=True)
            (place / "x.o").write_bytes(b"x" * 8192)
        told = describe(str(volume))
        assert [one.states for one in told] == [1, 2]
        assert told[1].bytes >= alone + 3 * 8192
        remove(str(volume), ["a", "b"], Events(-1))
        assert [path.name for path in (volume / ".devbox/states").iterdir()] == ["a"]

    def test_what_cannot_be_deleted_is_in_nobodys_way(self, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unlink(path: str, *, dir_fd: int | None = None) -> None:
            raise PermissionError(path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", unlink)
            for _ in range(2):
                (volume / "b").mkdir(exist_ok=True)
                (volume / "b/x.o").write_bytes(b"x")
                assert remove(str(volume), ["b"], Events(-1))[0].removed
                assert not (volume / "b").exists()

    def test_the_current_one_stays(self, volume: Path) -> None:
        assert not remove(str(volume), ["a"], Events(-1))[0].removed
        assert (volume / "a/x.o").exists()

    def test_one_that_is_being_built_stays(self, volume: Path) -> None:
        lock = volume / ".devbox/locks/b.lock"
        lock.parent.mkdir()
        lock.write_text("")
        argv = ["flock", str(lock), "sh", "-c", f"echo 'somebody' > '{lock}'; echo held; cat"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            (done,) = remove(str(volume), ["b"], Events(-1))
            holder.communicate()
        assert done == Removal(key="b", removed=False, why="it is being built: somebody")
        assert (volume / "b/x.o").exists()

    def test_what_a_killed_removal_left_goes_with_the_next(self, volume: Path) -> None:
        left = volume / ".devbox/trash/c.1"
        left.mkdir(parents=True)
        remove(str(volume), [], Events(-1))
        assert not left.exists()


class TestHistory:
    def test_a_line_that_was_cut_off_is_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "records/history.jsonl"
        history.note(str(path), {"code": 0})
        with path.open("a") as stream:
            stream.write('{"code": 1, "reas')
        assert history.read(str(path)) == [Past(code=0)]
        assert history.read(str(tmp_path / "none")) == []

    def test_it_does_not_grow_without_end(self, tmp_path: Path) -> None:
        path = str(tmp_path / "history.jsonl")
        for number in range(200):
            history.note(path, {"code": number, "reasons": ["x" * 2000]})
        assert os.path.getsize(path) < history.BYTES + 4096  # noqa: PTH202
        assert history.read(path)[-1].code == 199


class TestHelper:
    """Which image is run with which volumes: a checkout chose it."""

    @pytest.fixture
    def seen(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[tuple[str, ...], list[str]]]:
        """Two containers of one image, one of another, and three volumes that are in no container."""
        seen = []

        def ask(request: object, mounts: list[Mount], _: Engine, *, images: tuple[str, ...], **__: object) -> object:
            names = [str(one.source) for one in mounts]
            seen.append((images, names))
            if isinstance(request, Look):
                # It says what it likes, of others too.
                told = {name: VolumeTold(trees=[], workspace=f"/told/{name}") for name in (*names, "lost", "a")}
                return VolumesTold(volumes={} if "silent" in names else told)
            return Removed(removed={one.target: [Removal(key="k", removed=True, why="")] for one in mounts})

        def has(name: str, image: str, volume: str) -> ContainerSummary:
            return ContainerSummary(name, (name,), "", image, "exited", "", 0, {}, ({"Name": volume},))

        containers = (has("1", "x", "a"), has("2", "x", "b"), has("3", "hostile", "c"), has("4", "hostile", "silent"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        monkeypatch.setattr(Engine, "containers", lambda *_, **__: containers)
        monkeypatch.setattr(Engine, "image", lambda _, name: {} if name == "last" else None)
        monkeypatch.setattr(host, "ask_helper", ask)
        memory.remember_image("kept", "last")
        memory.remember_image("lost", "removed")
        return seen

    def test_an_image_sees_no_volume_but_those_that_it_was_given_before(
        self, seen: list[tuple[tuple[str, ...], list[str]]]
    ) -> None:
        volumes = [BuildVolume(name, None, gone=False, used_by=()) for name in ("a", "b", "c", "kept", "lost")]
        found = with_trees(volumes, Engine())
        assert seen == [(("x",), ["a", "b"]), (("hostile",), ["c"]), (("last",), ["kept"])]
        assert [(one.workspace, one.closed) for one in found] == [
            ("/told/a", False), ("/told/b", False), ("/told/c", False), ("/told/kept", False), (None, True),
        ]  # fmt: skip
        assert [one.closed for one in with_trees([BuildVolume("silent", None, gone=False, used_by=())], Engine())] == [
            True
        ]

    def test_nor_does_one_that_removes_trees(self, seen: list[tuple[tuple[str, ...], list[str]]]) -> None:
        doomed = [Doomed(name, name, "k", 1, "") for name in ("c", "a")]
        assert len(host.remove(doomed, Engine(), Silent()).removed) == 2
        assert seen == [(("x",), ["a"]), (("hostile",), ["c"])]
        with pytest.raises(BuildError, match="lost"):
            host.remove([Doomed("lost", "lost", "k", 1, "")], Engine(), Silent())
