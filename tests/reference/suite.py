"""Runs the reference CLI's own test suites through the reference itself and through `devbox devcontainer`.

`python -m tests.reference.suite TREE` takes a checkout of the repository devcontainers/cli, copies it, installs from
npm what its tests need, and runs its suites against whichever program `devcontainer` is to be: first the reference,
then devbox. Images that the engine lacks and Features of ghcr.io are stood in for; what these cannot stand for fails
with both. It ends with 1 where a test passes with the reference, fails with devbox, and is not among the wanted ones.

It takes minutes for each suite. An engine of its own is a good idea: `DOCKER_HOST` names it. The suites look at the
ids of who runs them, which have to be a person's: root runs them as somebody else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox.engine.docker import Engine
from tests.conftest import made_base
from tests.reference.registry import stood_in

if TYPE_CHECKING:
    from tests.reference.registry import StandIns

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
STANDINS = HERE / "standins.json"
WANTED = HERE / "wanted.toml"
# Not the id that users of images have.
SOMEBODY, UID = "somebody", 1001
# Those that start the program. What else there is tests functions of the reference's own.
SUITES = {
    "cli": "cli.test.ts",
    "up": "cli.up.test.ts",
    "set-up": "cli.set-up.test.ts",
    "exec 1": "cli.exec.buildKit.1.test.ts",
    "exec 2": "cli.exec.buildKit.2.test.ts",
    "exec without BuildKit 1": "cli.exec.nonBuildKit.1.test.ts",
    "exec without BuildKit 2": "cli.exec.nonBuildKit.2.test.ts",
    "build": "cli.build.test.ts",
    "lifecycle hooks": "container-features/lifecycleHooks.test.ts",
    "dotfiles": "dotfiles.test.ts",
    "lockfile": "container-features/lockfile.test.ts",
    "updateUID": "updateUID.test.ts",
    "image metadata": "imageMetadata.test.ts",
    "Features end to end": "container-features/e2e.test.ts",
    "Features commands": "container-features/featuresCLICommands.test.ts",
    "registries": "container-features/registryCompatibilityOCI.test.ts",
    "Templates commands": "container-templates/templatesCLICommands.test.ts",
}
# The suites install the reference as a package and start it by npx. This starts what the environment names instead.
# An image that stands in is not pulled.
_PROGRAM = "DEVCONTAINER_UNDER_TEST"
_DOCKER = shutil.which("docker")
_PROGRAMS = {
    "docker": f'#!/bin/sh\n[ "$1" = pull ] && {_DOCKER} image inspect "$2" >/dev/null 2>&1 || exec {_DOCKER} "$@"\n',
    "npm": "#!/bin/sh\n",
    "npx": f'#!/bin/sh\n# npx --prefix FOLDER devcontainer …\nshift 3\nexec ${_PROGRAM} "$@"\n',
}
_DOCKERFILE = """\
ARG BASE
FROM $BASE
ARG NAME
RUN useradd --create-home --uid 1000 --shell /bin/bash "$NAME"
# There is no package to be had: a perl that is root runs what it is told.
RUN command -v ps || { echo '#!/bin/sh'; echo 'ls /proc'; } >/usr/bin/ps && chmod 755 /usr/bin/ps
RUN cp /usr/bin/perl /usr/bin/rootperl && chmod 4755 /usr/bin/rootperl \\
 && echo '#!/usr/bin/rootperl' >/usr/bin/sudo && chmod 755 /usr/bin/sudo \\
 && echo '$< = $>; $( = $); $ENV{PATH} = "/usr/local/bin:/usr/bin:/bin";' \\
    'delete @ENV{qw(IFS CDPATH ENV BASH_ENV)}; exec map { /(.*)/s; $1 } @ARGV;' >>/usr/bin/sudo
ARG LABEL
LABEL devcontainer.metadata=$LABEL
CMD ["sleep", "infinity"]
"""


class Result(NamedTuple):
    """What came of a suite: its tests by title, and whether each passed."""

    tests: dict[str, bool]

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(self.tests.values())


def run(argv: list[str], cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=3600
    )


def must(argv: list[str], cwd: Path | None = None, *, stdin: str | None = None) -> str:
    """Run a program that has to succeed, and return what it wrote."""
    return subprocess.run(argv, cwd=cwd, input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout


class Person(NamedTuple):
    """Who runs the suites: `words` start a program as they do, and `environ` keeps what they write below `home`."""

    words: list[str]
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        """What tells programs of the home, and of the engine that is this machine's."""
        config = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "DOCKER_CONFIG": config,
            "BUILDX_CONFIG": str(self.home / "buildx"),
        }


def person(work: Path) -> Person:
    """Return who is to run the suites, with an empty home; all that is below `work` is theirs.

    Instead of root it is somebody with a name, for these programs alone, who may use the engine and read all files.
    """
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    if os.getuid():
        return Person([], home)
    accounts = work / "passwd"
    accounts.write_text(f"{Path('/etc/passwd').read_text()}{SOMEBODY}:x:{UID}:{UID}::{home}:/bin/sh\n")
    must(["chown", "--recursive", f"{UID}:{UID}", str(work)])
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    group = Path(socket).stat().st_gid
    as_they_are = ["setpriv", f"--reuid={UID}", f"--regid={UID}", f"--groups={group}"]
    reading = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    named = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', str(accounts)]
    return Person([*named, *as_they_are, *reading], home)


