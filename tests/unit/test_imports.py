"""Start-up time is a feature: what is typed hundreds of times a day imports nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages

import pytest
import typer

import devbox.cli.app
from devbox._version import __version__
from devbox.cli.app import COMMANDS

HEAVY = {"typer", "click", "rich", "questionary", "platformdirs", "watchfiles", "yaml", "pydantic", "asyncio"}


def modules_after(code: str, *args: str) -> set[str]:
    """Return the top-level names in sys.modules after a fresh interpreter ran `code`."""
    report = "import sys; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {report}", *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import devbox.__main__ as m; m.main(['--version'])",
        "import devbox.container.hot",
        "import devbox.dropin.main, devbox.dropin.execute, devbox.dropin.read",
        "import devbox.errors, devbox.paths, devbox.files, devbox.reporter",
        "import devbox.engine.docker, devbox.engine.spec",
        "import devbox.facts.model, devbox.frameworks.model, devbox.devcontainer.model",
    ],
    ids=["--version", "exec", "devcontainer", "foundation", "engine", "values"],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    assert modules_after(code) & HEAVY == set()


_BUILD = """
import devbox.__main__
from devbox.builds import build
from devbox.builds.report import summary
from devbox.cli import application, ending, warm
from devbox.cli.builds import again, told
from devbox.container import memory
from devbox.engine import attach, docker
from devbox.ui import console
"""
# What the warm ways load of devbox itself at most, and what none of them may load of the standard library.
WARM = {
    "exec": (19, "import devbox.container.hot, devbox.container.inside.attached, devbox.engine.attach"),
    "up": (12, "import devbox.__main__, devbox.cli.warm"),
    "build": (42, _BUILD),
}
SLOW = {"dataclasses", "inspect", "subprocess", "hashlib", "shutil", "tomllib", "pyjson5", "concurrent", "logging"}
# Each of these brings `re` or `enum` along: half of what `exec` takes.
LEAN = {"re", "enum", "json", "typing", "pathlib", "socket", "signal", "threading"}


@pytest.mark.parametrize("name", WARM)
def test_a_warm_command_keeps_its_budget_of_modules(name: str) -> None:
    budget, code = WARM[name]
    report = f"{code}\nimport sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout.split()
    slow = HEAVY | SLOW | (set() if name == "build" else LEAN)
    assert {module.partition(".")[0] for module in loaded} & slow == set()
    own = [module for module in loaded if module.partition(".")[0] == "devbox"]
    assert len(own) <= budget, own


def test_a_cold_up_keeps_its_budget_of_modules() -> None:
    code = "import sys, devbox.cli.app, devbox.cli.up, devbox.container.up.up; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    needless = {"hashlib", "secrets", "tarfile", "tempfile", "socket", "tomllib", "concurrent", "logging", "asyncio"}
    assert {module.partition(".")[0] for module in loaded} & needless == set()
    own = [module for module in loaded if module.partition(".")[0] == "devbox"]
    rooms = ("devbox.container.sync", "devbox.devcontainer.writing", "devbox.facts.model", "devbox.facts.checkout")
    assert [module for module in own if module.startswith(rooms)] == []
    assert len(own) <= 112, own


def test_help_is_made_once_and_then_said_again() -> None:
    code = "import sys, devbox.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass"
    report = f"{code}\nprint(' '.join(sys.modules), file=sys.stderr)"
    first, again = (
        subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert "Dev containers" in first.stdout == again.stdout
    assert ["typer" in one.stderr.split() for one in (first, again)] == [True, False]


def test_help_of_the_whole_command_line_imports_no_sdk_and_no_terminal_library() -> None:
    code = "import devbox.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\nimport sys"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(' '.join(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded & {"questionary", "platformdirs", "watchfiles", "yaml", "pydantic"} == set()


def test_a_command_imports_no_other_commands_module() -> None:
    code = "from devbox.cli.app import run; run(['doctor', '--help'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {name.partition("devbox.cli.")[2] for name in done.stderr.split() if name.startswith("devbox.cli.")}
    assert "doctor" in modules
    assert modules.isdisjoint({module for module, _ in COMMANDS.values()} - {"doctor"})


def test_each_command_of_each_module_is_in_the_table() -> None:
    for module in walk_packages(devbox.cli.__path__, "devbox.cli."):
        made = import_module(module.name)
        place = module.name.removeprefix("devbox.cli.")
        names = {name for name, (found, _) in COMMANDS.items() if found == place}
        if not hasattr(made, "app") or made is devbox.cli.app:
            continue
        holder = typer.Typer()
        holder.add_typer(made.app)
        commands = set(typer.main.get_group(holder).commands)
        if not names:
            # A part of a group: the commands of image.build are `devbox image …`.
            parts = [one for one, _ in COMMANDS.values() if one.partition(".")[0] == place.partition(".")[0]]
            groups = [import_module(f"devbox.cli.{one}").app for one in parts]
            names = commands & {name for group in groups for name in typer.main.get_group(group).commands}
        assert commands == names


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_printed_on_stdout(flag: str) -> None:
    done = subprocess.run([sys.executable, "-m", "devbox", flag], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"devbox {__version__}\n", "")
