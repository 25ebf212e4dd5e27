"""The complete image of a contract: built at once, with its Features, and with all that the contract says in its label.

A container of it is what the contract says, for every tool: a contract that names it needs to say nothing again. The
rules of the label are those of the reference CLI's `build`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import field, replace
from typing import TYPE_CHECKING

from devbox import config, lean
from devbox.config.network import network_of
from devbox.container.desired import Image, slug
from devbox.container.steps import BuildService
from devbox.container.up.compose import image_contract, service_build
from devbox.container.up.feature_layer import layer_of, resolve
from devbox.container.up.images import foreseen_config, plan_image
from devbox.devcontainer.compose.model import as_image_contract
from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.merge import image_metadata, label_entries
from devbox.engine.spec import BuildOptions, ImageBuild
from devbox.errors import ContractError, ImageError, UsageError
from devbox.files import write_atomically
from devbox.image.assembly.recipe import site_secrets
from devbox.image.building import builder
from devbox.image.buildkit.build import log_path, run_buildx
from devbox.image.buildkit.handed import handed
from devbox.image.features.extended import STAGED, extended
from devbox.image.features.layer import failure_of
from devbox.paths import cache_dir
from devbox.trust.reach import is_inside
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import BuildRecipe, Contract
    from devbox.engine.docker import Engine
    from devbox.image.features.layer import Layer
    from devbox.reporter import Reporter

_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_IGNORE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Wishes(BuildOptions):
    """How a complete image is to be built, beside what its contract says: with further `labels`, by a `builder`.

    Without `outputs` and `push` it is loaded into the engine.
    """

    labels: tuple[tuple[str, str], ...] = ()
    push: bool = False
    builder: str | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete image, built. `metadata` is its label `devcontainer.metadata`; `id` is None where it is not loaded.

    `seconds` is docker's part; of the `steps`, `cached` did not run.
    """

    names: tuple[str, ...]
    metadata: tuple[JSON, ...] = field(hash=False)
    id: str | None = None
    size: int | None = None
    seconds: float = 0.0
    steps: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class _Todo:
    """One `docker buildx build`: with `layer`, its Dockerfile is `text`, and lies with the Features' files in `staged`.

    `ignore` is the ignore file that goes with the contract's own Dockerfile.
    """

    build: ImageBuild
    environ: Mapping[str, str] = field(hash=False, repr=False)
    staged: Path | None = None
    text: str = ""
    ignore: str | None = None
    layer: Layer | None = None

    def lines(self, engine: Engine) -> list[str]:
        """Return what a dry run says."""
        more = ", and what installs Features" if self.layer is not None else ""
        files = [] if self.staged is None else [f"# write {self.build.dockerfile}{more}"]
        return [*files, engine.line(engine.build_args(self.build))]


def complete(journal: Journal, contract: Contract, wishes: Wishes, *, project: Project | None = None) -> Complete:
    """Build the complete image of `contract`, of its service where it is of a compose `project`.

    Nobody is asked here whether what the build reaches is agreed to. In a dry run the steps are written down. Raises
    UsageError for wishes that do not go together, EngineError for what the builder cannot do, ImageError,
    ContractError, and what `resolve` of Features raises.
    """
    if wishes.push and (wishes.outputs or not wishes.tags):
        hint = "--push --tag REGISTRY/NAME:TAG" if not wishes.tags else "--output type=registry   # is the same"
        raise UsageError("--push needs a name to push, and goes without --output", hint=hint)
    if contract.image in wishes.tags:
        raise UsageError(
            f"{contract.path} starts from {contract.image} itself: each build would add its hooks to it once more",
            hint="devbox prebuild --config FILE   # the contract that it is built by; or another --tag",
        )
    settings = config.load(contract.workspace, environ=journal.engine.environ, flags={})
    wishes = replace(
        wishes,
        builder=wishes.builder or settings.builder,
        tags=wishes.tags or (f"devbox-{slug(contract.workspace.name)}:prebuilt",),
    )
    apart = False
    if wishes.builder or wishes.platforms or wishes.cache_to or wishes.outputs:
        which = builder.gather(journal.engine, wishes.builder)
        builder.check(which, wishes)
        apart = not which.own
    todo, metadata, bases = _plan(journal, contract, wishes, settings, project)
    if apart:
        talk = None if journal.dry_run else journal.reporter
        todo = replace(todo, build=handed(journal.engine, todo.build, bases, talk))
    if journal.dry_run:
        journal.would(f"Building {' '.join(wishes.tags)}", todo.lines(journal.engine))
        return Complete(wishes.tags, metadata)
    journal.see_held()
    return _build(journal.engine, todo, Complete(wishes.tags, metadata), journal.reporter)


