"""How times grow: with the containers and volumes of an engine, the files of a checkout, and what starts at once.

`python -m bench.scale` writes a page of curves and their pictures. Every time is divided by that of `devbox --version`,
taken in turn with it, and a curve shows it beside its own first point: what grows is the work, not the machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import chart, trees
from bench.cases import contract_files
from bench.measure import Subject, interleaved
from bench.workspace import FRAMEWORK, Tools, Workspace, scratch, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BUILT_FILES = 1000
# The sources of the tree that is copied.
SEEDED = 50
# The families of curves, with the sizes that each is measured at.
SIZES = (
    ("containers", (1, 50, 500), "other dev containers on the engine"),
    ("at-once", (1, 10, 50), "`up` at once"),
    ("files", (10_000, 100_000, 300_000), "files in the checkout"),
    ("seeding", (100, 1000, 5000), "MiB of a seeded tree"),
    ("context", (10, 100, 1000), "MiB of an image context"),
)
# A curve may leave its form by this factor: small times are made of much that does not grow, and a machine is noisy.
SLACK = 1.6


@dataclass(frozen=True, slots=True)
class Curve:
    """The times of one command by size, as multiples of the first, and how they may grow."""

    family: str
    command: str
    points: tuple[tuple[int, float], ...]
    form: Literal["flat", "linear"]

    @property
    def kept(self) -> bool:
        """Whether the last point lies where the form has it at most."""
        (first, _), *_, (last, grown) = self.points
        return grown <= SLACK * (1 if self.form == "flat" else last / first)


def relative(family: str, command: str, times: Mapping[int, float], form: Literal["flat", "linear"]) -> Curve:
    """Return the curve of `times` by size."""
    first = times[min(times)]
    return Curve(family, command, tuple((size, times[size] / first) for size in sorted(times)), form)


def cost(workspace: Workspace, argv: Sequence[str], rounds: int, prepare: Callable[[], None] | None = None) -> float:
    """Return how long a command of devbox's takes, in runs of `devbox --version`."""
    tool = workspace.tools.devbox
    subject = Subject("it", (tool, *argv)) if prepare is None else Subject("it", (tool, *argv), prepare)
    unit = Subject("unit", (tool, "--version"))
    samples = interleaved([subject, unit], rounds, cwd=workspace.path, environ=workspace.environ)
    return samples["it"].median / samples["unit"].median


def engine(workspace: Workspace, sizes: Sequence[int], rounds: int) -> Iterator[Curve]:
    """Measure beside so many other dev containers, none of which runs, with a build volume each."""
    commands = {
        ("exec", "--", "true"): "flat",
        ("up",): "flat",
        ("status",): "flat",
        ("builds", "list"): "flat",
        ("status", "--all"): "linear",
        ("builds", "list", "--all"): "linear",
    }
    image = workspace.call(workspace.tools.docker, "inspect", "--format", "{{.Config.Image}}", workspace.container())
    times: dict[tuple[str, ...], dict[int, float]] = {argv: {} for argv in commands}
    made: list[str] = []

    def create(number: int) -> str:
        name, folder = f"devbox-bench-{os.getpid()}-{number}", f"/nowhere/{number}"
        labels = [f"devcontainer.local_folder={folder}", f"devcontainer.config_file={folder}/.devcontainer.json"]
        words = [word for label in labels for word in ("--label", label)]
        volume = f"type=volume,source=devbox-{os.getuid()}-build-{number:012},target=/build"
        return workspace.call(
            workspace.tools.docker, "create", "--name", name, "--mount", volume, *words, image.strip(), "true"
        ).strip()

    try:
        for size in sizes:
            with ThreadPoolExecutor(4) as pool:
                made += pool.map(create, range(len(made), size))
            for argv in commands:
                times[argv][size] = cost(workspace, argv, rounds)
    finally:
        for first in range(0, len(made), 50):
            workspace.call(workspace.tools.docker, "rm", "--force", *made[first : first + 50])
        volumes = [f"devbox-{os.getuid()}-build-{number:012}" for number in range(len(made))]
        if volumes:
            workspace.call(workspace.tools.docker, "volume", "rm", *volumes)
    for argv, form in commands.items():
        yield relative("other dev containers on the engine", " ".join(argv), times[argv], form)  # type: ignore[arg-type]


