"""Two trees change places: wherever that is cut off, the next one who looks brings it to its end."""

from __future__ import annotations

import errno
import os
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent import states
from devbox.agent.files import write_json
from devbox.agent.record import Records
from devbox.agent.states import MOST, States

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class CutOffError(Exception):
    """What a kill is here."""


@pytest.mark.parametrize("renames", range(6))
def test_a_switch_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    folder, record = tmp_path / ".devbox" / "states" / "key", tmp_path / ".devbox" / "records" / "key"
    for place, what in (
        (tmp_path / "key" / "what", "present"),
        (record / "attempt.json", "present"),
        (record / "history.jsonl", "history"),
        (folder / "1" / "tree" / "what", "other"),
        (folder / "1" / "record" / "attempt.json", "other"),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(what)
    write_json(str(folder / "2" / "state.json"), {"bytes": 1, "said": []})
    write_json(str(folder / "switch.json"), {"into": "1", "aside": "2"})
    decided = SimpleNamespace(volume=str(tmp_path), key="key", tree=str(tmp_path / "key"))
    context: Any = SimpleNamespace(decided=decided, records=Records(str(record.parent)))

    left = [renames]

    def cut_off(whole: Callable[..., None]) -> Callable[..., None]:
        def rename(*places: str) -> None:
            if not left[0]:
                raise CutOffError
            left[0] -= 1
            whole(*places)

        return rename

    with monkeypatch.context() as patched:
        for name in ("rename", "replace"):
            patched.setattr(os, name, cut_off(getattr(os, name)))
        if renames < 5:
            with pytest.raises(CutOffError):
                States(context)
        else:
            States(context)
    States(context)
    States(context)
    assert (tmp_path / "key" / "what").read_text() == (record / "attempt.json").read_text() == "other"
    assert (record / "history.jsonl").read_text() == "history"
    assert (
        (folder / "2" / "tree" / "what").read_text()
        == (folder / "2" / "record" / "attempt.json").read_text()
        == "present"
    )
    assert [path.name for path in folder.iterdir()] == ["2"]


def test_a_copy_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / ".devbox" / "states" / "key"
    for name in ("copy/tree", "gone/tree", "3"):
        (folder / name).mkdir(parents=True)
    decided = SimpleNamespace(volume=str(tmp_path), key="key", tree=str(tmp_path / "key"))
    States(SimpleNamespace(decided=decided, records=Records(str(tmp_path))))  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []


# What somebody cannot delete: a file in a folder without write permission, or one of root's.
STUBBORN = "stubborn"


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(
        path: str | os.PathLike[str], *, dir_fd: int | None = None, whole: Callable[..., None] = os.unlink
    ) -> None:
        if os.fspath(path).endswith(STUBBORN):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        whole(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)


class Volume:
    """A volume with a tree and its record, both of which hold `A` and what cannot be deleted."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.record = folder / "key", folder / ".devbox" / "records" / "key"
        self.states = folder / ".devbox" / "states" / "key"
        self.reasons: list[str] = []
        self.fill(self.tree, self.record, "A")
        self.code = 0
        self.context: Any = SimpleNamespace(
            decided=SimpleNamespace(volume=str(folder), key="key", tree=str(self.tree), environ=os.environ),
            records=Records(str(self.record.parent)),
            reasons=self.reasons,
            events=SimpleNamespace(phase=lambda _: None),
            supervisor=SimpleNamespace(run=self.run),
        )

    @staticmethod
    def fill(tree: Path, record: Path, what: str) -> None:
        for path in (tree / "what", tree / STUBBORN, record / "attempt.json"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(what)

    def run(self, argv: list[str], *, cwd: str, environ: object, on_text: Callable[[str], None]) -> int:
        done = subprocess.run(argv, cwd=cwd, check=True)
        if self.code:
            on_text("cp: error writing 'x': No space left on device\n")
        return self.code or done.returncode

    def names(self) -> list[str]:
        return sorted(path.name for path in self.states.iterdir())


@pytest.mark.usefixtures("stubborn")
def test_trees_that_cannot_be_deleted_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(tmp_path)
    monkeypatch.setattr(States, "_fits", lambda *_: True)
    for name in ("1", "2"):
        volume.fill(volume.states / name / "tree", volume.states / name / "record", name)
    for name in ("2", "1"):
        assert States(volume.context).take(None, {}, None)  # type: ignore[arg-type]
        assert (volume.tree / "what").read_text() == (volume.record / "attempt.json").read_text() == name
    assert not States(volume.context).take(None, {}, None)  # type: ignore[arg-type]
    assert (volume.tree / "what").read_text() == "1"


@pytest.mark.usefixtures("stubborn")
def test_states_that_cannot_be_deleted_do_not_fail_a_build(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    for _ in range(MOST + 3):
        States(volume.context).keep([])
    assert volume.names() == ["2", "3", "4", "5", "gone.1"]
    assert (
        volume.reasons
        == [f"this configuration is not kept: an earlier one cannot be deleted: {volume.states}/gone.1"] * 2
    )
    assert (volume.states / "5" / "tree" / "what").read_text() == "A"


def test_a_disk_that_fills_up_while_a_state_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(tmp_path)
    volume.code = 1
    States(volume.context).keep([])
    volume.code = 0

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(states, "adopt", full)
    States(volume.context).keep([])
    assert [("No space left on device" in reason) for reason in volume.reasons] == [True, True]
    assert volume.names() == []

    volume.fill(volume.states / "1" / "tree", volume.states / "1" / "record", "1")
    monkeypatch.setattr(States, "_fits", lambda *_: True)
    with monkeypatch.context() as patched:
        patched.setattr(states, "write_json", full)
        assert not States(volume.context).take(None, {}, [])  # type: ignore[arg-type]
    assert (volume.tree / "what").read_text() == (volume.record / "attempt.json").read_text() == "A"
    assert States(volume.context).take(None, {}, [])  # type: ignore[arg-type]
    assert (volume.tree / "what").read_text() == (volume.record / "attempt.json").read_text() == "1"
    assert volume.names() == ["2"]
