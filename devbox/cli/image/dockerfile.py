"""Which Dockerfile a command is about: a file, devbox's own of a framework, or a checkout's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, workspace
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.config.table import Flags
    from devbox.frameworks.model import Framework
    from devbox.image.dockerfile.stages import Stages

DockerfileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="DOCKERFILE", help="A Dockerfile.", show_default="devbox's own of the framework"),
]
ArgsOption = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="NAME=VALUE", help="A build argument, as a build is given it; may be repeated."),
]
UpstreamOption = Annotated[
    bool, typer.Option("--upstream", help="The checkout's own Dockerfile, instead of devbox's of the framework.")
]
_HINT = "devbox image graph DOCKERFILE   # or lint; without one it is devbox's own of the framework"


@dataclass(frozen=True, slots=True)
class Source:
    """A Dockerfile's text, and what its builds are given. `path` is None where devbox has assembled it."""

    name: str
    text: str
    path: Path | None = None
    checkout: Path | None = None
    framework: Framework | None = None
    args: Mapping[str, str] = field(default_factory=dict, hash=False)


def arguments(words: list[str] | None) -> dict[str, str]:
    """Return `--arg NAME=VALUE` by name; one without a value has an empty one. Raises UsageError."""
    from devbox.errors import UsageError

    found = {}
    for word in words or ():
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f"--arg '{word}' has no name", hint="--arg NAME=VALUE")
        found[name] = value
    return found


def choose(
    run: Application,
    dockerfile: Path | None,
    path: Path | None,
    flags: Flags,
    *,
    upstream: bool,
) -> Source:
    """Return the Dockerfile that a command line means. Raises UsageError where there is none."""
    from devbox.errors import UsageError
    from devbox.image.building import upstream as own

    if dockerfile is not None:
        if flags or upstream:
            raise UsageError("a Dockerfile and a framework were named", hint="leave one of them out")
        return Source(str(dockerfile), read(dockerfile), dockerfile, _checkout(dockerfile) if path is None else path)
    folder = workspace(path)
    chosen = run.framework(folder, flags)
    if upstream:
        found = own.dockerfile(own.rules(chosen), folder)
        return Source(found.relative_to(folder).as_posix(), read(found), found, folder)
    from devbox.image.assembly.stage_files import assemble

    title = f"{chosen.name} ({chosen.variant})"
    return Source(title, assemble(chosen, images=True), None, folder, chosen, dict(chosen.args))


def stages_of(source: Source, given: list[str] | None) -> Stages:
    """Return the stages of a Dockerfile as a build with `--arg` sees them. Raises UsageError, DockerfileError."""
    from devbox.errors import DockerfileError
    from devbox.image.dockerfile.stages import read_stages

    stages = read_stages(source.text, {**source.args, **arguments(given)}, name=source.name)
    if not stages.stages:
        raise DockerfileError(f"{source.name} has no FROM", hint=_HINT)
    return stages


def read(path: Path) -> str:
    """Return the text of a Dockerfile. Raises UsageError where it cannot be read."""
    from devbox.errors import UsageError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason}", hint=_HINT) from None


def _checkout(dockerfile: Path) -> Path:
    """Return the top of the repository that a Dockerfile lies in, or its folder."""
    from devbox.cli.application import named

    folder = named(dockerfile.parent)
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
