"""The README's first commands on bare machines, as root and as an ordinary user. `python -m tests.trees.bare --help`.

A machine is a container of a distribution's own packages with `make` and `ca-certificates`, and with this machine's
engine. What this machine's administrator added to its authorities is added there, too, and no variable names it. Who is
not root is told what is missing: root types just that, nothing else, until the command ends well.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.facts.certificates import additions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = {"debian12": "bookworm", "debian13": "trixie", "ubuntu22.04": "jammy", "ubuntu24.04": "noble"}
PACKAGES = "apt,ca-certificates,make"
# Debian has no package of Ubuntu's keys. They are taken out of Ubuntu's, whose code is not run, and known by a hash.
UBUNTU_KEYS = "usr/share/keyrings/ubuntu-archive-keyring.gpg"
UBUNTU_KEYS_SHA256 = "80a36b0a6de2f69f49d2df75ef473ccde121e9e190b9ea01d20a4f63778d5c31"
UNSIGNED = ("--aptopt=Acquire::AllowInsecureRepositories true", "--aptopt=APT::Get::AllowUnauthenticated true")
AUTHORITIES = "/usr/local/share/ca-certificates"
COMMANDS = ("demo", "check")
USERS = ("root", "dev")
# Makes what the package base begins with, as where no registry answers, or what the error names in its place. The
# engine's own one is left alone.
BASE = """\
import os, re, tempfile
from devbox import config
from devbox.config.network import network_of
from devbox.errors import DevboxError
from devbox.image.base.package import DISTRO, _bootstrap
from devbox.reporter import Silent
network = network_of(config.load(None, environ=os.environ, flags={}), os.environ)
def made(distro):
    try:
        _bootstrap(distro, tempfile.mkdtemp() + "/root.tar", network, Silent())
    except DevboxError as error:
        named = re.search("--distro ([^ ]+)", error.hint or "")
        if named is None or distro != DISTRO:
            raise SystemExit(f"{error.message}\\nhint: {error.hint}\\n{error.detail}")
        distro = made(named[1])
    return distro
