"""The steps that make images and files, done: `apply` comes here for them, and only where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox import config
from devbox.config.network import network_of
from devbox.container.contract import attempt
from devbox.container.person import ssh_agent
from devbox.container.steps import (
    BuildImage,
    BuildService,
    HaveBase,
    InstallFeatures,
    LockFeatures,
    MakeBase,
    MakeFolder,
    PullImage,
    WriteContract,
)
from devbox.container.up.compose import build_service
from devbox.devcontainer.writing.write import write
from devbox.errors import ImageError
from devbox.files import write_atomically
from devbox.image.base.choose import have
from devbox.image.base.package import ensure, known
from devbox.image.buildkit.build import build
from devbox.image.features.layer import install
from devbox.image.registry.transfer import fetch

if TYPE_CHECKING:
    from devbox.container.steps import Files
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter


def make(engine: Engine, step: Files, reporter: Reporter) -> None:
    """Do one step. Raises EngineError and ImageError where docker refuses, RefusedError where a file is in the way."""
    match step:
        case HaveBase():
            have(engine, step.framework, step.choice, step.network, reporter)
        case WriteContract():
            if step.tried:
                attempt.begin(step.draft)
            write(step.draft.checkout, step.draft.generated, force=step.force)
        case PullImage():
            _pull(engine, step, reporter)
        case MakeBase():
            _make_base(engine, step, reporter)
        case BuildImage():
            for note in step.notes:
                reporter.info(note)
            with reporter.step(step.title):
                build(engine, step.build, reporter, digest=step.digest, environ=step.environ)
        case BuildService():
            build_service(engine, step, reporter)
        case InstallFeatures():
            install(engine, step.layer, step.network, reporter, environ=step.environ)
        case LockFeatures():
            _lock(step, reporter)
        case MakeFolder():
            ssh_agent.prepare()


def _lock(step: LockFeatures, reporter: Reporter) -> None:
    try:
        write_atomically(step.path, step.text)
    except OSError as error:
        reporter.warn(f"{step.path} cannot be written: {error.strerror}; the next image may have other Features")


def _make_base(engine: Engine, step: MakeBase, reporter: Reporter) -> None:
    # It is everybody's on this engine, so it is fetched as the person's own settings say.
    made = known(step.reference)
    assert made is not None  # noqa: S101  # the step is made for these names alone
    cuda, distro = made
    network = network_of(config.load(None, environ=engine.environ, flags={}), engine.environ)
    ensure(engine, cuda=cuda, distro=distro, network=network, reporter=reporter)


def _pull(engine: Engine, step: PullImage, reporter: Reporter) -> None:
    reason = fetch(engine, step.reference, reporter)
    if reason is None:
        return
    if not step.there:
        raise ImageError(
            f"the {step.what} {step.reference} is neither on the engine nor can it be pulled",
            hint=step.hint,
            detail=reason,
        )
    reporter.warn(f"no newer {step.reference} could be had: {reason}")
