"""`devbox build` in real containers: delivery, the lifeline over docker, recreated containers, the shared cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from devbox.builds import deliver, editor
from devbox.builds.request import BuildRequest
from devbox.builds.test import argv_of_tests, junit_words, take_junit
from devbox.builds.trees import trees
from devbox.container.inside.exec import execution
from devbox.engine.api import DEFAULT_SOCKET
from devbox.engine.docker import Engine
from devbox.errors import BuildError, UsageError
from devbox.frameworks.load import load
from devbox.reporter import Silent
from tests.engine.lab import CMAKE, COUNT, Held, Place, part, small_tree

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.engine


def test_what_the_checkout_lacks_is_said_before_a_tree_is_configured(place: Place) -> None:
    (place.workspace / ".gitmodules").write_text('[submodule "x"]\n\tpath = third_party/x\n\turl = ./x\n')
    first, second = Silent(), Silent()
    place.build_with(first)
    (said,) = first.warnings
    assert said.startswith("submodule third_party/x without content (devbox prepare, or: git submodule update --init")
    place.build_with(second)
    assert second.warnings == []


def test_the_first_build_delivers_the_agent_and_the_next_is_one_exec(place: Place) -> None:
    report = place.build()
    assert report.ok, report.failure
    assert report.compiled == COUNT
    assert place.run(f"{report.tree}/small") == "3\n"
    assert report.log is not None
    assert "small" in report.log.read_text()
    since = place.run("date", "+%s.%N").strip()
    assert place.build().commands == 0
    until = place.run("date", "+%s.%N").strip()
    events = place.engine.run(
        [
            "events",
            "--since",
            since,
            "--until",
            until,
            "--filter",
            f"container={place.inside.container}",
            "--format",
            "{{.Action}}",
        ]
    ).stdout
    assert events.count("exec_start: python3") == 1


def test_what_the_tests_found_comes_home_whole_or_not_at_all(place: Place, tmp_path: Path) -> None:
    more = "enable_testing()\nadd_test(NAME good COMMAND small)\nadd_test(NAME bad COMMAND false)\n"
    (place.workspace / "CMakeLists.txt").write_text(CMAKE + more)
    failure = place.build(targets=("smal",)).failure
    assert failure is not None
    assert "the nearest targets: small" in failure.output
    assert place.build().ok
    request, file, home = BuildRequest(load("cuda", "cpu")), "/tmp/devbox-results.xml", tmp_path / "results.xml"
    argv = argv_of_tests(request, junit_words(request.framework, file), place.inside, place.engine)
    assert not place.engine.execute(execution(place.inside, argv, interactive=False)).ok
    take_junit(file, home, place.inside, place.engine)
    suite = ET.parse(home).getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "2", "1")
    assert {case.get("name") for case in suite.iter("testcase")} == {"good", "bad"}
    before = home.read_bytes()
    with pytest.raises(BuildError, match="no JUnit file"):
        take_junit(file, home, place.inside, place.engine)
    assert home.read_bytes() == before


def test_a_recreated_container_rebuilds_nothing(place: Place) -> None:
    place.build()
    place.start()
    report = place.build()
    assert (report.commands, report.configured) == (0, ())


def test_newer_headers_of_an_image_with_the_same_content_rebuild_nothing(place: Place) -> None:
    """The files are root's, and stay as they are: what they hold is what counts."""
    place.build()
    place.start()
    place.run("find", "/usr/include", "-name", "*.h", "-exec", "touch", "{}", "+")
    report = place.build()
    assert (report.compiled, report.commands) == (0, 0), report.reasons


def test_a_changed_header_of_an_image_that_looks_old_is_rebuilt(place: Place) -> None:
    place.build()
    place.start()
    place.run(
        "sh", "-c", "echo '/* another package */' >> /usr/include/stdio.h && touch -d 2001-01-01 /usr/include/stdio.h"
    )
    report = place.build()
    assert report.compiled >= 1
    assert any("stdio.h" in reason for reason in report.reasons)


def test_a_second_workspace_gets_its_objects_from_the_cache(place: Place, tmp_path: Path) -> None:
    first = place.build()
    assert (first.cached, first.missed) == (0, COUNT)
    other = replace(place, workspace=small_tree(tmp_path / "other"), volume=place.names("build"), target=None).start()
    report = other.build()
    assert (report.compiled, report.cached, report.missed) == (COUNT, COUNT, 0)


def test_a_branch_there_and_back_is_healed_by_the_remote_user(place: Place) -> None:
    place.build()
    path = place.workspace / "one.cpp"
    path.write_text(part("one", 10))
    path.write_text(part("one", 1))
    report = place.build()
    assert (report.compiled, report.lowered) == (0, 1)


def test_no_file_of_the_checkout_changes_hands(place: Place) -> None:
    place.build()
    assert {path.stat().st_uid for path in place.workspace.rglob("*")} == {place.workspace.stat().st_uid}
    assert not list(place.workspace.rglob("CMakeCache.txt"))


def test_the_trees_are_listed(place: Place) -> None:
    place.build()
    place.build(build_type="Debug")
    found = trees(place.inside, place.engine)
    assert sorted((tree.inputs["type"], tree.current, tree.state, tree.code) for tree in found) == [
        ("Debug", True, "closed", 0),
        ("Release", False, "closed", 0),
    ]
    assert all(tree.size > 0 and tree.built >= tree.created > 0 and not tree.building for tree in found)


