"""Checkouts that try to reach the host unasked: nothing happens before somebody has agreed, and somebody is asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from devbox import paths
from devbox.cli.app import run as cli
from devbox.container import hot
from devbox.container.contract.trusted import show
from devbox.container.inside.exec import execute
from devbox.container.up.up import UpRequest, up
from devbox.devcontainer.compose.model import PROJECT, SERVICE
from devbox.devcontainer.identity import id_labels
from devbox.engine.docker import Engine
from devbox.errors import ContractError, DevboxError, RefusedError
from devbox.facts.routes import gather
from devbox.oneshot.run import run
from devbox.reporter import Silent
from devbox.trust import grants
from tests.engine.hostile import CASES, IMAGE, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.engine

TOKEN = "hf_canary0123456789"
SECRETS = ("HF_TOKEN", "GH_PAT", "DATABASE_URL", "PGPASSWORD", "MYSQL_PWD", "SENTRY_DSN", "AWS_SECRET_ACCESS_KEY")

# Values that are no secrets, under names of such.
KEYS = {"SOCK_KEY": "/var/run/docker.sock", "SPACE_KEY": "container:somebodys", "CAP_KEY": "SYS_ADMINISTER"}


class Canaries:
    """A folder of the host, a listener and a token: what a checkout must not get at."""

    def __init__(self, folder: Path) -> None:
        self.out, self.me = folder / "out", folder / "me"
        self.out.mkdir()
        self.me.mkdir()
        (self.out / "secret").write_text("secret")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        places = {"OUT": str(self.out), "OUT_KEY": str(self.out), **KEYS}
        self.engine = Engine(environ={**os.environ, **places, **dict.fromkeys(SECRETS, TOKEN)})

    def filled(self, text: str) -> str:
        for name, value in {"{out}": self.out, "{me}": self.me, "{port}": self.port, "{image}": IMAGE}.items():
            text = text.replace(name, str(value))
        return text

    def write(self, case: Case) -> None:
        folder = self.me / ".devcontainer"
        folder.mkdir()
        config = {key: value for key, value in case.config.items() if value is not None}
        (folder / "devcontainer.json").write_text(json.dumps(json.loads(self.filled(json.dumps(config)))))
        for name, text in case.files.items():
            path = self.me / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.filled(text))

    def see_silent(self) -> None:
        assert sorted(path.name for path in self.out.iterdir()) == ["secret"]
        with pytest.raises(BlockingIOError):
            self.listener.accept()
        assert not self.engine.containers({"devcontainer.local_folder": str(self.me)})
        for path in paths.state_dir().rglob("*"):
            assert not (path.is_file() and TOKEN in path.read_text(errors="replace")), path


@pytest.fixture
def canaries(tmp_path: Path, engine: Engine) -> Iterator[Canaries]:
    made = Canaries(tmp_path)
    yield made
    made.listener.close()


def test_there_are_enough_of_them() -> None:
    kinds = {kind: sum(case.kind == kind for case in CASES) for kind in {case.kind for case in CASES}}
    assert len(CASES) >= 150
    assert all(count >= 2 for count in kinds.values()), kinds


@pytest.mark.parametrize("case", CASES, ids=[f"{case.kind}-{number}" for number, case in enumerate(CASES)])
def test_nothing_happens_unasked(canaries: Canaries, case: Case) -> None:
    canaries.write(case)
    with pytest.raises(DevboxError) as raised:
        up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    shown = f"{raised.value.message}\n{getattr(raised.value, 'detail', None) or ''}"
    assert re.search(case.says, shown), shown
    # What is shown is what there is: in one line each, and nothing that a terminal would act on.
    assert shown.replace("\n", "").isprintable() or "\u202e" not in shown
    canaries.see_silent()


def contract(canaries: Canaries, **config: Any) -> None:
    (canaries.me / ".devcontainer.json").write_text(json.dumps({"image": IMAGE, **config}))


def test_what_runs_is_what_was_agreed_to_and_a_change_is_asked(canaries: Canaries) -> None:
    script = canaries.me / "setup.sh"
    script.write_text("#!/bin/sh\necho ran >> ran\n")
    contract(canaries, initializeCommand="sh setup.sh")
    request = UpRequest(path=canaries.me, yes=True, allow=("command",), dry_run=False)
    ask = UpRequest(path=canaries.me, yes=True)
    try:
        up(request, canaries.engine, Silent())
        up(ask, canaries.engine, Silent())
        assert (canaries.me / "ran").read_text() == "ran\nran\n"
        script.write_text(f"#!/bin/sh\ntouch {canaries.out}/fired\n")
        with pytest.raises(RefusedError):
            up(ask, canaries.engine, Silent())
        assert not (canaries.out / "fired").exists()
        # The log has the one agreement, outside the checkout.
        log = (paths.state_dir() / "trust" / grants.LOG).read_text().splitlines()
        assert [json.loads(line)["how"] for line in log] == ["--allow command"]
    finally:
        down(canaries)


def test_a_mounted_folder_that_became_a_link_stops_the_start(canaries: Canaries) -> None:
    inner = canaries.me / "data"
    inner.mkdir()
    contract(canaries, mounts=["type=bind,source=${localWorkspaceFolder}/data,target=/data"])
    ask = UpRequest(path=canaries.me, yes=True)
    try:
        made = up(ask, canaries.engine, Silent())
        canaries.engine.run(["stop", "--time", "0", made.container])
        inner.rmdir()
        inner.symlink_to(canaries.out)
        with pytest.raises(RefusedError):
            up(ask, canaries.engine, Silent())
        with pytest.raises(RefusedError):
            up(UpRequest(path=canaries.me, yes=True, recreate=True), canaries.engine, Silent())
        found = canaries.engine.container(made.container)
        assert found is not None
        assert not found["State"]["Running"]
    finally:
        down(canaries)


UPSTREAM = 'framework = "x"\n[frameworks.x]\nextends = "cuda"\n[frameworks.x.upstream]\ndockerfile = "Dockerfile"\n'


@pytest.mark.parametrize(
    ("more", "links", "words", "says"),
    [
        ('render = ["./render"]', {}, ["--upstream"], "runs on the host, to write its Dockerfile: ./render"),
        ('render = ["render.py"]', {}, ["--upstream"], "runs on the host"),
        ('render = ["./render", "\\u001b[2K\\u202e"]', {}, ["--upstream"], r"\\x1b\[2K\\u202e"),
        ("", {"Dockerfile": "secret"}, ["--upstream"], "takes the Dockerfile .* from outside"),
        ("", {"dist": ""}, ["dist"], "writes what it has built elsewhere"),
    ],
)
def test_an_image_build_does_nothing_unasked(
    canaries: Canaries,
    capsys: pytest.CaptureFixture[str],
    more: str,
    links: dict[str, str],
    words: list[str],
    says: str,
) -> None:
    me, out = canaries.me, canaries.out
    (out / "secret").write_text("FROM scratch\n")
    (me / "devbox.toml").write_text(f'variant = "cpu"\n{UPSTREAM}{more}\n')
    for name in ("render", "render.py"):
        (me / name).write_text(f"#!/bin/sh\ntouch {out}/fired\n")
        (me / name).chmod(0o755)
    for name, target in links.items():
        (me / name).symlink_to(out / target)
    assert cli(["image", "build", "--workspace", str(me), *words, "--dry-run"]) == 0
    assert re.search(rf"needs your consent \(--trust\): .*{says}", capsys.readouterr().err)
    assert cli(["image", "build", "--workspace", str(me), *words]) == 5
    assert re.search(says, capsys.readouterr().err)
    canaries.see_silent()


def test_a_first_look_reaches_nothing(canaries: Canaries) -> None:
    contract(
        canaries,
        initializeCommand=f"touch {canaries.out}/fired",
        privileged=True,
        mounts=[f"type=bind,source={canaries.out},target=/out", "type=tmpfs,target=/kept"],
        runArgs=["--network=host", "--cap-add=ALL"],
        containerEnv={"T": "${localEnv:HF_TOKEN}", "KEPT": "1"},
        postCreateCommand="echo inside",
    )
    try:
        made = up(UpRequest(path=canaries.me, yes=True, restricted=True), canaries.engine, Silent())
        found = canaries.engine.container(made.container)
        assert found is not None
        assert (found["HostConfig"]["Privileged"], found["HostConfig"]["CapAdd"]) == (False, None)
        assert found["HostConfig"]["NetworkMode"] == "none"
        assert {mount["Destination"] for mount in found["Mounts"]} == {made.workspace_folder, "/kept"}
        assert "KEPT=1" in found["Config"]["Env"]
        assert TOKEN not in json.dumps(found)
        assert not (canaries.out / "fired").exists()
        with pytest.raises(RefusedError):
            up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    finally:
        down(canaries)


def test_a_token_is_in_no_label_and_no_file_under_whatever_name(canaries: Canaries) -> None:
    contract(
        canaries,
        runArgs=["--hostname=box", "-e", "INNOCENT=${localEnv:HF_TOKEN}", "-e", "KEPT=1"],
        postCreateCommand=": ${localEnv:HF_TOKEN}",
        containerEnv={"PLAIN": "a${localEnv:GH_PAT}b"},
    )
    try:
        made = up(UpRequest(path=canaries.me, yes=True, trust=True, skip_hooks=True), canaries.engine, Silent())
        found = canaries.engine.container(made.container)
        assert found is not None
        assert "KEPT=1" in found["Config"]["Labels"]["devbox.contract"]
        assert TOKEN not in json.dumps(found["Config"]["Labels"])
        assert up(UpRequest(path=canaries.me, skip_hooks=True), canaries.engine, Silent()).outcome == "running"
        for path in (paths.state_dir() / "trust").rglob("*"):
            assert not (path.is_file() and TOKEN in path.read_text()), path
    finally:
        down(canaries)


def test_settings_of_worktrees_and_submodules_count(canaries: Canaries) -> None:
    from devbox.container.checkout.prepare import running

    def git(*args: str) -> None:
        subprocess.run(["git", "-C", str(canaries.me), *args], check=True, capture_output=True)

    git("init", "--quiet")
    assert running(canaries.me) == ()
    for file in (".git/modules/a/config", ".git/modules/a/modules/b/config"):
        path = canaries.me / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('[core]\n\tworktree = ../../../a\n[filter "x"]\n\tsmudge = touch fired\n')
        assert running(canaries.me) == ("filter.x.smudge",)
        path.write_text("")
    git("config", "extensions.worktreeConfig", "true")
    (canaries.me / ".git/config.worktree").write_text("[core]\n\tsshCommand = touch fired\n")
    assert running(canaries.me) == ("core.sshcommand",)


def test_the_environment_of_a_checkout_does_not_steer_docker_compose(canaries: Canaries) -> None:
    folder = canaries.me / ".devcontainer"
    folder.mkdir()
    (folder / "devcontainer.json").write_text(json.dumps({"dockerComposeFile": "c.yaml", "service": "a"}))
    (folder / "c.yaml").write_text(f"services: {{a: {{image: '{IMAGE}', environment: {{A: '${{A}}'}}}}}}")
    (folder / ".env").write_text(
        f"A=kept\nDOCKER_HOST=tcp://127.0.0.1:{canaries.port}\nDOCKER_CONTEXT=evil\nCOMPOSE_ENV_FILES={canaries.out}/x\n"
        f"GIT_SSH_COMMAND=touch {canaries.out}/fired\nDOCKER_CONFIG={canaries.out}\nBUILDX_CONFIG={canaries.out}\n"
    )
    shown = up(UpRequest(path=canaries.me, dry_run=True), canaries.engine, Silent())
    assert shown.outcome == "created"
    canaries.see_silent()


@pytest.mark.parametrize("owner", ["other", "open", "link"])
def test_an_agreement_that_somebody_else_wrote_is_not_believed(canaries: Canaries, owner: str) -> None:
    contract(canaries, initializeCommand=f"touch {canaries.out}/fired")
    with pytest.raises(RefusedError) as raised:
        up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    assert raised.value.detail
    from devbox.container.contract.reach import reach_of
    from devbox.devcontainer.read import read

    reach = reach_of(read(canaries.me / ".devcontainer.json", canaries.me, {}), {})
    grants.grant(canaries.me, reach, "asked")
    assert not grants.missing(canaries.me, reach)
    (file,) = (paths.state_dir() / "trust").glob("*.json")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    if owner == "other":
        if os.getuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(file, 4321, 4321)
    elif owner == "open":
        file.chmod(0o666)
    else:
        file.rename(canaries.me / "planted")
        file.symlink_to(canaries.me / "planted")
    assert grants.missing(canaries.me, reach) == reach


def test_the_umask_opens_no_folder(canaries: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "a/b/state"
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(state))
    contract(canaries, initializeCommand="true")
    before = os.umask(0)
    try:
        up(UpRequest(path=canaries.me, dry_run=True), canaries.engine, Silent())
        with pytest.raises(RefusedError):
            up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    finally:
        os.umask(before)
    for path in [state.parent, state, *state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_trace_of_a_hostile_file_is_no_traceback(canaries: Canaries) -> None:
    (canaries.me / ".devcontainer.json").write_text(json.dumps({"image": IMAGE, "runArgs": ["\x00"]}))
    with pytest.raises(ContractError):
        up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())


def down(canaries: Canaries) -> None:
    found = canaries.engine.containers({"devcontainer.local_folder": str(canaries.me)})
    if found:
        canaries.engine.run(["rm", "--force", "--volumes", *(one.id for one in found)], check=False)


# What a container that works meanwhile could do at any moment: here right before docker gets a command once more.
MEANWHILE = """#!/bin/sh
case " $* " in *" {command} "*) echo >> {count}; [ "$(wc -l < {count})" -lt {times} ] || cp {hostile} {file};; esac
exec docker "$@"
"""


@pytest.mark.parametrize(("command", "times"), [("config", 1), ("config", 2), ("up", 1)])
@pytest.mark.parametrize("file", ["c.yaml", "more.yaml", "e.env"])
def test_services_that_are_swapped_after_the_look_do_not_run(
    canaries: Canaries, engine_name: Callable[[str], str], file: str, command: str, times: int
) -> None:
    project = engine_name("swapped").lower()
    folder = canaries.me / ".devcontainer"
    folder.mkdir()
    process = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
    service = {"image": IMAGE, "command": process, "env_file": ["e.env"]}
    base = {"image": IMAGE, "environment": {"A": "$${A}", "T": "${HF_TOKEN}"}}
    reaching = {"image": IMAGE, "volumes": [f"{canaries.out}:/out"], "privileged": True}
    extends = {"extends": {"file": "more.yaml", "service": "b"}}
    for name, content in {
        "devcontainer.json": {"dockerComposeFile": "c.yaml", "service": "a"},
        "c.yaml": {"name": project, "services": {"a": {**service, **extends}}},
        "more.yaml": {"services": {"b": base}},
    }.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "e.env").write_text("E=1\n")
    hostile, script, count = (canaries.me / name for name in ("hostile", "docker", "count"))
    evil = {
        "c.yaml": {"name": project, "services": {"a": {**service, **reaching}}},
        "more.yaml": {"services": {"b": reaching}},
    }
    hostile.write_text(json.dumps(evil[file]) if file in evil else "E=2\n")
    words = {"command": command, "times": times, "count": count, "hostile": hostile, "file": folder / file}
    script.write_text(MEANWHILE.format(**words))
    script.chmod(0o755)
    engine = Engine(docker=str(script), environ=canaries.engine.environ)
    request = UpRequest(path=canaries.me, yes=True, allow=("variable",))
    try:
        if command == "config":
            with pytest.raises(RefusedError, match="changed while"):
                up(request, engine, Silent())
            assert (folder / file).read_text() == hostile.read_text()
            canaries.see_silent()
            return
        found = canaries.engine.container(up(request, engine, Silent()).container)
        assert (folder / file).read_text() == hostile.read_text()
        assert found is not None
        assert (found["HostConfig"]["Privileged"], found["Mounts"]) == (False, [])
        assert {"A=${A}", "E=1", f"T={TOKEN}"} <= set(found["Config"]["Env"])
        for path in paths.state_dir().rglob("*"):
            assert not (path.is_file() and TOKEN in path.read_text()), path
    finally:
        canaries.engine.run(["compose", "--project-name", project, "down", "--timeout", "0"], check=False)


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("file", ["c.yaml", "e.env"])
def test_a_secret_that_is_swapped_in_after_the_look_is_not_passed(
    canaries: Canaries, engine_name: Callable[[str], str], file: str, remembered: bool
) -> None:
    folder = canaries.me / ".devcontainer"
    folder.mkdir()
    project = engine_name("swapped").lower()

    def text(token: str, env_file: str) -> str:
        service = {"image": IMAGE, "environment": {"X_TOKEN": token}, "env_file": [env_file]}
        return json.dumps({"name": project, "services": {"a": service}})

    outside = canaries.out.parent / "outside.env"
    outside.write_text("DB_PASSWORD=of-the-host-0123456789\n")
    (folder / "devcontainer.json").write_text(json.dumps({"dockerComposeFile": "c.yaml", "service": "a"}))
    (folder / "c.yaml").write_text(text("constant-value", "e.env"))
    (folder / "e.env").write_text("DB_PASSWORD=of-the-checkout\n")
    if remembered:
        up(UpRequest(path=canaries.me, yes=True, dry_run=True), canaries.engine, Silent())
    hostile, script, count = (canaries.me / name for name in ("hostile", "docker", "count"))
    swapped = ("${AWS_SECRET_ACCESS_KEY}", "e.env") if file == "c.yaml" else ("constant-value", str(outside))
    hostile.write_text(text(*swapped))
    times = 1 if remembered else 2
    words = {"command": "config", "times": times, "count": count, "hostile": hostile, "file": folder / "c.yaml"}
    script.write_text(MEANWHILE.format(**words))
    script.chmod(0o755)
    try:
        with pytest.raises(RefusedError, match="changed while"):
            up(
                UpRequest(path=canaries.me, yes=True),
                Engine(docker=str(script), environ=canaries.engine.environ),
                Silent(),
            )
        assert (folder / "c.yaml").read_text() == hostile.read_text()
        canaries.see_silent()
    finally:
        canaries.engine.run(["compose", "--project-name", project, "down", "--timeout", "0"], check=False)


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_of_a_service_that_becomes_a_link_after_the_look_is_not_mounted(
    canaries: Canaries, engine_name: Callable[[str], str], there: bool
) -> None:
    folder, data = canaries.me / ".devcontainer", canaries.me / "data"
    folder.mkdir()
    data.mkdir()
    project = engine_name("linked").lower()
    process = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
    db = {"image": IMAGE, "command": process, "volumes": ["../data:/data"]}
    content = {"name": project, "services": {"a": {"image": IMAGE, "command": process}, "db": db}}
    (folder / "devcontainer.json").write_text(json.dumps({"dockerComposeFile": "c.yaml", "service": "a"}))
    (folder / "c.yaml").write_text(json.dumps(content))
    engine = canaries.engine
    try:
        if there:
            made = up(UpRequest(path=canaries.me, yes=True), engine, Silent())
            engine.run(["stop", "--time", "0", made.container])
            engine.run(["rm", "--force", f"{project}-db-1"])
        script = canaries.me / "docker"
        swap = f"[ -L {data} ] || {{ rmdir {data}; ln -s {canaries.out} {data}; }}"
        script.write_text(
            f'#!/bin/sh\ncase " $* " in *" --project-name {project} "*" config "*) {swap};; esac\nexec docker "$@"\n'
        )
        script.chmod(0o755)
        with pytest.raises(RefusedError, match="is a link out of the workspace"):
            up(UpRequest(path=canaries.me, yes=True), Engine(docker=str(script), environ=engine.environ), Silent())
        assert data.is_symlink()
        assert not engine.run(["ps", "--all", "--quiet", "--filter", f"name={project}-db"]).stdout
    finally:
        engine.run(["compose", "--project-name", project, "down", "--timeout", "0"], check=False)


class WhileAsked(Silent):
    """A person who agrees; a container that works in the checkout uses the time."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = [meanwhile]

    def confirm(self, question: str, *, shown: Sequence[str] = ()) -> bool | None:
        if not self.meanwhile:
            return False
        self.meanwhile.pop()()
        return True


