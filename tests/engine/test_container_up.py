"""`devbox up` on a real engine: what it makes, what it leaves alone, and how it goes on after an interruption."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent import protocol
from devbox.builds.talk import ask
from devbox.container import memory
from devbox.container.hooks import manage
from devbox.container.inside.find import running_container
from devbox.container.up.apply import Journal, alive
from devbox.container.up.images import have_image, plan_image
from devbox.container.up.remade import REASON
from devbox.container.up.uid import wants_host_ids, with_host_ids
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.errors import BuildError, ContractError, DevboxError, EngineError, HookError, RefusedError
from devbox.reporter import Silent
from tests.engine.lab import REPOSITORY, Checkout, devbox, remove, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.container.up.up import UpResult
    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

MARKERS = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand")


def ran(result: UpResult) -> tuple[str, ...]:
    """Return the names of the lifecycle commands that were run."""
    return tuple(one.name for one in result.hooks)


@dataclass
class Work(Checkout):
    def start_cli(self, *args: str) -> subprocess.Popen[str]:
        """Start `up` in the checkout, as a process that can be killed."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN_UP, *args, str(self.path)],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


# `up` in a process of its own, without the command line in between.
RUN_UP = """
import sys
from pathlib import Path
from devbox.container.request import UpRequest
from devbox.container.up.up import up
from devbox.engine.docker import Engine
from devbox.reporter import Silent
from tests.engine.lab import REPOSITORY, Checkout, remove, until
result = up(UpRequest(path=Path(sys.argv[-1]), trust=True), Engine(), Silent())
print(result.outcome, result.container)
"""


@pytest.fixture
def work(tmp_path: Path, engine: Engine, base_image: str) -> Iterator[Work]:
    path = tmp_path / "tree"
    path.mkdir()
    made = Work(path, engine, base_image)
    yield made
    remove(engine, path)
    # Built for the folder `tree`, which no other test has.
    images = engine.run(["images", "--quiet", "devbox-tree"]).stdout.split()
    if images:
        engine.run(["rmi", *images], check=False)


def test_the_second_up_finds_what_the_first_one_made(work: Work) -> None:
    work.write(
        onCreateCommand="echo create >> order",
        updateContentCommand=["sh", "-c", "echo update >> order"],
        postCreateCommand={"a": "echo post >> order"},
        postStartCommand="echo start >> order",
        postAttachCommand="echo attach >> order",
    )
    first = work.up()
    assert first.outcome == "created"
    assert ran(first) == (*MARKERS, "postAttachCommand")
    assert first.workspace_folder == "/workspaces/tree"
    second = work.up()
    assert (second.outcome, second.container, ran(second)) == ("running", first.container, ("postAttachCommand",))
    assert work.lines("order") == ["create", "update", "post", "start", "attach", "attach"]


def test_markers_are_the_references_byte_for_byte(work: Work) -> None:
    work.write(postCreateCommand="true")
    made = work.up()
    inspected = work.engine.container(made.container)
    assert inspected is not None
    for name in MARKERS:
        moment = inspected["State"]["StartedAt"] if name == "postStartCommand" else inspected["Created"]
        assert work.inside(made.container, "cat", f"/root/.devcontainer/.{name}Marker") == f"{moment}\n"


def test_a_stopped_container_is_started_and_only_its_start_command_runs_again(work: Work) -> None:
    work.write(postCreateCommand="echo create >> order", postStartCommand="echo start >> order")
    made = work.up()
    work.engine.run(["stop", made.container])
    again = work.up()
    assert (again.outcome, again.container) == ("started", made.container)
    assert work.lines("order") == ["create", "start", "start"]


def test_a_failed_command_is_tried_again_and_the_later_ones_wait(work: Work) -> None:
    work.write(
        onCreateCommand="echo one >> order",
        postCreateCommand="echo two >> order; echo why >&2; test -e ready",
        postStartCommand="echo three >> order",
    )
    with pytest.raises(HookError, match="postCreateCommand failed with exit code 1") as raised:
        work.up()
    assert raised.value.detail == "why"
    (work.path / "ready").touch()
    assert ran(work.up()) == ("postCreateCommand", "postStartCommand")
    assert work.lines("order") == ["one", "two", "two", "three"]


def test_a_command_that_changed_after_the_container_was_made_is_said(work: Work) -> None:
    work.write(postStartCommand="false")
    with pytest.raises(HookError):
        work.up()
    work.write(postStartCommand="true")
    with pytest.raises(HookError):
        work.up()
    assert ["postStartCommand changed in" in one for one in work.said.warnings] == [True]
    work.up(recreate=True)
    assert not work.said.warnings