def test_docker_s_client_carries_the_talk_where_only_it_knows_the_way(place: Place, tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker"), "DOCKER_CONTEXT": "default"}
    create = ["docker", "context", "create", "far", "--docker", f"host=unix://{DEFAULT_SOCKET}"]
    subprocess.run(create, env=environ, check=True, capture_output=True)
    far = Engine(environ={**environ, "DOCKER_CONTEXT": "far"})
    found = trees(place.inside, far)
    assert found == ()
    place.build()
    assert [tree.current for tree in trees(place.inside, far)] == [True]


def test_a_container_without_python_is_told(engine: Engine, place: Place) -> None:
    place.run("sh", "-c", "while found=$(command -v python3); do rm $found; hash -r; done")
    with pytest.raises(BuildError, match="python3") as error:
        place.build()
    assert error.value.hint


def test_a_build_volume_of_somebody_else_is_told(place: Place) -> None:
    place.run("chown", "0:0", "/build")
    place.run("chmod", "755", "/build")
    with pytest.raises(BuildError, match="/build"):
        place.build()


def test_an_unknown_build_type_is_told(place: Place) -> None:
    with pytest.raises(UsageError, match="Fast"):
        place.build(build_type="Fast")


CLIENT = """
import sys
from pathlib import Path
from devbox.builds.build import build
from devbox.builds.request import BuildRequest
from devbox.container.target import Target
from devbox.engine.docker import Engine
from devbox.frameworks.load import load
from devbox.reporter import Silent
from tests.engine.lab import CMAKE, COUNT, MAIN, Held, Place, part, small_tree

class Telling(Silent):
    def progress(self, done, total, *, eta=None, running=(), least=False):
        print(*running, flush=True)

container, workspace, user = sys.argv[1:]
target = Target(container, Path(workspace), "/workspaces/cuda", user)
report = build(BuildRequest(load("cuda", "cpu"), seed="none"), target, Engine(), Telling())
print("code", report.code, flush=True)
"""


class TestInterrupted:
    @pytest.fixture
    def client(self, place: Place) -> subprocess.Popen[str]:
        """A client whose build has come to a command that never ends."""
        never = 'add_custom_target(never ALL COMMAND sh -c "exec sleep 98765" COMMENT "never")\n'
        (place.workspace / "CMakeLists.txt").write_text(CMAKE + never)
        argv = [sys.executable, "-c", textwrap.dedent(CLIENT)]
        argv += [place.inside.container, str(place.workspace), place.inside.user]
        client = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert client.stdout is not None
        while "never" not in (line := client.stdout.readline()):
            assert line, "the build ended"
        assert "sleep 98765" in place.processes()
        return client

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_the_build_and_is_reported(
        self, place: Place, client: subprocess.Popen[str], number: signal.Signals
    ) -> None:
        os.killpg(client.pid, number)
        assert client.communicate(timeout=30)[0].endswith(f"code {128 + number}\n")
        assert "sleep 98765" not in place.processes()
        (tree,) = trees(place.inside, place.engine)
        assert (tree.state, tree.code) == ("closed", 130)

    def test_a_killed_client_ends_the_build(self, place: Place, client: subprocess.Popen[str]) -> None:
        client.kill()
        client.communicate()
        (place.workspace / "CMakeLists.txt").write_text(CMAKE)
        report = place.build()  # it waits until the other has let go of the tree
        assert report.ok
        assert "sleep 98765" not in place.processes()

    def test_a_container_that_is_stopped_is_told_and_built_again_later(
        self, place: Place, client: subprocess.Popen[str]
    ) -> None:
        place.engine.run(["kill", place.inside.container])
        assert client.wait(30) != 0
        client.communicate()
        (place.workspace / "CMakeLists.txt").write_text(CMAKE)
        report = place.start().build()
        assert report.ok
        assert any("cut off" in reason for reason in report.reasons)


@pytest.mark.parametrize("where", ["configure", "healing"])
@pytest.mark.parametrize("killed", ["client", "container"])
def test_after_a_kill_before_the_first_compile_the_next_build_is_right(place: Place, where: str, killed: str) -> None:
    held = Held(place, where)
    argv = [sys.executable, "-c", textwrap.dedent(CLIENT)]
    argv += [place.inside.container, str(place.workspace), place.inside.user]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as client:
        held.wait(lambda: client.poll() is not None)
        if killed == "client":
            client.kill()
        else:
            place.engine.run(["kill", place.inside.container])
        client.wait(30)
    if killed == "container":
        place.start()
    held.the_next_is_right()


def test_the_agent_is_named_by_its_source() -> None:
    assert deliver.name() in deliver.run_argv("/build")[-1]


def test_an_editors_preset_drives_the_very_tree_and_follows_it(place: Place) -> None:
    """cmake's own words on the preset, as CLion and VS Code's CMake tools say them."""
    cpu = load("cuda", "cpu")
    tasks, presets = editor.write(place.workspace, cpu, force=False, dry_run=False)
    assert (tasks.state, presets.state) == ("written", "written")

    def theirs() -> str:
        script = "cd /workspaces/cuda && cmake --preset devbox && cmake --build --preset devbox"
        return place.run("sh", "-ec", script, user=place.inside.user)

    first = place.build()
    assert first.compiled == COUNT
    assert "no work to do" in theirs()
    assert place.build().compiled == 0
    (place.workspace / "one.cpp").write_text(part("one", 3))
    assert place.build().compiled == 1
    assert "no work to do" in theirs()
    (place.workspace / "one.cpp").write_text(part("one", 4))
    said = theirs()
    assert said.count("Building CXX object") == 1
    assert place.run(f"{first.tree}/small") == "6\n"
    assert place.build().compiled <= 1
    debug = place.build(build_type="Debug")
    assert debug.tree != first.tree
    assert editor.write(place.workspace, cpu, force=False, dry_run=False)[1].state == "current"
    assert debug.tree in (place.workspace / "CMakeUserPresets.json").read_text()
