"""`devcontainer features`, `outdated` and `upgrade`, and the Features of a configuration as the reference has them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox import config
from devbox.container.up.feature_layer import resolve
from devbox.devcontainer.features import ids, lock, metadata
from devbox.devcontainer.features.ids import Archive, Artifact, Local
from devbox.dropin.meant import meant
from devbox.errors import ContractError, UsageError
from devbox.files import write_atomically
from devbox.masking import calm, calm_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.devcontainer.features.order import Feature
    from devbox.devcontainer.model import Contract
    from devbox.dropin.arguments import Arguments
    from devbox.dropin.meant import Meant
    from devbox.image.registry.client import Registry
    from devbox.reporter import Reporter

JSON = dict[str, Any]

_MODES = ("manifest", "tags", "dependencies", "verbose")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_PART = re.compile(r"\d+(\.\d+(\.\d+)?)?")


def run(arguments: Arguments, reporter: Reporter) -> int:
    """Do one of the commands and return its exit code."""
    assert arguments.command is not None  # noqa: S101  # it is one of these
    return {
        "features info": info,
        "features resolve-dependencies": dependencies,
        "outdated": outdated,
        "upgrade": upgrade,
    }[arguments.command.words](arguments, reporter)


def configured(about: Meant, contract: Contract, reporter: Reporter) -> JSON | None:
    """Return `featuresConfiguration`: the Features in the order of their installation; None where there are none."""
    if not contract.config.get("features"):
        return None
    sets = []
    for number, feature in enumerate(_resolved(about, contract, reporter)):
        own = {key: value for key, value in feature.metadata.raw.items() if key != "$schema"}
        more = {"value": feature.value, "included": True, "cachePath": str(feature.folder)}
        name = {"consecutiveId": f"{feature.metadata.id}_{number}"}
        sets.append(
            {"sourceInformation": _source(feature), "features": [{**own, **more, **name}], "internalVersion": "2"}
        )
    return {"featureSets": sets}


def _source(feature: Feature) -> JSON:
    reference, identifier = feature.reference, feature.identifier
    if isinstance(reference, Local):
        return {"type": "file-path", "resolvedFilePath": str(reference.folder), "userFeatureId": identifier}
    if isinstance(reference, Archive) and reference.released:
        return _release(reference.place, identifier)
    if not isinstance(reference, Artifact):
        return {"type": "direct-tarball", "tarballUri": reference.place, "userFeatureId": identifier}
    return {
        "type": "oci",
        "featureRef": {
            "registry": reference.registry,
            "namespace": reference.namespace.partition("/")[2],
            "id": reference.id,
            "path": reference.name,
            "resource": reference.resource,
            "tag": reference.tag,
            "digest": reference.digest,
            "version": reference.reference,
        },
        "manifestDigest": feature.digest,
        "userFeatureId": identifier,
        "userFeatureIdWithoutVersion": _without_version(identifier),
    }


def _release(url: str, identifier: str) -> JSON:
    """Return where a Feature of a release on GitHub is from, as the reference has it."""
    place = url.rpartition("/")[0]
    owner, repo = place.split("/")[3:5]
    bare, _, tag = identifier.partition("@")
    latest = tag in {"", "latest"}
    return {
        "type": "github-repo",
        "apiUri": f"https://api.github.com/repos/{owner}/{repo}/releases/{'latest' if latest else f'tags/{tag}'}",
        "unauthenticatedUri": place,
        "owner": owner,
        "repo": repo,
        **({} if latest else {"tag": tag}),
        "isLatest": latest,
        "userFeatureId": identifier,
        "userFeatureIdWithoutVersion": bare,
    }


def _resolved(about: Meant, contract: Contract, reporter: Reporter, *, pull: bool = False) -> tuple[Feature, ...]:
    settings = config.load(contract.workspace, environ=about.engine.environ, flags={})
    return resolve(about.engine, contract, settings, reporter.warn, pull=pull)[0]


def info(arguments: Arguments, reporter: Reporter) -> int:  # noqa: ARG001  # each command is handed both
    """Say what a registry has of a Feature: its manifest, its tags, what it depends on."""
    mode, identifier = arguments.words
    if mode not in _MODES:
        raise UsageError(f"'{mode}' is none of {', '.join(_MODES)}")
    reference = ids.parse(identifier, Path("features info"), Path.cwd())
    if not isinstance(reference, Artifact):
        raise UsageError(f"Failed to parse Feature identifier '{identifier}'")
    registry = registry_of(reference)
    found = registry.manifest(reference.name, reference.reference)
    manifest = found.data
    answer: JSON = {}
    if mode in {"manifest", "verbose"}:
        answer |= {"manifest": manifest, "canonicalId": f"{reference.resource}@{found.digest}"}
    if mode in {"tags", "verbose"}:
        answer["publishedTags"] = list(registry.tags(reference.name))
    if arguments.text("output-format") == "json":
        _told(f"{calm_json(json.dumps(answer, indent=4, ensure_ascii=False))}\n")
        return 0
    if "manifest" in answer:
        _say("Manifest", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        _say("Canonical Identifier", f"{answer['canonicalId']}\n")
    if "publishedTags" in answer:
        _say("Published Tags", "\n   ".join(answer["publishedTags"]))
    if mode in {"dependencies", "verbose"}:
        from devbox.image.features.store import annotated

        said = annotated(manifest)
        known = metadata.read(said, Path(identifier)) if said else None
        lines = [_node(identifier)]
        if known is not None:
            lines += [f"{_node(identifier)} --> {_node(name)}" for name in known.depends_on]
            lines += [f"{_node(identifier)} -.-> {_node(name)}" for name in known.installs_after]
        _say("Dependency Tree (Render with https://mermaid.live/)", "flowchart\n" + "\n".join(lines) + "\n")
    return 0


def registry_of(reference: Artifact) -> Registry:
    """Return the client of the registry that has an artifact."""
    from devbox.config.network import network_of
    from devbox.image.registry.client import Registry, Web

    settings = config.load(None, environ=os.environ, flags={})
    return Registry(reference.registry, Web(network_of(settings, os.environ)), os.environ)


def _told(text: str) -> None:
    """Write what registries and checkouts say: as it is, but to a terminal, which would act on it."""
    sys.stdout.write(calm(text) if sys.stdout.isatty() else text)


def _say(title: str, text: str) -> None:
    line = "─" * len(title)
    _told(f"┌{line}┐\n│{title}│\n└{line}┘\n{text}\n")


def _node(identifier: str) -> str:
    return f"{hashlib.sha256(identifier.encode()).hexdigest()[:6]}[{identifier}]"


def dependencies(arguments: Arguments, reporter: Reporter) -> int:
    """Say in which order the Features of a devcontainer.json are installed, and why."""
    about = meant(arguments)
    contract = _contract(about)
    found = _resolved(about, contract, reporter) if contract.config.get("features") else ()
    lines = ["flowchart", *(_node(one.identifier) for one in found if one.identifier in contract.config["features"])]
    for one in found:
        lines += [f"{_node(one.identifier)} --> {_node(name)}" for name in one.metadata.depends_on]
        soft = [other for other in found if _without_version(other.identifier) in one.metadata.installs_after]
        lines += [f"{_node(one.identifier)} -.-> {_node(other.identifier)}" for other in soft]
    order = [{"id": _canonical(one), "options": one.value} for one in found]
    text = json.dumps({"installOrder": order}, indent=2, ensure_ascii=False)
    _told("\n".join([*lines, "", text, ""]))
    return 0


def _canonical(feature: Feature) -> str:
    reference = feature.reference
    return f"{reference.resource}@{feature.digest}" if isinstance(reference, Artifact) else feature.identifier


def _contract(about: Meant) -> Contract:
    contract = about.contract(partial=True)
    assert contract is not None  # noqa: S101  # there is always a workspace here
    return contract


class Versions(NamedTuple):
    """The versions of a Feature: the one that is used, the newest that its identifier allows, and the newest."""

    current: str | None
    wanted: str | None
    latest: str | None

    def json(self) -> JSON:
        """Return them as the reference does, with what is not known left out."""
        said = {
            "current": self.current,
            "wanted": self.wanted,
            "wantedMajor": self.wanted and self.wanted.partition(".")[0],
            "latest": self.latest,
            "latestMajor": self.latest and self.latest.partition(".")[0],
        }
        return {key: value for key, value in said.items() if value is not None}


def versions(reference: Artifact, tags: Sequence[str], locked: str | None) -> Versions:
    """Return the versions of a Feature with these `tags`; `locked` is the one that a lock file holds."""
    found = sorted((tuple(map(int, match.groups())) for match in map(_VERSION.fullmatch, tags) if match), reverse=True)
    every = [".".join(map(str, version)) for version in found]
    latest = next(iter(every), None)
    wanted = locked
    if reference.tag == "latest":
        wanted = latest
    elif reference.tag is not None:
        wanted = next((one for one in every if f"{one}.".startswith(f"{reference.tag}.")), None)
    return Versions(locked or wanted, wanted, latest)


def _versions(reference: Artifact, locked: str | None, reporter: Reporter) -> Versions:
    """Ask a registry which versions of a Feature there are; none where it does not have it."""
    from devbox.image.features.store import annotated
    from devbox.image.registry.client import RegistryError

    registry = registry_of(reference)
    try:
        tags = registry.tags(reference.name)
        if locked is None and reference.digest is not None:
            said = annotated(registry.manifest(reference.name, reference.digest).data)
            locked = metadata.read(said, Path(reference.resource)).version if said else None
    except RegistryError as error:
        reporter.warn(error.message)
        tags = ()
    return versions(reference, tags, locked)


def outdated(arguments: Arguments, reporter: Reporter) -> int:
    """Say which versions of a devcontainer.json's Features are used, and which there are."""
    about = meant(arguments)
    contract = _contract(about)
    held = lock.read(contract.path).text
    locked = json.loads(held)["features"] if held else {}
    found: dict[str, Versions] = {}
    for identifier in contract.config.get("features") or {}:
        try:
            reference = ids.parse(identifier, contract.path, contract.workspace)
        except ContractError as error:
            reporter.warn(error.message)
            continue
        if isinstance(reference, Artifact) and ids.modern(identifier)[0] == identifier:
            found[identifier] = _versions(reference, locked.get(identifier, {}).get("version"), reporter)
    if arguments.text("output-format") == "json":
        answer = {"features": {name: one.json() for name, one in found.items()}}
        indent = 2 if sys.stdout.isatty() else None
        separators = None if indent else (",", ":")
        text = json.dumps(answer, indent=indent, separators=separators, ensure_ascii=False)
        _told(f"{calm_json(text)}\n")
        return 0
    rows = [["Feature", "Current", "Wanted", "Latest"]]
    rows += [[_without_version(name), *(one or "-" for one in known)] for name, known in found.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        _told("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
    return 0


def upgrade(arguments: Arguments, reporter: Reporter) -> int:
    """Write the lock file of Features again, for what their identifiers mean now."""
    target, name = arguments.text("target-version"), arguments.text("feature")
    if target is not None and not _PART.fullmatch(target):
        raise UsageError(f"Invalid version '{target}'.  Must be in the form of 'x', 'x.y', or 'x.y.z'")
    about = meant(arguments)
    if target is not None and name is not None:
        _pin(_contract(about), name, target, reporter)
    contract = _contract(about)
    features = _unlocked(about, contract, reporter) if contract.config.get("features") else ()
    text = lock.render(features)
    if arguments.on("dry-run"):
        _told(text)
        return 0
    write_atomically(lock.lock_path(contract.path), text)
    return 0


def _unlocked(about: Meant, contract: Contract, reporter: Reporter) -> tuple[Feature, ...]:
    free = replace(contract, variation=replace(contract.variation, features_lock="off"))
    return _resolved(about, free, reporter, pull=True)


def _pin(contract: Contract, name: str, target: str, reporter: Reporter) -> None:
    """Write another version of a Feature into a devcontainer.json; nothing else of it changes."""
    bare = _without_version(name)
    for identifier in contract.config.get("features") or {}:
        if _without_version(identifier) == bare:
            text = contract.path.read_text(encoding="utf-8")
            updated = text.replace(json.dumps(identifier), json.dumps(f"{bare}:{target}"))
            if updated != text:
                reporter.info(f"Updating config file: '{contract.path}'")
                write_atomically(contract.path, updated)
            return


def _without_version(identifier: str) -> str:
    return re.sub(r"[:@][^/]*$", "", identifier)
