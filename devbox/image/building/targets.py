"""What `devbox image build` builds, as values: from a Dockerfile, what is known and what was asked for, to builds.

Nothing here asks the engine or looks at a checkout.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox import toml
from devbox.agent import placeholders
from devbox.engine.spec import csv_record
from devbox.errors import UsageError
from devbox.image import names
from devbox.image.assembly.stage_files import assemble
from devbox.image.buildkit.compiler_cache import SECRET
from devbox.image.dockerfile.stages import PROXIES, SCRATCH, Stage, Stages, mounts, read_stages, sources_of
from devbox.image.dockerfile.words import assignments
from devbox.image.registry import reference
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from devbox.engine.spec import BuildOptions, ImageBuild
    from devbox.frameworks.model import Framework, Pairs
    from devbox.image.building.source import Revision

SOURCE = "source"
# The argument that `--python` is.
PYTHON = "PYTHON_VERSION"
# Which image this is, as FRAMEWORK/VARIANT/STAGE. Not a label of a dev container, which a container would inherit.
_OCI = "org.opencontainers.image"
# Arguments that BuildKit takes without a declaration.
_PREDEFINED = PROXIES | {"SOURCE_DATE_EPOCH", "BUILDKIT_SYNTAX", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM"}
# What other tools call a stage of devbox's.
_ALIASES = {"local-dev": "user"}
# Arguments that only name what a stage starts from.
_BASE_ARGS = frozenset({"BASE_IMAGE", "RUNTIME_IMAGE", "EFA_BASE"})
_VARIABLE = re.compile(r"\$\{?(\w+)")
_NO_TAG = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One Dockerfile and what is known for it: `values` of arguments, `contexts` by name, and what it is made from.

    `file` is where its text lies for docker, `context` the build context. `names` maps a stage as devbox calls it to
    the one in the file, None to the last one; without it they are the same.
    """

    framework: Framework
    text: str
    file: str
    context: str
    values: Pairs
    contexts: Pairs = ()
    revision: Revision | None = None
    names: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One image to be built. `name` is its bake target, `bases` are the images that its build starts from.

    `base_args` are the arguments that name them, `own_base` is the one of the image itself: other stages of the build
    only make what goes into it.
    """

    name: str
    framework: str
    variant: str
    stage: str
    build: ImageBuild
    bases: tuple[str, ...] = ()
    base_args: frozenset[str] = frozenset()
    own_base: frozenset[str] = frozenset()
    reads_source: bool = False


def stages_of(blueprint: Blueprint, common: BuildOptions) -> Stages:
    """Return the stages of a blueprint's Dockerfile as the build sees them. Raises DockerfileError."""
    return read_stages(blueprint.text, {**dict(blueprint.values), **dict(common.args)}, name=blueprint.file)


def needs(stages: Stages, name: str | None) -> frozenset[str]:
    """Return the names of the stages and contexts that a build of the stage `name` (None: the last one) reads."""
    return frozenset(stage.name for stage in stages.needed(None if name is None else stages.find(name)))


def target(blueprint: Blueprint, stage: str, common: BuildOptions, *, storage_network: str | None = None) -> Target:
    """Return the build of `stage`, which raises UsageError if there is no such one, or an argument that none declares.

    `common` is how all of a command's builds are made, `storage_network` the network by which a shared compiler cache
    is reached. A tag may hold {framework} {variant} {stage} {version} {commit} {short}; without one the image is called
    `devbox-FRAMEWORK:VARIANT-STAGE`.
    """
    framework, stages = blueprint.framework, stages_of(blueprint, common)
    inner = _inner(blueprint, stages, stage)
    needed = stages.needed(None if inner is None else stages.find(inner))
    inside = {one.name for one in needed}
    declared = _declared(stages, [one.index for one in needed])
    _check_args(common, _declared(stages, range(len(stages.stages))))
    base_args = frozenset(name for one in needed for name in _base_args(one))
    taken = (declared - _BASE_ARGS) | base_args
    values = {name: value for name, value in blueprint.values if name in taken}
    given = {*dict(blueprint.contexts), *dict(common.contexts)}
    bases = dict.fromkeys(one.image for one in needed if one.image and one.image not in given)
    itself = stages.stages[-1] if inner is None else stages.find(inner)
    reads_source = SOURCE in inside
    build = replace(
        common.of(blueprint.file, blueprint.context),
        tags=_tags(blueprint, stage, common),
        target=inner,
        args=tuple({**values, **dict(common.args)}.items()),
        contexts=(*((name, place) for name, place in blueprint.contexts if name in inside), *common.contexts),
        labels=_labels(blueprint, stage, reads_source=reads_source),
        # Another network is another layer: only a build that reaches for the storage pays for that.
        network=common.network or (storage_network if _reads_storage(needed) else None),
    )
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{framework.name}-{framework.variant}-{stage}")
    return Target(
        name,
        framework.name,
        framework.variant,
        stage,
        build,
        bases=tuple(base for base in bases if base),
        base_args=base_args,
        own_base=frozenset(_base_args(stages.chain(itself)[0]) if itself is not None else ()),
        reads_source=reads_source,
    )


