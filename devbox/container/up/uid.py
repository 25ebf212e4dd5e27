"""`updateRemoteUserUID`: a thin image on which the remote user has the host user's ids, so that files stay the user's.

Contracts that devbox writes do not need it: their image's last stage makes the right user.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from devbox.engine.spec import ImageBuild, build_args
from devbox.image.buildkit.build import build, current
from devbox.paths import data_dir

if TYPE_CHECKING:
    from devbox.container.up.desired import Image
    from devbox.devcontainer.model import Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

_DOCKERFILE = "remote-user.Dockerfile"


def wants_host_ids(merged: Merged, uid: int) -> bool:
    """Tell whether the remote user is to get the ids of the host user `uid`.

    Root stays root, on either side; a user that is only a number has no account that could be changed.
    """
    user = merged.remote_user or "root"
    return merged.update_remote_user_uid and uid != 0 and user != "root" and not user[:1].isdigit()


def host_ids_build(merged: Merged, image: Image, uid: int, gid: int) -> tuple[ImageBuild, str]:
    """Return the build of the layer on `image`, and the digest of what it is made from."""
    path = data_dir("dockerfiles") / _DOCKERFILE
    user = str(merged.remote_user)
    text = "\0".join((path.read_text(encoding="utf-8"), image.id, user, str(uid), str(gid)))
    digest = hashlib.sha256(text.encode()).hexdigest()
    build = ImageBuild(
        dockerfile=str(path),
        context=str(path.parent),
        tags=(f"devbox-user:{digest[:12]}",),
        args=(
            ("BASE_IMAGE", image.reference),
            ("REMOTE_USER", user),
            ("NEW_UID", str(uid)),
            ("NEW_GID", str(gid)),
            ("IMAGE_USER", str(image.config.get("User") or "root")),
        ),
    )
    return build, digest


def with_host_ids(
    engine: Engine, merged: Merged, image: Image, reporter: Reporter, *, uid: int, gid: int
) -> str | None:
    """Return the name of the image on `image` whose remote user has the ids `uid` and `gid`, built if it is not there.

    None where the image itself is right: the contract does not want it, or a rootless engine maps root to the host
    user already. Raises ImageError.
    """
    if not wants_host_ids(merged, uid):
        return None

    wanted, digest = host_ids_build(merged, image, uid, gid)
    name = wanted.tags[0]
    if current(engine, name, digest) is None:
        from devbox.facts.engine import gather

        if gather(engine).rootless:
            return None
        with reporter.step(f"Giving {merged.remote_user} the ids {uid}:{gid}"):
            build(engine, wanted, reporter, digest=digest)
    return name


def host_ids_lines(engine: Engine, merged: Merged, image: Image, *, uid: int, gid: int) -> tuple[str, list[str]]:
    """Return, for a dry run, the image's name and the docker command that would make it where it is missing."""
    wanted, _ = host_ids_build(merged, image, uid, gid)
    name = wanted.tags[0]
    return name, [] if engine.image(name) is not None else [engine.line(build_args(wanted))]
