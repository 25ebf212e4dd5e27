"""Who a container belongs to and who works in it, on a real engine: agents, git, symlinks, worktrees, other tools."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.inside.find import containers_of, running_container
from devbox.container.person import ssh_agent
from devbox.container.up.up import UpRequest, UpResult, up
from devbox.devcontainer.identity import id_labels
from devbox.engine.docker import Engine
from devbox.reporter import Silent
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.engine

UID = 1234
KEYS = """
import os, socket, struct
with socket.socket(socket.AF_UNIX) as agent:
    agent.connect(os.environ["SSH_AUTH_SOCK"])
    agent.sendall(b"\\0\\0\\0\\1\\x0b")
    size = struct.unpack(">I", agent.recv(4))[0]
    answer = b""
    while len(answer) < size:
        answer += agent.recv(size)
print(os.getuid(), answer[0], struct.unpack(">I", answer[1:5])[0])
"""


def write(folder: Path, image: str, **config: Any) -> None:
    file = folder / ".devcontainer/devcontainer.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"image": image, "userEnvProbe": "none", **config}))


def start(folder: Path, engine: Engine, **options: Any) -> UpResult:
    return up(UpRequest(path=folder, trust=True, **options), engine, Silent())


def inside(container: str, engine: Engine, *argv: str, user: str = "root") -> str:
    return engine.run(["exec", "--user", user, container, *argv]).stdout.strip()


def execute(folder: Path, *argv: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `devbox exec` in a folder."""
    program = [sys.executable, "-m", "devbox", "exec", "--", *argv]
    path = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(program, cwd=folder, env={**environ, **path}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def git_image(engine: Engine, base_image: str) -> Iterator[str]:
    """An image with git and Python."""
    name = f"devbox-test-{os.getpid()}-git"
    text = f"FROM {base_image}\nRUN apt-get update && apt-get install --yes --no-install-recommends git python3\n"
    engine.run(["build", "--tag", name, "-"], input_text=text)
    yield name
    engine.run(["rmi", name], check=False)


@pytest.fixture
def folder(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    made = tmp_path / "tree"
    made.mkdir()
    yield made
    for one in engine.containers({"devcontainer.local_folder": None}):
        if Path(one.labels["devcontainer.local_folder"]).is_relative_to(tmp_path):
            engine.run(["rm", "--force", "--volumes", one.id])


@pytest.fixture
def new_agent(tmp_path: Path) -> Iterator[Callable[[int], dict[str, str]]]:
    """A maker of ssh-agents with a number of keys; it returns the variables of the session."""
    started: list[int] = []

    def make(keys: int) -> dict[str, str]:
        words = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
        values = dict(word.partition(";")[0].split("=", 1) for word in words.splitlines() if "=" in word)
        started.append(int(values["SSH_AGENT_PID"]))
        for number in range(keys):
            key = tmp_path / f"key-{len(started)}-{number}"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, **values}, check=True)
        return values

    yield make
    lock = ssh_agent.mounted_folder().parent / "lock"
    if lock.exists():
        os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
    for process in started:
        os.kill(process, signal.SIGTERM)


def test_the_agent_of_the_session_answers_inside_after_another_login_and_in_a_container_that_was_started_before(
    folder: Path, engine: Engine, git_image: str, new_agent: Callable[[int], dict[str, str]]
) -> None:
    mounted = ssh_agent.prepare()
    write(
        folder,
        git_image,
        mounts=[f"type=bind,source={mounted},target=/run/devbox/ssh,readonly"],
        containerEnv={"SSH_AUTH_SOCK": "/run/devbox/ssh/agent.sock"},
        onCreateCommand=f"useradd --uid {os.getuid() or UID} --create-home me || true",
    )
    nobody = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
    # An editor, or this, starts the container before there is any agent: commands run, and there are no keys.
    start(folder, Engine(environ=nobody))
    without = execute(folder, "python3", "-c", KEYS, environ=nobody)
    assert without.returncode == 1
    assert "FileNotFoundError" in without.stderr
    first = {**nobody, **new_agent(1)}
    assert execute(folder, "python3", "-c", KEYS, environ=first).stdout.split() == [str(os.getuid()), "12", "1"]
    second = {**nobody, **new_agent(2)}
    os.kill(int(first["SSH_AGENT_PID"]), signal.SIGSTOP)
    assert execute(folder, "python3", "-c", KEYS, environ=second).stdout.split()[2] == "2"
    os.kill(int(first["SSH_AGENT_PID"]), signal.SIGCONT)
    # A session without an agent, and a container that was restarted by another tool.
    engine.run(["restart", "--time", "0", containers_of(engine, str(folder))[0].id])
    assert execute(folder, "python3", "-c", KEYS, environ=nobody).stdout.split()[2] == "2"
    # Nothing inside can put a socket of its own there.
    planted = execute(folder, "sh", "-c", "rm -f $SSH_AUTH_SOCK; touch /run/devbox/ssh/x", environ=second)
    assert planted.returncode != 0
    assert execute(folder, "python3", "-c", KEYS, environ=second).stdout.split()[2] == "2"