def prepare(tree: Path, work: Path) -> Path:
    """Return a copy of the tree below `work` in which the suites can run; one that is there is used again."""
    copy = work / "cli"
    if not (copy / "node_modules").is_dir():
        shutil.rmtree(copy, ignore_errors=True)
        must(["git", "clone", "--quiet", str(tree), str(copy)])
        must(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], copy)
    for name, script in _PROGRAMS.items():
        program = work / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)
    return copy


def stand_in() -> list[str]:
    """Give the engine the images that it lacks, and return their names."""
    base = made_base(Engine(), None)
    made = []
    for user, names in json.loads(STANDINS.read_text()).items():
        missing = [name for name in names if run(["docker", "image", "inspect", name]).returncode]
        image = base
        if missing and user:
            label = json.dumps([{"remoteUser": user}])
            given = [
                f"--build-arg={name}={value}" for name, value in {"BASE": base, "NAME": user, "LABEL": label}.items()
            ]
            image = must(["docker", "build", "--quiet", *given, "-"], stdin=_DOCKERFILE).strip()
        for name in missing:
            must(["docker", "tag", image, name])
        made += missing
    return made


def tidy(copy: Path) -> None:
    """Remove the containers that a suite left of the folders of its copy, with what belongs to their projects."""
    listed = '{{.ID}}\t{{.Label "devcontainer.local_folder"}}\t{{.Label "com.docker.compose.project"}}'
    rows = [line.split("\t") for line in must(["docker", "ps", "--all", "--format", listed]).splitlines()]
    ours = [row for row in rows if row[1].startswith(f"{copy}/")]
    projects = {project for *_, project in ours if project}
    for name in [one for one, folder, project in rows if folder.startswith(f"{copy}/") or project in projects]:
        run(["docker", "rm", "--force", "--volumes", name])


def suite(copy: Path, file: str, who: str, program: str, standins: StandIns, grep: str) -> Result:
    """Run the tests of a suite that `grep` fits against a program, that of `who`. What came of it is kept beside."""
    somebody = person(copy.parent)
    must([*somebody.words, "git", "checkout", "--quiet", "."], copy)
    must([*somebody.words, "git", "clean", "-dffxq", "--exclude=node_modules"], copy)
    standins.rename(copy / "src/test")
    report = copy.parent / f"{Path(file).stem}.{who}.json"
    report.unlink(missing_ok=True)
    done = run(
        [*somebody.words, "node", "node_modules/.bin/mocha", "-r", "ts-node/register", "--exit", "--reporter", "json",
         "--reporter-option", f"output={report}", *(["--grep", grep] if grep else []), f"src/test/{file}"],
        copy,
        TS_NODE_PROJECT="src/test/tsconfig.json",
        TS_NODE_TRANSPILE_ONLY="1",
        DEVBOX_DEVCONTAINER_TRUST="always",
        PATH=f"{copy.parent / 'bin'}:{os.environ['PATH']}",
        **somebody.environ,
        **standins.environ,
        **{_PROGRAM: program},
    )  # fmt: skip
    report.with_suffix(".log").write_text(done.stdout + done.stderr)
    tidy(copy)
    if not report.is_file():
        return Result({f"{file} itself": False})
    found = json.loads(report.read_text())
    tests = {one["fullTitle"]: not one["err"] for one in found["tests"] if one not in found["pending"]}
    # What fails before or after the tests of a group is a failure by itself.
    return Result(tests | {one["fullTitle"]: False for one in found["failures"]})


def main() -> int:
    """Run what is asked for, print the counts, and what passes with the reference alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "devbox-reference-suite")
    parser.add_argument("--suite", action="append", choices=SUITES, help="these alone")
    parser.add_argument("--only", choices=("reference", "devbox"), help="one of the two")
    parser.add_argument("--grep", default="", help="the tests whose titles have this, as mocha takes it")
    asked = parser.parse_args()
    programs = {
        "reference": os.environ.get("DEVBOX_REFERENCE_CLI") or str(REPOSITORY / ".venv/reference/bin/devcontainer"),
        "devbox": f"{REPOSITORY / '.venv/bin/devbox'} devcontainer",
    }
    asked.work.mkdir(parents=True, exist_ok=True)
    copy = prepare(asked.tree.resolve(), asked.work)
    made = stand_in()
    worse = []
    with ExitStack() as stack:
        for name in made:
            stack.callback(run, ["docker", "rmi", "--no-prune", name])
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        standins = stack.enter_context(stood_in(scratch))
        print(f"{'suite':<26}{'reference':>10}{'devbox':>10}", flush=True)
        for name in asked.suite or SUITES:
            found = {
                who: suite(copy, SUITES[name], who, program, standins, asked.grep)
                for who, program in programs.items()
                if asked.only in {None, who}
            }
            counts = "".join(f"{f'{one.passed}/{len(one.tests)}':>10}" for one in found.values())
            print(f"{name:<26}{counts}", flush=True)
            if len(found) == 2:
                ours = found["devbox"].tests
                worse += [title for title, well in found["reference"].tests.items() if well and not ours.get(title)]
    reasons = {
        title: " ".join(one["reason"].split())
        for one in tomllib.loads(WANTED.read_text())["wanted"]
        for title in one["titles"]
    }
    failed = False
    for title in worse:
        reason = next((why for begin, why in reasons.items() if title.startswith(begin)), None)
        print(f"passes with the reference alone: {title}\n    {reason or 'and nobody says why'}")
        failed = failed or reason is None
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
