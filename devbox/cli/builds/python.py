"""What `devbox build` does for the Python package of a checkout: which steps, and what is said of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.builds.build import OnEvent
    from devbox.builds.python import Action
    from devbox.builds.report.summary import PythonReport
    from devbox.builds.request import BuildRequest
    from devbox.cli.application import Application
    from devbox.container.target import Target

InstallOption = Annotated[
    bool, typer.Option("--install", help="Then install the Python package for editing, on the build volume.")
]
PythonOption = Annotated[bool, typer.Option("--python", help="Only the Python package: build no C++.")]
WheelOption = Annotated[bool, typer.Option("--wheel", help="Then make a wheel, in the checkout's dist folder.")]
NoDepsOption = Annotated[bool, typer.Option("--no-deps", help="Install nothing that the Python package needs.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Take the prebuilt C++ part although the C++ sources are others.")
]


class BuildCommand(TyperCommand):
    """A command with `--precompiled` and `--precompiled=VALUE`: typer knows no value that may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments up to `--`; those behind it are the build program's, whatever they are."""
        end = args.index("--") if "--" in args else len(args)
        own = ["--precompiled=" if word == "--precompiled" else word for word in args[:end]]
        left = super().parse_args(ctx, own)
        words = list(ctx.params["args"] or ())
        if folder := next((word for word in words if os.path.isdir(word)), None):  # noqa: PTH112  # of any text
            raise UsageError(
                f"{folder} is a folder, and what stands without an option is the build program's",
                hint=f"devbox build --workspace {folder}   # or --target {folder}",
            )
        ctx.params["args"] = [*words, *args[end + 1 :]]
        return left


@dataclass(frozen=True, slots=True)
class PythonChoices:
    """What was asked for on the command line. `precompiled` is None without that option, "" where it has no value."""

    install: bool = False
    only: bool = False
    wheel: bool = False
    precompiled: str | None = None
    force: bool = False
    deps: bool = True

    @property
    def builds(self) -> bool:
        """Whether the C++ part is built."""
        return not self.only and self.precompiled is None

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is done for the Python package."""
        install = self.install or (not self.builds and not self.wheel)
        return (*(("install",) if install else ()), *(("wheel",) if self.wheel else ()))

    def check(self, *, watch: bool, cpp: bool) -> None:
        """Raise UsageError where options do not go together; `cpp` says whether some were given for the C++ part."""
        if watch and self.actions:
            raise UsageError("--watch builds the C++ part alone", hint="devbox build --install   # once, before it")
        if cpp and not self.builds:
            option = "--python" if self.precompiled is None else "--precompiled"
            raise UsageError(
                f"with {option} no C++ is built, so targets, -D and further arguments say nothing",
                hint="devbox build --install   # builds both" if self.precompiled is None else "--precompiled=VERSION",
            )
        if self.force and self.precompiled is None:
            raise UsageError("--force is for --precompiled alone", hint="devbox build --precompiled --force")
        if not self.deps and "install" not in self.actions:
            raise UsageError("--no-deps is for --install and --python", hint="devbox build --install --no-deps")


def steps(
    choices: PythonChoices, request: BuildRequest, inside: Target, run: Application, on_event: OnEvent | None
) -> Iterator[PythonReport]:
    """Do what was asked for, one report each; a failed one is the last."""
    from devbox.builds.precompiled import named
    from devbox.builds.python import python

    precompiled = None
    if choices.precompiled is not None:
        precompiled = named(choices.precompiled, inside, run.engine, run.console)
    for action in choices.actions:
        report = python(
            action,
            request,
            inside,
            run.engine,
            run.console,
            precompiled=precompiled,
            force=choices.force,
            deps=choices.deps,
            on_event=on_event,
        )
        yield report
        if not report.ok:
            return
