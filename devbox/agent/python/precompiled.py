"""A prebuilt C++ part (`--precompiled`): which commit it is of, and whether it fits the checkout's own sources."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
import zlib
from typing import TYPE_CHECKING

from ..events import AgentError
from ..tools import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..events import Events
    from ..protocol import Precompiled, PythonRules

# Where the branch may be that prebuilt wheels are made of, the likeliest first.
MAIN = (
    "refs/remotes/upstream/main", "refs/remotes/origin/main", "refs/remotes/upstream/master",
    "refs/remotes/origin/master", "refs/heads/main", "refs/heads/master",
)  # fmt: skip
# A wheel's file name: `vllm-0.11.2.dev278+gdbc3d9991-cp38-abi3-manylinux1_x86_64.whl`, `%2B` for + in a URL.
WHEEL_VERSION = re.compile(r"/?[^/-]+-([^/-]+)-[^/]*\.whl(?:$|[?#])")
LOCAL_COMMIT = re.compile(r"(?:\+|%2B|\.)g([0-9a-f]{7,40})\b", re.IGNORECASE)
NAMED = 8
# How std::string is called in the symbols of a library, by the two ABIs of libstdc++ (_GLIBCXX_USE_CXX11_ABI).
NEW_STRING, OLD_STRING = re.compile(rb"NSt7__cxx1112basic_string"), re.compile(rb"_ZN\w{0,999}?Ss|\wRKSs")
ABI_OF_TORCH = "import torch; print(int(torch.compiled_with_cxx11_abi()))"
MOST_BYTES = 1 << 28


def pairs(rules: PythonRules, named: Precompiled) -> Sequence[Sequence[str]]:
    """Return the variables that tell the build backend to take the prebuilt C++ part `named`.

    See `devbox.builds.precompiled`. Raises AgentError where the framework has none for this kind.
    """
    kind = named.kind
    found: Sequence[Sequence[str]] = getattr(rules, f"precompiled_{kind}" if kind else "precompiled")
    if not found:
        what = {"": "a prebuilt C++ part", "version": "one of a version", "location": "one from a file or URL"}[kind]
        raise AgentError(
            f"the framework does not know how to take {what}", hint="devbox build --install   # builds it instead"
        )
    return found


def in_full(named: Precompiled, workspace: str, environ: Mapping[str, str]) -> str:
    """Return what was named, a short commit in full: indexes name it so."""
    value = named.value
    short = named.kind == "version" and re.fullmatch(r"[0-9a-f]{7,39}", value)
    return (_commit(workspace, value, environ) if short else None) or value


def check(
    workspace: str, named: Precompiled, native: Sequence[str], environ: Mapping[str, str], events: Events
) -> None:
    """Compare the sources of the C++ part with those that the prebuilt one is made of.

    Raises AgentError, with a list, where they differ: Python would then call libraries of another source. Where the
    commit cannot be told, this only says so.
    """
    if not native:
        return
    commit, what = _made_of(workspace, named, environ)
    if commit is None:
        events.warn(f"cannot compare the C++ sources with the prebuilt ones: {what}")
        return
    changed = _git(workspace, ["diff", "--name-only", commit, "--", *native], environ)
    new = _git(workspace, ["ls-files", "--others", "--exclude-standard", "--", *native], environ)
    if changed is None or new is None:
        events.warn("cannot compare the C++ sources with the prebuilt ones: git failed")
        return
    names = sorted({*changed.split("\n"), *new.split("\n")} - {""})
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        raise AgentError(
            f"{count} of the C++ part differ from {what}, which the prebuilt one is made of: "
            f"{', '.join(names[:NAMED])}{more}",
            hint="devbox build --install   # builds it here; --force takes the prebuilt one all the same",
        )
    events.info(f"the C++ sources are those of {what}")


def _made_of(workspace: str, named: Precompiled, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the commit that a prebuilt C++ part is of, and how to call it; None and why it is not known."""
    kind, value = named.kind, named.value
    if kind == "":
        return _merge_base(workspace, environ)
    if kind == "location" and os.path.isdir(value):
        other = _git(value, ["rev-parse", "HEAD"], environ)
        commit = _commit(workspace, other, environ) if other else None
        return (commit, f"{value} ({commit[:9]})") if commit else (None, f"the commit of {value} is not here")
    version = value if kind == "version" else version_of(value)
    for name in (version, f"v{version}") if version else ():
        commit = _commit(workspace, name, environ)
        if commit:
            return commit, commit[:9] if commit.startswith(name) else f"{name} ({commit[:9]})"
    return None, f"{version or value} is no commit or tag of this repository"


def _merge_base(workspace: str, environ: Mapping[str, str]) -> tuple[str | None, str]:
    if _git(workspace, ["rev-parse", "--git-dir"], environ) is None:
        return None, f"{workspace} is no git repository, or git is not installed"
    for ref in MAIN:
        base = _git(workspace, ["merge-base", "HEAD", ref], environ)
        if base:
            return base, f"the last commit that is also in {ref.split('/', 2)[2]} ({base[:9]})"
    return None, "there is no branch main or master to compare with"


def compare_abi(named: Precompiled, python: str, environ: Mapping[str, str], events: Events) -> None:
    """Warn where a wheel's libraries were compiled for the other ABI of libstdc++ than the torch of `python`.

    They would not load: each function with a std::string has another name. What cannot be told is no warning.
    """
    if named.kind != "location" or not os.path.isfile(named.value):
        return
    abi = abi_of(named.value)
    torch = run([python, "-c", ABI_OF_TORCH], environ) if abi is not None else ""
    if torch in {"0", "1"} and abi is not bool(int(torch)):
        name = os.path.basename(named.value)
        events.warn(
            f"{name} is compiled with _GLIBCXX_USE_CXX11_ABI={int(bool(abi))}, and the torch here with {torch}: its "
            "libraries will not load. Take one of the same kind, or build: devbox build --install"
        )


def abi_of(wheel: str) -> bool | None:
    """Return whether the libraries of a wheel have the new ABI of libstdc++, None where they do not tell."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            libraries = [one for one in archive.infolist() if ".so" in one.filename and one.file_size < MOST_BYTES]
            for one in sorted(libraries, key=lambda one: one.file_size):
                data = archive.read(one)
                new, old = bool(NEW_STRING.search(data)), bool(OLD_STRING.search(data))
                if new != old:
                    return new
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        pass  # damaged, or packed in a way that this Python does not know
    return None


def version_of(place: str) -> str | None:
    """Return the commit, or else the version, in a wheel's file name or URL; None where it holds neither."""
    match = WHEEL_VERSION.search(place)
    if match is None:
        return None
    local = LOCAL_COMMIT.search(match.group(1))
    return local.group(1) if local else re.split(r"\+|%2B", match.group(1))[0]


def _commit(workspace: str, name: str, environ: Mapping[str, str]) -> str | None:
    found = _git(workspace, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], environ)
    return found or None


def _git(folder: str, words: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Return what git prints, None where it fails. This is the container's git: it reaches nothing on the host."""
    try:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", folder, *words], env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout.decode("utf-8", "surrogateescape").strip() if done.returncode == 0 else None
