"""What the sources of a workspace are now: which files there are, their stamps, and the content of those that moved.

A folder is no source if it is version control's, a package manager's, or says itself that it holds what tools made:

    .git .hg .svn node_modules __pycache__      by name
    CMakeCache.txt pyvenv.cfg CACHEDIR.TAG      by a file in it

The content of a file is a hash of its bytes. It is read again only where the stamp differs from the one that came with
the known content; git's index is never asked, since filters, LFS and `assume-unchanged` make "clean by git" untrue.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from ..files import Stamp, stamp, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

GIT = ".git"
NOT_SOURCES = frozenset({GIT, ".hg", ".svn", "node_modules", "__pycache__"})
BUILD_MARK = "CMakeCache.txt"
MARKS = frozenset({BUILD_MARK, "pyvenv.cfg", "CACHEDIR.TAG"})

# Models and archives lie in checkouts too, and nobody compiles a file of this size: its content counts as unknown.
LARGE = 256 << 20
# The kernel's clock for file times ticks every few milliseconds. Two writes within one tick leave equal stamps.
FINE_TICK_NS = 20_000_000
COARSE_TICK_NS = 1_000_000_000

MANY = 100
SHA1_BYTES = 20
LINK = "@"
UNKNOWN = ""


class Entry(NamedTuple):
    """A source file as a record knows it: the content, then the fields of its stamp.

    Its path, which the maps of entries have as their key, is relative to the workspace, or absolute outside it. The
    content of a symlink is `@` and where it points to; its stamp is the link's own.
    """

    content: str
    mtime: int
    size: int
    ctime: int
    inode: int

    @property
    def stamp(self) -> Stamp:
        """The entry's stamp."""
        return Stamp(self.mtime, self.size, self.ctime, self.inode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symlink."""
        return self.content.startswith(LINK)


class Found(NamedTuple):
    """A walk's result. `links` holds where symlinks point to, `foreign` the user's own build trees in the checkout."""

    stamps: dict[str, Stamp]
    links: dict[str, str]
    foreign: list[str]


def walk(root: str, *, prefix: str = "", leave_out: Collection[str] = ()) -> Found:
    """Return the source files below `root`; their paths start with `prefix`. `leave_out` are no sources."""
    found = Found({}, {}, [])
    pending = [""]
    while pending:
        inner = pending.pop()
        try:
            with os.scandir(os.path.join(root, inner)) as listing:
                entries = list(listing)
        except OSError:  # removed meanwhile, or not ours to read: then the compiler cannot read it either
            continue
        if inner:
            marks = MARKS.intersection(entry.name for entry in entries)
            if marks:
                if BUILD_MARK in marks:
                    found.foreign.append(prefix + inner.rstrip("/"))
                continue
        elif any(entry.name == BUILD_MARK for entry in entries):
            found.foreign.append(prefix or ".")
        _sort_in(found, entries, prefix, inner, pending)
    for path in leave_out:
        found.stamps.pop(path, None)
    return found


def _sort_in(found: Found, entries: Iterable[os.DirEntry[str]], prefix: str, inner: str, pending: list[str]) -> None:
    for entry in entries:
        name = entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                if name not in NOT_SOURCES:
                    pending.append(f"{inner}{name}/")
                continue
            if name == GIT:  # a worktree's or a submodule's, which says where the repository is
                continue
            if entry.is_symlink():
                found.links[prefix + inner + name] = os.readlink(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                continue
            found.stamps[prefix + inner + name] = stamp(entry.stat(follow_symlinks=False))
        except OSError:
            continue


def digest_file(path: str) -> str:
    """Return the hash of a file's bytes; unknown (never equal to anything) if it is large, unreadable or gone."""
    try:
        with open(path, "rb", buffering=0) as stream:
            if os.fstat(stream.fileno()).st_size > LARGE:
                return UNKNOWN
            hasher = hashlib.blake2b(digest_size=16)
            while True:
                chunk = stream.read(1 << 20)
                if not chunk:
                    return hasher.hexdigest()
                hasher.update(chunk)
    except OSError:
        return UNKNOWN


class Sources:
    """The sources of one build tree: the workspace, the tree's own FetchContent checkouts, and git's index and HEAD."""

    def __init__(self, workspace: str, tree: str, leave_out: Collection[str] = ()) -> None:
        """Take two absolute folders, and the workspace's files that are no sources (what the build installs there)."""
        self.workspace = workspace
        self.tree = tree
        self.leave_out = leave_out
        self.git = Git(workspace)
        self.foreign: list[str] = []

    def path(self, name: str) -> str:
        """Return the absolute path of an entry."""
        return os.path.join(self.workspace, name)

    def stamps(self) -> Found:
        """Return what is there now."""
        found = walk(self.workspace, leave_out=self.leave_out)
        checkouts = os.path.join(self.tree, "_deps")
        if os.path.isdir(checkouts):
            for name in sorted(os.listdir(checkouts)):
                if name.endswith("-src"):
                    root = os.path.join(checkouts, name)
                    inner = walk(root, prefix=root + "/")
                    found.stamps.update(inner.stamps)
                    found.links.update(inner.links)
        for name in self.git.names:
            known = stamp_of(self.path(name))
            if known is not None:
                found.stamps[name] = known
        self.foreign = found.foreign
        return found

    def entries(
        self, known: Mapping[str, Entry], more: Callable[[], Sequence[Mapping[str, Entry]]]
    ) -> dict[str, Entry]:
        """Return what is there now, with contents. Read are those whose stamp is not that of the `known` entry.

        Where many would have to be read, `more` is asked first for other entries that may have their stamps.
        """
        found = self.stamps()
        result: dict[str, Entry] = {}
        fresh = []
        for name, now in found.stamps.items():
            entry = known.get(name)
            if entry is not None and entry[1:] == now:
                result[name] = entry
            else:
                fresh.append(name)
        if fresh:
            self._read(fresh, found, more() if len(fresh) > MANY else (), result)
        for name in self.git.names:
            entry = result.get(name)
            if entry is not None:
                result[name] = entry._replace(content=self.git.content(name, entry.content))
        return result

    def _read(
        self, names: Sequence[str], found: Found, known: Sequence[Mapping[str, Entry]], result: dict[str, Entry]
    ) -> None:
        await_tick(found.stamps[name] for name in names)
        for name in names:
            if name in found.links:
                result[name] = Entry(LINK + found.links[name], *found.stamps[name])
                continue
            now = stamp_of(self.path(name))
            if now is None:
                continue
            entry = next(
                (entry for entry in (entries.get(name) for entries in known) if entry and entry[1:] == now), None
            )
            result[name] = entry or Entry(self.content(name), *now)

    def belonging_to_others(self, names: Iterable[str]) -> str:
        """Return the first of the files whose time this user may not set, "" if there is none."""
        user = os.geteuid()
        for name in names if user else ():
            with contextlib.suppress(OSError):
                if os.lstat(self.path(name)).st_uid != user:
                    return name
        return ""

    def content(self, name: str) -> str:
        """Read the content of a regular file anew."""
        return self.git.content(name) if name in self.git.names else digest_file(self.path(name))


def await_tick(stamps: Iterable[Stamp]) -> None:
    """Wait until no file changed within the running tick of the clock: then a later write shows in its stamp."""
    now = time.time_ns()
    wait = 0
    for one in stamps:
        tick = FINE_TICK_NS if one.ctime % COARSE_TICK_NS else COARSE_TICK_NS
        age = now - one.ctime
        if 0 <= age < tick:
            wait = max(wait, tick - age)
    if wait:
        time.sleep(wait / 1e9)


class Git:
    """The index and HEAD of a checkout, which some trees make CMake depend on. Their content is what they say.

    git rewrites the index to refresh the stat data in it; the content here is its entries together with the commit.
    Nothing is ever written.
    """

    def __init__(self, workspace: str) -> None:
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
    hasher = hashlib.blake2b(digest_size=16)
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
