"""`devcontainer up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.container.hooks.commands import ALL, Extent
from devbox.container.request import UpRequest
from devbox.container.up.up import up
from devbox.dropin.configuration import configuration, entries_of, merged
from devbox.dropin.meant import Meant, meant
from devbox.errors import ContractError, DevboxError

if TYPE_CHECKING:
    from devbox.devcontainer.model import Contract
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]

_PREBUILD = "updateContentCommand"


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
        there = about.find()
        if there is not None:
            error.container = there["Id"]  # type: ignore[attr-defined]
        raise
    outcome: JSON = {"outcome": "success", "containerId": result.container}
    if result.compose_project_name is not None:
        outcome["composeProjectName"] = result.compose_project_name
    outcome |= {"remoteUser": result.remote_user, "remoteWorkspaceFolder": result.workspace_folder}
    return outcome | included(arguments, about, about.engine.container(result.container))


def trusts(about: Meant) -> bool:
    """Tell whether the person's own settings agree in advance to what a contract of this workspace reaches."""
    settings = config.load(about.workspace, environ=about.engine.environ, flags={})
    return settings.devcontainer_trust == "always"


def settings_of(arguments: Arguments) -> JSON:
    """Return the options that are settings of devbox's, by their keys."""
    return {
        name.replace("-", "_"): arguments.text(name)
        for name in ("dotfiles-repository", "dotfiles-install-command", "dotfiles-target-path")
        if arguments.text(name) and arguments.text("dotfiles-repository")
    }


def extent(arguments: Arguments) -> Extent:
    """Return which of the lifecycle commands in the container are meant."""
    attach = not arguments.on("skip-post-attach")
    if arguments.on("skip-post-create"):
        return Extent(inside=False)
    if arguments.on("skip-non-blocking-commands"):
        return Extent(blocking=True, attach=attach, again=_PREBUILD if arguments.on("prebuild") else None)
    if arguments.on("prebuild"):
        return Extent(until=_PREBUILD, again=_PREBUILD)
    if arguments.on("stop-for-personalization"):
        return Extent(until="dotfiles")
    return ALL if attach else Extent(attach=False)


def written_of(arguments: Arguments, about: Meant, contract: Contract, container: JSON | None) -> JSON:
    """Return the configuration that is written out; an empty one where no file is in question."""
    if about.config is None:
        return {}
    return configuration(contract, about.engine.environ, container, named=arguments.text("config") is not None)


def included(arguments: Arguments, about: Meant, container: JSON | None) -> JSON:
    """Return the configurations that an outcome is to include."""
    if not (arguments.on("include-configuration") or arguments.on("include-merged-configuration")):
        return {}
    contract = about.contract_of(container)
    written = written_of(arguments, about, contract, container)
    result: JSON = {"configuration": written} if arguments.on("include-configuration") else {}
    if arguments.on("include-merged-configuration"):
        result["mergedConfiguration"] = merged(contract, written, entries_of(about.engine, contract, container))
    return result
