"""Who a dev container runs as, so that no file in the checkout ever ends up with another owner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbox.errors import UsageError

if TYPE_CHECKING:
    from devbox.facts.model import EngineFacts, User

# The highest id that the kernel maps: 2**32 - 1 means "no id", and tools take one below that for signed values.
MAX_ID = 2**32 - 2
MAX_NAME = 32
FALLBACK_NAME = "dev"


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
    if requested in {None, "", "host"}:
        if engine.rootless or host.uid == 0:
            return ROOT
        return _user(account_name(host.name), host.uid, host.gid)
    if requested == "root":
        return ROOT
    parts = str(requested).split(":")
    numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdigit()]
    if len(numbers) != 2 or len(parts) > 3 or max(numbers) > MAX_ID:
        raise UsageError(f"'{requested}' is no user", hint="--user host, --user root or --user UID:GID[:NAME]")
    uid, gid = numbers
    if uid == 0:
        return ROOT
    if len(parts) == 2:
        return _user(account_name(host.name) if uid == host.uid else FALLBACK_NAME, uid, gid)
    if parts[2] != account_name(parts[2]):
        raise UsageError(
            f"'{parts[2]}' is no name for the user {uid}",
            hint=f"--user {uid}:{gid}:{account_name(parts[2])}",
        )
    return _user(parts[2], uid, gid)


def account_name(name: str) -> str:
    """Return `name` as useradd takes it: directories of a site allow dots, capitals and domains, which it refuses."""
    plain = re.sub(r"[^a-z0-9_-]", "-", name.rpartition("\\")[2].partition("@")[0].lower()).strip("-")
    if not plain or plain == "root":
        return FALLBACK_NAME
    return (plain if plain[0].isalpha() or plain[0] == "_" else f"u{plain}")[:MAX_NAME].rstrip("-")


def _user(name: str, uid: int, gid: int) -> ContainerUser:
    return ContainerUser(name, uid, gid, f"/home/{name}")
