"""What an image is made from, as one digest: images of the same inputs are the same for every purpose of devbox."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox import lean
from devbox.agent.hashes import sha256
from devbox.errors import ContractError
from devbox.image.dockerfile.instructions import parse
from devbox.image.dockerfile.stages import context_reads, read_stages
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from devbox.engine.spec import ImageBuild

LABEL = "devbox.inputs"
# Above this a file counts by its size and time. Wheels and archives do not change under the same name, size and time.
CONTENT_BYTES = 1 << 20
# Of a folder of more files each counts so: reading a whole source tree at each `up` would cost more than a build.
MAX_FILES = 5000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an image is made from: the SHA-256 over it as 64 hex digits, and what of it is not looked at in full."""

    digest: str
    notes: tuple[str, ...] = ()


def is_made_from(inspected: Mapping[str, Any], digest: str) -> bool:
    """Tell whether an inspected image was built from the inputs `digest`."""
    labels: Mapping[str, str] = (inspected.get("Config") or {}).get("Labels") or {}
    return labels.get(LABEL) == digest


def inputs_digest(build: ImageBuild, base_ids: Mapping[str, str]) -> str:
    """Return the digest of `inputs_of`. Raises OSError if the Dockerfile cannot be read."""
    return inputs_of(build, base_ids).digest


def inputs_of(
    build: ImageBuild,
    base_ids: Mapping[str, str],
    *,
    text: str | None = None,
    triggers: Iterable[str] = (),
    more: object = None,
) -> Inputs:
    """Return everything that `build` is made from, as one digest.

    That is the Dockerfile (`text` where it is in no file), target, arguments, the files that it copies of its context
    and of the named ones, less what their ignore files leave out, the ids of the images that it starts from, by name,
    and `more`. `triggers` are the ONBUILD instructions of those images. Secrets and arguments without a value are left
    out: they are how a build reaches the network, not what it makes. Raises OSError if the Dockerfile cannot be read,
    ContractError if a context on this machine is no folder.
    """
    path = Path(build.dockerfile)
    dockerfile = lean.text(path) if text is None else text
    args = [*build.args, *_options(build, "--build-arg")]
    named = {name.lower(): place for name, place in [*build.contexts, *_options(build, "--build-context")]}
    stages = read_stages(dockerfile, dict(args), name=build.dockerfile)
    reads = context_reads(stages, build.target, parse("\n".join(triggers)).instructions)
    notes: list[str] = []
    facts = {
        "dockerfile": dockerfile,
        "target": build.target,
        "args": sorted(args),
        "contexts": {
            name: _place(place, reads[name], path if not name else Path(place, "Dockerfile"), notes)
            for name, place in {**named, "": build.context}.items()
            if name in reads
        },
        "bases": dict(base_ids),
        **({} if more is None else {"more": more}),
    }
    digest = sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return Inputs(digest, tuple(notes))


def files_below(folder: Path) -> object:
    """Return the files below `folder` with what tells them apart, to be part of a digest."""
    return _place(str(folder), {"."}, folder / "Dockerfile", [])


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


def _place(place: str, sources: Collection[str], dockerfile: Path, notes: list[str]) -> object:
    """Return what tells the files of a context apart that a build of `dockerfile` reads; of one elsewhere its name."""
    from devbox.image.dockerfile.context import sent
    from devbox.image.dockerfile.ignore import read_ignore

    folder = Path(place)
    if not folder.is_dir():
        if folder.is_absolute():
            # buildx would take a name that ends with `.git` for a repository on the network.
            raise ContractError(f"the build context {place} is no folder", hint=f"ls -ld {shlex.quote(place)}")
        return place
    # git changes its own files at each command.
    ignore = read_ignore(dockerfile, folder).and_also("**/.git")
    found = dict(sent(folder, sources, ignore))
    if len(found) > MAX_FILES:
        notes.append(
            f"the image's build reads {len(found):,} files of {folder}: above {MAX_FILES:,} they count by size and "
            "time; an ignore file can leave out what no build needs"
        )
    return {name: _file(path, most=0 if len(found) > MAX_FILES else CONTENT_BYTES) for name, path in found.items()}


def _file(path: Path, *, most: int) -> str:
    """Return what tells a file apart: its mode, and its content where that has at most `most` bytes."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return f"link {path.readlink()}"
        if stat.S_ISDIR(status.st_mode):
            return f"folder {status.st_mode:o}"
        if not stat.S_ISREG(status.st_mode):
            # Reading a named pipe would wait for a writer.
            return f"special {stat.S_IFMT(status.st_mode)}"
        if status.st_size > most:
            return f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns}"
        # OpenSSL's, which is faster on large files, and takes longer to load.
        import hashlib

        return f"{status.st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        return f"unreadable {error.errno}"
