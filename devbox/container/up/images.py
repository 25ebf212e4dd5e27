"""The image of a contract: what it is built from, whether it is there, and how it is had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox import lean
from devbox.container.desired import Image, slug
from devbox.container.steps import BuildImage, MakeBase, PullImage
from devbox.container.up.feature_layer import see_features, with_features
from devbox.errors import ContractError, UsageError
from devbox.image.building import builder as builders
from devbox.image.buildkit.handed import handed
from devbox.image.buildkit.inputs import LABEL, inputs_of, is_made_from
from devbox.image.dockerfile.stages import base_images, read_stages
from devbox.image.dockerfile.words import assignments, fill
from devbox.trust.dockerfiles import see_triggers
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.container.up.apply import Journal
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.engine.spec import ImageBuild

Look = Callable[[str], "JSON | None"]


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """How a contract's image is had: it is there as `image`, or `pulls` come first, and then a `build` where it is one.

    Its Features come on top of that. `digest` stands for what a built image is made from; with `pulls` before it, it is
    not the last word. `text` is the Dockerfile's, `bases` the images that it starts from.
    """

    reference: str
    digest: str
    image: Image | None
    pulls: tuple[PullImage | MakeBase, ...] = ()
    build: BuildImage | None = None
    text: str | None = None
    bases: tuple[str, ...] = ()


def plan_image(
    look: Look,
    contract: Contract,
    *,
    pull: bool = False,
    dockerfile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ImagePlan:
    """Return how the image of `contract` is had; `look` inspects a local image, `pull` looks for newer ones.

    `dockerfile` is the Dockerfile's text where it is not written yet, `environ` are the proxies of a build. Raises
    ContractError where it cannot be read.
    """
    if contract.build is None:
        reference = contract.image or ""
        found = look(reference)
        if found is not None and not pull:
            return ImagePlan(reference, "", image_of(reference, found, ""))
        hint = f"docker pull {reference}   # or name another image in {contract.path}"
        service = contract.config.get("service")
        place = f"the service {service} of {contract.path}" if service else str(contract.path)
        return ImagePlan(reference, "", None, (_pull(reference, found, "image", hint, place),))
    recipe, wanted = contract.build, contract.build.image_build
    try:
        text = lean.text(recipe.dockerfile) if dockerfile is None else dockerfile
        bases = {name: look(name) for name in base_images(text, dict(recipe.args), str(recipe.dockerfile))}
        inputs = inputs_of(wanted, ids_of(bases), text=text, triggers=triggers_of(bases))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractError(f"{recipe.dockerfile} cannot be read: {reason}") from None
    see_triggers(triggers_of(bases), str(recipe.dockerfile))
    digest = inputs.digest
    reference = f"devbox-{slug(contract.record.framework or contract.workspace.name)}:{digest[:12]}"
    # Pulled first, so that the image's inputs, the base's id among them, are known before it is built and after. What
    # devbox made from packages is in no registry.
    shared = "--shared " if contract.record.shared else ""
    hint = f"devbox generate {shared}--base-image package   # builds on one that devbox makes from packages"
    pulls = tuple(
        MakeBase(name) if _is_made(name) else _pull(name, found, "base image", hint, str(recipe.dockerfile))
        for name, found in bases.items()
        if found is None or (pull and not _is_made(name))
    )
    no_cache = contract.variation.no_cache
    there = None if pulls or no_cache else look(reference)
    if there is not None and is_made_from(there, digest):
        return ImagePlan(reference, digest, image_of(reference, there, digest), bases=tuple(bases))
    # A proxy is passed on by name: its URL may hold a password.
    forwarded = tuple(name for name in environ or {} if name.isupper())
    wanted = replace(wanted, tags=(reference,), forwarded=forwarded, no_cache=no_cache)
    title = f"Building the image {reference}"
    step = BuildImage(title, wanted, digest, environ or {}, inputs.notes)
    return ImagePlan(reference, digest, None, pulls, step, text, tuple(bases))


def _is_made(name: str) -> bool:
    """Tell whether devbox makes an image of this name from packages: it is in no registry."""
    if not name.startswith("devbox-base:"):
        return False
    from devbox.image.base.package import known

    return known(name) is not None


def _pull(name: str, found: JSON | None, what: str, hint: str, place: str) -> PullImage:
    """Return the step that pulls an image which `place` names. Raises ContractError where that is no image's name."""
    if found is None:
        from devbox.image.registry.reference import parse

        try:
            parse(name)
        except UsageError as wrong:
            raise ContractError(f"{place}: {wrong.message}", hint=wrong.hint) from None
    return PullImage(name, found is not None, what, hint)


