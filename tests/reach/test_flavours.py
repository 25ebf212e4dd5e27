"""The main job on each engine of one machine: rootless Docker, and Podman, by its socket and as `docker`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.reach.box import FLAVOURS, LOCAL, Box, Flavour, Seat
from tests.reach.conftest import ARCHIVE, BASE, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.reach.conftest import Figures

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.reach]

TREE = r"""
mkdir -p {0}/src; cd {0}
cat >CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.16)
project(small CXX)
add_library(small STATIC src/a.cpp src/b.cpp src/c.cpp)
add_executable(app src/main.cpp)
target_link_libraries(app small)
END
for one in a b c; do echo "int $one() {{ return 1; }}" >src/$one.cpp; done
echo 'int a(); int main() {{ return a() - 1; }}' >src/main.cpp
git init --quiet --initial-branch=main .
git add --all
git commit --quiet --message Small
git checkout --quiet -b other
echo 'int c() {{ return 3; }}' >src/c.cpp
git commit --quiet --all --message Other
git checkout --quiet main
"""
IDS = [one.name for one in (LOCAL, *FLAVOURS)]
_LOADED: set[str] = set()


def seat(box: Box, flavour: Flavour, name: str) -> Seat:
    """Return somebody at a new folder, with an engine that has the base image."""
    top = Seat(box, flavour, "/home/dev" if flavour.rootless else "/root")
    store = f"{flavour.user} {'podman' if 'Podman' in flavour.name else 'docker'}"
    if store not in _LOADED:
        top.load(ARCHIVE)
        _LOADED.add(store)
    folder = f"{top.folder}/{name}-{IDS.index(flavour.name)}"
    top.sh(f"mkdir -p {folder}")
    return Seat(box, flavour, folder)


@pytest.fixture(scope="session")
def local(box: Box) -> Iterator[Seat]:
    """Somebody in the box with root's Docker, by whom the others are measured."""
    at = seat(box, LOCAL, "local")
    at.sh(TREE.format(at.folder))
    at.devbox("up", "--yes", "--base-image", BASE)
    at.compiled()
    yield at
    at.devbox("down", "--volumes", "--yes")


@pytest.mark.parametrize("flavour", [LOCAL, *FLAVOURS], ids=IDS)
def test_the_main_job(box: Box, local: Seat, figures: Figures, flavour: Flavour) -> None:
    at = seat(box, flavour, "tree")
    at.sh(TREE.format(at.folder))
    at.devbox("up", "--yes", "--base-image", BASE)
    assert at.compiled() == 4
    at.sh("echo 'int b() { return 2; }' >src/b.cpp")
    assert at.compiled() == 1
    assert at.compiled() == 0
    at.sh("git checkout --quiet src/b.cpp")
    at.compiled()
    at.sh("git checkout --quiet other && git checkout --quiet main")
    assert at.compiled() == 0, "a branch there and back"
    at.devbox("up", "--yes", "--recreate")
    assert at.compiled() == 0, "a new container"
    at.devbox("exec", "--", "sh", "-c", "echo made >made; mkdir kept")
    assert at.sh("stat --format %U made kept").split() == [flavour.user] * 2, "what is made inside is the person's"
    assert at.run("devbox", "exec", "--", "sh", "-c", "exit 7", code=None).code == 7
    assert "Up" in at.devbox("status")
    at.devbox("up")
    figures.times[flavour.name] = measured(at, local)
    at.devbox("down", "--volumes", "--yes")
    mine = f"label=devcontainer.local_folder={at.folder}"
    assert at.run("docker", "ps", "--all", "--quiet", "--filter", mine).stdout == ""


@pytest.mark.parametrize("flavour", FLAVOURS, ids=IDS[1:])
def test_gpus_are_cdi_devices_wherever_the_engine_has_them(box: Box, flavour: Flavour) -> None:
    at = seat(box, flavour, "gpus")
    contract = {"image": BASE, "remoteUser": "root", "userEnvProbe": "none", "hostRequirements": {"gpu": True}}
    at.sh(f"echo '{json.dumps(contract)}' >.devcontainer.json")
    assert "--device=nvidia.com/gpu=all" in at.devbox("up", "--yes", "--dry-run")
    at.devbox("up", "--yes")
    at.devbox("exec", "--", "test", "-c", "/dev/fuse")
    at.devbox("down", "--volumes", "--yes")


@pytest.mark.parametrize("flavour", FLAVOURS, ids=IDS[1:])
def test_a_compose_project_and_a_limit_that_is_refused(box: Box, flavour: Flavour) -> None:
    at = seat(box, flavour, "compose")
    service = {"image": BASE, "command": "sleep infinity", "volumes": [".:/work"], "ulimits": {"memlock": -1}}
    at.sh(f"echo '{json.dumps({'services': {'dev': service}})}' >compose.yaml")
    contract = {"dockerComposeFile": "compose.yaml", "service": "dev", "workspaceFolder": "/work", "remoteUser": "root"}
    at.sh(f"echo '{json.dumps(contract)}' >.devcontainer.json")
    at.devbox("up", "--yes")
    assert at.run("devbox", "exec", "--", "sh", "-c", "echo made >made; pwd").stdout == "/work\n"
    assert at.sh("cat made") == "made\n"
    at.devbox("down", "--volumes", "--yes")


def test_a_contracts_own_user_keeps_the_persons_ids_on_a_rootless_podman(box: Box) -> None:
    at = seat(box, FLAVOURS[2], "own-user")
    at.sh("mkdir .devcontainer")
    dockerfile = f"FROM {BASE}\\nUSER root\\nRUN useradd --create-home --uid 1234 other\\nUSER other\\n"
    at.sh(f"printf '{dockerfile}' >.devcontainer/Dockerfile")
    contract = {"build": {"dockerfile": "Dockerfile"}, "userEnvProbe": "none"}
    at.sh(f"echo '{json.dumps(contract)}' >.devcontainer/devcontainer.json")
    assert "--userns=keep-id" in at.devbox("up", "--yes") + at.devbox("up", "--yes", "--recreate", "--dry-run")
    folder = at.folder.rpartition("/")[2]
    made = f"id -un; touch /workspaces/{folder}/made; stat -c %U /workspaces/{folder}/made"
    assert at.run("devbox", "exec", "--", "sh", "-c", made).stdout.split() == ["other", "other"]
    assert at.sh("stat --format %U made") == "dev\n"
    at.devbox("down", "--volumes", "--yes")
