"""Put a generated contract into a checkout, and take it out again, without ever losing what somebody else wrote."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer import record
from devbox.devcontainer.find import COMPOSE
from devbox.devcontainer.record import is_generated, text_hash
from devbox.errors import RefusedError
from devbox.facts.git import git
from devbox.files import write_atomically
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.devcontainer.writing.request import Generated
    from devbox.facts.model import Checkout

_BEGIN = "# >>> devbox: written by devbox, kept out of git status >>>"
_END = "# <<< devbox <<<"


@dataclass(frozen=True, slots=True)
class Written:
    """The contract's files, those of them that were written now, and those that were left alone as somebody's own.

    `removed` are files of devbox's that the contract before had and this one has not.
    """

    paths: tuple[Path, ...]
    changed: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not as devbox would write it: its text, or None where it is missing; `edited` by somebody."""

    path: Path
    old: str | None
    new: str
    edited: bool

    @property
    def reason(self) -> str:
        """What is the matter with it, after its name."""
        if self.old is None:
            return "is missing"
        return "was edited, or is not devbox's" if self.edited else "is out of date"


def write(checkout: Checkout, generated: Generated, *, force: bool = False) -> Written:
    """Write the files of `generated` that differ from what is there, and keep personal ones out of `git status`.

    The files are one piece: where one of them was edited, or is not devbox's, all of them are left alone, unless
    `force` is given. Raises RefusedError for a path that git tracks, with `force` or without, and for one that a
    symlink leads out of the workspace. A shared contract is meant to be tracked: it is renewed as long as it is what
    devbox wrote, of which git has the last version.
    """
    relatives = [relative for relative, _ in generated.files]
    paths = tuple(checkout.path / relative for relative in relatives)
    stale = preview(checkout, generated)
    edited = tuple(one.path for one in stale if one.edited)
    for relative in relatives:
        _must_be_ours(checkout, relative, renewed=generated.shared and (not edited or not force))
    if edited and not force:
        return Written(paths, kept=edited)
    left = _left_over(paths)
    # The Dockerfile first: a contract that is there is complete.
    for one in reversed(stale):
        _write(one.path, one.new)
    for path in left:
        path.unlink(missing_ok=True)
    gone = [path.relative_to(checkout.path).as_posix() for path in left]
    if generated.shared:
        _exclude(checkout, drop=[*relatives, *gone])
    else:
        _exclude(checkout, add=relatives, drop=gone)
    return Written(paths, tuple(one.path for one in stale), removed=left)


def preview(checkout: Checkout, generated: Generated) -> tuple[Difference, ...]:
    """Return the files that are not as devbox would write them."""
    targets = [(checkout.path / relative, text) for relative, text in generated.files]
    edited = edited_files(tuple(path for path, _ in targets))
    # A file that is already as wanted is nobody's edit: an interrupted run got that far.
    return tuple(Difference(path, old, text, path in edited) for path, text in targets if (old := _text(path)) != text)