@pytest.mark.parametrize("form", ["contract", "service", "compose"])
@pytest.mark.parametrize("what", ["dockerfile", "dockerfile link", "context", "profile"])
def test_what_is_exchanged_while_a_person_is_asked_is_not_built(
    canaries: Canaries, engine_name: Callable[[str], str], form: str, what: str
) -> None:
    """A build that reaches the host, of the bytes that were shown; a context and a profile that were the checkout's."""
    folder, out = canaries.me / ".devcontainer", canaries.out
    (folder / "ctx").mkdir(parents=True)
    dockerfile, profile = folder / "ctx/Dockerfile", folder / "profile.json"
    dockerfile.write_text(f"FROM {IMAGE}\n")
    profile.write_text("{}")
    (out.parent / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY . /stolen\n")

    def exchange() -> None:
        if what == "profile":
            profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        elif what == "context":
            shutil.rmtree(folder / "ctx")
            (folder / "ctx").symlink_to(out.parent)
        else:
            dockerfile.unlink()
            if what == "dockerfile":
                dockerfile.write_text(f"FROM {IMAGE}\nRUN --mount=type=bind,from=host,target=/h cp -r /h /stolen\n")
            else:
                dockerfile.symlink_to(out.parent / "Dockerfile")

    contexts: dict[str, Any] = {} if what in {"context", "profile"} else {"host": str(out)}
    if form == "contract":
        options = [f"--build-context={name}={place}" for name, place in contexts.items()]
        build = {"context": "ctx", "dockerfile": "ctx/Dockerfile", "options": options}
        security = [f"seccomp={profile}"] if what == "profile" else []
        (folder / "devcontainer.json").write_text(
            json.dumps({"build": build, "securityOpt": security, "remoteEnv": {"A": "${localEnv:HF_TOKEN}"}})
        )
    else:
        name = f"other-{engine_name('exchanged')}".lower()
        # Only docker compose itself can build one with other tags.
        tags = {"tags": [f"{name}:1"]} if form == "compose" else {}
        service: dict[str, Any] = {"build": {"context": "ctx", "additional_contexts": contexts, **tags}}
        if what == "profile":
            service["security_opt"] = ["seccomp:profile.json"]
        service["environment"] = ["HF_TOKEN"]
        write_project(canaries.me, name, {**service, "image": None})
    with pytest.raises(RefusedError) as raised:
        up(UpRequest(path=canaries.me), canaries.engine, WhileAsked(exchange))
    assert "changed while devbox looked at it" in raised.value.message
    canaries.see_silent()


def test_short_secrets_and_those_of_a_dotenv_are_in_no_file_and_no_label(
    canaries: Canaries, engine_name: Callable[[str], str]
) -> None:
    folder, project = canaries.me / ".devcontainer", engine_name("sealed").lower()
    folder.mkdir()
    process = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
    check = {"test": ["CMD", "true", "${REDIS_PASSWORD}"], "interval": "10m"}
    service = {"image": IMAGE, "command": process, "healthcheck": check, "environment": {"FOO": "FOO_VALUE"}}
    text = json.dumps({"name": project, "services": {"a": service}})
    (folder / "devcontainer.json").write_text(json.dumps({"dockerComposeFile": "c.yaml", "service": "a"}))
    (folder / "c.yaml").write_text(text.replace("FOO_VALUE", "${SOME_\\x50ASSWORD}"))
    (folder / ".env").write_text("REDIS_PASSWORD=dotenvsecret-12345\n")
    engine = Engine(environ={**canaries.engine.environ, "SOME_PASSWORD": "hunter2"})
    try:
        with pytest.raises(RefusedError) as raised:
            up(UpRequest(path=canaries.me, yes=True), engine, Silent())
        assert "SOME_PASSWORD" in (raised.value.detail or "")
        made = up(UpRequest(path=canaries.me, yes=True, allow=("variable",)), engine, Silent())
        found = engine.container(made.container)
        assert found is not None
        assert "FOO=hunter2" in found["Config"]["Env"]
        assert "dotenvsecret-12345" in found["Config"]["Healthcheck"]["Test"]
        kept = {path: path.read_text(errors="replace") for path in paths.state_dir().rglob("*") if path.is_file()}
        assert kept
        for secret in ("hunter2", "dotenvsecret-12345"):
            assert secret not in json.dumps(found["Config"]["Labels"])
            assert not [path for path, text in kept.items() if secret in text]
    finally:
        engine.run(["compose", "--project-name", project, "down", "--timeout", "0"], check=False)


@pytest.mark.parametrize(
    ("service", "top"),
    [
        ({"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://${X_TOKEN}:514"}}}, {}),
        ({"volumes": ["vol:/v"]}, {"volumes": {"vol": {"driver_opts": {"type": "nfs", "o": "addr=${X_TOKEN},rw"}}}}),
        ({}, {"networks": {"default": {"driver_opts": {"parent": "${X_TOKEN}"}}}}),
        ({"networks": {"default": {"driver_opts": {"of": "${X_TOKEN}"}}}}, {}),
    ],
)
def test_what_is_shown_without_its_secrets_is_bound_to_them(
    canaries: Canaries, service: dict[str, Any], top: dict[str, Any]
) -> None:
    write_project(canaries.me, "sealed", service, **top)
    seen = []
    for value in ("of-the-first-look", "of-the-other-look", "of-the-first-look"):
        (canaries.me / ".devcontainer/.env").write_text(f"X_TOKEN={value}\n")
        found = show(canaries.engine, canaries.me, Silent()).reach
        assert found
        seen.append({(one.kind, one.value) for one in found})
        for path in paths.state_dir().rglob("*"):
            assert not (path.is_file() and value in path.read_text(errors="replace")), path
    assert seen[0] == seen[2] != seen[1]
    (key,) = (paths.state_dir() / "trust").glob("key")
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_run_is_of_what_it_has_judged_while_another_one_begins(
    canaries: Canaries, engine_name: Callable[[str], str]
) -> None:
    project, said = f"other-{engine_name('beside')}".lower(), canaries.me / "said"
    write_project(canaries.me, project, {"environment": {"V": "one"}, "network_mode": "none"})
    changed, script = canaries.me / ".devcontainer/c.yaml", canaries.me / "docker"
    # Right before docker compose reads the files of the first one, another one writes its own.
    inner = f"sed -i s/one/two/ {changed}; cd {canaries.me}; {sys.executable} -m devbox run -- sh -c 'echo $V' > {said}"
    script.write_text(f"""#!/bin/sh
case " $* " in *" run "*) [ -e {said} ] || ( {inner} );; esac
exec docker "$@"
""")
    script.chmod(0o755)
    engine = Engine(docker=str(script), environ=canaries.engine.environ)
    try:
        assert run(engine, canaries.me, ["sh", "-c", 'test "$V" = one'], Silent()) == 0
        assert said.read_text().strip() == "two"
        assert not [*paths.state_dir().rglob("run-*.yml")]
    finally:
        engine.run(["compose", "--project-name", project, "down", "--timeout", "0"], check=False)