def ids_of(bases: Mapping[str, JSON | None]) -> dict[str, str]:
    """Return the ids of those of the inspected images that are there."""
    return {name: str(found["Id"]) for name, found in bases.items() if found is not None}


def triggers_of(bases: Mapping[str, JSON | None]) -> list[str]:
    """Return the ONBUILD instructions of inspected images."""
    return [text for found in bases.values() for text in ((found or {}).get("Config") or {}).get("OnBuild") or ()]


def image_of(reference: str, inspected: JSON, inputs: str) -> Image:
    """Return an inspected image. One that was not built here is its own input."""
    return Image(reference, str(inspected["Id"]), inputs or str(inspected["Id"]), inspected.get("Config") or {})


def is_same(look: Look, one: str, other: str) -> bool:
    """Tell whether two local images are the same to a container: in layers and configuration, whatever made them."""
    first, second = look(one), look(other)
    return first is not None and second is not None and _essence(first) == _essence(second)


def _essence(inspected: JSON) -> JSON:
    config = inspected.get("Config") or {}
    labels = {name: value for name, value in (config.get("Labels") or {}).items() if name != LABEL}
    # What it was made from, and by whom, is not what it is.
    kept = {key: value for key, value in {**config, "Labels": labels}.items() if value and key != "Image"}
    return {"layers": inspected.get("RootFS"), "system": (inspected.get("Os"), inspected.get("Architecture")), **kept}


def have_image(
    journal: Journal,
    contract: Contract,
    todo: ImagePlan,
    *,
    dockerfile: str | None = None,
    environ: Mapping[str, str] | None = None,
    pull: bool = False,
    user: str | None = None,
    builder: str | None = None,
) -> Image:
    """Return the image of a contract with its Features, pulled and built first as `todo` says.

    In a dry run it is the image as far as it can be foreseen; one that is not there has no id. `environ` are the
    proxies of a build, `pull` looks for newer Features, `user` is the one that a compose file gives the service,
    `builder` the one of buildx that builds it. Raises ImageError, and what `with_features` raises.
    """
    look = journal.engine.image
    if todo.image is None and contract.features:
        # What cannot be had is said before something is built for it; what is had now lies in the cache.
        see_features(journal.engine, contract, pull=pull)
        pull = False
    if todo.pulls:
        journal.do(*todo.pulls)
        todo = plan_image(look, contract, dockerfile=dockerfile, environ=environ)
    if todo.build is not None:
        journal.do(by_builder(journal, todo, builder))
    image = todo.image
    if image is None:
        found = look(todo.reference)
        if found is not None and (todo.build is None or is_made_from(found, todo.digest)):
            image = image_of(todo.reference, found, todo.digest)
        else:
            config = {} if todo.build is None else foreseen_config(look, todo.build.build, todo.text or "")
            image = Image(todo.reference, "", todo.digest, config, known=not todo.pulls)
    return with_features(journal, contract, image, environ=environ or {}, user=user, pull=pull)


def by_builder(journal: Journal, todo: ImagePlan, name: str | None) -> BuildImage:
    """Return the build of `todo` by the builder `name`, which is handed what only the engine has. None is its own."""
    assert todo.build is not None  # noqa: S101  # who asks knows that it is built
    if name is None:
        return todo.build
    wanted, which = todo.build.build, builders.gather(journal.engine, name)
    if not which.own:
        wanted = handed(journal.engine, wanted, todo.bases, None if journal.dry_run else journal.reporter)
    return replace(todo.build, build=replace(wanted, options=("--builder", name, *wanted.options)))


def foreseen_config(look: Look, build: ImageBuild, text: str) -> JSON:
    """Return what of `.Config` is known of an image that is not built yet: its base's, and what its Dockerfile sets.

    That is its user, its variables and its labels: who works in it, and what other tools say in its metadata. `text` is
    the Dockerfile's.
    """
    stages = read_stages(text, dict(build.args))
    if not stages.stages:
        return {}
    chain = stages.chain((stages.find(build.target) if build.target else None) or stages.stages[-1])
    base = look(chain[0].image) if chain[0].image else None
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