def test_git_inside_knows_who_commits_and_the_containers_own_settings_win(
    folder: Path, engine: Engine, git_image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        '[user]\nname = "Ada Löv"\nemail = ada@example.org\n[credential]\nhelper = store\n[pull]\nrebase = true\n'
    )
    monkeypatch.setenv("HOME", str(home))
    git(folder, "init", "--quiet")
    os.chown(folder, UID, UID)
    write(folder, git_image, postCreateCommand="git config user.name > seen; git config --global user.email own@here")
    container = start(folder, engine).container
    assert (folder / "seen").read_text().strip() == "Ada Löv"
    inside_git = ("git", "-C", "/workspaces/tree", "config")
    assert inside(container, engine, *inside_git, "pull.rebase") == "true"
    assert inside(container, engine, *inside_git, "user.email") == "own@here"
    listed = inside(container, engine, *inside_git, "--list")
    assert "credential" not in listed
    # The folder belongs to somebody else than root, who works here.
    assert "safe.directory=/workspaces/tree" in listed
    assert (
        inside(container, engine, "git", "-C", "/workspaces/tree", "rev-parse", "--show-toplevel") == "/workspaces/tree"
    )
    # What became of it is the container's affair.
    inside(container, engine, "rm", "/root/.config/git/config")
    start(folder, engine)
    assert engine.run(["exec", container, "test", "-e", "/root/.config/git/config"], check=False).code == 1


def test_git_takes_repositories_below_the_workspace_that_belong_to_others(
    folder: Path, engine: Engine, git_image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Submodules, plain repositories, and a home that the image calls by another user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada\n")
    git(tmp_path, "init", "--quiet", "library")
    git(tmp_path / "library", "commit", "--quiet", "--allow-empty", "--message", "a")
    git(folder, "init", "--quiet")
    git(folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "library"), "sub")
    git(folder, "init", "--quiet", "deep/third one")
    for one in [*folder.rglob("*")]:
        os.lchown(one, UID, UID)
    write(folder, git_image, remoteUser="mail", containerEnv={"HOME": "/root"}, userEnvProbe="loginShell",
          postCreateCommand="mkdir made; git init --quiet made/mine")  # fmt: skip
    folder.chmod(0o777)
    start(folder, engine)
    where = execute(folder, "sh", "-c", "echo $HOME; git config user.name", environ={**os.environ}).stdout.split()
    assert where == ["/var/mail", "Ada"]
    for place in (".", "sub", "deep/third one", "made/mine"):
        done = execute(folder, "git", "-C", place, "status", environ={**os.environ})
        assert (done.stderr, done.returncode) == ("", 0)
    git(folder, "clone", "--quiet", str(tmp_path / "library"), "later")
    for one in [folder / "later", *(folder / "later").rglob("*")]:
        os.lchown(one, UID, UID)
    start(folder, engine)
    done = execute(folder, "git", "-C", "later", "status", environ={**os.environ})
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_configuration_that_the_image_brings_is_left_alone(
    folder: Path, engine: Engine, git_image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ada\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    (folder / "Dockerfile").write_text(
        f"FROM {git_image}\nRUN mkdir -p /root/.config/git && printf '[user]\\nname = image' > ~/.config/git/config\n"
    )
    file = folder / ".devcontainer.json"
    file.write_text(json.dumps({"build": {"dockerfile": "Dockerfile"}, "userEnvProbe": "none"}))
    made = start(folder, engine)
    assert inside(made.container, engine, "git", "config", "user.name") == "image"
    engine.run(["rm", "--force", made.container])
    engine.run(["rmi", made.image], check=False)


def test_a_symlink_and_the_checkout_have_one_container(
    folder: Path, engine: Engine, base_image: str, tmp_path: Path
) -> None:
    write(folder, base_image)
    link = tmp_path / "link"
    link.symlink_to(folder)
    made = start(folder, engine)
    again = start(link, engine)
    assert (again.container, again.outcome, again.workspace) == (made.container, "running", folder)
    explicit = start(link, engine, config=link / ".devcontainer/devcontainer.json")
    assert explicit.container == made.container
    assert running_container(engine, link).container == made.container
    # The name outlives the container, and the build volume goes by it.
    engine.run(["rm", "--force", made.container])
    assert start(link, engine).workspace == folder


def test_a_checkout_that_another_tool_opened_through_a_symlink_is_found_by_its_real_path(
    folder: Path, engine: Engine, base_image: str, tmp_path: Path, reference_cli: str
) -> None:
    write(folder, base_image)
    link = tmp_path / "link"
    link.symlink_to(folder)
    theirs = reference(reference_cli, link)
    ours = start(folder, engine)
    assert (ours.container, ours.outcome) == (theirs, "running")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "build"])