def test_names_that_somebody_else_has_are_asked_for(canaries: Canaries, engine_name: Callable[[str], str]) -> None:
    engine, name = canaries.engine, f"other-{engine_name('names')}"
    folder = canaries.me / ".devcontainer"
    folder.mkdir()
    service = {"image": IMAGE, "command": ["sleep", "infinity"]}
    network = {"networks": {"default": {"name": name}}}
    built = {"context": ".", "dockerfile_inline": f"FROM {IMAGE}"}
    projects: dict[str, dict[str, Any]] = {
        f"joins the network {name}": {"services": {"a": service}, **network},
        f"mounts {name}, a volume": {
            "services": {"a": {**service, "volumes": ["vol:/v"]}}, "volumes": {"vol": {"name": name}}, "networks": {}
        },
        f"mounts {name}, a volume of": {
            "services": {"a": {**service, "volumes": ["vol:/v"]}}, "volumes": {"vol": {"name": name, "external": True}}
        },
        f"gives the name {name}": {"services": {"a": {**service, "build": {**built, "tags": [name]}}}},
        f"gives the name {name}:latest": {
            "services": {"a": service, "b": {"image": f"{name}:latest", "build": built, "pull_policy": "build"}}
        },
        f"gives the name docker.io/library/{name}": {
            "services": {"a": {**service, "build": {**built, "tags": [f"docker.io/library/{name}"]}}}
        },
    }  # fmt: skip
    label = "com.docker.compose.project=other"
    engine.run(["network", "create", "--label", label, name])
    engine.run(["volume", "create", "--label", label, name])
    engine.run(["tag", IMAGE, name])
    before = engine.image(name)
    try:
        for says, content in projects.items():
            (folder / "devcontainer.json").write_text(json.dumps({"dockerComposeFile": "c.yaml", "service": "a"}))
            (folder / "c.yaml").write_text(json.dumps({"name": f"{name}-p", **content}))
            with pytest.raises(RefusedError) as raised:
                up(UpRequest(path=canaries.me, yes=True), engine, Silent())
            assert says in (raised.value.detail or "")
            canaries.see_silent()
        (folder / "devcontainer.json").write_text(json.dumps({"image": IMAGE, "mounts": [f"source={name},target=/v"]}))
        with pytest.raises(RefusedError) as raised:
            up(UpRequest(path=canaries.me, yes=True), engine, Silent())
        assert f"mounts {name}, a volume of the compose project other" in (raised.value.detail or "")
        dry = up(UpRequest(path=canaries.me, dry_run=True), engine, Silent())
        assert any(f"mounts {name}" in note for note in dry.notes)
        canaries.see_silent()
        assert engine.image(name) == before
    finally:
        engine.run(["compose", "--project-name", f"{name}-p", "down", "--timeout", "0"], check=False)
        engine.run(["network", "rm", name], check=False)
        engine.run(["volume", "rm", name], check=False)
        engine.run(["rmi", name], check=False)


