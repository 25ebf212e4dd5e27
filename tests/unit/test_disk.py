"""What `devbox prune` takes of the files in the home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devbox.container.target import HELPER, LOCAL_FOLDER, ONE_SHOT
from devbox.disk.prune import Plan, remove, unused_files
from devbox.engine.docker import ContainerSummary, Engine
from devbox.oneshot.left import left_over
from devbox.reporter import Silent

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OLD = 1_000_000_000


def put(path: Path, *, old: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    if old:
        os.utime(path, (OLD, OLD))
    return path


def test_of_a_folder_with_a_file_in_use_nothing_goes(tmp_path: Path) -> None:
    """As an archive leaves its files with old times, and its description alone is read at each `up`."""
    put(tmp_path / "used/install.sh", old=True)
    put(tmp_path / "used/description.json", old=False)
    put(tmp_path / "unused/inner/install.sh", old=True)
    (tmp_path / "unused/empty").mkdir()
    put(tmp_path / "alone.json", old=True)
    found = unused_files(tmp_path, OLD + 1, whole=True)
    assert (set(found.paths), found.size) == ({tmp_path / "unused", tmp_path / "alone.json"}, 10)
    assert len(unused_files(tmp_path, OLD + 1).paths) == 3
    remove(Plan(files=(found,)), Engine(), Silent())
    assert [one.name for one in tmp_path.iterdir()] == ["used"]
    assert (tmp_path / "used/install.sh").is_file()


def test_what_only_its_image_calls_devboxs_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image can carry any label: of what devbox removes unasked, and of a dev container too."""

    def has(name: str, image: str, *labels: str) -> ContainerSummary:
        return ContainerSummary(name, (name,), "", image, "exited", "", 0, dict.fromkeys(labels, "/w"))

    ones = [
        has("helper", "plain", HELPER),
        has("run", "plain", ONE_SHOT),
        has("service", "hostile", HELPER),
        has("dev", "plain", HELPER, LOCAL_FOLDER),
    ]
    images = {"plain": {}, "hostile": {"Config": {"Labels": {HELPER: ""}}}}
    monkeypatch.setattr(
        Engine, "containers", lambda _, labels: [one for one in ones if labels.keys() <= one.labels.keys()]
    )
    monkeypatch.setattr(Engine, "image", lambda _, name: images[name])
    assert [one.called for one in left_over(Engine(), None)] == ["helper", "run"]
