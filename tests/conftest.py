"""What all tests share: isolation from the developer's own settings, the engine, base images, and cleaning up."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from devbox.engine.docker import Engine
from devbox.errors import EngineError
from devbox.files import lock
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
# Settings of the tests themselves; every other DEVBOX_* variable is hidden from them.
KEPT = {"DEVBOX_REFERENCE_CLI"}
PREFIX = "devbox-test"

# A shell gives a job in the background SIGINT ignored, and every child inherits it: Ctrl-C could not be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("devbox", deadline=None)
settings.load_profile("devbox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the files that wait for the engine alternate with those that compile: one has what the other leaves."""
    files = [
        list(dict.fromkeys(item.path for item in items if item.path.parent.name == folder))
        for folder in ("engine", "oracle")
    ]
    turns = {path: number / len(found) for found in files for number, path in enumerate(found)}
    items.sort(key=lambda item: turns.get(item.path, 1))


def _docker(*args: str) -> list[str]:
    """Return the lines of `docker ARGS`, none if it fails: cleaning up must not hide a test's own failure."""
    done = subprocess.run(["docker", *args], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


@pytest.fixture(scope="session", autouse=True)
def _session_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give session fixtures a state of their own too: what they build and log is not the developer's."""
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, tmp_path_factory.mktemp("session"))
        yield


@pytest.fixture(autouse=True)
def _isolation(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the developer's settings and terminal. HOME stays: docker keeps its contexts and credentials there."""
    _isolate(monkeypatch, tmp_path_factory.mktemp(f"devbox{next(_numbers)}", numbered=False))


def _isolate(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("DEVBOX_") and name not in KEPT]:
        patch.delenv(name)
    patch.setenv("DEVBOX_STATE_DIR", str(folder / "state"))
    patch.setenv("DEVBOX_CONFIG_DIR", str(folder / "config"))
    patch.setenv("DEVBOX_CACHE_DIR", str(folder / "cache"))
    patch.setenv("PATH", os.pathsep.join(dict.fromkeys([*_tools(), *os.get_exec_path()])))
    patch.setenv("NO_COLOR", "1")
    patch.setenv("COLUMNS", "120")
    # What `make test` hands to a make that a test starts: it would say which folder it enters.
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        patch.delenv(name, raising=False)


@functools.cache
def _tools() -> list[str]:
    """Return the folders of the developers' tools, for a pytest that is started by its path.

    cmake's package has the program itself in a folder of its own: the script on PATH takes longer to find it than it
    takes to answer.
    """
    cmake = importlib.util.find_spec("cmake")
    inner = [] if cmake is None or cmake.origin is None else [str(Path(cmake.origin).parent / "data/bin")]
    return [*inner, str(Path(sys.executable).parent)]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def engine(reaper: None) -> Engine:
    """The Docker engine that answers. Without one the test is skipped, and fails in CI, where one is promised."""
    answer = Engine()
    try:
        answer.run(["version", "--format", "{{.Server.Version}}"], timeout=30)
    except EngineError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI promises an engine: {error.message}")
        pytest.skip(f"{error.message} (see `make engine`)")
    return answer


@pytest.fixture(scope="session")
def reaper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end remove the containers and volumes that this process made, and those that a killed one left.

    They are called as `engine_name` says, or belong to a workspace below pytest's folder. Other workers and sessions
    that run at the same time keep theirs.
    """
    yield
    top = tmp_path_factory.getbasetemp()
    # A worker's folder lies in its session's.
    sessions = top.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else top.parent
    containers: list[str] = []
    volumes: set[str] = set()
    columns = '{{.Names}}\t{{.Label "devcontainer.local_folder"}}\t{{.Mounts}}'
    for line in _docker("ps", "--all", "--no-trunc", "--format", columns):
        name, folder, mounts = line.split("\t")
        if folder and _abandoned(Path(folder), top, sessions):
            containers.append(name)
            volumes.update(mount for mount in mounts.split(",") if "-build-" in mount)
        elif _ours(name):
            containers.append(name)
    volumes.update(name for name in _docker("volume", "ls", "--format", "{{.Name}}") if _ours(name))
    if containers:
        _docker("rm", "--force", "--volumes", *containers)
    if volumes:
        _docker("volume", "rm", "--force", *sorted(volumes))


def _abandoned(folder: Path, top: Path, sessions: Path) -> bool:
    return folder.is_relative_to(top) or (folder.is_relative_to(sessions) and not folder.exists())


def _ours(name: str) -> bool:
    owner = name.removeprefix(f"{PREFIX}-").partition("-")[0]
    if not name.startswith(f"{PREFIX}-") or not owner.isdecimal():
        return False
    return int(owner) == os.getpid() or not Path("/proc", owner).exists()


_numbers = itertools.count()


@pytest.fixture
def engine_name() -> Callable[[str], str]:
    """Return a maker of names for containers and volumes that no other test has, and that the reaper knows."""
    return lambda what: f"{PREFIX}-{os.getpid()}-{next(_numbers)}-{what}"


def made_base(engine: Engine, cuda: str | None) -> str:
    """Return the name of a base image, made from packages where it is not there."""
    from devbox import config
    from devbox.config.network import network_of
    from devbox.image.base.package import ensure

    network = network_of(config.load(None, environ=os.environ, flags={}), os.environ)
    # Workers and sessions have a state of their own, and the engine in common: one makes it, the others wait.
    shared = Path(tempfile.gettempdir(), f"{PREFIX}-{os.getuid()}", "package-base.lock")
    with lock(shared, on_wait=lambda _: None):
        return ensure(engine, cuda=cuda, distro="debian:12", network=network, reporter=Silent())


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """A base image with a C++ toolchain and no CUDA, made from packages where it is not there."""
    return made_base(engine, None)


@pytest.fixture(scope="session")
def cuda_base_image(engine: Engine) -> str:
    """A base image with the CUDA toolkit, made from packages where it is not there."""
    return made_base(engine, "13.0")


@pytest.fixture(scope="session")
def reference_cli() -> str:
    """The reference dev container CLI. Without it the test is skipped, with how to get it."""
    candidates = [
        os.environ.get("DEVBOX_REFERENCE_CLI"),
        str(REPOSITORY / ".venv/reference/bin/devcontainer"),
        "devcontainer",
    ]
    for candidate in candidates:
        if candidate and (found := shutil.which(candidate)):
            return found
    pytest.skip("the reference CLI is not installed (see `make reference`)")


@pytest.fixture
def saxpy(tmp_path: Path) -> Path:
    """A copy of the small CUDA tree, in a git repository of its own."""
    work = tmp_path / "saxpy"
    shutil.copytree(REPOSITORY / "tests/trees/saxpy", work)
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for args in (
        ["init", "--quiet", "--initial-branch=main", "."],
        ["add", "--all"],
        [
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--quiet",
            "--message",
            "A small CUDA tree",
        ],
    ):
        subprocess.run(["git", *args], cwd=work, env=environ, check=True)
    return work
