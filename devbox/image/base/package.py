"""The package base: a base image from OS packages and NVIDIA's wheels on PyPI, where no registry can be reached."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.engine import process
from devbox.engine.spec import ImageBuild
from devbox.errors import EngineError, ImageError, UsageError, last_lines
from devbox.facts.fitness import require
from devbox.files import lock
from devbox.image.assembly.recipe import forwarded, site_secrets
from devbox.image.assembly.stage_files import concatenate
from devbox.image.buildkit.build import build
from devbox.image.buildkit.inputs import inputs_digest
from devbox.image.registry.transfer import fetch
from devbox.paths import state_dir

if TYPE_CHECKING:
    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

DISTRO = "debian:12"
SUITES = {
    "debian:12": "bookworm",
    "debian:13": "trixie",
    "ubuntu:22.04": "jammy",
    "ubuntu:24.04": "noble",
}
# PyPI's `cuda-toolkit` by CUDA release. CUDA 12's wheels are laid out as one folder a component, which is no toolkit.
TOOLKITS = {"13.0": "13.0.2", "13.1": "13.1.1", "13.2": "13.2.1", "13.3": "13.3.1"}
# The package of a distribution's keys, without which apt takes nothing from it, and the file that mmdebstrap looks for.
_KEYS = {
    "debian": ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    "ubuntu": ("ubuntu-keyring", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def reference(cuda: str | None, distro: str = DISTRO) -> str:
    """Return the name of the package base: "devbox-base:cuda13.0-debian12", or "devbox-base:cpu-debian12" without CUDA.

    Raises UsageError for a release or a distribution that no package base exists for.
    """
    if distro not in SUITES:
        raise UsageError(f"no package base exists for '{distro}'", hint=f"one of {', '.join(SUITES)}")
    if cuda and cuda not in TOOLKITS:
        raise UsageError(
            f"no package base exists for CUDA '{cuda}'",
            hint=f"one of {', '.join(TOOLKITS)}; or an image that has it: --base-image nvidia/cuda:…",
        )
    return f"devbox-base:{f'cuda{cuda}' if cuda else 'cpu'}-{distro.replace(':', '')}"


def known(name: str) -> tuple[str | None, str] | None:
    """Return the CUDA release and the distribution of the package base of this name; None for any other image."""
    every = ((cuda, distro) for cuda in (None, *TOOLKITS) for distro in SUITES)
    return next((one for one in every if reference(*one) == name), None)


def made_by(name: str) -> str:
    """Return the command that makes the package base of this name."""
    cuda, distro = known(name) or (None, DISTRO)
    other = "" if distro == DISTRO else f" --distro {distro}"
    return f"devbox image base --cuda {cuda or 'none'}{other}"


def ensure(
    engine: Engine,
    *,
    cuda: str | None,
    distro: str = DISTRO,
    network: Network,
    reporter: Reporter,
    rebuild: bool = False,
) -> str:
    """Return the name of the package base, made if it is not on the engine or `rebuild` is set.

    Two at once: one works, the other waits and finds it done. Raises UsageError, EngineError and ImageError.
    """
    name = reference(cuda, distro)
    if not rebuild and engine.image(name) is not None:
        return name

    def waiting(holder: str) -> None:
        reporter.info(f"waiting for {holder}, which makes the package base")

    with lock(state_dir() / "locks" / "package-base.lock", on_wait=waiting):
        if rebuild or engine.image(name) is None:
            for note in network.note():
                reporter.info(f"note: {note}")
            if not cuda:
                _make_root(engine, name, distro, network, reporter)
            else:
                _make_cuda(engine, name, cuda=cuda, distro=distro, network=network, reporter=reporter)
    return name


def fallback(framework: Framework) -> str | None:
    """Return the name of the package base that can stand for the framework's own base image, None if none can."""
    if framework.package_base is None:
        return None
    return reference(framework.cuda if framework.package_base == "cuda" else None)


def ensure_fallback(engine: Engine, framework: Framework, network: Network, reporter: Reporter) -> str:
    """Return the name of the package base that stands for the framework's base image, made if it is not there."""
    cuda = framework.cuda if framework.package_base == "cuda" else None
    return ensure(engine, cuda=cuda, network=network, reporter=reporter)


