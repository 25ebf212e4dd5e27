"""Mounts as a person writes them: the value of docker's `--mount`, or the short form of `-v`."""

from __future__ import annotations

import posixpath
import re

from devbox.engine.spec import Mount
from devbox.errors import ContractError, UsageError

FORMS = "--mount SOURCE:TARGET[:ro], or --mount type=bind,source=SOURCE,target=TARGET"
_LONG = re.compile(r'"?[A-Za-z-]+[=,]', re.ASCII)
_READONLY = {"": False, "rw": False, "ro": True}


def mount(text: str) -> Mount:
    """Read a mount: the value of docker's `--mount`, or the short form of `-v`. Raises UsageError."""
    if _LONG.match(text):
        try:
            found = Mount.parse(text)
        except ContractError as error:
            raise UsageError(error.message, hint=FORMS) from None
    else:
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        if not source or not target or mode not in _READONLY:
            raise UsageError(f"'{text}' is no mount", hint=FORMS)
        found = Mount("bind" if source.startswith("/") else "volume", target, source, readonly=_READONLY[mode])
    target = posixpath.normpath(found.target)
    if not target.startswith("/") or target.strip("/") == "":
        raise UsageError(f"the mount '{text}' needs a folder in the container, from / on", hint=FORMS)
    if found.type == "bind" and not (found.source or "").startswith("/"):
        raise UsageError(f"the mount '{text}' needs a path on this machine, from / on", hint=FORMS)
    if found.type == "volume" and "/" in (found.source or ""):
        raise UsageError(f"the mount '{text}' names a folder as a volume", hint=FORMS)
    return Mount(found.type, f"/{target.lstrip('/')}", found.source, found.readonly, found.options)
