"""`devbox devcontainer`."""

from __future__ import annotations

import typer

from devbox.cli.options import examples, passes_on

app = typer.Typer()


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@examples({"devbox devcontainer up --workspace-folder .": "What `devcontainer up --workspace-folder .` does."})
@passes_on
def devcontainer(context: typer.Context) -> None:
    """Run a command line of the reference CLI: `devbox devcontainer up --workspace-folder .`, and what else it has.

    `devbox devcontainer --help` lists its commands.
    """
    from devbox.dropin.main import main

    # Only what stands behind a global option comes here; see devbox.__main__.
    raise typer.Exit(main(context.args))
