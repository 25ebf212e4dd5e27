"""What devbox reads: the contract in force with its variables filled in, and merged with what its image adds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from devbox.container import which
from devbox.container.compose.resolve import resolve
from devbox.container.hooks import secrets
from devbox.container.inside.probe import reading
from devbox.container.up.images import plan_image, with_features
from devbox.container.up.runtime import container_of
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.read import read
from devbox.errors import ContractError
from devbox.reporter import Silent

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Description:
    """A contract as devbox reads it. `merged` and `source`, what it was merged with, are None if nobody asked."""

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
    contract = read(path, workspace, engine.environ)
    secrets.hide((contract.raw,), engine.environ, reporter)
    for warning in contract.warnings:
        reporter.warn(warning)
    source, found = _merged(engine, contract) if merged else (None, None)
    return Description(
        contract=contract.path,
        kind=contract.kind,
        workspace=contract.workspace,
        workspace_folder=contract.workspace_folder,
        workspace_mount=contract.workspace_mount,
        devcontainer_id=contract.devcontainer_id,
        labels=dict(contract.labels),
        configuration=contract.config,
        source=source,
        merged=None if found is None else _plain(found),
    )


def _merged(engine: Engine, contract: Contract) -> tuple[str, Merged]:
    """Return the contract as it is merged, and with what."""
    container = container_of(engine, contract)
    read = None if container is None else reading(engine, container)
    if container is not None and read is not None and read.merged is not None:
        return f"the container {str(container['Name']).removeprefix('/')}", read.merged
    image = _image(engine, contract)
    if image is None:
        return "nothing: its image is not there yet", merge(contract, (), {}, engine.environ)
    reference, inspected = image
    entries = image_metadata(inspected.get("Labels"))
    return f"the image {reference}", merge(contract, entries, inspected, engine.environ)


def _image(engine: Engine, contract: Contract) -> tuple[str, JSON] | None:
    """Return the name and `.Config` of the contract's image as far as it is there."""
    if contract.kind == "compose":
        reference = resolve(engine, contract).image
        found = engine.image(reference)
        return None if found is None else (reference, found.get("Config") or {})
    image = plan_image(engine, contract).image
    if image is None:
        return None
    image, _ = with_features(engine, contract, image, Silent(), environ={}, dry_run=True)
    return image.reference, image.config


def _plain(merged: Merged) -> JSON:
    """Return a merged contract as JSON: pairs become objects, the label's entries are left to the label."""
    data = asdict(merged)
    for name in ("container_env", "remote_env"):
        data[name] = dict(data[name])
    data["hooks"] = {name: [dict(entry) for entry in entries] for name, entries in merged.hooks}
    del data["metadata"]
    return data
