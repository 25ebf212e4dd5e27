"""What engine tests share: checkouts and build trees in containers, images, daemons and servers of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.builds.build import build
from devbox.builds.request import BuildRequest
from devbox.config.network import network_of
from devbox.container.target import Target
from devbox.container.up.up import UpRequest, UpResult, up
from devbox.engine.docker import Engine
from devbox.engine.spec import ImageBuild
from devbox.errors import DevboxError
from devbox.frameworks.load import load
from devbox.image.assembly.recipe import forwarded, site_secrets
from devbox.image.buildkit import build as buildx
from devbox.image.buildkit.inputs import inputs_digest
from devbox.reporter import Silent
from tests.asked import asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from devbox.builds.report.summary import BuildReport
    from devbox.reporter import Reporter

REPOSITORY = Path(__file__).resolve().parents[2]
DEVBOX = [sys.executable, "-m", "devbox"]


def devbox(*args: str, cwd: Path, code: int | None = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `devbox ARGS` in a folder; it ends with `code` (None: with any)."""
    env = {**os.environ, **environ}
    done = subprocess.run([*DEVBOX, *args], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert code in {None, done.returncode}, done.stdout + done.stderr
    return done


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)  # there is no event for what a container does


def remove(engine: Engine, path: Path) -> None:
    """Remove the dev containers of a checkout."""
    for container in engine.containers({"devcontainer.local_folder": str(path)}):
        engine.run(["rm", "--force", "--volumes", container.id])


