"""`updateRemoteUserUID`: a thin image on which the remote user has the host user's ids, so that files stay the user's.

Contracts that devbox writes do not need it: their image's last stage makes the right user.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.agent.hashes import sha256
from devbox.container.desired import UserImage
from devbox.container.steps import BuildImage
from devbox.engine.spec import ImageBuild
from devbox.image.buildkit.inputs import is_made_from
from devbox.paths import data_dir
from devbox.trust.dockerfiles import see_triggers

if TYPE_CHECKING:
    from devbox.container.desired import Image
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.model import Merged

_DOCKERFILE = "remote-user.Dockerfile"
# On an image whose user has the host user's ids for a rootless Podman: the container's user namespace has to keep them.
_USERNS = "devbox.userns"


def wants_host_ids(merged: Merged, uid: int) -> bool:
    """Tell whether the remote user is to get the ids of the host user `uid`.

    Root stays root, on either side; a user that is only a number has no account that could be changed.
    """
    user = merged.remote_user or "root"
    return merged.update_remote_user_uid and uid != 0 and user != "root" and not user[:1].isdigit()


def ids_layer(merged: Merged, image: Image, uid: int, gid: int) -> BuildImage:
    """Return the build of the layer on `image`."""
    path = data_dir("dockerfiles") / _DOCKERFILE
    user = str(merged.remote_user)
    text = "\0".join((path.read_text(encoding="utf-8"), image.id, user, str(uid), str(gid)))
    digest = sha256(text.encode()).hexdigest()
    build = ImageBuild(
        dockerfile=str(path),
        context=str(path.parent),
        tags=(f"devbox-user:{digest[:12] if image.id else 'not-known-yet'}",),
        args=(
            ("BASE_IMAGE", image.reference),
            ("REMOTE_USER", user),
            ("NEW_UID", str(uid)),
            ("NEW_GID", str(gid)),
            ("IMAGE_USER", str(image.config.get("User") or "root")),
        ),
    )
    return BuildImage(f"Giving {user} the ids {uid}:{gid}", build, digest)


def with_host_ids(journal: Journal, merged: Merged, image: Image, *, uid: int, gid: int) -> UserImage | None:
    """Return the image on `image` whose remote user has the ids `uid` and `gid`, built if it is not there.

    None where the image itself is right: the contract does not want it, or a rootless Docker maps root alone to the
    host user. A rootless Podman can map another one, so that files are the person's there as well. Raises ImageError.
    """
    if not image.known and wants_host_ids(replace(merged, remote_user="USER"), uid) and merged.remote_user == "root":
        # What the image is not known for yet is shown both ways.
        guess = ids_layer(replace(merged, remote_user="USER"), image, uid, gid)
        lines = [f"# {line}" for line in guess.lines(journal.engine)]
        journal.would(f"Where the image's user is not root, giving it the ids {uid}:{gid}", lines)
    if not wants_host_ids(merged, uid):
        return None
    layer = ids_layer(merged, image, uid, gid)
    name = layer.build.tags[0]
    there = journal.engine.image(name)
    if there is None or not is_made_from(there, layer.digest):
        from devbox.facts.engine import gather

        facts = gather(journal.engine)
        if facts.rootless and facts.flavour == "docker":
            return None
        see_triggers(image.config.get("OnBuild") or (), f"the layer that gives {merged.remote_user} this machine's ids")
        userns = "keep-id" if facts.rootless else None
        labels = () if userns is None else ((_USERNS, userns),)
        journal.do(replace(layer, build=replace(layer.build, labels=labels)))
        return UserImage(name, userns)
    return UserImage(name, ((there.get("Config") or {}).get("Labels") or {}).get(_USERNS))
