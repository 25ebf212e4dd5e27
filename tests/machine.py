"""A machine that is always the same: its engine, its driver and its eight GPUs, for dry runs without any of them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.api import empty_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

# What the engine and the driver of the recorded machine say; the engine is on the machine where the test runs.
INFO = {
    "ServerVersion": "28.3.0",
    "Name": os.uname().nodename,
    "Runtimes": {"runc": {}, "nvidia": {}},
    "DockerRootDir": "/var/lib/docker",
}
GPUS = "".join(f"{index}, GPU-{index}, NVIDIA H100 80GB HBM3, 81559, 580.65.06, 9.0\n" for index in range(8))
# Beside the facts a dry run may ask for the builder and the platform. It starts no other program.
DOCKER = """#!/bin/sh
case "$*" in
"info --format {{json .}}") cat "$0.info" ;;
"buildx inspect"*) printf 'Name: multi-builder\\nDriver: docker-container\\n' ;;
"version --format"*) echo linux/amd64 ;;
*) echo "a dry run asks the engine: docker $*" | tee -a "$0.asked" >&2; exit 1 ;;
esac
"""
NVIDIA_SMI = f"#!/bin/sh\nprintf '%s' '{GPUS}'\n"
# What a developer's environment may say of images, networks and tokens.
HIDDEN: tuple[str, ...] = ("IMAGE_WITH_TAG", "DOCKER_PULL", "HF_TOKEN")
HIDDEN += ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
HIDDEN += tuple(name for word in ("http_proxy", "https_proxy", "no_proxy") for name in (word, word.upper()))


@contextmanager
def programs_in(folder: Path) -> Iterator[Path]:
    """Put the programs of the recorded machine, and its engine's socket, into a folder."""
    for name, text in {"docker": DOCKER, "nvidia-smi": NVIDIA_SMI}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "docker.info").write_text(json.dumps(INFO))
    with empty_engine(folder / "docker.sock"):
        yield folder


def stand_on(programs: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this process run on the recorded machine, but for ports and folders of the one where it runs."""
    patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    patch.setenv("DOCKER_HOST", f"unix://{programs}/docker.sock")
    patch.setattr("devbox.config.network.additions", lambda: ())
    patch.setattr("devbox.facts.engine._limits", lambda **_: dict.fromkeys(("memlock", "stack", "nofile")))
    patch.setattr("devbox.oneshot.image_run._must_be_free", lambda *_: None)
    patch.setattr("devbox.container.contract.personal._is_there", lambda *_: True)
    patch.setattr("devbox.facts.host.group", {"video": "44", "render": "109"}.__getitem__)
    for name in HIDDEN:
        patch.delenv(name, raising=False)
