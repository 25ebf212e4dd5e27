"""What `generate --editor-tasks` writes: nothing of others is lost, and editors find the places in messages."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from devbox.agent import editor as presets
from devbox.agent.protocol import PRESETS
from devbox.builds import editor
from devbox.errors import RefusedError
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from devbox.agent.configuration import Configuration
    from devbox.agent.protocol import Rules

USER, BESIDE = PRESETS
TREE: dict[str, Any] = {"source": "/workspaces/x", "generator": "Ninja", "jobs": 3, "environ": {"A": "b"}}


def write(folder: Path, framework: str = "cuda", **more: bool) -> dict[str, str]:
    found = editor.write(folder, load(framework), **{"force": False, "dry_run": False, **more})
    return {one.path.relative_to(folder).as_posix(): one.state for one in found}


def test_files_are_written_once_and_kept_out_of_git_status(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert write(tmp_path, dry_run=True) == {editor.TASKS: "written", USER: "written"}
    assert not (tmp_path / USER).exists()
    assert write(tmp_path) == {editor.TASKS: "written", USER: "written"}
    assert write(tmp_path) == {editor.TASKS: "current", USER: "current"}
    status = subprocess.run(["git", "-C", tmp_path, "status", "--porcelain"], capture_output=True, check=True)
    assert status.stdout == b""


def test_what_somebody_else_wrote_stays(tmp_path: Path) -> None:
    theirs = {"version": 4, "configurePresets": [{"name": "mine"}]}
    (tmp_path / USER).write_text(json.dumps(theirs))
    (tmp_path / ".vscode").mkdir()
    (tmp_path / editor.TASKS).write_text("{} // mine\n")
    assert write(tmp_path) == {editor.TASKS: "kept", BESIDE: "written"}
    assert write(tmp_path, force=True) == {editor.TASKS: "written", BESIDE: "current"}
    assert json.loads((tmp_path / USER).read_text()) == theirs
    (tmp_path / editor.TASKS).write_text((tmp_path / editor.TASKS).read_text().replace("test", "mine"))
    assert write(tmp_path)[editor.TASKS] == "kept"
    for name in PRESETS:
        (tmp_path / name).write_text("not JSON")
    assert write(tmp_path)[BESIDE] == "kept"


@pytest.mark.parametrize(
    ("name", "make", "state"),
    [
        (editor.TASKS, os.mkfifo, "kept"),
        (USER, os.mkfifo, "written"),
        (USER, os.mkdir, "written"),
        (USER, lambda path: path.symlink_to(USER), "written"),
        (USER, lambda path: path.write_text("[" * 100_000), "written"),
    ],
)
def test_what_is_no_file_of_theirs_is_kept_and_not_waited_for(
    tmp_path: Path, name: str, make: Callable[[Path], object], state: str
) -> None:
    (tmp_path / ".vscode").mkdir()
    make(tmp_path / name)
    found = write(tmp_path)
    assert found[name if name == editor.TASKS else BESIDE] == state


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to(".vscode")])
def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / ".vscode")
    with pytest.raises(RefusedError, match="cannot be written"):
        write(tmp_path)
    assert not (tmp_path / USER).exists()


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        ('"configurePresets": 3', True),
        ('"buildPresets": ["x"]', True),
        ('"testPresets": [null]', True),
        ('"x": ' + "[" * 100_000 + "]" * 100_000, True),
        ('"x": "\\ud800"', False),
    ],
)
def test_no_build_fails_for_what_stands_in_the_presets(tmp_path: Path, said: str, is_kept: bool) -> None:
    text = f'{{"vendor": {{"devbox": ""}}, {said}}}'
    (tmp_path / USER).write_text(text)
    decided = SimpleNamespace(environ={}, source=str(tmp_path), tree="/build/x-1")
    presets.keep(cast("Configuration", decided), cast("Rules", SimpleNamespace(env=[], generator="Ninja")), 4)
    assert ((tmp_path / USER).read_text() == text) == is_kept


def test_tracked_files_and_links_out_of_the_checkout_are_refused(tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    subprocess.run(["git", "init", "--quiet", work], check=True)
    outside.mkdir()
    (work / ".vscode").symlink_to(outside)
    with pytest.raises(RefusedError, match="symlink"):
        write(work)
    assert list(outside.iterdir()) == []
    (work / ".vscode").unlink()
    write(work)
    old = editor.tasks(cmake=False)
    (work / editor.TASKS).write_text(old)
    subprocess.run(["git", "-C", work, "add", "--force", editor.TASKS], check=True)
    with pytest.raises(RefusedError, match="tracked"):
        write(work)
    assert (work / editor.TASKS).read_text() == old


def test_a_framework_without_cmake_gets_tasks_alone(tmp_path: Path) -> None:
    assert write(tmp_path, "dynamo") == {editor.TASKS: "written"}
    assert "cmake" not in (tmp_path / editor.TASKS).read_text().partition("problemMatcher")[0]


def test_presets_of_others_stay_beside_the_one_that_follows_the_tree() -> None:
    mine = {**presets.empty(), "configurePresets": [{"name": "mine"}], "include": ["x.json"]}
    first = presets.with_tree(mine, tree="/build/one", **TREE)
    second = presets.with_tree(first, tree="/build/two", **TREE)
    assert presets.is_ours(second)
    assert [one["name"] for one in second["configurePresets"]] == ["devbox", "mine"]
    assert second["configurePresets"][0]["binaryDir"] == "/build/two"
    assert second["configurePresets"][0]["condition"]["rhs"] == "/workspaces/x"
    assert (second["include"], len(second["buildPresets"]), second["buildPresets"][0]["jobs"]) == (["x.json"], 1, 3)
    assert presets.with_tree(second, tree="/build/two", **TREE) == second


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ninja │ /workspaces/vllm/csrc/a b.cpp:3:7: error: no 'x'", ("csrc/a b.cpp", "3", "7", "error")),
        ("/usr/include/x.h:12: warning: old", ("/usr/include/x.h", "12", None, "warning")),
        ("src/a.c:1:2: fatal error: y.h: No such file", ("src/a.c", "1", "2", "error")),
        ('ninja │ /workspaces/x/k.cu(4): error: identifier "q" is undefined', ("k.cu", "4", None, "error")),
        ("/workspaces/x/k.cu(9): warning #177-D: variable", ("k.cu", "9", None, "warning")),
        ("cmake │ CMake Error at /workspaces/x/cmake/a.cmake:5 (message):", ("cmake/a.cmake", "5", None, "Error")),
        ("ninja │ [3/7] Building CXX object a.o", None),
    ],
)  # fmt: skip
def test_editors_find_the_place_in_what_compilers_say(line: str, found: tuple[str | None, ...] | None) -> None:
    (build, _) = json.loads(editor.tasks(cmake=True).partition("\n")[2])["tasks"]
    names = ("file", "line", "column", "severity")
    hits = [
        tuple(match[pattern[name]] if name in pattern else None for name in names)
        for pattern in (one["pattern"] for one in build["problemMatcher"])
        if (match := re.match(pattern["regexp"], line))
    ]
    assert hits == ([found] if found else [])
