"""The Python environment on the build volume: what is installed there outlives the container and its image.

It is a layer over the image's own Python. Packages of the image are imported where the environment has none of that
name, so torch is there once, and what the image installs as programs runs with this environment's Python. It is made
anew only for another Python or another torch, since what was compiled against one does not run with the other.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ..events import AgentError
from ..files import point_link, read_json, write_bytes, write_json
from ..key import DIGITS, digest
from ..tools import Probe, first_on_path, run, version_tuple
from ..volume import REPOSITORIES

if TYPE_CHECKING:
    from collections.abc import Mapping

# The folder of environments in the state folder, and the link in the volume to the one in use: it is on PATH.
NAME = "python"
# Further checkouts of the container have trees in folders below this one of the volume, and the same environment.
RECORD = "devbox.json"
LAYER = "devbox-image.pth"
# What the image's Python says of itself: whether it is a virtual environment, and where its packages and programs lie.
ABOUT = """
import json, sys, sysconfig
paths = sysconfig.get_paths()
folders = list(dict.fromkeys([paths["purelib"], paths["platlib"]]))
print(json.dumps({"venv": sys.prefix != sys.base_prefix, "packages": folders, "scripts": paths["scripts"]}))
"""
PYTHON_SCRIPT = re.compile(rb"#!(/\S*/python[\d.]*)[ \t]*\n")


class Environment(NamedTuple):
    """An environment: its folder, its Python and the image's, and whether it has just been made."""

    path: str
    python: str
    base: str
    made: bool

    def inside(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return `environ` as a program that works in the environment gets it."""
        path = os.pathsep.join([os.path.join(self.path, "bin"), environ.get("PATH", os.defpath)])
        return {**without_home(environ), "PATH": path, "VIRTUAL_ENV": self.path}


def home(volume: str) -> str:
    """Return the volume itself where `volume` is the folder of a further checkout in it."""
    return volume.partition(f"{os.sep}{REPOSITORIES}{os.sep}")[0]


def link(volume: str) -> str:
    """Return the path under which the environment in use is known, such as `/build/python`."""
    return os.path.join(home(volume), NAME)


def outside(environ: Mapping[str, str], volume: str) -> dict[str, str]:
    """Return `environ` as it is without an environment: builds of C++ use the image's own Python alone.

    What somebody installs for tests must not lead to another build tree.
    """
    own = link(volume) + os.sep
    path = os.pathsep.join(one for one in environ.get("PATH", os.defpath).split(os.pathsep) if not one.startswith(own))
    found = {**environ, "PATH": path}
    if f"{environ.get('VIRTUAL_ENV', '')}/".startswith(own):
        del found["VIRTUAL_ENV"]
        # The contract put it in place of the image's own, by which CMake knows which Python is meant.
        folder = os.path.dirname(os.path.dirname(first_on_path(["python3"], found) or ""))
        if os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
            found["VIRTUAL_ENV"] = folder
    return found


def on_path(environ: Mapping[str, str], volume: str) -> bool:
    """Return whether the environment in use is on PATH, as a generated contract says it."""
    return os.path.join(link(volume), "bin") in environ.get("PATH", "").split(os.pathsep)


def without_home(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables that would lead any Python to packages of another one."""
    return {name: value for name, value in environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}


def current(volume: str) -> str | None:
    """Return the folder of the environment in use if its Python can be run, else None."""
    python = os.path.join(link(volume), "bin", "python3")
    return os.path.realpath(link(volume)) if os.access(python, os.X_OK) else None


def ensure(volume: str, state: str, environ: Mapping[str, str], *, clean: bool = False) -> Environment:
    """Make the environment of the image's Python where it is not there, put it in use, and return it.

    `environ` is the container's own. With `clean` it starts from nothing. A half made one has no record, and is made
    again. Raises AgentError where there is no Python that can make one.
    """
    import shutil

    environ = without_home(outside(environ, volume))
    base = first_on_path(["python3", "python"], environ)
    if base is None:
        raise AgentError("the container has no python3", hint="add it to the image's packages, then: devbox up")
    probe = Probe(os.path.join(state, "probe.json"), environ)
    made_from = probe.python(base, torch=True)
    probe.save()
    version = ".".join(map(str, version_tuple(made_from["version"])[:2]))
    path = os.path.join(state, NAME, f"{version}-{digest(made_from)[:DIGITS]}")
    python = os.path.join(path, "bin", "python3")
    known = read_json(os.path.join(path, RECORD))
    there = known is not None and os.access(python, os.X_OK) and not clean
    if not there:
        shutil.rmtree(path, ignore_errors=True)
        _make(path, base, environ)
        write_json(os.path.join(path, RECORD), {"made_from": made_from})
    _add_scripts(path, _about(base, environ)["scripts"], python)
    point_link(link(volume), path)
    return Environment(path, python, base, made=not there)


def _make(path: str, base: str, environ: Mapping[str, str]) -> None:
    # Without pip, which the image has: Debian's Python cannot install it, and that would take seconds.
    argv = [base, "-m", "venv", "--without-pip", "--system-site-packages", path]
    run(argv, environ)
    python = os.path.join(path, "bin", "python3")
    about = _about(base, environ)
    packages = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], environ)
    if not packages:
        raise AgentError(
            f"{base} cannot make a virtual environment",
            hint="devbox exec -- python3 -m venv --without-pip /tmp/try   # shows why",
        )
    if about["venv"]:
        # --system-site-packages means those of the Python behind the image's environment, not the environment's.
        lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in about["packages"])
        write_bytes(os.path.join(packages, LAYER), lines.encode())


def _about(base: str, environ: Mapping[str, str]) -> dict[str, Any]:
    import json

    answer = run([base, "-c", ABOUT], environ)
    if not answer:
        raise AgentError(f"{base} does not run", hint="devbox exec -- python3 --version")
    found: dict[str, Any] = json.loads(answer)
    return found


def _add_scripts(path: str, folder: str, python: str) -> None:
    """Let the image's programs in Python, such as pip and pytest, run with the environment's Python as well."""
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        target = os.path.join(path, "bin", name)
        source = os.path.join(folder, name)
        if os.path.lexists(target) or not os.path.isfile(source) or os.path.islink(source):
            continue
        with open(source, "rb") as stream:
            first = stream.readline(1024)
            found = PYTHON_SCRIPT.fullmatch(first)
            # Only what belongs to the image's environment: /usr/bin has scripts of the distribution's own.
            if found and os.path.dirname(found.group(1).decode()) == folder:
                write_bytes(target, b"#!%s\n%s" % (python.encode(), stream.read()), mode=0o755)
