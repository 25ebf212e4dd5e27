"""The copies of checkouts that image builds have left: whose they are, what they take, and which may go."""

from __future__ import annotations

import contextlib
import re
import shutil
from typing import TYPE_CHECKING

from devbox.files import folder_size, lock, may_exist
from devbox.image.building.source import copies_dir, lock_path, record_of
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# A checkout that was not built for so long is copied again when it is.
UNUSED_SECONDS = 30 * 86400.0
_HASH = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class CheckoutCopy:
    """A copy in `folder`. `size` is in bytes, `used` when a build last brought it up to date (Unix time).

    `checkout` is None where it is not known, because the copy was made before that was written down.
    """

    folder: Path
    checkout: Path | None
    size: int
    used: float

    @property
    def paths(self) -> tuple[Path, ...]:
        """What there is of it on the disk."""
        return (self.folder,) if self.checkout is None else (self.folder, record_of(self.folder))

    @property
    def shown(self) -> str:
        """What it is a copy of, for people."""
        return str(self.checkout or self.folder)


def copies() -> tuple[CheckoutCopy, ...]:
    """Return the copies below devbox's cache folder, the longest unused first."""
    try:
        # What devbox did not make, it does not see.
        folders = [one for one in copies_dir().iterdir() if _HASH.fullmatch(one.name) and not one.is_symlink()]
    except OSError:
        return ()
    return tuple(sorted((_copy(folder) for folder in folders if folder.is_dir()), key=lambda one: one.used))


def prunable(
    found: Iterable[CheckoutCopy], *, now: float, older_than: float = UNUSED_SECONDS
) -> tuple[tuple[CheckoutCopy, str], ...]:
    """Return the copies that may go, each with the reason: the checkout is gone, or no build used it for so long."""
    doomed = []
    for one in found:
        if one.checkout is not None and not may_exist(one.checkout):
            doomed.append((one, "the checkout is gone"))
        elif now - one.used > older_than:
            doomed.append((one, f"no image was built from it for {int((now - one.used) // 86400)} days"))
    return tuple(doomed)


def remove(one: CheckoutCopy) -> bool:
    """Remove a copy, unless a build has used it since it was looked at: then return False. Raises OSError."""
    with lock(lock_path(one.folder), on_wait=lambda _: None):
        if _used(one.folder) > one.used:
            return False
        shutil.rmtree(one.folder)
        record_of(one.folder).unlink(missing_ok=True)
    return True


def kept_by(one: CheckoutCopy) -> str | None:
    """Remove a copy; return why it was kept, None where it is gone."""
    try:
        return None if remove(one) else "a build uses it"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


def _copy(folder: Path) -> CheckoutCopy:
    try:
        checkout: Path | None = record_of(folder).readlink()
    except OSError:
        checkout = None
    return CheckoutCopy(folder, checkout, folder_size(folder), _used(folder))


def _used(folder: Path) -> float:
    times = [0.0]
    # Without a record the folders tell when a file last came or went.
    for path in (record_of(folder), folder, *(folder.iterdir() if folder.is_dir() else ())):
        with contextlib.suppress(OSError):
            times.append(path.lstat().st_mtime)
    return max(times)