def checkout(workspace: Workspace, sizes: Sequence[int], rounds: int) -> Iterator[Curve]:
    """Measure builds of the same sources beside so many other files in the checkout, which git knows."""
    git = partial(workspace.call, "git", "-c", "user.name=bench", "-c", "user.email=bench@localhost")
    sources = sorted(workspace.path.glob("part*/*.c"))
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    git("switch", "--quiet", "--create", "other")
    for source in sources:
        source.write_text(source.read_text() + "// other\n")
    git("commit", "--quiet", "--all", "--message", "other")
    git("switch", "--quiet", "-")

    def there_and_back() -> None:
        git("switch", "--quiet", "other")
        git("switch", "--quiet", "-")

    times: dict[str, dict[int, float]] = {"no-op": {}, "healing": {}, "status": {}}
    done = 0
    for size in sizes:
        for number in range(done, size):
            if number % 1000 == 0:
                (workspace.path / "data" / str(number // 1000)).mkdir(parents=True, exist_ok=True)
            (workspace.path / "data" / str(number // 1000) / f"{number}.txt").write_text("data\n")
        done = size
        git("add", "--all")
        git("commit", "--quiet", "--message", f"{size} files")
        git("switch", "--quiet", "other")
        git("merge", "--quiet", "--no-edit", "-")
        git("switch", "--quiet", "-")
        workspace.call(workspace.tools.devbox, "build")
        times["no-op"][size] = cost(workspace, ("build",), rounds)
        times["healing"][size] = cost(workspace, ("build",), max(3, rounds // 3), there_and_back)
        times["status"][size] = cost(workspace, ("status",), rounds)
    family = "files in the checkout"
    yield relative(family, "build, nothing to do", times["no-op"], "flat")
    yield relative(family, f"build, {BUILT_FILES:,} sources there and back", times["healing"], "flat")
    yield relative(family, "status", times["status"], "flat")


def at_once(
    folder: Path, tools: Tools, environ: Mapping[str, str], image: str, sizes: Sequence[int]
) -> Iterator[Curve]:
    """Measure so many `up` that begin at the same time, each for a workspace of its own."""
    files = contract_files("image", image)
    workspaces = [Workspace(folder / f"up{number}", tools, environ) for number in range(max(sizes))]
    for one in workspaces:
        for name, text in files.items():
            (one.path / ".devcontainer").mkdir(parents=True, exist_ok=True)
            (one.path / ".devcontainer" / name).write_text(text)
    times = {}
    try:
        for size in sizes:
            begun = time.perf_counter()
            with ThreadPoolExecutor(size) as pool:
                list(pool.map(lambda one: one.call(tools.devbox, "up", "--trust"), workspaces[:size]))
            times[size] = time.perf_counter() - begun
            for one in workspaces[:size]:
                one.remove_container()
    finally:
        for one in workspaces:
            one.remove_container()
    yield relative("up at once", "all of them", times, "linear")


def seeding(
    folder: Path, tools: Tools, environ: Mapping[str, str], sizes: Sequence[int], rounds: int
) -> Iterator[Curve]:
    """Measure the first build of a second worktree, whose tree starts as a copy of one of so many MiB."""
    times = {}
    for size in sizes:
        # Half of a tree are its objects, the other half the archives that have them.
        first = trees.generate(folder / f"seed{size}", SEEDED, data=(size << 20) // (2 * SEEDED))
        with started(first, tools, environ) as workspace:
            workspace.call(tools.devbox, "build")
            git = partial(workspace.call, "git", "-c", "user.name=bench", "-c", "user.email=bench@localhost")
            git("add", "--all")
            git("commit", "--quiet", "--message", "first")
            git("worktree", "add", "--quiet", str(folder / f"seeded{size}"))
            with started(folder / f"seeded{size}", tools, environ) as other:

                def renewed(other: Workspace = other) -> None:
                    other.call(tools.devbox, "down", "--volumes", "--yes")
                    other.call(tools.devbox, "up", *FRAMEWORK, "--yes")

                times[size] = cost(other, ("build",), max(3, rounds // 3), renewed)
    yield relative("MiB of a seeded tree", "build, first of a second worktree", times, "linear")


def context(
    folder: Path, tools: Tools, environ: Mapping[str, str], image: str, sizes: Sequence[int]
) -> Iterator[Curve]:
    """Measure `up` of a contract whose image is built from a checkout of so many MiB, without a container."""
    numbers = itertools.count(time.time_ns())
    forms = {"COPY wanted /": "flat", "COPY . /all/": "linear"}
    times: dict[str, dict[int, float]] = {copied: {} for copied in forms}
    for place, copied in enumerate(forms):
        workspace = Workspace(folder / f"context{place}", tools, environ)
        below = workspace.path / ".devcontainer"
        below.mkdir(parents=True)
        (below / "devcontainer.json").write_text('{"build": {"dockerfile": "Dockerfile", "context": ".."}}')
        (below / "Dockerfile").write_text(f"FROM {image}\n{copied}\n")
        images: set[str] = set()

        def changed(workspace: Workspace = workspace, images: set[str] = images, copied: str = copied) -> None:
            if workspace.containers():
                inspect = (tools.docker, "inspect", "--format", "{{.Image}}", workspace.container())
                images.add(workspace.call(*inspect).strip())
                workspace.remove_container()
            if copied.startswith("COPY wanted"):
                (workspace.path / "wanted").write_text(str(next(numbers)))

        done = 0
        try:
            for size in sizes:
                for number in range(done, size):
                    (workspace.path / f"{number}.bin").write_bytes(os.urandom(1 << 20))
                done = size
                times[copied][size] = cost(workspace, ("up", "--trust"), 3, changed)
        finally:
            changed()
            for one in images:
                workspace.call(tools.docker, "image", "rm", "--force", one)
    family = "MiB of an image context"
    yield relative(family, "up, one file of it copied, and changed", times["COPY wanted /"], "flat")
    yield relative(family, "up, all of it copied, and unchanged", times["COPY . /all/"], "linear")


def page(curves: Sequence[Curve], date: str, where: str, pictures: Mapping[str, str]) -> str:
    """Return the page of the curves; `pictures` are the names of their files by family."""
    lines = [
        "# How times grow",
        "",
        "<!-- Written by `python -m bench.scale --publish`, not by hand. -->",
        "",
        f"One run of `make scale`, {date}, {where}. Each value is a time beside that of the first size, both in runs",
        f"of `devbox --version`. What is to be flat may grow by {SLACK}, what is to be linear by that beside its size.",
    ]
    for family in dict.fromkeys(curve.family for curve in curves):
        of_it = [curve for curve in curves if curve.family == family]
        sizes = [size for size, _ in of_it[0].points]
        lines += ["", f"## By {family}", "", f"![By {family}]({pictures[family]})", ""]
        lines += [f"| command | {' | '.join(f'{size:,}' for size in sizes)} | is to be | kept |"]
        lines += [f"|---|{'--:|' * len(sizes)}---|---|"]
        for curve in of_it:
            values = " | ".join(f"{value:.2f}" for _, value in curve.points)
            lines.append(f"| {curve.command} | {values} | {curve.form} | {'yes' if curve.kept else '**no**'} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Measure all curves and write them. The exit code is 1 where one grows more than it is to."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="Measure how times grow.")
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds of each point (default: 9)")
    for name, sizes, what in SIZES:
        text = f"{what}; none leaves these curves out (default: {' '.join(map(str, sizes))})"
        parser.add_argument(f"--{name}", type=int, nargs="*", default=sizes, help=text)
    parser.add_argument("--publish", type=Path, metavar="FILE", help="write the page, and its pictures below images/")
    arguments = parser.parse_args(argv)
    tools = Tools.on_path()
    curves: list[Curve] = []
    with scratch(tools) as (folder, environ):
        small = trees.generate(folder / "small", BUILT_FILES)
        with started(small, tools, environ) as workspace:
            workspace.call(tools.devbox, "build")
            inspect = (tools.docker, "inspect", "--format", "{{.Config.Image}}", workspace.container())
            image = workspace.call(*inspect).strip()
            for sizes, measured in (
                (arguments.containers, engine(workspace, arguments.containers, arguments.rounds)),
                (arguments.at_once, at_once(folder, tools, environ, image, arguments.at_once)),
                (arguments.files, checkout(workspace, arguments.files, arguments.rounds)),
                (arguments.seeding, seeding(folder, tools, environ, arguments.seeding, arguments.rounds)),
                (arguments.context, context(folder, tools, environ, image, arguments.context)),
            ):
                for curve in measured if sizes else ():
                    curves.append(curve)
                    said = ", ".join(f"{size:,}: {value:.2f}" for size, value in curve.points)
                    print(f"{curve.family}: {curve.command}: {said}", file=sys.stderr, flush=True)
    families = list(dict.fromkeys(curve.family for curve in curves))
    pictures = {family: f"images/scale-{family.replace(' ', '-')}.svg" for family in families}
    where = f"{len(os.sched_getaffinity(0))} cores, docker {tools.engine_version()}"
    text = page(curves, f"{datetime.now(UTC):%Y-%m-%d}", where, pictures)
    print(text, end="")
    if arguments.publish is not None:
        (arguments.publish.parent / "images").mkdir(parents=True, exist_ok=True)
        arguments.publish.write_text(text, encoding="utf-8")
        for family, name in pictures.items():
            lines = {curve.command: curve.points for curve in curves if curve.family == family}
            (arguments.publish.parent / name).write_text(chart.svg(family, lines), encoding="utf-8")
    return int(not all(curve.kept for curve in curves))


if __name__ == "__main__":
    sys.exit(main())
