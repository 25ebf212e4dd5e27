"""`devcontainer-lock.json`: which content each Feature had, so that the next build gets the same.

Source: the specification's lock file page. The text is byte for byte what the reference CLI writes.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer.features.collate import collation_key
from devbox.devcontainer.features.ids import Archive, Artifact, Local, is_digest
from devbox.errors import ContractError, DriftError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.devcontainer.features.order import Feature


class FrozenError(DriftError):
    """The lock file must not be written, and does not fit, or is `missing`."""

    def __init__(self, path: Path, *, missing: bool) -> None:
        """Take the lock file's path."""
        problem = "is not there" if missing else "does not fit the Features of the contract"
        super().__init__(
            f"{path} {problem}, and features_lock = frozen",
            hint="DEVBOX_FEATURES_LOCK=write devbox up   # writes it",
        )
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file, read. `integrity` maps identifiers in lower case to digests; `text` is None without a file."""

    path: Path
    text: str | None = None
    integrity: Mapping[str, str] = field(hash=False, default_factory=dict)

    def digest(self, identifier: str) -> str | None:
        """Return the digest that a Feature is held at, or None."""
        return self.integrity.get(identifier.lower())

    def differs(self, text: str) -> bool:
        """Whether the file says something else than `text`; blanks and line breaks say nothing."""
        return not self.text or _render(json.loads(self.text)) != text


def lock_path(contract: Path) -> Path:
    """Return where the lock file of a devcontainer.json lies: beside it, hidden if that is."""
    return contract.with_name(("." if contract.name.startswith(".") else "") + "devcontainer-lock.json")


def read(contract: Path) -> Lock:
    """Read the lock file of a devcontainer.json. Raises ContractError where it is there and cannot be read."""
    path = lock_path(contract)
    hint = f"rm {path}   # the next `devbox up` writes it again"
    try:
        text = lean.text(path)
    except FileNotFoundError:
        return Lock(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractError(f"{path} cannot be read: {reason}", hint=hint) from None
    if not text.strip():
        # An empty file asks for a lock file.
        return Lock(path, "")
    try:
        features = json.loads(text)["features"]
        held = {name.lower(): entry["integrity"] for name, entry in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ContractError(f"{path} is no lock file of Features", hint=hint) from None
    for name, digest in held.items():
        if not is_digest(digest):
            raise ContractError(f"{path}: the 'integrity' of {name} is no SHA-256 digest", hint=hint)
    return Lock(path, text, held)


def render(features: Sequence[Feature]) -> str:
    """Return the text of the lock file for `features`. Those of the checkout itself and of releases are not in it."""
    entries = {}
    for feature in sorted(features, key=lambda one: collation_key(one.identifier)):
        reference = feature.reference
        if isinstance(reference, Local) or feature.digest is None:
            continue
        if isinstance(reference, Archive) and reference.released:
            continue
        entry: dict[str, object] = {
            "version": feature.metadata.version,
            "resolved": (
                f"{reference.resource}@{feature.digest}" if isinstance(reference, Artifact) else reference.place
            ),
            "integrity": feature.digest,
        }
        if feature.metadata.depends_on:
            entry["dependsOn"] = list(feature.metadata.depends_on)
        entries[feature.identifier] = entry
    return _render({"features": entries})


def _render(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
