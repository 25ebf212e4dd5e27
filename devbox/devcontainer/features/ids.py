"""What an identifier of a Feature refers to: a folder of the checkout, an archive, or an artifact in an OCI registry.

Source: the specification's "Referencing a feature" and its distribution page, and the reference CLI for older forms.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from devbox.errors import ContractError
from devbox.values import dataclass

# The grammar of names, tags and digests is that of the OCI distribution specification.
_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*", re.ASCII)
_TAG = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HOST = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.ASCII)
_ARCHIVE = re.compile(r"devcontainer-feature-([a-zA-Z0-9_-]+)\.tgz", re.ASCII)
# OWNER/REPOSITORY/ID@TAG: how Features were named before there were registries, and which the reference still takes.
_RELEASED = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)/([\w-]+)(?:@([\w-][\w.+-]*))?", re.ASCII)

# Names from the time before registries, which the reference still takes, and where they went.
_OFFICIAL = "ghcr.io/devcontainers/features"
_MIGRATED = frozenset({
    "aws-cli", "azure-cli", "desktop-lite", "docker-in-docker", "docker-from-docker", "dotnet", "git", "git-lfs",
    "github-cli", "java", "kubectl-helm-minikube", "node", "powershell", "python", "ruby", "rust", "sshd", "terraform",
})  # fmt: skip
_RENAMED = {"golang": "go", "common": "common-utils"}
# Features that became an option of another one.
_ABSORBED = {
    "gradle": ("java", "installGradle"),
    "maven": ("java", "installMaven"),
    "jupyterlab": ("python", "installJupyterlab"),
}

Value = str | bool | dict[str, object]


@dataclass(frozen=True, slots=True)
class Local:
    """A folder of the checkout, absolute."""

    folder: Path

    @property
    def id(self) -> str:
        """The Feature's id, as the folder is called."""
        return self.folder.name


@dataclass(frozen=True, slots=True)
class Archive:
    """A `devcontainer-feature-ID.tgz`: an https URL, or a file of the checkout as an absolute path.

    One that is `released` is an `ID.tgz` of a release on GitHub, named by its repository: no lock file holds it.
    """

    place: str
    id: str
    released: bool = False

    @property
    def remote(self) -> bool:
        """Whether it has to be downloaded."""
        return not self.place.startswith("/")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A Feature in an OCI registry. `name` is its repository there; it has either a tag or a digest."""

    registry: str
    name: str
    tag: str | None
    digest: str | None = None

    @property
    def id(self) -> str:
        """The Feature's id: the last part of its name."""
        return posixpath.basename(self.name)

    @property
    def namespace(self) -> str:
        """Where it lies together with others: registry and name without the id."""
        return posixpath.join(self.registry, posixpath.dirname(self.name))

    @property
    def resource(self) -> str:
        """Its full name, without tag or digest."""
        return f"{self.registry}/{self.name}"

    @property
    def reference(self) -> str:
        """The tag or the digest by which the registry is asked for it."""
        return self.digest or self.tag or "latest"


Reference = Local | Archive | Artifact


def parse(identifier: str, contract: Path, workspace: Path) -> Reference:
    """Return what `identifier` in the devcontainer.json `contract` of the folder `workspace` refers to.

    Raises ContractError where it refers to nothing that could be had.
    """
    if not identifier.isprintable():
        raise ContractError(f"{contract}: {identifier!r} is no identifier of a Feature")
    if identifier.startswith(("./", "../")):
        return _local(identifier, contract, workspace)
    if identifier.startswith("/"):
        raise ContractError(
            f"{contract}: the Feature {identifier} is an absolute path, which no other tool takes",
            hint=f"name it relative to {contract.parent}: ./{Path(identifier).name}",
        )
    if "://" in identifier:
        return _url(identifier, contract)
    known = modern(identifier)[0]
    released = _RELEASED.fullmatch(known)
    if released is not None and not _is_registry(known.partition("/")[0].lower()):
        return _release(*released.groups())
    return _artifact(known, contract)


