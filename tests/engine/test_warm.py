"""A warm command says or asks again what it did, and takes the ordinary way as soon as anything is different."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from devbox.files import lock
from devbox.paths import state_dir
from tests.engine.lab import REPOSITORY, remove, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

# The command line is imported where the ordinary way is taken.
DEVBOX = """
import sys
from devbox.__main__ import main
code = main(sys.argv[1:])
print("ordinary" if "typer" in sys.modules else "warm", file=sys.stderr)
sys.exit(code)
"""


@dataclass
class Checkout:
    path: Path
    engine: Engine
    environ: dict[str, str]

    def run(self, *args: str, code: int = 0, **variables: str) -> tuple[bool, str]:
        """Run devbox, to the exit code `code`; return whether it took the short way, and what was said."""
        done = subprocess.run(
            [sys.executable, "-c", DEVBOX, *args],
            cwd=self.path,
            env={**self.environ, **variables, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        *said, way = done.stderr.splitlines()
        assert done.returncode == code, done.stderr
        return way == "warm", done.stdout + "\n".join(said)

    def settled(self, *args: str) -> str:
        """Run devbox until it only looked, and return what it then said."""
        # One that did something, one that looks, and one that says it again; files may be too new for the second.
        for _ in range(6):
            warm, said = self.run(*args)
            if warm:
                return said
        raise AssertionError(said)

    def contract(self, **config: Any) -> None:
        file = self.path / ".devcontainer/devcontainer.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"userEnvProbe": "none", **config}))

    def container(self) -> str:
        (only,) = self.engine.containers({"devcontainer.local_folder": str(self.path)})
        return only.id


@pytest.fixture
def checkout(engine: Engine, tmp_path: Path) -> Iterator[Checkout]:
    path = tmp_path / "work"
    path.mkdir()
    yield Checkout(path, engine, {**os.environ, "DEVBOX_CONFIG_DIR": str(tmp_path / "config"), "GIVEN": "a"})
    remove(engine, path)


def test_each_input_that_changes_alone_takes_the_ordinary_way(
    checkout: Checkout, base_image: str, engine_name: Callable[[str], str], tmp_path: Path
) -> None:
    engine, path = checkout.engine, checkout.path
    tag = engine_name("base")
    engine.run(["tag", base_image, tag])
    folder = path / ".devcontainer"
    (tmp_path / "reached").mkdir()
    said_of = {
        "build": {"dockerfile": "Dockerfile"},
        "mounts": [f"type=bind,source={tmp_path}/reached,target=/reached"],
    }
    checkout.contract(**said_of, remoteEnv={"GIVEN": "${localEnv:GIVEN}"})
    (folder / "Dockerfile").write_text(f"FROM {tag}\nCOPY copied /copied\n")
    (folder / "copied").write_text("1")
    said = checkout.settled("up", "--trust")
    assert f"is running: {path}" in said
    # Further arguments and other variables are other questions; asked once more, the first has its answer still.
    assert not checkout.run("up", "--trust", "--verbose")[0]
    assert not checkout.run("up", "--trust", GIVEN="b")[0]
    assert checkout.run("up", "--trust") == (True, said)

    changes: dict[str, Callable[[], object]] = {
        "contract": lambda: checkout.contract(**said_of, remoteEnv={"GIVEN": "other"}),
        "copied file": lambda: (folder / "copied").write_text("2"),
        "Dockerfile": lambda: (folder / "Dockerfile").write_text(f"FROM {tag}\nCOPY copied /again\n"),
        "settings of the checkout": lambda: (path / "devbox.toml").write_text("jobs = 1\n"),
        "settings of the person": lambda: _written(tmp_path / "config/config.toml", "jobs = 2\n"),
        "consent": lambda: _gone(state_dir() / "trust"),
        "start": lambda: engine.run(["restart", "--time", "0", checkout.container()]),
        "stop": lambda: engine.run(["stop", "--time", "0", checkout.container()]),
        "container": lambda: engine.run(["rm", "--force", checkout.container()]),
        "link on the way": lambda: _moved(path, tmp_path / "moved"),
    }
    for what, change in changes.items():
        checkout.settled("up", "--trust")
        change()
        warm, said = checkout.run("up", "--trust")
        assert not warm, what
        assert "is " in said, what


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _gone(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _moved(folder: Path, place: Path) -> None:
    folder.rename(place)
    folder.symlink_to(place)


def test_an_image_of_the_same_name_takes_the_ordinary_way(
    checkout: Checkout, base_image: str, engine_name: Callable[[str], str]
) -> None:
    tag = engine_name("moving")
    checkout.engine.run(["tag", base_image, tag])
    checkout.contract(image=tag)
    checkout.settled("up")
    checkout.engine.run(["build", "--tag", tag, "-"], input_text=f"FROM {base_image}\nENV ANOTHER=1\n")
    warm, said = checkout.run("up")
    assert not warm
    assert "replaced" in said


def test_hooks_of_each_up_run_each_time(checkout: Checkout, base_image: str) -> None:
    checkout.contract(
        image=base_image, initializeCommand="echo host >> order", postAttachCommand="echo inside >> order"
    )
    for _ in range(3):
        assert not checkout.run("up", "--trust")[0]
    assert (checkout.path / "order").read_text().split() == ["host", "inside"] * 3


def test_while_another_up_works_the_ordinary_way_waits_for_it(checkout: Checkout, base_image: str) -> None:
    checkout.contract(image=base_image)
    checkout.settled("up")
    (held,) = (state_dir() / "workspaces").glob("*.lock")
    with lock(held):
        ordinary = subprocess.Popen(
            [sys.executable, "-c", DEVBOX, "up"],
            cwd=checkout.path,
            env={**checkout.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert ordinary.stderr is not None
        assert "waiting for it" in ordinary.stderr.readline()
    assert ordinary.communicate()[1].endswith("ordinary\n")


def test_a_project_of_compose_is_said_again_until_its_files_change(checkout: Checkout, base_image: str) -> None:
    checkout.contract(dockerComposeFile="compose.yaml", service="dev", workspaceFolder="/w")
    compose = checkout.path / ".devcontainer/compose.yaml"
    service: dict[str, Any] = {"image": base_image, "command": "sleep infinity", "volumes": ["..:/w"]}
    compose.write_text(json.dumps({"services": {"dev": service}}))
    checkout.settled("up", "--trust")
    compose.write_text(json.dumps({"services": {"dev": {**service, "environment": {"NEW": "1"}}}}))
    warm, said = checkout.run("up", "--trust")
    assert not warm
    assert "replaced" in said


@pytest.fixture
def project(engine: Engine, engine_name: Callable[[str], str]) -> Iterator[str]:
    """The name of a compose project, of which nothing is left."""
    name = engine_name("once")
    yield name
    engine.run(["compose", "--project-name", name, "down", "--timeout", "0"])


def test_a_service_that_has_done_its_work_counts_until_it_fails(
    checkout: Checkout, base_image: str, project: str
) -> None:
    checkout.contract(dockerComposeFile="compose.yaml", service="dev", workspaceFolder="/w")
    service: dict[str, Any] = {"image": base_image, "volumes": ["..:/w"]}
    migrate = {**service, "command": "test ! -e /w/broken"}
    needs = {"migrate": {"condition": "service_completed_successfully"}}
    services = {"dev": {**service, "command": "sleep infinity", "depends_on": needs}, "migrate": migrate}
    (checkout.path / ".devcontainer/compose.yaml").write_text(json.dumps({"name": project, "services": services}))
    checkout.settled("up", "--trust")
    (done,) = checkout.engine.containers(
        {"com.docker.compose.project": project, "com.docker.compose.service": "migrate"}
    )
    (checkout.path / "broken").touch()
    checkout.engine.run(["start", "--attach", done.id], check=False)
    (checkout.path / "broken").unlink()
    warm, said = checkout.run("up", "--trust")
    assert not warm
    assert "the service migrate is not running" in said


def test_a_contract_is_shown_again_until_it_changes(checkout: Checkout, base_image: str) -> None:
    checkout.contract(image=base_image)
    checkout.settled("config", "contract", "--merged")
    checkout.contract(image=base_image, remoteUser="somebody")
    warm, said = checkout.run("config", "contract", "--merged")
    assert not warm
    assert "somebody" in said


def test_a_damaged_answer_counts_as_none(checkout: Checkout, base_image: str) -> None:
    checkout.contract(image=base_image)
    said = checkout.settled("up")
    for text in (
        "",
        "{",
        "[" * 100_000,
        "[]",
        "null",
        '{"schema": 1}',
        '{"schema": 1, "looks": {"seen": [1], "asked": [], "locks": []}}',
    ):
        for one in (state_dir() / "answers").glob("*.json"):
            one.write_text(text)
        assert checkout.run("up") == (False, said)


def test_a_warm_build_asks_the_agent_what_was_asked_before(checkout: Checkout, base_image: str) -> None:
    checkout.path.rmdir()
    path = small_tree(checkout.path)
    source = path / "main.c"
    whose = ("--user", "1000:1000:dev") if os.getuid() == 0 else ()
    checkout.run("up", "--framework", "cuda", "--variant", "cpu", "--base-image", base_image, *whose)
    assert "nothing to do" in checkout.settled("build")
    # The agent decides what is up to date.
    source.write_text(f"{source.read_text()}int another;\n")
    warm, said = checkout.run("build")
    assert warm
    assert "1 object compiled" in said
    source.write_text(f"{source.read_text()}int wrong")
    warm, said = checkout.run("build", code=1)
    assert warm
    assert "build failed for" in said
    assert max(one.name for one in (state_dir() / "logs/build").rglob("*.log")) in said
    source.write_text(source.read_text().removesuffix("int wrong"))
    # What is shown is another command's, and another build is another question.
    assert json.loads(checkout.settled("build", "--json").splitlines()[0])["data"]["commands"] == 0
    assert not checkout.run("build", "--type", "Debug")[0]
    assert checkout.run("build")[0]
    (path / "devbox.toml").write_text("jobs = 1\n")
    warm, said = checkout.run("build")
    assert not warm
    assert "with 1 jobs (--jobs)" in said
    checkout.settled("build")
    checkout.engine.run(["stop", "--time", "0", checkout.container()])
    warm, said = checkout.run("build", code=1)
    assert not warm
    assert "is stopped" in said
