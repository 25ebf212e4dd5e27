"""The lab with a real container as the place of building: nvcc, a build volume of the engine's, the CUDA image.

The oracle is a build from scratch of the same files in the same container: the programs are equal when stripped (nvcc
puts process ids into symbols). No compiler cache is used.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.builds import deliver
from devbox.frameworks.load import load
from tests.oracle.build_lab import Lab, Running

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.engine.docker import Engine

JSON = dict[str, Any]
INSIDE = "/workspaces/cuda"
VOLUME = "/build"
USER = "1000:1000"
# One architecture, so that a kernel takes seconds.
ARCH = "75-real"
_numbers = itertools.count()


class CudaLab(Lab):
    """A workspace on the host, mounted into a container of `image` with a build volume. `program` is what it builds."""

    def __init__(
        self,
        workspace: Path,
        engine: Engine,
        image: str,
        names: Callable[[str], str],
        *,
        program: str,
        commit: bool = True,
    ) -> None:
        self.workspace = workspace
        self.volume = Path(VOLUME)
        self.engine = engine
        self.image = image
        self.names = names
        self.program = program
        self.volume_name = names("cuda")
        self.container = ""
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(workspace.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            # The tests' user may be root, and the checkout somebody else's; a submodule lies beside it.
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "protocol.file.allow",
            "GIT_CONFIG_VALUE_1": "always",
            **{f"GIT_{who}_{what}": "lab@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self.rules = load("cuda", "cuda13").build
        self.request = {"arch": ARCH, "type": "Release"}
        self.started: list[Running] = []
        self.scratch: dict[str, str] = {}
        if commit:
            self.git("init", "-q", "-b", "main")
            self.commit("first")
        self.start_container()

    def start_container(self, image: str | None = None) -> None:
        """Make the container, or make it anew, of another image where one is given: the volume stays."""
        if self.container:
            self.engine.run(["rm", "--force", self.container])
        self.image = image or self.image
        mounts = ["--volume", f"{self.volume_name}:{VOLUME}", "--volume", f"{self.workspace}:{INSIDE}"]
        # A worktree's repository lies elsewhere.
        mounts += ["--volume", f"{self.workspace.parent}:{self.workspace.parent}"]
        name = self.names("cuda")
        args = ["run", "--detach", "--init", "--name", name, *mounts, self.image, "sleep", "infinity"]
        self.container = self.engine.run(args).stdout.strip()
        self.run("chown", USER, VOLUME, user="root")
        self.own()
        receive = ["docker", "exec", "-i", "-u", USER, self.container, *deliver.receive_argv(VOLUME)]
        subprocess.run(receive, input=json.dumps(deliver.bundle()), text=True, check=True)

    def own(self) -> None:
        """Give the checkout to the user who builds, where the tests run as root."""
        if os.getuid() == 0:
            subprocess.run(["chown", "-Rh", "--from=0", USER, str(self.workspace.parent)], check=True)

    def agent_argv(self) -> list[str]:
        return ["docker", "exec", "-i", "-u", USER, self.container, *deliver.run_argv(VOLUME)]

    def run(self, *argv: str, user: str = USER, check: bool = True) -> str:
        return self.engine.run(["exec", "--user", user, self.container, *argv], check=check).stdout

    def start(self, **fields: object) -> Running:
        self.own()
        place: JSON = {"workspace": INSIDE, "volume": VOLUME, "rules": asdict(self.rules), "container": self.container}
        return super().start(**{**place, **fields})

    def check(self, result: JSON) -> None:
        """Compare the stripped program with that of a build from scratch from the same files."""
        assert self.digest(f"{result['tree']}/{self.program}") == self.from_scratch(result)

    def digest(self, path: str) -> str:
        stripped = f"/tmp/stripped-{next(_numbers)}"
        self.run("strip", "--strip-all", "--remove-section=.note.gnu.build-id", "-o", stripped, path)
        return self.run("sha256sum", stripped).split()[0]

    def from_scratch(self, result: JSON) -> str:  # type: ignore[override]
        """Return the stripped program's hash; the same files are compiled from scratch once."""
        files = sorted(path for path in self.workspace.rglob("*") if path.is_file() and ".git" not in path.parts)
        state = hashlib.sha256(self.image.encode() + result["key"].encode())
        for path in files:
            state.update(f"{path.relative_to(self.workspace)}\0".encode() + path.read_bytes() + b"\0")
        name = state.hexdigest()
        if name not in self.scratch:
            tree = f"/tmp/scratch-{next(_numbers)}"
            kind = "Debug" if result["key"].startswith("debug") else "Release"
            configure = ["cmake", "-S", INSIDE, "-B", tree, "-G", "Ninja", f"-DCMAKE_BUILD_TYPE={kind}"]
            self.run(*configure, f"-DCMAKE_CUDA_ARCHITECTURES={ARCH}")
            self.run("cmake", "--build", tree)
            self.scratch[name] = self.digest(f"{tree}/{self.program}")
            self.run("rm", "-rf", tree)
        return self.scratch[name]

    def ninja(self, result: JSON, *args: str) -> None:
        self.run("ninja", "-C", result["tree"], *args)

    def attempt(self, result: JSON) -> JSON:
        return dict(json.loads(self.run("cat", f"{VOLUME}/.devbox/records/{result['key']}/attempt.json")))

    def kill_agent(self) -> None:
        """Kill whatever python3 runs in the container, without a chance to close the record."""
        self.run("pkill", "-9", "-f", ".devbox/agent", check=False)