def is_digest(text: object) -> bool:
    """Whether `text` is a SHA-256 digest as registries write it."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def modern(identifier: str) -> tuple[str, str | None]:
    """Return an old short name as what it means today, with a warning; any other identifier as it is."""
    name = identifier if identifier in _MIGRATED else _RENAMED.get(identifier)
    if name is None:
        return identifier, None
    new = f"{_OFFICIAL}/{name}:1"
    return new, f"the Feature '{identifier}' is an old short name; write \"{new}\""


def migrated(features: dict[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Return `features` with those that became an option of another Feature set as that option, and warnings."""
    wanted = {key: value for key, value in features.items() if key not in _ABSORBED}
    warnings = []
    for old in (key for key in features if key in _ABSORBED):
        name, option = _ABSORBED[old]
        new = f"{_OFFICIAL}/{name}"
        warnings.append(f"the Feature '{old}' is now the option '{option}' of {new}")
        key = next((key for key in wanted if key in {name, new} or key.startswith(f"{new}:")), f"{new}:1")
        given = wanted.get(key, {})
        options = given if isinstance(given, dict) else {"version": given} if isinstance(given, str) else {}
        wanted[key] = {**options, option: True}
    return wanted, tuple(warnings)


def _local(identifier: str, contract: Path, workspace: Path) -> Local | Archive:
    folder = Path(os.path.normpath(contract.parent / identifier))
    # The engine is given these files, so a symlink must not lead out either.
    real = Path(os.path.realpath(folder))
    allowed = [contract.parent, workspace / ".devcontainer"]
    if not any(real != top and real.is_relative_to(top) for top in map(Path, map(os.path.realpath, allowed))):
        raise ContractError(
            f"{contract}: the Feature {identifier} lies outside {contract.parent}",
            hint=f"move it there: {contract.parent / folder.name}",
        )
    if folder.suffix == ".tgz":
        return Archive(str(folder), _archive_id(folder.name, identifier, contract))
    return Local(folder)


def _url(identifier: str, contract: Path) -> Archive:
    if not identifier.startswith("https://"):
        raise ContractError(
            f"{contract}: the Feature {identifier} is not fetched over https", hint="name it by an https:// URL"
        )
    path = identifier.partition("?")[0].partition("#")[0]
    return Archive(identifier, _archive_id(posixpath.basename(path), identifier, contract))


def _archive_id(name: str, identifier: str, contract: Path) -> str:
    match = _ARCHIVE.fullmatch(name)
    if match is None:
        raise ContractError(
            f"{contract}: the archive of the Feature {identifier} must be called devcontainer-feature-ID.tgz"
        )
    return match[1]


def _release(repository: str, name: str, tag: str | None) -> Archive:
    release = "latest/download" if tag in {None, "latest"} else f"download/{tag}"
    return Archive(f"https://github.com/{repository}/releases/{release}/{name}.tgz", name, released=True)


def _artifact(identifier: str, contract: Path) -> Artifact:
    text = identifier.lower()
    if "/" not in text:
        raise ContractError(
            f"{contract}: there is no Feature '{identifier}': it names neither a registry nor a folder",
            hint=f'prepend your Feature name with "./" for a folder beside the file; or "{_OFFICIAL}/{identifier}"',
        )
    resource, at, digest = text.partition("@")
    head, slash, last = resource.rpartition("/")
    last, colon, tag = last.partition(":")
    registry, _, namespace = head.partition("/")
    name = f"{namespace}{slash}{last}" if namespace else last
    # The organisation was renamed; its old name is no longer served.
    name = re.sub(r"^devcontainers-contrib/", "devcontainers-extra/", name)
    if not _is_registry(registry):
        raise ContractError(
            f"{contract}: '{identifier}' names no registry",
            hint=f"REGISTRY/{identifier}, such as ghcr.io/{identifier}",
        )
    problem = None
    if not _NAME.fullmatch(name) or not namespace:
        problem = f"'{name}' is no name in a registry"
    elif at and not _DIGEST.fullmatch(digest):
        problem = f"'{digest}' is no digest: sha256: and 64 hexadecimal digits"
    elif colon and not _TAG.fullmatch(tag):
        problem = f"'{tag}' is no tag"
    if problem:
        raise ContractError(f"{contract}: the Feature '{identifier}' makes no sense: {problem}")
    return Artifact(registry, name, None if at else tag or "latest", digest or None)


def _is_registry(host: str) -> bool:
    """Whether the first part of a name is a host, by docker's rule: it has a dot or a port, or is localhost."""
    return bool(_HOST.fullmatch(host)) and ("." in host or ":" in host or host == "localhost")
