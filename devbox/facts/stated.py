"""What a checkout says of itself: values as they stand in its files, each with its file and line. Nothing is run."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, Any

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# A file that states facts is small; what is larger is not read whole.
_MOST_BYTES = 1 << 18
# What PyYAML calls a mapping and a string.
_SCALAR, _MAPPING = "scalar", "mapping"
# What a marker of a requirement asks for here, where packages are for Linux.
_MARKERS = {
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
    "platform_machine": os.uname().machine,
}


@dataclass(frozen=True, slots=True)
class Stated:
    """A value that a checkout states: under which name, and where. `file` is relative to its top, lines begin at 1."""

    name: str
    value: str
    file: str
    line: int

    def shown(self) -> dict[str, str]:
        """Return it as a table shows it."""
        return {"name": self.name, "value": self.value, "where": self.place}

    @property
    def place(self) -> str:
        """Where it stands, as an editor opens it."""
        return f"{self.file}:{self.line}"


def text_of(checkout: Path, name: str) -> str | None:
    """Return the beginning of a file of the checkout; None where there is none, or where it leads out of it."""
    path = checkout / posixpath.normpath(name)
    try:
        # What is no file, such as a pipe, would be waited for.
        if not path.resolve().is_relative_to(checkout.resolve()) or not path.is_file():
            return None
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, RuntimeError, ValueError):  # links in a circle; a name with a null
        return None


def table(checkout: Path, file: str, *keys: str) -> dict[str, Stated]:
    """Return what a table of a YAML file of the checkout says, {} where there is none at `keys`; tables in it are "".

    `keys` lead to the table from the file's own.
    """
    import yaml

    text = text_of(checkout, file)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader) if text is not None else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    for key in keys:
        node = next((value for one, value in _pairs(node) if one.value == key), None)
    return {
        one.value: Stated(one.value, value.value if value.id == _SCALAR else "", file, 1 + one.start_mark.line)
        for one, value in _pairs(node)
    }


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return [pair for pair in node.value if pair[0].id == _SCALAR] if node is not None and node.id == _MAPPING else []


def assigned(checkout: Path, files: Sequence[str], key: str) -> Stated | None:
    """Return the value that one of `files` gives `key`: the first file that has it.

    `KEY=value` in a properties file, `KEY = "value"` in a source file. A value that is computed is none.
    """
    word = re.escape(key)
    quoted = re.compile(rf"^[ \t]*(?:(?:def|final|String)[ \t]+)*{word}[ \t]*=[ \t]*([\"'])(.*?)\1", re.MULTILINE)
    plain = re.compile(rf"^[ \t]*(?:export[ \t]+)?{word}=()([^\s\"'#]+)[ \t]*$", re.MULTILINE)
    for name in files:
        text = text_of(checkout, name)
        found = text and (quoted.search(text) or plain.search(text))
        if text and found and found[2] and "$" not in found[2]:
            return Stated(key, found[2], name, 1 + text.count("\n", 0, found.start()))
    return None


def pinned(checkout: Path, files: Sequence[str], package: str) -> Stated | None:
    """Return the version that one of `files` pins a package to (`==`): the first file that pins it for Linux here.

    A file is a list of requirements, or one in which they stand between quotes, such as pyproject.toml.
    """
    line = re.compile(
        rf"""^[ \t]*(?P<quote>["']?){re.escape(package)}[ \t]*==[ \t]*(?P<version>[\w.+!*-]+)(?P<rest>.*)$""",
        re.MULTILINE | re.IGNORECASE,
    )
    for name in files:
        text = text_of(checkout, name) or ""
        for found in line.finditer(text):
            marker = _marker(found["rest"], found["quote"])
            if marker is not None and _holds(marker):
                return Stated(package, found["version"], name, 1 + text.count("\n", 0, found.start()))
    return None


def _marker(rest: str, quote: str) -> str | None:
    """Return the marker in what stands behind a version: "" for none, None where this is no requirement.

    By hand: a pattern for it takes the cube of a line of blanks.
    """
    inner, closing, after = rest.partition(quote or "#")
    if quote and (not closing or after.partition("#")[0].strip(" \t") not in {"", ","}):
        return None
    words = inner.strip(" \t")
    words = words if quote else words.removesuffix(",").rstrip(" \t")
    return None if words and not words.startswith(";") else words[1:]


def _holds(marker: str) -> bool:
    """Tell whether an environment marker holds here; what asks for anything but the machine and its system does."""
    return any(all(map(_is_so, each.split(" and "))) for each in marker.split(" or "))


def _is_so(comparison: str) -> bool:
    found = re.fullmatch(r"\(?\s*(\w+)\s*(==|!=)\s*[\"']([^\"']*)[\"']\s*\)?", comparison.strip())
    if found is None or found[1] not in _MARKERS:
        return True
    return (_MARKERS[found[1]] == found[3]) == (found[2] == "==")
