"""The Python package of the checkout: installed editable into the environment on the build volume, or made a wheel.

Its C++ part is not pip's business: pip builds in a new folder each time. The build backend is told to leave it alone,
and it comes from the build tree, or from somebody's wheel (`--precompiled`).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from .configuration import configuration
from .content import digest_file
from .drivers.base import run_by_lines
from .events import AgentError
from .files import read_json, write_bytes, write_json
from .key import digest
from .locks import lock, lock_path
from .placeholders import fill, of_build
from .process import INTERRUPTED, Interrupted
from .protocol import PythonDone, Tree
from .python import environment, precompiled, requirements, wheel
from .tools import run
from .volume import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .events import Events
    from .process import Supervisor
    from .protocol import Python
    from .python.environment import Environment

# An archive of no files: 22 bytes that say where its list of files would begin.
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)


class Failed(NamedTuple):
    """How pip ended: its exit code, and what the report shows."""

    code: int
    failure: dict[str, str]


def act(request: Python, events: Events, supervisor: Supervisor) -> PythonDone:
    """Install the package or make a wheel of it. Raises AgentError where it cannot be begun."""
    begin = time.monotonic()
    work = PackageWork(request, events, supervisor)
    path = lock_path(work.shared, environment.NAME)
    note = f"{request.client} (process {os.getpid()} in the container)"
    try:
        with lock(
            path, note, wait=supervisor.wait, on_wait=lambda holder: events.info(f"waiting for Python: {holder}")
        ) as descriptor, supervisor.holding(descriptor):
            work.run()
    except Interrupted:
        work.result["code"] = INTERRUPTED
    return PythonDone(**work.result, seconds=time.monotonic() - begin)


class PackageWork:
    """One installation, or one wheel, from the moment that the environment's lock is held."""

    def __init__(self, request: Python, events: Events, supervisor: Supervisor) -> None:
        """Take the request, where to speak, and what runs programs."""
        self.request = request
        self.rules = request.package
        self.events = events
        self.supervisor = supervisor
        self.volume, self.workspace = request.volume, request.workspace
        self.state = state_of(self.volume)
        self.shared = state_of(environment.home(self.volume))
        self.environ = environment.outside(os.environ, self.volume)
        self.result: dict[str, Any] = {"code": 0, "did": ""}

    def run(self) -> None:
        """Do it; the result is in `result`, also where this raises Interrupted."""
        self.project = self._project()
        self._check_precompiled()
        self.events.send(Tree(key=environment.NAME, path=environment.link(self.volume)))
        # A wheel needs none of what is installed, and takes none of it away.
        clean = self.request.mode == "clean" and self.request.action == "install"
        self.layer = environment.ensure(self.volume, self.shared, self.environ, clean=clean)
        self.result.update(environment=environment.link(self.volume), made=self.layer.made)
        if self.layer.made:
            self.events.info(f"made the environment {environment.link(self.volume)} with {self.layer.base}")
        if self.layer.made and not environment.on_path(os.environ, self.volume):
            self.events.warn(
                f"{environment.link(self.volume)}/bin is not on PATH: devbox up writes that into its own contract; "
                "in another one, remoteEnv has to say it"
            )
        if self.request.precompiled is not None:
            precompiled.compare_abi(
                self.request.precompiled, self.layer.python, self.layer.inside(self.environ), self.events
            )
        failed = self._wheel() if self.request.action == "wheel" else self._install()
        if failed is not None:
            self.result.update(failed._asdict())

    def _project(self) -> str:
        names = self.rules.project
        for name in names:
            folder = os.path.normpath(os.path.join(self.workspace, name))
            if any(os.path.isfile(os.path.join(folder, file)) for file in ("pyproject.toml", "setup.py")):
                return folder
        raise AgentError(
            f"there is no Python project in {' or '.join(os.path.join(self.workspace, name) for name in names)}",
            hint="devbox build   # builds the C++ part alone",
        )

    def _check_precompiled(self) -> None:
        named = self.request.precompiled
        if named is not None and not self.request.force:
            precompiled.check(self.workspace, named, self.rules.native, self.environ, self.events)

    # Installing.

    def _install(self) -> Failed | None:
        record = os.path.join(self.layer.path, "installed.json")
        known = read_json(record) or {}
        others = {project: state for project, state in known.items() if project != self.project}
        variables = self._variables(self.rules.env)
        state = self._state(variables)
        prebuilt = self.request.precompiled is not None
        # A prebuilt C++ part is written into the checkout, where another build may have replaced it since.
        if known.get(self.project) == state and not prebuilt and self.request.mode == "incremental":
            installed = installed_from(self.layer, self.project)
            if installed is not None:
                self.result.update(did="nothing", package=_title(installed))
                return None
        write_json(record, others)
        self.events.phase(f"installing {self.project} for editing")
        failed = self._pip(["install", "--no-deps", "--no-build-isolation", "--editable", self.project], variables)
        if failed is not None:
            return failed
        installed = installed_from(self.layer, self.project)
        if installed is None:
            raise AgentError(
                f"pip left nothing of {self.project} in {self.layer.path}", hint="devbox build --python -v"
            )
        self.result.update(did="installed", package=_title(installed))
        if self.request.deps:
            failed = self._install_needs(installed)
            if failed is not None:
                return failed
        write_json(record, {**others, self.project: state})
        return None

    def _install_needs(self, installed: str) -> Failed | None:
        """Install what the package needs, but leave the image's torch alone: the C++ part was compiled against it."""
        needs = requirements.ask(self.layer, installed, self.environ)
        for need in needs.others:
            self.events.warn(
                f"the checkout asks for {need}; the image's own stays, which the C++ part is built against"
            )
        if not needs.missing:
            return None
        pinned = os.path.join(self.layer.path, "pinned.txt")
        write_bytes(pinned, "".join(f"{name}=={version}\n" for name, version in needs.kept.items()).encode())
        self.events.phase(f"installing what it needs ({len(needs.missing)} packages and theirs)")
        return self._pip(["install", "--constraint", pinned, *needs.missing], {})

    def _state(self, variables: Mapping[str, str]) -> str:
        """Return the hash of what an installation depends on: the files that say what the package is, and how."""
        files = {name: digest_file(os.path.join(self.project, name)) for name in _project_files(self.project)}
        return digest({"files": files, "project": self.project, "env": variables, "deps": self.request.deps})

    # The wheel.

    def _wheel(self) -> Failed | None:
        built = self.rules.wheel_env
        variables = self._variables(built or self.rules.env)
        name = os.path.basename(self.project)
        work, stage = os.path.join(self.state, "wheel", name), os.path.join(self.state, "stage", "wheel")
        self.events.phase(f"making a wheel of {self.project}")
        argv = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", stage]
        with wheel.staged(stage):
            settings = wheel.setuptools_settings(self.project, work)
            failed = self._pip([*argv, *settings, self.project], variables)
            if failed is not None:
                return failed
            made = wheel.only(stage)
            if not built and self.request.precompiled is None:
                files = wheel.built_files(self.state, self.project)
                added = wheel.add(made, files)
                self.result["added"] = len(added)
            place = wheel.deliver(made, os.path.join(self.workspace, "dist"))
        self.result.update(did="wheel", wheel=os.path.relpath(place, self.workspace), bytes=os.path.getsize(place))
        return None

    # What both need.

    def _variables(self, pairs: Sequence[Sequence[str]]) -> dict[str, str]:
        """Return the backend's variables, with those of a prebuilt C++ part in place of the others."""
        named = self.request.precompiled
        taken = ""
        if named is not None:
            pairs = precompiled.pairs(self.rules, named)
            taken = precompiled.in_full(named, self.workspace, self.environ)
        wanted = any(of_build(text) for _, text in pairs)
        values = {**(self._values() if wanted else {}), "empty": self._empty() if pairs else "", "precompiled": taken}
        return {name: fill(text, values) for name, text in pairs}

    def _values(self) -> dict[str, str]:

        jobs = str(self.request.jobs or len(os.sched_getaffinity(0)))
        return {**configuration(self.request).values, "jobs": jobs}

    def _empty(self) -> str:
        path = os.path.join(self.state, "empty.zip")
        if not os.path.isfile(path):
            write_bytes(path, EMPTY_ARCHIVE)
        return path

    def _pip(self, words: Sequence[str], variables: Mapping[str, str]) -> Failed | None:
        """Run pip in the environment; return how it failed, or None."""
        environ = {**self.layer.inside(self.environ), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        if not run([self.layer.python, "-c", "import importlib.util as u; u.find_spec('pip') and print(1)"], environ):
            raise AgentError(
                f"{self.layer.base} has no pip", hint="add python3-pip to the image's packages, then: devbox up"
            )
        code, tail = run_by_lines(
            self.supervisor,
            [self.layer.python, "-m", "pip", *words],
            cwd=self.project,
            environ={**environ, **variables},
            on_line=lambda line: self.events.output(line, "pip"),
        )
        if code == 0:
            return None
        # Not the command line itself: an index in it may hold a password.
        return Failed(code, {"step": "pip", "outputs": "", "command": "", "output": tail})


def installed_from(layer: Environment, project: str) -> str | None:
    """Return the `.dist-info` folder of the package that is installed for editing from `project`, or None."""
    for packages in _site_packages(layer.path):
        for name in sorted(os.listdir(packages)):
            about = read_json(os.path.join(packages, name, "direct_url.json")) if name.endswith(".dist-info") else None
            if about and about.get("url") == _url(project) and about.get("dir_info", {}).get("editable"):
                return os.path.join(packages, name)
    return None


def _url(folder: str) -> str:

    return f"file://{quote(folder)}"


def _site_packages(path: str) -> Iterator[str]:
    folder = os.path.join(path, "lib")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        packages = os.path.join(folder, name, "site-packages")
        if os.path.isdir(packages):
            yield packages


def _title(installed: str) -> str:
    """Return `vllm 0.11.0` for the folder `…/vllm-0.11.0.dist-info`."""
    return os.path.basename(installed)[: -len(".dist-info")].replace("-", " ", 1)


def _project_files(project: str) -> list[str]:
    """Return the files that say what a package is and needs, relative to `project`."""
    names = [name for name in os.listdir(project) if name.startswith("requirements") and name.endswith(".txt")]
    for folder, _, files in os.walk(os.path.join(project, "requirements")):
        names += [os.path.relpath(os.path.join(folder, name), project) for name in files]
    return sorted([*names, "pyproject.toml", "setup.py", "setup.cfg"])
