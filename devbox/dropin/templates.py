"""`devcontainer templates apply`."""

from __future__ import annotations

import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from devbox.devcontainer import jsonc
from devbox.devcontainer.features import ids
from devbox.devcontainer.features.ids import Artifact
from devbox.devcontainer.identity import absolute
from devbox.dropin.features import registry_of
from devbox.errors import ContractError, RefusedError, UsageError
from devbox.files import write_atomically
from devbox.image.features.archive import unpack

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]

_METADATA = "devcontainer-template.json"
_OF_TEMPLATE = {_METADATA, "README.md", "NOTES.md"}
_OPTION = re.compile(r"\$\{templateOption:\s*(\w+?)\s*\}")


def run(arguments: Arguments, reporter: Reporter) -> JSON:
    """Write the files of a Template into a workspace, its options filled in, and return their names."""
    options = _json(arguments, "template-args", dict)
    features = _json(arguments, "features", list)
    omitted = [str(path) for path in _json(arguments, "omit-paths", list)]
    if not all(isinstance(value, str) for value in options.values()):
        raise UsageError("Invalid template arguments provided.", hint='{"NAME": "value"}')
    if not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in features):
        raise UsageError("Invalid template arguments provided.", hint='--features [{"id": "…", "options": {}}]')
    identifier = arguments.text("template-id") or ""
    reference = ids.parse(identifier, Path("templates apply"), Path.cwd())
    if not isinstance(reference, Artifact):
        raise UsageError(f"Failed to fetch template '{identifier}'.")
    workspace = Path(absolute(arguments.text("workspace-folder") or "."))
    with TemporaryDirectory(prefix="devbox-", dir=arguments.text("tmp-dir")) as scratch:
        folder = _fetched(reference, Path(scratch))
        return {"files": _written(folder, workspace, options, features, omitted=omitted, reporter=reporter)}


def _json(arguments: Arguments, name: str, kind: type) -> Any:
    """Return the JSON value of an option. Raises UsageError."""
    try:
        value = json.loads(arguments.text(name) or "")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--{name} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise UsageError(f"--{name} must be a JSON {'array' if kind is list else 'object'}")
    return value


def _fetched(template: Artifact, scratch: Path) -> Path:
    """Return a folder with a Template's files."""
    registry = registry_of(template)
    manifest = registry.manifest(template.name, template.reference).data
    archive, folder = scratch / "template.tgz", scratch / "template"
    try:
        digest = manifest["layers"][0]["digest"]
    except (LookupError, TypeError):
        raise ContractError(f"{template.resource} is no Template") from None
    with archive.open("wb") as out:
        registry.blob(template.name, digest, out)
    unpack(archive, folder, "its archive")
    return folder


def _written(
    folder: Path,
    workspace: Path,
    options: dict[str, str],
    features: list[JSON],
    *,
    omitted: list[str],
    reporter: Reporter,
) -> list[str]:
    """Copy a Template's files into a workspace and return their names."""
    defaults = _defaults(folder / _METADATA)
    values = {name: str(value).lower() if value is True else str(value) for name, value in defaults.items()} | options
    names = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if name in _OF_TEMPLATE or any(fnmatchcase(name, pattern) for pattern in omitted):
            continue
        target = workspace / name
        if not Path(os.path.realpath(target)).is_relative_to(os.path.realpath(workspace)):
            raise RefusedError(f"{target} leads out of {workspace}")
        content = path.read_bytes()
        try:
            text = _OPTION.sub(lambda match: values.get(match[1], ""), content.decode())
        except UnicodeDecodeError:
            reporter.info(f"{name} is no text, and stays as it is")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        else:
            if name.endswith("devcontainer.json") and features:
                text = _with_features(text, target, features)
            write_atomically(target, text)
        target.chmod(path.stat().st_mode & 0o777)
        names.append(f"./{name}")
    return names


def _defaults(path: Path) -> JSON:
    """Return the values of a Template's options where nobody gives any. Raises ContractError."""
    if not path.exists():
        return {}
    declared = jsonc.loads(path.read_text(encoding="utf-8", errors="replace"), Path(_METADATA)).get("options", {})
    if not isinstance(declared, dict) or not all(isinstance(one, dict) for one in declared.values()):
        raise ContractError(f"{_METADATA}: 'options' must be an object of objects")
    return {name: one["default"] for name, one in declared.items() if one.get("default")}


def _with_features(text: str, path: Path, features: list[JSON]) -> str:
    """Return a devcontainer.json with further Features."""
    own = jsonc.loads(text, path)
    there = own.get("features", {})
    if not isinstance(there, dict):
        raise ContractError(f"{path}: 'features' must be an object")
    more = {one["id"]: one.get("options") or {} for one in features}
    merged = {**own, "features": {**there, **more}}
    return json.dumps(merged, indent="\t", ensure_ascii=False) + "\n"
