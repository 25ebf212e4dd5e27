"""`devbox prune`: one plan over all that devbox holds and nobody needs, by the rules of each kind.

What a rule is lies with its kind: build trees in `builds.volumes`, images in `image.life`, copies of checkouts in
`image.building.copies`, what killed commands left in `oneshot.left`. Here they are put together.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devbox.builds import volumes as trees
from devbox.container import stop
from devbox.container.desired import slug
from devbox.container.status import status
from devbox.devcontainer.identity import workspace_hash
from devbox.errors import DevboxError, last_lines
from devbox.image import life
from devbox.image.building import copies
from devbox.image.building.source import copies_dir
from devbox.oneshot.left import left_over
from devbox.paths import cache_dir, state_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from devbox.builds.volumes import Doomed
    from devbox.container.stop import Down
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.image.building.copies import CheckoutCopy
    from devbox.image.life import OwnImage
    from devbox.reporter import Reporter

Kind = Literal["container", "build tree", "build volume", "image", "copied checkout", "files"]


@dataclass(frozen=True, slots=True)
class Going:
    """One thing that goes: what people call it, its bytes (None: not known), why, and what removes it by hand."""

    kind: Kind
    name: str
    size: int | None
    reason: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Files:
    """What lies below a folder of devbox's own in the home and nobody has read or written for long, and its bytes.

    `paths` are files, or whole folders.
    """

    folder: Path
    paths: tuple[Path, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, by kind, in the order in which it is removed: a container holds its image and its volumes."""

    left: tuple[ContainerSummary, ...] = ()
    downs: tuple[Down, ...] = ()
    trees: tuple[Doomed, ...] = ()
    images: tuple[tuple[OwnImage, str], ...] = ()
    copies: tuple[tuple[CheckoutCopy, str], ...] = ()
    files: tuple[Files, ...] = ()
    days: int = 0

    def goings(self, engine: Engine) -> tuple[Going, ...]:
        """Return all of it for people, each thing with the reason."""
        unused = f"not used for {self.days} days"
        return (
            *(_of_left(one, engine) for one in self.left),
            *(
                Going("container", name, None, f"its workspace {one.workspace} is gone", tuple(one.lines(engine)))
                for one in self.downs
                for name in (*one.containers, *one.services)
            ),
            *map(of_tree, self.trees),
            *(of_image(one, why, engine) for one, why in self.images),
            *(of_copy(one, why) for one, why in self.copies),
            *(Going("files", f"{len(one.paths)} files in {one.folder}", one.size, unused) for one in self.files),
        )


def _of_left(one: ContainerSummary, engine: Engine) -> Going:
    line = engine.line(["rm", "--volumes", one.called])
    return Going("container", one.called, None, "a command that was killed left it", (line,))


def of_tree(one: Doomed) -> Going:
    """Return a build tree or volume for people."""
    if one.key:
        return Going("build tree", f"{one.key} of {one.title}", one.size, one.reason)
    name = f"the volume {one.volume} of {one.title}, with all its trees"
    return Going("build volume", name, one.size, one.reason, (f"docker volume rm {one.volume}",))


def of_image(one: OwnImage, reason: str, engine: Engine) -> Going:
    """Return an image for people."""
    return Going("image", one.shown, one.size, reason, (engine.line(["image", "rm", *(one.names or (one.id,))]),))


def of_copy(one: CheckoutCopy, reason: str) -> Going:
    """Return the copy of a checkout for people."""
    line = shlex.join(["rm", "-r", "--", *map(str, one.paths)])
    return Going("copied checkout", f"the copy of {one.shown}", one.size, reason, (line,))


def plan(engine: Engine, workspace: Path | None, *, now: float, older_than: float, unused: bool) -> Plan:
    """Return what goes of one workspace, or of all where it is None.

    Of trees, copies, logs and downloads that is what was not used for `older_than` seconds, of images those that a
    newer one has replaced, with `unused` all that no container is made from. With all workspaces also what is left of
    those that are gone. Never what is in use. Raises EngineError, BuildError.
    """
    only = None if workspace is None else str(workspace)
    downs = _gone(engine) if only is None else ()
    going = {name for one in downs for name in (*one.containers, *one.services)}
    known, kept = life.images(engine), copies.copies()
    if workspace is not None:
        known = tuple(one for one in known if life.is_of(one, slug(workspace.name)))
        kept = tuple(one for one in kept if one.checkout == workspace)
    free = tuple(replace(one, used_by=tuple(name for name in one.used_by if name not in going)) for one in known)
    volumes = trees.of_workspace(engine, only)
    held = tuple(replace(one, used_by=tuple(name for name in one.used_by if name not in going)) for one in volumes)
    logs = state_dir() / "logs"
    files = [unused_files(logs if only is None else logs / "build" / workspace_hash(only), now - older_than)]
    if only is None:
        files += [unused_files(folder, now - older_than, whole=True) for folder in _caches()]
    return Plan(
        left=left_over(engine, only),
        downs=downs,
        trees=trees.prunable(held, now=now, older_than=older_than),
        images=life.prunable(free, now=now, older_than=None, everything=unused, bases=False),
        copies=copies.prunable(kept, now=now, older_than=older_than),
        files=tuple(one for one in files if one.paths),
        days=round(older_than / 86400),
    )


