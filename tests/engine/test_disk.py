"""`devbox du` and `devbox prune` on a real engine: all is added up, and what nobody needs goes, named first."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.builds import looked
from devbox.builds import volumes as trees
from devbox.container import memory, status
from devbox.container.target import LOCAL_FOLDER, ONE_SHOT
from devbox.devcontainer.identity import volume_name, workspace_hash
from devbox.disk import prune, usage
from devbox.engine import usage as engine_usage
from devbox.oneshot import left
from devbox.paths import cache_dir, state_dir
from devbox.reporter import Silent
from tests.engine.lab import devbox
from tests.engine.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.builds.volumes import BuildVolume
    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

DAY = 86400.0


class Held:
    """A workspace with a stopped container, a build volume, an image of its own, and what a killed command left."""

    def __init__(self, engine: Engine, image: str, path: Path) -> None:
        self.engine, self.path, self.image = engine, path, f"devbox-{path.name}:0123456789ab"
        self.base = image
        self.volume = volume_name(os.getuid(), "build", path)
        self.names = (f"{path.name}-dev", f"{path.name}-left")
        path.mkdir()
        (path / "CMakeLists.txt").write_text("project(x LANGUAGES CXX)\n")
        script = "echo hello > /written && head -c 65536 /dev/zero > /build/zeros"
        labels = {LOCAL_FOLDER: str(path), "devbox.contract": '{"schema": 1}'}
        args = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        engine.run(
            ["run", "--name", self.names[0], *args, "--volume", f"{self.volume}:/build", image, "sh", "-c", script]
        )
        engine.run(["create", "--name", self.names[1], "--label", f"{ONE_SHOT}={path}", image, "sleep", "600"])
        engine.run(["commit", self.names[0], self.image])

    def remove(self) -> None:
        self.engine.run(["rm", "--force", *self.names], check=False)
        self.engine.run(["volume", "rm", self.volume], check=False)
        self.engine.run(["rmi", self.image], check=False)

    def ours(self, todo: prune.Plan) -> prune.Plan:
        """Return the part of a plan that is about this workspace: the engine is others', too."""
        return replace(
            todo,
            left=tuple(one for one in todo.left if one.called in self.names),
            downs=tuple(one for one in todo.downs if one.workspace == str(self.path)),
            trees=tuple(one for one in todo.trees if one.volume == self.volume),
            images=tuple(one for one in todo.images if one[0].shown == self.image),
        )


@pytest.fixture
def held(
    engine: Engine, base_image: str, tmp_path: Path, engine_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Held]:
    monkeypatch.setattr(left, "FRESH_SECONDS", -1.0)
    made = Held(engine, base_image, tmp_path / engine_name("disk"))
    yield made
    made.remove()


def test_what_is_held_is_added_up_and_each_layer_counts_once(held: Held, engine: Engine) -> None:
    (cache_dir() / "features").mkdir(parents=True)
    (cache_dir() / "features/x").write_bytes(bytes(5000))
    found = usage.measure(engine)
    (mine,) = (one for one in found.workspaces if one.workspace == str(held.path))
    assert (mine.exists, mine.trees >= 65536, mine.containers >= 6, mine.images) == (True, True, True, 6)
    own, base = sorted((one for one in found.layers if held.image in one.images), key=lambda one: one.size)
    assert (own.images, own.size) == ((held.image,), 6)
    (framework,) = (one for one in found.frameworks if one.framework == held.path.name)
    assert (framework.images, framework.size, framework.own) == (1, base.size + 6, 6)
    assert ("features", 5000) in [(one.name, one.size) for one in found.caches]
    assert found.total < sum(one.size for one in found.frameworks) + sum(one.total for one in found.workspaces) + (
        1 << 40
    )
    said = devbox("du", cwd=held.path).stdout
    assert str(held.path) in said
    assert "devbox holds" in said