def test_both_tools_use_what_the_other_one_made_running_and_stopped(
    kind: str, folder: Path, engine: Engine, base_image: str, reference_cli: str
) -> None:
    hooks = {name: f"echo {name} >> order" for name in ("onCreateCommand", "postCreateCommand", "postStartCommand")}
    if kind == "image":
        write(folder, base_image, **hooks)
    else:
        (folder / "Dockerfile").write_text(f"FROM {base_image}\nRUN touch /made\n")
        file = folder / ".devcontainer.json"
        file.write_text(json.dumps({"build": {"dockerfile": "Dockerfile"}, "userEnvProbe": "none", **hooks}))
    images = set()
    for first, second in (("ours", "theirs"), ("theirs", "ours")):
        tools: dict[str, Callable[[], str]] = {
            "ours": lambda: start(folder, engine).container,
            "theirs": lambda: reference(reference_cli, folder),
        }
        made = tools[first]()
        assert tools[second]() == made
        engine.run(["stop", "--time", "0", made])
        assert tools[second]() == made
        engine.run(["stop", "--time", "0", made])
        assert tools[first]() == made
        assert (folder / "order").read_text().split() == [*hooks, "postStartCommand", "postStartCommand"]
        (folder / "order").unlink()
        inspected = engine.container(made)
        assert inspected is not None
        images.add(inspected["Config"]["Image"])
        engine.run(["rm", "--force", made])
    if kind == "build":
        engine.run(["rmi", *images], check=False)


def reference(program: str, folder: Path) -> str:
    """Run `devcontainer up` and return the container's id."""
    argv = [program, "up", "--workspace-folder", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout.strip().splitlines()[-1])["containerId"])


def test_a_container_that_an_editor_on_windows_labelled_is_found(
    folder: Path, engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Ubuntu")
    write(folder, base_image)
    labels = id_labels(folder, folder / ".devcontainer/devcontainer.json", distribution="Ubuntu")
    words = [word for name, value in labels for word in ("--label", f"{name}={value}")]
    mount = f"type=bind,source={folder},target=/workspaces/tree"
    made = engine.run(["run", "--detach", *words, "--mount", mount, base_image, "sleep", "1000"]).stdout.strip()
    try:
        ours = start(folder, engine)
        assert (ours.container, ours.outcome, ours.workspace) == (made, "running", folder)
        assert running_container(engine, folder / ".devcontainer").container == made
        environ = {**os.environ, "SSH_AUTH_SOCK": ""}
        assert execute(folder, "pwd", environ=environ).stdout.strip() == "/workspaces/tree"
        assert [one.id for one in containers_of(engine, str(folder))] == [made]
    finally:
        engine.run(["rm", "--force", made])


@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_git_works_in_a_worktree_and_in_its_submodule(
    links: str, folder: Path, engine: Engine, git_image: str, tmp_path: Path
) -> None:
    sub = tmp_path / "sub"
    sub.mkdir()
    for one in (sub, folder):
        git(one, "init", "--quiet", "--initial-branch=main")
        git(one, "commit", "--quiet", "--allow-empty", "--message", "one")
    git(folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(sub), "libs/sub")
    git(folder, "commit", "--quiet", "--message", "two")
    work = tmp_path / "elsewhere" / "tree"
    git(folder, "worktree", "add", "--quiet", str(work))
    git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    if links == "relative":
        # As `git worktree add --relative-paths` of git 2.48 writes them.
        git_dir = Path(git(work, "rev-parse", "--absolute-git-dir"))
        (work / ".git").write_text(f"gitdir: {os.path.relpath(git_dir, work)}\n")
        (git_dir / "gitdir").write_text(f"{os.path.relpath(work / '.git', git_dir)}\n")
    write(work, git_image)
    write(folder, git_image)
    made, main = start(work, engine), start(folder, engine)
    # Two checkouts of one name are two of everything.
    assert made.container != main.container
    assert made.name != main.name
    run = shlex.join(["git", "-c", "safe.directory=*", "status", "--porcelain", "--branch"])
    for place in ("/workspaces/tree", "/workspaces/tree/libs/sub"):
        done = engine.run(["exec", "--workdir", place, made.container, "sh", "-c", run], check=False)
        assert done.ok, done.stderr
    inside(made.container, engine, "git", "-c", "safe.directory=*", "-C", "/workspaces/tree", "tag", "made-inside")
    assert git(folder, "tag") == "made-inside"
