"""Names of images, read as docker reads them: `ubuntu:24.04` is `docker.io/library/ubuntu:24.04`.

Sources: the grammar of the OCI distribution specification, and docker's rules for names without a registry.
"""

from __future__ import annotations

import re

from devbox.errors import UsageError
from devbox.values import dataclass

HUB = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in parts. `name` is the repository at the registry; without tag and digest it means `latest`."""

    registry: str
    name: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """Where it lies, without tag and digest, as people write it: nothing of Docker Hub's own name."""
        if self.registry != HUB:
            return f"{self.registry}/{self.name}"
        return self.name.removeprefix("library/")

    @property
    def official(self) -> bool:
        """Whether it is, or would be, one of Docker Hub's own images: its name has neither a registry nor an owner."""
        return self.registry == HUB and self.name.startswith("library/")

    @property
    def wanted(self) -> str:
        """The digest or the tag by which a registry is asked for it."""
        return self.digest or self.tag or "latest"

    @property
    def full(self) -> str:
        """The whole name, the same for each spelling of it."""
        at = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.name}:{self.tag or 'latest'}{at}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    def with_tag(self, tag: str) -> Reference:
        """Return the image of another tag in the same repository. Raises UsageError where `tag` is none."""
        if not _TAG.fullmatch(tag):
            raise UsageError(f"'{tag}' is no tag of an image", hint="letters, digits, _ . and -, at most 128 of them")
        return Reference(self.registry, self.name, tag)


def parse(text: str) -> Reference:
    """Return the parts of an image's name. Raises UsageError where it is none."""
    rest, _, digest = text.partition("@")
    first, slash, below = rest.partition("/")
    # A first part is a host only if it looks like one; else it belongs to the name at Docker Hub.
    hosted = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, below) if hosted else (HUB, rest)
    name, colon, tag = path.partition(":")
    registry = HUB if registry in _HUB_NAMES else registry
    if registry == HUB and "/" not in name:
        name = f"library/{name}"
    wrong = (
        (not text and "it is empty")
        or (("@" in text) and not _DIGEST.fullmatch(digest) and "its digest is not sha256: and 64 hex digits")
        or (not _HOST.fullmatch(registry) and f"'{registry}' is no host")
        or (bool(colon) and not _TAG.fullmatch(tag) and f"'{tag}' is no tag")
        or (not _NAME.fullmatch(name) and "a repository is written in lower case, as in nvidia/cuda")
    )
    if wrong:
        raise UsageError(
            f"'{text}' is no name of an image: {wrong}", hint="[HOST[:PORT]/]NAME[:TAG][@sha256:…], as docker takes it"
        )
    return Reference(registry, name, tag or None, digest or None)


def is_digest(text: object) -> bool:
    """Whether `text` is a SHA-256 digest as registries write it."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None