def _plan(
    journal: Journal, contract: Contract, wishes: Wishes, settings: Settings, project: Project | None
) -> tuple[_Todo, tuple[JSON, ...], tuple[str, ...]]:
    """Return the build, the entries of its label, and its base images; what they depend on is pulled first."""
    engine = journal.engine
    network = network_of(settings, engine.environ)
    made = contract if project is None else _of_service(journal, contract, project, wishes)
    base, text, bases = _base(journal, made, pull=wishes.pull)
    entries: Sequence[JSON] = image_metadata(base.config.get("Labels"))
    layer = None
    if contract.features:
        warn = journal.reporter.warn
        features, locking = resolve(engine, contract, settings, warn, pull=wishes.pull)
        journal.do(*locking)
        user = None if project is None else project.definition.get("user")
        layer = layer_of(contract, base, features, warn, user=user and str(user), environ=engine.environ)
        layer = replace(layer, environ=_constants(contract))
        entries = layer.metadata
    metadata = label_entries(contract, entries)
    label = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    return _todo(made, wishes, text, layer, label=label, network=network), metadata, bases


def _constants(contract: Contract) -> tuple[tuple[str, str], ...]:
    """Return those of a contract's `containerEnv` that hold the same for everybody: a variable is the builder's own."""
    said = contract.raw.get("containerEnv") or {}
    return tuple(
        (name, value)
        for name, value in said.items()
        if _VARIABLE.fullmatch(name) and isinstance(value, str) and value.isprintable() and "${" not in value
    )


def _of_service(journal: Journal, contract: Contract, project: Project, wishes: Wishes) -> Contract:
    """Return the contract of a service's image; what only docker compose can build, it builds first."""
    if wishes.platforms and as_image_contract(contract, project, journal.engine.environ) is None:
        raise UsageError(
            f"the service {project.service} is one that only docker compose can build, for this machine alone",
            hint="devbox prebuild   # without --platform",
        )
    todo = service_build(journal.engine, contract, project, again=wishes.pull or wishes.no_cache)
    if todo is not None:
        journal.do(BuildService(contract, project.service, todo))
    return image_contract(contract, project, journal.engine.environ)


def _base(journal: Journal, contract: Contract, *, pull: bool) -> tuple[Image, str, tuple[str, ...]]:
    """Return the image that Features are installed on, as far as it is known before it is built, and its Dockerfile.

    And what that starts from.
    """
    look = journal.engine.image
    todo = plan_image(look, contract, pull=pull)
    # Their users and labels are part of what is built.
    journal.do(*todo.pulls)
    if contract.build is None:
        name = contract.image or ""
        found = look(name) or {}
        return Image(name, str(found.get("Id", "")), name, found.get("Config") or {}), f"FROM {name}\n", (name,)
    build = contract.build.image_build
    text = lean.text(contract.build.dockerfile)
    return Image(todo.reference, "", todo.digest, foreseen_config(look, build, text)), text, todo.bases


