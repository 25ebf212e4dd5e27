"""Lifecycle commands on a real engine, also side by side with the reference CLI: order, environment, marks, ends."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.hooks import manage
from devbox.container.person.dotfiles import Dotfiles
from devbox.errors import HookError, UsageError
from devbox.reporter import Silent
from tests.engine.lab import Checkout, remove, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.container.request import UpResult
    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

# Of docker, of a shell or a terminal, or a tool's own.
NOT_COMPARED = {
    "HOSTNAME",
    "TERM",
    "SHLVL",
    "_",
    "OLDPWD",
    "DEVBOX_EXEC_ID",
    "VSCODE_REMOTE_CONTAINERS_SESSION",
    "LINES",
    "COLUMNS",
}
# Stands in the test's image for git, which the image lacks: `clone … FOLDER` copies the dotfiles of the checkout.
GIT = r"#!/bin/sh\nfor last; do :; done\ncd /workspaces/tree\n[ ! -e offline ] || exit 128\ncp -r dots $last\n"


@dataclass
class Tree(Checkout):
    trust: bool = True

    @property
    def container(self) -> str:
        (found,) = self.containers()
        return found

    def states(self, *, dotfiles: Dotfiles | None = None) -> dict[str, str]:
        found = manage.states(self.engine, self.path, dotfiles, Silent())
        return {one.name: one.state for one in found.hooks}


@pytest.fixture
def make_tree(tmp_path: Path, engine: Engine, base_image: str) -> Iterator[Callable[[str], Tree]]:
    """Return a maker of checkouts; all are called `tree`."""
    with ExitStack() as stack:

        def make(name: str) -> Tree:
            path = tmp_path / name / "tree"
            path.mkdir(parents=True)
            stack.callback(remove, engine, path)
            return Tree(path, engine, base_image)

        yield make


@pytest.fixture
def tree(make_tree: Callable[[str], Tree]) -> Tree:
    return make_tree("one")


def names(result: UpResult) -> list[str]:
    return [one.name for one in result.hooks]


def log(name: str) -> str:
    """Return a shell line that notes that it ran, and its environment."""
    return f"echo {name} >> order; env > env-{name}; pwd >> env-{name}; id -un >> env-{name}"


@pytest.fixture(scope="module")
def image(engine: Engine, base_image: str) -> Iterator[str]:
    """An image with commands of its own, variables that only a shell sees, and a stand-in for git."""
    name = f"devbox-test-hooks:{os.getpid()}"
    metadata = [{"onCreateCommand": log("image-create"), "postStartCommand": log("image-start")}]
    dockerfile = (
        f"FROM {base_image}\n"
        "RUN printf 'export PROBED=yes\\nexport PROBED_TOO=yes\\n' > /etc/profile.d/probed.sh\n"
        f"RUN printf '{GIT}' > /usr/local/bin/git && chmod +x /usr/local/bin/git\n"
        f"LABEL devcontainer.metadata={json.dumps(json.dumps(metadata))}\n"
    )
    engine.run(["build", "--quiet", "--tag", name, "-"], input_text=dockerfile)
    yield name
    engine.run(["rmi", "--force", name], check=False)


def everything(tree: Tree, image: str) -> None:
    """Write a contract with each command in each form, and dotfiles."""
    tree.write(
        image=image,
        userEnvProbe="loginInteractiveShell",
        containerEnv={"IN_CONTAINER": "a b"},
        remoteEnv={
            "FIXED": "it's",
            "FROM_HOST": "${localEnv:HOOKS_LAB}",
            "FROM_CONTAINER": "<${containerEnv:IN_CONTAINER}>",
            "BOTH": "remoteEnv",
            "PROBED_TOO": None,
        },
        initializeCommand={"a": log("initialize-a"), "b": ["touch", "initialize b"]},
        onCreateCommand=log("create"),
        updateContentCommand=["/bin/sh", "-c", log("update")],
        postCreateCommand={"a": log("post-a"), "b": ["/bin/sh", "-c", log("post-b")]},
        postStartCommand=log("start"),
        postAttachCommand=log("attach"),
    )
    dots = tree.path / "dots"
    dots.mkdir()
    (dots / "install.sh").write_text(f"#!/bin/sh\ncd /workspaces/tree\n{log('dotfiles')}\n")


def environment(tree: Tree, name: str) -> list[str]:
    lines = [line for line in tree.lines(f"env-{name}") if line.partition("=")[0] not in NOT_COMPARED]
    # Where `remoteEnv` unsets a variable, the reference gives commands the text "null", and dotfiles an empty one.
    lines = [line for line in lines if line not in {"PROBED_TOO=null", "PROBED_TOO="}]
    return sorted(line.replace(str(tree.path), "TREE") for line in lines)


def marks(tree: Tree) -> dict[str, str]:
    """Return the content of each marker, with the moments by their names."""
    inspected = tree.engine.container(tree.container)
    assert inspected is not None
    text = tree.inside(
        tree.container, "sh", "-c", 'cd ~/.devcontainer; for f in .*Marker; do echo "$f $(cat $f)|"; done'
    )
    text = text.replace(inspected["Created"], "CREATED").replace(inspected["State"]["StartedAt"], "STARTED")
    return dict(line.removesuffix("|").split(" ", 1) for line in text.splitlines())


def test_the_same_commands_in_the_same_order_with_the_same_environment_and_marks(
    make_tree: Callable[[str], Tree], reference_cli: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: str
) -> None:
    monkeypatch.setenv("HOOKS_LAB", "from the host")
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"HF_TOKEN": "a secret", "KEY": "two\nlines", "BOTH": "secret"}))
    secrets.chmod(0o600)
    ours, theirs = make_tree("ours"), make_tree("theirs")
    everything(ours, image)
    everything(theirs, image)
    shared = ["--secrets-file", str(secrets), "--dotfiles-repository", "me/dots"]
    theirs.reference(reference_cli, *shared)
    result = ours.up(secrets_file=secrets, dotfiles_repository="me/dots")

    order = ["initialize-a", "image-create", "create", "update", "dotfiles", "image-start", "start", "attach"]
    for tree in (ours, theirs):
        assert [name for name in tree.lines() if not name.startswith("post-")] == order
        assert sorted(tree.lines()[4:6]) == ["post-a", "post-b"]
        assert (tree.path / "initialize b").exists()
    for name in {*ours.lines()}:
        assert environment(ours, name) == environment(theirs, name), name
    created = environment(ours, "create")
    assert {"PROBED=yes", "FROM_HOST=from the host", "FROM_CONTAINER=<a b>", "KEY=two", "BOTH=secret"} <= {*created}
    assert not [line for line in environment(ours, "initialize-a") if line.startswith(("HF_TOKEN", "KEY="))]
    assert marks(ours) == marks(theirs)
    assert marks(ours)[".dotfilesMarker"] == ""

    assert names(result) == [
        "initializeCommand", "onCreateCommand", "updateContentCommand", "postCreateCommand", "dotfiles",
        "postStartCommand", "postAttachCommand",
    ]  # fmt: skip
    done = next(one for one in result.hooks if one.name == "postCreateCommand")
    assert [one.label for one in done.commands] == ["a", "b"]
    assert 0 < max(one.seconds for one in done.commands) <= done.seconds

    # Each tool takes the other's container as it is, also when it has to start it.
    again = ["initialize-a", "attach"]
    started = ["initialize-a", "image-start", "start", "attach"]
    for tree in (ours, theirs):
        (tree.path / "order").unlink()
    ours.reference(reference_cli, *shared)
    assert names(theirs.up(dotfiles_repository="me/dots")) == ["initializeCommand", "postAttachCommand"]
    assert ours.lines() == theirs.lines() == again
    for tree in (ours, theirs):
        tree.engine.run(["stop", "--time", "1", tree.container])
        (tree.path / "order").unlink()
    ours.reference(reference_cli, *shared)
    theirs.up(dotfiles_repository="me/dots")
    assert ours.lines() == theirs.lines() == started
    assert names(ours.up(dotfiles_repository="me/dots")) == ["initializeCommand", "postAttachCommand"]
    assert names(theirs.up()) == ["initializeCommand", "postAttachCommand"]


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[str, Path]:
    """A folder for PATH with a docker that notes its arguments, and the file where it does."""
    folder, noted = tmp_path / "bin", tmp_path / "argv"
    folder.mkdir()
    wrapper = folder / "docker"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {noted}\nexec {shutil.which("docker")} "$@"\n')
    wrapper.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}", noted


def test_a_secret_reaches_the_command_and_nothing_else(tree: Tree, recorded: tuple[str, Path], tmp_path: Path) -> None:
    path, noted = recorded
    values = {
        "HF_TOKEN": "hf_tellnobody",
        "LONG": "hf_tellnobody_more",
        "PEM": "---begin\ntell-no-one\n---end",
        "PIN": "17",
    }
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({key: value for key, value in values.items() if key != "HF_TOKEN"}))
    secrets.chmod(0o600)
    tree.write(
        secrets={"HF_TOKEN": {}, "NOT_SET": {}},
        postCreateCommand='echo "$HF_TOKEN|$LONG|$PIN"; echo "$PEM"; printf %s "$HF_TOKEN" | md5sum > sum; '
        'printf "split:hf_tell"; sleep 0.3; echo nobody; false',
    )
    environ = {"PATH": path, "HF_TOKEN": values["HF_TOKEN"]}
    said = []
    for args in (["--dry-run"], [], ["--json"], ["--debug"]):
        before = ["--debug"] if "--debug" in args else []
        after = [one for one in args if one != "--debug"]
        process = tree.cli(*before, "up", "--trust", *after, "--secrets-file", str(secrets), **environ)
        out, err = process.communicate(timeout=60)
        said.append(out + err)
        assert process.returncode == (0 if args == ["--dry-run"] else 1), out + err
    assert "--env HF_TOKEN" in said[0]
    assert "split:********" in said[1]
    assert "PIN" not in said[1]
    assert "********|********|********" in said[1]
    error = json.loads(next(line for line in said[2].splitlines() if line.startswith("{")))["error"]
    assert error["code"] == "hook"
    assert "********" in error["detail"]
    assert "Traceback" in said[3]
    written = [*said, noted.read_text(), json.dumps(tree.engine.container(tree.container))]
    written += [
        one.read_text(errors="replace") for one in Path(os.environ["DEVBOX_STATE_DIR"]).rglob("*") if one.is_file()
    ]
    for text in written:
        for value in ("tellnobody", "tell-no-one", "|17"):
            assert value not in text
    assert tree.lines("sum")[0].split()[0] == hashlib.md5(values["HF_TOKEN"].encode()).hexdigest()


def test_a_command_that_fails_beside_others(tree: Tree) -> None:
    tree.write(
        onCreateCommand="true",
        postCreateCommand={
            "good": "echo good >> order",
            "bad": "echo why >&2; echo bad >> order; test -e ready",
            "worse": "exit 9",
        },
        postStartCommand="echo start >> order",
    )
    with pytest.raises(HookError) as raised:
        tree.up()
    failed = "postCreateCommand failed: 'bad' with exit code 1, 'worse' with exit code 9"
    assert raised.value.message == f"{failed}; postStartCommand was not run"
    assert raised.value.detail == "bad │ why"
    assert tree.states() == {"onCreateCommand": "done", "postCreateCommand": "failed", "postStartCommand": "due"}
    (tree.path / "ready").touch()
    tree.write(onCreateCommand="true")
    with pytest.raises(HookError, match="'worse' failed with exit code 9"):
        manage.run_hooks(tree.engine, tree.path, (), Silent())
    assert sorted(tree.lines()) == ["bad", "bad", "good", "good"]


@pytest.mark.parametrize(
    "config",
    [
        {"containerUser": "1001"},
        {"containerUser": "nobody", "userEnvProbe": "loginInteractiveShell"},
        {"runArgs": ["--read-only"], "containerEnv": {"HOME": "/dev/null"}},
    ],
)
def test_a_user_without_a_home_runs_each_command_once(tree: Tree, config: dict[str, Any]) -> None:
    tree.path.chmod(0o777)
    tree.write(
        updateRemoteUserUID=False, postCreateCommand="echo c >> order", postStartCommand="exit $(cat fail)", **config
    )
    (tree.path / "fail").write_text("1")
    with pytest.raises(HookError):
        tree.up()
    (warning,) = tree.said.warnings
    assert "has no home folder" in warning
    assert '"containerEnv": {"HOME": "/tmp"}' in warning
    assert tree.states() == {"postCreateCommand": "done", "postStartCommand": "failed"}
    (tree.path / "fail").write_text("0")
    assert names(tree.up()) == ["postStartCommand"]
    assert (tree.up().hooks, tree.said.warnings) == ((), [])
    tree.engine.run(["restart", "--time", "0", tree.container])
    assert names(tree.up()) == ["postStartCommand"]
    assert tree.lines() == ["c"]


def test_commands_are_listed_and_run_again(tree: Tree) -> None:
    tree.write(
        initializeCommand="true",
        onCreateCommand="echo create >> order",
        postCreateCommand="echo post >> order; test ! -e broken",
        postStartCommand=["sh", "-c", "echo start >> order"],
        postAttachCommand="echo attach >> order",
    )
    tree.up()
    done = {"onCreateCommand": "done", "postCreateCommand": "done", "postStartCommand": "done"}
    always = {"initializeCommand": "always", "postAttachCommand": "always"}
    assert tree.states() == {**done, **always}
    (tree.path / "order").unlink()

    ran = manage.run_hooks(tree.engine, tree.path, ["postStart", "onCreateCommand"], Silent())
    assert [one.name for one in ran.hooks] == ["onCreateCommand", "postStartCommand"]
    assert tree.lines() == ["create", "start"]
    assert tree.states() == {**done, **always}
    assert names(tree.up()) == ["initializeCommand", "postAttachCommand"]

    (tree.path / "broken").touch()
    with pytest.raises(HookError):
        manage.run_hooks(tree.engine, tree.path, ["postCreate"], Silent())
    assert tree.states()["postCreateCommand"] == "failed"
    (tree.path / "broken").unlink()
    assert names(tree.up()) == ["initializeCommand", "postCreateCommand", "postAttachCommand"]
    assert manage.run_hooks(tree.engine, tree.path, (), Silent()).hooks[0].name == "postAttachCommand"

    for name, said in (("nope", "no lifecycle command"), ("initialize", "on the host"), ("updateContent", "has no")):
        with pytest.raises(UsageError, match=said):
            manage.run_hooks(tree.engine, tree.path, [name], Silent())
    tree.engine.run(["stop", "--time", "1", tree.container])
    assert tree.states()["postStartCommand"] == "due"
    assert tree.states()["postCreateCommand"] == "unknown"


def test_up_can_leave_what_waitfor_does_not_name_to_the_background(tree: Tree, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text('{"HF_TOKEN": "tellnobody"}')
    secrets.chmod(0o600)
    tree.write(
        waitFor="onCreateCommand",
        onCreateCommand="echo create >> order",
        updateContentCommand="echo update >> order; until [ -e go ]; do sleep 0.05; done",
        postCreateCommand='echo "post ${HF_TOKEN##tell}" >> order; echo "$HF_TOKEN"',
        postAttachCommand="echo attach >> order",
    )
    result = tree.up(no_wait=True, secrets_file=secrets)
    assert names(result) == ["onCreateCommand"]
    assert result.hooks_log is not None
    until(lambda: "update" in tree.lines())
    assert tree.states()["postCreateCommand"] == "running"
    (tree.path / "go").touch()
    again = tree.up()
    assert names(again) == ["postAttachCommand"]
    assert tree.lines() == ["create", "update", "post nobody", "attach", "attach"]
    assert "postCreateCommand │ ********" in result.hooks_log.read_text()
    assert "tellnobody" not in result.hooks_log.read_text()
    assert tree.up(no_wait=True).hooks_log is not None, "what is run each time is left to the background, too"
    until(lambda: len(tree.lines()) == 6)


def test_dotfiles_that_fail_are_a_warning_and_tried_again(tree: Tree, image: str) -> None:
    everything(tree, image)
    (tree.path / "offline").touch()
    result = tree.up(dotfiles_repository="me/dots")
    assert "dotfiles" not in names(result)
    assert names(result)[-1] == "postAttachCommand"
    assert "the dotfiles could not be installed" in tree.said.warnings[-1]
    with pytest.raises(HookError, match="dotfiles failed with exit code 128"):
        manage.run_hooks(tree.engine, tree.path, ["dotfiles"], Silent(), dotfiles=Dotfiles("me/dots"))
    assert tree.states(dotfiles=Dotfiles("me/dots"))["dotfiles"] == "failed"
    (tree.path / "offline").unlink()
    assert "dotfiles" in names(tree.up(dotfiles_repository="me/dots"))
    assert "dotfiles" not in names(tree.up(dotfiles_repository="me/dots"))
    assert tree.inside(tree.container, "sh", "-c", "cat ~/.devcontainer/.dotfilesMarker | wc -c").strip() == "0"


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_the_end_to_the_watcher(tree: Tree) -> None:
    tree.write(
        postCreateCommand={
            "a": "trap '' TERM INT; echo a >> order; while [ ! -e go ]; do sleep 0.1; done; echo done >> order",
            "b": "echo b >> order; until [ -e go ]; do sleep 0.1; done",
        }
    )
    process = tree.cli("up")
    until(lambda: len(tree.lines()) == 2)
    process.send_signal(signal.SIGINT)
    until(lambda: "echo b" not in tree.engine.run(["top", tree.container]).stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    until(lambda: "echo a" not in tree.engine.run(["top", tree.container]).stdout)
    assert tree.states() == {"postCreateCommand": "failed"}
    (tree.path / "go").touch()
    assert names(tree.up()) == ["postCreateCommand"]
    assert tree.lines().count("done") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_the_command_on_the_host_started_ends_with_devbox(tree: Tree, number: int) -> None:
    tree.write(
        initializeCommand={"a": "sh -c 'echo $$ >> order; sleep 600'; true", "b": "echo $$ >> order; sleep 600; true"}
    )
    process = tree.cli("up", "--trust")
    until(lambda: len(tree.lines()) == 2)
    pids = [int(line) for line in tree.lines()]
    process.send_signal(number)
    process.communicate(timeout=20)
    until(lambda: not any(alive(pid) for pid in pids))
    assert not tree.engine.containers({"devcontainer.local_folder": str(tree.path)})


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_what_a_command_leaves_running_is_not_waited_for(tree: Tree) -> None:
    tree.write(postStartCommand="sleep 600 & echo $! > order")
    result = tree.up()
    assert result.hooks[-1].seconds < 30
    assert "sleep 600" in tree.engine.run(["top", tree.container]).stdout
