"""`devbox trust`: what the contract in force reaches, and what of that the person has agreed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container import which
from devbox.container.contract.reach import reach_of
from devbox.container.project import resolve
from devbox.devcontainer.merge import image_metadata
from devbox.devcontainer.read import read
from devbox.errors import DevboxError
from devbox.trust import grants
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter
    from devbox.trust.reach import Reach


@dataclass(frozen=True, slots=True)
class Reached:
    """One thing that a contract reaches; `agreed` says how it was agreed to, None where it is still to be asked."""

    kind: str
    value: str
    said: str
    agreed: str | None


@dataclass(frozen=True, slots=True)
class TrustView:
    """What the contract of a workspace reaches, as far as it is known without making anything."""

    workspace: Path
    contract: Path
    reach: tuple[Reached, ...]


def show(engine: Engine, workspace: Path, reporter: Reporter) -> TrustView:
    """Return what the contract in force reaches. An image that is not there yet has told nothing yet.

    Raises DevboxError where there is no contract, ContractError where it cannot be read.
    """
    path = which.contract(workspace, engine, reporter)
    if path is None:
        raise DevboxError(f"{workspace} has no dev container configuration yet", hint="devbox up")
    contract = read(path, workspace, engine.environ)
    project = None
    if contract.kind == "compose":
        project = resolve(engine, contract)
    name = contract.image if project is None else project.image
    image = engine.image(name) if name else None
    entries = image_metadata((image.get("Config") or {}).get("Labels")) if image is not None else []
    there = {grant.key: f"{grant.how}, {grant.when}" for grant in grants.recall(workspace).grants}

    def seen(one: Reach) -> Reached:
        return Reached(one.kind, one.value, one.said, there.get(one.key))

    return TrustView(workspace, path, tuple(map(seen, reach_of(contract, engine.environ, entries, project))))
