"""What a checkout lacks that its build reads: submodules, files of git-lfs, history.

All of it is asked of git's own data and of the files themselves; nothing is fetched, and no filter runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devbox import lean
from devbox.facts.git import git
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer is a text file of fewer than 1024 bytes.
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Gaps:
    """What is missing; paths are relative to the checkout. Outside git only what its files show is known.

    `submodules` are declared and empty, `pointers` stand for files that git-lfs has not fetched. `shallow` says that
    older commits are missing, `untagged` that no tag is here which a version could be made from.
    """

    submodules: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    shallow: bool = False
    untagged: bool = False


def gather(checkout: Path, *, lfs: tuple[str, ...] = (), history: bool = False) -> Gaps:
    """Return what the checkout lacks.

    Below the folders `lfs` git-lfs files are looked for, and everywhere if the checkout's own .gitattributes has some;
    with `history`, tags and older commits are.
    """
    has_lfs = bool(lfs) or _uses_lfs(checkout)
    # "true" or "false" in a repository, nothing outside.
    shallow = _says(checkout, "rev-parse", "--is-shallow-repository") if history or has_lfs else ""
    return Gaps(
        submodules=tuple(empty_submodules(checkout)),
        pointers=_pointers(checkout, lfs) if shallow and has_lfs else (),
        shallow=history and shallow == "true",
        untagged=bool(history and shallow) and not _says(checkout, "for-each-ref", "--count=1", "refs/tags"),
    )


def empty_submodules(checkout: Path, below: str = "") -> list[str]:
    """Return the submodules without content, those of submodules too, but for what lies in an empty one."""
    if not (checkout / below / ".gitmodules").is_file():
        return []
    said = git(checkout / below, "config", "--list", "-z", "--file", ".gitmodules")
    found = []
    for entry in said.stdout.split("\0") if said is not None and said.ok else ():
        name, _, path = entry.partition("\n")
        if not (name.startswith("submodule.") and name.endswith(".path")):
            continue
        inner = os.path.normpath(f"{below}/{path}" if below else path)
        # What leads out of the checkout is nobody's submodule.
        if inner.startswith(("/", "..")):
            continue
        found += empty_submodules(checkout, inner) if _has_content(checkout / inner) else [inner]
    return found


def _has_content(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _uses_lfs(checkout: Path) -> bool:
    try:
        return "filter=lfs" in lean.text(checkout / ".gitattributes", errors="replace")
    except OSError:
        return False


def _pointers(checkout: Path, folders: tuple[str, ...]) -> tuple[str, ...]:
    listed = git(checkout, "ls-files", "-z", "--", *(f":(attr:filter=lfs){folder}" for folder in folders or ("",)))
    names = listed.stdout.split("\0") if listed is not None and listed.ok else []
    return tuple(name for name in names if name and _is_pointer(checkout / name))


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size >= _POINTER_SIZE:
            return False
        return lean.stored(path).startswith(_POINTER)
    except OSError:
        return False


def _says(checkout: Path, *args: str) -> str:
    done = git(checkout, *args)
    return done.stdout.strip() if done is not None and done.ok else ""
