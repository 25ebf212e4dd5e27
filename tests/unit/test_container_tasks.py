"""Tasks: what a person types becomes values, and values become a command; nothing else does."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.frameworks.load import available, load, variants
from devbox.frameworks.model import Task, TaskOption
from devbox.oneshot.tasks import fill, parse, task_of

HOME = Path("/home/ada")
OPTIONS = (
    TaskOption("model", "The model."),
    TaskOption("engines", "Where engines are.", kind="path", default="engines"),
    TaskOption("tp", "Tensor parallel.", kind="number", default="1", flag="--tp"),
    TaskOption("batch", "Requests at once.", kind="number", flag="--max-batch-size", minimum=2),
    TaskOption("dtype", "The type.", kind="choice", choices=("float16", "bfloat16"), flag="--dtype"),
    TaskOption("eager", "No graphs.", kind="switch", flag="--enforce-eager"),
)
TASK = Task(
    "compile",
    "Compile",
    "example/compiler:1",
    ("compile", "{options}", "--out", "/engine", "{model}"),
    OPTIONS,
    mounts=("{engines}/{model}/{gpu}:/engine",),
    env=(("MODEL", "{model}"),),
)


def refused(*words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(TASK, words, folder=HOME)
    return caught.value


def test_values_come_from_words_and_defaults() -> None:
    values = parse(TASK, ["--model", "a/b", "--tp=4", "--eager"], folder=HOME)
    assert values == {
        "model": "a/b", "engines": "/home/ada/engines", "tp": "4", "batch": "", "dtype": "", "eager": "true",
    }  # fmt: skip
    filled = fill(TASK, values, gpu="NVIDIA-H200")
    assert filled.command == ("compile", "--tp", "4", "--enforce-eager", "--out", "/engine", "a/b")
    assert filled.mounts == (("/home/ada/engines/a/b/NVIDIA-H200", "/engine", False),)
    assert filled.env == (("MODEL", "a/b"),)


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ([], "the task compile needs --model", "devbox task show compile"),
        (["--modle", "x"], "--modle is no option of the task compile", "did you mean --model? devbox task show"),
        (["model"], "model is no option", "devbox task show"),
        (["--model"], "--model needs a value", ""),
        (["--model", "m", "--tp", "0"], "--tp is '0', and must be a whole number of 1 or more", ""),
        (["--model", "m", "--tp", "²"], "--tp is '²'", ""),
        (["--model", "m", "--batch", "1"], "of 2 or more", ""),
        (["--model", "m", "--dtype", "int1"], "must be one of float16, bfloat16", ""),
        (["--model", "m", "--eager=yes"], "--eager takes no value", ""),
        (["--model", ""], "--model is empty", ""),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str, hint: str) -> None:
    error = refused(*words)
    assert said in error.message
    assert hint in (error.hint or "")


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_a_value_stays_one_word_of_the_script(value: str) -> None:
    task = Task("t", "T", "i", ("printf", "%s", "{model}", "&&", "true"), OPTIONS[:1], shell=True)
    words = fill(task, {"model": value}).command
    assert words[:4] == ("bash", "-euo", "pipefail", "-c")
    assert shlex.split(words[4], comments=False)[2] == value


def test_a_script_gets_a_hostile_value_as_it_is() -> None:
    task = Task("t", "T", "i", ("printf", "%s", "{model}", "{options}"), (OPTIONS[0], OPTIONS[2]), shell=True)
    hostile = "$(touch /tmp/x); `id` \"'\\ {tp} \n"
    done = subprocess.run(fill(task, {"model": hostile, "tp": ""}).command, stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode() == hostile


def test_a_mount_needs_an_absolute_source_and_target() -> None:
    for text in ("data:/data", "/data", "/data:data"):
        with pytest.raises(UsageError, match="which is not HOST_PATH:/PATH"):
            fill(Task("t", "T", "i", (), mounts=(text,)), {})
    assert fill(Task("t", "T", "i", (), mounts=("/a:/b/c:ro",)), {}).mounts == (("/a", "/b/c", True),)


def test_an_unknown_task_is_told_with_the_choices() -> None:
    with pytest.raises(UsageError, match="has no tasks"):
        task_of(load("cuda"), "serve")


TASKS = {f"{name} {task.name}": task for name in available() for one in variants(name) for task in one.tasks}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_of_every_framework_fills(task: Task) -> None:
    words = [word for option in task.options if option.required for word in (f"--{option.name}", "value")]
    filled = fill(task, parse(task, words, folder=HOME))
    said = " ".join((*filled.command, *(value for _, value in filled.env), *(mount[0] for mount in filled.mounts)))
    for option in task.options:
        assert f"{{{option.name}}}" not in said
