"""Which image a framework's Dockerfile starts from: the one asked for, the framework's own, or the package base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.errors import ImageError, UsageError
from devbox.frameworks import stated
from devbox.image.base.lock import locked
from devbox.image.base.package import ensure, ensure_fallback, fallback, made_by, reference
from devbox.image.registry.reference import parse
from devbox.image.registry.transfer import fetch
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

# The word by which the package base is asked for.
PACKAGE = "package"


def pinned(framework: Framework, workspace: Path | None, cuda: str | None = None) -> Framework:
    """Return `framework` with what `workspace` pins, and the images that it states at the digests of its lock file.

    `cuda` is the release that was asked for.
    """
    framework = stated.images(framework, workspace, cuda)
    runtime = framework.runtime_image
    return replace(
        stated.pinned(framework, workspace),
        base_image=locked(framework.base_image, workspace),
        runtime_image=None if runtime is None else locked(runtime, workspace),
    )


@dataclass(frozen=True, slots=True)
class BaseChoice:
    """How a framework's base image is had, where the engine has the images `there`.

    `image` is the one that is wanted; with `pull` it, or a newer one, is pulled first. `instead` is the package base
    that takes its place where that fails, None where nothing can.
    """

    image: str
    pull: bool = False
    instead: str | None = None
    there: frozenset[str] = frozenset()
    requested: bool = False

    @property
    def foreseen(self) -> str:
        """What is taken if no registry answers, or the wanted one where that would be none."""
        return self.outcome(self.there)

    def outcome(self, there: Container[str]) -> str:
        """Return the image that it comes to where these are on the engine then."""
        return (
            self.instead
            if self.instead is not None and self.instead in there and self.image not in there
            else self.image
        )

    @property
    def certain(self) -> bool:
        """Whether nothing has to be pulled or made to know which image it is."""
        return not self.pull and self.image in self.there

    def lines(self, engine: Engine) -> list[str]:
        """Return the commands, with what is done where the pull fails."""
        if self.certain:
            return []
        if not self.pull:
            return [made_by(self.image)]
        if self.image in self.there:
            return [engine.line(["pull", self.image]), f"# unless that fails: then the {self.image} that is there"]
        if self.instead is None:
            return [engine.line(["pull", self.image])]
        made = [] if self.instead in self.there else [f"#   {made_by(self.instead)}"]
        return [
            engine.line(["pull", self.image]),
            f"# where that fails, the package base {self.instead} takes its place:",
            *(made or ["#   it is on the engine"]),
            f"# unknown until then: which of the two the Dockerfile starts from; below it is {self.foreseen}",
        ]


def candidates(framework: Framework, requested: str | None, before: str | None = None) -> tuple[str, ...]:
    """Return the images of which has to be known whether they are there, to plan the base image."""
    names = (requested, before, framework.base_image, fallback(framework))
    return tuple(dict.fromkeys(name for name in names if name is not None and name != PACKAGE))


def plan_base(
    framework: Framework,
    requested: str | None,
    there: frozenset[str],
    *,
    before: str | None = None,
    pull: bool = False,
) -> BaseChoice:
    """Return how the base image for `framework` is had: the requested one, else the framework's own.

    "package" asks for the package base by its word. `before` is what was taken the last time, and is taken again where
    it is there; the lock file is stronger, where both speak of the same image. `pull` looks for a newer one even if it
    is there. Raises UsageError where no package base can stand for the framework's own, and for what names no image.
    """
    instead, own = fallback(framework), framework.base_image
    if requested == PACKAGE:
        if instead is None:
            raise UsageError(f"no package base can stand for {own}", hint="--base-image IMAGE, or another --variant")
        return BaseChoice(instead, there=there)
    if requested is not None:
        try:
            parse(requested)
        except UsageError as error:
            raise UsageError(f"--base-image: {error.message}", hint=error.hint) from None
        return BaseChoice(requested, pull or requested not in there, there=there, requested=True)
    locked_anew = "@" in own and before is not None and before != own and before.split("@")[0] == own.split("@")[0]
    if before is not None and before in there and not pull and not locked_anew:
        return BaseChoice(before, there=there)
    return BaseChoice(own, pull or own not in there, instead, there)


def have(engine: Engine, framework: Framework, choice: BaseChoice, network: Network, reporter: Reporter) -> str:
    """Carry a choice out, and return the image that it came to.

    What is taken instead of the wanted one is said with the reason. Raises ImageError where nothing can be had.
    """
    if choice.certain:
        return choice.image
    if not choice.pull:
        return ensure_fallback(engine, framework, network, reporter)
    reason = fetch(engine, choice.image, reporter)
    if reason is None:
        return choice.image
    if choice.image in choice.there:
        reporter.warn(f"no newer {choice.image} could be looked for: {reason}")
        return choice.image
    if choice.instead is None:
        nothing = "" if choice.requested else ", and no package base can stand for it"
        raise ImageError(
            f"the base image {choice.image} is neither on the engine nor can it be pulled{nothing}",
            hint="leave --base-image out to take the framework's own, or the package base"
            if choice.requested
            else "--base-image IMAGE   # one that you have",
            detail=reason,
        )
    reporter.info(f"{choice.image} cannot be pulled ({reason}): taking the package base {choice.instead} instead")
    return ensure_fallback(engine, framework, network, reporter)


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
    """Return the base image for `framework`, pulled or made where it is not there; with `dry_run` the foreseen one."""
    there = frozenset(name for name in candidates(framework, requested) if engine.image(name) is not None)
    choice = plan_base(framework, requested, there, pull=pull)
    return choice.foreseen if dry_run else have(engine, framework, choice, network, reporter)


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
