"""`devbox image build`: from a request to a plan of builds, and the plan carried out.

The plan is what a dry run prints. Asking the engine and the checkout happens here; what to build is told by `targets`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.config.network import network_of
from devbox.engine.spec import build_args, fields_of, podman_build_args
from devbox.errors import ImageError
from devbox.facts.fitness import require
from devbox.files import write_atomically
from devbox.image.assembly.recipe import CA_SECRET, forwarded, site_secrets
from devbox.image.building import builder
from devbox.image.building import source as sources
from devbox.image.building.blueprint import BuildRequest, Maker
from devbox.image.building.targets import PYTHON, Target, distinct
from devbox.image.buildkit import bake
from devbox.image.buildkit.build import log_path, run_buildx
from devbox.image.buildkit.compiler_cache import SECRET, VARIABLE, CacheUse, use_of
from devbox.image.buildkit.handed import handed
from devbox.image.registry import transfer
from devbox.masking import is_secret_name
from devbox.paths import cache_dir
from devbox.trust.dockerfiles import see_triggers
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from devbox.config import Settings
    from devbox.engine.docker import Engine
    from devbox.engine.spec import BuildOptions, ImageBuild
    from devbox.frameworks.model import Pairs
    from devbox.reporter import Reporter

_MOST_SECRET = 1 << 14


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What will be done: Dockerfiles to be written, checkouts whose source is copied, and builds.

    `environ` are the variables that docker runs with beside its own: no secret is anywhere else. `renderings` are the
    commands by which checkouts would write their Dockerfiles first: in a dry run alone, else they have run. `podman`
    is whether the engine is Podman, which builds one after the other.
    """

    targets: tuple[Target, ...]
    files: Pairs
    checkouts: tuple[Path, ...]
    environ: Mapping[str, str] = field(hash=False, repr=False)
    builder: str | None = None
    notes: tuple[str, ...] = ()
    renderings: tuple[str, ...] = ()
    podman: bool = False

    @property
    def builds(self) -> dict[str, ImageBuild]:
        """The builds by the names of their targets."""
        return {one.name: one.build for one in self.targets}

    def bake(self) -> dict[str, Any]:
        """Return all of it as one bake file."""
        return bake.bake_file(self.builds)

    @property
    def digest(self) -> str:
        """What tells this plan from others, as 64 hex digits."""
        return hashlib.sha256(json.dumps(self.bake(), sort_keys=True).encode()).hexdigest()

    @property
    def bake_path(self) -> Path:
        """Where the bake file goes, if there are several builds."""
        return cache_dir() / "bake" / f"{self.digest[:16]}.json"

    @property
    def bakes(self) -> bool:
        """Whether bake builds all at once.

        Before buildx 0.16 it knows no network and no size of /dev/shm: then one build follows the other.
        """
        knows = not self.podman and not any(one.build.network or one.build.shm_size for one in self.targets)
        return knows and len(self.targets) > 1

    def commands(self) -> list[list[str]]:
        """Return docker's arguments for each command: `buildx bake` of what lies at `bake_path`, or `buildx build`s."""
        options = (*(("--builder", self.builder) if self.builder else ()), "--progress=plain")
        if self.bakes:
            return [bake.bake_args(str(self.bake_path), self.builds, options)]
        builds, args = self.builds.values(), podman_build_args if self.podman else build_args
        return [args(replace(build, options=(*options, *build.options))) for build in builds]

    def lines(self, engine: Engine) -> list[str]:
        """Return what a dry run says: the files that are written first, and the commands."""
        lines = [*self.renderings, *(f"# write {path}" for path, _ in self.files)]
        lines += [f"# copy the source of {checkout} to {sources.folder_of(checkout)}" for checkout in self.checkouts]
        environ = ""
        if self.bakes:
            lines.append(f"# write {self.bake_path}   # devbox image build --print shows it")
            environ = "".join(f"{name}={value} " for name, value in bake.ENVIRON.items())
        return [*lines, *(environ + engine.line(args) for args in self.commands())]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that was built. `id` and `size` (bytes) are None where it is not on the engine, `files` where it is."""

    framework: str
    variant: str
    stage: str
    tags: tuple[str, ...]
    id: str | None = None
    size: int | None = None
    files: str | None = None


@dataclass(frozen=True, slots=True)
class SourceUse:
    """What of a checkout a build could read: how many files of how many bytes, and how many had changed."""

    checkout: str
    files: int
    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What `devbox image build` did. `seconds` is the time of docker's part; `cached` of the `steps` did not run."""

    images: tuple[BuiltImage, ...]
    seconds: float
    steps: int
    cached: int
    compiler_cache: CacheUse | None
    sources: tuple[SourceUse, ...]
    log: str


