"""`devbox prebuild`: the image of a checkout's contract, complete, so that others start from it instead of building."""

from __future__ import annotations

import os
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

from devbox import config
from devbox.container import which
from devbox.container.contract.inforce import names_taken
from devbox.container.contract.reach import reach_of_build
from devbox.container.project import one_shot_files, one_shot_project, resolve
from devbox.container.up.apply import Journal
from devbox.container.up.complete import Wishes, complete
from devbox.devcontainer.compose.model import as_image_contract
from devbox.devcontainer.model import Variation
from devbox.devcontainer.read import read
from devbox.errors import ContractError
from devbox.trust.ask import NOBODY, Answers, agree
from devbox.trust.names import of_build
from devbox.trust.settings import of_settings
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.container.request import StepDone
    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter


@dataclass(frozen=True, slots=True)
class PrebuildRequest:
    """What `devbox prebuild` was asked for. `path` is the workspace, `config` the devcontainer.json to build by.

    `variation` is what the call says beside that.
    """

    path: Path
    wishes: Wishes
    config: Path | None = None
    answers: Answers = NOBODY
    variation: Variation = field(default_factory=Variation)


@dataclass(frozen=True, slots=True)
class PrebuildResult:
    """What `devbox prebuild` did, or in a dry run would do: then `steps_to_do` has the commands.

    `images` are the image's names, `metadata` is its label `devcontainer.metadata`. `id` and `size`, in bytes, are None
    where it is not on the engine. `seconds` is docker's part; of the `steps` of the build `cached` did not run.
    """

    contract: Path
    images: tuple[str, ...]
    metadata: tuple[JSON, ...] = field(hash=False)
    id: str | None = None
    size: int | None = None
    seconds: float = 0.0
    steps: int = 0
    cached: int = 0
    notes: tuple[str, ...] = ()
    steps_to_do: tuple[StepDone, ...] = ()


def prebuild(request: PrebuildRequest, engine: Engine, reporter: Reporter) -> PrebuildResult:
    """Build the complete image of the contract in force, or of the one that is asked for.

    Raises ContractError where there is none, RefusedError where nobody agreed to what the build reaches on the host,
    and what `complete` raises.
    """
    name = f"prebuild-{os.getpid()}"
    with one_shot_files(name):
        return _prebuild(request, engine, reporter, name)


def _prebuild(request: PrebuildRequest, engine: Engine, reporter: Reporter, name: str) -> PrebuildResult:
    path = which.contract(request.path, engine, reporter, config=request.config)
    if path is None:
        raise ContractError(f"{request.path} has no devcontainer.json", hint="devbox generate --shared   # writes one")
    contract = read(path, request.path, engine.environ, variation=request.variation)
    for warning in contract.warnings:
        reporter.warn(warning)
    if contract.record.personal is not None:
        reporter.warn(
            f"{path} is yours alone: the image's user has your ids. `devbox generate --shared` writes one for everybody"
        )
    project = one_shot_project(contract, resolve(engine, contract), name) if contract.kind == "compose" else None
    journal = Journal(engine, reporter, dry_run=request.answers.dry_run)
    settings = config.load(request.path, environ=engine.environ, flags={})
    reach = (
        *of_settings(settings, request.path, engine.environ),
        *journal.hold(partial(reach_of_build, contract, engine.environ, project)),
    )
    if project is not None and as_image_contract(contract, project, engine.environ) is None:
        reach += names_taken(contract, engine, of_build(project))
    notes = agree(request.path, path, reach, request.answers, reporter)
    image = complete(journal, contract, request.wishes, project=project)
    return PrebuildResult(
        contract=path,
        images=image.names,
        metadata=image.metadata,
        id=image.id,
        size=image.size,
        seconds=image.seconds,
        steps=image.steps,
        cached=image.cached,
        notes=(*notes, *journal.notes),
        steps_to_do=tuple(journal.steps),
    )
