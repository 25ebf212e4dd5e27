"""Runs `up` of the reference CLI and of devbox on one contract, with a recorder in docker's place, and parses it."""

from __future__ import annotations

import csv
import getpass
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.container.up.up import UpRequest, up
from devbox.engine.address import PROGRAM, Address
from devbox.engine.docker import Engine
from devbox.errors import DevboxError
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
RECORDER = HERE / "recorder.sh"
CASES = sorted(path.stem for path in CORPUS.glob("*.json") if path.stem != "images")
# What the contracts of the corpus take from the host's environment.
ENVIRON = {"ORACLE_SET": "a value", "ORACLE_EMPTY": "", "ORACLE_VARIABLE": "${localWorkspaceFolder}"}
# The name has what is awkward in a path.
FOLDER = "a, b é"
NO_GPU = {"ServerVersion": "26.1.5", "Runtimes": {"runc": {}}, "DockerRootDir": "/", "OperatingSystem": "Debian"}

# Options of `docker run` and `docker build` without a value; every other one has one.
_SWITCHES = frozenset({
    "--detach", "-d", "--init", "--privileged", "--rm", "--read-only", "-i", "-t", "-it", "--interactive", "--tty",
    "--publish-all", "-P", "--no-healthcheck", "--oom-kill-disable", "--load", "--pull", "--no-cache", "--push",
    "--quiet", "-q",
})  # fmt: skip
_LONG = {
    "-p": "--publish", "-l": "--label", "-e": "--env", "-u": "--user", "-v": "--volume", "-a": "--attach",
    "-d": "--detach", "-h": "--hostname", "-m": "--memory", "-w": "--workdir", "-i": "--interactive", "-t": "--tty",
    "-f": "--file", "--net": "--network",
}  # fmt: skip
# Options whose last value counts; of the others all count, in any order.
_ONE_VALUED = frozenset({
    "--user", "--name", "--hostname", "--entrypoint", "--workdir", "--memory", "--shm-size", "--ipc", "--network",
    "--pid", "--init", "--privileged", "--target", "--file", "--detach", "--sig-proxy", "--gpus", "--load",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a tool told docker. `files` are the texts of the files that its commands named, by path."""

    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, str] = field(hash=False)

    def first(self, *words: str) -> tuple[str, ...] | None:
        """Return the first command that holds all of `words` among its first, or None."""
        return next((command for command in self.commands if set(words) <= set(command)), None)


def parse_log(log: Path) -> Recorded:
    """Read what the recorder has written."""
    words = log.read_bytes().decode().split("\0")[:-1] if log.exists() else []
    records = []
    while words:
        count = int(words[0])
        records.append(tuple(words[1 : count + 1]))
        words = words[count + 1 :]
    files = {record[1]: record[2] for record in records if record[0] == "::file"}
    return Recorded(tuple(record for record in records if record[0] != "::file"), files)


@dataclass(frozen=True, slots=True)
class Lab:
    """A folder with a workspace for one contract, the images that there are, and the records of both tools."""

    folder: Path

    @property
    def workspace(self) -> Path:
        """The workspace."""
        return self.folder / FOLDER

    @property
    def contract(self) -> Path:
        """The contract."""
        return self.workspace / ".devcontainer/devcontainer.json"

    def image(self, name: str) -> dict[str, Any]:
        """Return `.Config` of an image of the corpus."""
        (inspected,) = json.loads(_image_file(self.folder, name).read_text())
        config: dict[str, Any] = inspected["Config"]
        return config

    @classmethod
    def of(cls, folder: Path, contract: Path, *, info: Mapping[str, Any] = NO_GPU, base: str = "debian:12") -> Lab:
        """Make a workspace in `folder` of a contract of the corpus, and the files that contracts name beside it.

        `base` is the image that stands behind the name of the plain one.
        """
        lab = cls(folder)
        lab.contract.parent.mkdir(parents=True)
        shutil.copy(contract, lab.contract)
        shutil.copytree(CORPUS / "beside", lab.workspace / ".devcontainer", dirs_exist_ok=True)
        shutil.copytree(CORPUS / "beside", lab.workspace / "docker", dirs_exist_ok=True)
        (folder / "images").mkdir()
        configs = json.loads((CORPUS / "images.json").read_text())
        configs["debian:12"] = configs[base]
        dockerfile = re.search(r"Dockerfile\.\w+", contract.read_text())
        built = (CORPUS / "beside" / dockerfile[0]).read_text().split()[1] if dockerfile else "debian:12"
        for name, config in {**configs, "built": configs[built]}.items():
            inspected = {"Id": f"sha256:{name:0>64.64}", "Architecture": "amd64", "Os": "linux", "Config": config}
            _image_file(folder, name).write_text(json.dumps([inspected]))
        (folder / "info").write_text(json.dumps(info))
        return lab

    def environ(self, log: str) -> dict[str, str]:
        """Return the environment that a tool runs in. The engine that it names is never asked."""
        return {
            **os.environ,
            **ENVIRON,
            "TMPDIR": str(self.folder / "tmp"),
            "DOCKER_HOST": "tcp://127.0.0.1:9",
            "RECORDER_LOG": str(self.folder / log),
            "RECORDER_IMAGES": str(self.folder / "images"),
            "RECORDER_INFO": str(self.folder / "info"),
        }

    def engine(self, log: str) -> Engine:
        """Return an engine whose every question goes to the docker program, which the recorder is."""
        engine = Engine(docker=str(RECORDER), environ=self.environ(log))
        vars(engine)["address"] = Address(PROGRAM, "the recorder")
        return engine

    def reference(self, cli: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the reference CLI on the workspace. It reaches no network."""
        manifest = self.folder / f"tmp/devcontainercli-{getpass.getuser()}/control-manifest.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        # The CLI fetches this file from its web site when the copy is older than five minutes.
        manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
        argv = [cli, command, "--workspace-folder", str(self.workspace), "--docker-path", str(RECORDER), *options]
        return subprocess.run(
            argv, env=self.environ(f"reference-{command}"), capture_output=True, text=True, check=False, timeout=120
        )

    def reference_up(self, cli: str, *, uid: str = "never") -> Recorded:
        """Return what `up` of the reference CLI tells docker."""
        done = self.reference(cli, "up", "--update-remote-user-uid-default", uid)
        recorded = parse_log(self.folder / "reference-up")
        assert recorded.commands, done.stderr
        return recorded

    def devbox_up(self) -> Recorded:
        """Return what `up` of devbox tells docker."""
        engine = self.engine("devbox-up")
        try:
            up(UpRequest(path=self.workspace, trust=True, skip_hooks=True), engine, Silent())
        except DevboxError as error:
            # The recorder starts no container. Whatever else went wrong shows in what was not recorded.
            (self.folder / "devbox-error").write_text(f"{error.message}\n{error.detail}")
        return parse_log(self.folder / "devbox-up")


def _image_file(folder: Path, name: str) -> Path:
    """Return where the recorder finds the inspection of an image."""
    return folder / "images" / re.sub("[/:@]", "_", name)


def options_of(argv: Sequence[str], *, tag: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a docker command by their long names, and what follows them. `tag` is what `-t` means.

    An option is its last value where one counts, else a sorted list of all; of mounts, labels and variables a mapping.
    """
    found: dict[str, list[str]] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        flag, equals, value = rest.pop(0).partition("=")
        flag = "--tag" if tag and flag == "-t" else flag
        name = _LONG.get(flag, flag)
        if equals:
            found.setdefault(name, []).append(value)
        elif flag in _SWITCHES:
            found.setdefault(name, []).append("true")
        else:
            found.setdefault(name, []).append(rest.pop(0))
    return {name: _meaning(name, values) for name, values in found.items()}, rest


def _meaning(name: str, values: list[str]) -> Any:
    if name in {"--label", "--env", "--build-arg"}:
        return dict(value.partition("=")[::2] for value in values)
    if name == "--mount":
        mounts = [mount_of(value) for value in values]
        return {str(mount.get("target")): mount for mount in mounts}
    return values[-1] if name in _ONE_VALUED else sorted(values)


def mount_of(text: str) -> dict[str, str]:
    """Return the fields of a `--mount` by one name each, as docker would read them."""
    names = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
    fields = {}
    for item in next(csv.reader([text])):
        key, _, value = item.partition("=")
        fields[names.get(key.strip().lower(), key.strip().lower())] = value
    readonly = "readonly" in fields and fields.pop("readonly").lower() not in {"0", "f", "false"}
    return {"type": "volume", **fields, **({"readonly": "true"} if readonly else {})}


def run_of(recorded: Recorded) -> dict[str, Any] | None:
    """Return the container that a tool would run, flat: one key for each thing that could differ.

    The metadata may be a label of the image that it builds for it.
    """
    command = next((one for one in recorded.commands if one[0] == "run"), None)
    if command is None:
        return None
    options, rest = options_of(command[1:])
    flat = _flat(options)
    label = flat.pop("label devcontainer.metadata", None) or label_of_dockerfile(recorded) or "[]"
    flat["metadata"] = json.loads(label)
    flat["image"], (_, script, _, *passed) = rest[0], rest[1:]
    return {**flat, "script": script.splitlines(), "command": passed}


def label_of_dockerfile(recorded: Recorded) -> str | None:
    """Return the metadata that a generated Dockerfile puts on the image."""
    for text in recorded.files.values():
        found = re.search(r'^LABEL devcontainer\.metadata="(.*?)(?<!\\)"$', text, re.MULTILINE | re.DOTALL)
        if found:
            return re.sub(r"\\(.)", r"\1", found[1].replace("\\\n", ""))
    return None


def build_of(recorded: Recorded) -> dict[str, Any] | None:
    """Return the image that a tool would build, flat."""
    command = next((one for one in recorded.commands if one[0] in {"build", "buildx"} and "version" not in one), None)
    if command is None:
        return None
    words = command[2:] if command[0] == "buildx" else command[1:]
    options, rest = options_of(words, tag=True)
    return {**_flat(options), "context": rest[0] if rest else None}


def compose_of(recorded: Recorded, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the project that a tool would start, flat: what docker compose itself makes of the tool's files."""
    command = next((one for one in recorded.commands if one[0] == "compose" and "up" in one), None)
    if command is None:
        return None
    start = command.index("up")
    given = command[:start]
    for path, text in recorded.files.items():
        # The reference removes nothing, devbox may: docker compose is to read what it would have read.
        if not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
    argv = ["docker", *given, "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(argv, env=dict(environ), capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return {"refused": done.stderr}
    resolved = json.loads(done.stdout)
    options, services = options_of([word.replace("--detach", "-d") for word in command[start + 1 :]])
    flat: dict[str, Any] = {"project": resolved["name"], "started": sorted(services), **_flat(options)}
    flat["services"] = sorted(resolved["services"])
    flat.update({f"named {key}": value for key, value in (resolved.get("volumes") or {}).items()})
    for key, value in resolved["services"]["dev"].items():
        if key == "entrypoint":
            flat["script"], flat["passed"] = value[2], value[4:]
        elif key == "volumes":
            # An empty section of options says nothing.
            mounts = [{name: field for name, field in mount.items() if field != {}} for mount in value]
            flat.update({f"mount {mount['target']}": mount for mount in mounts})
        elif key in {"labels", "environment"}:
            flat.update({f"{key} {name}": text for name, text in value.items()})
        else:
            flat[key] = value
    # The file is read with `$$` for a dollar, and written so again.
    label = str(flat.pop("labels devcontainer.metadata", "[]")).replace("$$", "$")
    flat["metadata"] = json.loads(label)
    return flat


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as keys of one level: `--env A`, `--mount /target`."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        plain = name.removeprefix("--")
        if isinstance(value, dict):
            flat.update({f"{plain} {key}": inner for key, inner in value.items()})
        else:
            flat[plain] = value
    return flat


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> set[str]:
    """Return the keys of which the two say different things."""
    return {key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)}


def selected(request: pytest.FixtureRequest, file: str) -> set[str]:
    """Return the cases that are run of the tests of `file`, a module's `__file__`: other files have other cases."""
    ours = (item for item in request.session.items if item.path.samefile(file) and hasattr(item, "callspec"))
    return {item.callspec.params["case"] for item in ours if "case" in item.callspec.params}
