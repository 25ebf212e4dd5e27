"""CMake's presets: what `cmake --preset NAME` would set, as defines and variables of an ordinary build tree.

cmake itself says what a preset means (`cmake --preset NAME -N` prints it and configures nothing), so inheritance,
included files, conditions and macros are all cmake's. The tree stays devbox's: `binaryDir` and the generator of a
preset do not count, nor do its compiler launchers, since devbox puts its own compiler cache there.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from ..events import AgentError
from ..tools import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = "Preset CMake variables:"
ENVIRONMENT = "Preset environment variables:"
ENTRY = re.compile(r'  ([^=\s]+?)="(.*)"')
LISTED = re.compile(r'^  "(.+?)"(?: +- .*)?$', re.MULTILINE)
OWN = re.compile(r"CMAKE_\w+_COMPILER_LAUNCHER(:\w+)?")


class Preset(NamedTuple):
    """What a preset sets: `defines` by the left side (`NAME` or `NAME:TYPE`), and `environ`, both in cmake's order."""

    defines: list[tuple[str, str]]
    environ: dict[str, str]

    def take(self, name: str) -> str:
        """Return the define `name`, "" if there is none, and have it no longer."""
        found = ""
        for left, right in list(self.defines):
            if left.partition(":")[0] == name:
                self.defines.remove((left, right))
                found = right
        return found


def read(name: str, source: str, cmake: str, environ: Mapping[str, str]) -> Preset:
    """Ask the program `cmake` for the configure preset `name` of the folder `source`.

    Raises AgentError where there is no such preset, or where cmake cannot read the preset files.
    """
    try:
        done = subprocess.run(
            # Since version 4 cmake is silent about it at its usual level.
            [cmake, "-S", source, "--preset", name, "-N", "--log-level=VERBOSE"], env=dict(environ),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"cmake could not be asked for the preset '{name}': {error}", hint=None) from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        known = listed(source, cmake, environ)
        there = f"; there are {', '.join(known)}" if known and name not in known else ""
        raise AgentError(
            f"there is no preset '{name}' to configure with: {' '.join(said)[:400] or 'cmake does not say why'}{there}",
            hint=f"devbox exec -- cmake -S {source} --list-presets",
        )
    return parse(done.stdout.decode("utf-8", "replace"))


def listed(source: str, cmake: str, environ: Mapping[str, str]) -> list[str]:
    """Return the configure presets of a folder that can be named here; none where cmake does not say."""
    try:
        done = subprocess.run(
            [cmake, "-S", source, "--list-presets"], env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return LISTED.findall(done.stdout.decode("utf-8", "replace"))


def parse(text: str) -> Preset:
    """Return the preset in what `cmake --preset NAME -N` prints: values stand between quotes, and are not escaped."""
    preset = Preset([], {})
    section = ""
    for line in text.splitlines():
        if line in {VARIABLES, ENVIRONMENT}:
            section = line
            continue
        entry = ENTRY.fullmatch(line)
        if entry is None:
            continue
        left, right = entry.groups()
        if section == ENVIRONMENT:
            preset.environ[left] = right
        elif section == VARIABLES and not OWN.fullmatch(left):
            preset.defines.append((left, right))
    return preset
