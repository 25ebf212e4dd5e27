"""Seeding: a new tree starts as a copy of another workspace's, and is what a build from scratch makes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent.protocol import Seed
from devbox.builds import deliver
from tests.oracle.build_lab import COUNT, FILES, Lab, Running

if TYPE_CHECKING:
    from pathlib import Path

OTHER = {"shared.h": "#define SHARED 7\n"}


class Second:
    """A second workspace at the place of the first, as a second container has it; the first one is put aside.

    Folders are renamed, which leaves the stamps of the files in them as they were.
    """

    def __init__(self, lab: Lab, number: int = 1) -> None:
        self.lab = lab
        top = lab.volume.parent
        self.first = top / f"first-{number}"
        self.first.mkdir()
        lab.workspace.rename(self.first / "workspace")
        lab.volume.rename(self.first / "build")
        lab.volume.mkdir()
        receive = [sys.executable, *deliver.receive_argv(str(lab.volume))[1:]]
        subprocess.run(receive, input=json.dumps(deliver.bundle()), text=True, check=True)
        self.sources = [self.source(self.first / "build")]

    def source(self, volume: Path, **fields: object) -> dict[str, Any]:
        return {"volume": str(volume), "workspace": str(self.first), "sibling": True, "least": 0.0, **fields}

    def clone(self) -> None:
        """Check the repository out anew: every file gets the current time."""
        subprocess.run(
            ["git", "clone", "-q", str(self.first / "workspace"), str(self.lab.workspace)],
            env=self.lab.environ,
            check=True,
        )

    def build(self, **fields: object) -> dict[str, Any]:
        """Build in the new workspace; the agent's question for a tree is answered by a second agent."""
        running = self.lab.start(seed=True, **fields)
        asked = running.until("seed")
        self.answer = self.copy(asked)
        running.answer()
        return running.result()

    def copy(self, asked: dict[str, Any]) -> dict[str, Any]:
        request = Seed.of({**asked, "volume": str(self.lab.volume), "sources": self.sources})
        running = Running(self.lab, request)
        try:
            return running.result()
        finally:
            running.close()


def left_over(lab: Lab) -> list[Path]:
    folder = lab.volume / ".devbox" / "seeds"
    return list(folder.iterdir()) if folder.exists() else []


def test_the_same_sources_compile_nothing(lab: Lab) -> None:
    lab.built(objects=COUNT)
    second = Second(lab)
    second.clone()
    result = second.build()
    assert result["code"] == 0
    assert (result["compiled"], result["commands"], result["configured"]) == (0, 0, [])
    assert result["seeded"].startswith(f"seeded from {second.first}")
    lab.check(result)
    assert left_over(lab) == []
    assert lab.built(objects=0)["healed"] == {"lowered": 0, "raised": 0}


def test_other_sources_compile_what_differs(lab: Lab) -> None:
    lab.branch("other", {**OTHER, "three.c": "int three(void) { return 33; }\n"}, back=False)
    lab.git("switch", "-q", "main")
    lab.built(objects=COUNT)
    second = Second(lab)
    second.clone()
    lab.git("switch", "-q", "other")
    result = second.build()
    assert result["compiled"] == 3
    lab.check(result)
    lab.built(objects=0)


def test_a_worktree_that_is_older_than_the_objects_is_not_stale(lab: Lab) -> None:
    """Its files look older than the tree that was copied, and during the attempt that made it."""
    shutil.copytree(lab.workspace, lab.volume.parent / "older")
    old = lab.volume.parent / "older" / "shared.h"
    old.write_text(OTHER["shared.h"])
    lab.built(objects=COUNT)
    second = Second(lab)
    (lab.volume.parent / "older").rename(lab.workspace)
    result = second.build()
    assert result["compiled"] == 2
    lab.check(result)


def test_a_file_written_while_the_other_tree_was_built_is_not_stale(lab: Lab) -> None:
    """ninja would take its object for newer: the compiler started after the file was written, but read another."""
    older = lab.volume.parent / "older"
    shutil.copytree(lab.workspace, older)
    compiler = lab.volume.parent / "bin" / "cc"
    compiler.parent.mkdir()
    written = f"printf '#define SHARED 7\\n' > '{older}/shared.h'"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *three.c.o*) {written} ;; esac\nexec /usr/bin/cc "$@"\n')
    compiler.chmod(0o755)
    lab.environ["CC"] = str(compiler)
    lab.build(jobs=1)
    # one.c and two.c are compiled after the file was written, too.
    lab.write("one.c", FILES["one.c"] + "\n")
    lab.write("two.c", FILES["two.c"] + "\n")
    (older / "one.c").write_text(FILES["one.c"] + "\n")
    (older / "two.c").write_text(FILES["two.c"] + "\n")
    lab.write("three.c", FILES["three.c"] + "\n")
    (older / "three.c").write_text(FILES["three.c"] + "\n")
    lab.build(jobs=1)
    second = Second(lab)
    older.rename(lab.workspace)
    result = second.build()
    lab.check(result)