print(made(DISTRO), "is made from its packages")
"""
# How often a person who is told what is missing goes on.
PATIENCE = 6
HINT = re.compile(r"^hint: (?:sudo )?(apt-get install [a-z0-9.+ -]+?)(?: *#.*)?$", re.MULTILINE)


def log(text: str) -> None:
    """Say what happens, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(argv: Sequence[str | Path]) -> str:
    """Run a command and return what it said. Raises SystemExit if it fails."""
    done = subprocess.run(
        list(map(str, argv)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def ubuntu_keys(folder: Path) -> Path:
    """Return Ubuntu's keys: this machine's, else those of its package, if they have the known hash."""
    here = Path("/", UBUNTU_KEYS)
    if here.is_file():
        return here
    archive = folder / "keys.tar"
    run(["mmdebstrap", "--variant=extract", "--include=ubuntu-keyring", *UNSIGNED, SUITES["ubuntu24.04"], archive])
    run(["tar", "-C", folder, "-xf", archive, f"./{UBUNTU_KEYS}"])
    found = folder / UBUNTU_KEYS
    if hashlib.sha256(found.read_bytes()).hexdigest() != UBUNTU_KEYS_SHA256:
        raise SystemExit("the keys of Ubuntu's package ubuntu-keyring are not those that this script knows")
    return found


def image_of(system: str) -> str:
    """Return the image of a bare system, made from its packages where it is not there."""
    image = f"devbox-bare:{system}"
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return image
    log(f"making {system} from its packages")
    with tempfile.TemporaryDirectory(prefix="devbox-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads keys as a user of its own
        more = []
        if system.startswith("ubuntu"):
            more = ["--components=main,universe", f"--keyring={ubuntu_keys(folder)}"]
        archive = folder / "root.tar"
        run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", *more, SUITES[system], archive])
        run(["docker", "import", archive, image])
    return image


@dataclass(frozen=True, slots=True)
class Machine:
    """A running bare machine. `place` is a folder that it has at the same path, since the engine is this machine's.

    So has it the folders of temporary files of its users, `scratch`, whose paths are short: sockets are made in them.
    """

    name: str
    place: Path
    scratch: Mapping[str, Path] = field(hash=False)

    def run(self, command: str, user: str = "root", *, code: int | None = 0) -> tuple[int, str]:
        """Run a shell command in the checkout, and return its exit code and what it said."""
        home = self.place / user
        variables = {"HOME": home, "TMPDIR": self.scratch[user], "PIP_CACHE_DIR": home / "pip"}
        argv = ["docker", "exec", "--user", user, "--workdir", str(home / "devbox")]
        argv += [f"--env={variable}={value}" for variable, value in variables.items()]
        argv += [self.name, "bash", "-c", command]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        (home / "log").open("a").write(f"$ {command}\n{done.stdout}\n")
        if code not in {None, done.returncode}:
            raise SystemExit(f"{self.name}, {user}: {command}: exit code {done.returncode}\n{done.stdout[-6000:]}")
        return done.returncode, done.stdout

    def type(self, command: str, user: str, what: str | None = None) -> None:
        """Have somebody type a command, and root what it names. Raises SystemExit if it never ends well."""
        begun, who = time.monotonic(), f"{self.name}, {user}: {what or command}"
        for _ in range(PATIENCE):
            code, said = self.run(command, user, code=None)
            if code == 0:
                log(f"{who}: {time.monotonic() - begun:.0f} s; {said.splitlines()[-1]}")
                return
            hint = HINT.search(said) if user != "root" else None
            if hint is None:
                break
            log(f"{who} says: {hint[0]}")
            self.run(hint[1].replace("install", "install --yes -qq --no-install-recommends", 1))
        raise SystemExit(f"{who} did not end well:\n{said[-6000:]}")


@contextlib.contextmanager
def machine(system: str, place: Path) -> Iterator[Machine]:
    """Start a bare machine with this checkout, once for root and once for the user `dev`, and remove it in the end."""
    name = f"devbox-bare-{os.getpid()}-{system}"
    socket = Path("/var/run/docker.sock").resolve()
    argv = ["docker", "run", "--detach", "--init", "--privileged", "--network=host", "--name", name]
    scratch = {user: Path(tempfile.mkdtemp(prefix="")) for user in USERS}
    argv += ["--volume", f"{socket}:/var/run/docker.sock"]
    argv += [word for folder in (place, *scratch.values()) for word in ("--volume", f"{folder}:{folder}")]
    run([*argv, image_of(system), "sleep", "infinity"])
    try:
        one = Machine(name, place, scratch)
        for user in USERS:
            scratch[user].chmod(0o755)
            (place / user / "devbox").mkdir(parents=True)
            run(["git", "clone", "--quiet", "--no-hardlinks", REPOSITORY, place / user / "devbox"])
        for path, _, _ in additions():
            run(["docker", "cp", path, f"{name}:{AUTHORITIES}/{path.stem}.crt"])
        group = socket.stat().st_gid
        one.run(
            f"update-ca-certificates; getent group {group} || groupadd --gid {group} dockers;"
            f" useradd --create-home --home-dir {place}/dev --groups $(getent group {group} | cut -d: -f1) dev;"
            f" chown -R dev: {place}/dev {scratch['dev']}"
        )
        yield one
    finally:
        run(["docker", "rm", "--force", "--volumes", name])
        for folder in scratch.values():
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Try each system that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--user", choices=USERS, help="that person alone")
    parser.add_argument("--target", action="append", help=f"of make; by default {' and '.join(COMMANDS)}")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="devbox-bare."))
    place.chmod(0o755)
    try:
        for system in options.systems or SUITES:
            with machine(system, place / system) as one:
                for user in [options.user] if options.user else USERS:
                    if user == "dev":
                        one.run(".ci/ensure-engine")
                    for target in options.target or COMMANDS:
                        one.type(f"make {target}", user)
                    one.type(f".venv/bin/python -c '{BASE}'", user, "a root file system")
    finally:
        if options.keep:
            log(f"kept: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
