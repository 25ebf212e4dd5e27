"""Options that commands have in common: those from the table of settings, and the checkout."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from devbox import config
from devbox.cli.app import app, run
from devbox.cli.flags import Flags, from_settings
from devbox.config.table import CHOICES, TABLE


def given(*args: str, keys: tuple[str, ...] = ("gpus", "mounts", "services", "jobs")) -> Flags:
    """Return the flags that a command with the options of `keys` gets for `args`."""
    found: list[Flags] = []
    one = typer.Typer(rich_markup_mode=None)

    @one.command()
    @from_settings(*keys)
    def command(context: typer.Context, json: bool = False, *, flags: Flags, last: bool = False) -> None:
        assert context.info_name is not None
        assert json is last is False
        found.append(flags)

    made = typer.main.get_command(one)
    with made.make_context("command", list(args)) as context:
        made.invoke(context)
    return found[0]


def test_what_was_not_given_or_is_empty_is_no_flag() -> None:
    assert given() == {}
    assert given("--gpus", "") == {}


def test_lists_may_be_repeated_or_have_commas() -> None:
    flags = given("--mount", "/a:/a", "--mount", "/b,c:/b", "--services", "redis,etcd", "--services", "nats", "-j", "3")
    settings = config.load(None, environ={}, flags=flags)
    assert settings.mounts == ("/a:/a", "/b,c:/b")
    assert settings.services == ("redis", "etcd", "nats")
    assert (settings.jobs, settings.origin("jobs")) == (3, "--jobs")


def test_each_choice_of_a_contract_has_an_option_that_is_read() -> None:
    args = {
        "gpus": "all",
        "arch": "90",
        "user": "root",
        "mounts": "/a:/a",
        "env": "A=1",
        "args": "A=1",
        "ports": "80",
        "services": "redis",
    }
    words = [word for key in CHOICES for word in (TABLE[key].flag, args.get(key, "x"))]
    flags = given(*words, keys=CHOICES)
    settings = config.load(None, environ={}, flags=flags)
    assert tuple(flags) == CHOICES
    assert all(settings.asked(key) for key in CHOICES)
    assert settings.repositories == (Path.cwd() / "x",)


@pytest.mark.parametrize("module", ["up", "generate"])
def test_commands_say_where_their_settings_stand(module: str) -> None:
    command = typer.main.get_command(app).commands[module]  # type: ignore[attr-defined]
    options = [name for one in command.params for name in one.opts]
    assert [name for name in options if name in {TABLE[key].flag for key in CHOICES}] == [
        TABLE[key].flag for key in CHOICES
    ]
    assert "flags" not in inspect.signature(command.callback).parameters


def every() -> dict[str, Any]:
    """Return each command by its full name."""
    found = {}

    def look(command: Any, name: str) -> None:
        inner = getattr(command, "commands", {})
        for one in inner:
            look(inner[one], f"{name} {one}".strip())
        if not inner:
            found[name] = command

    look(typer.main.get_command(app), "")
    return found


def test_each_command_about_a_checkout_takes_it_in_the_same_ways() -> None:
    about = {name: one for name, one in every().items() if any(it.name == "path" for it in one.params)}
    assert {"up", "build", "shell", "config show", "builds list", "image build", "open"} <= set(about)
    for name, one in about.items():
        arguments = [it.metavar for it in one.params if it.param_type_name == "argument"]
        assert {"-w", "--workspace"} <= {flag for it in one.params for flag in it.opts}, name
        # Where nothing else is positional, PATH is.
        assert arguments, name


def test_panels_of_the_help_name_parameters() -> None:
    with_panels = {name: one for name, one in every().items() if hasattr(one.callback, "panels")}
    assert {"up", "generate", "build", "image build"} <= set(with_panels)
    for name, one in with_panels.items():
        assert set(one.callback.panels) <= {it.name for it in one.params}, name


def test_the_help_has_panels(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--help"]) == 0
    told = capsys.readouterr().out
    places = [told.index(f"\n{title}:\n") for title in ("Arguments", "The container", "Your dotfiles", "Options")]
    assert places == sorted(places)
    assert places[1] < told.index("--gpus") < places[2] < told.index("--dotfiles-target-path") < places[3]


@pytest.mark.parametrize("named", [["--workspace", "."], ["."], []])
def test_a_checkout_is_named_by_an_option_or_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devbox.toml").write_text('gpus = "0"\n')
    assert run(["config", "show", "--json", *named]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["gpus"]["origin"] == str(tmp_path / "devbox.toml")


def test_a_checkout_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "/", "-w", str(tmp_path)]) == 2
    assert f"the checkout is named twice: / and {tmp_path}" in capsys.readouterr().err


def test_a_folder_is_no_argument_of_the_build_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    assert run(["build", "src"]) == 2
    assert "devbox build --workspace src" in capsys.readouterr().err
