"""What a contract reaches by itself, before there is a container: commands on the host, its image build, variables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbox.masking import is_secret_name
from devbox.trust.containers import variable
from devbox.trust.reach import Reach, distinct, is_inside, of_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract

# Options of `docker build` with a value, and those without one, that stay in the build; some depend on the value.
_VALUED = frozenset({"--add-host", "--build-context", "--label", "--platform", "--progress", "--secret", "--shm-size",
                     "--ulimit"})  # fmt: skip
_SWITCHES = frozenset({"--no-cache", "--pull", "--quiet", "-q"})
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
    if contract.build is None:
        return
    build = contract.build
    said = (option for option in _options(build.options) if not _stays(option, contract.workspace))
    found = [Reach("build", option, f"passes to docker build: {option}") for option in said]
    found += of_caches("cacheFrom", build.cache_from)
    for what, path in (("Dockerfile", build.dockerfile), ("build context", build.context)):
        if not is_inside(path, contract.workspace):
            found.append(of_path(path, f"takes the {what} {path} from outside the workspace"))
    if found:
        from devbox.trust.content import of_files

        # Only a build that reaches the host can do harm by what its steps are.
        local = [name for name in contract.features if name.startswith(".")]
        content = of_files(contract.path.parent, [str(build.dockerfile), *sorted(local)])
        yield from (replace(one, content=content) for one in found)


def of_caches(key: str, items: Iterable[str]) -> Iterator[Reach]:
    """Yield the caches of an image build that are no image of a registry: folders, and services with keys of yours."""
    for item in items:
        fields = dict(field.strip().partition("=")[::2] for field in str(item).split(","))
        plain = "=" not in str(item) or (fields.keys() == {"type", "ref"} and fields["type"] == "registry")
        if not plain or key == "cache_to":
            yield Reach("build", f"{key} {item}", f"is built with {key}: {item}")


def _options(words: Sequence[str]) -> Iterator[str]:
    """Yield the options among the words of `docker build`, each with its value; a word that is none by itself."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        yield f"{word}={rest.pop(0)}" if word in _VALUED and rest else word


def _stays(option: str, workspace: Path) -> bool:
    """Tell whether an option of `docker build` reaches nothing but the build."""
    if not option.isprintable():
        # Docker's reader of these ends at a line break, and is no judge of the rest.
        return False
    name, equals, value = option.partition("=")
    if name == "--build-context":
        _, named, place = value.partition("=")
        return bool(named) and (place.startswith("docker-image://") or _is_in(place, workspace))
    if name == "--secret":
        words = value.split(",")
        fields = dict(word.partition("=")[::2] for word in words)
        file = fields.get("src", "")
        return (
            fields.keys() == {"id", "src"}
            and len(words) == len(fields)
            and (file == os.devnull or _is_in(file, workspace))
        )
    return name in _VALUED if equals else name in _SWITCHES


def _is_in(path: str, workspace: Path) -> bool:
    return path.startswith("/") and is_inside(path, workspace)
