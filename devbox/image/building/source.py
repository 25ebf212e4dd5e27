"""A checkout as an image build reads it: the files that git knows or would add, and nothing that it ignores.

BuildKit takes a folder as a context and leaves out only what a `.dockerignore` at its top names, by other rules than
git's. So the files are kept as a copy of their own, which is brought up to date before each build: only what changed is
copied, and BuildKit in turn is sent only that. A build tree, `.git` and caches in the checkout cost nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer.identity import absolute, workspace_hash
from devbox.errors import ImageError
from devbox.facts.git import git
from devbox.files import in_real_folder, lock
from devbox.frameworks import stated
from devbox.paths import cache_dir, state_dir
from devbox.trust.reach import is_inside
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.frameworks.model import Framework

# Where `devbox image build dist` puts what it has built. It is no source of the next build.
OUTPUT = "dist"
# What is left out of a checkout without git. `.dockerignore` is left out of every one: it is for another context.
_SKIPPED = re.compile(
    r"\.git|\.hg|\.venv|venv|dist|build|build[-_].*|cmake-build-.*|node_modules|__pycache__|\.[a-z]*_cache"
)
# Parts of a path that git itself would never take into its index.
_NOWHERE = frozenset({"", ".", "..", ".git"})
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-g(?P<commit>[0-9a-f]+)")
# setuptools-scm's default: an optional prefix that ends with a dash, an optional v, and the version.
_TAG = re.compile(r"(?:[\w-]+-)?[vV]?(?P<version>\d+(?:\.\d+)*\S*)")
_AT_ONCE = 1 << 20
_PKG_INFO = re.compile(r"^Version: (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """The copy of a checkout: its `folder`, how many files it has and their `size` in bytes, and how many were new."""

    folder: Path
    files: int
    size: int
    copied: int


@dataclass(frozen=True, slots=True)
class Revision:
    """What a checkout is: its commit, and its version. None where nobody knows."""

    commit: str | None = None
    version: str | None = None


def folder_of(checkout: Path) -> Path:
    """Return where the copy of `checkout` is kept. The last part names the checkout: BuildKit tells contexts by it."""
    return copies_dir() / workspace_hash(checkout) / (checkout.name or "root")


def copies_dir() -> Path:
    """Return where the copies of all checkouts are, each in a folder of its own."""
    return cache_dir() / "sources"


def record_of(copy: Path) -> Path:
    """Return the link that leads from the folder of a copy to its checkout; its time is when it was last used."""
    return copy.with_name(f"{copy.name}.checkout")


def lock_path(copy: Path) -> Path:
    """Return the lock of the folder of a copy."""
    return state_dir() / "locks" / f"source-{copy.name}.lock"


def mirror(checkout: Path) -> Source:
    """Bring the copy of `checkout` up to date and return it. Raises ImageError where a file cannot be read or written.

    Two at once: one works, the other waits.
    """
    folder = folder_of(checkout)
    with lock(lock_path(folder.parent), on_wait=lambda _: None):
        try:
            _record(checkout, record_of(folder.parent))
            return _mirror(checkout, folder, tuple(names(checkout)))
        except OSError as error:
            raise ImageError(
                f"the source of {checkout} cannot be copied for the build: {error.filename}: {error.strerror}",
                hint=f"df -h {cache_dir()}   # where the copy is kept; DEVBOX_CACHE_DIR names another place",
            ) from None


def _record(checkout: Path, link: Path) -> None:
    """Say whose copy it is, and that it is used now. A link holds every path, whatever its bytes are."""
    path = absolute(checkout)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or os.fspath(link.readlink()) != path:
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    os.utime(link, follow_symlinks=False)


def names(checkout: Path) -> Iterator[str]:
    """Yield the paths below `checkout` that an image build may read: those of submodules too, and links as they are.

    A container can write git's index. Raises ImageError where it names what is not in the checkout.
    """
    known = git(checkout, "ls-files", "-z", "--cached", "--recurse-submodules")
    new = git(checkout, "ls-files", "-z", "--others", "--exclude-standard")
    if known is None or new is None or not (known.ok and new.ok):
        found: Iterable[str] = _walk(checkout)
    else:
        others = (name for name in new.stdout.split("\0") if not name.startswith(f"{OUTPUT}/"))
        found = dict.fromkeys((*known.stdout.split("\0"), *others))
    # An untracked repository in the checkout is named as a folder.
    for name in found:
        if name and name != ".dockerignore" and not name.endswith("/"):
            if not _NOWHERE.isdisjoint(name.lower().split("/")):
                raise ImageError(f"git lists {name} in {checkout}, which is no path of a checkout", hint="git ls-files")
            yield name


def _walk(checkout: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(checkout):
        folders[:] = [name for name in folders if not _SKIPPED.fullmatch(name)]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(parent, name), checkout)  # noqa: PTH118  # thousands of them


def _mirror(checkout: Path, folder: Path, wanted: Iterable[str]) -> Source:
    found: dict[str, os.stat_result] = {}
    real = {"": True}
    for name in wanted:
        # git still lists what was in a folder that is a link now, and leads elsewhere.
        if not in_real_folder(checkout, os.path.dirname(name), real):  # noqa: PTH120  # thousands of them
            continue
        try:
            status = (checkout / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted, and git has not been told
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            found[name] = status
    folder.mkdir(parents=True, exist_ok=True)
    _remove_others(folder, found)
    top = os.open(checkout, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copied = sum(_copy(top, name, folder / name, status) for name, status in found.items())
    finally:
        os.close(top)
    return Source(folder, len(found), sum(status.st_size for status in found.values()), copied)


def _remove_others(folder: Path, wanted: dict[str, os.stat_result]) -> None:
    """Remove what is below `folder` and not `wanted`, and what is of another kind there.

    Nothing is then written through a link that an earlier state of the checkout had.
    """
    parents = {str(parent) for name in wanted for parent in Path(name).parents}
    for parent, folders, files in os.walk(folder):
        at = os.path.relpath(parent, folder)
        for name in (*folders, *files):
            path = Path(parent, name)
            relative = name if at == "." else f"{at}/{name}"
            if path.is_dir() and not path.is_symlink():
                if relative not in parents:
                    shutil.rmtree(path)
                    folders.remove(name)
            elif relative not in wanted:
                path.unlink()


def _copy(top: int, name: str, target: Path, status: os.stat_result) -> bool:
    """Copy a file or a link below the folder `top` unless `target` has its size, time and mode. Say whether it was.

    The copy can always be read and written: the next one takes its place. What has become a link by now is not
    followed: a container can write the checkout meanwhile.
    """
    mode = status.st_mode if stat.S_ISLNK(status.st_mode) else status.st_mode | stat.S_IRUSR | stat.S_IWUSR
    try:
        there = target.lstat()
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
    else:
        if (there.st_mode, there.st_size, there.st_mtime_ns) == (mode, status.st_size, status.st_mtime_ns):
            return False
    beside = target.with_name(f".{target.name[:200]}.devbox")
    beside.unlink(missing_ok=True)
    with _folder_below(top, os.path.dirname(name)) as folder:  # noqa: PTH120  # thousands of them
        last = os.path.basename(name)  # noqa: PTH119
        if stat.S_ISLNK(status.st_mode):
            beside.symlink_to(os.readlink(last, dir_fd=folder))  # of a descriptor
        else:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(last, flags, dir_fd=folder), "rb") as source, beside.open("wb") as made:  # noqa: PTH123
                if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    raise FileNotFoundError(errno.ENOENT, "it is no file any more", name)
                shutil.copyfileobj(source, made, _AT_ONCE)
            beside.chmod(stat.S_IMODE(mode))
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
    beside.replace(target)
    return True


@contextlib.contextmanager
def _folder_below(top: int, name: str) -> Iterator[int]:
    """Open the folder `name` below `top`, no part of which may be a link. Raises OSError for one."""
    at = os.dup(top)
    try:
        for part in name.split("/") if name else ():
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def revision(checkout: Path, framework: Framework | None = None) -> Revision:
    """Return what `checkout` is. A source archive without git says its version in PKG-INFO.

    The version is the one that a checkout of the framework states. Else it is setuptools-scm's (default scheme, without
    the date that it adds to a dirty tree, so that the same commit gives the same image): the tag itself, or the next
    one with the distance and the commit.
    """
    own = None if framework is None else stated.version(framework, checkout)
    head = git(checkout, "rev-parse", "HEAD")
    commit = head.stdout.strip() if head is not None and head.ok else None
    if own is not None:
        return Revision(commit, own.value)
    if commit is None:
        return Revision(version=_of_archive(checkout))
    described = git(checkout, "describe", "--tags", "--long", "--match", "*[0-9]*")
    if described is not None and described.ok:
        return Revision(commit, version_of(described.stdout.strip()))
    counted = git(checkout, "rev-list", "--count", "HEAD")
    distance = counted.stdout.strip() if counted is not None and counted.ok else "0"
    return Revision(commit, f"0.1.dev{distance}+g{commit[:9]}")


def version_of(described: str) -> str | None:
    """Return the version for what `git describe --long` says, None for a tag that names none.

    `v0.10.1-0-g1a2b3c4` is 0.10.1; five commits later it is 0.10.2.dev5+g1a2b3c4.
    """
    found = _DESCRIBED.fullmatch(described)
    tag = _TAG.fullmatch(found["tag"]) if found else None
    if found is None or tag is None:
        return None
    version = tag["version"].partition("+")[0]
    if found["distance"] == "0":
        return version
    last = re.search(r"\d+$", version)
    following = f"{version[: last.start()]}{int(last[0]) + 1}" if last else f"{version}1"
    return f"{following}.dev{found['distance']}+g{found['commit']}"


def _of_archive(checkout: Path) -> str | None:
    if not is_inside(checkout / "PKG-INFO", checkout):
        return None
    try:
        found = _PKG_INFO.search(lean.text(checkout / "PKG-INFO", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None
