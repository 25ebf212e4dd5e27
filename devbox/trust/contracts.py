"""What a contract reaches by itself, before there is a container: commands on the host, its image build, variables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox.masking import is_secret_name
from devbox.trust import builds
from devbox.trust.builds import of_image_build
from devbox.trust.containers import variable
from devbox.trust.reach import Reach, distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract

_HOST_VARIABLE = re.compile(r"\$\{(?:local)?[eE]nv:([^:}]+)")
# Where a shell writes to, and what it ends a word at.
_REDIRECTED = re.compile(r"[0-9&]*>>?\|?\s*[^\s;&|]+")
_BETWEEN_WORDS = re.compile(r"[\s;&|()<>{}\"'`=]+")
# A file is a program where one of these words stands before it, or by its ending.
_INTERPRETERS = frozenset({
    ".", "bash", "bun", "dash", "deno", "ksh", "lua", "node", "perl", "php", "python", "python3", "ruby", "sh",
    "source", "uv", "zsh", "-f", "run",
})  # fmt: skip
_SUFFIXES = frozenset({".bash", ".js", ".mjs", ".mk", ".pl", ".ps1", ".py", ".rb", ".sh", ".ts", ".zsh"})


def of_contract(contract: Contract, image_metadata: Sequence[JSON] = ()) -> Iterator[Reach]:
    """Yield what a contract with its image's metadata entries reaches by other means than its container's mounts."""
    yield from _of_host_commands(contract)
    yield from of_build(contract)
    for name in secret_names((*image_metadata, contract.raw, *(one.entry for one in contract.overlays))):
        yield variable(name)
    for name in contract.config.get("secrets") or {}:
        yield Reach("variable", name, f"gives the host's variable {name} to lifecycle commands")


def bound(found: Iterable[Reach], contract: Contract, more: object = None) -> tuple[Reach, ...]:
    """Return `found`, each once; what is as much as the whole host is bound to the contract's content and `more`."""
    reach = distinct(found)
    if not any(one.is_all for one in reach):
        return reach
    from devbox.trust.content import digest

    content = digest([contract.raw, more])
    return tuple(replace(one, content=content) if one.is_all else one for one in reach)


def secret_names(value: Any) -> Iterator[str]:
    """Yield the names of the host's variables in any string of the JSON `value` that look like secrets."""
    if isinstance(value, str):
        yield from (name for name in _HOST_VARIABLE.findall(value) if is_secret_name(name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secret_names(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_names(item)


def _of_host_commands(contract: Contract) -> Iterator[Reach]:
    command = contract.raw.get("initializeCommand")
    if not command:
        return
    text = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
    from devbox.trust.content import of_files

    lines = _strings(contract.config["initializeCommand"])
    content = of_files(
        contract.workspace, sorted({word for one in lines for word in _scripts(contract.workspace, one)})
    )
    yield Reach("command", text, f"runs on the host, at each start: {text}", content=content)


def _scripts(folder: Path, text: str) -> Iterator[str]:
    """Yield the words of a command that name a program of the checkout; what it reads and writes is no program."""
    before = ""
    for word in _BETWEEN_WORDS.split(_REDIRECTED.sub(" ", text)):
        path = folder / word if word and "\0" not in word else None
        if path is not None and os.path.isfile(path):  # noqa: PTH113  # a folder that may not be looked into is no error
            runs = before in _INTERPRETERS or path.suffix in _SUFFIXES or os.access(path, os.X_OK)
            if runs or _begins(path) == b"#!":
                yield word
        before = word.rpartition("/")[2]


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(2)
    except OSError:
        return b""


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(item)


def of_build(contract: Contract) -> Iterator[Reach]:
    """Yield what the build of a contract's image reaches."""
    if contract.build is not None:
        found = of_image_build(contract.build.image_build, contract.workspace)
        local = sorted(name for name in contract.features if name.startswith("."))
        more = [contract.build.args, contract.build.target]
        yield from builds.bound(found, contract.path.parent, [str(contract.build.dockerfile), *local], more)
