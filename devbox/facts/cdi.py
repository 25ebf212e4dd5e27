"""Names of devices in CDI specifications: the files that tell an engine what `--device nvidia.com/gpu=all` means.

A specification is JSON or YAML. The YAML that generators write is read by a few rules, not by a YAML parser: only the
kind and the names of the devices matter here, and the engine itself is the judge of the rest.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.agent.cgroup import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# Where Podman looks by itself, and the files that say otherwise, the last one most: containers.conf(5).
_PODMAN_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_PODMAN_FILES = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")


def podman_folders(environ: Mapping[str, str], *, rootless: bool) -> tuple[str, ...]:
    """Return the folders of specifications of a Podman on this machine, by its configuration."""
    import tomllib

    own = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    files = [*_PODMAN_FILES, *([f"{own}/containers/containers.conf"] if rootless else [])]
    files = [one for file in files for one in (file, *sorted(map(str, Path(f"{file}.d").glob("*.conf"))))]
    found: tuple[str, ...] = _PODMAN_FOLDERS
    for file in files:
        try:
            said = tomllib.loads(read_file(file) or "").get("engine", {}).get("cdi_spec_dirs")
            found = tuple(map(str, said)) if said else found
        except (ValueError, AttributeError, TypeError):
            continue
    return found


def seen(directories: Iterable[str], pid: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return `directories` as the engine's process `pid` sees them, and those of them that it cannot look into.

    A rootless Docker has an /etc and a /run of its own, in which the host's folders are links if they were there when
    it started (`rootlesskit --copy-up`), and what reads specifications follows no link (Go's filepath.Walk). None is an
    engine without that; what one sees that is not this user's is not known, and taken for what is seen here.
    """
    top = "" if pid is None else f"/proc/{pid}/root"
    if not os.path.isdir(top):  # noqa: PTH112
        top, pid = "", None
    # In the other tree a link would lead back into this one's.
    places = {one: Path(top + (one if pid is None else one.replace("/var/run/", "/run/", 1))) for one in directories}
    # What may not be looked into raises nothing here.
    blind = [one for one, place in places.items() if os.path.islink(place) or not os.path.isdir(place)]  # noqa: PTH112, PTH114
    hidden = tuple(one for one in blind if any(Path(one).glob("*")))
    return tuple(str(place) for one, place in places.items() if one not in hidden), hidden


# `hostPath` of a mount or a device node, in YAML and in JSON; a node without one is called the same on the host.
_HOST_PATH = re.compile(r"""\b(?:hostPath|path(?=["']?:\s*["']?/dev/nvidia))["']?:\s*["']?(/[^\s,}"']*)""")


def devices(directories: Iterable[str]) -> tuple[str, ...]:
    """Return the qualified names (`nvidia.com/gpu=0`) in the specifications of `directories`, sorted, each once."""
    names: set[str] = set()
    for directory in directories:
        for file in _specifications(directory):
            names.update(names_in(read_file(str(file)) or "", yaml=file.suffix != ".json"))
    return tuple(sorted(names))


def lost(directories: Iterable[str]) -> tuple[tuple[Path, str], ...]:
    """Return the specifications that name files of the host which are not there, each with the first of these.

    A driver that was renewed leaves such a one behind: it names the libraries of the former version.
    """
    found = []
    for directory in directories:
        for file in _specifications(directory):
            paths = _HOST_PATH.findall(read_file(str(file)) or "")
            missing = next((path for path in paths if not os.path.lexists(path)), None)
            if missing is not None:
                found.append((file, missing))
    return tuple(found)


def _specifications(directory: str) -> list[Path]:
    try:
        return sorted(file for file in Path(directory).iterdir() if file.suffix in {".json", ".yaml", ".yml"})
    except OSError:
        return []


def names_in(text: str, *, yaml: bool) -> tuple[str, ...]:
    """Return the qualified names of one specification's devices, in its order. A broken one has none."""
    return _names_in_yaml(text) if yaml else _names_in_json(text)


def _names_in_json(text: str) -> tuple[str, ...]:
    try:
        spec = json.loads(text)
        return tuple(f"{spec['kind']}={device['name']}" for device in spec["devices"])
    except (ValueError, TypeError, KeyError):
        return ()


def _names_in_yaml(text: str) -> tuple[str, ...]:
    kind, section, names = "", "", []
    item: int | None = None
    for raw in text.splitlines():
        line = raw.rstrip()
        stripped = line.lstrip(" ")
        if not stripped or stripped.startswith("#"):
            continue
        indent = len(line) - len(stripped)
        dash = stripped.startswith("- ")
        if indent == 0 and not dash:
            section, item = stripped.partition(":")[0], None
            if section == "kind":
                kind = _scalar(stripped)
            continue
        if section != "devices":
            continue
        if dash and (item is None or indent <= item):
            item = indent
            # The key after the dash belongs to the device, as if it stood on a line of its own.
            stripped = stripped[2:].lstrip(" ")
        elif dash or item is None or indent != item + 2:
            continue
        if stripped.startswith("name:"):
            names.append(_scalar(stripped))
    return tuple(f"{kind}={name}" for name in names) if kind else ()


def _scalar(line: str) -> str:
    value = line.partition(":")[2].strip()
    if value[:1] in {"'", '"'}:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def of_kind(names: Iterable[str], kind: str) -> Iterator[str]:
    """Yield what follows `kind=` in those of `names` that are of that kind ("nvidia.com/gpu")."""
    for name in names:
        vendor, equals, device = name.partition("=")
        if equals and vendor == kind:
            yield device
