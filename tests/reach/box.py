"""The box: one container of Debian 13 in which all other engines run, and the programs that reach them.

It is made from Debian's packages, so no registry is needed. What it holds is gone with it; the image stays, as the
package base does: `docker image rm devbox-reach:…`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.config.network import network_of
from devbox.engine import process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.engine.docker import Engine

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "aardvark-dns", "buildah", "ca-certificates", "catatonit", "ccache", "crun", "curl", "dbus-user-session",
    "docker-buildx", "docker-cli", "docker-compose", "docker.io", "fuse-overlayfs", "git", "icecc", "iproute2",
    "iptables", "make", "netavark", "openssh-server", "passt", "podman", "procps", "python3", "python3-venv",
    "redis-server", "rootlesskit", "rsync", "slirp4netns", "uidmap", "valkey-server",
)  # fmt: skip
_DIGEST = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8]
IMAGE = f"devbox-reach:{_DIGEST}"
# Prints the seconds that a shell script takes.
_TIMED = """
import subprocess, sys, time
begun = time.perf_counter()
subprocess.run(["sh", "-ec", sys.argv[1]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.perf_counter() - begun)
"""


def ensure_image(engine: Engine, folder: Path) -> None:
    """Make the box's image if it is not there. Skips the test where that cannot be done here."""
    if engine.image(IMAGE) is not None:
        return
    archive = str(folder / "trixie.tar")
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    argv += ["--mode=root" if os.geteuid() == 0 else "--mode=unshare", "trixie", archive]
    try:
        process.run(argv, timeout=800)
    except Exception as error:  # noqa: BLE001  # whatever it is: this machine cannot make it
        pytest.skip(f"the box for other engines cannot be made: {error}")
    engine.run(["import", archive, IMAGE])
    Path(archive).unlink()


@dataclass(frozen=True)
class Box:
    """The running box."""

    engine: Engine
    name: str
    share: Path

    @classmethod
    def start(cls, engine: Engine, name: str, share: Path) -> Box:
        """Start the box with its engines, devbox among them. `share` is a folder that both sides see at `/share`."""
        box = cls(engine, name, share)
        network = network_of(config.load(None, environ=os.environ, flags={}), os.environ)
        ca = ["--volume", f"{network.ca_bundle}:/etc/ssl/certs/ca-certificates.crt:ro"] if network.ca_bundle else []
        volumes = ("/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/home")
        argv = ["run", "--detach", "--privileged", "--init", "--name", name, "--hostname", name, *ca]
        # Overlay on overlay does not mount: what holds containers is no layer of this one.
        argv += [word for volume in volumes for word in ("--volume", volume)]
        argv += ["--volume", f"{REPOSITORY}:/devbox:ro", "--volume", f"{share}:/share", IMAGE, "sleep", "infinity"]
        done = engine.run(argv, check=False)
        if not done.ok:
            pytest.skip(f"no privileged container starts on this engine: {done.stderr.strip()}")
        needs = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
        box.sh("python3 -m venv /opt/devbox")
        box.run(
            ["/opt/devbox/bin/pip", "install", "--quiet", *needs], environ={"PIP_CERT": str(network.ca_bundle or "")}
        )
        box.sh("bash /devbox/tests/reach/engines.sh")
        return box

    def remove(self) -> None:
        """Remove the box with all that is in it."""
        self.engine.run(["rm", "--force", "--volumes", self.name], check=False)

    def run(
        self,
        argv: list[str],
        *,
        user: str = "root",
        cwd: str = "/",
        environ: Mapping[str, str] | None = None,
        code: int | None = 0,
    ) -> process.Completed:
        """Run a command in the box; it ends with `code` (None: with any)."""
        env = [word for pair in (environ or {}).items() for word in ("--env", "=".join(pair))]
        done = self.engine.run(["exec", "--user", user, "--workdir", cwd, *env, self.name, *argv], check=False)
        assert code in {None, done.code}, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done

    def sh(self, script: str, **more: Any) -> str:
        """Run a shell script in the box and return what it said."""
        return self.run(["sh", "-ec", script], **more).stdout


@dataclass(frozen=True)
class Flavour:
    """An engine in the box, and how a person there reaches it: the account, DOCKER_HOST, and what `docker` is."""

    name: str
    user: str = "root"
    host: str | None = None
    podman: bool = False

    @property
    def rootless(self) -> bool:
        """Whether it is the engine of an account that is not root."""
        return self.user != "root"

    def environ(self) -> dict[str, str]:
        """Return the environment of who uses it."""
        found = {"HOME": "/home/dev" if self.rootless else "/root", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        found["PATH"] = f"/opt/as-podman:{path}" if self.podman else path
        if self.rootless:
            found["XDG_RUNTIME_DIR"] = "/run/user/1000"
        return {**found, **({"DOCKER_HOST": self.host} if self.host else {})}


LOCAL = Flavour("Docker")
FLAVOURS = (
    Flavour("Docker, rootless", "dev", "unix:///run/user/1000/docker.sock"),
    Flavour("Podman", host="unix:///run/podman/podman.sock"),
    Flavour("Podman, rootless", "dev", "unix:///run/user/1000/podman/podman.sock"),
    Flavour("Podman as docker", podman=True),
    Flavour("Podman as docker, rootless", "dev", podman=True),
)


@dataclass(frozen=True)
class Seat:
    """Somebody at a folder in the box, with one of its engines."""

    box: Box
    flavour: Flavour
    folder: str = "/"

    def run(self, *argv: str, code: int | None = 0) -> process.Completed:
        """Run a command there."""
        flavour = self.flavour
        return self.box.run(list(argv), user=flavour.user, cwd=self.folder, environ=flavour.environ(), code=code)

    def sh(self, script: str) -> str:
        """Run a shell script there and return what it said."""
        return self.run("sh", "-ec", script).stdout

    def devbox(self, *args: str, code: int | None = 0) -> str:
        """Run devbox there and return what it said, stdout and stderr."""
        done = self.run("devbox", *args, code=code)
        return done.stdout + done.stderr

    def compiled(self) -> int:
        """Build, and return how many objects were compiled, or taken from the compiler cache."""
        report = json.loads(self.run("devbox", "build", "--seed-from", "none", "--json").stdout)["data"]
        return int(report["compiled"])

    def seconds(self, script: str) -> float:
        """Return how long a shell script takes there."""
        return float(self.run("/opt/devbox/bin/python", "-c", _TIMED, script).stdout)

    def load(self, archive: str) -> None:
        """Have the engine load an archive of images."""
        self.run("docker", "load", "--quiet", "--input", archive)
