"""The image of a contract: what it is built from, whether it is there, and how it is had."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devbox.container.up.desired import Image, slug
from devbox.container.up.feature_layer import see_features, with_features
from devbox.engine.spec import ImageBuild, build_args
from devbox.errors import ContractError, ImageError
from devbox.image.buildkit.build import build, current
from devbox.image.buildkit.inputs import LABEL, inputs_of
from devbox.image.dockerfile.stages import base_images, read_stages
from devbox.image.dockerfile.words import assignments, fill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

__all__ = ["ImagePlan", "ensure_image", "foreseen_image", "image_of", "plan_image", "with_features"]

_OWN = "devbox-base:"


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """How a contract's image is had: `build` it, or `pull` it by its name; neither where `image` is there already.

    Its Features come on top of that. `missing` are base images to be pulled first. `digest` stands for what a built
    image is made from. `pull` looks for newer Features too. `notes` say what of its inputs is not looked at in full.
    `text` is the Dockerfile's.
    """

    reference: str
    digest: str
    image: Image | None
    build: ImageBuild | None = None
    missing: tuple[str, ...] = ()
    pull: bool = False
    notes: tuple[str, ...] = ()
    text: str | None = None

    def lines(self, engine: Engine) -> list[str]:
        """Return the docker commands that would make the image."""
        if self.image is not None:
            return []
        if self.build is None:
            return [engine.line(["pull", self.reference])]
        return [*(engine.line(["pull", name]) for name in self.missing), engine.line(build_args(self.build))]


def plan_image(engine: Engine, contract: Contract, *, pull: bool = False, dockerfile: str | None = None) -> ImagePlan:
    """Look at what there is of the contract's image, and say what has to be done. `pull` looks for newer images.

    `dockerfile` is the Dockerfile's text where it is not written yet. Raises ContractError where it cannot be read.
    """
    if contract.build is None:
        reference = contract.image or ""
        found = engine.image(reference)
        return ImagePlan(reference, "", None if pull or found is None else image_of(reference, found, ""), pull=pull)
    recipe = contract.build
    wanted = ImageBuild(
        dockerfile=str(recipe.dockerfile),
        context=str(recipe.context),
        target=recipe.target,
        args=recipe.args,
        cache_from=recipe.cache_from,
        options=recipe.options,
    )
    try:
        text = recipe.dockerfile.read_text(encoding="utf-8") if dockerfile is None else dockerfile
        bases = {name: engine.image(name) for name in base_images(text, dict(recipe.args), str(recipe.dockerfile))}
        inputs = inputs_of(wanted, ids_of(bases), text=text, triggers=triggers_of(bases))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractError(f"{recipe.dockerfile} cannot be read: {reason}") from None
    digest = inputs.digest
    reference = f"devbox-{slug(contract.record.framework or contract.workspace.name)}:{digest[:12]}"
    # What devbox made from packages is in no registry.
    missing = tuple(name for name, found in bases.items() if found is None or (pull and not name.startswith(_OWN)))
    identity = None if missing else current(engine, reference, digest)
    there = engine.image(reference) if identity is not None else None
    image = None if there is None else image_of(reference, there, digest)
    return ImagePlan(reference, digest, image, replace(wanted, tags=(reference,)), missing, pull, inputs.notes, text)


def ids_of(bases: Mapping[str, JSON | None]) -> dict[str, str]:
    """Return the ids of those of the inspected images that are there."""
    return {name: str(found["Id"]) for name, found in bases.items() if found is not None}


def triggers_of(bases: Mapping[str, JSON | None]) -> list[str]:
    """Return the ONBUILD instructions of inspected images."""
    return [text for found in bases.values() for text in ((found or {}).get("Config") or {}).get("OnBuild") or ()]


def image_of(reference: str, inspected: JSON, inputs: str) -> Image:
    """Return an inspected image. One that was not built here is its own input."""
    return Image(reference, str(inspected["Id"]), inputs or str(inspected["Id"]), inspected.get("Config") or {})


def is_same(engine: Engine, one: str, other: str) -> bool:
    """Tell whether two local images are the same to a container: in layers and configuration, whatever made them."""
    first, second = engine.image(one), engine.image(other)
    return first is not None and second is not None and _essence(first) == _essence(second)


def _essence(inspected: JSON) -> JSON:
    config = inspected.get("Config") or {}
    labels = {name: value for name, value in (config.get("Labels") or {}).items() if name != LABEL}
    # What it was made from, and by whom, is not what it is.
    kept = {key: value for key, value in {**config, "Labels": labels}.items() if value and key != "Image"}
    return {"layers": inspected.get("RootFS"), "system": (inspected.get("Os"), inspected.get("Architecture")), **kept}


def ensure_image(
    engine: Engine,
    contract: Contract,
    plan: ImagePlan,
    reporter: Reporter,
    *,
    environ: Mapping[str, str],
    user: str | None = None,
) -> Image:
    """Return the image of `plan` with the contract's Features, pulled or built first if it has to be.

    `environ` are values for build arguments that are named without one, `user` is the one that a compose file gives the
    service. Raises ImageError, and what `with_features` raises.
    """
    pull = plan.pull
    if plan.image is None and contract.config.get("features"):
        # What cannot be had is said before something is built for it; what is had now lies in the cache.
        see_features(engine, contract, pull=pull)
        pull = False
    image = _ensure_plain(engine, contract, plan, reporter, environ=environ)
    return with_features(engine, contract, image, reporter, environ=environ, user=user, pull=pull)[0]


def foreseen_image(
    engine: Engine, contract: Contract, plan: ImagePlan, reporter: Reporter, *, user: str | None = None
) -> tuple[Image, list[str]]:
    """Return the image that `ensure_image` would make, as far as it is known, and the commands for its Features.

    Nothing is changed; `plan.lines` are the commands that come before.
    """
    plain = plan.image or Image(plan.reference, "", plan.digest, _foreseen_config(engine, plan))
    return with_features(engine, contract, plain, reporter, environ={}, dry_run=True, user=user, pull=plan.pull)


def _foreseen_config(engine: Engine, plan: ImagePlan) -> JSON:
    """Return what of `.Config` is known of an image that is not built yet: its base's, and what its Dockerfile sets.

    That is its user, its variables and its labels: who works in it, and what other tools say in its metadata.
    """
    if plan.build is None or plan.text is None:
        return {}
    stages = read_stages(plan.text, dict(plan.build.args))
    if not stages.stages:
        return {}
    chain = stages.chain((stages.find(plan.build.target) if plan.build.target else None) or stages.stages[-1])
    base = engine.image(chain[0].image) if chain[0].image else None
    config = dict((base or {}).get("Config") or {})
    variables = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    labels = dict(config.get("Labels") or {})
    for stage in chain:
        for instruction, values, _ in stages.scopes(stage):
            seen, escape = {**variables, **values}, stages.dockerfile.escape
            if instruction.keyword == "USER":
                config["User"] = fill(instruction.text, seen, escape).text
            elif instruction.keyword in {"ENV", "LABEL"}:
                found = assignments(instruction.keyword, instruction.text, escape)
                into = variables if instruction.keyword == "ENV" else labels
                into.update(
                    {fill(name, seen, escape).text: fill(text or "", seen, escape).text for name, text in found}
                )
    return {**config, "Labels": labels, "Env": [f"{name}={value}" for name, value in variables.items()]}


def _ensure_plain(
    engine: Engine, contract: Contract, plan: ImagePlan, reporter: Reporter, *, environ: Mapping[str, str]
) -> Image:
    """Return the image of `plan` without Features."""
    if plan.image is not None:
        return plan.image
    from devbox.image.registry.transfer import fetch

    if plan.build is None:
        reason = fetch(engine, plan.reference, reporter)
        found = engine.image(plan.reference)
        if found is None:
            raise ImageError(
                f"the image {plan.reference} is neither on the engine nor can it be pulled",
                hint=f"docker pull {plan.reference}   # or name another image in {contract.path}",
                detail=reason,
            )
        if reason is not None:
            reporter.warn(f"no newer {plan.reference} could be had: {reason}")
        return image_of(plan.reference, found, "")
    for name in plan.missing:
        # Pulled first, so that the image's inputs, the base's id among them, are known before it is built and after.
        reason = fetch(engine, name, reporter)
        if reason is not None and engine.image(name) is not None:
            reporter.warn(f"no newer {name} could be had: {reason}")
        elif reason is not None:
            raise ImageError(
                f"the base image {name} is neither on the engine nor can it be pulled",
                hint="devbox image base   # makes one from packages; or choose another with --base-image",
                detail=reason,
            )
    if plan.missing:
        return _ensure_plain(engine, contract, plan_image(engine, contract), reporter, environ=environ)

    for note in plan.notes:
        reporter.info(note)
    with reporter.step(f"Building the image {plan.reference}"):
        # A proxy is passed on by name: its URL may hold a password.
        forwarded = tuple(f"--build-arg={name}" for name in environ if name.isupper())
        wanted = replace(plan.build, options=(*plan.build.options, *forwarded))
        build(engine, wanted, reporter, digest=plan.digest, environ=environ)
    found = engine.image(plan.reference)
    if found is None:
        raise ImageError(f"the image {plan.reference} was built and is gone again", hint="devbox up")
    return image_of(plan.reference, found, plan.digest)
