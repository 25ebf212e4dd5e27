"""What devbox reads: the contract in force with its variables filled in, and merged with what its image adds."""

from __future__ import annotations

import json
from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from devbox.config import load
from devbox.container import which
from devbox.container.contract.inforce import with_overlays
from devbox.container.desired import Image
from devbox.container.hooks import secrets
from devbox.container.inside.probe import reading, variables
from devbox.container.project import resolve
from devbox.container.up.apply import Journal
from devbox.container.up.compose import base_config, image_contract
from devbox.container.up.images import have_image, plan_image
from devbox.container.up.runtime import container_of
from devbox.devcontainer.jsonc import locate
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.read import read
from devbox.devcontainer.substitute import ContainerVariables, IdVariables, substitute
from devbox.errors import ContractError, EngineError
from devbox.reporter import Silent
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Description:
    """A contract as devbox reads it. `merged` and `source`, what it was merged with, are None if nobody asked.

    `configuration` has what is laid over the contract under `customizations.devbox.overlay`, as the container records
    it. `origins` says where each property comes from, those of the overlay by `overlay.NAME`.
    """

    contract: Path
    kind: str
    workspace: Path
    workspace_folder: str
    workspace_mount: str | None
    devcontainer_id: str
    labels: JSON = field(hash=False)
    configuration: JSON = field(hash=False)
    source: str | None = None
    merged: JSON | None = field(default=None, hash=False)
    origins: JSON = field(default_factory=dict, hash=False)


def describe(
    engine: Engine, workspace: Path, reporter: Reporter, *, config: Path | None = None, merged: bool = False
) -> Description:
    """Return the contract in force of `workspace`, or the one at `config`. Values of secrets are masked from now on.

    With `merged` the engine is asked for the container, or else for the image as far as it is there: nothing is built
    and nothing is pulled. Raises ContractError where there is no contract or it cannot be read.
    """
    path = which.contract(workspace, engine, reporter, config=config)
    if path is None:
        raise ContractError(f"{workspace} has no devcontainer.json", hint="devbox up --framework NAME   # writes one")
    settings = load(workspace, environ=engine.environ, flags={})
    contract = with_overlays(read(path, workspace, engine.environ), settings, engine)
    secrets.hide((contract.raw,), engine.environ, reporter)
    for warning in contract.warnings:
        reporter.warn(warning)
    source, found = _merged(engine, contract) if merged else (None, None)
    known = _of_container(engine, contract)
    return Description(
        contract=contract.path,
        kind=contract.kind,
        workspace=contract.workspace,
        workspace_folder=contract.workspace_folder,
        workspace_mount=contract.workspace_mount,
        devcontainer_id=contract.devcontainer_id,
        labels=dict(contract.labels),
        configuration=substitute(_with_overlay(contract), known),
        source=source,
        merged=None if found is None else substitute(_plain(found), known),
        origins=_origins(contract),
    )


def _with_overlay(contract: Contract) -> JSON:
    """Return the contract's configuration, and what is laid over it at the place where devbox's own is."""
    laid: JSON = {}
    for one in contract.overlays:
        laid |= {**one.entry, **one.beside()}
    if not laid:
        return contract.config
    customizations = contract.config.get("customizations") or {}
    own = {**(customizations.get("devbox") or {}), "overlay": laid}
    return {**contract.config, "customizations": {**customizations, "devbox": own}}


def _origins(contract: Contract) -> dict[str, str]:
    """Return where each property of the contract stands, and where each that is laid over it comes from."""
    text = contract.path.read_text(encoding="utf-8")
    places = {key: ":".join(map(str, (contract.path, *locate(text, (key,))))) for key in contract.config}
    for one in contract.overlays:
        places |= {f"overlay.{key}": one.origins[key] for key in (*one.entry, *one.beside())}
    return places


def _of_container(engine: Engine, contract: Contract) -> IdVariables | ContainerVariables:
    """Return the variables that are known of the container, if it is there and the contract names any."""
    nothing = IdVariables(contract.devcontainer_id)
    if "${containerEnv:" not in json.dumps(contract.config):
        return nothing
    try:
        container = container_of(engine, contract)
    except EngineError:
        return nothing
    return nothing if container is None else ContainerVariables(variables(container["Config"].get("Env") or ()))


def _merged(engine: Engine, contract: Contract) -> tuple[str, Merged]:
    """Return the contract as it is merged, and with what."""
    container = container_of(engine, contract)
    read = None if container is None else reading(engine, container)
    if container is not None and read is not None and read.merged is not None:
        return f"the container {str(container['Name']).removeprefix('/')}", read.merged
    source, config = image_config(engine, contract)
    return source, merge(contract, image_metadata(config.get("Labels")), config, engine.environ)


def image_config(engine: Engine, contract: Contract) -> tuple[str, JSON]:
    """Return `.Config` of the contract's image with its Features, as far as it is known, and what it is of."""
    made, project = contract, None
    if contract.kind == "compose":
        project = resolve(engine, contract)
        made = image_contract(contract, project, engine.environ)
    todo = plan_image(engine.image, made)
    user = None if project is None else base_config(project, Image("", "", "")).get("User")
    image = have_image(Journal(engine, Silent(), dry_run=True), made, todo, user=user)
    config = image.config if project is None else base_config(project, image)
    if todo.image is not None:
        return f"the image {image.reference}", config
    if todo.build is None:
        return "nothing: its image is not there yet", config
    return f"{todo.build.build.dockerfile}, which is not built yet", config


def _plain(merged: Merged) -> JSON:
    """Return a merged contract as JSON: pairs become objects, the label's entries are left to the label."""
    data = asdict(merged)
    for name in ("container_env", "remote_env"):
        data[name] = dict(data[name])
    data["hooks"] = {name: [dict(entry) for entry in entries] for name, entries in merged.hooks}
    del data["metadata"]
    return data