def test_the_host_command_runs_on_the_host_each_time_after_consent(work: Work) -> None:
    work.write(initializeCommand="echo $$ >> host; uname -n >> host")
    with pytest.raises(RefusedError) as raised:
        work.up(yes=True)
    assert "runs on the host" in str(raised.value.detail)
    assert not work.containers()
    assert not work.lines("host")
    work.up(trust=True)
    work.up()
    assert len(work.lines("host")) == 4
    assert work.lines("host")[1] == os.uname().nodename


def test_a_changed_contract_is_applied_with_its_reasons(work: Work) -> None:
    work.write(containerEnv={"A": "1"}, customizations={"vscode": {"extensions": []}})
    made = work.up()
    work.write(containerEnv={"A": "1"}, customizations={"vscode": {"extensions": ["a.b"]}})
    assert work.up().container == made.container
    work.write(containerEnv={"A": "2"})
    changed = work.up()
    assert changed.outcome == "created"
    assert changed.reasons == ("containerEnv A: 1 → 2",)
    assert work.containers() == [changed.container]
    assert work.inside(changed.container, "printenv", "A") == "2\n"


def test_a_changed_contract_waits_while_somebody_works_in_the_container(work: Work) -> None:
    work.write()
    made = work.up()
    work.write(init=True)
    with subprocess.Popen(["docker", "exec", "-i", made.container, "cat"], stdin=subprocess.PIPE) as session:
        try:
            until(lambda: "cat" in work.engine.run(["top", made.container]).stdout)
            kept = work.up()
            assert (kept.outcome, kept.container) == ("running", made.container)
            assert kept.pending == ("init: nothing → true",)
            assert "cat" in work.said.warnings[-1]
            assert "--recreate" in work.said.warnings[-1]
            with pytest.raises(RefusedError, match="somebody works in"):
                work.up(recreate=True)
            replaced = work.up(recreate=True, yes=True)
            assert replaced.container != made.container
        finally:
            session.stdin.close()  # type: ignore[union-attr]


def test_an_image_is_built_once_and_again_when_what_it_is_built_from_changes(work: Work) -> None:
    dockerfile = work.path / ".devcontainer/Dockerfile"
    work.write(build={"dockerfile": "Dockerfile"})
    dockerfile.write_text(f"FROM {work.image}\nRUN echo one >/version\n")
    made = work.up()
    assert work.inside(made.container, "cat", "/version") == "one\n"
    contract = read(made.contract, work.path, os.environ)
    assert plan_image(work.engine.image, contract).image is not None
    assert work.up().container == made.container
    dockerfile.write_text(f"FROM {work.image}\nRUN echo two >/version\n")
    changed = work.up()
    assert "Dockerfile" in changed.reasons[0]
    assert work.inside(changed.container, "cat", "/version") == "two\n"


def test_a_file_that_makes_no_other_image_replaces_no_container(work: Work) -> None:
    """What is not copied, or makes the same layers, is no reason to lose what somebody has made in the container."""
    work.write(build={"dockerfile": "Dockerfile", "context": ".."})
    dockerfile = work.path / ".devcontainer/Dockerfile"
    dockerfile.write_text(f"FROM {work.image}\nCOPY req.txt /\nRUN true\n")
    (work.path / "req.txt").write_text("1")
    (work.path / "main.cpp").write_text("1")
    made = work.up()
    (work.path / "main.cpp").write_text("2")
    assert work.up().container == made.container
    dockerfile.write_text(f'# said otherwise\nFROM {work.image}\nCOPY ["req.txt", "/"]\nRUN true\n')
    again = work.up()
    assert (again.container, again.reasons) == (made.container, ())
    # What takes part in the image's configuration alone counts, too.
    dockerfile.write_text(f"FROM {work.image}\nCOPY req.txt /\nRUN true\nENV A=1\n")
    changed = work.up()
    assert changed.container != made.container
    (work.path / "req.txt").write_text("2")
    assert work.inside(work.up().container, "cat", "/req.txt") == "2"


