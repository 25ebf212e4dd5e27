"""`devbox compile-commands`: the build tree's compile_commands.json for clangd on the host."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from devbox.agent.volume import CURRENT
from devbox.builds.compile_commands import Places, Rewritten, compilers, rewrite, toolkits
from devbox.container.target import VOLUME
from devbox.devcontainer.writing.write import keep_out
from devbox.engine.exec import Exec, by_client, code_of
from devbox.errors import BuildError, RefusedError
from devbox.facts.checkout import gather
from devbox.facts.git import git
from devbox.files import write_atomically
from devbox.lean import stored
from devbox.paths import state_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]

FILE = "compile_commands.json"
# What clangd writes beside the file that it reads.
INDEX = ".cache/clangd"
_MARK = ".devbox-headers"
_NO_HEADERS = ("*.so", "*.so.*", "*.a", "*.o", "*.py", "*.pyc", "*.cubin", "*.fatbin")
# Prints each compiler's name and the folders of its standard headers, a line each; empty lines between compilers.
_BUILTIN = r"""
while read -r compiler; do
    echo "$compiler"
    "$compiler" -E -x c++ -v /dev/null 2>&1 >/dev/null | sed -n '/^#include </,/^End of/s/^ //p'
    echo
done
"""


@dataclass(frozen=True, slots=True)
class HostCommands:
    """What was made of a build tree's file: the number of commands, and what only the container has.

    `path` is where it was written, None for stdout; `headers` is the folder of copies, if any.
    """

    tree: str
    commands: int
    missing: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]
    path: Path | None = None
    headers: Path | None = None


def read_tree(engine: Engine, target: Target, key: str | None) -> tuple[str, list[JSON]]:
    """Return the folder of a build tree, the current one by default, and what its compile_commands.json says.

    Raises BuildError where there is none.
    """
    tree = f"{VOLUME}/{key or CURRENT}"
    # The link is followed once, so that a build that ends meanwhile changes nothing.
    script = 'cd "$1" && pwd -P && cat compile_commands.json'
    argv = ("sh", "-c", script, "read", tree)
    done = engine.execute(Exec(target.container, argv, target.user, interactive=False))
    hint = "devbox build" if key is None else "devbox builds list   # shows which trees there are"
    if not done.ok:
        raise BuildError(f"{tree} has no {FILE}", hint=hint, detail=done.stderr.strip() or None)
    folder, _, listed = done.stdout.partition("\n")
    try:
        entries = json.loads(listed)
        fine = all({"directory", "file"} <= one.keys() and one.keys() & {"command", "arguments"} for one in entries)
    except (ValueError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise BuildError(f"{folder}/{FILE} is damaged", hint=hint)
    return folder, entries


def places_of(inspected: JSON, target: Target) -> Places:
    """Return which folders of a container the host has: its bind mounts, the checkout as it is called here first."""
    pairs = {}
    hidden = []
    for mount in inspected.get("Mounts") or ():
        if mount.get("Type") == "bind":
            pairs[str(mount["Destination"])] = str(mount["Source"])
        else:
            hidden.append(str(mount["Destination"]))
    pairs[target.folder] = str(target.workspace)
    return Places(tuple(pairs.items()), hidden=tuple(hidden))


def for_host(
    engine: Engine, target: Target, reporter: Reporter, *, key: str | None = None, headers: Path | None = None
) -> tuple[str, Rewritten]:
    """Return a build tree's folder inside, and its commands for the host.

    With `headers` the folders of headers that only the container has are copied there first. Raises BuildError, and
    RefusedError where that folder holds something else.
    """
    inspected = engine.container(target.container) or {}
    folder, entries = read_tree(engine, target, key)
    places = places_of(inspected, target)
    workspace = str(target.workspace)
    result = rewrite(entries, places, workspace=workspace)
    if headers is not None:
        builtin = _builtin(engine, target, compilers(entries))
        wanted = [*(path for path, _ in result.missing), *(one for some in builtin.values() for one in some)]
        cuda = toolkits(entries)
        wanted += [f"{toolkit}/nvvm/libdevice" for toolkit in cuda]
        with reporter.step(f"Copying headers to {headers}"):
            copied = copy_headers(engine, target, wanted, headers)
            for toolkit in cuda:
                # clang takes a folder for a CUDA toolkit only if it has this one, and its version from libdevice and
                # cuda.h.
                (headers / toolkit.lstrip("/") / "bin").mkdir(parents=True, exist_ok=True)
        reporter.info(f"{copied} headers copied")
        places = replace(places, copies=str(headers))
        result = replace(
            rewrite(entries, places, workspace=workspace, builtin=builtin),
            missing=tuple(one for one in result.missing if not _copied(headers, one[0])),
        )
    return folder, result


def _copied(headers: Path, path: str) -> bool:
    return (headers / path.lstrip("/")).exists()


def _builtin(engine: Engine, target: Target, programs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the folders of each compiler's standard headers, without gcc's own: clang brings those itself."""
    asked = Exec(target.container, ("sh", "-c", _BUILTIN), target.user)
    done = engine.execute(asked, input_text="".join(f"{program}\n" for program in programs))
    found = {}
    for block in done.stdout.split("\n\n"):
        program, *folders = block.split("\n")
        own = [os.path.normpath(folder.strip()) for folder in folders if folder.strip().startswith("/")]
        found[program] = tuple(folder for folder in own if "/gcc/" not in folder or "/c++/" in folder)
    return {program: folders for program, folders in found.items() if folders}


