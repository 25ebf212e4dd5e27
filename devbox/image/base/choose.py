"""Which image a framework's Dockerfile starts from: the one asked for, the framework's own, or the package base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.errors import ImageError, UsageError
from devbox.image.base.lock import locked
from devbox.image.base.package import ensure, ensure_fallback, fallback, reference
from devbox.image.registry.transfer import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter


def pinned(framework: Framework, workspace: Path | None) -> Framework:
    """Return `framework` with the digests that the lock file of `workspace` holds its images at."""
    runtime = framework.runtime_image
    return replace(
        framework,
        base_image=locked(framework.base_image, workspace),
        runtime_image=None if runtime is None else locked(runtime, workspace),
    )


def decide(
    engine: Engine,
    framework: Framework,
    requested: str | None,
    *,
    network: Network,
    reporter: Reporter,
    pull: bool = False,
    dry_run: bool = False,
) -> str:
    """Return the base image for `framework`, as `choose` does; "package" asks for the package base by its word.

    With `dry_run` nothing is pulled or made: it is what would be taken if no registry answered, or the framework's own.
    """
    instead = fallback(framework)
    if requested == "package":
        if instead is None:
            raise UsageError(
                f"no package base can stand for {framework.base_image}", hint="--base-image IMAGE, or another --variant"
            )
        return instead if dry_run else ensure_fallback(engine, framework, network, reporter)
    if not dry_run:
        return choose(engine, framework, requested, network=network, reporter=reporter, pull=pull)
    if requested or engine.image(framework.base_image) is not None:
        return requested or framework.base_image
    return instead if instead is not None and engine.image(instead) is not None else framework.base_image


def choose(
    engine: Engine,
    framework: Framework,
    requested: str | None,
    *,
    network: Network,
    reporter: Reporter,
    pull: bool = False,
) -> str:
    """Return the base image for `framework`: the requested one, else the framework's own, else the package base.

    The framework's own is taken if it is local or can be pulled; `pull` looks for a newer one even if it is local. What
    is chosen instead of it is said with the reason. Raises ImageError if the requested one is out of reach, or the
    framework's own is and nothing can stand for it.
    """
    if requested:
        return _requested(engine, requested, reporter, pull=pull)
    own = framework.base_image
    if not pull and engine.image(own) is not None:
        return own
    reason = fetch(engine, own, reporter)
    if reason is None or engine.image(own) is not None:
        return own
    instead = fallback(framework)
    if instead is None:
        raise ImageError(
            f"the base image {own} is neither on the engine nor can it be pulled, and no package base can stand for it",
            hint="--base-image IMAGE   # one that you have",
            detail=reason,
        )
    reporter.info(f"{own} cannot be pulled ({reason}): taking the package base {instead} instead")
    return ensure_fallback(engine, framework, network, reporter)


def choose_runtime(
    engine: Engine, framework: Framework, *, network: Network, reporter: Reporter, dry_run: bool = False
) -> str | None:
    """Return the image that the framework's release starts from, or the package base without CUDA in its place.

    None where the framework names none. A release brings the CUDA libraries that it needs among its wheels.
    """
    own = framework.runtime_image
    if own is None or engine.image(own) is not None:
        return own
    plain = reference(None)
    if dry_run:
        return plain if framework.package_base is not None and engine.image(plain) is not None else own
    reason = fetch(engine, own, reporter)
    if reason is None:
        return own
    if framework.package_base is None:
        raise ImageError(
            f"the runtime image {own} is neither on the engine nor can it be pulled",
            hint="--arg RUNTIME_IMAGE=IMAGE   # one that you have",
            detail=reason,
        )
    reporter.info(f"{own} cannot be pulled ({reason}): taking the package base {plain} instead")
    return ensure(engine, cuda=None, network=network, reporter=reporter)


def _requested(engine: Engine, requested: str, reporter: Reporter, *, pull: bool) -> str:
    if (pull or engine.image(requested) is None) and (reason := fetch(engine, requested, reporter)) is not None:
        if engine.image(requested) is None:
            raise ImageError(
                f"the base image {requested} is neither on the engine nor can it be pulled",
                hint="leave --base-image out to take the framework's own, or the package base",
                detail=reason,
            )
        reporter.warn(f"no newer {requested} could be looked for: {reason}")
    return requested
