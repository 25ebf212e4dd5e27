"""Wheels: where the build backend works, and adding the files of the C++ part that the build tree already has."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import os
import re
import shutil
import zipfile
from typing import TYPE_CHECKING

from ..events import AgentError
from ..files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BACKEND = re.compile(r"""^\s*build-backend\s*=\s*["']([^"']+)""", re.MULTILINE)


@contextlib.contextmanager
def staged(folder: str) -> Iterator[None]:
    """Give an empty folder for the block, and remove it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def setuptools_settings(project: str, work: str) -> list[str]:
    """Return pip's options that let setuptools work in the folder `work` and not in the checkout; none for others.

    What it collected for an earlier wheel goes first: it would put modules that were deleted since into this one.
    Objects that it compiled stay.
    """
    try:
        with open(os.path.join(project, "pyproject.toml"), encoding="utf-8", errors="replace") as stream:
            found = BACKEND.search(stream.read())
    except OSError:
        found = None
    if found is not None and not found.group(1).startswith("setuptools"):
        return []
    for name in os.listdir(work) if os.path.isdir(work) else ():
        if not name.startswith("temp"):
            shutil.rmtree(os.path.join(work, name), ignore_errors=True)
    return ["--config-settings=--global-option=build", f"--config-settings=--global-option=--build-base={work}"]


def only(folder: str) -> str:
    """Return the one wheel in a folder. Raises AgentError if there is none."""
    for name in os.listdir(folder):
        if name.endswith(".whl"):
            return os.path.join(folder, name)
    raise AgentError("pip made no wheel", hint="devbox build --wheel -v   # shows what it said")


def built_files(state: str, project: str) -> dict[str, str]:
    """Return what the last build installed below `project`: files by their path in the wheel."""
    known = read_json(os.path.join(state, "installed.json")) or {}
    prefix = known.get("prefix") or ""
    found = {}
    for name in known.get("files") or ():
        path = os.path.join(prefix, name)
        inner = os.path.relpath(path, project)
        if not inner.startswith(os.pardir) and os.path.isfile(path):
            found[inner] = path
    return found


def add(wheel: str, files: Mapping[str, str]) -> list[str]:
    """Add files to the packages in a wheel, in place of what it has of that name; return those that changed it.

    Files outside its packages are none of the wheel's. Raises AgentError where the wheel claims to fit every platform.
    """
    with zipfile.ZipFile(wheel) as old:
        members = {info.filename: info for info in old.infolist()}
        packages = {name.partition("/")[0] for name in members if "/" in name}
        packages = {name for name in packages if not name.endswith((".dist-info", ".data"))}
        wanted = {
            name: path
            for name, path in files.items()
            if name.partition("/")[0] in packages and not (name in members and _same(old, members[name], path))
        }
        if not wanted:
            return []
        if wheel.endswith("-any.whl"):
            raise AgentError(
                f"{os.path.basename(wheel)} is for any platform, and cannot hold {min(wanted)}",
                hint="set wheel_env in the framework's [python] to what makes the backend build for this platform",
            )
        beside = f"{wheel}.new"
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as new:
            rows = _copy(old, new, wanted)
            record = next(name for name in members if name.endswith(".dist-info/RECORD"))
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
            new.writestr(members[record], text.getvalue())
    os.replace(beside, wheel)
    return sorted(wanted)


def _copy(old: zipfile.ZipFile, new: zipfile.ZipFile, wanted: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Write the members of `old`, with `wanted` in their places, to `new`; return the rows of its RECORD."""
    rows = []
    for info in old.infolist():
        if info.filename in wanted or info.filename.endswith(".dist-info/RECORD") or info.is_dir():
            continue
        with old.open(info) as source:
            rows.append(_write(new, info, source))
    for name, path in sorted(wanted.items()):
        info = zipfile.ZipInfo.from_file(path, name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with open(path, "rb") as source:
            rows.append(_write(new, info, source))
    return rows


def _write(new: zipfile.ZipFile, info: zipfile.ZipInfo, source: object) -> tuple[str, str, str]:
    hashed, size = hashlib.sha256(), 0
    with new.open(info, "w", force_zip64=info.file_size > 1 << 30) as target:
        while True:
            data: bytes = source.read(1 << 20)  # type: ignore[attr-defined]
            if not data:
                break
            hashed.update(data)
            size += len(data)
            target.write(data)
    text = base64.urlsafe_b64encode(hashed.digest()).rstrip(b"=").decode()
    return info.filename, f"sha256={text}", str(size)


def _same(old: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> bool:
    if info.file_size != os.path.getsize(path):
        return False
    with old.open(info) as one, open(path, "rb") as other:
        return one.read() == other.read()


def deliver(wheel: str, folder: str) -> str:
    """Move a wheel into a folder, in one step once it is there whole; return its place."""
    os.makedirs(folder, exist_ok=True)
    place = os.path.join(folder, os.path.basename(wheel))
    beside = os.path.join(folder, f".{os.path.basename(wheel)}.{os.getpid()}")
    try:
        shutil.copyfile(wheel, beside)
        os.replace(beside, place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
    return place
