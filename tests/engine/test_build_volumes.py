"""Build volumes with a real engine: listed and pruned without a container, seeded, shared by two, short of memory."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.builds.volumes import BuildVolume, Doomed, build_volumes, details, find_trees, remove, with_trees
from devbox.devcontainer.identity import volume_name
from devbox.errors import BuildError, UsageError
from devbox.reporter import Silent
from tests.engine.lab import COUNT, Place, part, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine


class Said(Silent):
    """Keeps what is said, and lets others wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.waiting = threading.Event()

    def info(self, text: str) -> None:
        self.lines.append(text)
        if text.startswith("waiting for"):
            self.waiting.set()


@pytest.fixture
def place(engine: Engine, image: str, tmp_path: Path, engine_name: Callable[[str], str]) -> Iterator[Place]:
    """A workspace whose volumes have the names that `devbox up` gives them."""
    work = small_tree(tmp_path / "small")
    one = Place(engine, image, engine_name, work, volume_name(os.getuid(), "build", work), engine_name("ccache"))
    yield one.start()
    forget(one)


def forget(place: Place) -> None:
    if place.target is not None:
        place.engine.run(["rm", "--force", place.inside.container], check=False)
    place.engine.run(["volume", "rm", "--force", place.volume], check=False)


def another(place: Place, folder: Path) -> Place:
    volume = volume_name(os.getuid(), "build", folder)
    return replace(place, workspace=small_tree(folder), volume=volume, target=None)


def volume_of(place: Place, engine: Engine) -> BuildVolume:
    (found,) = with_trees([one for one in build_volumes(engine) if one.name == place.volume], engine)
    return found


class TestListing:
    def test_trees_are_listed_and_removed_without_a_container(self, place: Place, engine: Engine) -> None:
        release = place.build(jobs=1)
        debug = place.build(build_type="Debug")
        engine.run(["rm", "--force", place.inside.container])
        place.target = None
        found = volume_of(place, engine)
        assert found.workspace == str(place.workspace)
        assert not found.gone
        assert [tree.key for tree in found.trees] == [debug.key, release.key]
        assert all(tree.size > 0 and tree.path == f"/build/{tree.key}" for tree in found.trees)
        assert [bool(tree.in_use) for tree in found.trees] == [True, False]
        about = details(found, release.key, engine)
        assert about.sources == 4
        assert about.history[-1].compiled == COUNT
        assert about.history[-1].reasons == ("configured: the tree is new",)
        assert any(argument.startswith("-DCMAKE_BUILD_TYPE") for argument in about.arguments)

        ((_, tree),) = find_trees([found], [release.key[:12]])
        done = remove([Doomed(found.name, found.title, tree.key, tree.size, "")], engine, Silent())
        assert [one.key for one in done.removed] == [release.key]
        refused = remove([Doomed(found.name, found.title, debug.key, 1, "")], engine, Silent())
        assert "built last" in refused.kept[0].reason
        assert [tree.key for tree in volume_of(place, engine).trees] == [debug.key]
        place.start()
        assert place.build(build_type="Debug").commands == 0
        owners = place.run("find", "/build", "-user", "root")
        assert owners == ""

    def test_trees_of_a_further_checkout_are_listed_and_removed(self, place: Place, engine: Engine) -> None:
        own_key = place.build().key
        side = Path("/nowhere/side")
        place.target = place.inside._replace(volume="/build/.repositories/side", workspace=side)
        first, last = place.build().key, place.build(build_type="Debug").key
        own, further = with_trees([one for one in build_volumes(engine) if one.name == place.volume], engine)
        assert [tree.key for tree in own.trees] == [own_key]
        assert (further.title, further.gone, further.folder) == (str(side), True, ".repositories/side")
        assert [tree.path for tree in further.trees] == [f"/build/.repositories/side/{key}" for key in (last, first)]
        assert [bool(tree.in_use) for tree in further.trees] == [True, False]
        assert details(further, first, engine).history[-1].compiled == COUNT

        doomed = Doomed(further.name, further.title, first, 1, "", further.folder)
        assert remove([doomed], engine, Silent()).removed == (doomed,)
        own, further = with_trees([own], engine)
        assert ([tree.key for tree in own.trees], [tree.key for tree in further.trees]) == ([own_key], [last])

    def test_a_tree_that_is_being_built_is_not_removed(self, place: Place, engine: Engine) -> None:
        key = place.build().key
        place.build(build_type="Debug")
        holder = ["flock", f"/build/.devbox/locks/{key}.lock", "sh", "-c", "echo held; cat"]
        argv = ["docker", "exec", "-i", "-u", place.inside.user, place.inside.container, *holder]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            found = volume_of(place, engine)
            assert [tree.building for tree in found.trees if tree.key == key] == [True]
            done = remove([Doomed(found.name, found.title, key, 1, "")], engine, Silent())
            process.communicate()
        assert "being built" in done.kept[0].reason

    def test_a_volume_whose_workspace_is_gone_is_known_by_what_it_says(
        self, place: Place, engine: Engine, tmp_path: Path
    ) -> None:
        place.build()
        engine.run(["rm", "--force", place.inside.container])
        place.target = None
        place.workspace.rename(tmp_path / "moved")
        found = volume_of(place, engine)
        assert (found.workspace, found.gone) == (str(place.workspace), True)
        done = remove([Doomed(found.name, found.title, None, found.size, "")], engine, Silent())
        assert len(done.removed) == 1
        assert engine.volume(place.volume) is None


