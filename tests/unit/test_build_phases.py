"""What the agent says becomes the steps that a person sees."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import pytest

from devbox.builds.build import _Phases
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator


class Steps(Silent):
    """A reporter that keeps how each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[str, str]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.ended.append((title, "failed"))
            raise
        self.ended.append((title, "done"))


def test_a_phase_ends_when_the_next_begins() -> None:
    reporter = Steps()
    with _Phases(reporter) as phases:
        phases.begin("configure")
        phases.begin("build")
    assert reporter.ended == [("configure", "done"), ("build", "done")]


def test_the_phase_in_which_a_build_failed_is_shown_as_failed() -> None:
    reporter = Steps()
    with _Phases(reporter) as phases:
        phases.begin("configure")
        phases.begin("build")
        phases.fail()
    assert reporter.ended == [("configure", "done"), ("build", "failed")]


def test_a_failure_before_any_phase_is_no_error() -> None:
    with _Phases(Steps()) as phases:
        phases.fail()


def test_an_interrupt_ends_the_phase_and_goes_on() -> None:
    def interrupted() -> Never:
        with _Phases(reporter) as phases:
            phases.begin("build")
            raise KeyboardInterrupt

    reporter = Steps()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reporter.ended == [("build", "failed")]
