"""Is the dev container, and its image, what the contract in force says by now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.up.up import UpRequest, up
from devbox.finding import Finding
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Do what `devbox up --dry-run` does, and say why it would replace the container or build the image."""
    container = patient.container
    if container is None:
        return
    name = str(container["Name"]).removeprefix("/")
    found = up(UpRequest(patient.workspace, dry_run=True), patient.engine, Silent())
    reasons = [*found.reasons, *found.pending]
    if reasons or found.outcome != "running":
        yield Finding(
            "contract",
            "warning",
            f"{name} is not what its contract says: {'; '.join(reasons) or found.outcome}",
            "devbox up",
        )
    else:
        yield Finding("contract", "ok", f"{name} and its image are what {found.contract} says")
    newest = patient.engine.image(str(container["Config"].get("Image") or ""))
    if not reasons and newest is not None and newest["Id"] != container["Image"]:
        yield Finding(
            "contract", "info", f"{container['Config']['Image']} is another image by now than {name} is made from",
            "devbox up --recreate", "it was built or pulled again since",
        )  # fmt: skip
