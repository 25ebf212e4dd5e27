"""`devcontainer read-configuration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.dropin.configuration import entries_of, merged, workspace
from devbox.dropin.meant import meant
from devbox.dropin.up import written_of

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:  # noqa: ARG001  # each command is handed both
    """Return the configuration as it is read."""
    about = meant(arguments)
    container = about.find()
    contract = about.contract_of(container)
    written = written_of(arguments, about, contract, container)
    result: JSON = {"configuration": written}
    if about.config is not None:
        result["workspace"] = workspace(contract, written) if about.placed else {}
    if arguments.on("include-merged-configuration"):
        result["mergedConfiguration"] = merged(contract, written, entries_of(about.engine, contract, container))
    return result