SLEEP = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]


def write_project(folder: Path, name: str, service: dict[str, Any], **top: Any) -> None:
    """Write a contract of one service, `a`, that does nothing."""
    config = folder / ".devcontainer"
    config.mkdir(parents=True, exist_ok=True)
    contract = {"dockerComposeFile": "c.yaml", "service": "a", **top.pop("contract", {})}
    (config / "devcontainer.json").write_text(json.dumps(contract))
    wanted = {key: value for key, value in {"image": IMAGE, "command": SLEEP, **service}.items() if value is not None}
    services = {"a": {"init": True, **wanted}, **top.pop("services", {})}
    (config / "c.yaml").write_text(json.dumps({"name": name, "services": services, **top}))


@pytest.fixture
def somebody(canaries: Canaries, engine_name: Callable[[str], str]) -> Iterator[str]:
    """A compose project of somebody else: its name, of whose volumes `NAME_app_data` is the project `NAME_app`'s."""
    engine, name = canaries.engine, f"other-{engine_name('theirs')}".lower()
    for thing, owner in {f"{name}_app_data": f"{name}_app", f"{name}_db": name, f"{name}_plain": ""}.items():
        engine.run(["volume", "create", *([f"--label=com.docker.compose.project={owner}"] if owner else []), thing])
    engine.run(["network", "create", f"--label=com.docker.compose.project={name}", f"{name}_default"])
    engine.run(["tag", IMAGE, f"{name}-b"])
    yield name
    mine = f"label=com.docker.compose.project={name}"
    for kind in ("container", "volume", "network"):
        ids = engine.run([kind, "ls", *(["--all"] if kind == "container" else []), "--quiet", "--filter", mine])
        engine.run([kind, "rm", "--force", *ids.stdout.split()], check=False)
    engine.run(["volume", "rm", "--force", f"{name}_plain", f"{name}_app_data", f"{name}_made"], check=False)
    engine.run(["rmi", f"{name}-b"], check=False)


