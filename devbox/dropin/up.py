"""`devcontainer up`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.container.request import UpRequest
from devbox.container.up.up import up
from devbox.dropin.configuration import included
from devbox.dropin.meant import extent, meant, settings_of, trusts
from devbox.errors import ContractError, DevboxError, EngineError

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:
    """Bring the dev container up and return the outcome. A container that is there is used as it is."""
    about = meant(arguments)
    if arguments.on("expect-existing-container") and about.find() is None:
        raise DevboxError("The expected container does not exist.")
    if about.config is None:
        raise ContractError("No dev container config and no workspace found.")
    secrets = arguments.text("secrets-file")
    request = UpRequest(
        path=about.workspace,
        flags=settings_of(arguments),
        config=about.config,
        recreate=arguments.on("remove-existing-container"),
        keep=True,
        secrets_file=None if secrets is None else Path(secrets),
        trust=trusts(about),
        yes=True,
        variation=about.variation,
        extent=extent(arguments),
    )
    try:
        result = up(request, about.engine, reporter)
    except DevboxError as error:
        with contextlib.suppress(EngineError):
            there = about.find()
            if there is not None:
                error.container = there["Id"]  # type: ignore[attr-defined]
        raise
    outcome: JSON = {"outcome": "success", "containerId": result.container}
    if result.compose_project_name is not None:
        outcome["composeProjectName"] = result.compose_project_name
    outcome |= {"remoteUser": result.remote_user, "remoteWorkspaceFolder": result.workspace_folder}
    return outcome | included(arguments, about, about.engine.container(result.container))
