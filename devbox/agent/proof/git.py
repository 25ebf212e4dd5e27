"""The index and HEAD of a checkout, which some trees make CMake or a command depend on."""

from __future__ import annotations

import os
import struct

from ..content import UNKNOWN
from ..hashes import blake2b

SHA1_BYTES = 20


class Git:
    """The index and HEAD of a checkout, which some trees make CMake depend on. Their content is what they say.

    git rewrites the index to refresh the stat data in it; the content here is its entries together with the commit.
    Nothing is ever written.
    """

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self._folder = self._common = ""
        self.names: tuple[str, ...] = ()
        dot = os.path.join(workspace, ".git")
        if os.path.isdir(dot):
            self._folder = self._common = dot
            self.names = (".git/HEAD", ".git/index")
        elif os.path.isfile(dot):
            text = _text(dot)
            if text.startswith("gitdir: "):
                self._folder = os.path.normpath(os.path.join(workspace, text[len("gitdir: ") :].strip()))
                common = _text(os.path.join(self._folder, "commondir")).strip()
                self._common = os.path.normpath(os.path.join(self._folder, common)) if common else self._folder
                self.names = (f"{self._folder}/HEAD", f"{self._folder}/index")

    def content(self, name: str, known: str = UNKNOWN) -> str:
        """Return the content of HEAD or the index: `entries+commit`. `known` is what it was with this stamp."""
        head = self._head()
        if name.endswith("HEAD"):
            return head
        entries = known.partition("+")[0] or index_entries(os.path.join(self._folder, "index"))
        return f"{entries}+{head}" if entries and head else UNKNOWN

    def tags(self) -> list[str]:
        """Return the files and folders that hold the tags: the packed ones, and those in files of their own."""
        loose = os.path.join(self._common, "refs", "tags")
        files = [os.path.join(place, name) for place, _, names in os.walk(loose) for name in names]
        places = [os.path.join(self._common, "packed-refs"), *(place for place, _, _ in os.walk(loose)), *files]
        return [place for place in places if os.path.exists(place)]

    def _head(self) -> str:
        head = _text(os.path.join(self._folder, "HEAD")).strip()
        if not head.startswith("ref: "):
            return head
        ref = head[len("ref: ") :]
        for folder in (self._folder, self._common):
            commit = _text(os.path.join(folder, ref)).strip()
            if commit:
                return f"{ref}={commit}"
        for line in _text(os.path.join(self._common, "packed-refs")).splitlines():
            if line.endswith(f" {ref}"):
                return f"{ref}={line.partition(' ')[0]}"
        return UNKNOWN


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""


def index_entries(path: str) -> str:
    """Return a hash of a git index's entries (mode, object, stage, path) without stat data; unknown if unreadable.

    Versions 2 to 4 with SHA-1 names are understood (gitformat-index). A split index keeps its entries elsewhere:
    unknown.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        signature, version, count = struct.unpack_from(">4sII", data)
        if signature != b"DIRC" or version not in {2, 3, 4} or count == 0:
            return UNKNOWN
        digest, end = _hash_entries(data, version, count)
        return UNKNOWN if _has_extension(data, end, b"link") else digest
    except (OSError, struct.error, IndexError, ValueError):
        return UNKNOWN


def _has_extension(data: bytes, offset: int, name: bytes) -> bool:
    while offset + 8 <= len(data) - SHA1_BYTES:
        signature, size = struct.unpack_from(">4sI", data, offset)
        if signature == name:
            return True
        offset += 8 + size
    return False


def _hash_entries(data: bytes, version: int, count: int) -> tuple[str, int]:
    hasher = blake2b(digest_size=16)
    offset = 12
    path = b""
    for _ in range(count):
        (mode,) = struct.unpack_from(">I", data, offset + 24)
        name = data[offset + 40 : offset + 60]
        (flags,) = struct.unpack_from(">H", data, offset + 60)
        start = offset + 62
        if version > 2 and flags & 0x4000:
            start += 2
        if version == 4:
            drop, start = _offset_number(data, start)
            end = data.index(b"\0", start)
            path = path[: len(path) - drop] + data[start:end]
            offset = end + 1
        else:
            end = data.index(b"\0", start)
            path = data[start:end]
            offset += (end - offset + 8) & ~7
        hasher.update(b"%o %b %d %b\0" % (mode, name, (flags >> 12) & 3, path))
    return hasher.hexdigest(), offset


def _offset_number(data: bytes, offset: int) -> tuple[int, int]:
    byte = data[offset]
    value = byte & 0x7F
    while byte & 0x80:
        offset += 1
        byte = data[offset]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, offset + 1
