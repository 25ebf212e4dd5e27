"""`devbox shell`, `exec` and `run`: commands inside."""

from __future__ import annotations

from typing import Annotated

import typer

from devbox.cli.application import application, named, workspace
from devbox.cli.options import DryRunOption, WorkspaceOption, examples, passes_on
from devbox.errors import UsageError

# A command's own options are not devbox's.
_VERBATIM = {"ignore_unknown_options": True, "allow_interspersed_args": False}
Command = Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="The command and its arguments.")]

# Bash where there is one, else the shell that POSIX promises. Not as a login shell: what that would set has been asked
# for, as `userEnvProbe` says, and is in the environment; its /etc/profile would take the image's PATH away again.
SHELL = ("/bin/sh", "-c", 'command -v bash >/dev/null && exec bash; exec "${SHELL:-/bin/sh}"')

app = typer.Typer()


@app.command()
@examples({"devbox shell": "Open a shell, in the folder inside that matches this one."})
@passes_on
def shell(context: typer.Context, path: WorkspaceOption = None) -> None:
    """Open a shell in the dev container, in the folder that matches the current one.

    It has the environment of `devbox exec`.
    """
    from devbox.container.inside.exec import execute
    from devbox.container.inside.find import running_container
    from devbox.container.person.ssh_agent import ensure
    from devbox.container.sync.send import bring
    from devbox.container.target import logical_cwd

    run_ = application(context)
    if path is not None and not path.is_dir():
        raise UsageError(f"there is no folder {path}; a shell takes no command", hint=f"devbox exec -- {path}")
    target = running_container(run_.engine, named(path))
    bring(target, run_.engine, run_.console)
    ensure(run_.environ)
    run_.console.close()
    raise typer.Exit(execute(target, SHELL, environ=run_.engine.environ, cwd=target.inside(logical_cwd(run_.environ))))


@app.command("exec", context_settings=_VERBATIM)
@examples(
    {
        "devbox exec -- nvidia-smi": "Run a program in the dev container.",
        "devbox exec -- sh -c 'echo $PATH'": "Run a line of shell; the variables are those of there.",
    }
)
@passes_on
def exec_(context: typer.Context, command: Command, path: WorkspaceOption = None) -> None:
    """Run a command in the dev container: its terminal, exit code and signals are docker's own."""
    from devbox.container import hot

    # Only `exec --help` and `exec` behind a global option come here; see devbox.__main__.
    raise typer.Exit(hot.main([*(["--workspace", str(path)] if path else []), "--", *command]))


@app.command("run", context_settings=_VERBATIM)
@examples({"devbox run -- python -c 'import torch'": "Run a program in a fresh container."})
@passes_on
def run(context: typer.Context, command: Command, path: WorkspaceOption = None, dry_run: DryRunOption = False) -> None:
    """Run a command in a container of its own, made like the dev container and removed afterwards."""
    from pathlib import Path

    from devbox.container.target import logical_cwd
    from devbox.oneshot.run import run as run_once

    run_ = application(context)
    if command[0].startswith("-"):
        raise UsageError(f"{command[0]} is no option of devbox run", hint="devbox run -- COMMAND [ARGUMENT]…")
    here = Path(logical_cwd(run_.environ))
    result = run_once(run_.engine, workspace(path), command, run_.console, cwd=here, dry_run=dry_run)
    if isinstance(result, list):
        run_.show_commands(result)
        return
    raise typer.Exit(result)
