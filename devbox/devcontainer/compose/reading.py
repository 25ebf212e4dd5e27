"""Compose files as data, read before docker compose reads them: local files in plain YAML, within limits, and no more.

docker compose follows includes to git and registries, steers itself by variables of a `.env`, and takes as much memory
as a file of aliases asks for. All of that happens when it only says what the files mean. So it is asked of files that
have been read here, and whose includes are all files of this machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox import lean
from devbox.devcontainer.identity import absolute
from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 40
# With each alias counted as what it stands for.
_MAX_NODES = 50_000
_MAX_FILES = 100
_PLAIN = "tag:yaml.org,2002:"
_TAGS = frozenset({f"{_PLAIN}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge",
                                                  "timestamp", "value")} | {"!reset", "!override"})  # fmt: skip
# What docker compose and its loaders take for another place than a file: URLs, git's short forms, images.
_REMOTE = re.compile(r"://|^[\w.-]+@|^oci:|^(?:github|gitlab|bitbucket)\.(?:com|org)/|\.git(?:#|$)|#", re.IGNORECASE)


def documents(file: Path, text: bytes | None = None) -> tuple[Any, ...]:
    """Return the documents of a compose file. `text` is its content where it is not written yet.

    Raises OSError where it cannot be read, ContractError, naming it, for what is not plain YAML within the limits.
    """
    import yaml

    if text is None:
        text = lean.stored(file)
    if len(text) > _MAX_BYTES:
        raise ContractError(f"{file} is larger than a compose file is: more than {_MAX_BYTES >> 20} MiB")
    try:
        content = text.decode("utf-8")
        nodes = [node for node in yaml.compose_all(content, Loader=yaml.SafeLoader) if node is not None]
        for node in nodes:
            _check(node, file)
        return tuple(_loaded(node) for node in nodes)
    except UnicodeDecodeError as error:
        raise ContractError(f"{file} is not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise ContractError(f"{file} is nested too deeply for a compose file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ContractError(f"{file} is no YAML: {' '.join(str(error).split())}", hint=f"edit {file}") from None


def _check(top: Any, file: Path) -> None:
    """See that a tree of YAML is one that every reader reads alike, and not larger than it looks."""
    import yaml

    sizes: dict[int, int] = {}

    def size(node: Any, depth: int) -> int:
        known = sizes.get(id(node))
        if known is not None:
            if not known:
                raise ContractError(f"{file} has an alias within what it stands for{_at(node)}")
            return known
        if depth > _MAX_DEPTH:
            raise ContractError(f"{file} is nested too deeply for a compose file{_at(node)}")
        if node.tag not in _TAGS:
            raise ContractError(f"{file} has the tag {node.tag}, which is none of a compose file's{_at(node)}")
        sizes[id(node)] = 0
        total = 1
        for part in _parts(node, file, yaml):
            total += size(part, depth + 1)
            if total > _MAX_NODES:
                raise ContractError(f"{file} stands for more than {_MAX_NODES} values by its aliases{_at(node)}")
        sizes[id(node)] = total
        return total

    size(top, 0)


def _parts(node: Any, file: Path, yaml: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ContractError(f"{file} has a key that is no word{_at(key)}")
            if key.value in seen:
                raise ContractError(f"{file} says '{key.value}' twice{_at(key)}")
            seen.add(key.value)
            yield key
            yield value


def _at(node: Any) -> str:
    return f" (line {node.start_mark.line + 1})"


def _loaded(node: Any) -> Any:
    """Return the data of a checked tree; the tags of compose's own are read past."""
    import yaml

    class Loader(yaml.SafeLoader):
        def __init__(self) -> None:
            super().__init__("")

    def plain(loader: yaml.SafeLoader, _suffix: str, one: yaml.Node) -> Any:
        match one:
            case yaml.MappingNode():
                return loader.construct_mapping(one, deep=True)
            case yaml.SequenceNode():
                return loader.construct_sequence(one, deep=True)
            case _:
                return loader.construct_scalar(one)  # type: ignore[arg-type]

    Loader.add_multi_constructor("!", plain)
    return Loader().construct_document(node)


def files_of(first: Iterable[Path], drafts: Mapping[Path, str] | None = None) -> tuple[dict[Path, None], list[str]]:
    """Return every file that `docker compose config` reads of these, and the names of those that it may read.

    Files that are not there but would count are among the first, what a variable or the home folder names among the
    second. Raises ContractError for an include that is no file of this machine, and what `documents` raises.
    """
    found: dict[Path, None] = {}
    unsure: list[str] = []
    waiting = [(file, file.parent) for file in first]
    while waiting:
        file, folder = waiting.pop()
        if file in found:
            continue
        found[file] = None
        if len(found) > _MAX_FILES:
            raise ContractError(f"{file}: more than {_MAX_FILES} files are included one by another")
        draft = (drafts or {}).get(file)
        try:
            content = documents(file, None if draft is None else draft.encode())
        except OSError:
            continue
        for name, is_compose, place in (item for one in content for item in _mentioned(one)):
            if is_compose and (_REMOTE.search(name) or "$" in name or "\0" in name):
                raise ContractError(
                    f"{file} includes {name!r}, and devbox takes files of this machine alone, named in full",
                    hint=f"put what it holds into the checkout, and edit {file}",
                )
            if _is_unsure(name):
                unsure.append(name)
                continue
            path = Path(absolute(folder / name))
            if not is_compose:
                found[path] = None
                continue
            if _is_unsure(place):
                unsure.append(place)
            # What an included file names lies where the include says.
            inner = Path(absolute(folder / place)) if place else path.parent
            waiting.append((path, inner))
            found[inner / ".env"] = None
    return found, unsure


def _is_unsure(name: str) -> bool:
    return name.startswith("~") or "$" in name or "\0" in name


def _mentioned(content: Any) -> Iterator[tuple[str, bool, str]]:
    """Yield the files that a document names, whether each is a compose file, and the folder that then counts."""
    if not isinstance(content, dict):
        return
    for item in _listed(content.get("include")):
        entry = item if isinstance(item, dict) else {"path": item}
        place = str(entry.get("project_directory") or "")
        yield from ((str(name), True, place) for name in _listed(entry.get("path")))
        yield from ((str(name), False, "") for name in _listed(entry.get("env_file")))
    services = content.get("services")
    for service in services.values() if isinstance(services, dict) else ():
        if not isinstance(service, dict):
            continue
        extends = service.get("extends")
        if isinstance(extends, dict) and extends.get("file"):
            yield str(extends["file"]), True, ""
        for key in ("env_file", "label_file"):
            for item in _listed(service.get(key)):
                yield str(item.get("path") if isinstance(item, dict) else item), False, ""


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
