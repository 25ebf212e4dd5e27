"""The rule about the build context: what a build uploads of it."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devbox.image.dockerfile.context import sent
from devbox.image.dockerfile.ignore import Ignore, parse_ignore
from devbox.image.dockerfile.stages import local_sources
from devbox.image.graph.text import size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.finding import Finding
    from devbox.image.dockerfile.instructions import Instruction
    from devbox.image.lint.model import Subject

# What builds and tools leave in a checkout, and no image wants.
_LEFT = re.compile(
    r"\.git|\.?venv.*|node_modules|__pycache__|\.(?:mypy|pytest|ruff)_cache|\.c?cache|\.deps|\.conan2?|_deps|build|"
    r"cmake-build-.*|CMakeFiles|target|.*\.egg-info|\.tox|\.nox|\.hf_cache|huggingface|wandb"
)
_MANY_BYTES = 500_000_000
_LEFT_BYTES = 10_000_000
_SHOWN = 3


@dataclass(slots=True)
class Upload:
    """What a build sends: in all, and by folder or file at the top; `left` are folders that builds left behind."""

    files: int = 0
    bytes: int = 0
    top: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def upload(subject: Subject) -> Iterator[Finding]:
    """`context`: a build uploads more of the checkout than it means to.

    BuildKit sends only what COPY, ADD and bind mounts name. A stage that names the whole context gets all of it.
    """
    if subject.context is None:
        return
    reads = [
        (one, source) for stage in subject.stages.needed(None) for one in stage.instructions for source in _read_by(one)
    ]
    if not reads:
        return
    whole = next((one for one, source in reads if source == "."), None)
    ignore = Ignore()
    if subject.ignore is not None:
        ignore = parse_ignore(subject.ignore.read_text(encoding="utf-8", errors="replace"))
    sent = measure(subject.context, None if whole else {source for _, source in reads}, ignore)
    name = subject.ignore.name if subject.ignore is not None else ".dockerignore"
    line = (whole or reads[0][0]).line
    if any(source == ".git" for _, source in reads):
        sent.left.pop(".git", None)
    heavy = [path for path, count in sent.left.most_common() if count >= _LEFT_BYTES]
    if heavy or sent.bytes >= _MANY_BYTES:
        largest = ", ".join(
            f"{path} {size(count)}" for path, count in (sent.left if heavy else sent.top).most_common(_SHOWN)
        )
        yield subject.finding(
            "context",
            "warning",
            line,
            f"a build uploads {size(sent.bytes)} in {sent.files:,} files of {subject.context}: {largest}",
            f"{name}: {' '.join(f'/{path}' for path in heavy[:_SHOWN]) or 'leave out what no stage reads'}",
        )


def _read_by(instruction: Instruction) -> list[str]:
    """Return what an instruction reads of the context, normalized: "." is all of it."""
    return [posixpath.normpath(source).lstrip("/") or "." for source in local_sources(instruction)]


def measure(context: Path, sources: set[str] | None, ignore: Ignore) -> Upload:
    """Count what a build sends of a folder: what `sources` name (None: all) and `ignore` does not leave out."""
    found = Upload()
    for name, path in sent(context, {"."} if sources is None else sources, ignore):
        if path.is_symlink() or not path.is_dir():
            _count(found, path, name)
    return found


def _count(found: Upload, path: Path, name: str) -> None:
    try:
        length = path.lstat().st_size
    except OSError:
        return
    found.files += 1
    found.bytes += length
    parts = name.split("/")
    found.top[parts[0]] += length
    left = next((index for index, part in enumerate(parts[:-1]) if _LEFT.fullmatch(part)), None)
    if left is not None:
        found.left["/".join(parts[: left + 1])] += length
