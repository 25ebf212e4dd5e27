"""What settings in a checkout's own files reach: such a file is the checkout's, whoever wrote it."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from devbox.config import is_checkouts, load
from devbox.config.table import FILE, OF_CHECKOUTS, TABLE
from devbox.trust import grants
from devbox.trust.content import of_files
from devbox.trust.reach import Reach, is_inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from devbox.config.table import Settings


def of_settings(
    settings: Settings, workspace: Path, environ: Mapping[str, str], keys: Sequence[str] = OF_CHECKOUTS
) -> Iterator[Reach]:
    """Yield what the settings reach beyond the container, as far as the checkout's own files say so.

    What only one command uses is left to it. A CA bundle counts wherever it lies: devbox itself trusts it when it shows
    registries your logins.
    """
    for key in keys:
        value, origin = getattr(settings, key), settings.origin(key)
        setting = TABLE[key]
        why = setting.checkouts.why(value, environ) if is_checkouts(origin, workspace) else None
        if why is None:
            continue
        where = f"({key} in {origin})"
        if setting.kind is not FILE:
            yield Reach("setting", f"{key} {setting.shown(settings.text(key))}", f"{why} {where}")
        elif not is_inside(value, workspace):
            yield Reach("setting", f"{key} {os.path.realpath(value)}", f"{why} {where}")
        elif key == "ca_bundle":
            said = f"says by {value} which registries are trusted with your logins {where}"
            yield Reach("setting", f"{key} {value}", said, content=of_files(workspace, [str(value)]))


def agreed(
    settings: Settings, workspace: Path, environ: Mapping[str, str], flags: Mapping[str, object] = MappingProxyType({})
) -> Settings:
    """Return `settings`, or the person's own alone where nobody has agreed to what those of the checkout reach."""
    missing = grants.missing(workspace, of_settings(settings, workspace, environ))
    return load(None, environ=environ, flags=flags) if missing else settings