def _gone(engine: Engine) -> tuple[Down, ...]:
    """Return what `devbox down` would remove of workspaces that are gone and whose containers do not run."""
    found = status(engine, sizes=False).containers
    running = {one.workspace for one in found if one.state in {"running", "paused", "restarting"}}
    gone = dict.fromkeys(one.workspace for one in found if one.ours and not one.workspace_exists)
    downs = []
    for folder in gone:
        if folder not in running:
            with contextlib.suppress(DevboxError):
                downs.append(stop.plan_down(engine, Path(folder)))
    return tuple(downs)


def _caches() -> Iterator[Path]:
    """Yield the folders of what was downloaded or made from it, each with one thing by each name."""
    with contextlib.suppress(OSError):
        for one in sorted(cache_dir().iterdir()):
            if one.is_dir() and one != copies_dir():
                yield from (
                    sorted(inner for inner in one.iterdir() if inner.is_dir()) if one.name == "features" else [one]
                )


def unused_files(folder: Path, before: float, *, whole: bool = False) -> Files:
    """Return the files below a folder that were neither read nor written since `before` (seconds since the epoch).

    With `whole`, of each name in the folder all or nothing: what is half there would be taken for all of it.
    """
    found: dict[Path, int] = {}
    used = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            one = folder / path.relative_to(folder).parts[0] if whole else path
            with contextlib.suppress(OSError):
                seen = path.lstat()
                found[one] = found.get(one, 0) + seen.st_size
                if max(seen.st_atime, seen.st_mtime) >= before:
                    used.add(one)
    going = {path: size for path, size in found.items() if path not in used}
    return Files(folder, tuple(going), sum(going.values()))


def remove(todo: Plan, engine: Engine, reporter: Reporter) -> tuple[tuple[Going, ...], tuple[Going, ...]]:
    """Remove what the person has seen and agreed to; return what is gone, and what was kept with the reason.

    What is used by now is kept. Raises EngineError, BuildError; the same command then finishes what was begun.
    """
    kept: list[Going] = []
    for one in todo.left:
        # Without --force: one that was started since is somebody's.
        done = engine.run(["rm", "--volumes", one.id], check=False)
        if not done.ok and engine.container(one.id) is not None:
            kept.append(replace(_of_left(one, engine), reason=last_lines(done.stderr, 1)))
    for down in todo.downs:
        stop.down(engine, down, reporter)
    removal = trees.remove(todo.trees, engine, reporter)
    kept += map(of_tree, removal.kept)
    gone = life.remove(engine, [one for one, _ in todo.images])
    kept += [of_image(one, "something else is made from it", engine) for one, _ in todo.images if one not in gone]
    for copy, _ in todo.copies:
        why = copies.kept_by(copy)
        kept += [of_copy(copy, why)] if why else []
    for files in todo.files:
        _remove_files(files.folder, files.paths)
    names = {one.name for one in kept}
    return tuple(one for one in todo.goings(engine) if one.name not in names), tuple(kept)


def _remove_files(top: Path, paths: Sequence[Path]) -> None:
    """Remove files, and the folders below `top` that are empty then. What somebody else has removed is gone, too."""
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir():
                # So that nobody ever finds half of it.
                going = path.rename(path.with_name(f".{path.name}.going"))
                shutil.rmtree(going, ignore_errors=True)
            else:
                path.unlink()
    for folder in _above(top, paths):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def _above(top: Path, paths: Iterable[Path]) -> list[Path]:
    found = {folder for path in paths for folder in path.parents if folder != top and folder.is_relative_to(top)}
    return sorted(found, key=lambda folder: -len(folder.parts))
