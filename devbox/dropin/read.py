"""`devcontainer read-configuration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.dropin.configuration import entries_of, merged, workspace, written_of
from devbox.dropin.meant import meant

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:
    """Return the configuration as it is read."""
    about = meant(arguments)
    container = about.find()
    contract = about.contract_of(container)
    written = written_of(arguments, about, contract, container)
    result: JSON = {"configuration": written}
    if about.config is not None:
        result["workspace"] = workspace(contract, written) if about.placed else {}
    merges = arguments.on("include-merged-configuration")
    if arguments.on("include-features-configuration") or (merges and container is None):
        from devbox.dropin.features import configured

        found = configured(about, contract, reporter)
        if found is not None:
            result["featuresConfiguration"] = found
    if merges:
        result["mergedConfiguration"] = merged(written, entries_of(about.engine, contract, container))
    return result