def test_an_ordinary_user_owns_new_volumes_and_is_who_runs_things(work: Work) -> None:
    volume = f"devbox-{os.getuid()}-test-{os.getpid()}"
    work.write(
        build={"dockerfile": "Dockerfile"},
        remoteUser="dev",
        updateRemoteUserUID=False,
        mounts=[f"type=volume,source={volume},target=/cache/x", "type=volume,source=devbox-test-other,target=/other"],
        postCreateCommand="id -un > who; stat -c %U /cache/x /other >> who",
    )
    (work.path / ".devcontainer/Dockerfile").write_text(f"FROM {work.image}\nRUN useradd -m dev\n")
    work.path.chmod(0o777)
    try:
        made = work.up()
        assert work.lines("who") == ["dev", "dev", "root"]
        assert made.notes == ("/cache/x now belongs to dev",)
        work.engine.run(["exec", "--user", "root", made.container, "rm", "/workspaces/tree/who"])
    finally:
        for container in work.containers():
            work.engine.run(["rm", "--force", container])
        work.engine.run(["volume", "rm", "--force", volume, "devbox-test-other"])


def test_a_limit_that_the_engine_refuses_is_lowered_and_said(work: Work) -> None:
    probe = ["run", "--rm", "--ulimit", "memlock=-1", work.image, "true"]
    if work.engine.run(probe, check=False).ok:
        pytest.skip("this engine grants unlimited memlock")
    work.write(runArgs=["--ulimit", "memlock=-1"])
    made = work.up()
    assert len(made.notes) == 1
    assert "memlock=-1" in made.notes[0]
    assert work.up().container == made.container, "a lowered limit is no drift"


def test_a_dry_run_shows_the_commands_and_changes_nothing(work: Work) -> None:
    work.write(postCreateCommand="touch made", containerEnv={"A": "a b"})
    result = work.up(dry_run=True)
    assert result.dry_run
    (create,) = [line for step in result.steps for line in step.lines if line.startswith("docker run")]
    assert "A=a b" in shlex.split(create)
    assert any("touch made" in line for step in result.steps for line in step.lines)
    assert not work.containers()
    assert memory.recall(work.path) is None


@pytest.mark.parametrize("name", ["a b", "a,b", 'a"b', "ü-漢", "it's", "-dash", "$HOME"])
def test_odd_names_of_folders(name: str, work: Work) -> None:
    work.path = work.path.parent / name
    work.path.mkdir()
    work.write(postCreateCommand="touch made")
    work.up()
    assert (work.path / "made").exists()
    assert work.up().outcome == "running"


def test_a_symlinked_folder_keeps_its_name(work: Work) -> None:
    link = work.path.parent / "link"
    link.symlink_to(work.path)
    work.write(postCreateCommand="touch made")
    work.path = link
    made = work.up()
    inspected = work.engine.container(made.container)
    assert inspected is not None
    assert inspected["Config"]["Labels"]["devcontainer.local_folder"] == str(link)
    assert (link / "made").exists()


def test_a_checkout_that_was_deleted_and_made_again_is_mounted_anew(work: Work) -> None:
    work.write()
    made = work.up()
    shutil.rmtree(work.path)
    (work.path / "cloned").mkdir(parents=True)
    work.write()
    done = devbox("exec", "ls", cwd=work.path, code=126, PYTHONPATH=str(REPOSITORY))
    assert done.stdout == ""
    assert "was deleted, and made again, since the container started" in done.stderr
    with pytest.raises(BuildError, match="was deleted, and made again"):
        ask(protocol.List(), running_container(work.engine, work.path), work.engine)
    again = work.up()
    assert (again.outcome, again.reasons) == ("created", (REASON,))
    assert again.container != made.container
    assert work.inside(again.container, "ls", "/workspaces/tree") == "cloned\n"
    assert work.up().outcome == "running"


def test_a_paused_container_is_not_called_stopped(work: Work) -> None:
    work.write()
    made = work.up()
    work.engine.run(["pause", made.container])
    with pytest.raises(DevboxError, match=r"is paused$"):
        running_container(work.engine, work.path)
    with pytest.raises(DevboxError, match=r"is paused$"):
        manage.states(work.engine, work.path, None, Silent())
    assert work.up().reasons == ("the container was paused",)
    assert running_container(work.engine, work.path).container == made.container


def test_two_at_once_make_one_container(work: Work) -> None:
    work.write(postCreateCommand="echo once >> order")
    processes = [work.start_cli(), work.start_cli()]
    said = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert [words[0] for words in said] == ["created", "running"]
    assert said[0][1] == said[1][1]
    assert work.lines("order") == ["once"]


def test_a_killed_up_leaves_nothing_running_and_the_next_one_finishes(work: Work) -> None:
    work.write(postCreateCommand="echo begun >> order; test -e go || sleep 3600; echo done >> order")
    process = work.start_cli()
    until(lambda: work.lines("order"))
    process.kill()
    process.communicate()
    (container,) = work.containers()
    until(lambda: "sleep 3600" not in work.engine.run(["top", container]).stdout)
    (work.path / "go").touch()
    finished = work.up()
    assert (finished.outcome, finished.container, ran(finished)) == ("running", container, ("postCreateCommand",))
    assert work.lines("order") == ["begun", "begun", "done"]


