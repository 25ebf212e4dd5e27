"""Rules about bake files: what they pass to a Dockerfile that it does not take, and variables that change nothing.

HCL is read as far as the rules need it: named blocks, and the names that are assigned in them.
https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import field
from typing import TYPE_CHECKING

from devbox.finding import Finding
from devbox.image.lint.args import declarations, known, suggestion
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devbox.image.lint.model import Subject

_BLOCK = re.compile(r'^(variable|target)\s+"([^"]+)"\s*\{', re.MULTILINE)
_DOCKERFILE = re.compile(r'^\s*dockerfile\s*=\s*"([^"]*)"', re.MULTILINE)
_INHERITS = re.compile(r"^\s*inherits\s*=\s*\[([^\]]*)\]", re.MULTILINE)
_ARGS = re.compile(r"^\s*args\s*=\s*\{", re.MULTILINE)
_ASSIGNED = re.compile(r'^\s*"?([A-Za-z_]\w*)"?\s*[=:]', re.MULTILINE)
_DEFAULT = re.compile(r'default\s*=\s*"?([^"\n]*)"?')
_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|(?:#|//)[^\n]*')
_SHOWN = 6


@dataclass(slots=True)
class Bake:
    """A bake file: its variables with their defaults and lines, its targets, and its text without the variables."""

    name: str
    variables: dict[str, tuple[str, int]] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A target: the Dockerfile that it names itself, what it inherits from, and the lines of its arguments by name."""

    dockerfile: str | None
    inherits: tuple[str, ...]
    args: tuple[tuple[str, int], ...]


def bake(subject: Subject) -> Iterator[Finding]:
    """`bake`: a bake file beside the Dockerfile sets what reaches no build, or says two things."""
    if subject.checkout is None:
        return
    folder = subject.checkout / posixpath.dirname(subject.path)
    files = [found for path in sorted(folder.glob("*")) if (found := _read(path, subject.checkout)) is not None]
    targets = {name: one for file in files for name, one in file.targets.items()}
    ours = {name for name in targets if _dockerfile(targets, name) == posixpath.normpath(subject.path)}
    if not ours:
        return
    names = declarations(subject.stages)
    for file in files:
        for name in ours & file.targets.keys():
            for arg, line in file.targets[name].args:
                if arg not in names and not known(arg):
                    message = f"the target {name} passes {arg} to {subject.path}, which has no such ARG"
                    yield Finding("bake", "warning", message, suggestion(arg, names), path=file.name, line=line)
    for file in files:
        if file.name.endswith(".json"):
            yield from _other_than_declared(file, subject)
    # Files whose targets are all for other Dockerfiles have their own variables.
    yield from _variables([file for file in files if not file.targets or ours & file.targets.keys()])


def _other_than_declared(file: Bake, subject: Subject) -> Iterator[Finding]:
    """Yield what a list of values says of an ARG before the first FROM that the Dockerfile itself says otherwise."""
    for name, (value, line) in file.variables.items():
        own = subject.stages.values.get(name)
        if own is not None and own != value and name not in subject.stages.args:
            message = f"{name} is {value} here, and {own} in {subject.path}"
            remedy = "write the list again from the Dockerfile, or leave the variable out"
            yield Finding("bake", "warning", message, remedy, "a build with this file is another one", file.name, line)


def _variables(files: list[Bake]) -> Iterator[Finding]:
    used = "\n".join(file.rest for file in files)
    first: dict[str, tuple[str, str]] = {}
    for file in files:
        unused = [name for name in file.variables if not re.search(rf"\b{re.escape(name)}\b", used)]
        if unused:
            shown = ", ".join(unused[:_SHOWN]) + (" …" if len(unused) > _SHOWN else "")
            line = file.variables[unused[0]][1]
            message = f"{len(unused)} of {len(file.variables)} variables reach no target: {shown}"
            remedy = "args = { NAME = NAME } in the target; or delete them"
            yield Finding("bake", "info", message, remedy, path=file.name, line=line)
        for name, (value, line) in file.variables.items():
            other = first.setdefault(name, (value, file.name))
            if other[0] != value and name not in unused:
                message = f"{name} is {value} here and {other[0]} in {other[1]}"
                remedy, why = f"let only one of them set {name}", "the file that is given last counts"
                yield Finding("bake", "warning", message, remedy, why, file.name, line)


def _dockerfile(targets: dict[str, Target], name: str) -> str | None:
    """Return the Dockerfile of a target, its own or the last that it inherits; None where it is not written plainly."""
    todo, seen = [name], set()
    while todo:
        one = todo.pop()
        target = targets.get(one)
        if target is None or one in seen:
            continue
        seen.add(one)
        if target.dockerfile is not None:
            return posixpath.normpath(target.dockerfile)
        todo += target.inherits
    return None


def _read(path: Path, checkout: Path) -> Bake | None:
    """Return what a file says if it is a bake file: HCL with blocks, or JSON with variables."""
    if path.suffix not in {".hcl", ".json"} or not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    name = path.relative_to(checkout).as_posix()
    return _hcl(name, text) if path.suffix == ".hcl" else _json(name, text)


def _json(name: str, text: str) -> Bake | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    variables = data.get("variable") if isinstance(data, dict) else None
    if not isinstance(variables, dict):
        return None
    found = Bake(name)
    for key, value in variables.items():
        line = text[: max(text.find(f'"{key}"'), 0)].count("\n") + 1
        found.variables[key] = (str(value.get("default", "")) if isinstance(value, dict) else "", line)
    return found


def _hcl(name: str, text: str) -> Bake | None:
    text = _without_comments(text)
    found = Bake(name)
    position = 0
    for match in _BLOCK.finditer(text):
        body = _body(text, match.end())
        line = text[: match.start()].count("\n") + 1
        if match[1] == "variable":
            default = _DEFAULT.search(body)
            found.variables[match[2]] = (default[1].strip() if default else "", line)
            found.rest += text[position : match.start()]
            position = match.end() + len(body)
        else:
            found.targets[match[2]] = _target(body, line)
    found.rest += text[position:]
    return found if found.variables or found.targets else None


def _target(body: str, line: int) -> Target:
    dockerfile, inherits, args = _DOCKERFILE.search(body), _INHERITS.search(body), _ARGS.search(body)
    names: list[tuple[str, int]] = []
    if args is not None:
        inner = _body(body, args.end())
        first = line + body[: args.end()].count("\n")
        names = [(one[1], first + inner[: one.start(1)].count("\n")) for one in _ASSIGNED.finditer(inner)]
    parents = tuple(re.findall(r'"([^"]+)"', inherits[1])) if inherits else ()
    return Target(dockerfile[1] if dockerfile else None, parents, tuple(names))


def _body(text: str, start: int) -> str:
    """Return what stands between a brace, which is just before `start`, and the one that closes it."""
    depth, quoted = 1, False
    for index in range(start, len(text)):
        character = text[index]
        if character == '"' and text[index - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[start:index]
    return text[start:]


def _without_comments(text: str) -> str:
    """Return HCL without its comments to the end of a line, lines kept."""
    return _STRING_OR_COMMENT.sub(lambda match: match[1] or "", text)
