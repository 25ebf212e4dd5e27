"""What a dev container builds: framework and architectures from its contract, unless settings say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.inside.find import running_container
from devbox.devcontainer import record
from devbox.devcontainer.record import Record
from devbox.facts.model import Gpus
from devbox.frameworks.arch import form, resolve
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings
    from devbox.container.target import Target
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter


def inside(engine: Engine, workspace: Path, repository: str | None = None) -> Target:
    """Return the running dev container of a checkout, or the way to a further checkout in it by its name.

    Raises DevboxError where there is no running container, UsageError where it has no repository of the name.
    """
    found = running_container(engine, workspace)
    if repository is None:
        return found
    from devbox.container.contract.checkouts import located

    return located(found, record.at(found.config_file), repository)


def framework_of(target: Target, settings: Settings, reporter: Reporter) -> Framework:
    """Return the framework that is built in a dev container.

    That is the one of the settings, else the one that its contract records, else what the checkout is. Raises
    UsageError where nothing says one.
    """
    known = written(target)
    if settings.framework is not None:
        return load(settings.framework, settings.variant, target.workspace)
    if known.framework is not None:
        return load(known.framework, settings.variant or known.variant, target.workspace)
    from devbox.container import which

    # Which one it is does not change from build to build, and is not said each time.
    chosen = which.framework(target.workspace, None, reporter)
    return load(chosen.name, settings.variant or chosen.variant, target.workspace)


def architectures(target: Target, framework: Framework, settings: Settings, engine: Engine) -> str | None:
    """Return the architectures in the notation of the framework's build system; None where it builds for no GPU.

    `--arch` and the settings come first, then what the contract was written for; only then are GPUs looked for.
    """
    if not framework.gpu:
        return None

    if settings.arch not in {None, "auto"}:
        return form(resolve(framework, settings.arch, Gpus()), framework.build.arch_form)
    known = written(target).arch
    if known and settings.arch is None:
        return form(resolve(framework, ",".join(known), Gpus()), framework.build.arch_form)
    from devbox.facts import engine as engine_facts
    from devbox.facts import gpu

    gpus = gpu.gather(engine, engine_facts.gather(engine))
    return form(resolve(framework, "auto", gpus), framework.build.arch_form)


def written(target: Target) -> Record:
    """Return the record of the container's contract. Without its file it is the one that says nothing.

    Of a further checkout, that is what was found of it when the contract was written.
    """
    found = record.at(target.config_file)
    for further in found.repositories.values():
        if further.folder == target.folder:
            return Record(further.framework, further.variant, arch=found.arch)
    return found
