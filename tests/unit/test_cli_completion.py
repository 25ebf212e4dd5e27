"""What shells are told while somebody types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devbox.__main__ import main
from devbox.cli import completion


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str, shell: str = "fish") -> list[str]:
    assert main(["completion", shell, "--", *words]) == 0
    return [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["bui"], ["build", "builds"]),
        (["build", "--typ"], ["--type"]),
        (["build", "--type", "R"], ["RelWithDebInfo", "Release"]),
        (["build", "--type=R"], ["--type=RelWithDebInfo", "--type=Release"]),
        (["cache", "e"], ["explain"]),
        (["up", "--framework", "t"], ["tgi", "trtllm"]),
        (["up", "--framework", "vllm", "--variant", "cuda"], ["cuda12", "cuda13"]),
        (["up", "--gpus", ""], ["all", "auto", "none"]),
        (["image", "build", "-f", "vllm", "rel"], ["release"]),
        (["frameworks", "show", "sg"], ["sglang"]),
        (["open", "c"], ["clion", "code", "cursor"]),
        (["doctor", "lim"], ["limits"]),
        # Names of files, and what cannot be known, are the shell's.
        (["up", "--config", ""], []),
        (["exec", "--", "ls", ""], []),
        (["no-such-command", "x"], []),
        (["up", "--framework", "no-such-framework", "--variant", ""], []),
        (["up", "-w", "no-such-folder", "--variant", ""], []),
    ],
)
def test_the_words_that_could_be_meant(typed: list[str], found: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, *typed) == found


def test_a_name_from_a_checkout_is_one_word_of_one_line(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "devbox.toml").write_text('[frameworks."a\\tb"]\n[frameworks."c\\nd"]\n')
    assert not [word for word in told(capsys, "up", "--framework", "") if word[:1] in "abd" and "\\" not in word]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("devbox bui", "build|builds"),
        ("devbox build --type=R", "RelWithDebInfo|Release"),
        ("devbox --quiet up -f 'tg", "tgi"),
        ("devbox up --framework vllm --variant rocm ", ""),
    ],
)
def test_bash_is_given_what_it_puts_behind_its_own_breaks(line: str, found: str) -> None:
    script = "source <(devbox completion bash); COMP_LINE=$1 COMP_POINT=${#1}; _devbox devbox; "
    script += 'IFS="|"; echo "${COMPREPLY[*]}"'
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line], env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == found


def test_what_a_shell_would_act_on_is_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container says which targets there are, and bash puts a word into the line as it is."""
    said = ["all", "$(id)", "x;id", "a b", "`id`", "-x", "a|b", "a\nb", "a>b"]
    monkeypatch.setitem(completion._SOURCES, ("build", "target"), lambda _: said)
    assert told(capsys, "build", "--target", "") == ["all"]
