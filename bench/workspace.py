"""The workspaces in which the cases run, and what is asked of docker about them."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FRAMEWORK = ("--framework", "cuda", "--variant", "cpu")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs that are compared. `reference` is None where the reference CLI is not installed."""

    devbox: str
    docker: str
    reference: str | None

    @classmethod
    def on_path(cls) -> Tools:
        """Find the programs on PATH, the reference CLI by DEVBOX_REFERENCE_CLI first.

        Raises SystemExit without devbox or docker.
        """
        found = {name: shutil.which(name) for name in ("devbox", "docker")}
        for name, place in found.items():
            if place is None:
                raise SystemExit(f"bench: {name} is not on PATH")
        reference = os.environ.get("DEVBOX_REFERENCE_CLI") or "devcontainer"
        return cls(str(found["devbox"]), str(found["docker"]), shutil.which(reference))

    def engine_version(self) -> str:
        """Return the version of the engine that the cases run on. Raises CalledProcessError where none answers."""
        command = [self.docker, "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Workspace:
    """A checkout whose dev container is up. `environ` is what every command of the benchmark runs with."""

    path: Path
    tools: Tools
    environ: Mapping[str, str]

    def call(self, *argv: str) -> str:
        """Run a command that is not measured and return its stdout. Raises CalledProcessError if it fails."""
        return subprocess.run(
            argv,
            cwd=self.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def containers(self) -> list[str]:
        """Return the ids of the workspace's containers, stopped ones too."""
        label = f"label=devcontainer.local_folder={self.path}"
        return self.call(self.tools.docker, "ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()

    def container(self) -> str:
        """Return the id of the workspace's one container."""
        (only,) = self.containers()
        return only

    def remove_container(self) -> None:
        """Remove the workspace's containers; volumes and images stay."""
        if found := self.containers():
            self.call(self.tools.docker, "rm", "--force", *found)

    def stop_container(self) -> None:
        """Stop the workspace's container at once."""
        self.call(self.tools.docker, "stop", "--time", "0", self.container())

    def docker_processes(self, *argv: str) -> int:
        """Run a command that is not measured and return how many times it started docker."""
        with tempfile.TemporaryDirectory(prefix="devbox-bench-") as name:
            wrapper, log = Path(name, "docker"), Path(name, "log")
            log.touch()
            wrapper.write_text(f'#!/bin/sh\necho >> "{log}"\nexec "{self.tools.docker}" "$@"\n')
            wrapper.chmod(0o755)
            environ = {**self.environ, "PATH": f"{name}{os.pathsep}{self.environ['PATH']}"}
            subprocess.run(argv, cwd=self.path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            return len(log.read_text().splitlines())

    def in_container(self, *argv: str, user: str) -> tuple[str, ...]:
        """Return the bare docker command that runs `argv` in the container."""
        return (self.tools.docker, "exec", "--user", user, self.container(), *argv)

    def build_tree(self) -> tuple[str, str]:
        """Return the folder of the one build tree that is in the container, and its owner as UID:GID."""
        find = ("find", "/build", "-maxdepth", "2", "-name", "build.ninja", "-printf", "%h %U:%G\n")
        (line,) = self.call(*self.in_container(*find, user="root")).splitlines()
        folder, owner = line.rsplit(" ", 1)
        return folder, owner


@contextlib.contextmanager
def scratch(tools: Tools) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a temporary folder, and an environment in which devbox's state lies in it; take both away at the end."""
    with tempfile.TemporaryDirectory(prefix="devbox-bench-") as name:
        folder = Path(name)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("DEVBOX_")}
        # An installed devbox is compiled; one that may not write bytecode would compile itself anew in each run.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ |= {
            "DEVBOX_STATE_DIR": str(folder / "state"),
            "DEVBOX_CONFIG_DIR": str(folder / "config"),
            "NO_COLOR": "1",
        }
        # The reference CLI fetches this file from the network when its copy is five minutes old. A fresh copy keeps the
        # network out of its times.
        manifest = Path(tempfile.gettempdir(), f"devcontainercli-{getpass.getuser()}", "control-manifest.json")
        if tools.reference is not None:
            manifest.parent.mkdir(exist_ok=True)
            manifest.write_text(json.dumps({"disallowedFeatures": [], "featureAdvisories": []}))
        yield folder, environ


@contextlib.contextmanager
def started(path: Path, tools: Tools, environ: Mapping[str, str]) -> Iterator[Workspace]:
    """Start the dev container of `path`; at the end remove it with its build volume."""
    workspace = Workspace(path, tools, environ)
    workspace.call("git", "init", "--quiet", ".")
    with _removed(workspace):
        workspace.call(tools.devbox, "up", *FRAMEWORK, "--yes")
        yield workspace


@contextlib.contextmanager
def written(path: Path, tools: Tools, environ: Mapping[str, str], files: Mapping[str, str]) -> Iterator[Workspace]:
    """Start the dev container of a folder with these `files` below .devcontainer; at the end remove it."""
    workspace = Workspace(path, tools, environ)
    for name, text in files.items():
        file = path / ".devcontainer" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with _removed(workspace):
        workspace.call(tools.devbox, "up", "--trust")
        yield workspace


@contextlib.contextmanager
def _removed(workspace: Workspace) -> Iterator[None]:
    """At the end remove the dev container with its build volume."""
    try:
        yield
    finally:
        subprocess.run(
            [workspace.tools.devbox, "down", "--volumes", "--yes"],
            cwd=workspace.path,
            env=workspace.environ,
            capture_output=True,
            check=False,
        )
