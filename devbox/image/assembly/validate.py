"""Everything that can be wrong with a framework file, without building anything: its values, stages and services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import DevboxError, UsageError
from devbox.frameworks import load, services
from devbox.image.assembly.stage_files import assemble

if TYPE_CHECKING:
    from pathlib import Path


def mistakes(file: Path) -> tuple[DevboxError, ...]:
    """Return every mistake of the framework file `file`, each with what was expected.

    Files of stages and services are looked for once its values make sense. Raises UsageError if it is not there.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}", hint="devbox frameworks validate FILE")
    found, wrong = load.examine(file)
    if wrong:
        return wrong
    missing: dict[str, DevboxError] = {}
    for framework in found:
        try:
            assemble(framework, images=True)
            services.load(framework.services)
        except DevboxError as error:
            missing[error.message] = error
    return tuple(missing.values())
