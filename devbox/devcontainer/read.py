"""Read a devcontainer.json into a `Contract`: parse, check, find the folders, substitute what is known by then."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer import jsonc, record
from devbox.devcontainer.find import git_top
from devbox.devcontainer.identity import absolute, devcontainer_id, id_labels
from devbox.devcontainer.model import BuildRecipe, Contract, Variation
from devbox.devcontainer.properties import check, migrated
from devbox.devcontainer.spelling import wsl_distribution
from devbox.devcontainer.substitute import HostVariables, IdVariables, doubts, substitute
from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Kind
    from devbox.devcontainer.properties import Keys

FILE_NAMES = ("devcontainer.json", ".devcontainer.json")
_UNVARIED = Variation()


# By what the container is made from: properties that only another one has.
_ELSEWHERE: Mapping[Kind, tuple[str, ...]] = {
    "image": ("build", "context", "service", "runServices"),
    "build": ("service", "runServices"),
    "compose": ("runArgs", "appPort", "workspaceMount", "build", "context"),
}


def read(
    path: Path,
    workspace: Path,
    environ: Mapping[str, str],
    *,
    text: str | None = None,
    variation: Variation = _UNVARIED,
    partial: bool = False,
) -> Contract:
    """Read the devcontainer.json at `path` for the folder `workspace`, with the host's `environ` for `${localEnv:…}`.

    `text` is its content where it is not written yet, `variation` what the call says beside it. Raises ContractError
    where the file cannot be read, is no JSONC, has a property of another type, or names nothing to run; the latter is
    no mistake with `partial`, for a container that is there already.
    """
    path, workspace = Path(absolute(path)), Path(absolute(workspace))
    text = _text(path, variation.content) if text is None else text
    content = text

    def where(keys: Keys) -> str:
        line, column = jsonc.locate(content, keys)
        return f"{path}:{line}:{column}"

    raw, warnings = check(jsonc.loads(text, path), path, where)
    odd = tuple(f"{path}:{line}:{column}: {said}" for line, column, said in jsonc.doubts(text))
    kind, more = _kind(raw, path, partial=partial)
    moved = migrated(raw)
    folder, mount = _workspace(moved, workspace, kind, git_root=variation.git_root)
    host = HostVariables(environ, str(workspace), folder)
    labels = variation.labels or id_labels(workspace, path, distribution=wsl_distribution(environ, os.uname().release))
    identifier = devcontainer_id(labels)
    config = substitute(substitute(moved, host), IdVariables(identifier))
    if kind == "compose":
        # No tool looks at these, so nobody is asked to agree to them.
        config = {key: value for key, value in config.items() if key not in _ELSEWHERE[kind]}
    if variation.features:
        config = {**config, "features": {**config.get("features", {}), **variation.features}}
    place = config.get("workspaceFolder") or folder
    if not posixpath.isabs(place):
        raise ContractError(f"{path}: 'workspaceFolder' must be an absolute path, not '{place}'", hint=f"edit {path}")
    return Contract(
        path=path,
        workspace=workspace,
        kind=kind,
        raw=moved,
        config=config,
        image=config.get("image") if kind == "image" else None,
        build=_recipe(config, path, variation) if kind == "build" else None,
        labels=labels,
        devcontainer_id=identifier,
        workspace_folder=place,
        workspace_mount=config.get("workspaceMount", mount) or None,
        extra_mounts=(),
        generated=record.is_generated(text),
        record=record.of(moved),
        warnings=(*odd, *warnings, *more, *(f"{where(keys)}: {said}" for keys, said in doubts(raw, environ))),
        variation=variation,
    )


def _text(path: Path, content: Path | None) -> str:
    """Return the text of the contract at `path`; with `content`, of that file, which may have any name."""
    if content is not None:
        path = content
    elif path.name not in FILE_NAMES:
        raise ContractError(
            f"{path} must be named devcontainer.json or .devcontainer.json: no other tool would read it"
        )
    try:
        return lean.text(path)
    except FileNotFoundError:
        raise ContractError(f"{path} does not exist", hint="devbox up --framework NAME   # writes one") from None
    except UnicodeDecodeError as error:
        raise ContractError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror}") from None


def _kind(raw: JSON, path: Path, *, partial: bool) -> tuple[Kind, tuple[str, ...]]:
    """Say what the container is made from. Of several, the reference takes the first of build, image, compose."""
    build = raw.get("build")
    given: list[tuple[Kind, str]] = []
    if "dockerFile" in raw or (build is not None and "dockerfile" in build):
        given.append(("build", "build.dockerfile"))
    if "image" in raw:
        given.append(("image", "image"))
    if "dockerComposeFile" in raw:
        given.append(("compose", "dockerComposeFile"))
    if not given and partial:
        return "image", ()
    if not given:
        raise ContractError(
            f"{path} says neither 'image' nor 'build.dockerfile' nor 'dockerComposeFile': there is nothing to run",
            hint=f"add one of the three to {path}",
        )
    kind, name = given[0]
    if kind == "compose" and not raw.get("service"):
        raise ContractError(f"{path}: 'service' must name the service of 'dockerComposeFile' to work in")
    warnings = [f"{path}: '{name}' is used and '{other}' ignored" for _, other in given[1:2]]
    warnings += [f"{path}: '{key}' does nothing beside '{name}'" for key in _ELSEWHERE[kind] if raw.get(key)]
    return kind, tuple(warnings)


def _workspace(raw: JSON, workspace: Path, kind: Kind, *, git_root: bool) -> tuple[str, str | None]:
    """Return the folder inside and the mount that brings the checkout there, as the reference defaults them.

    With `git_root`, the whole git repository is mounted where the workspace is a part of it.
    """
    if kind == "compose":
        return raw.get("workspaceFolder") or "/", None
    top = (git_top(workspace) if git_root else None) or workspace
    inside = posixpath.join("/workspaces", top.name)
    folder = raw.get("workspaceFolder") or posixpath.join(inside, *workspace.relative_to(top).parts)
    return folder, f"type=bind,{_quoted('source', str(top))},{_quoted('target', inside)}"


def _quoted(key: str, value: str) -> str:
    """Write a field of a `--mount` as the reference does: in quotes where it holds a comma."""
    field = f"{key}={value}"
    return '"' + field.replace('"', '""') + '"' if "," in value or '"' in value else field


def _recipe(config: JSON, path: Path, variation: Variation) -> BuildRecipe:
    build: JSON = config.get("build", {})
    legacy = "dockerFile" in config
    dockerfile = _beside(path, config["dockerFile"] if legacy else build["dockerfile"])
    context = config.get("context") if legacy else build.get("context")
    cache_from = build.get("cacheFrom", [])
    return BuildRecipe(
        dockerfile=dockerfile,
        # Without a context it is the Dockerfile's own folder: so the reference, whatever its documentation says.
        context=_beside(path, context) if context else dockerfile.parent,
        target=build.get("target"),
        args=tuple(build.get("args", {}).items()),
        cache_from=(*variation.cache_from, *((cache_from,) if isinstance(cache_from, str) else cache_from)),
        options=tuple(build.get("options", [])),
    )


def _beside(path: Path, relative: str) -> Path:
    return Path(absolute(path.parent / relative))