def test_prune_takes_what_killed_commands_left_and_old_logs_of_one_workspace_alone(
    held: Held, engine: Engine, tmp_path: Path
) -> None:
    logs = [state_dir() / "logs/build" / workspace_hash(folder) for folder in (held.path, tmp_path / "other")]
    for folder in logs:
        folder.mkdir(parents=True)
        for name in ("old", "new"):
            (folder / name).write_text("x")
        os.utime(folder / "old", (1.0, 1.0))
    todo = prune.plan(engine, held.path, now=time.time(), older_than=30 * DAY, unused=False)
    assert [(one.kind, one.reason) for one in todo.goings(engine)] == [
        ("container", "a command that was killed left it"), ("files", "not used for 30 days"),
    ]  # fmt: skip
    dry = devbox("prune", "--dry-run", cwd=held.path)
    assert "1 files in" in dry.stderr
    refused = devbox("prune", cwd=held.path, code=None)
    assert refused.returncode != 0
    assert "--yes" in refused.stderr
    assert (logs[0] / "old").exists()
    engine.run(["start", held.names[1]])
    _, (kept,) = prune.remove(replace(todo, files=()), engine, Silent())
    assert (kept.name, "running" in kept.reason) == (held.names[1], True)
    engine.run(["kill", held.names[1]])
    removed, none = prune.remove(todo, engine, Silent())
    assert (len(removed), none) == (2, ())
    assert engine.container(held.names[1]) is None
    assert [(folder / "old").exists() for folder in logs] == [False, True]
    assert [(folder / "new").exists() for folder in logs] == [True, True]
    assert json.loads(devbox("prune", "--yes", "--json", cwd=held.path).stdout)["data"] == {"removed": [], "kept": []}


def test_with_all_what_a_workspace_left_that_is_gone_goes_in_one_plan(held: Held, engine: Engine) -> None:
    shutil.rmtree(held.path)
    todo = held.ours(prune.plan(engine, None, now=time.time(), older_than=30 * DAY, unused=True))
    assert [(one.kind, one.name) for one in todo.goings(engine)] == [
        ("container", held.names[1]), ("container", held.names[0]),
        ("build volume", f"the volume {held.volume} of {held.path}, with all its trees"), ("image", held.image),
    ]  # fmt: skip
    _, kept = prune.remove(todo, engine, Silent())
    assert kept == ()
    assert [engine.container(name) for name in held.names] == [None, None]
    assert engine.volume(held.volume) is None
    assert engine.image(held.image) is None


def test_a_second_look_at_all_workspaces_starts_no_container_and_waits_for_no_sizes(
    held: Held, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def with_trees(volumes: tuple[BuildVolume, ...], engine: Engine) -> tuple[BuildVolume, ...]:
        looks.append(len(volumes))
        return trees.with_trees([one for one in volumes if one.name == held.volume], engine)

    monkeypatch.setattr(looked, "with_trees", with_trees)
    first = status.status(engine)
    (size,) = (one.size for one in first.volumes if one.name == held.volume)
    assert size is not None
    assert size >= 65536
    found, at = looked.in_all_volumes(engine, first)
    assert looked.in_all_volumes(engine, first) == (found, at)
    assert len(looks) == 1
    # As where the engine takes long: what it said before is told, with the time of that.
    monkeypatch.setattr(status, "_NOW_SECONDS", 0.0)
    monkeypatch.setattr(engine_usage, "of_kind", lambda *_, **__: None)
    second = status.status(engine)
    assert second.sized == first.sized
    assert [one.size for one in second.volumes if one.name == held.volume] == [size]
    assert [one.size for one in status.status(engine, workspace=str(held.path)).volumes] == [size]
    memory.forget_looks()  # as before each build and removal
    looked.in_all_volumes(engine, first)
    assert len(looks) == 2
    assert [one.size for one in status.status(engine, workspace=str(held.path)).volumes] == [None]


def test_of_one_workspace_nothing_is_told_about_others(
    held: Held, engine: Engine, engine_name: Callable[[str], str], tmp_path: Path
) -> None:
    other = Held(engine, held.base, tmp_path / engine_name("other"))
    try:
        for args in (["status", "--fast"], ["builds", "list", "--fast"]):
            with contextlib.closing(Recorder(tmp_path / args[0])) as recorder:
                assert held.volume in devbox(*args, "--json", cwd=held.path, DOCKER_HOST=recorder.host).stdout
                told = recorder.answered.decode()
            assert [name for name in (other.volume, *other.names, str(other.path)) if name in told] == []
    finally:
        other.remove()