def copy_headers(engine: Engine, target: Target, paths: Iterable[str], headers: Path) -> int:
    """Copy folders of headers, and single ones, out of the container to below `headers`; return the number of files.

    What is no header stays there. Raises RefusedError where `headers` holds something that devbox did not put there,
    BuildError if the container cannot pack them.
    """
    try:
        headers.mkdir(parents=True, exist_ok=True)
        if any(headers.iterdir()) and not (headers / _MARK).exists():
            raise RefusedError(
                f"{headers} holds files that are not devbox's", hint="--with-headers FOLDER   # a new or an empty one"
            )
        (headers / _MARK).touch()
    except OSError as error:
        raise RefusedError(f"{headers} cannot be written: {error.strerror}") from None
    # Links are followed, as a folder of headers is often a link; what cannot be read, or is not there, is passed over.
    script = 'for path; do [ -e "/$path" ] && printf "%s\\0" "$path"; done | tar -C / -chf - --null --hard-dereference '
    script += "--ignore-failed-read "
    script += " ".join(f"--exclude='{pattern}'" for pattern in _NO_HEADERS) + " -T -"
    packing = ("sh", "-c", script, "pack", *(path.lstrip("/") for path in _tops(paths)))
    asked = Exec(target.container, packing, target.user, interactive=False)
    count = 0
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(
            by_client(asked, engine.environ, engine.docker),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            env=dict(engine.environ),
        ) as packer,
    ):
        try:
            with tarfile.open(fileobj=packer.stdout, mode="r|") as archive:
                for member in archive:
                    count += _unpack(archive, member, headers)
        except tarfile.TarError as error:
            packer.kill()
            words.seek(0)
            said = words.read().decode("utf-8", "replace").strip()
            raise BuildError(
                "the container's headers cannot be packed; it needs GNU tar", detail=said or str(error)
            ) from None
        except BaseException:
            packer.kill()
            raise
    if code_of(target.container, packer.returncode) < 0:
        raise BuildError(
            "the connection to the pod was lost, and headers may be missing", hint="the same command again"
        )
    return count


def _tops(paths: Iterable[str]) -> list[str]:
    """Return the paths without those that lie below another, and without the root."""
    tops: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}):
        if path != "/" and not any(PurePosixPath(path).is_relative_to(top) for top in tops):
            tops.append(path)
    return tops


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, headers: Path) -> int:
    """Write one file of the archive below `headers`; return 1 if it was one. Nothing can get out of there."""
    relative = PurePosixPath(member.name)
    if not member.isfile() or relative.is_absolute() or ".." in relative.parts:
        return 0
    content = archive.extractfile(member)
    if content is None:
        return 0
    path = headers / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.read())
    os.utime(path, (member.mtime, member.mtime))
    return 1


def text(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return entries as the text of a compile_commands.json."""
    return json.dumps(list(entries), indent=1, ensure_ascii=False) + "\n"


def save(entries: Sequence[Mapping[str, Any]], output: Path, workspace: Path, *, force: bool = False) -> None:
    """Write entries to `output`, and keep it and clangd's index out of git's sight where it lies in the checkout.

    Raises RefusedError for a file that git tracks, and, without `force`, for one that devbox did not write.
    """
    written = state_dir() / "commands" / hashlib.sha256(os.fsencode(output)).hexdigest()[:12]
    if os.path.lexists(output):
        listed = git(output.parent, "ls-files", "--error-unmatch", "--", output.name)
        if listed is not None and listed.ok:
            raise RefusedError(f"{output} is tracked by git", hint="devbox compile-commands --output FILE")
        if not force and (output.is_symlink() or _digest(output) != _recorded(written)):
            raise RefusedError(
                f"{output} is there, and devbox did not write it",
                hint="devbox compile-commands --force   # replaces it; or --output FILE",
            )
    try:
        write_atomically(output, text(entries))
    except OSError as error:
        raise RefusedError(f"{output} cannot be written: {error.strerror}") from None
    write_atomically(written, _digest(output))
    if output.parent == workspace:
        keep_out(gather(workspace), (output.name, INDEX))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _recorded(path: Path) -> str | None:
    try:
        return stored(path).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return None
