"""`devcontainer read-configuration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.dropin.configuration import configuration, entries_of, merged, workspace
from devbox.dropin.meant import meant

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:  # noqa: ARG001  # each command is handed both
    """Return the configuration as it is read."""
    about = meant(arguments)
    container = about.find()
    contract = about.contract(partial=True)
    if contract is None:
        return {"configuration": {}}
    written = configuration(contract, about.engine.environ, container)
    result: JSON = {"configuration": written, "workspace": workspace(contract, written)}
    if arguments.on("include-merged-configuration"):
        result["mergedConfiguration"] = merged(contract, written, entries_of(about.engine, contract, container))
    return result
