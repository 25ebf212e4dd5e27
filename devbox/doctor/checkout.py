"""Has the checkout what its build reads, and does git accept it?"""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from devbox import lean
from devbox.container.checkout import preflight
from devbox.facts.git import git
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Look for empty submodules, git-lfs pointers, missing history, and what keeps git from working here."""
    checkout = patient.workspace
    found = [*preflight.look(checkout, patient.framework), *_worktree(checkout), *_owner(patient)]
    if shutil.which("git") is None:
        found.append(Finding("checkout", "warning", "git is not installed", "install git (a package of that name)",
                             "submodules, history and versions are not known"))  # fmt: skip
    elif any("lfs" in argv for one in found for argv in one.fix) and shutil.which("git-lfs") is None:
        found.append(Finding("checkout", "warning", "git-lfs is not installed, and the checkout has files of it",
                             "install git-lfs (a package of that name)"))  # fmt: skip
    yield from found
    if not found:
        yield Finding("checkout", "ok", f"{checkout} has all that a build reads")


def _worktree(checkout: Path) -> Iterator[Finding]:
    """Look at the file `.git` of a linked worktree or submodule, and at the worktrees that the repository knows."""
    link = checkout / ".git"
    try:
        said = lean.text(link, errors="surrogateescape").removeprefix("gitdir:").strip()
    except OSError:
        said = ""
    here = shlex.quote(str(checkout))
    if said and not (checkout / said).is_dir():
        yield Finding(
            "checkout", "error", f"the repository of the worktree {checkout} is not at {said}",
            f"git worktree repair {here}   # in the repository, where that is now", "git knows nothing here",
        )  # fmt: skip
        return
    back = _text(checkout / said / "gitdir") if said else ""
    # Compared as git compares: what the repository has in mind is the path of this worktree's `.git`.
    if back and os.path.realpath(os.path.join(checkout / said, back)) != os.path.realpath(link):  # noqa: PTH118
        yield Finding(
            "checkout", "warning", f"the repository of {checkout} looks for this worktree at {back}",
            f"git worktree repair {here}", "it was moved: git forgets it when it tidies up",
        )  # fmt: skip
    listed = git(checkout, "worktree", "list", "--porcelain")
    blocks = listed.stdout.split("\n\n") if listed is not None and listed.ok else []
    gone = [block.splitlines()[0].removeprefix("worktree ") for block in blocks if "\nprunable" in block]
    if gone:
        yield Finding("checkout", "info", f"worktrees that are gone: {', '.join(gone[:3])}", "git worktree prune")


def _owner(patient: Patient) -> Iterator[Finding]:
    """Look whether git refuses the repository, as it does that of another owner which nobody named as safe."""
    checkout = patient.workspace
    try:
        owner = (checkout / ".git").lstat().st_uid
    except OSError:
        return
    if owner == patient.host.user.uid:
        return
    # Only what is said outside of the repository counts: git-config(1), safe.directory.
    listed = git(checkout, "config", "--list", "-z", "--show-scope")
    words = listed.stdout.split("\0") if listed is not None and listed.ok else []
    said = {
        entry.partition("\n")[2]
        for scope, entry in zip(words[::2], words[1::2], strict=False)
        if scope in {"global", "system"} and entry.startswith("safe.directory\n")
    }
    if not said & {"*", str(checkout), os.path.realpath(checkout)}:
        yield Finding(
            "checkout", "warning", f"{checkout} belongs to uid {owner}, and git refuses it as of dubious ownership",
            f"git config --global --add safe.directory {shlex.quote(str(checkout))}   # if you trust who owns it",
        )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return lean.text(path, errors="surrogateescape").strip()
    except OSError:
        return ""
