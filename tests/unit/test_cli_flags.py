"""Options that come from the table of settings: what a command is handed of them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import typer

from devbox import config
from devbox.cli.flags import Flags, from_settings
from devbox.config.table import CHOICES, TABLE


def given(*args: str, keys: tuple[str, ...] = ("gpus", "mounts", "services", "jobs")) -> Flags:
    """Return the flags that a command with the options of `keys` gets for `args`."""
    found: list[Flags] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @from_settings(*keys)
    def command(context: typer.Context, json: bool = False, *, flags: Flags, last: bool = False) -> None:
        assert context.info_name is not None
        assert json is last is False
        found.append(flags)

    made = typer.main.get_command(app)
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
    args = {"gpus": "all", "arch": "90", "user": "root", "mounts": "/a:/a", "env": "A=1", "ports": "80"}
    words = [word for key in CHOICES for word in (TABLE[key].flag, args.get(key, "x"))]
    flags = given(*words, keys=CHOICES)
    settings = config.load(None, environ={}, flags=flags)
    assert tuple(flags) == CHOICES
    assert all(settings.asked(key) for key in CHOICES)
    assert settings.repositories == (Path.cwd() / "x",)


@pytest.mark.parametrize("module", ["up", "generate"])
def test_commands_say_where_their_settings_stand(module: str) -> None:
    from devbox.cli.app import app

    command = typer.main.get_command(app).commands[module]  # type: ignore[attr-defined]
    options = [name for one in command.params for name in one.opts]
    assert [name for name in options if name in {TABLE[key].flag for key in CHOICES}] == [
        TABLE[key].flag for key in CHOICES
    ]
    assert "flags" not in inspect.signature(command.callback).parameters
