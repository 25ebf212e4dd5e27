"""Where git looks, inside the container, for what a worktree's or a submodule's `.git` file points to."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from devbox.engine.spec import Mount

if TYPE_CHECKING:
    from devbox.facts.model import Checkout


def git_mounts(checkout: Checkout, target: str) -> tuple[Mount, ...]:
    """Return the mounts by which git works in a checkout whose repository lies outside of it; none for any other.

    `target` is where the checkout itself is mounted. An absolute link names the repository by its path on the host, so
    that is where it is mounted. A relative one (`git worktree add --relative-paths`, and every link between a submodule
    and its repository) is followed from `target`; and as the way back is relative too, the checkout is mounted once
    more where that leads.
    """
    common = checkout.git_common_dir
    if common is None or common.is_relative_to(checkout.path):
        return ()
    source, path = str(common), str(checkout.path)
    places = [] if checkout.git_link == "relative" else [Mount("bind", source, source)]
    if checkout.git_link != "absolute":
        repository = posixpath.normpath(posixpath.join(target, posixpath.relpath(source, path)))
        back = posixpath.normpath(posixpath.join(repository, posixpath.relpath(path, source)))
        places.append(Mount("bind", repository, source))
        if back != posixpath.normpath(target):
            places.append(Mount("bind", back, path))
    distinct = {mount.target: mount for mount in places}
    return tuple(distinct.values())