def _make_root(engine: Engine, name: str, distro: str, network: Network, reporter: Reporter) -> None:
    """Make the plain distribution: the registry's image if it can be had, else a root file system from its packages."""
    if engine.image(distro) is not None or fetch(engine, distro, reporter) is None:
        engine.run(["tag", distro, name])
        return
    with tempfile.TemporaryDirectory(prefix="devbox-") as folder:
        archive = str(Path(folder, "root.tar"))
        with reporter.step(f"Making {distro} from its packages"):
            _bootstrap(distro, archive, network, reporter)
            engine.run(["import", "--change", f"ENV PATH={PATH}", "--change", 'CMD ["bash"]', archive, name])


def _this() -> str:
    """Return which distribution this machine is of, as `SUITES` names them: "debian:12"; "" where it does not say."""
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return ""
    return f"{told['ID']}:{told.get('VERSION_ID', '')}"


def _bootstrap(distro: str, archive: str, network: Network, reporter: Reporter) -> None:
    family = distro.partition(":")[0]
    keys, keyring = _KEYS[family]
    # Its own keys apt trusts already; others are looked for in their file, by gpg.
    ours = _this().partition(":")[0] == family
    programs = {"mmdebstrap": "mmdebstrap", **({} if ours else {"gpg": "gpg"})}
    if os.geteuid() != 0:
        programs["newuidmap"] = "uidmap"
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if not ours and not Path(keyring).exists():
        missing.append(keys)
    if missing:
        raise EngineError(
            f"{distro} cannot be pulled, and to make it from packages this machine lacks {', '.join(missing)}",
            hint=f"sudo apt-get install {' '.join(missing)}   # then run this again",
        )
    argv = ["mmdebstrap", "--variant=minbase", "--include=apt,ca-certificates"]
    if os.geteuid() != 0:
        argv.append("--mode=unshare")
    if distro.startswith("ubuntu:"):
        # git-lfs and python3-venv are there; a registry's image has it too.
        argv.append("--components=main,universe")
    if network.ca_bundle is not None:
        argv.append(f'--aptopt=Acquire::https::CaInfo "{network.ca_bundle}";')
    done = process.stream(
        [*argv, SUITES[distro], archive],
        lambda line: reporter.output(line, prefix="mmdebstrap"),
        environ={**os.environ, **network.proxies()},
    )
    if not done.ok:
        reach = "devbox doctor network   # the mirror must be reachable: proxies, and ca_bundle for https"
        older = f"devbox image base --distro {_this()}   # this machine's own: its {keys} is older than {distro}"
        raise ImageError(
            f"mmdebstrap could not make {distro} from its packages",
            hint=older if "NO_PUBKEY" in done.stderr and _this() in SUITES and _this() != distro else reach,
            detail=last_lines(done.stderr),
        )


def _make_cuda(engine: Engine, name: str, *, cuda: str, distro: str, network: Network, reporter: Reporter) -> None:
    require(engine, reporter)
    root = reference(None, distro)
    if engine.image(root) is None:
        _make_root(engine, root, distro, network, reporter)
    identity = (engine.image(root) or {}).get("Id", "")
    with tempfile.TemporaryDirectory(prefix="devbox-") as folder:
        dockerfile = Path(folder, "Dockerfile")
        dockerfile.write_text(concatenate(f"the package base with CUDA {cuda}", root, ("base-cuda",)), encoding="utf-8")
        wanted = ImageBuild(
            dockerfile=str(dockerfile),
            context=folder,
            tags=(name,),
            target="base",
            args=(("BASE_IMAGE", root), ("CUDA_VERSION", cuda), ("CUDA_TOOLKIT", TOOLKITS[cuda])),
            secrets=site_secrets(network),
            forwarded=forwarded(network),
        )
        with reporter.step(f"Installing CUDA {cuda} from NVIDIA's wheels"):
            digest = inputs_digest(wanted, {root: identity})
            build(engine, wanted, reporter, digest=digest, environ=network.proxies())