class Recorder(Silent):
    """A reporter that keeps what was said and what inner commands wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.said.append(text)

    def output(self, line: str, *, prefix: str = "") -> None:
        self.lines.append(line)

    def cached(self) -> tuple[int, int]:
        """Return how many RUNs there were, and how many of them came from the cache."""
        runs = {line.split()[0] for line in self.lines if re.match(r"#\d+ \[.*\] RUN ", line)}
        hits = {line.split()[0] for line in self.lines if line.endswith(" CACHED")}
        return len(runs), len(runs & hits)

    def caches(self) -> list[dict[str, object]]:
        """Return what compiler caches said."""
        found = (line.partition("devbox-compiler-cache ")[2] for line in self.lines)
        return [json.loads(text) for text in found if text.startswith("{")]


@dataclass
class Checkout:
    """A checkout with a hand-written contract: `write` it, then `up`."""

    path: Path
    engine: Engine
    image: str = ""
    trust: bool = False
    said: Silent = field(default_factory=Silent)

    def write(self, **config: Any) -> None:
        """Write the contract. Shells of the test image add nothing, and the probe is tested elsewhere."""
        file = self.path / ".devcontainer/devcontainer.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not {"build", "image", "dockerComposeFile"} & config.keys():
            config["image"] = self.image
        file.write_text(json.dumps({"userEnvProbe": "none", **config}))

    def up(self, **options: Any) -> UpResult:
        """Do `devbox up`; what it warned of is in `said`."""
        self.said = Silent()
        return up(UpRequest(path=self.path, **asked(**{"trust": self.trust, **options})), self.engine, self.said)

    def inside(self, container: str, *argv: str) -> str:
        """Return what a command in a container prints."""
        return self.engine.run(["exec", container, *argv]).stdout

    def lines(self, name: str = "order") -> list[str]:
        """Return the lines of a file of the checkout; none where it is not there."""
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []

    def containers(self) -> list[str]:
        """Return the ids of its dev containers."""
        found = self.engine.containers({"devcontainer.local_folder": str(self.path)})
        return [one.id for one in found]

    def cli(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        """Start `devbox ARGS` in the checkout, as a process that can be killed."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "devbox", *args],
            cwd=self.path,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reference(self, cli: str, *args: str) -> dict[str, Any]:
        """Return what the reference CLI's `up` answers."""
        argv = [cli, "up", "--workspace-folder", str(self.path), *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result


CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(small C CXX)
add_executable(small main.c one.cpp two.cpp)
"""
MAIN = (
    '#include <stdio.h>\nint one(void); int two(void);\nint main(void) { printf("%d\\n", one() + two()); return 0; }\n'
)
COUNT = 3


def part(name: str, value: int) -> str:
    return f'#include <vector>\nextern "C" int {name}(void) {{ return (int)std::vector<int>({value}).size(); }}\n'


def small_tree(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "CMakeLists.txt").write_text(CMAKE)
    (folder / "main.c").write_text(MAIN)
    (folder / "one.cpp").write_text(part("one", 1))
    (folder / "two.cpp").write_text(part("two", 2))
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, 1000, 1000)
    return folder


@dataclass
class Place:
    """A container with a build volume and a cache volume, and the checkout that it mounts."""

    engine: Engine
    image: str
    names: Callable[[str], str]
    workspace: Path
    volume: str
    cache: str
    target: Target | None = None

    def start(self, more: Sequence[str] = ()) -> Place:
        """Make the container, or make it anew, with `more` arguments: the volumes stay."""
        if self.target is not None:
            self.engine.run(["rm", "--force", self.target.container])
        mounts = (f"{self.volume}:/build", f"{self.cache}:/cache/ccache", f"{self.workspace}:/workspaces/cuda")
        args = [argument for mount in mounts for argument in ("--volume", mount)]
        name = self.names("build")
        container = self.engine.run(
            ["run", "--detach", "--init", "--name", name, *args, *more, self.image, "sleep", "infinity"]
        ).stdout.strip()
        user = self.engine.run(["exec", container, "stat", "-c", "%U", "/build"]).stdout.strip()
        self.target = Target(container, self.workspace, "/workspaces/cuda", user)
        return self

    @property
    def inside(self) -> Target:
        assert self.target is not None
        return self.target

    def build(self, **options: object) -> BuildReport:
        return self.build_with(Silent(), **options)

    def build_with(self, reporter: Reporter, **options: object) -> BuildReport:
        # Trees of other tests must not be what a new one starts from.
        request = replace(BuildRequest(load("cuda", "cpu"), seed="none"), **options)  # type: ignore[arg-type]
        return build(request, self.inside, self.engine, reporter)

    def run(self, *argv: str, user: str = "root") -> str:
        return self.engine.run(["exec", "--user", user, self.inside.container, *argv]).stdout

    def processes(self) -> str:
        return self.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")


WAIT = "cat /workspaces/cuda/pipe"
WAITING = {
    "configure": f"execute_process(COMMAND sh -c [[{WAIT}]])\n",
    "build": f"add_custom_target(wait ALL COMMAND {WAIT} COMMENT wait)\n",
}


class Held:
    """A build of `place` that comes to a stand: in `configure` or `build` at a pipe, or long in `healing`."""

    def __init__(self, place: Place, where: str) -> None:
        """Make the sources such; before it there is one good build, whose result must not hide what is edited here."""
        assert place.build().compiled == COUNT
        self._place = place
        self._work = place.workspace
        self._at_pipe = where in WAITING
        self._descriptor = -1
        (self._work / "one.cpp").write_text(part("one", 10))
        (self._work / "CMakeLists.txt").write_text(CMAKE + WAITING.get(where, ""))
        os.mkfifo(self._work / "pipe")
        if not self._at_pipe:
            for number in range(20):
                with (self._work / f"large{number}").open("wb") as stream:
                    stream.truncate(200 << 20)

    def wait(self, ended: Callable[[], bool]) -> None:
        """Return when the build is there. `ended` says whether it ended before."""
        if self._at_pipe:
            self._descriptor = os.open(self._work / "pipe", os.O_WRONLY)  # opened as soon as the command reads it
        else:
            while not self._place.run("find", "/build/.devbox/locks", "-name", "*.lock", "-size", "+0"):
                assert not ended()
        assert not ended()

    def the_next_is_right(self) -> None:
        """Undo the edit; the next build, which waits for the other one to be gone, must be what the sources say."""
        for path in self._work.glob("large*"):
            path.unlink()
        (self._work / "CMakeLists.txt").write_text(CMAKE)
        (self._work / "one.cpp").write_text(part("one", 1))
        report = self._place.build()
        if self._at_pipe:
            os.close(self._descriptor)
        assert report.ok, report.failure
        assert self._place.run(f"{report.tree}/small") == "3\n"
        assert self._place.build().commands == 0


class Daemon:
    """A dockerd below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = Engine(environ={**os.environ, "DOCKER_HOST": f"unix://{folder}/docker.sock"})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "docker.pid").unlink(missing_ok=True)
        # In a network of its own: a daemon without a bridge takes the machine's docker0 away.
        argv = ["unshare", "--net", "dockerd", "--host", f"unix://{self.folder}/docker.sock"]
        argv += ["--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"]
        argv += ["--pidfile", f"{self.folder}/docker.pid"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([*argv, "--bridge", "none", "--iptables=false"], stdout=log, stderr=log)
        log.close()
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.engine.run(["version"])
            except DevboxError:
                time.sleep(0.2)  # there is no event for a socket that nobody made yet
            else:
                return
        pytest.skip(f"a daemon of its own does not start here: {(self.folder / 'log').read_text()[-400:]}")

    def kill(self) -> None:
        """Kill it, and the containerd that it started, without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        pid = self.folder / "exec/containerd/containerd.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """Remove its containers and end it in order."""
        if self.process is None or self.process.poll() is not None:
            return
        containers = self.engine.run(["ps", "--all", "--quiet"]).stdout.split()
        if containers:
            self.engine.run(["rm", "--force", *containers])
        self.process.terminate()
        self.process.wait(60)


@dataclass
class Yard:
    """Builds stages, and takes their images away afterwards."""

    engine: Engine
    folder: Path
    name: Callable[[str], str]
    tags: list[str] = field(default_factory=list)

    def build(self, text: str, target: str = "", **fields: object) -> tuple[str, Recorder]:
        """Build a stage of `text`, the last by default; return the image's tag and what was reported."""
        tag = f"{self.name(target or 'image')}:1"
        self.tags.append(tag)
        path = self.folder / f"{len(self.tags)}"
        path.mkdir()
        (path / "Dockerfile").write_text(text, encoding="utf-8")
        network = network_of(config.load(None, environ=os.environ, flags={}), os.environ)
        wanted = ImageBuild(
            str(path / "Dockerfile"),
            str(path),
            target or None,
            tags=(tag,),
            forwarded=forwarded(network),
        )
        wanted = replace(wanted, **fields)  # type: ignore[arg-type]
        wanted = replace(wanted, secrets=tuple((dict(site_secrets(network)) | dict(wanted.secrets)).items()))
        recorder = Recorder()
        buildx.build(self.engine, wanted, recorder, digest=inputs_digest(wanted, {}), environ=dict(network.proxies()))
        return tag, recorder

    def sh(self, image: str, script: str, *options: str) -> str:
        """Return what a shell in a container of `image` prints."""
        argv = ["run", "--rm", "--network=none", "--entrypoint=sh", *options, image, "-ec", script]
        return self.engine.run(argv).stdout.strip()

    def layers(self, image: str) -> list[str]:
        """Return the ids of an image's layers, the lowest first."""
        return list((self.engine.image(image) or {})["RootFS"]["Layers"])


@contextmanager
def running_redis(engine: Engine, folder: Path, password: str) -> Iterator[str]:
    """Start a Redis with a password on the engine's bridge; the URL by which containers reach it."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    gateway = engine.run(
        ["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    ).stdout.strip()
    with socket.socket() as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:
            pytest.skip("the engine is not on this machine")
        port = probe.getsockname()[1]
    argv = [program, "--bind", gateway, "--port", str(port), "--requirepass", password, "--save", ""]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        try:
            yield f"redis://{gateway}:{port}"
        finally:
            server.terminate()