def plan(engine: Engine, request: BuildRequest, settings: Settings, reporter: Reporter) -> BuildPlan:
    """Return what has to be done for `request`. Base images are pulled or made, unless it is a dry run.

    Raises UsageError for what makes no sense, EngineError for what the builder cannot do, ImageError where a base image
    cannot be had, ContractError where one has the engine fetch something.
    """
    network = network_of(settings, engine.environ)
    environ = dict(network.proxies())
    common = replace(request.common, forwarded=(*request.common.forwarded, *forwarded(network)))
    if request.python:
        common = replace(common, args=(*common.args, (PYTHON, request.python)))
    if request.cache_lines and not request.upstream:
        environ[VARIABLE] = "".join(f"{name}={value}\n" for name, value in request.cache_lines.items())
        common = replace(common, env_secrets=(*common.env_secrets, (SECRET, VARIABLE)))
    if not request.upstream:
        common = replace(common, secrets=(*site_secrets(network), *common.secrets))
    # Before a base image is looked for, which may take minutes.
    if not request.dry_run:
        require(engine, reporter)
        for note in network.note():
            reporter.info(f"note: {note}")
    podman = engine.flavour.podman
    name = request.builder or settings.builder
    which = builder.gather(engine, name) if name or _asks_more(common) else None
    if which is not None:
        builder.check(which, common)
    targets: list[Target] = []
    makers: list[Maker] = []
    files: dict[str, str] = {}
    checkouts: dict[Path, None] = {}
    for wanted in request.wanted:
        maker = Maker(engine, wanted, request, common, settings=settings, network=network, reporter=reporter)
        makers.append(maker)
        made = maker.targets()
        targets += made
        files |= maker.files
        if wanted.checkout is not None and not request.upstream and any(one.reads_source for one in made):
            checkouts[wanted.checkout] = None
    chosen = distinct(targets)
    if request.push:
        names = {one.source: one.target for one in transfer.plan([*_tags(chosen)], request.rewrites)}
        chosen = tuple(
            replace(one, build=replace(one.build, tags=tuple(names[tag] for tag in one.build.tags))) for one in chosen
        )
    if which is not None and not which.own:
        talk = None if request.dry_run else reporter
        chosen = tuple(replace(one, build=handed(engine, one.build, one.bases, talk)) for one in chosen)
    for base in dict.fromkeys(base for one in chosen for base in one.bases):
        config = (engine.images.image(base) or {}).get("Config") or {}
        see_triggers(config.get("OnBuild") or (), " and ".join(_title(one) for one in chosen if base in one.bases))
    notes = tuple(note for maker in makers for note in maker.notes)
    renderings = tuple(maker.rendering for maker in makers if maker.rendering is not None)
    return BuildPlan(chosen, tuple(files.items()), tuple(checkouts), environ, name, notes, renderings, podman)


def _tags(targets: Iterable[Target]) -> Iterator[str]:
    return (tag for one in targets for tag in one.build.tags)


def _asks_more(common: BuildOptions) -> bool:
    """Whether options were given that not every builder knows."""
    return bool(common.cache_to or common.platforms or common.attest or common.outputs)


def carry_out(engine: Engine, todo: BuildPlan, reporter: Reporter) -> BuildResult:
    """Build what `todo` says. Raises ImageError with the failed step's last lines."""
    for path, text in todo.files:
        _write(Path(path), text)
    if todo.bakes:
        _write(todo.bake_path, json.dumps(todo.bake(), indent=2) + "\n")
    copied = []
    for checkout in todo.checkouts:
        with reporter.step(f"Copying what changed of the source of {checkout}"):
            made = sources.mirror(checkout)
        copied.append(SourceUse(str(checkout), made.files, made.size, made.copied))
    secrets = {**todo.environ, **(bake.ENVIRON if todo.bakes else {})}
    reporter.mask.hide(_secret_values(todo, engine.environ))
    uses: list[CacheUse] = []

    def on_line(line: str) -> None:
        if (use := use_of(line)) is not None:
            uses.append(use)

    for one in todo.targets:
        _make_folders(one.build.outputs)
    log = log_path(todo.digest)
    log.unlink(missing_ok=True)
    begun = time.monotonic()
    with reporter.step(f"Building {', '.join(_title(one) for one in todo.targets)}"):
        counts = [
            run_buildx(engine, args, reporter, log=log, environ=secrets, on_line=on_line).built()
            for args in todo.commands()
        ]
    seconds = time.monotonic() - begun
    if VARIABLE in todo.environ and any(use.cache == "ccache" for use in uses):
        reporter.warn(f"sccache could not reach its storage or log in there: compilers used ccache; the log is {log}")
    total, cached = (sum(column) for column in zip(*counts, strict=True))
    return BuildResult(
        tuple(_built(engine, one) for one in todo.targets),
        round(seconds, 1),
        total,
        cached,
        sum(uses[1:], uses[0]) if uses else None,
        tuple(copied),
        str(log),
    )


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


def _make_folders(outputs: Sequence[str]) -> None:
    """Make the folders that files go to: buildx would make them for nobody but the user. It tells what cannot be."""
    for output in outputs:
        words = fields_of(output)
        if words.get("type") == "local" and "dest" in words:
            with contextlib.suppress(OSError):
                Path(words["dest"]).mkdir(parents=True, exist_ok=True)


def _title(one: Target) -> str:
    return one.build.tags[0] if one.build.tags else f"{one.stage} of {one.framework}"


def _secret_values(todo: BuildPlan, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what nobody may see, should a step print it: the storage's credentials, and the secrets of the command."""
    pairs = (line.partition("=") for line in todo.environ.get(VARIABLE, "").splitlines())
    yield from (value for name, _, value in pairs if is_secret_name(name) and value)
    for one in todo.targets:
        yield from (environ[name] for _, name in one.build.env_secrets if environ.get(name))
        for name, path in one.build.secrets:
            if name != CA_SECRET and (text := _text_of(Path(path)).strip()):
                yield text


def _text_of(path: Path) -> str:
    """Return a small text file's text, "" for another."""
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size < _MOST_SECRET else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _built(engine: Engine, one: Target) -> BuiltImage:
    """Return what a target has become. Raises ImageError where an image that had to be loaded is not there."""
    outputs = one.build.outputs
    files = next((dest for words in outputs if (dest := fields_of(words).get("dest"))), None)
    found = engine.image(one.build.tags[0]) if one.build.tags else None
    if found is None and not outputs:
        raise ImageError(
            f"the image {_title(one)} was built, but the engine does not have it",
            hint="devbox image build --load   # or --push",
        )
    return BuiltImage(
        one.framework,
        one.variant,
        one.stage,
        one.build.tags,
        None if found is None else str(found["Id"]),
        None if found is None else int(found.get("Size") or 0),
        files,
    )
