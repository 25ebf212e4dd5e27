"""Do the registries answer that this checkout's images come from, and let you read them?"""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING

from devbox.container import which
from devbox.devcontainer.read import read
from devbox.errors import DevboxError
from devbox.finding import Finding
from devbox.image.registry.client import Registry, RegistryError, UnreachableError, Web
from devbox.image.registry.reference import parse
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.image.registry.reference import Reference

# Names are looked up without a limit of their own, so a thread is left behind that takes longer.
SECONDS = 6.0
_NOT_FOUND = 404


def check(patient: Patient) -> Iterator[Finding]:
    """Ask for the images of the contract and the framework, all at once: names, network, CA and login count."""
    found: dict[str, Finding] = {}
    threads = []
    for reference in dict.fromkeys(_images(patient)):
        thread = Thread(target=_ask, args=(patient, reference, found), daemon=True)
        thread.start()
        threads.append((reference, thread))
    until = time.monotonic() + SECONDS
    for reference, thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        yield found.get(str(reference)) or _unreachable(
            reference, f"{reference.registry} did not answer in {SECONDS:g} s"
        )


def _images(patient: Patient) -> Iterator[Reference]:
    """Return the images that are not on the engine yet: the contract's, and what the framework starts from."""
    names = []
    path = which.contract(patient.workspace, patient.engine, Silent())
    if path is not None:
        names.append(read(path, patient.workspace, patient.engine.environ).raw.get("image"))
    if patient.framework is not None:
        names.append(patient.settings.base_image or patient.framework.base_image)
    for name in names:
        if isinstance(name, str) and name and name != "package" and "$" not in name:
            here = patient.engine_facts is not None and patient.engine.image(name) is not None
            if not here and not name.startswith("devbox-"):
                yield parse(name)


def _ask(patient: Patient, image: Reference, found: dict[str, Finding]) -> None:
    web = Web(patient.network, timeout=SECONDS / 2, attempts=1)
    place = f"{image.registry} for {image.repository}"
    try:
        Registry(image.registry, web, patient.engine.environ).digest(image.name, image.wanted)
    except UnreachableError as error:
        found[str(image)] = _unreachable(image, error.message)
    except RegistryError as error:
        if error.status == _NOT_FOUND:
            found[str(image)] = Finding(
                "registry", "warning", f"{image.registry} has no {image}", f"docker pull {image}"
            )
        else:
            found[str(image)] = Finding(
                "registry", "warning", error.message, error.hint or f"docker login {image.registry}"
            )
    except DevboxError as error:
        found[str(image)] = Finding("registry", "warning", f"{place}: {error.message}", error.hint)
    else:
        found[str(image)] = Finding("registry", "ok", f"{image.registry} lets you read {image}")


def _unreachable(image: Reference, said: str) -> Finding:
    return Finding(
        "registry", "warning", said,
        f"curl -I https://{image.registry}/v2/   # then: devbox config show (ca_bundle, https_proxy)",
        f"{image} cannot be pulled; builds from the package base need no registry",
    )  # fmt: skip
