"""Does the driver run what the image's CUDA makes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.inside.probe import variables
from devbox.facts import cuda
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient


def check(patient: Patient) -> Iterator[Finding]:
    """Compare the driver with the CUDA of the dev container, or of what the framework builds on."""
    gpus = patient.gpus
    release, whose = _release(patient)
    if not gpus.driver or release is None:
        return
    name = gpus.devices[0].name if gpus.devices else ""
    wanted = cuda.wanted(release) or cuda.MINOR.get((*cuda.number(release), 0)[0])
    update = f"install an NVIDIA driver from {wanted} on"
    said = f"the driver {gpus.driver} and CUDA {release} of {whose}"
    match cuda.fit(gpus.driver, release, name):
        case "full":
            yield Finding("cuda", "ok", f"{said} fit")
        case "minor":
            yield Finding(
                "cuda", "info", f"{said} fit by minor version compatibility", update,
                "what is new in that release is missing, such as its PTX: build for this GPU's architecture",
            )  # fmt: skip
        case "forward":
            package = f"cuda-compat-{'-'.join(release.split('.')[:2])}"
            yield Finding(
                "cuda", "warning", f"{said} fit with the package {package} in the image alone",
                f"{update}; or {package} in the image, and LD_LIBRARY_PATH=/usr/local/cuda/compat",
            )  # fmt: skip
        case "none":
            yield Finding("cuda", "error", f"{said} do not fit", update, "no kernel runs")
        case _:
            yield Finding("cuda", "info", f"whether {said} fit is not known")


def _release(patient: Patient) -> tuple[str | None, str]:
    if patient.container is not None:
        said = variables(patient.container["Config"].get("Env") or ()).get("CUDA_VERSION")
        if said:
            return said, "the dev container"
    framework = patient.framework
    return (framework.cuda, framework.title) if framework is not None else (None, "")
