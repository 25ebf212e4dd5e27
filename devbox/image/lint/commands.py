"""The rule about build commands: what a checkout's documents and scripts pass to `docker build`, and no ARG takes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.finding import Finding
from devbox.image.lint.args import declarations, known, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.image.lint.model import Subject

_READ = {".md", ".rst", ".sh", ".yml", ".yaml", ".txt", ".mk", ""}
_SKIPPED = re.compile(r"\.git|node_modules|\.?venv.*|build|third_party|3rdparty|\.deps|csrc|target")
_MOST_BYTES = 1 << 20
_COMMAND = re.compile(r"(?:docker(?:\s+(?:buildx|image))?|podman|nerdctl|buildah)\s+(?:build|bud)\b")
_ARGUMENT = re.compile(r"--build-arg[\s=]+[\"']?([A-Za-z_]\w*)(?=[=\s\"']|$)")
_FILE = re.compile(r"(?:\s-f|--file)[\s=]+[\"']?([^\s\"']+)")
_FOLDER = re.compile(r"\s\.[\"']?\s*$")


def commands(subject: Subject) -> Iterator[Finding]:
    """`unknown-build-arg`: a document or a script builds this Dockerfile with an argument that it does not have."""
    if subject.checkout is None:
        return
    names = declarations(subject.stages)
    for path in _texts(subject.checkout):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if "--build-arg" not in text:
            continue
        for command in _build_commands(text):
            if not _builds(subject, "".join(line for _, line in command)):
                continue
            for number, line in command:
                for name in _ARGUMENT.findall(line):
                    if name not in names and not known(name):
                        yield Finding(
                            "unknown-build-arg",
                            "warning",
                            f"{name} is passed to {subject.path}, which has no such ARG",
                            suggestion(name, names),
                            path=_shown(path, subject.checkout),
                            line=number,
                        )


def _texts(checkout: Path) -> Iterator[Path]:
    """Yield the files of a checkout that people and CI take commands from."""
    for folder, inner, names in os.walk(checkout):
        inner[:] = sorted(name for name in inner if not _SKIPPED.fullmatch(name))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix in _READ and path.is_file() and path.stat().st_size <= _MOST_BYTES:
                yield path


def _build_commands(text: str) -> Iterator[list[tuple[int, str]]]:
    """Yield the (number, text) of the lines of each build command, with those that a backslash continues it on."""
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        match = _COMMAND.search(lines[index])
        if match is None:
            index += 1
            continue
        command = [(index + 1, lines[index][match.start() :])]
        while command[-1][1].rstrip().endswith("\\") and index + 1 < len(lines):
            index += 1
            command.append((index + 1, lines[index]))
        index += 1
        yield [(number, f"{line.rstrip().removesuffix(chr(92))} ") for number, line in command]


def _builds(subject: Subject, command: str) -> bool:
    """Whether a command builds the subject's Dockerfile, as far as it says so itself."""
    assert subject.checkout is not None  # noqa: S101  # the caller has looked
    named = _FILE.search(command)
    if named is None:
        return subject.path == "Dockerfile" and bool(_FOLDER.search(command))
    return "$" not in named[1] and os.path.normpath(named[1]) == os.path.normpath(subject.path)


def _shown(path: Path, checkout: Path) -> str:
    return path.relative_to(checkout).as_posix()
