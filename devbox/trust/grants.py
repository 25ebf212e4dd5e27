"""What a person has agreed to, by workspace, outside the checkout: nothing in the checkout, and no container, gives it.

`trust/HASH.json` holds what is agreed to in one workspace, `trust/log.jsonl` each grant and each revocation, in order,
`trust/claims/HASH.json` what devbox has made on the engine for it.
A file that belongs to somebody else, or that others can write, is not believed.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.devcontainer.identity import workspace_hash
from devbox.errors import RefusedError
from devbox.files import private_folder, write_atomically
from devbox.lean import stored
from devbox.paths import state_dir
from devbox.trust.content import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from devbox.trust.reach import Reach

    Key = tuple[str, str, str, str]

SCHEMA = 1
LOG = "log.jsonl"


class Grant(NamedTuple):
    """Something that was agreed to in a workspace: the key of a `Reach`, its sentence, when, and how it was asked."""

    kind: str
    value: str
    mode: str
    content: str
    said: str
    when: str
    how: str

    @property
    def key(self) -> Key:
        """What has to be the same for it to hold."""
        return (self.kind, self.value, self.mode, self.content)


class Agreed(NamedTuple):
    """What is kept of one workspace: what was agreed to, and the kinds that were refused for good (the agent)."""

    workspace: str
    grants: tuple[Grant, ...] = ()
    refused: tuple[str, ...] = ()


def missing(workspace: Path, reach: Iterable[Reach]) -> tuple[Reach, ...]:
    """Return what of `reach` the person has not agreed to in this workspace."""
    wanted = tuple(reach)
    if not wanted:
        return ()
    there = {grant.key for grant in recall(workspace).grants}
    return tuple(one for one in wanted if one.key not in there)


def recall(workspace: Path) -> Agreed:
    """Return what is kept of a workspace; nothing where there is nothing that can be believed."""
    return _read(_file(workspace)) or Agreed(os.path.realpath(workspace))


def known() -> tuple[Agreed, ...]:
    """Return what is kept of all workspaces, by their folders."""
    found = [_read(path) for path in sorted(_folder().glob("*.json"))]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.workspace))


def grant(workspace: Path, reach: Sequence[Reach], how: str) -> None:
    """Remember that the person agreed to `reach`. Raises RefusedError if it cannot be kept."""
    before = recall(workspace)
    there = {one.key for one in before.grants}
    now = _now()
    new = tuple(Grant(*one.key, one.said, now, how) for one in reach if one.key not in there)
    if new:
        _keep(workspace, before._replace(grants=(*before.grants, *new)))
        _log(workspace, "granted", how, [one.said for one in new], now)


def refuse(workspace: Path, kind: str) -> None:
    """Remember that the person does not want `kind` in this workspace, and is not to be asked again."""
    before = recall(workspace)
    if kind not in before.refused:
        _keep(workspace, before._replace(refused=(*before.refused, kind)))
        _log(workspace, "refused", "asked", [kind], _now())


def revoke(workspace: Path, kinds: Sequence[str] = ()) -> tuple[Grant, ...]:
    """Forget what was agreed to in a workspace, all of it or that of some kinds; return what that was."""
    before = recall(workspace)
    gone = tuple(one for one in before.grants if not kinds or one.kind in kinds)
    refused = tuple(kind for kind in before.refused if kinds and kind not in kinds)
    if gone or refused != before.refused:
        kept = tuple(one for one in before.grants if one not in gone)
        _keep(workspace, before._replace(grants=kept, refused=refused))
        _log(workspace, "revoked", "devbox trust revoke", [one.said for one in gone], _now())
    if not kinds:
        _claims_file(workspace).unlink(missing_ok=True)
    return gone


def claims(workspace: Path) -> dict[str, str]:
    """Return what devbox has made or used on the engine for this workspace: by kind and name, what tells it apart."""
    data = _json(_claims_file(workspace))
    found = data.get("claims") if data is not None else None
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def claim(workspace: Path, things: Mapping[str, str]) -> None:
    """Remember that `things` of the engine are this workspace's. Raises RefusedError if they cannot be kept."""
    before = claims(workspace)
    if things.items() - before.items():
        data = {"workspace": os.path.realpath(workspace), "claims": {**before, **things}}
        _write(_claims_file(workspace), data)


def choices(workspace: Path, framework: str) -> dict[str, str]:
    """Return the choices that devbox itself recorded last for `framework` in this workspace.

    What a contract itself records may have been written by anybody who can write into the checkout.
    """
    data = _json(_choices_file(workspace, framework))
    found = data.get("choices") if data is not None else None
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def remember_choices(workspace: Path, framework: str, chosen: Mapping[str, object]) -> None:
    """Keep the choices that devbox writes into a contract. Raises RefusedError if they cannot be kept."""
    data = {"workspace": os.path.realpath(workspace), "choices": {key: str(value) for key, value in chosen.items()}}
    _write(_choices_file(workspace, framework), data)


def keyed_digest(text: str) -> str:
    """Return a digest of a secret by which nobody can guess it who has not this user's key, and not in any short time.

    Raises RefusedError if the key cannot be kept.
    """
    import hashlib

    path = _folder() / "key"
    key = (_json(path) or {}).get("key")
    if not isinstance(key, str):
        key = os.urandom(32).hex()
        _write(path, {"key": key})
    return hashlib.scrypt(text.encode(), salt=key.encode(), n=1 << 14, r=8, p=1, dklen=8).hex()


def _folder() -> Path:
    return state_dir() / "trust"


def _file(workspace: Path) -> Path:
    return _folder() / f"{workspace_hash(os.path.realpath(workspace))}.json"


def _choices_file(workspace: Path, framework: str) -> Path:
    return _folder() / "choices" / f"{digest([os.path.realpath(workspace), framework])}.json"


def _claims_file(workspace: Path) -> Path:
    return _folder() / "claims" / _file(workspace).name


def _json(path: Path) -> dict[str, Any] | None:
    """Return an object that this user alone can have written, or None."""
    try:
        data = json.loads(stored(path, mine=True))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == SCHEMA else None


def _read(path: Path) -> Agreed | None:
    data = _json(path)
    if data is None:
        return None
    try:
        grants = tuple(Grant(*map(str, one)) for one in data["grants"])
        return Agreed(str(data["workspace"]), grants, tuple(map(str, data["refused"])))
    except (KeyError, TypeError):
        return None


def _keep(workspace: Path, agreed: Agreed) -> None:
    _write(_file(workspace), {"workspace": agreed.workspace, "grants": agreed.grants, "refused": agreed.refused})


def _write(path: Path, data: dict[str, Any]) -> None:

    try:
        private_folder(path.parent)
        write_atomically(path, json.dumps({"schema": SCHEMA, **data}, indent=1) + "\n", mode=0o600)
    except OSError as error:
        raise RefusedError(
            f"what you agree to cannot be kept in {path.parent}: {error.strerror}", hint="set DEVBOX_STATE_DIR"
        ) from None


def _log(workspace: Path, what: str, how: str, said: Sequence[str], when: str) -> None:
    """Append a line; one write, so that two at once do not mix."""
    entry = {"when": when, "what": what, "how": how, "workspace": os.path.realpath(workspace), "reach": list(said)}
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(_folder() / LOG, flags, 0o600)
    try:
        os.write(descriptor, (json.dumps(entry) + "\n").encode())
    finally:
        os.close(descriptor)


def _now() -> str:

    return datetime.now(UTC).isoformat(timespec="seconds")
