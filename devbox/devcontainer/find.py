"""Which devcontainer.json is in force for a workspace, and where devbox puts the one it writes."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer import record
from devbox.devcontainer.identity import absolute
from devbox.errors import ContractError, RefusedError
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.facts.model import Checkout

FOLDER = ".devcontainer"
NAME = "devcontainer.json"
FLAT = ".devcontainer.json"
DOCKERFILE = "Dockerfile"
COMPOSE = "compose.yaml"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the contract and its Dockerfile go, relative to the workspace, with forward slashes."""

    config: str
    dockerfile: str

    @property
    def compose(self) -> str:
        """The compose file, beside the Dockerfile."""
        return posixpath.join(posixpath.dirname(self.dockerfile), COMPOSE)


def contract_in(
    workspace: Path, *, config: Path | None = None, framework: str | None = None, last: Path | None = None
) -> tuple[Path, ...]:
    """Return the contract in force: several where nothing says which one, none where devbox has to write it.

    `config` is what `--config` says, `framework` what `--framework` says, and `last` the contract that this workspace
    used last. With a framework only a file that devbox wrote for it counts. Else a file that every tool finds first
    comes before those below it, but for its twin for other machines. Raises ContractError where `config` does not
    exist.
    """
    workspace = Path(absolute(workspace))
    if config is not None:
        return (_given(config),)
    remembered = (last,) if last is not None and last.is_file() else ()
    if framework is not None:
        candidates = (*remembered, *candidates_in(workspace))
        return tuple(path for path in candidates if record.at(path).personal == framework)[:1]
    if remembered:
        return remembered
    first, *others = candidates_in(workspace) or (None,)
    if first is None or not others or first.parent not in {workspace, workspace / FOLDER}:
        return (first, *others) if first is not None else ()
    said = record.at(first)
    return (first, *(path for path in others if record.at(path).is_twin_of(said)))


def git_top(folder: Path) -> Path | None:
    """Return the nearest folder with a `.git`. git is not asked: this needs no program and trusts no configuration."""
    for candidate in (folder, *folder.parents):
        entry = candidate / ".git"
        if entry.is_file() or (entry / "HEAD").is_file():
            return candidate
    return None


def candidates_in(workspace: Path) -> tuple[Path, ...]:
    """Return every devcontainer.json of `workspace` that some tool finds, the well-known ones first."""
    well_known = [workspace / FOLDER / NAME, workspace / FLAT]
    below = sorted((workspace / FOLDER).glob(f"*/{NAME}"))
    return tuple(path for path in (*well_known, *below) if path.is_file())


def place(checkout: Checkout, framework: str, *, flat: bool = False, shared: str | None = None) -> Placement:
    """Say where the contract that devbox writes for `framework` goes; `shared` is the name of a shared one.

    `.devcontainer/devcontainer.json` is what every tool finds; a folder below it is used where the repository, or the
    person, has a configuration there already. Raises RefusedError where `flat` would be hidden by another file, or take
    the place of another contract.
    """
    folder = _free_folder(checkout, framework, shared)
    if not flat:
        return Placement(f"{folder}/{NAME}", f"{folder}/{DOCKERFILE}")
    there = record.at(checkout.path / FLAT)
    if there.seal is not None and (there.framework, there.shared) != (framework, shared):
        raise RefusedError(
            f"--flat would write over {FLAT}, the contract for {there.shared or there.framework}",
            hint="leave out --flat",
        )
    hiding = checkout.path / FOLDER / NAME
    if hiding.exists():
        raise RefusedError(
            f"--flat would write {FLAT}, but {hiding} exists and is what every tool reads first",
            hint="leave out --flat",
        )
    return Placement(FLAT, f"{folder}/{DOCKERFILE}")


def advice(workspace: Path, path: Path) -> str | None:
    """Return what makes the other tools meet the contract at `path`, or None where they all find it by themselves."""
    relative = PurePosixPath(path.relative_to(workspace)) if path.is_relative_to(workspace) else None
    match relative.parts if relative else ():
        case (".devcontainer", "devcontainer.json"):
            return None
        case (".devcontainer.json",):
            return "VS Code and the reference CLI find it; CLion may not"
        case (".devcontainer", folder, "devcontainer.json"):
            return f"choose '{folder}' when VS Code or CLion asks; the reference CLI needs --config {relative}"
    return f"the other tools need to be told: --config {path}"


def _given(config: Path) -> Path:
    path = Path(absolute(config))
    if not path.is_file():
        raise ContractError(f"{path} does not exist", hint="devbox up --config PATH/TO/devcontainer.json")
    return path


def _free_folder(checkout: Checkout, framework: str, shared: str | None) -> str:
    """Return `.devcontainer`, or the first folder below it, that holds nobody's configuration but this one."""
    names = (framework, f"devbox-{framework}") if shared is None else (shared,)
    for folder in (FOLDER, *(f"{FOLDER}/{name}" for name in names)):
        if _is_free(checkout, folder, (framework, shared)):
            return folder
    raise RefusedError(
        f"every place for devbox's configuration below {checkout.path / FOLDER} holds another one",
        hint=f"devbox up --config {FOLDER}/{NAME}",
    )


def _is_free(checkout: Checkout, folder: str, wanted: tuple[str, str | None]) -> bool:
    existing, dockerfile = checkout.path / folder / NAME, checkout.path / folder / DOCKERFILE
    there = record.at(existing)
    ours = there.seal is not None and (there.framework, there.shared) == wanted
    prefixes = (f"{folder}/", FLAT) if folder == FOLDER else (f"{folder}/",)
    if any(path.startswith(prefixes) for path in checkout.tracked):
        # What is shared is committed; everything else that git tracks is the repository's.
        return ours and wanted[1] is not None
    if existing.exists():
        return ours
    return folder != FOLDER or not dockerfile.exists() or _flat_owns(checkout, dockerfile)


def _flat_owns(checkout: Checkout, dockerfile: Path) -> bool:
    """Whether the Dockerfile belongs to the flat contract that devbox wrote."""
    flat = checkout.path / FLAT
    try:
        value = json.loads(lean.text(flat))
        beside = value["dockerComposeFile"] if "dockerComposeFile" in value else value["build"]["dockerfile"]
        return record.at(flat).seal is not None and (checkout.path / beside).parent == dockerfile.parent
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
