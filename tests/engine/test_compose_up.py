"""A dev container that is a service of a compose project, on a real engine: made, adopted both ways, changed, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container import logs, status, stop
from devbox.container.project import resolve
from devbox.devcontainer.read import read
from devbox.errors import ContractError, EngineError, RefusedError
from devbox.image.base.package import reference
from devbox.oneshot import run
from devbox.reporter import Silent
from tests.engine.lab import Checkout
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("base_image")]

ROOT = str(Path(__file__).resolve().parents[2])
IMAGE = reference(None, "debian:12")
NEVER_ENDS = ["sh", "-c", "trap exit TERM; touch /ready; sleep infinity & wait"]
DB = {"image": IMAGE, "command": NEVER_ENDS}
APP = {
    "image": IMAGE,
    "command": ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
    "volumes": ["..:/work"],
    "depends_on": ["db"],
}
ALONE = {key: value for key, value in APP.items() if key != "depends_on"}
# docker compose looks twice a second, so only those tests wait that are about it.
WAITS = {**APP, "depends_on": {"db": {"condition": "service_healthy"}}}
HEALTHY = {**DB, "healthcheck": {"test": ["CMD", "test", "-f", "/ready"], "interval": "200ms", "retries": 50}}
# Starts `docker compose` and says so in the folder, to count the programs of a command.
RECORDER = '#!/bin/sh\necho "$@" >> {log}\nexec {docker} "$@"\n'


@dataclass
class Work(Checkout):
    """A checkout with a compose contract of two services."""

    def write_project(
        self, services: dict[str, Any] | None = None, *, top: dict[str, Any] | None = None, **config: Any
    ) -> None:
        folder = self.path / ".devcontainer"
        folder.mkdir(exist_ok=True)
        content = {"services": services or {"app": APP, "db": DB}, **(top or {})}
        (folder / "compose.yaml").write_text(json.dumps(content))
        values = {
            "dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/work", "userEnvProbe": "none",
            "postCreateCommand": "echo create >> /work/hooks", "postStartCommand": "echo start >> /work/hooks",
        }  # fmt: skip
        (folder / "devcontainer.json").write_text(json.dumps({**values, **config}))

    def contract(self) -> Contract:
        return read(self.path / ".devcontainer/devcontainer.json", self.path, self.engine.environ)

    def services(self) -> dict[str, Any]:
        """Return the project's containers by service."""
        found = self.engine.containers({"com.docker.compose.project": self.project})
        return {one.labels["com.docker.compose.service"]: one for one in found}

    def inspect(self, service: str = "app") -> dict[str, Any]:
        found = self.engine.container(self.services()[service].id)
        assert found is not None
        return found

    def states(self) -> set[str]:
        """Return the states of the project's containers, inspected: the engine's list may be a moment old."""
        return {self.inspect(service)["State"]["Status"] for service in self.services()}

    @property
    def project(self) -> str:
        return f"{self.path.name}_devcontainer"

    @property
    def hooks(self) -> list[str]:
        file = self.path / "hooks"
        return file.read_text().split() if file.exists() else []

    def halt(self) -> None:
        self.engine.run(["compose", "--project-name", self.project, "stop", "--timeout", "1"])


@pytest.fixture
def work(tmp_path: Path, engine: Engine, engine_name: Callable[[str], str]) -> Iterator[Work]:
    path = tmp_path / engine_name("compose")
    path.mkdir()
    made = Work(path, engine)
    made.write_project()
    yield made
    engine.run(["compose", "--project-name", made.project, "down", "--volumes", "--timeout", "0"], check=False)


