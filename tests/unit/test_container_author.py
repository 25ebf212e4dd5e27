"""Which framework a checkout is, when nobody says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox.container import author
from devbox.errors import UsageError
from devbox.frameworks.detect import Match
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Answering(Silent):
    """Somebody who chooses the last one."""

    def choose(self, question: str, choices: Sequence[str]) -> str | None:
        return choices[-1]


def matches(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> None:
    result = tuple(Match(name, None, (f"{name}.txt is there",), weight) for name, weight in found)
    monkeypatch.setattr("devbox.frameworks.detect.detect", lambda _: result)


def test_the_requested_framework_is_taken_without_a_look(tmp_path: Path) -> None:
    assert author.framework_of(tmp_path, "vllm", Silent()) == ("vllm", None, ())


def test_the_best_match_is_taken_and_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matches(monkeypatch, ("vllm", 20), ("cuda", 10))
    name, _, why = author.framework_of(tmp_path, None, Silent())
    assert name == "vllm"
    assert why == ("vllm, because vllm.txt is there",)


def test_in_doubt_the_person_is_asked_and_else_the_choices_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches(monkeypatch, ("vllm", 20), ("sglang", 20), ("cuda", 10))
    assert author.framework_of(tmp_path, None, Answering())[0] == "sglang"
    with pytest.raises(UsageError, match=r"vllm \(.*sglang \(") as raised:
        author.framework_of(tmp_path, None, Silent())
    assert "--framework" in str(raised.value.hint)


def test_nothing_matches(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the frameworks"):
        author.framework_of(tmp_path, None, Silent())
