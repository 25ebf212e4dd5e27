"""What the agent says becomes the steps that a person sees."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from devbox.build.build import _Phases
from devbox.reporter import Silent


class Steps(Silent):
    """A reporter that keeps how each step ended."""

    def __init__(self):
        super().__init__()
        self.ended = []

    @contextmanager
    def step(self, title):
        try:
            yield
        except BaseException:
            self.ended.append((title, "failed"))
            raise
        self.ended.append((title, "done"))


def test_a_phase_ends_when_the_next_begins():
    reporter = Steps()
    with _Phases(reporter) as phases:
        phases.begin("configure")
        phases.begin("build")
    assert reporter.ended == [("configure", "done"), ("build", "done")]


def test_the_phase_in_which_a_build_failed_is_shown_as_failed():
    reporter = Steps()
    with _Phases(reporter) as phases:
        phases.begin("configure")
        phases.begin("build")
        phases.fail()
    assert reporter.ended == [("configure", "done"), ("build", "failed")]


def test_a_failure_before_any_phase_is_no_error():
    with _Phases(Steps()) as phases:
        phases.fail()


def test_an_interrupt_ends_the_phase_and_goes_on():
    def interrupted():
        with _Phases(reporter) as phases:
            phases.begin("build")
            raise KeyboardInterrupt

    reporter = Steps()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reporter.ended == [("build", "failed")]
