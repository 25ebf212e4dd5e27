"""Put what an image needs of a checkout into the Dockerfile itself, for tools that pass no named build contexts."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import lean
from devbox.errors import ConfigError, ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devbox.frameworks.model import Pairs

# The requirements of a tree are some kilobytes. What is larger is no list of packages.
MOST_BYTES = 1 << 20

_PLAIN = re.compile(r"[\w./+@-]+")
# `-r FILE`, `--requirement=FILE`, `-c FILE`: https://pip.pypa.io/en/stable/reference/requirements-file-format/
_INCLUDE = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))([^\s#]+)")


def requirements(folder: Path, names: Iterable[str]) -> Pairs:
    """Return (path below `folder`, text) of the requirements files `names` and of those that they include, sorted.

    Names that are no files there are passed over; without any that is, all files of the folder are taken. Raises
    ContractError for a file that leads out of the folder, is no text, or is too large.
    """
    todo = [name for name in names if (folder / name).is_file()]
    if not todo:
        todo = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found: dict[str, str] = {}
    while todo:
        name = posixpath.normpath(todo.pop())
        if name in found:
            continue
        found[name] = _text(folder, name)
        here = posixpath.dirname(name)
        lines = (_INCLUDE.match(line) for line in found[name].splitlines())
        todo += [posixpath.join(here, match[1]) for match in lines if match and "://" not in match[1]]
    if sum(map(len, found.values())) > MOST_BYTES:
        raise ContractError(f"the requirements in {folder} are too large to stand in a Dockerfile")
    return tuple(sorted(found.items()))


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if not _PLAIN.fullmatch(name):
        raise ContractError(f"{path} cannot be put into a Dockerfile: its name has spaces or quotes")
    # What a checkout brings must not copy other files of the person's into a Dockerfile.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ContractError(f"{path} leads out of {folder}", hint=f"ls -l {path}")
    try:
        return lean.text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractError(f"{path} cannot be put into a Dockerfile: {reason}") from None


def inlined(dockerfile: str, stage: str, files: Pairs) -> str:
    """Return `dockerfile` with `files` written into its empty stage `stage`. Raises ConfigError without that stage."""
    empty = f"FROM scratch AS {stage}\n"
    before, found, after = dockerfile.partition(empty)
    if not found:
        raise ConfigError(f"the Dockerfile has no empty stage '{stage}' to put files of the checkout into")
    copies = [_copy(name, text) for name, text in files]
    return "".join([before, empty, *copies, after])


def _copy(name: str, text: str) -> str:
    end = _delimiter(text.splitlines())
    closed = text if text.endswith("\n") or not text else f"{text}\n"
    return f"COPY <<'{end}' /{name}\n{closed}{end}\n"


def _delimiter(lines: Sequence[str]) -> str:
    """Return a word that is no line of the text."""
    end = "EOT"
    while end in lines:
        end += "_"
    return end
