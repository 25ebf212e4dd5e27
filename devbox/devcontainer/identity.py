"""What is called how in and around a dev container: the labels by which every tool finds it, its id, volumes, paths."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from devbox.agent.hashes import sha256
from devbox.devcontainer.spelling import windows_spelling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOCAL_FOLDER = "devcontainer.local_folder"
CONFIG_FILE = "devcontainer.config_file"
METADATA = "devcontainer.metadata"

# Another beginning than that of a person's own volumes: whoever mounts one of these shares it.
GROUP_VOLUMES = "devbox-group"
# Where the certificates of a private authority are, inside.
CA_BUNDLE = "/etc/devbox/ca-bundle.pem"

_ID_LENGTH = 52
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def absolute(path: Path | str) -> str:
    """Return `path` absolute, without `..` and without a trailing slash; symlinks stay, as labels are text."""
    text = os.path.abspath(path)  # noqa: PTH100  # symlinks stay
    # POSIX keeps two leading slashes apart from one; the other tools do not.
    return "/" + text.lstrip("/") if text.startswith("//") else text


def id_labels(
    workspace: Path | str, config_file: Path | str, *, distribution: str | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the two labels by which every tool finds the container of a folder and a devcontainer.json.

    Inside the WSL `distribution` the folder is spelled as VS Code does on Windows, and the file is not.
    """
    folder = absolute(workspace)
    spelled = folder if distribution is None else windows_spelling(folder, distribution)
    return ((LOCAL_FOLDER, spelled), (CONFIG_FILE, absolute(config_file)))


def devcontainer_id(labels: Mapping[str, str] | tuple[tuple[str, str], ...]) -> str:
    """Return `${devcontainerId}`: the SHA-256 of the sorted labels as compact JSON, in base 32, 52 digits.

    The algorithm is the specification's, and the reference CLI computes the same for the same labels.
    """
    text = json.dumps(dict(sorted(dict(labels).items())), separators=(",", ":"), ensure_ascii=False)
    number = int.from_bytes(sha256(text.encode("utf-8", "surrogateescape")).digest(), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _DIGITS[digit] + digits
    return digits.rjust(_ID_LENGTH, "0")


def workspace_hash(workspace: Path | str) -> str:
    """Return 12 hexadecimal digits that stand for the workspace's absolute path in names of volumes and files."""
    return sha256(os.fsencode(absolute(workspace))).hexdigest()[:12]


def volume_name(uid: int, name: str, workspace: Path | str | None = None, *, inside: int | str | None = None) -> str:
    """Return the name of the host user `uid`'s volume `name`: a cache of all workspaces, or with `workspace` one's own.

    `volume_name(1000, "ccache")` is `devbox-1000-ccache`; with a workspace and "build" it is
    `devbox-1000-build-<hash>`. Another user `inside` has a cache of its own, `devbox-1000-ccache-as-0`: files of two
    would lock either out.
    """
    whose = "" if inside is None or str(inside) == str(uid) else f"-as-{inside}"
    return f"devbox-{uid}-{name}{whose}" + ("" if workspace is None else f"-{workspace_hash(workspace)}")


def group_volume_name(gid: int, name: str) -> str:
    """Return the name of the volume `name` that the members of the host's group `gid` share."""
    return f"{GROUP_VOLUMES}{gid}-{name}"


def group_of_volume(volume: str) -> int | None:
    """Return the group that shares a volume of this name, None for other volumes."""
    gid = volume.removeprefix(GROUP_VOLUMES).partition("-")[0]
    return int(gid) if volume.startswith(GROUP_VOLUMES) and gid.isdecimal() else None