def _todo(contract: Contract, wishes: Wishes, text: str, layer: Layer | None, *, label: str, network: Network) -> _Todo:
    """Return the build that makes all of it. Raises ContractError where the Dockerfile makes no sense."""
    recipe, environ = contract.build, network.proxies()
    build = replace(
        recipe.image_build if recipe is not None else ImageBuild("", ""),
        tags=wishes.tags,
        labels=((METADATA, label), *wishes.labels),
        platforms=wishes.platforms,
        cache_to=wishes.cache_to,
        outputs=("type=registry",) if wishes.push else wishes.outputs,
        no_cache=wishes.no_cache,
        # A proxy is passed on by name: its URL may hold a password.
        forwarded=tuple(name for name in environ if name.isupper()),
    )
    which = () if wishes.builder is None else ("--builder", wishes.builder)
    build = replace(build, cache_from=(*wishes.cache_from, *build.cache_from), options=(*which, *build.options))
    if recipe is not None and layer is None:
        return _Todo(build, environ)
    if layer is not None:
        text = extended(text, layer, target=build.target, name=str(recipe.dockerfile) if recipe else "Dockerfile")
    key = hashlib.sha256(repr((text, build, layer and layer.digest())).encode()).hexdigest()[:12]
    # Two at once of the same are no trouble to each other.
    staged = cache_dir() / "complete" / f"{key}-{os.getpid()}"
    build = replace(build, dockerfile=str(staged / "Dockerfile"), context=build.context or str(staged), target=None)
    if layer is not None:
        contexts = (*build.contexts, *layer.contexts, (STAGED, str(staged)))
        build = replace(build, contexts=contexts, secrets=site_secrets(network))
    return _Todo(build, environ, staged, text, _ignore_file(recipe), layer)


def _ignore_file(recipe: BuildRecipe | None) -> str | None:
    """Return the text of the ignore file that is the Dockerfile's own, and so lies beside it."""
    if recipe is None:
        return None
    path = recipe.dockerfile.with_name(f"{recipe.dockerfile.name}{_IGNORE}")
    # It is copied to where the Dockerfile's own steps can read it.
    if not is_inside(path, recipe.dockerfile.parent):
        raise ContractError(f"{path} is a link out of its folder", hint=f"ls -l {path}")
    try:
        return lean.text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} cannot be read: {error}") from None


def _build(engine: Engine, todo: _Todo, image: Complete, reporter: Reporter) -> Complete:
    """Build it. Raises ImageError with the failed step's last lines, naming the Feature whose script failed."""
    log = log_path(hashlib.sha256(repr(todo.build).encode()).hexdigest())
    log.unlink(missing_ok=True)
    begun = time.monotonic()
    try:
        if todo.staged is not None:
            _stage(todo, todo.staged)
        build = replace(todo.build, options=("--progress=plain", *todo.build.options))
        with reporter.step(f"Building {' '.join(image.names)}"):
            done = run_buildx(engine, engine.build_args(build), reporter, log=log, environ=todo.environ)
    except ImageError as error:
        if todo.layer is None:
            raise

        raise failure_of(error, todo.layer.steps) from None
    finally:
        if todo.staged is not None:
            # The files may hold what the contract took from the host's environment.
            shutil.rmtree(todo.staged, ignore_errors=True)
    found = None if todo.build.outputs else engine.image(image.names[0])
    steps, cached = done.built()
    return replace(
        image,
        id=None if found is None else str(found["Id"]),
        size=None if found is None else int(found.get("Size") or 0),
        seconds=round(time.monotonic() - begun, 1),
        steps=steps,
        cached=cached,
    )


def _stage(todo: _Todo, folder: Path) -> None:
    """Write the Dockerfile, its ignore file, and what installs the Features."""
    if todo.layer is None:
        write_atomically(folder / "Dockerfile", todo.text)
    else:
        todo.layer.stage(folder, todo.text)
    if todo.ignore is not None:
        write_atomically(folder / f"Dockerfile{_IGNORE}", todo.ignore)
