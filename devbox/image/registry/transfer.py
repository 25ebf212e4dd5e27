"""Pushing images to a registry, under another name where that is wanted, and pulling them by theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import ImageError, UsageError
from devbox.image.registry.reference import HUB, parse
from devbox.reporter import PassedOverError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.engine.docker import Engine
    from devbox.image.registry.reference import Reference
    from devbox.reporter import Reporter

_DENIED = ("denied", "unauthorized", "no basic auth credentials", "authentication required")
_MISSING = ("manifest unknown", "not found")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One replacement in the name that an image is pushed under: every `old` becomes `new`."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.old}={self.new}"


@dataclass(frozen=True, slots=True)
class Push:
    """One image to be pushed: its name on the engine, and the name in the registry."""

    source: str
    target: str

    def commands(self) -> list[list[str]]:
        """Return the docker commands that do it."""
        tag = [["tag", self.source, self.target]] if self.source != self.target else []
        return [*tag, ["push", self.target]]


def rewrite(text: str) -> Rewrite:
    """Return the rule that `OLD=NEW` means. Raises UsageError where it means none."""
    old, equals, new = text.partition("=")
    if not old or not equals:
        raise UsageError(
            f"'{text}' is no replacement", hint="--rewrite /tensorrt-llm:=/tensorrt-llm-staging:   # OLD=NEW"
        )
    return Rewrite(old, new)


def plan(images: Sequence[str], rules: Sequence[Rewrite], *, to: str | None = None) -> tuple[Push, ...]:
    """Return what pushing `images` means: each under its name with `rules` applied in order, a single one as `to`.

    `to` without a tag gets the image's. Raises UsageError for a rule that changes no name and for an image that none
    changes, which would go where it was not meant to; and for a name without a registry, which docker would take for
    one of Docker Hub's own.
    """
    if to is not None and len(images) != 1:
        raise UsageError(f"{len(images)} images cannot all be pushed as {to}", hint="devbox image push IMAGE --to NAME")
    before = {image: _named(image, to) for image in images}
    names = dict(before)
    for rule in rules:
        if not any(rule.old in name for name in names.values()):
            raise _without_effect(f"the replacement {rule} changes none of the names: {', '.join(names.values())}")
        names = {image: name.replace(rule.old, rule.new) for image, name in names.items()}
    for image, name in names.items():
        if rules and name == before[image]:
            raise _without_effect(f"no replacement changes {name}")
        _pushable(name)
    return tuple(Push(image, name) for image, name in names.items())


def _without_effect(message: str) -> UsageError:
    return UsageError(message, hint="devbox image push IMAGE --no-rewrite   # under the name as it is")


def _named(image: str, to: str | None) -> str:
    """Return the name that `image` is pushed under: `to` with its own tag, or with the image's where it has none."""
    if to is None:
        return image
    tag = None if "@" in image else parse(image).tag
    return to if parse(to).tag or tag is None else str(parse(to).with_tag(tag))


def _pushable(name: str) -> Reference:
    reference = parse(name)
    if reference.digest:
        raise UsageError(f"{name} cannot be pushed by its digest", hint=f"devbox image push {reference.repository}:TAG")
    if reference.official:
        raise UsageError(
            f"{name} names no registry: docker would push it to Docker Hub's own images",
            hint=f"devbox image push {name} --to HOST/{name}",
        )
    return reference


def push(engine: Engine, wanted: Push, reporter: Reporter) -> None:
    """Push one image. What is there already is not sent again. Raises ImageError where it is not here or is refused."""
    if engine.image(wanted.source) is None:
        raise ImageError(
            f"the image {wanted.source} is not on the engine", hint="docker image ls   # or: devbox image build"
        )
    with reporter.step(f"Pushing {wanted.target}"):
        for command in wanted.commands():
            stream(engine, command, wanted.target, reporter)


def pull(engine: Engine, reference: str, reporter: Reporter) -> None:
    """Pull one image. Raises ImageError where it cannot be had."""
    with reporter.step(f"Pulling {reference}"):
        stream(engine, ["pull", reference], reference, reporter)


def fetch(engine: Engine, reference: str, reporter: Reporter) -> str | None:
    """Pull an image that something else may stand for; return None if it is here now, else the engine's reason."""
    try:
        # Raised through the step, so that it is not shown as one that was done.
        with reporter.step(f"Pulling {reference}"):
            _pull(engine, reference, reporter)
    except PassedOverError as reason:
        return str(reason)
    return None


def _pull(engine: Engine, reference: str, reporter: Reporter) -> None:
    done = engine.stream(["pull", reference], lambda line: reporter.output(line, prefix="pull"))
    if not done.ok:
        raise PassedOverError(_said(done.stderr))


def stream(engine: Engine, args: Sequence[str], reference: str, reporter: Reporter) -> None:
    """Run a docker command that talks to the registry of `reference`. Raises ImageError with what to do about it."""
    done = engine.stream(args, lambda line: reporter.output(line, prefix=args[0]))
    if not done.ok:
        raise refused(args[0], reference, done.stderr)


def refused(verb: str, reference: str, stderr: str) -> ImageError:
    """Return the error for docker's refusal to push or pull `reference`: its reason, and what to type next."""
    parsed = parse(reference)
    host = "" if parsed.registry == HUB else f" {parsed.registry}"
    hint = None
    if any(word in stderr.lower() for word in _DENIED):
        hint = f"docker login{host}"
    elif verb == "pull" and any(word in stderr.lower() for word in _MISSING):
        hint = f"devbox image tags {parsed.repository}"
    elif "no matching manifest" in stderr:
        hint = f"devbox image manifest show {reference}   # the platforms that it is for"
    return ImageError(f"docker could not {verb} {reference}: {_said(stderr)}", hint=hint)


def _said(stderr: str) -> str:
    """Return the line of docker's that tells the reason."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    said = next(
        (line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "no reason given"
    )
    return said.removeprefix("ERROR: ").removeprefix("Error response from daemon: ").strip()
