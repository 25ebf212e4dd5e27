"""The doctor's findings as a text for a bug report: with what is installed, and without what is nobody's business."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from devbox._version import __version__
from devbox.errors import DevboxError, UsageError
from devbox.masking import is_secret, masked
from devbox.paths import home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.engine.docker import Engine
    from devbox.finding import Finding

# Programs whose version matters, and what tells it.
_PROGRAMS = (
    ["version", "--format", "{{.Client.Version}} / {{.Server.Version}}"],
    ["buildx", "version"],
    ["compose", "version"],
)
# Variables that change what devbox or docker does.
_PREFIXES = (
    "DEVBOX_",
    "DOCKER_",
    "BUILDX_",
    "COMPOSE_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "LANG",
    "LC_",
    "SSL_CERT",
)


def report(engine: Engine, findings: Sequence[Finding], mask: Callable[[str], str]) -> str:
    """Return the report as Markdown. Secrets are masked, and the home folder is `~`."""
    lines = [
        f"- devbox {__version__}, Python {platform.python_version()}",
        f"- {_system()}, Linux {platform.release()} {platform.machine()}",
        *(f"- docker {' '.join(argv[:1])}: {_said(engine, argv)}" for argv in _PROGRAMS),
    ]
    environ = [
        f"{name}={'…' if is_secret(name, value) else masked(value)}"
        for name, value in sorted(engine.environ.items())
        if name.upper().startswith(_PREFIXES)
    ]
    found = [
        f"{one.severity:<7} {one.check}: {one.sentence}" + (f"\n        {one.remedy}" if one.remedy else "")
        for one in findings
    ]
    text = "\n".join(["### devbox doctor", "", *lines, "", "```", *found, *(["", *environ] if environ else []), "```"])
    return mask(_without_home(text))


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _said(engine: Engine, argv: Sequence[str]) -> str:
    try:
        done = engine.run(argv, check=False, timeout=10)
    except DevboxError as error:
        return error.message
    return (done.stdout.strip() or done.stderr.strip() or f"exit code {done.code}").splitlines()[0]


def _without_home(text: str) -> str:
    try:
        place = str(home())
    except UsageError:
        return text
    return text.replace(place, "~") if place not in {"/", os.sep} else text
