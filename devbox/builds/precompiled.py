"""What `--precompiled` names: a version, a commit, a URL, or a file or folder, as the container sees it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Literal

from devbox.agent.volume import STATE
from devbox.container.inside.exec import exec_argv
from devbox.container.target import VOLUME
from devbox.engine.exec import code_of
from devbox.errors import BuildError, UsageError
from devbox.paths import expanded
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

FOLDER = f"{VOLUME}/{STATE}/precompiled"
_URL = re.compile(r"(https?|file)://\S+")
# A commit, or a release such as 1.2.0rc5 or v0.11.0.
_VERSION = re.compile(r"[0-9a-f]{7,40}|v?\d+(\.\d+)+\S*")
# Run inside: takes the file on stdin. What an earlier, cut off copy left is overwritten.
_RECEIVE = 'mkdir -p "${1%/*}" && cat >"$1.part" && mv "$1.part" "$1"'


@dataclass(frozen=True, slots=True)
class Precompiled:
    """A prebuilt C++ part: one of the backend's own choice (`kind` ""), of a version, or from a place."""

    kind: Literal["", "version", "location"] = ""
    value: str = ""


def named(text: str, target: Target, engine: Engine, reporter: Reporter) -> Precompiled:
    """Return what a person named. A file outside the checkout is copied into the build volume.

    Raises UsageError for what is no version, URL, file or folder, BuildError where the copy fails.
    """
    if not text:
        return Precompiled()
    if _URL.fullmatch(text):
        return Precompiled("location", text)
    path = expanded(text)
    if path.exists():
        inside = target.inside(path.absolute())
        return Precompiled("location", inside or _carried(path, target, engine, reporter))
    if _VERSION.fullmatch(text):
        return Precompiled("version", text)
    raise UsageError(
        f"--precompiled={text} is no version, commit, URL, file or folder", hint="devbox build --precompiled=0.11.0"
    )


def _carried(path: Path, target: Target, engine: Engine, reporter: Reporter) -> str:
    if not path.is_file():
        raise UsageError(
            f"the container does not see {path}, which is outside {target.workspace}",
            hint="devbox build --precompiled=WHEEL   # a file is copied inside",
        )
    place = f"{FOLDER}/{path.name}"
    argv = exec_argv(target, ["sh", "-c", _RECEIVE, "sh", place], environ=engine.environ, docker=engine.docker)
    with reporter.step(f"copying {path.name} into the build volume"), path.open("rb") as stream:
        done = subprocess.run(
            argv, stdin=stream, capture_output=True, text=True, env=target.client_environ(engine.environ), check=False
        )
    if code_of(target.container, done.returncode) != 0:
        raise BuildError(f"cannot copy {path} into the build volume", detail=done.stderr.strip() or None)
    return place
