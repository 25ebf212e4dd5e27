"""What settings in a checkout's own files reach: such a file is the checkout's, whoever wrote it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devbox.config import is_checkouts
from devbox.config.table import FILE, TABLE
from devbox.trust.content import of_files
from devbox.trust.reach import Reach, is_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.config.table import Settings

# Those that name a file or a folder of the host. What else reaches it, a checkout cannot set at all.
_PATHS = tuple(key for key, setting in TABLE.items() if setting.kind is FILE)


def of_settings(settings: Settings, workspace: Path) -> Iterator[Reach]:
    """Yield what the settings name outside the workspace, as far as its own files say so.

    A CA bundle counts wherever it lies: devbox itself trusts it when it shows registries your logins.
    """
    for key in _PATHS:
        value, origin = getattr(settings, key), settings.origin(key)
        if value is None or not is_checkouts(origin, workspace):
            continue
        where = f"({key} in {origin})"
        if not is_inside(value, workspace):
            yield Reach("setting", f"{key} {os.path.realpath(value)}", f"takes {value} of the host for builds {where}")
        elif key == "ca_bundle":
            said = f"says by {value} which registries are trusted with your logins {where}"
            yield Reach("setting", f"{key} {value}", said, content=of_files(workspace, [str(value)]))
