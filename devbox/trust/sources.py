"""Sources of mounts that a container can write, looked at right before docker follows them."""

from __future__ import annotations

import os
import posixpath
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox.errors import RefusedError
from devbox.masking import visible
from devbox.trust import grants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.engine.spec import ContainerSpec


class Source(NamedTuple):
    """A folder of the host as a mount names it, and whether it can only be read."""

    path: str
    readonly: bool = False


def of_spec(spec: ContainerSpec) -> list[Source]:
    """Return the sources of a container that docker is to make."""
    from devbox.engine.run_args import Volume, parse
    from devbox.engine.spec import Mount

    found = [Mount.parse(text) for text in spec.mounts]
    for argument in parse(spec.run_args, "/") if spec.run_args else ():
        if argument.name == "mount":
            found.append(Mount.parse(argument.value or ""))
        elif argument.name == "volume":
            found.append(Volume.parse(argument.value or "", "/").mount)
    return [Source(one.source or "", one.readonly) for one in found if one.type == "bind"]


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
                f"{visible(path)} is mounted, and is a link out of the workspace by now, to {visible(real)}",
                hint=f"rm {shlex.quote(path)}   # unless it is yours; then devbox up --recreate asks about it",
            )