def _reads_storage(needed: Iterable[Stage]) -> bool:
    """Whether a step reads the secret by which a shared compiler cache is reached."""
    instructions = (instruction for stage in needed for instruction in stage.instructions)
    return any(mount.get("id") == SECRET for instruction in instructions for mount in mounts(instruction))


def _base_args(stage: Stage) -> Iterator[str]:
    """Yield the arguments in a stage's FROM."""
    return (match[1] for match in _VARIABLE.finditer(stage.start.text))


def known_stage(framework: Framework, stage: str) -> None:
    """Raise UsageError if devbox's own Dockerfile of `framework` has no stage of this name."""
    text = assemble(framework, images=True)
    _inner(Blueprint(framework, text, "", "", ()), read_stages(text, {}), stage)


def distinct(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Return `targets`, each once. Raises UsageError where two would have the same tag."""
    found = {one.name: one for one in targets}
    owners: dict[str, str] = {}
    for one in found.values():
        for tag in one.build.tags:
            if owners.setdefault(tag, one.name) != one.name:
                raise UsageError(
                    f"{owners[tag]} and {one.name} would both be {tag}",
                    hint=f"--tag '{tag.rpartition(':')[0] or tag}:{{variant}}-{{stage}}'",
                )
    return tuple(found.values())


def exported(one: Target, folder: str) -> Target:
    """Return `one` as files in a host's `folder` in place of an image: what a stage of nothing but files is for."""
    words = (csv_record(["type=local", f"dest={folder}"]),)
    return replace(one, build=replace(one.build, outputs=words, tags=(), labels=(), attest=()))


def _inner(blueprint: Blueprint, stages: Stages, stage: str) -> str | None:
    """Return the stage of the Dockerfile that `stage` means. Empty ones stand for contexts and are nobody's target."""
    instructions = (instruction for one in stages.stages for instruction in one.instructions)
    read = {source for instruction in instructions for _, source in sources_of(instruction)}
    # Files that others mount are nobody's target either.
    named = [
        one.name
        for one in stages.stages
        if one.name and not one.empty and not (one.base == SCRATCH and one.name in read)
    ]
    inner = stage if blueprint.names is None else blueprint.names.get(stage, stage)
    if inner is None or stages.find(inner) is not None:
        return inner
    if blueprint.names is None and stage in _ALIASES:
        return _ALIASES[stage]
    near = toml.nearest(stage, named)
    meant = f"did you mean '{near}'? " if near else ""
    raise UsageError(
        f"{blueprint.framework.name} ({blueprint.framework.variant}) has no stage '{stage}'",
        hint=f"{meant}the stages are: {', '.join(dict.fromkeys(named))}",
    )


def _declared(stages: Stages, indices: Iterable[int]) -> frozenset[str]:
    """Return the names of the arguments that stages declare, and those before the first one."""
    instructions = [*stages.declared]
    for index in indices:
        instructions += [one for one in stages.stages[index].instructions if one.keyword == "ARG"]
    return frozenset(name for one in instructions for name, _ in assignments("ARG", one.text, stages.dockerfile.escape))


def _check_args(common: BuildOptions, declared: frozenset[str]) -> None:
    for name in (*dict(common.args), *common.forwarded):
        if name == PYTHON and name not in declared:
            raise UsageError(
                "this stage has the Python of its base image, and --python chooses none",
                hint="--base-image IMAGE   # one with the Python that is wanted",
            )
        if name not in declared and name not in _PREDEFINED:
            near = toml.nearest(name, declared)
            raise UsageError(
                f"no stage takes the build argument {name}",
                hint=f"did you mean {near}?" if near else f"one of: {', '.join(sorted(declared))}",
            )


def _tags(blueprint: Blueprint, stage: str, common: BuildOptions) -> tuple[str, ...]:
    framework, revision = blueprint.framework, blueprint.revision
    if not common.tags:
        return (names.reference(framework, stage),)
    commit = (revision.commit if revision else None) or ""
    known = {
        "framework": framework.name,
        "variant": framework.variant,
        "stage": stage,
        # A tag takes no plus sign, which a version between two releases has.
        "version": _NO_TAG.sub("-", (revision.version if revision else None) or ""),
        "commit": commit,
        "short": commit[:12],
    }
    tags = tuple(_filled(tag, known) for tag in common.tags)
    for tag in tags:
        # Said now, and not by docker after a base image of gigabytes was pulled.
        reference.parse(tag)
    return tags


def _filled(tag: str, known: Mapping[str, str]) -> str:
    for name in placeholders.names(tag):
        if name not in known:
            raise UsageError(f"--tag knows no {{{name}}}", hint=f"one of {', '.join(f'{{{one}}}' for one in known)}")
        if not known[name]:
            raise UsageError(
                f"--tag asks for the {name}, which this checkout does not tell", hint="a checkout with git"
            )
    return placeholders.fill(tag, known)


def _labels(blueprint: Blueprint, stage: str, *, reads_source: bool) -> Pairs:
    """Return the labels of an image. Only what is made from the sources says from which: others stay the same."""
    framework, revision = blueprint.framework, blueprint.revision
    labels = [(names.LABEL, names.label(framework, stage))]
    if reads_source and revision is not None:
        labels += [(f"{_OCI}.revision", revision.commit)] if revision.commit else []
        labels += [(f"{_OCI}.version", revision.version)] if revision.version else []
    return tuple(labels)
