"""Unpacking archives that come from elsewhere: nothing lands outside its folder, and no folder is ever half there."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from devbox.errors import ImageError

MAX_BYTES = 2 << 30
MAX_FILES = 100_000


def unpack(archive: Path, folder: Path, name: str) -> None:
    """Unpack the tar `archive`, compressed or not, as the new folder `folder`. One that is there already is right.

    `name` is what errors call it. Raises ImageError where it is no archive, is too large, or has members that reach
    out of the folder or are neither files, folders nor links.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(archive) as tar:
            _extract(tar, beside, name)
        beside.chmod(0o755)
        # Another devbox that unpacked the same meanwhile has made the same.
        if not folder.is_dir():
            beside.rename(folder)
    except tarfile.ReadError:
        raise ImageError(f"{name} cannot be unpacked: it is no tar archive, or only a part of one") from None
    except (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError) as error:
        # A link to a member that is not there is a LookupError, one to itself a RecursionError.
        raise ImageError(f"{name} cannot be unpacked: {error}") from None
    except OSError as error:
        if not folder.is_dir():
            raise ImageError(f"{name} cannot be unpacked: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(tar: tarfile.TarFile, root: Path, name: str) -> None:
    """Write the members of an archive below `root`.

    Not by tarfile's own extraction: its safe form is missing in the Python 3.11 of Debian 12. Symlinks are made when
    everything else is written, so that nothing is written through one.
    """
    links: list[tuple[Path, str]] = []
    size = 0
    for count, member in enumerate(tar):
        size += member.size
        if size > MAX_BYTES or count >= MAX_FILES:
            raise ImageError(f"{name} unpacks to more than devbox takes ({MAX_BYTES >> 30} GiB, {MAX_FILES} files)")
        target = _inside(root, member.name)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if member.issym():
            links.append((target, member.linkname))
            continue
        # A hard link has the content of the member that it names; another kind has none.
        content = tar.extractfile(member) if member.isreg() or member.islnk() else None
        if content is None:
            raise tarfile.TarError(f"{member.name} is neither a file, a folder nor a link")
        with content, target.open("wb") as out:
            shutil.copyfileobj(content, out)
            size += out.tell() if member.islnk() else 0
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
    for target, destination in links:
        target.unlink(missing_ok=True)
        target.symlink_to(destination)
    top = os.path.realpath(root)
    for target, destination in links:
        if not Path(os.path.realpath(target)).is_relative_to(top):
            raise tarfile.TarError(f"{target.relative_to(root)} is a link to {destination}, outside of it")


def _inside(root: Path, name: str) -> Path:
    """Return where a member lies. An absolute name is one below `root`."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise tarfile.TarError(f"{name} lies outside of it")
    return root.joinpath(*parts)