def test_a_project_with_a_health_check_comes_up_and_goes(work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    work.write_project({"app": WAITS, "db": HEALTHY})
    made = work.up()
    assert made.compose_project_name == work.project
    assert (made.outcome, made.name, made.remote_user, made.workspace_folder) == (
        "created", f"{work.project}-app-1", "root", "/work"
    )  # fmt: skip
    found = work.services()
    assert set(found) == {"app", "db"}
    assert "(healthy)" in found["db"].status
    assert work.hooks == ["create", "start"]
    labels = found["app"].labels
    assert labels["devcontainer.local_folder"] == str(work.path)
    assert json.loads(labels["devbox.contract"])["project"] == work.project
    assert "devcontainer.local_folder" not in found["db"].labels

    assert run.run(work.engine, work.path, ["sh", "-c", "test -d /work/.devcontainer && exit 7"], Silent()) == 7
    assert logs.logs(work.engine, work.path, services=True) == 0
    shown_lines = capfd.readouterr().out
    assert "| Container started" in shown_lines
    assert "\x1b" not in shown_lines

    shown = next(one for one in status.status(work.engine, sizes=False).containers if one.workspace == str(work.path))
    assert (shown.project, [one.service for one in shown.services]) == (work.project, ["db"])

    halted = stop.stop(work.engine, work.path, Silent())
    assert set(halted.stopped) == {one.called for one in found.values()}
    assert work.states() == {"exited"}
    started = work.up()
    assert (started.outcome, started.container) == ("started", made.container)
    assert work.states() == {"running"}
    assert work.hooks == ["create", "start", "start"]

    plan = stop.plan_down(work.engine, work.path)
    assert (plan.containers, plan.projects, len(plan.services)) == ((), (work.project,), 2)
    stop.down(work.engine, plan, Silent())
    assert work.services() == {}
    assert not work.engine.run(["network", "ls", "--quiet", "--filter", f"name={work.project}"]).stdout


def test_a_warm_up_starts_no_program(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbox.engine.docker import Engine as Recorded

    first = work.up()
    log, recorder = tmp_path / "log", tmp_path / "docker"
    recorder.write_text(RECORDER.format(log=log, docker=shutil.which("docker")))
    recorder.chmod(0o755)
    work.engine = Recorded(docker=str(recorder))
    again = work.up()
    assert (again.outcome, again.container, log.exists()) == ("running", first.container, False)
    monkeypatch.setenv("UNRELATED", "1")
    work.up()
    assert not log.exists()
    # What the files read may have changed: compose is asked, and says the same.
    (work.path / ".devcontainer/.env").write_text("A=1\n")
    assert work.up().container == first.container
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["compose", "compose"]


def test_mounts_keep_their_options(work: Work) -> None:
    work.write_project(
        {"app": ALONE},
        top={"volumes": {"cache": {}}},
        mounts=[
            "type=tmpfs,target=/scratch,tmpfs-size=1048576,tmpfs-mode=1777",
            "type=bind,source=/etc,target=/hostetc,readonly",
            "type=volume,source=cache,target=/cache,readonly",
            "type=volume,source=ram,target=/ram,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m",
        ],
        containerEnv={"PRICE": "$5 ${HOME}"}, init=True, capAdd=["SYS_PTRACE"],
    )  # fmt: skip
    made = work.up(trust=True)
    found = work.inspect()
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    assert (mounts["/hostetc"]["RW"], mounts["/cache"]["RW"], mounts["/ram"]["RW"]) == (False, False, True)
    assert mounts["/cache"]["Name"] == f"{work.project}_cache"
    volume = work.engine.volume(f"{work.project}_ram")
    assert volume is not None
    assert volume["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    assert "size=1024k" in work.engine.run(["exec", made.container, "sh", "-c", "mount | grep /scratch"]).stdout
    assert "PRICE=$5 ${HOME}" in found["Config"]["Env"]
    assert (found["HostConfig"]["Init"], found["HostConfig"]["CapAdd"]) == (True, ["SYS_PTRACE"])
    assert work.up().outcome == "running"
    # What stays is found again.
    kept = stop.down(work.engine, stop.plan_down(work.engine, work.path), Silent()).kept
    assert kept == (f"{work.project}_cache", f"{work.project}_ram")
    plan = stop.plan_down(work.engine, work.path, volumes=True)
    assert (plan.volumes, plan.projects, plan.services) == (kept, (), ())
    stop.down(work.engine, plan, Silent())
    assert work.engine.volume(f"{work.project}_ram") is None


def test_the_reference_adopts_it_running_and_stopped(work: Work, reference_cli: str) -> None:
    made = work.up()
    assert work.reference(reference_cli)["containerId"] == made.container
    assert work.hooks == ["create", "start"]
    work.halt()
    found = work.reference(reference_cli)
    assert (found["containerId"], found["composeProjectName"]) == (made.container, work.project)
    assert work.states() == {"running"}
    assert work.hooks == ["create", "start", "start"]
    assert work.up().container == made.container


def test_it_adopts_the_references_running_and_stopped(work: Work, reference_cli: str, tmp_path: Path) -> None:
    data = ["--user-data-folder", str(tmp_path / "data")]
    made = work.reference(reference_cli, *data)["containerId"]
    found = work.up()
    assert (found.outcome, found.container) == ("running", made)
    assert work.hooks == ["create", "start"]
    work.halt()
    assert (work.up().container, work.hooks[2:]) == (made, ["start"])
    work.halt()
    for file in (tmp_path / "data/docker-compose").iterdir():
        file.unlink()
    assert (work.up().outcome, work.services()["app"].id) == ("started", made)
    assert work.states() == {"running"}
    assert work.up(recreate=True).container != made


def test_a_changed_contract_says_what_changed(work: Work) -> None:
    first = work.up()
    work.write_project(
        {"app": {**APP, "environment": {"LEVEL": "${LEVEL:-2}"}, "shm_size": "64mb"}, "db": DB}, init=True
    )
    plan = work.up(dry_run=True)
    assert plan.outcome == "created"
    assert {"containerEnv LEVEL: nothing → 2", "init: nothing → true", "service shm_size: nothing → 67108864"} >= set(
        plan.reasons
    )
    lines = [line for step in plan.steps for line in step.lines]
    made, removed = (
        next(index for index, line in enumerate(lines) if line.startswith(begin))
        for begin in (f"docker compose --project-name {work.project} --project-directory ", "docker rm ")
    )
    assert made < removed, "the old one stays until the new one is there"
    assert lines[removed] == f"docker rm --force --volumes {work.project}-app-1"
    db = work.services()["db"].id
    second = work.up()
    assert (second.outcome, second.container != first.container) == ("created", True)
    assert work.services()["db"].id == db
    # Only the other one changed: the dev container stays.
    work.write_project(
        {
            "app": {**APP, "environment": {"LEVEL": "${LEVEL:-2}"}, "shm_size": "64mb"},
            "db": {**DB, "environment": {"A": "1"}},
        },
        init=True,
    )
    third = work.up()
    assert (third.outcome, third.container, third.reasons) == ("running", second.container, ("the service db changed",))
    assert work.services()["db"].id != db
    work.engine.run(["stop", "--time", "1", work.services()["db"].id])
    fourth = work.up()
    assert (fourth.container, fourth.reasons) == (second.container, ("the service db is not running",))
    assert work.states() == {"running"}


def test_somebody_at_work_is_not_interrupted(work: Work) -> None:
    work.write_project({"app": ALONE})
    made = work.up(skip_hooks=True)
    work.engine.run(["exec", "--detach", made.container, "sleep", "600"])
    work.write_project({"app": ALONE}, init=True)
    again = work.up()
    assert (again.outcome, again.container, again.pending) == ("running", made.container, ("init: nothing → true",))


def test_files_profiles_reset_and_dotenv(work: Work) -> None:
    folder = work.path / ".devcontainer"
    files = ["compose.yaml", "extra.yaml"]
    work.write_project(dockerComposeFile=files, runServices=["app"], overrideCommand=True, workspaceFolder="/tmp")
    (folder / "compose.yaml").write_text(
        "services:\n"
        "  app: {image: '${BASE}', command: 'false', user: nobody, profiles: [dev], ports: ['1']}\n"
        f"  db: {{image: {IMAGE}, command: sleep infinity}}\n"
    )
    (folder / "extra.yaml").write_text("services:\n  app:\n    ports: !reset []\n    hostname: inside\n")
    (folder / ".env").write_text(f"BASE={IMAGE}\n")
    (work.path / ".env").write_text("COMPOSE_PROJECT_NAME=Named.By_Env\n")
    made = work.up(skip_hooks=True)
    try:
        assert (made.name, made.remote_user) == ("namedby_env-app-1", "nobody")
        found = work.engine.container(made.container)
        assert found is not None
        assert (found["Config"]["Hostname"], found["HostConfig"]["PortBindings"]) == ("inside", {})
        assert len(work.engine.containers({"com.docker.compose.project": "namedby_env"})) == 1
    finally:
        stop.down(work.engine, stop.plan_down(work.engine, work.path, volumes=True), Silent())


def test_a_service_that_is_built(work: Work) -> None:
    (work.path / "Dockerfile").write_text(f'FROM {IMAGE}\nARG A\nENV A=$A\nUSER 1000\nCMD ["sleep", "infinity"]\n')
    app = {key: value for key, value in APP.items() if key == "volumes"}
    work.write_project({"app": {**app, "build": {"context": "..", "args": {"A": "$$1"}}}}, postCreateCommand="")
    made = work.up(skip_hooks=True)
    found = work.inspect()
    assert (made.remote_user, "A=$1" in found["Config"]["Env"]) == ("1000", True)
    assert found["Path"] == "/bin/sh"
    assert found["Args"][-2:] == ["sleep", "infinity"]
    assert work.up(skip_hooks=True).outcome == "running"
    (work.path / "Dockerfile").write_text(f'FROM {IMAGE}\nENV A=2\nCMD ["sleep", "infinity"]\n')
    again = work.up(skip_hooks=True)
    assert (again.outcome, "A=2" in work.inspect()["Config"]["Env"]) == ("created", True)
    work.engine.run(["rmi", "--force", made.image, again.image], check=False)


@pytest.mark.parametrize("inline", [False, True])
def test_what_only_compose_can_build_is_built_again(
    work: Work, inline: bool, engine_name: Callable[[str], str]
) -> None:
    """Its definition, its Dockerfile's text and what that copies count; what it does not copy does not."""
    dockerfile, tag = work.path / "Dockerfile", engine_name("tag")
    (work.path / "copied").write_text("1")

    def write(*lines: str) -> None:
        text = "\n".join([f"FROM {IMAGE}", *lines, "COPY copied /", ""])
        dockerfile.write_text(text)
        build = {"dockerfile_inline": text} if inline else {"tags": [tag]}
        app = {"volumes": ALONE["volumes"], "command": ALONE["command"], "build": {"context": "..", **build}}
        work.write_project({"app": app}, postCreateCommand="", postStartCommand="")

    write()
    # A tag of its own may be somebody else's.
    images = {work.up(skip_hooks=True, trust=True).image, tag}
    (work.path / "other").write_text("1")
    assert work.up(skip_hooks=True).reasons == ()
    write("RUN touch /new")
    assert work.up(skip_hooks=True).outcome == "created"
    assert work.engine.run(["exec", f"{work.project}-app-1", "cat", "/new", "/copied"]).stdout == "1"
    (work.path / "copied").write_text("2")
    assert work.up(skip_hooks=True).outcome == "created"
    assert work.engine.run(["exec", f"{work.project}-app-1", "cat", "/copied"]).stdout == "2"
    # Another text of the same steps makes the same image.
    write("# a comment", "RUN touch /new")
    assert work.up(skip_hooks=True).outcome == "running"
    work.engine.run(["rmi", "--force", *images], check=False)


def test_all_services_of_one_build_are_built_again(work: Work) -> None:
    dockerfile = work.path / "Dockerfile"
    dockerfile.write_text(f"FROM {IMAGE}\n")
    built = {"build": {"context": ".."}, "command": NEVER_ENDS, "init": True}
    work.write_project({"app": {**built, "volumes": ALONE["volumes"]}, "worker": built}, postCreateCommand="")
    made = work.up(skip_hooks=True)
    assert work.up(skip_hooks=True).reasons == ()
    dockerfile.write_text(f"FROM {IMAGE}\nRUN touch /new\n")
    again = work.up(skip_hooks=True)
    assert again.outcome == "created"
    for service in work.services().values():
        assert work.engine.run(["exec", service.id, "ls", "/new"], check=False).ok, service.called
    # A service that alone is built of what changed is replaced alone.
    (work.path / "other").write_text(f"FROM {IMAGE}\n")
    own = {**built, "build": {"context": "..", "dockerfile": "other"}}
    work.write_project({"app": {**built, "volumes": ALONE["volumes"]}, "worker": own}, postCreateCommand="")
    assert work.up(skip_hooks=True).reasons == ("the service worker changed",)
    (work.path / "other").write_text(f"FROM {IMAGE}\nRUN touch /own\n")
    last = work.up(skip_hooks=True)
    assert (last.container, last.reasons) == (again.container, ("the service worker changed",))
    assert work.engine.run(["exec", work.services()["worker"].id, "ls", "/own"], check=False).ok
    work.engine.run(["rmi", "--force", made.image, again.image, f"{work.project}-worker"], check=False)


def test_a_service_that_is_in_no_file_any_more_is_said(work: Work) -> None:
    hidden = {**DB, "profiles": ["mine"]}
    work.write_project({"app": ALONE, "db": DB, "old": DB})
    made = work.up(skip_hooks=True)
    work.write_project({"app": ALONE, "db": hidden})
    left = work.services()["old"].called
    said = f"the service old is in no compose file any more, but its container is left: docker rm --force {left}"
    again = work.up(skip_hooks=True)
    assert (again.container, [note for note in again.notes if "compose file" in note]) == (made.container, [said])


def test_no_log_is_named_where_nothing_has_run(work: Work) -> None:
    work.write_project({"app": {**ALONE, "runtime": "nope"}})
    with pytest.raises(EngineError) as raised:
        work.up(skip_hooks=True, trust=True)
    assert "logs" not in str(raised.value.hint)


def test_a_plain_project_becomes_a_dev_container(work: Work) -> None:
    file = str(work.path / ".devcontainer/compose.yaml")
    work.engine.run(["compose", "--project-name", work.project, "-f", file, "up", "--detach"])
    before = {name: one.id for name, one in work.services().items()}
    made = work.up()
    assert made.reasons == ("it was started without what makes it a dev container",)
    assert (made.container != before["app"], work.services()["db"].id) == (True, before["db"])


def test_a_project_of_another_checkout_is_left_alone(work: Work, tmp_path: Path) -> None:
    work.write_project({"app": ALONE})
    made = work.up(skip_hooks=True)
    other = Work(tmp_path / "elsewhere" / work.path.name, work.engine)
    other.path.mkdir(parents=True)
    other.write_project()
    with pytest.raises(RefusedError, match=f"that of {work.path}"):
        other.up()
    assert work.services()["app"].id == made.container


@pytest.mark.parametrize(
    ("text", "config", "words"),
    [
        ("services: [", {}, "is no YAML: .* line 1"),
        ("services: {app: {imag: x}}", {}, "imag is not allowed"),
        ("services: {app: {image: '${NOT_SET_HERE:?say which}'}}", {}, "say which"),
        (f"services: {{web: {{image: {IMAGE}}}}}", {}, "'service' names app, and .* has only web"),
        (f"services: {{app: {{image: {IMAGE}}}}}", {"runServices": ["x"]}, "'runServices' names x"),
        (f"services: {{app: {{image: {IMAGE}}}}}", {"dockerComposeFile": "gone.yaml"}, "gone.yaml, and there is no"),
    ],
)
def test_bad_files_are_named_with_composes_own_words(work: Work, text: str, config: dict[str, Any], words: str) -> None:
    work.write_project(**config)
    (work.path / ".devcontainer/compose.yaml").write_text(text)
    with pytest.raises(ContractError, match=words) as caught:
        work.up()
    assert str(work.path / ".devcontainer") in caught.value.message


def test_a_folder_that_compose_cannot_mount_is_named(work: Work, tmp_path: Path) -> None:
    other = Work(tmp_path / f"{work.path.name}:b", work.engine)
    other.path.mkdir()
    other.write_project({"app": {**ALONE, "volumes": ["..:/c"]}})
    with pytest.raises(EngineError, match=r"cannot mount .*:b:/c:rw: its source has a colon"):
        other.up(trust=True, skip_hooks=True)
    work.engine.run(["network", "rm", f"{work.path.name}b_devcontainer_default"])


@pytest.mark.parametrize("lacks", ["env_file", "label_file"])
def test_what_nobody_wants_stops_nobody(work: Work, lacks: str) -> None:
    hidden = {"profiles": ["mine"]}
    unwanted = {"profiles": ["gpu"], "image": "no-such-image:1", lacks: ["absent.env"]}
    services = {"app": {**APP, **hidden}, "db": {**DB, **hidden}, "web": DB, "gpu": unwanted}
    work.write_project(services)
    found = resolve(work.engine, work.contract())
    assert (set(found.config["services"]), found.named()) == ({"app", "db", "web"}, ("web", "app"))
    assert found.started() == ("app", "db", "web")
    work.write_project(services, runServices=["db"])
    found = resolve(work.engine, work.contract())
    assert (set(found.config["services"]), found.named()) == ({"app", "db"}, ("db", "app"))


def test_a_variable_that_is_not_set_is_said_with_where_it_is(work: Work) -> None:
    work.write_project({"app": {**ALONE, "image": "debian:${TAG}"}})
    (work.path / ".env").write_text("TAG=12\n")
    for _ in range(2):
        with pytest.raises(ContractError, match=r"the service app of .*: 'debian:' is no name of an image"):
            work.up(dry_run=True)
        (warning,) = work.said.warnings
        assert f"TAG, which is set nowhere and counts as empty: {work.path}/.env has it" in warning
    (work.path / ".devcontainer/.env").write_text("TAG=12\n")
    work.up(dry_run=True)
    assert work.said.warnings == []


@pytest.mark.parametrize(
    ("folder", "file"), [("_work", ".devcontainer/c.yaml"), ("数据", ".devcontainer/c.yaml"), ("数据", "c.yaml")]
)
def test_a_folder_that_gives_no_projects_name_is_said(engine: Engine, tmp_path: Path, folder: str, file: str) -> None:
    work = Work(tmp_path / folder, engine)
    work.path.mkdir()
    work.write_project(dockerComposeFile=str(work.path / file))
    (work.path / file).write_text(json.dumps({"services": {"app": ALONE}}))
    with pytest.raises(ContractError) as caught:
        work.up(dry_run=True)
    assert (caught.value.hint or "").startswith("add `name: NAME`")
    (work.path / file).write_text(json.dumps({"name": "devbox-test-named", "services": {"app": ALONE}}))
    assert work.up(dry_run=True).name == "devbox-test-named-app-1"


def test_a_dry_run_does_not_know_what_a_command_makes(work: Work) -> None:
    work.write_project(initializeCommand="true", dockerComposeFile=["compose.yaml", "made.yaml"])
    shown = work.up(dry_run=True, trust=True)
    last = shown.steps[-1].lines[0]
    assert "not known before initializeCommand has run" in last
    assert "made.yaml" in last
    with pytest.raises(ContractError, match=r"made\.yaml"):
        work.up(dry_run=True, skip_hooks=True)


def test_down_removes_the_network_of_a_project_that_could_not_start(work: Work) -> None:
    network = ["network", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={work.project}"]
    work.write_project({"app": {**ALONE, "runtime": "no-such-runtime"}})
    with pytest.raises(EngineError):
        work.up(trust=True)
    assert work.engine.run(network).stdout
    stop.down(work.engine, stop.plan_down(work.engine, work.path), Silent())
    assert work.engine.run(network).stdout == ""


def test_a_sick_service_is_said_and_the_next_up_goes_on(work: Work) -> None:
    sick = {**DB, "healthcheck": {"test": ["CMD", "false"], "interval": "100ms", "retries": 1}}
    work.write_project({"app": WAITS, "db": sick})
    with pytest.raises(EngineError, match="did not come up"):
        work.up()
    work.write_project()
    assert (work.up().outcome, work.hooks) == ("created", ["create", "start"])


def test_an_image_that_cannot_be_had_is_named(work: Work) -> None:
    work.write_project({"app": APP, "db": {"image": "localhost:1/devbox-test:none"}})
    with pytest.raises(EngineError, match="the image localhost:1/devbox-test:none of the service db is neither"):
        work.up()
    app = {key: value for key, value in APP.items() if key != "image"}
    work.write_project(
        {"app": {**app, "build": {"dockerfile_inline": f"FROM {IMAGE}\nRUN echo oh no; false"}}, "db": DB}
    )
    with pytest.raises(EngineError, match="could not build the service app") as caught:
        work.up()
    assert "oh no" in str(caught.value.detail)


def test_a_one_shot_container_needs_no_up_before(work: Work, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    app = {key: value for key, value in ALONE.items() if key not in {"image", "volumes"}}
    work.write_project({"app": {**app, "build": {"dockerfile_inline": f"FROM {IMAGE}\nRUN echo inline >/made"}}})

    def image() -> object:
        return engine.image(f"{work.project}-app")

    lines = run.run(engine, work.path, ["cat", "/made"], Silent(), dry_run=True)
    assert isinstance(lines, list)
    assert [line.split()[1] for line in lines] == ["compose", "compose"]
    assert " build app" in lines[0]
    assert image() is None
    try:
        assert run.run(engine, work.path, ["cat", "/made"], Silent()) == 0
        assert "inline" in capfd.readouterr().out
        assert image() is not None
    finally:
        engine.run(["image", "rm", "--force", f"{work.project}-app"], check=False)


def test_a_service_that_ends_is_said(work: Work) -> None:
    work.write_project({"app": APP, "db": {"image": IMAGE, "command": "sh -c 'exit 3'"}})
    said = "the service db has ended: devbox logs --services   # shows why"
    assert said in work.up().notes
    again = work.up()
    assert (again.outcome, again.reasons) == ("running", ("the service db is not running",))


def test_services_that_another_form_leaves_are_said_and_found(work: Work) -> None:
    work.up(skip_hooks=True)
    (work.path / ".devcontainer/devcontainer.json").write_text(json.dumps({"image": IMAGE, "userEnvProbe": "none"}))
    made = work.up()
    left = f"the other services of {work.project} are left: docker compose --project-name {work.project} down"
    assert (made.outcome, left in made.notes) == ("created", True)
    assert set(work.services()) == {"db"}
    plan = stop.plan_down(work.engine, work.path)
    assert (plan.containers, plan.services) == ((made.name,), (f"{work.project}-db-1",))
    stop.down(work.engine, plan, Silent())
    assert work.services() == {}


def test_a_dollar_in_the_folders_name_is_one(engine: Engine, engine_name: Callable[[str], str], tmp_path: Path) -> None:
    name = engine_name("dollar")
    work = Work(tmp_path / f"{name}$HOME, x", engine)
    work.path.mkdir()
    work.write_project({"app": {**ALONE, "environment": {"PRICE": "$$5"}}}, top={"name": name})
    try:
        # The checkout itself is nothing that needs consent.
        made = work.up()
        assert work.hooks == ["create", "start"]
        assert engine.run(["exec", made.container, "printenv", "PRICE"]).stdout == "$5\n"
        assert run.run(engine, work.path, ["sh", "-c", "test \"$PRICE\" = '$5' && exit 7"], Silent()) == 7
        assert work.up().outcome == "running"
    finally:
        stop.down(engine, stop.plan_down(engine, work.path), Silent())


def test_a_killed_up_is_finished_by_the_next(work: Work) -> None:
    slow = {
        **HEALTHY,
        "command": ["sh", "-c", "trap exit TERM; while [ ! -e /go ]; do sleep 0.1; done; touch /ready; wait"],
    }
    work.write_project({"app": WAITS, "db": slow})
    script = "from devbox.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    begun = subprocess.Popen(
        [sys.executable, "-c", script, "up", str(work.path)],
        env={**os.environ, "PYTHONPATH": ROOT}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert begun.stdout is not None
    for line in begun.stdout:
        if "Waiting" in line:
            break
    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=30)
    assert begun.returncode == 130
    assert work.services()["app"].state == "created"
    work.write_project()
    assert (work.up().outcome, work.hooks) == ("created", ["create", "start"])


def test_what_services_reach_needs_consent(work: Work) -> None:
    work.write_project({"app": {**APP, "privileged": True}, "db": {**DB, "network_mode": "host", "pid": "host"}})
    with pytest.raises(RefusedError) as caught:
        work.up(yes=True)
    assert caught.value.detail is not None
    assert caught.value.detail.splitlines() == [
        "the service app runs privileged: root in the container is root on the host",
        "the service db sets network_mode: host",
        "the service db sets pid: host",
    ]
    assert work.services() == {}


def test_a_refused_limit_is_lowered_and_said(work: Work) -> None:
    from devbox.facts.engine import gather

    most = gather(work.engine).memlock
    if most in {0, -1}:
        pytest.skip("this engine grants every limit")
    work.write_project({"app": {**APP, "ulimits": {"memlock": -1}}, "db": {**DB, "ulimits": {"memlock": -1}}})
    made = work.up()
    assert any("memlock" in note and str(most) in note for note in made.notes)
    assert work.inspect()["HostConfig"]["Ulimits"] == [{"Name": "memlock", "Hard": most, "Soft": most}]
    assert work.up().outcome == "running"


def test_git_finds_its_repository_from_a_worktree(work: Work, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "main")
    git(tmp_path / "main", "commit", "--quiet", "--allow-empty", "--message", "x")
    shutil.rmtree(work.path)
    git(tmp_path / "main", "worktree", "add", "--quiet", str(work.path))
    work.write_project({"app": ALONE})
    work.up(skip_hooks=True)
    mounted = {mount["Destination"]: mount["Source"] for mount in work.inspect()["Mounts"]}
    common = str(tmp_path / "main/.git")
    assert mounted[common] == common


def test_down_finds_the_services_that_are_left(work: Work) -> None:
    made = work.up()
    work.engine.run(["rm", "--force", made.container])
    plan = stop.plan_down(work.engine, work.path)
    assert plan.services == (f"{work.project}-db-1",)
    stop.down(work.engine, plan, Silent())
    assert work.services() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "file", "named", "text", "dotenv"),
    [
        ("My.Tree", ".devcontainer/c.yml", "c.yml", "", ""),
        ("root.Tree", "c.yml", "../c.yml", "", ""),
        ("named", ".devcontainer/c.yml", "c.yml", "name: devbox-test-own_name", ""),
        ("from-dotenv", ".devcontainer/c.yml", "c.yml", "", "COMPOSE_PROJECT_NAME=Devbox.Test-Dotenv"),
        ("devbox-test-empty", "docker-compose.yml", [], "", ""),
        ("a space, a comma", ".devcontainer/c.yml", "c.yml", "", ""),
    ],
)
def test_a_project_has_the_references_name(
    engine: Engine, reference_cli: str, tmp_path: Path, folder: str, file: str, named: Any, text: str, dotenv: str
) -> None:
    work = Work(tmp_path / folder, engine)
    work.path.mkdir()
    work.write_project(dockerComposeFile=named, workspaceFolder="/")
    (work.path / file).write_text(
        f"{text}\nservices: {{app: {{image: {IMAGE}, command: sleep infinity, init: true}}}}\n"
    )
    if dotenv:
        (work.path / ".env").write_text(dotenv)
    made = work.reference(reference_cli, "--skip-post-create")
    try:
        found = work.up(skip_hooks=True)
        assert (found.outcome, found.container) == ("running", made["containerId"])
        stop.down(engine, stop.plan_down(engine, work.path), Silent())
        assert work.up(skip_hooks=True).name == f"{made['composeProjectName']}-app-1"
    finally:
        stop.down(engine, stop.plan_down(engine, work.path), Silent())
