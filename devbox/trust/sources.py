"""Files and folders of the host that a container can make links, looked at right before docker follows them."""

from __future__ import annotations

import os
import posixpath
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox.engine.run_args import Volume, parse
from devbox.engine.spec import Mount
from devbox.errors import RefusedError
from devbox.masking import visible
from devbox.trust import grants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.spec import ContainerSpec


class Source(NamedTuple):
    """A file or folder of the host as a mount or a build names it, and whether it can only be read."""

    path: str
    readonly: bool = False


def of_spec(spec: ContainerSpec) -> list[Source]:
    """Return the sources of a container that docker is to make, and the files that docker reads for it."""
    words = parse(spec.run_args, "/") if spec.run_args else ()
    read = [Source(one.value or "", readonly=True) for one in words if one.name in {"env-file", "label-file"}]
    return [*(Source(one.source or "", one.readonly) for one in mounts_of(spec) if one.type == "bind"), *read]


def mounts_of(spec: ContainerSpec) -> list[Mount]:
    """Return the mounts of a container that docker is to make, those of its run arguments too."""
    found = [Mount.parse(text) for text in spec.mounts]
    for argument in parse(spec.run_args, "/") if spec.run_args else ():
        if argument.name == "mount":
            found.append(Mount.parse(argument.value or ""))
        elif argument.name == "volume":
            found.append(Volume.parse(argument.value or "", "/").mount)
    return found


def of_services(*configs: JSON) -> list[Source]:
    """Return the sources of the containers and images that docker compose is to make, by its configurations."""
    found = []
    for config in configs:
        for service in config["services"].values():
            mounts = [item for item in service.get("volumes") or () if item.get("type") == "bind"]
            found += [Source(str(item["source"]), bool(item.get("read_only"))) for item in mounts]
            build = service.get("build") or {}
            context = str(build.get("context") or "")
            names = [context, str(Path(context, build.get("dockerfile") or "Dockerfile"))]
            names += map(str, (build.get("additional_contexts") or {}).values())
            found += [Source(name, readonly=True) for name in names if name.startswith("/")]
        for kind in ("secrets", "configs"):
            files = [(item or {}).get("file") for item in (config.get(kind) or {}).values()]
            found += [Source(str(file), readonly=True) for file in files if file]
    return found


def must_stay(sources: Iterable[Source], workspace: str) -> None:
    """See that no source that lies in the workspace leads out of it by a link, unless that was agreed to.

    What was judged may be a link by now: a container can write its checkout. Raises RefusedError.
    """
    top, real_top = posixpath.normpath(workspace), os.path.realpath(workspace)
    for source in sources:
        path = posixpath.normpath(source.path)
        real = os.path.realpath(path)
        within = any(path == one or path.startswith(f"{one.rstrip('/')}/") for one in (top, real_top))
        if not within or real == real_top or real.startswith(f"{real_top.rstrip('/')}/"):
            continue
        mode = "read-only" if source.readonly else ""
        # That of a service stands behind the service's name.
        agreed = grants.recall(Path(workspace)).grants
        if not any((one.kind, one.value, one.mode.rpartition(": ")[2]) == ("path", real, mode) for one in agreed):
            raise RefusedError(
                f"{visible(path)} is used, and is a link out of the workspace by now, to {visible(real)}",
                hint=f"rm {shlex.quote(path)}   # unless it is yours; then devbox up --recreate asks about it",
            )