BUILD = {"context": ".", "dockerfile_inline": f"FROM {IMAGE}"}


@pytest.mark.parametrize(
    ("says", "service", "top"),
    [
        ("a volume of the compose project {name}_app", {"volumes": ["app_data:/v"]}, {"volumes": {"app_data": None}}),
        ("a volume of the compose project {name}", {"volumes": ["db:/v"]}, {"volumes": {"db": None}}),
        ("a volume of the compose project {name}_app", {}, {"contract": {"mounts": ["source=app_data,target=/v"]}}),
        (
            "mounts {name}_plain, a volume that is there already",
            {"volumes": ["vol:/v"]},
            {"volumes": {"vol": {"external": True, "name": "{name}_plain"}}},
        ),
        ("joins the network {name}_default, which is there", {}, {}),
        ("gives the name {name}-b to an image", {}, {"services": {"b": {"build": BUILD}}}),
        ("gives the name {name}-b to an image", {}, {"services": {"b": {"build": BUILD, "image": "{name}-b"}}}),
    ],
)
def test_what_is_there_by_the_names_of_a_project_is_somebody_elses(
    canaries: Canaries, somebody: str, says: str, service: dict[str, Any], top: dict[str, Any]
) -> None:
    filled = json.loads(json.dumps([service, top]).replace("{name}", somebody))
    write_project(canaries.me, somebody, filled[0], **filled[1])
    before = canaries.engine.image(f"{somebody}-b")
    with pytest.raises(RefusedError) as raised:
        up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    assert says.format(name=somebody) in (raised.value.detail or "")
    canaries.see_silent()
    assert canaries.engine.image(f"{somebody}-b") == before


