"""What must not be seen is not seen, whatever it stands beside."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.cli.application import Application
from devbox.errors import HookError
from devbox.masking import MASK, Mask, folded_command
from devbox.ui.console import Console
from devbox.ui.envelope import envelope

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = st.lists(st.text("abAB01-_/+ ", min_size=4, max_size=12).filter(lambda text: len(text.strip()) >= 4))


def masking(*values: str) -> Mask:
    mask = Mask()
    mask.hide(values)
    return mask


@given(VALUES, st.data())
def test_no_value_is_left_in_any_text(values: list[str], data: st.DataObject) -> None:
    pieces = st.one_of(st.sampled_from(values or [""]), st.text("abAB01-_/+ ", max_size=5))
    text = "".join(data.draw(st.lists(pieces, max_size=6)))
    shown = masking(*values)(text)
    assert not [value for value in values if value.strip() in shown.replace(MASK, "\n")]


@given(st.text(), VALUES)
def test_a_text_without_a_value_stays_as_it_is(text: str, values: list[str]) -> None:
    if not any(value.strip() in text for value in values):
        assert masking(*values)(text) == text


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        (("hf_abc", "hf_abcdef"), "T=hf_abcdef.", f"T={MASK}."),
        (("abcdef", "defghi"), "abcdefghi!", f"{MASK}!"),
        (("abcd",), "abcdabcd", MASK),
        (("one-line\nother-line\n}",), "one-line", MASK),
        (("one-line\nother-line\n}",), "} other-line", f"}} {MASK}"),
        (("one-line\r\nother-line",), "x other-line", f"x {MASK}"),
        (('quo"te\\d',), r'{"a": "quo\"te\\d"}', f'{{"a": "{MASK}"}}'),
        (("p@ss/word",), "https://me:p%40ss%2Fword@host", f"https://me:{MASK}@host"),
        (("it's one",), """docker run 'A=it'"'"'s one'""", f"docker run 'A={MASK}'"),
        (("se\udcffcret",), "T=se\udcffcret se\ufffdcret se%FFcret", f"T={MASK} {MASK} {MASK}"),
        (("\udcff\udcfe",), "T=%FF%FE", f"T={MASK}"),
        (("x1",), "PIN=x1 and 'x1', x1", f"PIN={MASK} and '{MASK}', {MASK}"),
        (("x1",), "ax1 x12 /x1/ x1-2", "ax1 x12 /x1/ x1-2"),
        (("",), "nothing", "nothing"),
    ],
)
def test_what_is_masked(values: tuple[str, ...], text: str, shown: str) -> None:
    assert masking(*values)(text) == shown


def console(stream: io.StringIO) -> Console:
    made = Console(stream, environ={}, verbose=True)
    made.mask.hide(["tellnobody"])
    return made


def failing(run: Console) -> None:
    with pytest.raises(HookError), run.step("a tellnobody b"):
        raise HookError("it")


@pytest.mark.parametrize(
    "say",
    [
        lambda run: run.info("a tellnobody b"),
        lambda run: run.warn("a tellnobody b"),
        lambda run: run.error("tellnobody", hint="tellnobody", detail="x\ntellnobody"),
        lambda run: run.output("a tellnobody b", prefix="tellnobody"),
        lambda run: run.progress(1, 2, running=["tellnobody.cu"]),
        failing,
    ],
    ids=["info", "warn", "error", "output", "progress", "step"],
)
def test_all_that_the_console_says_is_masked(say: Callable[[Console], object]) -> None:
    stream = io.StringIO()
    run = console(stream)
    say(run)
    assert MASK in stream.getvalue()
    assert "tellnobody" not in stream.getvalue() + "".join(run.warnings)


def test_a_line_is_masked_before_it_is_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    run = Console(stream, environ={"TERM": "xterm", "NO_COLOR": "1"})
    run.mask.hide(["tellnobody-at-all"])
    run.output("x" * 20 + "tellnobody-at-all")
    assert "tell" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_the_envelope_is_masked_and_stays_json() -> None:
    mask = masking('say "no"\nto all')
    error = HookError("to all", hint="to all", detail='x say "no"')
    text = envelope("up", {"to all": ['say "no"\nto all', 1]}, warnings=["to all"], error=error, mask=mask.data)
    said = json.loads(text)
    assert said["data"] == {"to all": [MASK, 1]}
    assert said["warnings"] == [MASK]
    assert (said["error"]["message"], said["error"]["hint"], said["error"]["detail"]) == (MASK, MASK, f"x {MASK}")
    assert said["status"] == "error"


def test_long_words_of_a_command_are_folded_and_the_others_stay() -> None:
    label = "devcontainer.metadata=" + "x" * 4000
    line = shlex.join(["docker", "run", "--label", label, "--gpus", "all", "an image"])
    short = folded_command(line)
    assert len(short) < 300
    assert short.endswith(" --gpus all 'an image'")
    assert "--label" in short
    for same in ("docker ps", f"# {label}", f"echo '{'x' * 200}", " ".join(["a"] * 200)):
        assert folded_command(same) == same


def test_a_line_of_json_before_the_result_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    run = Application(Console(environ={}), {}, json=True)
    run.console.mask.hide(["hunter2-hunter2"])
    run.line(event="failed", error={"message": "hunter2-hunter2 is wrong"}, changed=(Path("a"),))
    said = json.loads(capsys.readouterr().out)
    assert said == {"schema": "devbox/1", "event": "failed", "error": {"message": f"{MASK} is wrong"}, "changed": ["a"]}
