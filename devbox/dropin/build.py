"""`devcontainer build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.container.prebuild import PrebuildRequest, prebuild
from devbox.container.up.complete import Wishes
from devbox.dropin.meant import meant, trusts
from devbox.errors import UsageError
from devbox.image.building import options
from devbox.trust.ask import Answers

if TYPE_CHECKING:
    from devbox.dropin.arguments import Arguments
    from devbox.dropin.meant import Meant
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run(arguments: Arguments, reporter: Reporter) -> JSON:
    """Build the image of a devcontainer.json, complete, and return its names."""
    about = meant(arguments)
    assert about.config is not None  # noqa: S101  # there is always a workspace here
    _see(arguments, about)
    wishes = Wishes(
        tags=arguments.many("image-name"),
        labels=arguments.pairs("label"),
        platforms=options.platforms(_one(arguments.text("platform"))),
        cache_from=about.variation.cache_from,
        cache_to=_one(arguments.text("cache-to")),
        outputs=_one(arguments.text("output")),
        push=arguments.on("push"),
        no_cache=about.variation.no_cache,
    )
    answers = Answers(trusts(about), asks=False)
    request = PrebuildRequest(about.workspace, wishes, about.config, answers, about.variation)
    return {"outcome": "success", "imageName": list(prebuild(request, about.engine, reporter).images)}


def _see(arguments: Arguments, about: Meant) -> None:
    """See that the options go together. Raises UsageError with the reference's sentence."""
    several = arguments.text("platform") or arguments.on("push")
    if arguments.on("push") and arguments.text("output"):
        raise UsageError("--push true cannot be used with --output.")
    if several and arguments.text("buildkit") == "never":
        raise UsageError("--platform or --push require BuildKit enabled.")
    contract = about.contract()
    if contract is not None and contract.kind == "compose":
        if several:
            raise UsageError("--platform or --push not supported.")
        for name in ("output", "cache-to"):
            if arguments.text(name):
                raise UsageError(f"--{name} not supported.")


def _one(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()
