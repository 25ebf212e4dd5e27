"""What a contract records for devbox, under `customizations.devbox`: one form of it, one reader, one writer.

The record says for what devbox wrote the contract. Its seal, a hash over everything else in the file, says whether the
file is still what devbox wrote. Neither is a proof of where a file comes from: anybody can write both.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from devbox import lean
from devbox.agent.hashes import sha256
from devbox.devcontainer import jsonc
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.frameworks.model import Framework

# A record of a later schema is another devbox's: its contract is used as it stands, and never written again.
SCHEMA = 1
# How the names of shared contracts end.
GPU, CPU = "gpu", "cpu"


@dataclass(frozen=True, slots=True)
class Form:
    """The form in which devbox writes a contract.

    `shared`: without a fact of a person or a machine, to be committed. `compose`: started by Docker Compose, together
    with services. `inline`: what the image needs of the checkout stands in the Dockerfile, for tools that pass no
    `build.options`. `flat`: the devcontainer.json lies at the top of the checkout.
    """

    shared: bool = False
    compose: bool = False
    inline: bool = False
    flat: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """What a contract records of its form. A shared one records its name, and where one lies, its path says."""
        return tuple(name for name in ("compose", "inline") if getattr(self, name))


PERSONAL = Form()


def definition(framework: Framework, *, gpu: bool) -> str:
    """Return the name of a shared contract: framework, variant and, where it can have GPUs, whether it has them.

    What asks for GPUs does not start where there are none, so one file cannot be for both kinds of machines.
    """
    kind = [] if not framework.gpu else [GPU if gpu else CPU]
    return "-".join([framework.name, framework.variant, *kind])


@dataclass(frozen=True, slots=True)
class Further:
    """A further checkout in the container: its path on the host, its folder inside, and what it is."""

    path: str
    folder: str
    framework: str
    variant: str


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a contract. Of a hand-written one it is what somebody chose to say, mostly nothing.

    `shared` is the name of a contract for everybody; `form` has all of its form but where it lies. `arch` are
    capabilities: () means that there is nothing to compile for, None that nobody looked. `choices` are what a
    person asked for, as it was written, and `settings` what files said. `base_image` is what the image is built
    from. `dockerfile` and `compose` are the hashes of the files beside it as devbox wrote them, and `seal` is the
    hash of the contract itself, None where devbox has not written it.
    """

    framework: str | None = None
    variant: str | None = None
    shared: str | None = None
    form: Form = PERSONAL
    arch: tuple[str, ...] | None = None
    choices: Mapping[str, str] = field(default_factory=dict, hash=False)
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    repositories: Mapping[str, Further] = field(default_factory=dict, hash=False)
    base_image: str | None = None
    dockerfile: str | None = None
    compose: str | None = None
    seal: str | None = None

    @property
    def personal(self) -> str | None:
        """The framework that devbox wrote a personal contract for, edited since or not; None for anything else.

        A shared one is the repository's, whoever wrote it.
        """
        return self.framework if self.seal is not None and self.shared is None else None

    @property
    def definition(self) -> tuple[str, str] | None:
        """The framework and the name of a shared contract that devbox wrote; None for anything else."""
        if self.seal is None or self.framework is None or self.shared is None:
            return None
        return self.framework, self.shared

    @property
    def for_gpus(self) -> bool | None:
        """Whether a shared contract is for machines with GPUs or without; None for any other contract."""
        kind = (self.shared or "").rpartition("-")[2]
        return None if kind not in {GPU, CPU} else kind == GPU

    def is_twin_of(self, other: Record) -> bool:
        """Whether two shared contracts differ in nothing but the GPUs of the machines that they are for."""
        if self.definition is None or other.definition is None or self.for_gpus == other.for_gpus:
            return False
        return self.framework == other.framework and _stem(self) == _stem(other)

    def json(self) -> JSON:
        """Return what stands under `customizations.devbox`, without the seal. What says nothing is left out."""
        values: JSON = {
            "schema": SCHEMA,
            "framework": self.framework,
            "variant": self.variant,
            "shared": self.shared,
            "form": list(self.form.words) or None,
            "arch": None if self.arch is None else list(self.arch),
            "choices": dict(self.choices) or None,
            "settings": dict(self.settings) or None,
            "repositories": {
                name: {"path": one.path, "folder": one.folder, "framework": one.framework, "variant": one.variant}
                for name, one in self.repositories.items()
            }
            or None,
            "base_image": self.base_image,
            "dockerfile": self.dockerfile,
            "compose": self.compose,
        }
        return {key: value for key, value in values.items() if value is not None}


NOTHING = Record()


def _stem(record: Record) -> str:
    return (record.shared or "").rpartition("-")[0]


def of(devcontainer: object) -> Record:
    """Return the record in the content of a devcontainer.json. What is missing or makes no sense counts as not said."""
    own = _object(_object(_object(devcontainer).get("customizations")).get("devbox"))
    schema = own.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        return NOTHING
    args = _object(_object(_object(devcontainer).get("build")).get("args"))
    shared, words = _text(own, "shared"), _texts(own.get("form")) or ()
    return Record(
        framework=_text(own, "framework"),
        variant=_text(own, "variant"),
        shared=shared,
        form=Form(shared=shared is not None, compose="compose" in words, inline="inline" in words),
        arch=_texts(own.get("arch")),
        choices=_pairs(own.get("choices")),
        settings=_pairs(own.get("settings")),
        repositories=_repositories(own.get("repositories")),
        # Where tools build the image with docker, the build's arguments say it.
        base_image=_text(own, "base_image") or _text(args, "BASE_IMAGE"),
        dockerfile=_text(own, "dockerfile"),
        compose=_text(own, "compose"),
        seal=_text(own, "generated"),
    )


def at(path: Path | None) -> Record:
    """Return the record of the devcontainer.json at `path`; an empty one where it cannot be read."""
    try:
        return NOTHING if path is None else of(jsonc.loads(lean.text(path), path))
    except (OSError, ValueError, ContractError):
        return NOTHING


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def dump(value: JSON) -> str:
    """Return `value` as devbox writes devcontainer.json: two spaces, keys in their order, a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def sealed(devcontainer: JSON) -> JSON:
    """Return `devcontainer` with the seal in its record: the hash of all the rest."""
    customizations = devcontainer.get("customizations", {})
    own = {key: value for key, value in customizations.get("devbox", {}).items() if key != "generated"}
    open_ = {**devcontainer, "customizations": {**customizations, "devbox": own}}
    return {**open_, "customizations": {**customizations, "devbox": {**own, "generated": text_hash(dump(open_))}}}


def is_generated(text: str) -> bool:
    """Whether devbox wrote this devcontainer.json and nobody touched it since, be it only to add a comment."""
    try:
        value = json.loads(text)
        return isinstance(value["customizations"]["devbox"]["generated"], str) and dump(sealed(value)) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def _pairs(value: object) -> dict[str, str]:
    return {key: text for key, text in _object(value).items() if isinstance(text, str)}


def _repositories(value: object) -> dict[str, Further]:
    known = {}
    for name, entry in _object(value).items():
        said = [_text(_object(entry), key) for key in ("path", "folder", "framework", "variant")]
        if all(said):
            known[name] = Further(*map(str, said))
    return known