def test_ctrl_c_in_a_command_ends_it(work: Work) -> None:
    work.write(postCreateCommand={"a": "echo a >> order; sleep 3600", "b": "echo b >> order; sleep 3600"})
    process = work.start_cli()
    until(lambda: len(work.lines("order")) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    (container,) = work.containers()
    assert "sleep 3600" not in work.engine.run(["top", container]).stdout


def test_a_container_that_was_only_created_is_replaced(work: Work) -> None:
    work.write()
    line = next(line for step in work.up(dry_run=True).steps for line in step.lines if " run " in line)
    args = shlex.split(line)
    work.engine.run(["create", *args[args.index("--detach") + 1 :]])
    result = work.up()
    assert result.outcome == "created"
    assert "interrupted" in result.reasons[0]
    assert work.containers() == [result.container]


@pytest.mark.parametrize("when", ["exit 5", "sleep 0.5; exit 5"])
def test_a_command_of_the_image_that_ends_is_told(work: Work, when: str) -> None:
    work.write(overrideCommand=False, build={"dockerfile": "Dockerfile"}, postCreateCommand="sleep 60")
    (work.path / ".devcontainer/Dockerfile").write_text(
        f'FROM {work.image}\nCMD ["sh", "-c", "echo last words; {when}"]\n'
    )
    with pytest.raises(EngineError, match="ended at once, with exit code 5") as raised:
        work.up()
    assert "last words" in str(raised.value.detail)
    # What was asked of it meanwhile in vain is worth no warning.
    assert not work.said.warnings


def test_the_end_of_a_container_is_awaited_where_the_engine_has_not_heard_of_it_yet(
    engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = engine.run(["run", "--detach", base_image, "sh", "-c", "sleep 600"]).stdout.strip()
    try:
        runs = alive(engine, container)
        assert runs is not None
        assert runs["State"]["Running"]
        engine.run(["kill", container])
        engine.run(["wait", container])
        # What the engine still says for a moment.
        said = iter([runs, engine.container(container)])
        monkeypatch.setattr(engine, "container", lambda _: next(said))
        seen = alive(engine, container)
        assert seen is not None
        assert seen["State"]["ExitCode"] == 137
    finally:
        engine.run(["rm", "--force", container], check=False)


def test_what_cannot_be_done_is_said(work: Work) -> None:
    work.write(image="devbox-test-registry.invalid/none:1")
    with pytest.raises(EngineError, match="neither on the engine nor can it be pulled"):
        work.up()
    file = work.path / ".devcontainer/devcontainer.json"
    file.write_text('{"image": "a",\n "init": tru}')
    with pytest.raises(ContractError, match=r"devcontainer\.json:2:"):
        work.up()
    file.write_text('{"dockerComposeFile": "c.yaml", "service": "s", "workspaceFolder": "/w"}')
    with pytest.raises(ContractError, match="Compose") as raised:
        work.up(trust=True)
    assert raised.value.hint is not None
    work.write(mounts=[f"type=bind,source={work.path}/none,target=/x"])
    with pytest.raises(EngineError, match="does not exist"):
        work.up(trust=True)
    assert not work.containers()


def test_where_commands_start_has_to_be_there_and_one_who_cannot_write_it_is_said(work: Work) -> None:
    work.write(workspaceFolder="/not-there", postCreateCommand="true")
    with pytest.raises(ContractError, match="the container has no folder /not-there, where commands start"):
        work.up()
    work.write(workspaceFolder="/workspaces/x", workspaceMount=f"type=bind,source={work.path},target=/workspaces/x")
    work.up(trust=True)
    assert not work.said.warnings
    work.write(remoteUser="nobody", updateRemoteUserUID=False)
    work.path.chmod(0o755)
    work.up()
    (warning,) = [one for one in work.said.warnings if "cannot write" in one]
    assert f"nobody cannot write /workspaces/tree, which belongs to the user {os.getuid()} inside" in warning


def test_a_home_that_a_command_makes_is_the_contracts_word(work: Work) -> None:
    work.write(
        containerEnv={"HOME": "/srv/home"}, remoteUser="root", postCreateCommand="mkdir -p /srv/home", image=work.image,
        userEnvProbe="loginShell",
    )  # fmt: skip
    work.up()
    target = running_container(work.engine, work.path)
    assert target.env_file is None or "HOME=" not in target.env_file.read_text()


def test_a_name_that_is_taken_is_said(work: Work, engine_name: Callable[[str], str]) -> None:
    name = engine_name("taken")
    work.engine.run(["create", "--name", name, work.image, "true"])
    work.write()
    with pytest.raises(EngineError, match=f"another container is called {name}"):
        work.up(name=name)
    with pytest.raises(DevboxError):
        work.up(name=name, recreate=True)


def reference(cli: str, *args: str) -> dict[str, Any]:
    done = subprocess.run([cli, *args], capture_output=True, text=True, timeout=120, check=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def test_the_reference_client_adopts_our_container(work: Work, reference_cli: str) -> None:
    work.write(
        onCreateCommand="echo create >> order",
        postCreateCommand="echo post >> order",
        postStartCommand="echo start >> order",
        containerEnv={"A": "1"},
        init=True,
    )
    ours = work.up()
    theirs = reference(reference_cli, "up", "--workspace-folder", str(work.path))
    assert theirs["containerId"] == ours.container
    assert theirs["remoteWorkspaceFolder"] == ours.workspace_folder
    assert work.lines("order") == ["create", "post", "start"]
    done = subprocess.run(
        [reference_cli, "exec", "--workspace-folder", str(work.path), "sh", "-c", "echo $A; pwd"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "/workspaces/tree"]
    assert work.up().container == ours.container
    assert work.up().outcome == "running"


def test_a_container_of_the_reference_client_is_adopted_and_never_replaced_unasked(
    work: Work, reference_cli: str
) -> None:
    work.write(postCreateCommand="echo post >> order", postStartCommand="echo start >> order")
    theirs = reference(reference_cli, "up", "--workspace-folder", str(work.path))["containerId"]
    work.write(containerEnv={"NEW": "1"}, postStartCommand="echo start >> order")
    ours = work.up()
    assert (ours.container, ours.outcome, ours.hooks) == (theirs, "running", ())
    work.engine.run(["stop", theirs])
    ours = work.up()
    assert (ours.container, ours.outcome) == (theirs, "started")
    assert work.lines("order") == ["post", "start", "start"]
    replaced = work.up(recreate=True)
    assert replaced.container != theirs


@pytest.mark.parametrize(
    ("before", "uid", "gid"),
    [("useradd -m dev", 4321, 4321), ("useradd -m -u 4321 other; useradd -m dev", 4321, 100), ("useradd -m dev", 1, 1)],
)
def test_the_remote_user_gets_the_hosts_ids(work: Work, before: str, uid: int, gid: int) -> None:
    work.write(build={"dockerfile": "Dockerfile"}, remoteUser="dev")
    (work.path / ".devcontainer/Dockerfile").write_text(
        f"FROM {work.image}\nRUN {before}; install -o root /dev/null /home/dev/roots; touch /opt/else\n"
    )
    contract = read(work.path / ".devcontainer/devcontainer.json", work.path, os.environ)
    image = have_image(Journal(work.engine, Silent()), contract, plan_image(work.engine.image, contract))
    merged = merge(contract, (), image.config)
    made = with_host_ids(Journal(work.engine, Silent()), merged, image, uid=uid, gid=gid)
    assert made is not None
    name = made.name
    try:
        script = "id -u; id -g; stat -c %u:%g /home/dev /home/dev/.bashrc /home/dev/roots; cut -d: -f3 /etc/passwd"
        said = work.engine.run(["run", "--rm", "--user", "dev", name, "sh", "-c", script]).stdout.split()
        assert said[:5] == [str(uid), str(gid), f"{uid}:{gid}", f"{uid}:{gid}", "0:0"]
        assert len(set(said[5:])) == len(said[5:]), "two accounts have one uid"
        assert with_host_ids(Journal(work.engine, Silent()), merged, image, uid=uid, gid=gid) == made
    finally:
        work.engine.run(["rmi", name], check=False)


def test_who_keeps_the_ids_of_the_image(work: Work) -> None:
    def wants(uid: int, **config: Any) -> bool:
        work.write(**config)
        contract = read(work.path / ".devcontainer/devcontainer.json", work.path, os.environ)
        return wants_host_ids(merge(contract, (), {}), uid)

    assert wants(1000, remoteUser="dev")
    assert not wants(0, remoteUser="dev")
    assert not wants(1000)
    assert not wants(1000, remoteUser="1000:1000")
    assert not wants(1000, remoteUser="dev", updateRemoteUserUID=False)
