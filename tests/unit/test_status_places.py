"""`devbox status --all` where workspaces run in several places."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from devbox.cli import status
from devbox.container import memory
from devbox.engine.kubernetes import cluster
from devbox.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


def test_places_are_asked_side_by_side_and_each_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    places, said = ("kubernetes:a/x", "kubernetes:b/x", "kubernetes:c/x"), list[str]()
    # Each waits until all are asked.
    together = threading.Barrier(len(places), timeout=30)

    def chosen(environ: Mapping[str, str]) -> None:
        together.wait()
        raise EngineError(f"{environ['DEVBOX_ON']} does not answer")

    monkeypatch.setattr(memory, "places", lambda: places)
    monkeypatch.setattr(cluster, "chosen", chosen)
    run = SimpleNamespace(environ={}, console=SimpleNamespace(warn=said.append))
    assert list(status._elsewhere(run)) == []  # type: ignore[arg-type]
    assert said == [f"{place}: {place} does not answer" for place in places]