def test_a_part_of_what_the_host_reaches_is_asked_for(canaries: Canaries, somebody: str) -> None:
    """By a longer prefix than the host's route, and only as long as the network is not there by these addresses."""
    private = [*map(ip_network, ("172.16.0.0/12", "192.168.0.0/16"))]
    found = [one for one in gather() if one.version == 4 and any(one.subnet_of(other) for other in private)]  # type: ignore[arg-type]
    # The default bridge's, at the least.
    route = next(one for one in sorted(found, key=str) if one.prefixlen < 24)
    subnet = next(route.subnets(new_prefix=25))
    network = {"name": f"{somebody}_net", "ipam": {"config": [{"subnet": str(subnet)}]}}
    write_project(canaries.me, somebody, {}, networks={"default": network})
    with pytest.raises(RefusedError) as raised:
        up(UpRequest(path=canaries.me, yes=True), canaries.engine, Silent())
    assert f"takes the addresses {subnet}, and with them the host's way to" in (raised.value.detail or "")
    assert str(route) in (raised.value.detail or "") or str(route.network_address) in (raised.value.detail or "")
    canaries.see_silent()


@pytest.mark.parametrize("how", ["service", "other", "image"])
def test_a_project_of_somebody_else_is_not_taken_over(canaries: Canaries, somebody: str, how: str) -> None:
    """Whether the containers are the service's or another's, and whatever an image says of where they are from."""
    engine = canaries.engine
    labels = {
        "project": somebody,
        "service": "a" if how == "service" else "b",
        "project.working_dir": str(canaries.out),
    }
    marks = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
    image = IMAGE
    if how == "image":
        image = f"{somebody}-b"
        lines = f"FROM {IMAGE}\nLABEL com.docker.compose.project.working_dir={canaries.me}\n"
        engine.run(["build", "--tag", image, "-"], input_text=lines)
        marks = marks[:-1]
    theirs = engine.run(["create", *marks, image, "true"]).stdout.strip()
    write_project(canaries.me, somebody, {"network_mode": "none"})
    for recreate in (False, True):
        with pytest.raises(RefusedError) as raised:
            up(UpRequest(path=canaries.me, yes=True, recreate=recreate), engine, Silent())
        assert f"calls its compose project {somebody}" in (raised.value.detail or "")
    assert [one.id for one in engine.containers({"com.docker.compose.project": somebody})] == [theirs]


