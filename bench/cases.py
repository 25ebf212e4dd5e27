"""The cases: what is timed beside what, and the budget that each is held against."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import engine, measure, trees
from bench.measure import Subject, interleaved
from bench.report import Budget, Counted, Noise, Result, Skipped, Verdict, Waited
from bench.workspace import Tools, Workspace, scratch, started, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.measure import Sample

NO_REFERENCE = "the reference CLI is not installed (make reference)"

VERSION = Budget("ratio", 0.15)
HELP = Budget("ratio", 6.0)
EXEC_DOCKER = Budget("ratio", 1.5)
EXEC_REFERENCE = Budget("ratio", 0.3)
UP_RUNNING = Budget("ratio", 0.2)
UP_NO_CONTAINER = Budget("ratio", 0.8)
UP_STOPPED = Budget("ratio", 0.9)
READ = Budget("ratio", 0.35)
EDIT = Budget("ratio", 1.10)
SMALL_TREE, LARGE_TREE, FURTHER = 1000, 5000, 1000
ADDED_SECONDS, ADDED_PER_FURTHER = 0.25, 0.025


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure.

    `rounds` is for what takes under a second; what takes longer runs half as often, at least 3 times. A case that is
    not decided then goes on until the clock says `until`, in seconds of `time.monotonic`. `noise` is by which part a
    command differs from itself. Without `builds` only what needs no build tree is measured.
    """

    rounds: int = 15
    until: float = 0.0
    noise: float = 0.0
    large_tree: int = LARGE_TREE
    heavy: int = 20
    builds: bool = True

    @property
    def few(self) -> int:
        """The rounds of the longer cases."""
        return max(3, self.rounds // 2)


def no_op(files: int) -> Budget:
    """Return what a no-op build may add on a tree of `files` files: a quarter of a second up to 5,000, more beyond."""
    return Budget("added", ADDED_SECONDS + ADDED_PER_FURTHER * max(0, files - LARGE_TREE) / FURTHER)


def compared(
    case: str,
    subjects: Sequence[Subject],
    budgets: dict[str, Budget],
    workspace: Workspace,
    options: Options,
    *,
    few: bool = False,
    warm_up: int = 1,
) -> Iterator[Verdict]:
    """Time the subjects, and hold the one called "devbox" against each other one that has a budget.

    They are timed until the budgets are decided, or the time is over; what takes longer begins with `few` rounds.
    """

    def verdicts(samples: dict[str, Sample]) -> list[Verdict]:
        return [
            Verdict(case, samples["devbox"], samples[name], budget, options.noise)
            for name, budget in budgets.items()
            if name in samples
        ]

    def enough(samples: dict[str, Sample]) -> bool:
        return time.monotonic() >= options.until or all(one.state != "undecided" for one in verdicts(samples))

    rounds = options.few if few else options.rounds
    samples = interleaved(
        subjects, rounds, cwd=workspace.path, environ=workspace.environ, warm_up=warm_up, enough=enough
    )
    yield from verdicts(samples)


def noise_of(workspace: Workspace, rounds: int) -> float:
    """Return by which part a command differs from itself here."""
    subject = Subject("devbox", (workspace.tools.devbox, "exec", "--", "true"))
    return measure.noise(subject, rounds, cwd=workspace.path, environ=workspace.environ)


def waited(case: str, pair: Sequence[Subject], workspace: Workspace, options: Options) -> Waited:
    """Measure the engine's part of devbox's command and of the other's, which is the second of the `pair`."""
    mine, theirs = (engine.part(one, workspace, options.few) for one in pair)
    return Waited(
        case,
        mine.waited / mine.whole,
        theirs.waited / theirs.whole,
        mine.waited / theirs.whole,
        (mine.requests, theirs.requests),
    )


def start_up(workspace: Workspace, options: Options) -> Iterator[Result]:
    """Time `--version`."""
    tools = workspace.tools
    if tools.reference is None:
        yield Skipped("devbox --version", NO_REFERENCE)
        return
    subjects = [
        Subject("devbox", (tools.devbox, "--version")),
        Subject("devcontainer --version", (tools.reference, "--version")),
    ]
    budgets = {"devcontainer --version": VERSION}
    yield from compared("devbox --version", subjects, budgets, workspace, options)
    told = [
        Subject("devbox", (tools.devbox, "--help")),
        Subject("devbox --version", (tools.devbox, "--version")),
    ]
    yield from compared("devbox --help", told, {"devbox --version": HELP}, workspace, options)


def execute(workspace: Workspace, options: Options) -> Iterator[Result]:
    """Time a command that does nothing, in a container that runs."""
    tools, case = workspace.tools, "devbox exec -- true"
    subjects = [
        Subject("devbox", (tools.devbox, "exec", "--", "true")),
        Subject("docker exec", (tools.docker, "exec", workspace.container(), "true")),
    ]
    if tools.reference is None:
        yield Skipped(f"{case} beside devcontainer exec", NO_REFERENCE)
    else:
        subjects.append(
            Subject("devcontainer exec", (tools.reference, "exec", "--workspace-folder", str(workspace.path), "true"))
        )
    budgets = {"docker exec": EXEC_DOCKER, "devcontainer exec": EXEC_REFERENCE}
    yield from compared(case, subjects, budgets, workspace, options)
    yield waited(f"{case} beside docker exec", subjects[:2], workspace, options)


def up(workspace: Workspace, options: Options) -> Iterator[Result]:
    """Time `up` with the container running, and with its image there and no container."""
    tools = workspace.tools
    if tools.reference is None:
        yield Skipped("devbox up", NO_REFERENCE)
        return
    mine = (tools.devbox, "up")
    other = (tools.reference, "up", "--workspace-folder", str(workspace.path))
    running = [Subject("devbox", mine), Subject("devcontainer up", other)]
    budgets = {"devcontainer up": UP_RUNNING}
    yield from compared("devbox up, container running", running, budgets, workspace, options)
    gone = [
        Subject("devbox", mine, workspace.remove_container),
        Subject("devcontainer up", other, workspace.remove_container),
    ]
    budgets = {"devcontainer up": UP_NO_CONTAINER}
    yield from compared("devbox up, image there, no container", gone, budgets, workspace, options, few=True)
    # The last container and its image are the reference CLI's: the next case starts from devbox's own.
    image = workspace.call(tools.docker, "inspect", "--format", "{{.Config.Image}}", workspace.container()).strip()
    workspace.remove_container()
    workspace.call(tools.docker, "image", "rm", image)
    workspace.call(*mine)


def contract_files(mode: str, image: str) -> dict[str, str]:
    """Return a hand-written contract that runs `image`: by its name (`image`), or as the service of a project."""
    if mode == "image":
        return {"devcontainer.json": json.dumps({"image": image})}
    service = {"image": image, "command": "sleep infinity", "volumes": ["..:/w"]}
    project = {"name": "devbox-bench", "services": {"dev": service}}
    contract = {"dockerComposeFile": "compose.yaml", "service": "dev", "workspaceFolder": "/w"}
    # JSON is YAML.
    return {"devcontainer.json": json.dumps(contract), "compose.yaml": json.dumps(project)}


def beside_reference(workspace: Workspace, options: Options, mode: str) -> Iterator[Result]:
    """Time and count what both tools do with a hand-written contract: `up` in three states, `exec`, and reading it."""
    tools = workspace.tools
    if tools.reference is None:
        yield Skipped(f"{mode} mode", NO_REFERENCE)
        return
    folder = ("--workspace-folder", str(workspace.path))
    up_, up_reference = (tools.devbox, "up", "--trust"), (tools.reference, "up", *folder)
    cases = (
        ("up, running", up_, up_reference, _nothing, UP_RUNNING, False),
        ("up, stopped", up_, up_reference, workspace.stop_container, UP_STOPPED, True),
        ("up, no container", up_, up_reference, workspace.remove_container, UP_NO_CONTAINER, True),
        (
            "exec true",
            (tools.devbox, "exec", "--", "true"),
            (tools.reference, "exec", *folder, "true"),
            _nothing,
            EXEC_REFERENCE,
            False,
        ),
        (
            "reading, merged",
            (tools.devbox, "config", "contract", "--merged"),
            (tools.reference, "read-configuration", "--include-merged-configuration", *folder),
            _nothing,
            READ,
            False,
        ),
    )
    for what, mine, theirs, prepare, budget, few in cases:
        name = f"{what}, {mode} mode"
        subjects = [Subject("devbox", mine, prepare), Subject("devcontainer", theirs, prepare)]
        yield from compared(name, subjects, {"devcontainer": budget}, workspace, options, few=few)
        counts = []
        for argv in (mine, theirs):
            prepare()
            counts.append(workspace.docker_processes(*argv))
        yield Counted(name, *counts)
        yield waited(name, subjects, workspace, options)


def _nothing() -> None:
    """Prepare nothing."""


def no_op_build(workspace: Workspace, options: Options, files: int) -> Iterator[Result]:
    """Time a build that has nothing to do beside ninja in the same tree."""
    workspace.call(workspace.tools.devbox, "build")
    folder, owner = workspace.build_tree()
    subjects = [
        Subject("devbox", (workspace.tools.devbox, "build")),
        Subject("ninja", workspace.in_container("ninja", "-C", folder, user=owner)),
    ]
    case = f"devbox build, nothing to do, {files:,} files"
    yield from compared(case, subjects, {"ninja": no_op(files)}, workspace, options, warm_up=2)
    yield waited(f"{case} beside ninja", subjects, workspace, options)


def edit_build(workspace: Workspace, options: Options) -> Iterator[Result]:
    """Time a build after an edit of one costly file beside ninja after the same kind of edit."""
    folder, owner = workspace.build_tree()
    # Not from 0: the compiler cache outlives the benchmark, and would know the edits of the run before.
    numbers = itertools.count(time.time_ns() // 1_000_000 % 1_000_000_000)

    def change() -> None:
        trees.edit(workspace.path / trees.EDITED, next(numbers))

    subjects = [
        Subject("devbox", (workspace.tools.devbox, "build"), change),
        Subject("ninja", workspace.in_container("ninja", "-C", folder, user=owner), change),
    ]
    case = "devbox build, one file edited"
    yield from compared(case, subjects, {"ninja": EDIT}, workspace, options, few=True)


def everything(tools: Tools, options: Options, say: Callable[[str], None]) -> Iterable[Result]:
    """Run all cases, each on a tree of its own kind, and yield the results as they come."""
    with scratch(tools) as (folder, environ):
        small = trees.generate(folder / "small", SMALL_TREE, heavy=options.heavy)
        say(f"starting a dev container on {SMALL_TREE:,} files")
        with started(small, tools, environ) as workspace:
            options = replace(options, noise=noise_of(workspace, options.rounds))
            yield Noise(options.noise)
            say(f"the same command differs from itself by {options.noise:.0%}")
            for case in (start_up, execute, up):
                say(case.__name__)
                yield from case(workspace, options)
            image = workspace.call(tools.docker, "inspect", "--format", "{{.Config.Image}}", workspace.container())
            for mode in ("image", "compose"):
                say(f"{mode} mode")
                with written(folder / mode, tools, environ, contract_files(mode, image.strip())) as other:
                    yield from beside_reference(other, options, mode)
            if not options.builds:
                return
            say("no_op_build")
            yield from no_op_build(workspace, options, SMALL_TREE)
            say("edit_build")
            yield from edit_build(workspace, options)
        large = trees.generate(folder / "large", options.large_tree)
        say(f"building {options.large_tree:,} files")
        with started(large, tools, environ) as workspace:
            yield from no_op_build(workspace, options, options.large_tree)
