"""Something else in the place of a file that devbox keeps, or reads of a checkout: nothing waits for it."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from devbox import files, lean, toml
from devbox.builds import on_host, running
from devbox.container import memory, project
from devbox.container.contract import attempt
from devbox.container.person import ssh_proxy
from devbox.container.sync import checkout
from devbox.devcontainer import record
from devbox.devcontainer.compose import reading, sources
from devbox.devcontainer.features import lock
from devbox.devcontainer.writing import write
from devbox.errors import BusyError, ConfigError, ContractError, RefusedError
from devbox.facts import checkout as facts
from devbox.facts import gaps
from devbox.frameworks import detect
from devbox.image.features import store
from devbox.trust import content, grants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_huge_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def of_a_repository(path: Path) -> object:
    path.rename(path.with_name(".gitattributes"))
    return gaps._uses_lfs(path.parent)


def of_a_worktree(path: Path) -> object:
    path.rename(path.with_name(".git"))
    return facts._link(path.parent, path.parent / "absent") != "absolute"


def of_a_project(path: Path) -> object:
    project._folder().mkdir(parents=True)
    path.rename(project._folder() / "key.json")
    return project._read("key")


READERS: dict[str, Callable[[Path], Any]] = {
    "memory": memory._read,
    "project": of_a_project,
    "attempt": attempt._kept,
    "grants": grants._json,
    "sync": checkout._read,
    "Features": store._noted,
    "commands": on_host._recorded,
    "building": running._read,
    "agents": ssh_proxy.connect,
    "contract": lambda path: record.at(path) != record.NOTHING,
    "dotenv": lambda path: sources.dotenv_value(path, "NAME"),
    "frameworks": lambda path: detect._says(path, ""),
    "repository": of_a_repository,
    "worktree": of_a_worktree,
    "scripts": lambda path: len(content._bytes(str(path))) == sha256().digest_size,
}


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, a_device, a_huge_file, a_loop])
class TestInItsPlace:
    @pytest.mark.parametrize("kind", READERS)
    def test_counts_as_nothing(self, tmp_path: Path, put: Callable[[Path], None], kind: str) -> None:
        put(tmp_path / "file")
        assert not READERS[kind](tmp_path / "file")

    def test_is_named_where_a_person_writes_it(self, tmp_path: Path, put: Callable[[Path], None]) -> None:
        put(tmp_path / "config.toml")
        with pytest.raises(ConfigError, match=r"config\.toml cannot be read"):
            toml.read(tmp_path / "config.toml")

    @pytest.mark.parametrize(
        ("read", "raises"),
        [
            (lean.text, OSError),
            (reading.documents, OSError),
            (lambda path: lock.read(path.with_name(".devcontainer.json")), ContractError),
            (write._text, RefusedError),
        ],
    )
    def test_of_a_checkout_is_an_error(
        self, tmp_path: Path, put: Callable[[Path], None], read: Callable[[Path], Any], raises: type[Exception]
    ) -> None:
        path = tmp_path / ".devcontainer-lock.json"
        put(path)
        with pytest.raises(raises):
            read(path)


def test_a_full_disk_is_told_by_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as full, files.naming(tmp_path), open("/dev/full", "w") as stream:  # noqa: PTH123
        stream.write("a")
    assert full.value.filename == str(tmp_path)


def test_a_lock_needs_no_room_for_its_note(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to("/dev/full")
    with files.lock(tmp_path / "a.lock"), pytest.raises(BusyError), files.lock(tmp_path / "a.lock"):
        pass
