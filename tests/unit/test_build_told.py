"""What `devbox build` says at its end, and what its tests are told to leave behind."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from devbox.agent.ninja import targets
from devbox.builds.report.summary import BuildReport
from devbox.builds.test import junit_words
from devbox.cli.application import Application
from devbox.cli.builds.told import tell
from devbox.errors import UsageError
from devbox.frameworks.load import available, load
from devbox.ui.console import Console


def told(code: int = 0, *, commands: int = 0, reasons: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    report = BuildReport(code, "release-90", "/build/release-90", None, 2.0, commands=commands, reasons=reasons)
    tell(Application(Console(stream, environ={}), {}, json=False), report, explain=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("commands", "reasons", "said"),
    [
        (0, (), "because: nothing that the tree is made from has changed\n"),
        (3, (), "because: what was made was not there yet, or its command is another one\n"),
        (3, ("a.cu changed",), "because: a.cu changed\n"),
    ],
)
def test_explain_gives_a_reason_in_every_case(commands: int, reasons: tuple[str, ...], said: str) -> None:
    assert told(commands=commands, reasons=reasons).startswith(said)


@pytest.mark.parametrize("code", [130, 143])
def test_an_interrupted_build_is_called_that(code: int) -> None:
    assert "release-90 interrupted: 3 commands done, 2.0 s; the same command goes on from there" in told(
        code, commands=3
    )


LISTED = """\
all: phony
edit_cache: phony
build.ninja: RERUN_CMAKE
clean: CLEAN
kernels/all: phony
CMakeFiles/a.dir/a.o: CXX
cmake_object_order_depends_target_a: phony
attention: phony
attention_test: phony
libquant.a: CXX_STATIC
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("atention", "the nearest targets: attention, attention_test"),
        ("quant", "the nearest targets: libquant.a"),
        ("nothing_like_it", "the targets are attention, attention_test, libquant.a"),
    ],
)
def test_a_target_that_there_is_not_names_the_nearest(name: str, line: str) -> None:
    assert targets.unknown(f"ninja: error: unknown target '{name}', did you mean 'all'?") == name
    assert targets.nearest(name, LISTED) == line


def test_each_frameworks_tests_can_leave_a_junit_file_and_an_unknown_runner_is_refused() -> None:
    # cargo has none that is stable.
    known = [one for one in map(load, available()) if one.build.test and one.build.test[0] != "cargo"]
    assert len(known) >= 5
    for framework in known:
        assert "/x.xml" in "".join(junit_words(framework, "/x.xml")), framework.name
    other = replace(load("cuda"), build=replace(load("cuda").build, test=("run-tests",)))
    with pytest.raises(UsageError, match="no JUnit file that devbox knows of"):
        junit_words(other, "/x.xml")