def test_the_services_of_somebody_else_s_project_are_not_started(canaries: Canaries, somebody: str) -> None:
    """An image can say of its container that it is of any project."""
    engine, image = canaries.engine, f"{somebody}-b"
    engine.run(["build", "--tag", image, "-"], input_text=f"FROM {IMAGE}\nLABEL {PROJECT}={somebody}\n")
    theirs = engine.run(["create", f"--label={PROJECT}={somebody}", f"--label={SERVICE}=db", IMAGE, "true"]).stdout
    write_project(canaries.me, f"{somebody}-p", {"image": image, "network_mode": "none"})
    labels = id_labels(canaries.me, canaries.me / ".devcontainer/devcontainer.json")
    mount = f"--mount=type=bind,source={canaries.me},target=/w"
    mine = engine.run(["create", *(f"--label={name}={value}" for name, value in labels), mount, image, *SLEEP]).stdout
    engine.run(["start", mine.strip()])
    engine.run(["stop", "--time", "0", mine.strip()])
    with pytest.raises(RefusedError) as raised:
        up(UpRequest(path=canaries.me, yes=True), engine, Silent())
    assert f"calls its compose project {somebody}, which is that of" in (raised.value.detail or "")
    found = engine.container(theirs.strip())
    assert found is not None
    assert found["State"]["Status"] == "created"


