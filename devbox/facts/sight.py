"""Does the engine see a folder of this machine? It is asked, and not told from its address.

A path that exists on both machines is not the same folder, a socket may lead into a virtual machine that shares some
folders, and an engine reached by a network may be this machine's own. So a file with a name that nobody else has is put
into the folder, and the engine is asked whether it would mount it. dockerd looks at the mounts of a container that is
to be made before it looks for its image (moby, `daemon/container.go`, `validateHostConfig`), so the question makes
nothing, and needs no image.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devbox.engine.address import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine

# Nothing can have a name of this top domain (RFC 2606).
_IMAGE = "devbox.invalid/sight"
_NO_IMAGE = 404
_MISSING = "bind source path does not exist"


def sees(engine: Engine, folder: Path) -> bool | None:
    """Tell whether containers of the engine can mount `folder` of this machine; None where the engine does not say.

    Costs two questions to the engine. Raises EngineError where it does not answer.
    """
    if engine.address.url == PROGRAM:
        return True
    name = f".devbox-{os.urandom(8).hex()}"
    # In the repository's own folder it is in no listing and no watcher's way.
    own = folder / ".git"
    place = own if own.is_dir() and not own.is_symlink() else folder
    marker = place / name
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return None
    try:
        found = _exists(engine, marker)
    finally:
        marker.unlink(missing_ok=True)
    # An engine that looks for the image first finds everything.
    return True if found and _exists(engine, marker) is False else found and None


def _exists(engine: Engine, path: Path) -> bool | None:
    mount = {"Type": "bind", "Source": str(path), "Target": "/sight"}
    status, body = engine.ask(
        "/containers/create", body={"Image": f"{_IMAGE}:{path.name[1:]}", "HostConfig": {"Mounts": [mount]}}
    )
    if status == _NO_IMAGE:
        return True
    return False if _MISSING.encode() in body else None
