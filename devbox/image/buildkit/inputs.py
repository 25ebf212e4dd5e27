"""What an image is made from, as one digest: images of the same inputs are the same for every purpose of devbox."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.image.dockerfile.instructions import parse
from devbox.image.dockerfile.stages import local_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devbox.engine.spec import ImageBuild

LABEL = "devbox.inputs"
# Above this a file counts by its size and time. Wheels and archives do not change under the same name, size and time.
CONTENT_BYTES = 1 << 20
# A context of more files is a whole source tree. Reading it at each `up` costs more than the build that it would save.
MAX_FILES = 5000


def inputs_digest(build: ImageBuild, base_ids: Mapping[str, str]) -> str:
    """Return the SHA-256 over everything that `build` is made from, as 64 hex digits.

    That is the Dockerfile, target, arguments, the files of the context (if the Dockerfile reads it) and of the named
    contexts, and `base_ids`: the ids of the images that it starts from, by name. Secrets and arguments without a value
    are left out: they are how a build reaches the network, not what it makes. Raises OSError if the Dockerfile cannot
    be read.
    """
    dockerfile = Path(build.dockerfile).read_text(encoding="utf-8")
    facts = {
        "dockerfile": dockerfile,
        "target": build.target,
        "args": sorted([*build.args, *_options(build, "--build-arg")]),
        "context": _tree(Path(build.context)) if reads_context(dockerfile) else None,
        "contexts": {name: _place(place) for name, place in [*build.contexts, *_options(build, "--build-context")]},
        "bases": dict(base_ids),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def files_below(folder: Path) -> object:
    """Return the files below `folder` with what tells them apart, to be part of a digest."""
    return _tree(folder)


def reads_context(dockerfile: str) -> bool:
    """Return whether a Dockerfile reads files of its build context. Raises DockerfileError where it cannot be read."""
    return any(local_sources(instruction) for instruction in parse(dockerfile).instructions)


def _options(build: ImageBuild, flag: str) -> list[tuple[str, str]]:
    """Return the NAME=VALUE pairs that `flag` has in the verbatim options of a contract, in either of its spellings."""
    words = iter(build.options)
    values = []
    for word in words:
        if word == flag:
            values.append(next(words, ""))
        elif word.startswith(f"{flag}="):
            values.append(word.removeprefix(f"{flag}="))
    return [(name, value) for name, equals, value in (text.partition("=") for text in values) if equals]


def _place(place: str) -> object:
    path = Path(place)
    return _tree(path) if path.is_dir() else place


def _tree(folder: Path) -> object:
    """Return the files below `folder` with what tells them apart, or only its path if there are too many of them."""
    found: dict[str, str] = {}
    for path in _files(folder):
        if len(found) >= MAX_FILES:
            return str(folder)
        found[path.relative_to(folder).as_posix()] = _file(path)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        yield from (Path(parent, name) for name in sorted(names))


def _file(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link {path.readlink()}"
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # Reading a named pipe would wait for a writer.
            return f"special {stat.S_IFMT(status.st_mode)}"
        if status.st_size > CONTENT_BYTES:
            return f"{status.st_size} {status.st_mtime_ns}"
        executable = "x" if status.st_mode & 0o111 else "-"
        return f"{executable} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        return f"unreadable {error.errno}"
