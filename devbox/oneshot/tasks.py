"""A framework's tasks as what a person types: options with types, and the words of the command filled in."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from devbox import toml
from devbox.agent import placeholders
from devbox.container import which
from devbox.errors import UsageError
from devbox.frameworks.load import available, load
from devbox.paths import expanded
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.config import Settings
    from devbox.frameworks.model import Framework, Task, TaskOption

# Stands for all options that the command takes by a flag of its own.
OPTIONS = "{options}"
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Filled:
    """A task whose options have values: what runs, the mounts (source, target, read-only), and its variables."""

    command: tuple[str, ...]
    mounts: tuple[tuple[str, str, bool], ...]
    env: tuple[tuple[str, str], ...]


def framework_of(workspace: Path, settings: Settings, task: str) -> Framework:
    """Return the framework whose task is meant: the named one, the checkout's, or the only one that has such a task.

    Raises UsageError.
    """
    if settings.framework is not None:
        return load(settings.framework, settings.variant, workspace)
    seen = [load(one.name, settings.variant or one.variant, workspace) for one in which.frameworks(workspace)]
    fitting = [one for one in seen if any(it.name == task for it in one.tasks)]
    if len(fitting) == 1:
        return fitting[0]
    having = [name for name in available() if any(one.name == task for one in load(name).tasks)]
    if len(having) == 1:
        return load(having[0], settings.variant)
    if not having:
        raise UsageError(f"no framework has a task '{task}'", hint="devbox task list")
    raise UsageError(f"several frameworks have a task '{task}'", hint=f"--framework {' | '.join(having)}")


def task_of(framework: Framework, name: str) -> Task:
    """Return the task `name` of a framework. Raises UsageError, with the choices, where there is none."""
    for task in framework.tasks:
        if task.name == name:
            return task
    names = tuple(task.name for task in framework.tasks)
    if not names:
        raise UsageError(f"{framework.title} has no tasks", hint="devbox task list   # those of every framework")
    near = toml.nearest(name, names)
    meant = f"did you mean '{near}'? " if near else ""
    raise UsageError(f"{framework.title} has no task '{name}'", hint=f"{meant}the choices are: {', '.join(names)}")


def parse(task: Task, words: Sequence[str], *, folder: Path) -> dict[str, str]:
    """Return the value of each option of a task: what `words` say (`--name VALUE`, `--name=VALUE`), else the default.

    An option that is left out has "". Paths are relative to `folder`. Raises UsageError for a word that is no option, a
    value of the wrong kind, and a required option that is missing.
    """
    known = {option.name: option for option in task.options}
    given: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        option = known.get(name) if word.startswith("--") else None
        if option is None:
            raise _unknown(task, word)
        if option.kind == "switch":
            if equals:
                raise UsageError(f"--{name} takes no value", hint=_show(task))
            value = "true"
        elif not equals:
            if not rest:
                raise UsageError(f"--{name} needs a value", hint=_show(task))
            value = rest.pop(0)
        given[name] = _checked(task, option, value, folder)
    missing = [f"--{option.name}" for option in task.options if option.required and option.name not in given]
    if missing:
        raise UsageError(f"the task {task.name} needs {' and '.join(missing)}", hint=_show(task))
    defaults = {
        option.name: _checked(task, option, option.default, folder) if option.default else "" for option in task.options
    }
    return defaults | given


def fill(task: Task, values: Mapping[str, str], *, gpu: str = "gpu") -> Filled:
    """Return the task with its options' values in the place of their names. `gpu` is the GPU's name as a folder's.

    Raises UsageError where a mount is no absolute path in the container, or has no source.
    """
    known = {**values, "gpu": gpu}
    flags = [
        word
        for option in task.options
        if option.flag and values.get(option.name)
        for word in ((option.flag,) if option.kind == "switch" else (option.flag, values[option.name]))
    ]
    written = task.command if OPTIONS in task.command or not flags else (*task.command, OPTIONS)
    words: list[str] = []
    for word in written:
        words += flags if word == OPTIONS else [placeholders.fill(word, known)]
    if task.shell:
        # Here every value is quoted by itself: the words are the script's author's, the values are not.
        quoted = {name: shlex.quote(value) for name, value in known.items()}
        line = " ".join(written).replace(OPTIONS, shlex.join(flags))
        words = ["bash", "-euo", "pipefail", "-c", placeholders.fill(line, quoted)]
    env = tuple((name, placeholders.fill(value, known)) for name, value in task.env)
    return Filled(tuple(words), tuple(_mount(task, placeholders.fill(text, known)) for text in task.mounts), env)


def _mount(task: Task, text: str) -> tuple[str, str, bool]:
    body, readonly = (text[: -len(":ro")], True) if text.endswith(":ro") else (text, False)
    source, colon, target = body.rpartition(":/")
    if not colon or not source.startswith("/"):
        raise UsageError(f"the task {task.name} mounts '{text}', which is not HOST_PATH:/PATH", hint=_show(task))
    return source, f"/{target}", readonly


def _checked(task: Task, option: TaskOption, value: str, folder: Path) -> str:
    """Return an option's value, a path made absolute. Raises UsageError where it is of the wrong kind."""
    match option.kind:
        case "number" if not _NUMBER.fullmatch(value) or int(value) < option.minimum:
            raise UsageError(
                f"--{option.name} is '{value}', and must be a whole number of {option.minimum} or more",
                hint=_show(task),
            )
        case "choice" if value not in option.choices:
            raise UsageError(f"--{option.name} is '{value}', and must be one of {', '.join(option.choices)}")
        case "path":
            return str(folder / expanded(value))
        case _ if not value:
            raise UsageError(f"--{option.name} is empty", hint=_show(task))
    return value


def _unknown(task: Task, word: str) -> UsageError:
    names = tuple(f"--{option.name}" for option in task.options)
    near = toml.nearest(word.partition("=")[0], names)
    meant = f"did you mean {near}? " if near else ""
    return UsageError(
        f"{word} is no option of the task {task.name}", hint=f"{meant}{_show(task)}   # lists its options"
    )


def _show(task: Task) -> str:
    return f"devbox task show {task.name}"