class TestSeeding:
    def test_a_second_workspace_starts_as_a_copy(self, place: Place, engine: Engine, tmp_path: Path) -> None:
        place.build()
        second = another(place, tmp_path / "second").start()
        try:
            (second.workspace / "one.cpp").write_text(part("one", 5))
            said = Said()
            report = second.build_with(said, seed=str(place.workspace))
            assert report.compiled == 1, (report.reasons, said.lines, said.warnings)
            assert report.seeded is not None
            assert str(place.workspace) in report.seeded
            assert second.run(f"{report.tree}/small") == "7\n"
            assert second.build().commands == 0
            assert second.run("find", "/build", "-user", "root") == ""
            assert place.build().commands == 0
        finally:
            forget(second)

    def test_none_starts_from_nothing(self, place: Place, tmp_path: Path) -> None:
        place.build()
        second = another(place, tmp_path / "second").start()
        try:
            report = second.build(seed="none")
            assert (report.compiled, report.seeded) == (COUNT, None)
        finally:
            forget(second)

    def test_a_named_workspace_without_the_tree_is_told(self, place: Place, tmp_path: Path) -> None:
        place.build(build_type="Debug")
        second = another(place, tmp_path / "second").start()
        try:
            said = Said()
            report = second.build_with(said, seed=str(place.workspace))
            assert report.compiled == COUNT
            assert any("has no tree" in warning for warning in said.warnings)
            # Checked also where the tree is there and nothing is copied.
            with pytest.raises(UsageError, match="/nope has no build trees"):
                second.build(seed="/nope")
        finally:
            forget(second)


class TestLocks:
    def test_a_second_container_on_the_volume_waits_and_says_for_whom(
        self, place: Place, engine: Engine, engine_name: Callable[[str], str]
    ) -> None:
        first = place.inside
        pipe = place.workspace / "pipe"
        os.mkfifo(pipe)
        os.chmod(pipe, 0o666)  # noqa: PTH101
        wait = 'add_custom_target(wait ALL COMMAND cat "${CMAKE_SOURCE_DIR}/pipe")\nadd_dependencies(small wait)\n'
        cmake = place.workspace / "CMakeLists.txt"
        cmake.write_text(cmake.read_text() + wait)
        other = replace(place, target=None).start()
        reports = {}

        def build_first() -> None:
            reports["first"] = replace(place, target=first).build(client="the first client")

        builder = threading.Thread(target=build_first)
        builder.start()
        with pipe.open("w") as stream:  # opened as soon as the first build waits for it
            said = Said()
            waiter = threading.Thread(target=lambda: reports.update(second=other.build_with(said)))
            waiter.start()
            assert said.waiting.wait(60)
            stream.write("go on\n")
        builder.join(60)
        pipe.open("w").close()
        waiter.join(60)
        assert reports["first"].ok
        assert reports["second"].ok
        assert "the first client" in next(line for line in said.lines if line.startswith("waiting for"))
        assert reports["second"].compiled == 0


class TestMemory:
    @pytest.mark.parametrize("said_by", ["the compiler", "the kernel alone"])
    def test_a_container_that_cannot_take_all_jobs_finishes_with_half_of_them(self, place: Place, said_by: str) -> None:
        """Each command takes 80 MiB while others do; the container has 192: the kernel kills, devbox goes on."""
        hog = (
            "import sys, time\nblock = bytearray(80 << 20)\nfor page in range(0, len(block), 4096): block[page] = 1\n"
            "time.sleep(0.5)\nopen(sys.argv[1], 'w').write('done')\n"
        )
        (place.workspace / "hog.py").write_text(hog)
        silent = "exec 2>/dev/null\n" if said_by == "the kernel alone" else ""
        script = place.workspace / "hog.sh"
        script.write_text(f'#!/bin/sh\n{silent}python3 "${{0%.sh}}.py" "$1" || exit 1\n')
        script.chmod(0o755)
        cmake = place.workspace / "CMakeLists.txt"
        lines = [f"add_custom_command(OUTPUT hog{n} COMMAND ${{CMAKE_SOURCE_DIR}}/hog.sh hog{n})" for n in range(4)]
        outputs = " ".join(f"hog{n}" for n in range(4))
        cmake.write_text("\n".join([cmake.read_text(), *lines, f"add_custom_target(hogs DEPENDS {outputs})"]))
        place.start(["--memory", "192m", "--memory-swap", "192m"])
        said = Said()
        report = place.build_with(said, jobs=4, targets=("hogs",))
        assert report.ok, report.failure
        assert report.jobs < 4
        assert any("killed for memory" in warning for warning in said.warnings)
        # Without a number the free memory decides before anybody is killed.
        (place.workspace / "hog.py").write_text(hog + "\n")
        place.build(targets=("clean",), seed="none")
        report = place.build(targets=("hogs",))
        assert report.ok
        assert report.jobs == 1
        assert "memory" in report.jobs_reason


def test_an_image_without_python_is_passed_over(
    place: Place, engine: Engine, engine_name: Callable[[str], str]
) -> None:
    from devbox.agent.protocol import Look
    from devbox.builds.helper import ask_helper

    bare = engine_name("bare")
    place.run("sh", "-c", "while found=$(command -v python3); do rm $found; hash -r; done")
    engine.run(["commit", place.inside.container, bare])
    try:
        assert ask_helper(Look(volumes={}), [], engine, images=[bare, place.image]).volumes == {}
        with pytest.raises(BuildError, match="python3"):
            ask_helper(Look(volumes={}), [], engine, images=[bare])
    finally:
        engine.run(["image", "rm", "--force", bare])
