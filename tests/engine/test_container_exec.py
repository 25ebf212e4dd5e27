"""Commands in a real container: terminal, exit codes, environment, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import termios
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container import logs, memory, stop
from devbox.container.inside import supervise
from devbox.container.inside.find import running_container
from devbox.container.inside.probe import parse_environ
from devbox.container.status import status
from devbox.container.up.up import UpRequest, UpResult, up
from devbox.devcontainer.identity import volume_name
from devbox.engine.api import DEFAULT_SOCKET
from devbox.errors import DevboxError
from devbox.oneshot.run import run
from devbox.paths import state_dir
from devbox.reporter import Silent
from tests.engine.lab import DEVBOX, REPOSITORY, until
from tests.engine.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

PROFILE = r"""printf 'export FROM_RC=login\nexport MULTI="a\nb"\nPATH=/rc/bin:$PATH\n' > ~/.profile"""
RUN = """
import sys
from pathlib import Path
from devbox.oneshot.run import run
from devbox.engine.docker import Engine
from devbox.reporter import Silent
from tests.engine.lab import REPOSITORY, until
sys.exit(run(Engine(), Path(sys.argv[1]), sys.argv[2:], Silent(), cwd=Path.cwd()))
"""


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


class Tree:
    """A checkout whose dev container runs."""

    def __init__(self, path: Path, engine: Engine, result: UpResult) -> None:
        self.path, self.engine, self.container = path, engine, result.container
        self.processes: list[subprocess.Popen[str]] = []

    def execute(self, *argv: str, cwd: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        variables = more.pop("env", {})
        return subprocess.run(
            [*DEVBOX, "exec", *argv],
            cwd=cwd or self.path,
            env=environ(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **more,
        )

    def start(self, argv: list[str], **variables: str) -> subprocess.Popen[str]:
        """Start a command of devbox's in a session of its own, and wait until it has printed a line."""
        # Not as a child of nohup, which devbox would do as it is told: it would outlive its terminal.
        process = subprocess.Popen(
            ["env", "--default-signal=HUP", *argv],
            cwd=self.path,
            env=environ(**variables),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def top(self) -> str:
        return self.engine.run(["top", self.container]).stdout


@pytest.fixture
def tree(tmp_path: Path, engine: Engine, base_image: str) -> Iterator[Tree]:
    path = tmp_path / "my tree"
    (path / "src/deep").mkdir(parents=True)
    config = {
        "image": base_image,
        "workspaceMount": f"type=bind,source={path},target=/workspaces/x",
        "workspaceFolder": "/workspaces/x",
        "containerEnv": {"IN": "container"},
        "remoteEnv": {"HF_TOKEN": "${localEnv:HF_TOKEN}", "MIXED": "${containerEnv:IN} ${localEnv:MIX:none}"},
        "postCreateCommand": PROFILE,
        "init": True,
    }
    (path / ".devcontainer.json").write_text(json.dumps(config))
    result = up(UpRequest(path=path, trust=True), engine, Silent())
    # The start-up files are written by a lifecycle command, so they count from the next start on.
    engine.run(["restart", "--time", "0", result.container])
    made = Tree(path, engine, result)
    yield made
    engine.run(["rm", "--force", result.container], check=False)
    for process in made.processes:
        process.kill()
        process.communicate()


def test_a_command_gets_its_folder_input_and_exit_code(tree: Tree) -> None:
    assert tree.execute("pwd").stdout == "/workspaces/x\n"
    assert tree.execute("--", "pwd", cwd=tree.path / "src/deep").stdout == "/workspaces/x/src/deep\n"
    assert tree.execute("--workspace", str(tree.path), "pwd", cwd=Path("/")).stdout == "/workspaces/x\n"
    assert tree.execute("cat", input="in\n").stdout == "in\n"
    assert tree.execute("sh", "-c", "exit 42").returncode == 42
    done = tree.execute("sh", "-c", "echo out; echo err >&2; kill -9 $$")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 137)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["no-such-program"], 127, "error: no-such-program: command not found in the container"),
        (["./gone.sh"], 127, "error: ./gone.sh: no such file in the container"),
        (["/etc/passwd"], 126, "error: /etc/passwd: it cannot be executed in the container: permission denied"),
        (["/tmp"], 126, "error: /tmp: it cannot be executed in the container: "),
    ],
)
def test_what_cannot_be_started_is_said_as_a_shell_says_it(argv: list[str], code: int, says: str, tree: Tree) -> None:
    done = tree.execute(*argv)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(says)
    assert "hint: devbox exec -- " in done.stderr
    _, shown = in_terminal([*DEVBOX, "exec", *argv], tree.path)
    assert says in shown.decode()