@pytest.mark.parametrize("what", ["cut off", "ninja by hand", "building", "far away", "no tree", "makefiles"])
def test_what_is_no_proof_is_not_copied(lab: Lab, what: str) -> None:
    request: dict[str, object] = {}
    if what == "makefiles":
        lab.rules = replace(lab.rules, generator="Unix Makefiles")
    result = lab.build()
    key = result["key"]
    holder = None
    if what == "cut off":
        path = lab.volume / ".devbox/records" / key / "attempt.json"
        path.write_text(path.read_text().replace('"closed"', '"open"'))
    elif what == "ninja by hand":
        lab.write("one.h", "#define ONE 5\n")
        lab.ninja(result)
        lab.write("one.h", FILES["one.h"])
    elif what == "no tree":
        request["type"] = "Release"
    second = Second(lab)
    second.clone()
    if what == "far away":
        second.sources[0]["least"] = 0.9
        for name in ("one.c", "two.c", "three.c"):
            lab.write(name, FILES[name] + "\n")
    elif what == "building":
        lock = second.first / "build/.devbox/locks" / f"{key}.lock"
        holder = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE, stdout=-1)
        assert holder.stdout is not None
        holder.stdout.readline()
    try:
        result = second.build(**request)
    finally:
        if holder is not None:
            holder.communicate()
    assert result["compiled"] == COUNT or what == "makefiles"  # make keeps no log to count by
    assert second.answer["seeded"] == ""
    assert len(second.answer["why"]) == 1
    lab.check(result)
    assert left_over(lab) == []


def test_the_nearest_is_taken(lab: Lab) -> None:
    lab.built(objects=COUNT)
    near = Second(lab)
    near.clone()
    for name in ("one.c", "two.c", "three.c"):
        lab.write(name, FILES[name] + "\n")
    lab.build()
    lab.commit("far")
    far = Second(lab, 2)
    subprocess.run(
        ["git", "clone", "-q", str(near.first / "workspace"), str(lab.workspace)], env=lab.environ, check=True
    )
    far.sources = [far.source(far.first / "build"), far.source(near.first / "build", workspace="near")]
    result = far.build()
    assert far.answer["seeded"] == "near"
    assert result["compiled"] == 0


def test_a_copy_that_was_cut_off_never_counts_as_a_tree(lab: Lab) -> None:
    key = lab.built(objects=COUNT)["key"]
    second = Second(lab)
    second.clone()
    running = lab.start(seed=True)
    asked = running.until("seed")
    second.copy(asked)
    (lab.volume / ".devbox/seeds" / f"{key}.{asked['token']}" / "seed.json").unlink()
    running.process.kill()
    running.close()
    assert not (lab.volume / key).exists()
    assert left_over(lab)
    result = second.build()
    assert result["compiled"] == 0
    lab.check(result)
    assert left_over(lab) == []


def test_without_healing_and_for_the_user_s_own_wish_nothing_is_copied(lab: Lab) -> None:
    lab.built(objects=COUNT)
    second = Second(lab)
    second.clone()
    assert lab.build(seed=True, heal=False)["compiled"] == COUNT


def test_what_fetchcontent_checked_out_comes_along(lab: Lab) -> None:
    origin = lab.volume.parent / "origin"
    origin.mkdir()
    (origin / "fetched.h").write_text("#define FETCHED 1\n")
    (origin / "CMakeLists.txt").write_text("")
    archive = lab.volume.parent / "origin.tar"
    subprocess.run(["tar", "-C", str(origin), "-cf", str(archive), "."], check=True)
    lab.write(
        "CMakeLists.txt",
        (lab.workspace / "CMakeLists.txt").read_text()
        + f'include(FetchContent)\nFetchContent_Declare(origin URL "{archive}")\n'
        "FetchContent_MakeAvailable(origin)\ntarget_include_directories(parts PUBLIC ${origin_SOURCE_DIR})\n",
    )
    lab.write("three.c", '#include "fetched.h"\nint three(void) { return FETCHED + 2; }\n')
    lab.commit("fetch")
    assert lab.build()["compiled"] == COUNT
    archive.unlink()
    second = Second(lab)
    second.clone()
    result = second.build()
    assert result["code"] == 0
    assert result["compiled"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_random_worktrees_are_never_stale(tmp_path: Path, seed: int) -> None:
    """Any state of the first, any state of the second, any times: the program is what the files say."""
    chance = random.Random(seed)
    lab = Lab(tmp_path)
    texts = {name: [FILES[name], FILES[name] + "\n"] for name in ("one.c", "two.c", "main.c")}
    texts["shared.h"] = [f"#define SHARED {n}\n" for n in (1, 2, 3)]
    texts["one.h"] = [f"#define ONE {n}\n" for n in (1, 2, 3)]

    def change() -> None:
        for name in chance.sample(sorted(texts), chance.randrange(4)):
            path = lab.write(name, chance.choice(texts[name]))
            if chance.random() < 0.5:
                then = path.stat().st_mtime + chance.choice([-100, -1, -0.01, 0, 0.01])
                os.utime(path, (then, then))

    try:
        for number in range(1, 5):
            for _ in range(chance.randrange(1, 4)):
                change()
                lab.check(lab.build())
            second = Second(lab, number)
            if chance.random() < 0.5:
                second.clone()
            else:
                shutil.copytree(second.first / "workspace", lab.workspace)
            change()
            result = second.build()
            assert result["code"] == 0
            lab.check(result)
    finally:
        lab.close()