def _left_over(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the compose file of the contract that is there, as devbox wrote it, if the new one has none."""
    config, dockerfile, *_ = paths
    compose, text = dockerfile.with_name(COMPOSE), _text(config)
    if compose in paths or text is None:
        return ()
    found = _text(compose)
    return (compose,) if found is not None and text_hash(found) in _recorded(config) else ()


def changes(checkout: Checkout, generated: Generated) -> dict[Path, tuple[str | None, str | None]]:
    """Return for each file that `write` may change its text now and afterwards; None where there is no file."""
    after: dict[Path, str | None] = {checkout.path / relative: text for relative, text in generated.files}
    after |= dict.fromkeys(_left_over(tuple(after)))
    return {path: (_text(path), text) for path, text in after.items()}


def put_back(checkout: Checkout, before: Mapping[Path, str | None]) -> None:
    """Give the files of a contract, the devcontainer.json first, the texts that they had before it was written."""
    new = [path for path, text in before.items() if text is None]
    if new:
        remove(checkout, new)
    kept = [(path, text) for path, text in before.items() if text is not None]
    for path, text in reversed(kept):
        _write(path, text)
    there = tuple(path for path, _ in kept)
    relatives = [path.relative_to(checkout.path).as_posix() for path in there]
    keep_out(checkout, [one for one in relatives if one not in checkout.tracked])


def remove(checkout: Checkout, paths: Iterable[Path]) -> tuple[Path, ...]:
    """Remove the files of a contract that devbox wrote, its empty folders, and their lines in git's exclude file.

    Tracked ones stay. Returns what was removed.
    """
    inside = [path for path in paths if path.is_relative_to(checkout.path)]
    mine = [path for path in inside if path.relative_to(checkout.path).as_posix() not in checkout.tracked]
    removed = []
    for path in mine:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            removed.append(path)
    for folder in sorted({path.parent for path in mine}, reverse=True):
        while folder != checkout.path and folder.is_relative_to(checkout.path) and _remove_empty(folder):
            folder = folder.parent  # noqa: PLW2901  # up the tree until one is not empty
    _exclude(checkout, drop=[path.relative_to(checkout.path).as_posix() for path in mine])
    return tuple(removed)


def edited_files(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return those of a contract's files (the devcontainer.json first) that exist and are not as devbox wrote them."""
    config, *others = paths
    text = _text(config)
    if text is None:
        # Without its contract nothing tells whose the others are.
        return tuple(path for path in others if path.exists())
    edited = [] if is_generated(text) else [config]
    recorded = _recorded(config)
    edited += [path for path in others if (found := _text(path)) is not None and text_hash(found) not in recorded]
    return tuple(edited)


def _recorded(path: Path) -> frozenset[str]:
    """Return the hashes of the files beside a contract as devbox wrote them."""
    said = record.at(path)
    return frozenset(one for one in (said.dockerfile, said.compose) if one is not None)


def _text(path: Path) -> str | None:
    try:
        return lean.stored(path).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedError(
            f"{path} is in the way: {error.strerror}", hint=f"look at {path}, and move it away"
        ) from None


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        there = next(folder for folder in path.parents if folder.is_dir())
        raise RefusedError(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {there}") from None


def _must_be_ours(checkout: Checkout, relative: str, *, renewed: bool) -> None:
    path = checkout.path / relative
    if relative in checkout.tracked and not renewed:
        raise RefusedError(
            f"{path} is tracked by git, and devbox never overwrites a tracked file", hint="git rm --cached it first"
        )
    real_top = Path(os.path.realpath(checkout.path))
    if not Path(os.path.realpath(path)).is_relative_to(real_top):
        raise RefusedError(f"{path} leads out of the workspace by a symlink", hint=f"ls -l {path.parent}")


def _remove_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def keep_out(checkout: Checkout, relatives: Iterable[str]) -> None:
    """Keep files of devbox's that lie in the checkout out of `git status`, by their paths relative to it."""
    _exclude(checkout, add=relatives)


def _exclude(checkout: Checkout, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> None:
    """Change devbox's block in git's own exclude file.

    Patterns there are relative to the repository's top, so this is only done where that is the workspace.
    """
    if checkout.git_top != checkout.path:
        return
    done = git(checkout.path, "rev-parse", "--git-path", "info/exclude")
    if done is None or not done.ok or not done.stdout.strip():
        return
    path = checkout.path / done.stdout.rstrip("\n")
    if not _is_of_repository(checkout, path):
        return
    before = _text(path) or ""
    after = excluded(before, add=add, drop=drop)
    if after != before:
        _write(path, after)


def _is_of_repository(checkout: Checkout, exclude: Path) -> bool:
    """Tell whether the exclude file lies, without a link, in the repository that knows this checkout as its own.

    A container can make `.git/info` a link, and `.git` a file that names any repository of the person's.
    """
    own = checkout.path / ".git"
    repository = checkout.git_common_dir or (own if own.is_dir() and not own.is_symlink() else None)
    if repository is None:
        return False
    real = os.path.realpath(repository)
    return os.path.realpath(exclude) == f"{real}/info/{exclude.name}"


def excluded(text: str, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> str:
    """Return the exclude file `text` with devbox's block changed: exact, anchored paths; all else stays."""
    lines = text.splitlines(keepends=True)
    stripped = [line.rstrip("\r\n") for line in lines]
    start = stripped.index(_BEGIN) if _BEGIN in stripped else None
    end = stripped.index(_END, start) if start is not None and _END in stripped[start:] else None
    if start is None or end is None:
        # A begin without its end, or neither: nothing here is known to be ours.
        before, mine, after = lines, set[str](), list[str]()
    else:
        before, mine, after = lines[:start], set(stripped[start + 1 : end]), lines[end + 1 :]
    mine = (mine | {f"/{_escaped(path)}" for path in add}) - {f"/{_escaped(path)}" for path in drop}
    if before and not before[-1].endswith("\n"):
        before = [*before[:-1], before[-1] + "\n"]
    block = [f"{line}\n" for line in (_BEGIN, *sorted(mine), _END)] if mine else []
    return "".join([*before, *block, *after])


def _escaped(path: str) -> str:
    """Escape what a gitignore pattern would take for more than a character."""
    return "".join(f"\\{character}" if character in "\\*?[] " else character for character in path)