def test_a_command_may_say_what_the_engine_says(tree: Tree) -> None:
    said = "OCI runtime exec failed: is the command's own word"
    assert tree.execute("sh", "-c", f"echo {shlex.quote(said)}").stdout == f"{said}\n"
    assert tree.execute("sh", "-c", f"echo {shlex.quote(said)}; exit 126").stdout == f"{said}\n"
    assert tree.execute("sh", "-c", f"echo {shlex.quote(said)}; echo more; exit 126").stdout == f"{said}\nmore\n"


def test_ctrl_c_ends_a_command_whose_output_nobody_reads(tree: Tree) -> None:
    process = tree.start([*DEVBOX, "exec", "sh", "-c", "echo begun; exec yes 7008"])
    until(lambda: _is_full(process))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    until(lambda: "yes 7008" not in tree.top())


def _is_full(process: subprocess.Popen[str]) -> bool:
    """Tell whether a pipe has taken all that it can."""
    assert process.stdout is not None
    return int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4), sys.byteorder) > 60_000


def test_ctrl_c_ends_a_command_that_the_engine_is_slow_to_start(tree: Tree, tmp_path: Path) -> None:
    tree.execute("true")
    with slow_engine(tmp_path / "slow.sock") as asked:
        process = subprocess.Popen(
            [*DEVBOX, "exec", "sleep", "7009"], text=True, cwd=tree.path, env=environ(DOCKER_HOST=f"unix://{tmp_path}/slow.sock"),
            start_new_session=True,
        )  # fmt: skip
        tree.processes.append(process)
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    until(lambda: "sleep 7009" not in tree.top())


@contextlib.contextmanager
def slow_engine(path: Path) -> Iterator[threading.Event]:
    """Yield the moment at which a command was to be started, by a socket that passes all else on to the engine."""
    asked = threading.Event()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    kept: list[socket.socket] = []

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if b"/start HTTP" in data and not asked.is_set():
                    asked.set()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, engine = listening.accept()[0], socket.socket(socket.AF_UNIX)
                kept.extend((client, engine))
                engine.connect(DEFAULT_SOCKET)
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield asked
    finally:
        for one in (listening, *kept):
            one.close()


def test_a_command_has_the_environment_of_the_users_shell(tree: Tree) -> None:
    def said(**host: str) -> list[str]:
        found = parse_environ(tree.execute("env", "-0", env=host).stdout)
        return [found["PATH"].split(":")[0], *(found[name] for name in ("FROM_RC", "MULTI", "IN", "HF_TOKEN", "MIXED"))]

    shell = ["/rc/bin", "login", "a\nb", "container"]
    assert said(HF_TOKEN="hf_verysecret", MIX="host") == [*shell, "hf_verysecret", "container host"]
    assert said(HF_TOKEN="other") == [*shell, "other", "container none"]
    kept = "".join(path.read_text() for path in (state_dir() / "containers").iterdir())
    inspected = json.dumps(tree.engine.container(tree.container))
    assert "verysecret" not in kept + inspected


def test_a_terminal_is_passed_on(tree: Tree) -> None:
    code, output = in_terminal([*DEVBOX, "exec", "sh", "-c", "tty; stty size; exit 3"], tree.path)
    assert code == 3
    assert b"/dev/pts/" in output


def test_ctrl_c_at_a_terminal_is_the_commands_own(tree: Tree) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    code, output = in_terminal([*DEVBOX, "exec", "sh", "-c", script], tree.path, when=b"ready", send=b"\x03")
    assert code == 9
    assert b"caught" in output


def test_the_terminal_s_size_is_passed_on_and_its_changes(tree: Tree) -> None:
    script = "stty size; echo ready; read line; stty size"
    argv = [*DEVBOX, "exec", "sh", "-c", script]
    code, output = in_terminal(argv, tree.path, when=b"ready", send=b"\r", sizes=((33, 44), (55, 66)))
    assert code == 0
    assert [line for line in output.replace(b"\r", b"").split(b"\n") if line[:1].isdigit()] == [b"33 44", b"55 66"]


