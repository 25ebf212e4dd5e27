"""`devbox generate --editor-tasks`: what makes an editor's build button drive `devbox build` and its build tree.

Tasks for VS Code call `devbox build`, and in a window in the container, which has no devbox, the tree by its preset.
The presets, for CLion and VS Code's CMake tools, are the agent's to fill in: each build names its tree in them.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from devbox.agent import editor
from devbox.agent.protocol import PRESETS
from devbox.devcontainer.writing.write import keep_out
from devbox.errors import RefusedError
from devbox.facts.checkout import gather
from devbox.facts.git import git
from devbox.facts.stated import text_of
from devbox.files import write_atomically
from devbox.trust.reach import is_inside
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devbox.frameworks.model import Framework

TASKS = ".vscode/tasks.json"
_NO_CMAKE = "cargo"
# What devbox writes before a line of the build program, and where a container has the checkout: the rest is relative.
_LEFT = r"^(?:\S+ │ )?(?:/workspaces/[^/]+/)?"
# One matcher for each way in which compilers name a place: gcc, clang and ld; nvcc and ptxas; CMake.
_PLACES: tuple[tuple[str, Mapping[str, int]], ...] = (
    (
        _LEFT + r"([^\s:][^:]*):(\d+):(?:(\d+):)? (?:fatal )?(error|warning|note): (.*)$",
        {"file": 1, "line": 2, "column": 3, "severity": 4, "message": 5},
    ),
    (
        _LEFT + r"([^\s(][^(]*)\((\d+)\): (error|warning|note)(?: #[\w-]+)?: (.*)$",
        {"file": 1, "line": 2, "severity": 3, "message": 4},
    ),
    (r"^(?:\S+ │ )?(CMake (Error|Warning) at (?:/workspaces/[^/]+/)?([^:]+):(\d+).*)$",
     {"message": 1, "severity": 2, "file": 3, "line": 4}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EditorFile:
    """A file for editors, and what became of it: "written", "current", or "kept" as somebody else's."""

    path: Path
    state: str
    text: str


def tasks(*, cmake: bool) -> str:
    """Return the text of VS Code's tasks: to build and to test; `cmake` says whether there is a preset to build by.

    The first line has a hash of the others, by which it is known again. The format: https://code.visualstudio.com/docs/debugtest/tasks
    """
    matchers = [
        {"owner": "devbox", "source": "devbox", "fileLocation": ["autoDetect", "${workspaceFolder}"],
         "pattern": {"regexp": regexp, **groups}}
        for regexp, groups in _PLACES
    ]  # fmt: skip

    def task(name: str, command: str, preset: str, **more: Any) -> dict[str, Any]:
        inside = f"if command -v devbox >/dev/null; then {command}; else {preset}; fi"
        return {
            "label": f"devbox: {name}",
            "type": "shell",
            "command": inside if cmake else command,
            "options": {"cwd": "${workspaceFolder}"},
            "problemMatcher": matchers,
            **more,
        }

    found = [
        task("build", "devbox --verbose build", "cmake --build --preset devbox",
             group={"kind": "build", "isDefault": True}),
        task("test", "devbox --verbose test", "ctest --preset devbox", group="test"),
    ]  # fmt: skip
    text = json.dumps({"version": "2.0.0", "tasks": found}, indent=2, ensure_ascii=False) + "\n"
    return f"{_headed(text)}{text}"


def _headed(text: str) -> str:
    return f"// Written by `devbox generate --editor-tasks`, {hashlib.sha256(text.encode()).hexdigest()[:12]}\n"


def write(workspace: Path, framework: Framework, *, force: bool, dry_run: bool) -> tuple[EditorFile, ...]:
    """Write the files that are not as they should be, and return all; what somebody else wrote is kept.

    `force` overwrites tasks of theirs, and no presets: these go to a file that theirs may include. Raises RefusedError
    for a file that git tracks, that a link leads out of the checkout, or that cannot be written.
    """
    rules = framework.build
    cmake = rules.driver != _NO_CMAKE
    files = [_tasks(workspace / TASKS, cmake=cmake, force=force)]
    if cmake:
        source = next((one for one in (workspace / place for place in rules.source) if one.is_dir()), workspace)
        files.append(_presets(source))
    wanted = [one for one in files if one.state == "written"]
    relatives = [one.path.relative_to(workspace).as_posix() for one in wanted]
    for file, relative in zip(wanted, relatives, strict=True):
        listed = git(workspace, "ls-files", "--error-unmatch", "--", relative)
        if listed is not None and listed.ok:
            raise RefusedError(f"{file.path} is tracked by git: it stays", hint=f"git rm --cached {relative}")
        if not is_inside(file.path.parent, workspace) or file.path.is_symlink():
            raise RefusedError(f"{file.path} leads elsewhere by a symlink", hint=f"ls -l {file.path.parent}")
    if not dry_run and wanted:
        for file in wanted:
            try:
                file.path.parent.mkdir(exist_ok=True)
                write_atomically(file.path, file.text)
            except OSError as error:
                hint = f"ls -ld {file.path.parent} {file.path}"
                raise RefusedError(f"{file.path} cannot be written: {error.strerror}", hint=hint) from None
        keep_out(gather(workspace), relatives)
    return tuple(files)


def _tasks(path: Path, *, cmake: bool, force: bool) -> EditorFile:
    text = tasks(cmake=cmake)
    found = _read(path)
    if found == text:
        return EditorFile(path, "current", text)
    head, _, rest = (found or "").partition("\n")
    ours = found is None or f"{head}\n" == _headed(rest)
    return EditorFile(path, "written" if ours or force else "kept", text)


def _presets(source: Path) -> EditorFile:
    """Return the file of presets: the person's where there is none or it is devbox's, else the one beside it."""
    for name in PRESETS:
        found = _read(source / name)
        if found is None:
            return EditorFile(source / name, "written", editor.text(editor.empty()))
        try:
            if editor.is_ours(json.loads(found)):
                return EditorFile(source / name, "current", found)
        except (ValueError, RecursionError):
            continue
    return EditorFile(source / PRESETS[-1], "kept", editor.text(editor.empty()))


def _read(path: Path) -> str | None:
    """Return what a file says, "" for what is there and is none, such as a pipe; None where nothing is."""
    return (text_of(path.parent, path.name) or "") if os.path.lexists(path) else None
