"""The targets of a tree: which of them are near to one that there is not."""

from __future__ import annotations

import difflib
import re

_UNKNOWN = re.compile(r"unknown target '(.+?)'")
_SHOWN = 8
_OWN_RULES = frozenset({"RERUN_CMAKE", "CLEAN", "HELP"})
_OWN = frozenset({"all", "CMakeCache.txt", "edit_cache", "rebuild_cache", "list_install_components"})


def unknown(error: str) -> str | None:
    """Return the target that ninja's `error` says there is not; None for any other error."""
    found = _UNKNOWN.search(error)
    return found.group(1) if found else None


def nearest(name: str, listed: str) -> str:
    """Return a line with the targets that are near to `name`, of those that `ninja -t targets all` has `listed`."""
    pairs = (line.rpartition(": ")[::2] for line in listed.splitlines())
    # What a person names: a library, a program or a task of the project, and no object, nor what CMake has for itself.
    names = {name for name, rule in pairs if name and "/" not in name and rule not in _OWN_RULES}
    targets = sorted(one for one in names if one not in _OWN and not one.startswith("cmake_"))
    part = [one for one in targets if name.lower() in one.lower()]
    near = list(dict.fromkeys([*difflib.get_close_matches(name, targets, _SHOWN, 0.5), *part]))[:_SHOWN]
    if near:
        return "the nearest targets: " + ", ".join(near)
    more = ", …" if len(targets) > _SHOWN else ""
    return "the targets are " + ", ".join(targets[:_SHOWN]) + more if targets else ""