def test_the_keys_to_detach_are_docker_s(tree: Tree) -> None:
    argv = [*DEVBOX, "exec", "sh", "-c", "echo ready; sleep 7005"]
    code, output = in_terminal(argv, tree.path, when=b"ready", send=b"\x10\x11")
    assert code == 1
    assert b"read escape sequence" in output
    assert "sleep 7005" in tree.top()


def test_a_terminal_is_as_before_when_the_client_is_killed(tree: Tree) -> None:
    before, inside = os.openpty()
    argv = [*DEVBOX, "exec", "sh", "-c", "echo ready; exec sleep 7006"]
    state = termios.tcgetattr(inside)
    client = subprocess.Popen(argv, cwd=tree.path, env=environ(), stdin=inside, stdout=inside, start_new_session=True)
    assert b"ready" in os.read(before, 1024)
    assert termios.tcgetattr(inside) != state
    client.kill()
    client.wait()
    until(lambda: termios.tcgetattr(inside) == state)
    until(lambda: "sleep 7006" not in tree.top())
    os.close(before)
    os.close(inside)


def in_terminal(
    argv: list[str],
    cwd: Path,
    *,
    when: bytes = b"",
    send: bytes = b"",
    sizes: tuple[tuple[int, int], ...] = (),
) -> tuple[int, bytes]:
    """Run a program at a terminal of its own; when it has printed `when`, type `send`.

    The terminal has the first of `sizes` (height, width), and the second from then on.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        if sizes:
            termios.tcsetwinsize(0, sizes[0])
        os.execvpe(argv[0], argv, environ())
    output = b""
    while True:
        try:
            chunk = os.read(terminal, 1024)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
        if send and when in output:
            if sizes:
                termios.tcsetwinsize(terminal, sizes[1])
            os.write(terminal, send)
            send = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output


SLEEPERS = "echo begun; setsid sleep 7001 & (sleep 7002); echo not reached"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_the_end_of_the_client_is_the_end_of_its_processes(number: signal.Signals, code: int, tree: Tree) -> None:
    tree.execute("true")
    process = tree.start([*DEVBOX, "exec", "--", "sh", "-c", SLEEPERS])
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    until(lambda: "sleep 700" not in tree.top())


def test_processes_of_another_user_end_too(tree: Tree) -> None:
    process = tree.start([*DEVBOX, "exec", "su", "-s", "/bin/sh", "nobody", "-c", SLEEPERS])
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert "sleep 700" not in tree.top()


def test_the_docker_clients_death_ends_its_processes(tree: Tree) -> None:
    # Where the engine has no socket on this machine, docker's client carries the streams.
    with contextlib.closing(Recorder()) as far:
        process = tree.start([*DEVBOX, "exec", "--", "sh", "-c", SLEEPERS], DOCKER_HOST=far.host)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (client,) = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "docker\n"]
        os.kill(int(client), signal.SIGKILL)
        assert process.wait(timeout=30) == 137
    assert "sleep 700" not in tree.top()


def test_a_reader_that_goes_ends_the_command(tree: Tree) -> None:
    line = f"{shlex.join([*DEVBOX, 'exec', 'yes', '7007'])} | head -n 1"
    done = subprocess.run(["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}}"], cwd=tree.path, env=environ(),
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "7007\n141\n"
    assert "yes 7007" not in tree.top()


def test_bytes_are_passed_on_as_they_are_and_the_end_of_input_is_told(tree: Tree) -> None:
    sent = os.urandom(8 << 20)
    argv = [*DEVBOX, "exec", "sh", "-c", "cat; echo end >&2; sleep 0.1; echo late"]
    done = subprocess.run(argv, cwd=tree.path, env=environ(), input=sent, capture_output=True, check=True)
    assert done.stdout == sent + b"late\n"
    assert done.stderr == b"end\n"
    assert tree.execute("sh", "-c", "exec 0<&-; exit 5", input="x" * (1 << 20)).returncode == 5


def test_a_command_that_closes_its_output_is_waited_for(tree: Tree) -> None:
    assert tree.execute("sh", "-c", "exec >&- 2>&-; sleep 1; exit 6").returncode == 6


def test_other_commands_and_what_was_left_on_purpose_stay(tree: Tree) -> None:
    assert tree.execute("sh", "-c", "setsid sleep 7003 >/dev/null 2>&1 &").returncode == 0
    other = tree.start([*DEVBOX, "exec", "--", "sh", "-c", "echo begun; sleep 7004"])
    process = tree.start([*DEVBOX, "exec", "--", "sh", "-c", SLEEPERS])
    process.terminate()
    process.wait(timeout=30)
    assert "sleep 7003" in tree.top()
    assert "sleep 7004" in tree.top()
    other.terminate()
    other.wait(timeout=30)


def test_the_warm_path_imports_neither_typer_nor_the_sdk(tree: Tree) -> None:
    tree.execute("true")
    script = "import sys; from devbox.__main__ import main; main(['exec', 'true']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tree.path, env=environ(), capture_output=True, text=True, check=True
    )
    heavy = {"typer", "click", "docker", "rich", "dataclasses", "subprocess", "hashlib", "inspect", "tempfile"}
    assert not heavy & set(done.stdout.split())


def test_a_stopped_or_missing_container_is_said(tree: Tree, tmp_path: Path) -> None:
    tree.engine.run(["stop", "--time", "0", tree.container])
    done = tree.execute("true")
    assert done.returncode == 1
    assert "is stopped" in done.stderr
    assert "devbox up" in done.stderr
    assert "no dev container" in tree.execute("true", cwd=tmp_path).stderr


def test_a_secret_that_nobody_agreed_to_is_not_passed_on(tree: Tree) -> None:
    file = tree.path / ".devcontainer.json"
    config = json.loads(file.read_text())
    file.write_text(
        json.dumps({**config, "remoteEnv": {"STOLEN": "${localEnv:OTHER_TOKEN}", "USUAL": "${localEnv:X}"}})
    )
    done = tree.execute("env", env={"OTHER_TOKEN": "t0ken", "X": "x"})
    assert "USUAL=x" in done.stdout
    assert "STOLEN" not in done.stdout
    up(UpRequest(path=tree.path, trust=True), tree.engine, Silent())
    assert "STOLEN=t0ken" in tree.execute("env", env={"OTHER_TOKEN": "t0ken"}).stdout


def test_an_edited_contract_counts_for_the_next_command(tree: Tree) -> None:
    file = tree.path / ".devcontainer.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "remoteUser": "nobody", "remoteEnv": {"NEW": "1"}, "userEnvProbe": "none"}))
    assert tree.execute("sh", "-c", "id -un; echo $NEW").stdout == "nobody\n1\n"


def test_a_shell_has_the_environment_of_a_command(tmp_path: Path, engine: Engine, base_image: str) -> None:
    """/etc/profile sets PATH: what the image, the contract and the user's files say stays."""
    path = tmp_path / "tree"
    path.mkdir()
    config = {
        "image": base_image,
        "containerEnv": {"PATH": "/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        "remoteEnv": {"PATH": "/mine:${containerEnv:PATH}", "EDITOR": "mine"},
        "postCreateCommand": "echo export EDITOR=theirs > /etc/profile.d/x.sh",
    }
    (path / ".devcontainer.json").write_text(json.dumps(config))
    made = up(UpRequest(path=path), engine, Silent())
    try:
        ask = "echo $PATH $EDITOR"
        expected = "/mine:/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin mine"
        done = subprocess.run(
            [*DEVBOX, "exec", "sh", "-c", ask], cwd=path, env=environ(), capture_output=True, text=True, check=False
        )
        assert done.stdout.split("\n")[0] == expected
        shell = [*DEVBOX, "shell"]
        piped = subprocess.run(
            shell, cwd=path, env=environ(), input=f"{ask}\n", capture_output=True, text=True, check=False
        )
        assert (piped.stdout, piped.returncode) == (f"{expected}\n", 0)
        ours, theirs = pty.openpty()
        with subprocess.Popen(shell, cwd=path, env=environ(), stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, f"{ask}; exit 5\n".encode())
            seen = ""
            with contextlib.suppress(OSError):
                while part := os.read(ours, 4096):
                    seen += part.decode()
            assert (process.wait(), expected in seen) == (5, True)
        os.close(ours)
    finally:
        engine.run(["rm", "--force", made.container], check=False)


def test_a_shell_that_hangs_does_not_hold_commands_up(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbox.container.inside import probe

    tree.engine.run(["exec", tree.container, "sh", "-c", "echo 'sleep 7005' > /root/.profile"])
    read = probe.read_container(tree.engine, tree.container)
    with monkeypatch.context() as patch:
        patch.setattr(probe, "PROBE_SECONDS", 1.0)
        _, warning = probe.learn(tree.engine, read)
    assert warning is not None
    assert "sleep 7005" not in tree.top()
    # What was not told in time is asked for by the next `up`.
    tree.engine.run(["exec", tree.container, "sh", "-c", "echo 'export AT_LAST=1' > /root/.profile"])
    assert tree.execute("sh", "-c", "echo $AT_LAST").stdout == "\n"
    up(UpRequest(path=tree.path, trust=True), tree.engine, Silent())
    assert tree.execute("sh", "-c", "echo $AT_LAST").stdout == "1\n"


def test_one_shot_containers_are_like_the_dev_container_and_gone_afterwards(
    tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(tree.engine, tree.path, ["sh", "-c", "pwd; echo $IN $MIXED; exit 6"], Silent(), cwd=tree.path / "src")
    assert code == 6
    assert capfd.readouterr().out == "/workspaces/x/src\ncontainer container none\n"
    assert running_container(tree.engine, tree.path).container == tree.container
    assert not tree.engine.containers({"devbox.run": str(tree.path)})


def test_a_dry_run_in_a_fresh_checkout_builds_and_pulls_nothing(
    tmp_path: Path, engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nRUN useradd --create-home tester\n")
    file = tmp_path / ".devcontainer.json"
    file.write_text(json.dumps({"build": {"dockerfile": "Dockerfile"}, "remoteUser": "tester"}))
    lines = run(engine, tmp_path, ["true"], Silent(), dry_run=True)

    assert isinstance(lines, list)
    build, user, shot = lines
    assert [engine.image(line.partition("--tag ")[2].partition(" ")[0]) for line in (build, user)] == [None, None]
    assert f"--file {tmp_path}/Dockerfile" in build
    assert "--build-arg REMOTE_USER=tester" in user
    tag = user.partition("--tag ")[2].partition(" ")[0]
    assert shot.startswith("docker run --rm")
    assert shot.endswith(f"--entrypoint true {tag}")

    file.write_text(json.dumps({"image": "registry.invalid/devbox-test/none:1"}))
    lines = run(engine, tmp_path, ["true"], Silent(), dry_run=True)
    assert isinstance(lines, list)
    pull, shot = lines
    assert pull == "docker pull registry.invalid/devbox-test/none:1"
    assert shot.endswith("--entrypoint true registry.invalid/devbox-test/none:1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_one_shot_container_goes_with_its_client(number: signal.Signals, tree: Tree) -> None:
    process = tree.start([sys.executable, "-c", RUN, str(tree.path), "sh", "-c", "echo begun; sleep 7006"])
    assert len(tree.engine.containers({"devbox.run": str(tree.path)})) == 1
    process.send_signal(number)
    assert process.wait(timeout=30) == (-9 if number == signal.SIGKILL else 128 + number)
    until(lambda: not tree.engine.containers({"devbox.run": str(tree.path)}))


def test_stop_logs_down_and_status(tree: Tree, capfd: pytest.CaptureFixture[str]) -> None:
    volume = volume_name(os.getuid(), "build", tree.path)
    tree.engine.run(["volume", "create", volume])
    shown = status(tree.engine)
    (container,) = [one for one in shown.containers if one.workspace == str(tree.path)]
    assert (container.id, container.state, container.ours, container.workspace_exists) == (
        tree.container, "running", True, True,
    )  # fmt: skip
    (build,) = [one for one in shown.volumes if one.name == volume]
    assert (build.kind, build.workspace, build.workspace_exists) == ("build", str(tree.path), True)
    assert build.size == 0
    other = volume_name(os.getuid(), "build", tree.path / "other")
    tree.engine.run(["volume", "create", other])
    try:
        narrow = status(tree.engine, workspace=str(tree.path))
        found = [one.id for one in narrow.containers], [one.name for one in narrow.volumes]
        assert found == ([container.id], [volume])
        for words, names in (([], {volume}), (["--all"], {volume, other})):
            said = subprocess.run(
                [*DEVBOX, "status", "--fast", "--json", *words], cwd=tree.path, env=environ(), capture_output=True,
                check=True,
            )  # fmt: skip
            told = {one["name"] for one in json.loads(said.stdout)["data"]["volumes"]}
            assert told & {volume, other} == names
        kept = subprocess.run(
            [*DEVBOX, "builds", "list", "--json"], cwd=tree.path, env=environ(), capture_output=True, check=True
        )
        assert [one["name"] for one in json.loads(kept.stdout)["data"]] == [volume]
    finally:
        tree.engine.run(["volume", "rm", other])

    assert logs.logs(tree.engine, tree.path / "src") == 0
    assert "Container started" in capfd.readouterr().out

    assert stop.stop(tree.engine, tree.path / "src", Silent()).stopped == (container.name,)
    assert stop.stop(tree.engine, tree.path, Silent()).idle == (container.name,)

    keeping = stop.plan_down(tree.engine, tree.path)
    assert (keeping.containers, keeping.volumes, keeping.kept) == ((container.name,), (), (volume,))
    stop.down(tree.engine, keeping, Silent())
    assert tree.engine.volume(volume) is not None
    # A folder of it is as good as the top, but one that is not there means nothing else.
    with pytest.raises(DevboxError, match="no dev container"):
        stop.plan_down(tree.engine, tree.path / "typo", volumes=True)
    moved = tree.path.rename(tree.path.with_name("moved"))
    everything = stop.plan_down(tree.engine, tree.path, volumes=True)
    moved.rename(tree.path)
    assert (everything.containers, everything.volumes) == ((), (volume,))
    stop.down(tree.engine, everything, Silent())
    assert tree.engine.volume(volume) is None
    with pytest.raises(DevboxError, match="no dev container"):
        stop.plan_down(tree.engine, tree.path)


def test_what_devbox_itself_has_in_a_volume_does_not_keep_it(tree: Tree, base_image: str) -> None:
    """A one-shot container that was killed before its start, and a helper that looks into it for a moment."""
    volume = volume_name(os.getuid(), "build", tree.path)
    mount = ["--volume", f"{volume}:/build"]
    tree.engine.run(["create", "--label", f"devbox.run={tree.path}", *mount, base_image, "true"])
    tree.engine.run(["run", "--detach", "--rm", "--label", "devbox.helper", *mount, base_image, "sleep", "1"])
    plan = stop.plan_down(tree.engine, tree.path, volumes=True)
    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(stop.down, tree.engine, plan, Silent()) for _ in range(5)]:
            assert done.result() == plan
    assert tree.engine.volume(volume) is None
    assert tree.engine.container(tree.container) is None


def test_a_volume_that_somebody_uses_stays_and_who_is_said(tree: Tree, base_image: str) -> None:
    volume = volume_name(os.getuid(), "build", tree.path)
    other = tree.engine.run(["create", "--volume", f"{volume}:/x", base_image, "true"]).stdout.strip()
    try:
        with pytest.raises(DevboxError, match=f"the volume {volume} cannot be removed"):
            stop.down(tree.engine, stop.plan_down(tree.engine, tree.path, volumes=True), Silent())
    finally:
        tree.engine.run(["rm", other])
        tree.engine.run(["volume", "rm", volume])


def test_a_build_volume_whose_workspace_is_gone_is_told(tree: Tree) -> None:
    gone = tree.path.parent / "gone"
    memory.remember(gone, contract=gone / ".devcontainer.json", framework=None)
    volume = volume_name(os.getuid(), "build", gone)
    tree.engine.run(["volume", "create", volume])
    try:
        (found,) = (one for one in status(tree.engine).volumes if one.name == volume)
        assert (found.workspace, found.workspace_exists) == (str(gone), False)
    finally:
        tree.engine.run(["volume", "rm", volume])


def test_processes_end_where_the_engine_refuses_privileges(tree: Tree, tmp_path: Path) -> None:
    wrapper = tmp_path / "docker"
    wrapper.write_text('#!/bin/sh\ncase $2 in --privileged) exit 1 ;; esac\nexec docker "$@"\n')
    wrapper.chmod(0o755)
    token = supervise.new_token()
    args = ["docker", "exec", "--user", "nobody", "--env", f"{supervise.TOKEN}={token}", tree.container]
    process = tree.start([*args, "sh", "-c", SLEEPERS])
    supervise.end(tree.container, token, user="nobody", environ=os.environ, docker=str(wrapper))
    assert process.wait(timeout=30) != 0
    assert "sleep 700" not in tree.top()
