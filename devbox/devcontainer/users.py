"""Who a dev container runs as, so that no file in the checkout ever ends up with another owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.config import kinds as notation
from devbox.facts.host import FALLBACK_NAME, account_name
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.facts.model import EngineFacts, User


@dataclass(frozen=True, slots=True)
class ContainerUser:
    """The user inside the container."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def root(self) -> bool:
        """Whether it is root."""
        return self.uid == 0


ROOT = ContainerUser("root", 0, 0, "/root")
# Everybody's, in a shared contract. Tools give it the ids of their host's user, which must not be taken: so it takes
# over the account at 1000 that distributions ship, and no other account of a person is left.
SHARED = ContainerUser(FALLBACK_NAME, 1000, 1000, f"/home/{FALLBACK_NAME}")


def resolve(requested: str | None, host: User, engine: EngineFacts) -> ContainerUser:
    """Return the container's user for `--user host|root|UID:GID[:NAME]` (None means host).

    A rootless engine's root is the host user, so it is root there, as it is for a host user who is root.
    Raises UsageError.
    """
    ids = notation.user(requested or "host")
    if ids is None:
        if engine.rootless or host.uid == 0:
            return ROOT
        return _user(account_name(host.name), host.uid, host.gid)
    uid, gid, name = ids
    if uid == 0:
        return ROOT
    return _user(name or (account_name(host.name) if uid == host.uid else FALLBACK_NAME), uid, gid)


def _user(name: str, uid: int, gid: int) -> ContainerUser:
    return ContainerUser(name, uid, gid, f"/home/{name}")
