"""What every command that removes says: names first, then the question; what was kept, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.errors import UsageError
from devbox.ui.console import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.cli.application import Application
    from devbox.disk.prune import Going

_AGE = re.compile(r"(\d+)\s*(min|h|d|w)")
_SECONDS = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_age(text: str) -> float:
    """Read an age such as `30d`, `12h`, `45min` or `2w`, in seconds. Raises UsageError."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is no age", hint="--older-than 30d   # or 12h, 45min, 2w")
    return float(int(match[1]) * _SECONDS[match[2]])


def agreed(run: Application, goings: Iterable[Going], *, again: str, yes: bool, dry_run: bool) -> bool:
    """Name what goes, with size and reason, and ask. Raises RefusedError for a no; a dry run is not asked: False."""
    found = list(goings)
    run.console.yes = yes
    for one in found:
        run.console.info(f"{one.name}{'' if one.size is None else f' ({size(one.size)})'}: {one.reason}")
    if dry_run:
        return False
    kinds = [(kind, [one for one in found if one.kind == kind]) for kind in dict.fromkeys(one.kind for one in found)]
    what = ", ".join(counted(len(ones), kind) if kind != "files" else "unused files" for kind, ones in kinds)
    run.agree(f"Remove {what} ({size(sum(one.size or 0 for one in found))})?", again)
    return True


def were_kept(run: Application, kept: Iterable[Going]) -> None:
    """Say what was not removed, and why."""
    for one in kept:
        run.console.warn(f"{one.name} was kept: {one.reason}")
