"""What the container has to build with: the identities of compilers, cmake, ninja, Python and torch.

Asking a tool for its version costs more than a build with nothing to do, so answers are kept in the build volume, each
together with the stamps of the tool's files, which another image or another installation changes.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from .content import digest_file
from .events import AgentError
from .files import read_json, stamp_of, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUDA_HOME = "/usr/local/cuda/bin"
SECONDS = 60
# How much of a script is read.
SCRIPT = 4096


def which(name: str, environ: Mapping[str, str], more: Sequence[str] = ()) -> str | None:
    """Return the path of a program on PATH or in the folders `more`; a name with a slash is a path already."""
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    for folder in [*environ.get("PATH", os.defpath).split(":"), *more]:
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def first_on_path(names: Sequence[str | None], environ: Mapping[str, str], more: Sequence[str] = ()) -> str | None:
    """Return the path of the first of `names` that is there."""
    return next((path for name in names if name and (path := which(name, environ, more))), None)


def required(name: str, environ: Mapping[str, str]) -> str:
    """Return the path of a program, also under the name `NAME-build`. Raises AgentError if it is not there."""
    path = first_on_path([name, f"{name}-build"], environ)
    if path is None:
        raise AgentError(
            f"{name} is not installed in the container",
            hint="add it to the image's packages, then: devbox up --recreate",
        )
    return path


class Probe:
    """Answers about tools, with their cache."""

    def __init__(self, path: str, environ: Mapping[str, str]) -> None:
        """Take the cache file, and the environment that the tools are run in."""
        self._path = path
        self._environ = environ
        kept = read_json(path)
        self._tools: dict[str, Any] = kept if isinstance(kept, dict) else {}
        self._changed = False

    def version(self, program: str) -> str:
        """Return what `program --version` prints first; for compilers with no such line, all that it prints."""
        return str(self._ask(program, [program, "--version"])["answer"])

    def identity(self, program: str | None) -> list[str] | None:
        """Return a compiler's path, version text and the hash of its file, or None if there is none."""
        if program is None:
            return None
        answer = self._ask(program, [program, "--version"], digest=True)
        lines = str(answer["answer"]).split("\n")
        # gcc and clang say their version first, nvcc says it last.
        return [program, lines[0] if version_tuple(lines[0]) else lines[-1], str(answer["digest"])]

    def python(self, program: str, *, torch: bool) -> dict[str, str]:
        """Return a Python's path and version, and with `torch` the identity of the torch that it would import."""
        found = {"path": program, "version": str(self._ask(program, [program, "--version"])["answer"])}
        if torch:
            found["torch"] = self._torch(program)
        return found

    def save(self) -> None:
        """Keep the answers for the next build, if there are new ones."""
        if self._changed:
            write_json(self._path, self._tools)

    def _ask(self, program: str, argv: Sequence[str], *, digest: bool = False) -> dict[str, Any]:
        files = [_identity(path) for path in _decides(program, self._environ)]
        known = self._tools.get(program)
        if known is not None and known["file"] == files and (known["digest"] or not digest):
            return dict(known)
        answer = run(argv, self._environ)
        known = {"file": files, "answer": answer, "digest": digest_file(program) if digest else ""}
        self._tools[program] = known
        self._changed = True
        return known

    def _torch(self, program: str) -> str:
        """Identify torch by the files that say its version and its ABI: importing it takes seconds."""
        name = f"torch of {program}"
        known = self._tools.get(name)
        if known is not None and all(_identity(path) == identity for path, identity in known["files"]):
            return str(known["answer"])
        code = (
            "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
        )
        folder = run([program, "-c", code], self._environ).strip()
        if not folder:
            return ""
        paths = [os.path.join(folder, "version.py"), os.path.join(folder, "share/cmake/Torch/TorchConfig.cmake")]
        match = re.search(r"__version__ = '([^']+)'", _read(paths[0]))
        answer = " ".join([match.group(1) if match else "unknown", *(digest_file(path)[:12] for path in paths)])
        self._tools[name] = {"files": [[path, _identity(path)] for path in paths], "answer": answer}
        self._changed = True
        return answer


def packages_digest(path: str) -> str | None:
    """Return the `digest` in an image's list of build-relevant packages, or the list's hash; None without a list."""
    listing = read_json(path)
    said = listing.get("digest") if isinstance(listing, dict) else None
    return str(said) if said else digest_file(path) or None


def run(argv: Sequence[str], environ: Mapping[str, str], *, cwd: str | None = None) -> str:
    """Return what a program prints, without blank ends; "" if it cannot be run or fails."""
    try:
        done = subprocess.run(
            list(argv), env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _decides(program: str, environ: Mapping[str, str]) -> list[str]:
    """Return the files that decide what a program is: itself, and what it may call if it stands for another one.

    That is the next one of its name on PATH, as for the links to a compiler cache, and what a script names by its path.
    """
    folders = [folder for folder in environ.get("PATH", os.defpath).split(":") if folder]
    paths = [program, *(os.path.join(folder, os.path.basename(program)) for folder in folders)]
    with contextlib.suppress(OSError), open(program, "rb") as stream:
        head = stream.read(SCRIPT)
        if head.startswith(b"#!"):
            paths += re.findall(r"""/[^\s"';:|&()]+""", os.fsdecode(head))
    return list(dict.fromkeys(path for path in paths if os.path.isfile(path)))


def _identity(path: str) -> list[int] | None:
    known = stamp_of(path)
    return list(known) if known else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return ""


def version_tuple(text: str) -> tuple[int, ...]:
    """Return the first dotted number in a text, such as (1, 11, 1); () if there is none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
