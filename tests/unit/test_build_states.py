"""Two trees change places: wherever that is cut off, the next one who looks brings it to its end."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent.files import write_json
from devbox.agent.record import Records
from devbox.agent.states import States

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
