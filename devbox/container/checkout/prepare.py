"""`devbox prepare`: run what brings a checkout all that its build reads.

Unlike every other question to git, these commands must reach the network, with the user's own credentials and filters.
So hooks stay off, and a repository whose own configuration names programs is refused: a container can write it.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.container.checkout.preflight import look
from devbox.engine import process
from devbox.errors import DevboxError, RefusedError
from devbox.facts.git import git
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter


# Settings whose value git runs, or that lead it elsewhere; git prints their names in lower case.
_RUNS = re.compile(
    r"core\.(fsmonitor|sshcommand|gitproxy|askpass|hookspath|worktree|alternaterefscommand|editor)|filter\..*"
    r"|credential(\..*)?\.helper|alias\..*|gc\.recentobjectshook|merge\..*\.driver|gpg(\..*)?\.program"
    r"|url\..*\.(push)?insteadof|submodule\..*\.update|include(if)?\..*|remote\..*\.(proxy|vcs|uploadpack)|lfs\..*"
    r"|http(\..*)?\.(proxy|cookiefile|delegation|curloptresolve|ssl.*)|protocol\..*"
)
# What `git lfs install --local` writes, and what a submodule's or a common checkout's own settings say.
_HARMLESS = re.compile(
    r"filter\.lfs\.(required=true|clean=git-lfs clean -- %f|smudge=git-lfs smudge (--skip )?-- %f"
    r"|process=git-lfs filter-process( --skip)?)|submodule\..*\.update=(checkout|none|rebase|merge)"
    r"|core\.(fsmonitor=(true|false)|hookspath=/dev/null)|lfs\.(repositoryformatversion|.*\.access)=.*"
)


_FILES = ("config", "config.worktree")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a checkout lacked, and the commands that brought it, or would."""

    workspace: str
    lacked: tuple[str, ...]
    commands: tuple[str, ...]


def prepare(
    checkout: Path,
    framework: Framework | None,
    reporter: Reporter,
    *,
    environ: Mapping[str, str],
    dry_run: bool = False,
) -> Prepared:
    """Run the commands that close the gaps of a checkout, in its folder, and look again.

    They are the user's own git, with the user's own configuration. Raises RefusedError where the repository's own
    configuration names programs, DevboxError where a command fails or a gap is there as before.
    """
    found = look(checkout, framework)
    commands = tuple(dict.fromkeys(argv for one in found for argv in one.fix))
    said = Prepared(str(checkout), tuple(one.sentence for one in found), tuple(shlex.join(argv) for argv in commands))
    if dry_run:
        return said
    planted = running(checkout)
    if commands and planted:
        raise RefusedError(
            f"the repository of {checkout} has settings of its own that make git run programs: {', '.join(planted)}",
            hint=f"git config --local --list   # read them; then type: {said.commands[0]}",
        )
    for argv in commands:
        line = shlex.join(argv)
        with reporter.step(line):
            done = process.stream(
                _without_hooks(argv), lambda text: reporter.output(text, prefix="git"), cwd=checkout, environ=environ
            )
            if not done.ok and "'lfs' is not a git command" in done.stderr:
                raise DevboxError(
                    f"git-lfs is not installed here, and {checkout} has files that it keeps",
                    hint="install git-lfs (a package of that name), then run devbox prepare again",
                )
            if not done.ok:
                raise DevboxError(
                    f"{line} failed in {checkout}",
                    hint="git remote -v   # where it fetches from; then run devbox prepare again",
                    detail=done.stderr.strip(),
                )
    left = look(checkout, framework) if commands else found
    if any(one.severity == "error" for one in left):
        raise DevboxError(
            f"{checkout} still lacks something: {left[0].sentence}",
            hint=left[0].remedy,
            detail="\n".join(said.commands),
        )
    return said


def running(checkout: Path) -> tuple[str, ...]:
    """Return the names of settings in the repository's own configuration that make git run a program of its choice.

    Its own are all that a container can write: those of the repository, of its worktrees, and of each submodule.
    """
    found: dict[str, None] = {}
    scoped = git(checkout, "config", "--list", "-z", "--show-scope")
    words = scoped.stdout.split("\0") if scoped is not None and scoped.ok else []
    entries = [entry for scope, entry in zip(words[::2], words[1::2], strict=False) if scope in {"local", "worktree"}]
    for file in _settings_of_submodules(checkout):
        listed = git(checkout, "config", "--list", "-z", "--includes", "--file", str(file))
        entries += listed.stdout.split("\0") if listed is not None and listed.ok else [f"{file}\n"]
    for entry in entries:
        name, _, value = entry.partition("\n")
        where_modules_lie = name == "core.worktree" and not value.startswith("/")
        if _RUNS.fullmatch(name) and not _HARMLESS.fullmatch(f"{name}={value}") and not where_modules_lie:
            found[name] = None
    return tuple(found)


def _settings_of_submodules(checkout: Path) -> list[Path]:
    """Return the configuration files of the submodules' repositories, and of those within them."""
    common = git(checkout, "rev-parse", "--git-common-dir")
    if common is None or not common.ok:
        return []
    top = checkout / common.stdout.strip()
    listed = git(checkout, "ls-files", "--stage", "-z")
    modules = [entry.partition("\t")[2] for entry in (listed.stdout if listed is not None else "").split("\0")
               if entry.startswith("160000 ")]  # fmt: skip
    folders = [top / "modules", *(checkout / name / ".git" for name in modules)]
    # `os.walk` follows no links below these.
    places = [place for folder in folders if folder.is_dir() for place, _, _ in os.walk(folder)]
    return [file for place in places for name in _FILES if (file := Path(place, name)).is_file()]


def _without_hooks(argv: tuple[str, ...]) -> list[str]:
    return [argv[0], "-c", "core.hooksPath=/dev/null", *argv[1:]]
