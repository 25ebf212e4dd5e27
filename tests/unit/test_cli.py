"""The one place where commands end: exit codes, sentences, and one envelope with `--json`, whatever happens."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer

from devbox.cli.app import COMMANDS, app, run
from devbox.cli.help import examples, panels
from devbox.cli.image import group
from devbox.errors import Stopped
from tests.api import empty_engine
from tests.unit.test_docs_commands import mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_an_interrupt_is_said_and_has_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devbox.container.up.up.up", interrupt)
    assert run(["up", str(tmp_path)]) == 130
    assert "the same command finishes" in capsys.readouterr().err
    assert run(["up", str(tmp_path), "--json"]) == 130
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["error"]["code"], answer["error"]["exit_code"]) == ("error", "interrupted", 130)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "devbox needs a command"),
        (["frameworks"], "devbox frameworks needs a command"),
        (["nosuch"], "No such command"),
        (["up", "--nope"], "No such option"),
        (["run", "--nope", "--", "true"], "--nope is no option"),
        (["up", "/no/such/folder"], "there is no folder"),
        # Before a container is looked for, of which there is none.
        (["build", "--arch", "999"], "--arch: '999' is no GPU architecture"),
        (["build", "-D", "NAME"], "-D NAME has no value"),
        (["test", "-D", "NAME"], "-D NAME has no value"),
        (["test", "--jobs", "none"], "--jobs: 'none' is no number of jobs"),
        (["cache", "stats", "--compiler-cache", "all"], "--compiler-cache: 'all' is no compiler cache"),
        (["build", "--type"], "requires an argument"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args) == 2
    written = capsys.readouterr()
    assert said in written.err.splitlines()[-2]
    assert "error: " in written.err
    assert written.out == ""


def test_the_hint_of_a_wrong_option_is_the_commands_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "--type"]) == 2
    assert "hint: devbox build --help" in capsys.readouterr().err


# These are reached by docker's client.
NO_CLIENT = pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("nonsense", marks=NO_CLIENT),
        pytest.param("tcp://127.0.0.1:1", marks=NO_CLIENT),
        "ssh://nowhere.invalid",
        "unix:///no/such.sock",
    ],
)
def test_what_names_a_wrong_engine_is_named(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert run(["status"]) == 3
    assert "(DOCKER_HOST)" in capsys.readouterr().err.splitlines()[-2]


def test_no_engine_is_said_in_one_envelope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    assert run(["status", "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["error"]["code"]) == ("status", "engine")


@pytest.mark.parametrize("args", [["-q", "frameworks", "list"], ["frameworks", "list", "--quiet"]])
def test_global_options_stand_before_the_command_or_after_it(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr("devbox.cli.application.Application.show", lambda run_, *_, **__: seen.append(run_.console))
    assert run([*args]) == 0
    assert [console.quiet for console in seen] == [True]
    assert capsys.readouterr().err == ""


def test_a_commands_own_arguments_are_no_global_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "here:1"}')
    with empty_engine(tmp_path / "api", ["here:1"]) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        assert run(["run", "--dry-run", "--workspace", str(tmp_path), "ls", "-v", "--nope", "--quiet"]) == 0
    assert capsys.readouterr().out.split()[-5:] == ["ls", "here:1", "-v", "--nope", "--quiet"]


def test_no_line_of_a_help_page_is_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["builds"], ["cache"], ["config"], ["hooks"], ["image"], ["frameworks"]):
        assert run([*args, "--help"]) == 0
        assert "..." not in capsys.readouterr().out.partition("\nCommands:\n")[2]


def commands(command: Any, *words: str) -> Iterator[tuple[Any, list[str]]]:
    yield command, [*words]
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *words, name)


@pytest.mark.parametrize("args", ["builds show", "image list --nope", "up --nope", "frameworks validate"])
def test_a_usage_error_names_the_command(args: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*args.split(), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["command"] == args.partition(" --")[0]


def test_only_what_passes_another_programs_stdout_on_has_no_json() -> None:
    found = {
        " ".join(words)
        for command, words in commands(typer.main.get_command(app))
        if not hasattr(command, "commands") and not any("--json" in one.opts for one in command.params)
    }
    assert found == {"shell", "exec", "run", "test", "logs", "task logs", "devcontainer"}


def test_every_help_page_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for _, words in commands(typer.main.get_command(app)):
        if words == ["devcontainer"]:  # its help is another program's
            continue
        assert run([*words, "--help"]) == 0
        said = capsys.readouterr().out
        assert "Usage: " in said
        assert [line for line in said.splitlines() if len(line) > 80] == []
        # What typer writes around a default in words, a required argument and a choice.
        assert not re.search(r"default: \(|\[required\]|[{<][\w-]+\||x>=", said), words


def test_a_commands_help_has_its_options_by_theme_and_examples_last(capsys: pytest.CaptureFixture[str]) -> None:
    for command, words in commands(typer.main.get_command(app)):
        if hasattr(command, "commands") or words == ["devcontainer"]:
            continue
        shown = panels(command, typer.Context(command))
        assert len(shown["Options"]) <= 9, words
        assert {*getattr(command.callback, "panels", ())} <= {one.name for one in command.params}, words
        assert run([*words, "--help"]) == 0
        *_, last = capsys.readouterr().out.split("\n\n")
        told = examples(command)
        assert last.startswith(f"Examples:\n  {next(iter(told))}\n"), words
        assert [*mistakes("\n".join(told))] == []
        assert any(f"{line} ".startswith(f"devbox {' '.join(words)} ") for line in told) or words == ["ps"]


def test_every_command_is_listed_once_by_theme(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == run(["image", "--help"]) == 0
    listed = re.findall(r"^  ([a-z][a-z-]*)  ", capsys.readouterr().out, re.MULTILINE)
    inner = typer.main.get_command(app).commands["image"].commands  # type: ignore[attr-defined]
    assert sorted(listed) == sorted([*COMMANDS, *inner])
    assert [*COMMANDS][:2] == ["up", "build"]
    assert sorted(" ".join(group.THEMES.values()).split()) == sorted(inner)


def test_help_is_printed_again_and_again_by_a_command_whose_answers_are_kept(tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    for _ in range(3):
        argv = [sys.executable, "-m", "devbox", "up", "--help"]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: devbox up ")


def test_another_signal_than_an_interrupt_has_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> Any:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("devbox.container.up.up.up", stop)
    assert run(["up", str(tmp_path)]) == 143
    capsys.readouterr()
    assert run(["up", str(tmp_path), "--json"]) == 143
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 143


def test_a_trace_that_cannot_be_written_is_told_before_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file/trace.json"):
        assert run(["build", "--workspace", str(tmp_path), "--trace", str(place)]) == 2
        assert f"{place} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "no_SUCH", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "10", "TERM": "dumb"},
    ],
)
def test_what_a_contract_says_depends_on_no_locale_and_no_terminal(tmp_path: Path, locale: dict[str, str]) -> None:
    folder = tmp_path / "数据"
    folder.mkdir()
    (folder / ".devcontainer.json").write_text(
        '{"image": "a", "name": "${localWorkspaceFolder}", "containerEnv": {"数": "é"}}', encoding="utf-8"
    )

    def ask(**more: str) -> bytes:
        argv = [sys.executable, "-m", "devbox", "config", "contract"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
        return subprocess.run(argv, cwd=folder, env={**environ, **more}, capture_output=True, check=True).stdout

    expected = ask(LC_ALL="C.UTF-8")
    assert "数据" in expected.decode()
    assert ask(**locale) == expected
    assert b"Traceback" not in ask(LC_ALL="C.UTF-8", PYTHONIOENCODING="ascii")


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize(
    "args",
    [
        "--version",
        "frameworks list",
        "frameworks list --json",
        "frameworks list --nonsense --json",
        "devcontainer --version",
        "devcontainer up --help",
        "devcontainer up --nope",
        "devcontainer read-configuration",
        "devcontainer upgrade --dry-run",
        "devcontainer read-configuration --config nope",
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_stream_that_is_closed_or_full_gives_no_traceback(
    args: str, closed: str, unbuffered: str, tmp_path: Path
) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "a"}')
    told = tmp_path / "told"
    other = f"2>{told}" if "2>" not in closed else ""
    script = f'"{sys.executable}" -m devbox {args} {other} {closed}'
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr + (told.read_text() if told.exists() else "")
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert done.returncode in {0, 1, 2}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "args", ["--version", "frameworks list", "devcontainer --help", "devcontainer read-configuration"]
)
def test_nobody_who_reads_is_no_error_to_tell(args: str, unbuffered: str, tmp_path: Path) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "a"}')
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "devbox", *args.split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_drop_in_says_any_bytes_too(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "a", "remoteEnv": {"A": "${localEnv:A}"}}')
    argv = [sys.executable, "-m", "devbox", "devcontainer", "read-configuration"]
    environ = {**os.environb, b"A": b"\xff", b"PYTHONIOENCODING": b"utf-8:strict"}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert b'"A":"\xff"' in done.stdout


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    argv = [sys.executable, "-m", "devbox", "status"]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["shell", "--", "ls"], "hint: devbox exec -- ls"),
        (["trust", "revoke", "--kind", "nope"], "hint: --kind agent|"),
    ],
)
def test_a_hint_is_of_the_command_that_was_typed(
    args: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(args) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("words", [("task", "show"), ("frameworks", "show"), ("completion",)])
def test_an_example_that_needs_nothing_does_what_it_says(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    assert [run(shlex.split(line)[1:]) for line in examples(command)] == [0] * len(examples(command))