def test_what_a_workspace_has_made_is_its_own_until_another_has_the_name(canaries: Canaries, somebody: str) -> None:
    engine, ask = canaries.engine, UpRequest(path=canaries.me, yes=True)
    made = f"{somebody}_made"
    contract(canaries, mounts=[f"source={made},target=/v"], runArgs=["--network=none"], userEnvProbe="none")
    try:
        for _ in range(2):
            up(ask, engine, Silent())
            down(canaries)
        engine.run(["volume", "rm", made])
        engine.run(["volume", "create", made])
        with pytest.raises(RefusedError) as raised:
            up(ask, engine, Silent())
        assert f"mounts {made}, a volume that is there already" in (raised.value.detail or "")
        # One that its containers alone use is the workspace's, whoever has made them.
        labels = {"local_folder": canaries.me, "config_file": canaries.me / ".devcontainer.json"}
        marks = [f"--label=devcontainer.{key}={value}" for key, value in labels.items()]
        mounts = [f"--mount=type=bind,source={canaries.me},target=/w", f"--mount=source={made},target=/v"]
        engine.run(["create", *marks, *mounts, IMAGE, "true"])
        up(replace(ask, recreate=True), engine, Silent())
        down(canaries)
        up(ask, engine, Silent())
    finally:
        down(canaries)
        engine.run(["volume", "rm", "--force", made], check=False)


def test_a_container_that_only_says_whose_it_is_is_nobodys(canaries: Canaries) -> None:
    """An image can carry any label, and a service that is made of it does, whoever's it is."""
    engine, project = canaries.engine, canaries.me / "project"
    (project / "sub").mkdir(parents=True)
    labels = {"devcontainer.local_folder": str(project), "devcontainer.config_file": f"{project}/.devcontainer.json"}
    forged = [f"--label={name}={value}" for name, value in labels.items()]
    mount = ["--mount", f"type=bind,source={project}/sub,target=/sub"]
    run = ["run", "--detach", *forged, *mount, IMAGE, "sleep", "infinity"]
    identifier = engine.run(run).stdout.strip()
    try:
        for folder in (project, project / "sub"):
            with pytest.raises(DevboxError, match="no dev container"):
                hot.running(str(folder), os.environ)
        (project / ".devcontainer.json").write_text(json.dumps({"image": IMAGE, "userEnvProbe": "none"}))
        made = up(UpRequest(path=project, yes=True, skip_hooks=True), engine, Silent())
        assert (made.outcome, made.container == identifier) == ("created", False)
        assert hot.running(str(project / "sub"), os.environ).container == made.container
    finally:
        found = engine.containers({"devcontainer.local_folder": str(project)})
        engine.run(["rm", "--force", *(one.id for one in found)])


@pytest.mark.parametrize("command", ["exec", "client", "run", "hooks"])
def test_the_environment_of_a_container_steers_nothing_here(
    canaries: Canaries, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Variables whose values are made here are passed by name, and docker's own environment has them by that name."""
    fake = canaries.me / "bin"
    fake.mkdir()
    for name in ("docker", "ssh"):
        (fake / name).write_text(f"#!/bin/sh\ntouch {canaries.out}/fired\n")
        (fake / name).chmod(0o755)
    values = {
        "PATH": f"{fake}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "DOCKER_HOST": f"tcp://127.0.0.1:{canaries.port}",
        "docker_host": f"tcp://127.0.0.1:{canaries.port}",
        "HOME": str(canaries.me),
        "LD_LIBRARY_PATH": str(fake),
        "KEPT": "1",
    }
    contract(
        canaries,
        userEnvProbe="none",
        remoteEnv={name: f"{value}${{localEnv:NOWHERE}}" for name, value in values.items()},
        postCreateCommand="true",
        postStartCommand='test "$KEPT" = 1',
    )
    shown = ["sh", "-c", "printenv KEPT DOCKER_HOST HOME"]
    try:
        made = up(UpRequest(path=canaries.me, yes=True, skip_hooks=command != "hooks"), canaries.engine, Silent())
        assert made.outcome == "created"
        if command == "run":
            assert run(canaries.engine, canaries.me, shown, Silent()) == 0
        elif command != "hooks":
            if command == "client":
                monkeypatch.setattr("devbox.container.inside.exec.prepared", lambda *_: None)
            assert execute(hot.running(str(canaries.me), os.environ), shown, environ=os.environ, tty=False) == 0
        if command != "hooks":
            assert capfd.readouterr().out.split() == ["1", values["DOCKER_HOST"], values["HOME"]]
    finally:
        down(canaries)
    canaries.see_silent()
