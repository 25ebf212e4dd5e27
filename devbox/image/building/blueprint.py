"""From a framework, a checkout and a machine to what can be built of them: a Dockerfile and what is known for it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devbox import lean
from devbox.agent.jobs import choose as choose_jobs
from devbox.devcontainer.record import text_hash
from devbox.devcontainer.users import resolve as resolve_user
from devbox.engine.spec import BuildOptions
from devbox.errors import UsageError
from devbox.facts import engine as engine_facts
from devbox.facts import gpu as gpu_facts
from devbox.facts import host as host_facts
from devbox.frameworks import stated
from devbox.frameworks.arch import form, resolve
from devbox.frameworks.load import load, variants
from devbox.image.assembly.recipe import CA_SECRET, WHEELS
from devbox.image.assembly.stage_files import EFA, assemble
from devbox.image.base import choose, package
from devbox.image.building import source as sources
from devbox.image.building import upstream
from devbox.image.building.targets import SOURCE, Blueprint, Target, exported, needs, stages_of, target
from devbox.image.buildkit.compiler_cache import SECRET
from devbox.image.dockerfile.stages import mounts
from devbox.image.platforms import architecture
from devbox.image.registry.client import is_loopback
from devbox.paths import cache_dir
from devbox.trust.ask import Answers, agree
from devbox.trust.builds import bound, of_image_build, of_proxies
from devbox.trust.reach import distinct
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.facts.model import Host
    from devbox.frameworks.model import Framework, Pairs
    from devbox.image.registry.transfer import Rewrite
    from devbox.reporter import Reporter
    from devbox.trust.reach import Reach

# The variables of sccache that hold a storage's address: those of Redis and of S3.
_ENDPOINTS = ("SCCACHE_REDIS_ENDPOINT", "SCCACHE_ENDPOINT")
DEFAULT_STAGE = "devel"
_OF_A_DOCKERFILE = re.compile(r"[._-]?Dockerfile[._-]?", re.IGNORECASE)
# A stage of nothing but files.
FILES_STAGE = "dist"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One framework whose stages are built, and the checkout that they are built from, if any."""

    framework: Framework
    checkout: Path | None


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What `devbox image build` was asked for. `common` are the options that buildx takes as they are.

    `push` sends the images to their registry, `rewrites` under other names. `find_links` is a host's folder of wheels.
    `cache_lines` are the variables by which sccache reaches the storage that compilers share, secrets among them.
    `upstream` is for the checkout's own Dockerfile, `file` for this one of its. `cuda` is the release that was asked
    for.
    """

    wanted: tuple[Wanted, ...]
    stages: tuple[str, ...] = ()
    common: BuildOptions = field(default_factory=BuildOptions)
    python: str | None = None
    efa: bool = False
    find_links: Path | None = None
    cache_lines: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    cuda: str | None = None
    upstream: bool = False
    file: Path | None = None
    push: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    trust: bool = False
    builder: str | None = None
    dry_run: bool = False

    @property
    def storage_network(self) -> str | None:
        """The network by which sccache's storage is reached: a loopback address is there on the host's alone."""
        endpoints = (self.cache_lines.get(name, "") for name in _ENDPOINTS)
        hosts = (urlsplit(one if "//" in one else f"//{one}").hostname for one in endpoints)
        return "host" if any(is_loopback(host) for host in hosts if host) else None


def with_cuda(
    name: str, variant: str | None, cuda: str | None, workspace: Path | None = None, *, upstream: bool = False
) -> Framework:
    """Return a framework for a CUDA release: `variant`, or without one the first that is made for the release.

    A variant for another release gets the base image that its compatibility table names, or the package base. Raises
    UsageError with the releases that there are; for its own Dockerfile (`upstream`) the checkout is asked later.
    """
    chosen = load(name, variant, workspace)
    if cuda is None or chosen.cuda == cuda:
        return chosen
    every = variants(name, workspace)
    fitting = next((one for one in every if one.cuda == cuda), None) if variant is None else None
    if fitting is not None:
        return fitting
    if upstream:
        return chosen
    rows = [row for row in chosen.compatibility if row.cuda == cuda and row.base_image]
    if rows:
        return replace(chosen, cuda=cuda, base_image=rows[0].base_image)
    if chosen.package_base == "cuda" and cuda in package.TOOLKITS:
        return replace(chosen, cuda=cuda, base_image=package.reference(cuda))
    known = {one.cuda for one in every} | {row.cuda for one in every for row in one.compatibility if row.base_image}
    known |= set(package.TOOLKITS if chosen.package_base == "cuda" else ())
    raise UsageError(
        f"{name} has no base image for CUDA {cuda}",
        hint=f"one of {', '.join(sorted(release for release in known if release))}; or --base-image IMAGE",
    )


class Maker:
    """Makes the targets of one framework. `files` are the Dockerfiles that have to be written, `notes` what to say.

    `rendering` is, in a dry run, the command by which the checkout would write its Dockerfile first.
    """

    def __init__(
        self,
        engine: Engine,
        wanted: Wanted,
        request: BuildRequest,
        common: BuildOptions,
        *,
        settings: Settings,
        network: Network,
        reporter: Reporter,
    ) -> None:
        self.engine = engine
        self.request = request
        self.settings = settings
        self.network = network
        self.reporter = reporter
        self.framework = choose.pinned(wanted.framework, wanted.checkout, request.cuda)
        self.pins = stated.pins(wanted.framework, wanted.checkout)
        self.checkout = wanted.checkout
        self.common = common
        self.files: dict[str, str] = {}
        self.notes: list[str] = []
        self.rendering: str | None = None
        self.facts = engine_facts.gather(engine)
        self.host = host_facts.gather()
        self.revision = None if wanted.checkout is None else sources.revision(wanted.checkout, self.framework)

    def targets(self) -> list[Target]:
        """Return what is built of this framework."""
        stages = self.request.stages or (DEFAULT_STAGE,)
        if self.request.file is not None:
            return [self._target_of(self._of_file(self.request.file, stage)) for stage in self.request.stages or ("",)]
        if self.request.upstream:
            return [self._target_of(self._upstream(stage)) for stage in stages]
        blueprint = self._own()
        made = [self._target(blueprint, stage) for stage in stages]
        if self.checkout is None and (reading := next((one for one in made if one.reads_source), None)):
            raise UsageError(
                f"{reading.stage} is built from the source, and no checkout of {self.framework.name} was named",
                hint=f"--workspace PATH, or --framework {self.framework.name}=PATH",
            )
        self._see_reach(made)
        settled = self._settled(blueprint, made)
        made = [self._target(self._on_efa(settled, one), one.stage) for one in made]
        self._look_at_secrets(blueprint, made)
        return made

    def _target_of(self, blueprint: Blueprint) -> Target:
        """Return the build of a Dockerfile of the checkout: the stage that its blueprint is for."""
        made = self._target(blueprint, next(iter(blueprint.names or ())))
        self._see_reach([made])
        self._look_at_secrets(blueprint, [made])
        return made

    def _see_reach(self, made: list[Target]) -> None:
        """See that the person agreed to what the checkout gives the builds, before anything of them runs.

        What is settled later are arguments alone, which reach nothing.
        """
        checkout = self.checkout
        if checkout is None:
            return
        links = () if self.request.find_links is None else (self.request.find_links,)
        own = {os.path.realpath(path) for path in (*self.files, *links, sources.folder_of(checkout))}
        own |= {os.path.dirname(os.path.realpath(path)) for path in self.files}  # noqa: PTH120
        common = self.common
        given = replace(common, network=common.network or self.request.storage_network)
        found = [reach for one in made for reach in of_image_build(one.build, checkout, given=given, own=own)]
        if self.request.upstream or any(one.reads_source for one in made):
            found += of_proxies(self.network.proxies())
        more = [(one.build.args, one.build.target) for one in made]
        self._agree(bound(found, checkout, [one.build.dockerfile for one in made], more))

    def _agree(self, reach: Iterable[Reach]) -> None:
        request, checkout = self.request, self.checkout
        if checkout is not None:
            answers = Answers(request.trust, dry_run=request.dry_run, command="devbox image build")
            self._note(*agree(checkout, checkout, distinct(reach), answers, self.reporter))

    def _target(self, blueprint: Blueprint, stage: str) -> Target:
        made = target(blueprint, stage, self.common, storage_network=self.request.storage_network)
        if stage == FILES_STAGE and not made.build.outputs and self.checkout is not None:
            return exported(made, str(self.checkout / sources.OUTPUT))
        return made

    def _own(self) -> Blueprint:
        """Return devbox's own Dockerfile of the framework, with everything but the base images, which may cost time."""
        framework, checkout = self.framework, self.checkout
        self._note(*(f"{one.name} is {one.value}: {one.place}" for one in self.pins))
        text = assemble(framework, images=True, efa=self.request.efa)
        folder = cache_dir() / "dockerfiles" / text_hash(text)[:16]
        file = str(folder / "Dockerfile")
        self.files[file] = text
        contexts = [
            (part.name, str(folder_there))
            for part in framework.contexts
            if checkout is not None and (folder_there := part.folder(checkout)) is not None
        ]
        if checkout is not None:
            contexts.append((SOURCE, str(sources.folder_of(checkout))))
        if self.request.find_links is not None:
            contexts.append((WHEELS, str(self.request.find_links)))
        return Blueprint(framework, text, file, str(folder), self._values(), tuple(contexts), self.revision)

    def _settled(self, blueprint: Blueprint, made: list[Target]) -> Blueprint:
        """Return `blueprint` on base images that can be had. Only those that a target starts from are looked for."""
        framework, request = self.framework, self.request
        needed = {name for one in made for name in one.base_args}
        values = dict(blueprint.values)
        given = dict(self.common.args)
        if "BASE_IMAGE" in needed and "BASE_IMAGE" not in given:
            values["BASE_IMAGE"] = choose.decide(
                self.engine,
                framework,
                self.settings.base_image,
                network=self.network,
                reporter=self.reporter,
                pull=self.common.pull,
                dry_run=request.dry_run,
            )
        if "RUNTIME_IMAGE" in needed and "RUNTIME_IMAGE" not in given and framework.runtime_image is not None:
            values["RUNTIME_IMAGE"] = self._runtime(values["BASE_IMAGE"])
        return replace(blueprint, values=tuple(values.items()))

    def _on_efa(self, blueprint: Blueprint, one: Target) -> Blueprint:
        """Return `blueprint` with the stage efa under the image of `one`, where that was asked for."""
        if not self.request.efa:
            return blueprint
        values, given = dict(blueprint.values), dict(self.common.args)
        name = next(iter(one.own_base & {"BASE_IMAGE", "RUNTIME_IMAGE"}), None)
        if name is None:
            raise UsageError(f"{one.stage} holds files alone: there is nothing to put EFA into", hint="leave --efa out")
        values["EFA_BASE"] = given.get(name) or values[name]
        values[name] = EFA
        return replace(blueprint, values=tuple(values.items()))

    def _runtime(self, chosen: str) -> str:
        """Return what the release starts from. The image that nobody could pull as a base is not asked for again."""
        framework = self.framework
        if framework.runtime_image == framework.base_image and framework.package_base == "cpu":
            return chosen
        found = choose.choose_runtime(
            self.engine, framework, network=self.network, reporter=self.reporter, dry_run=self.request.dry_run
        )
        return found or framework.base_image

    def _values(self) -> Pairs:
        """Return the arguments that devbox knows a value for, those of the framework last: they are its own."""
        framework = self.framework
        revision = self.revision or sources.Revision()
        user = resolve_user(self.settings.user, self.host.user, self.facts)
        known = {
            "BASE_IMAGE": framework.base_image,
            "RUNTIME_IMAGE": framework.runtime_image,
            "CUDA_ARCHS": self._arch(),
            # Without it a stage takes what CPUs and memory allow. A number would make each machine's layers its own.
            "MAX_JOBS": self.settings.text("jobs"),
            "MEMORY_PER_JOB": str(framework.build.memory_per_job),
            "NVCC_THREADS": str(framework.build.nvcc_threads),
            "SOURCE_VERSION": revision.version,
            "SOURCE_COMMIT": revision.commit,
            "DEV_UID": str(user.uid),
            "DEV_GID": str(user.gid),
            "DEV_NAME": user.name,
            "DEV_HOME": user.home,
            "DEV_CACHES": " ".join(framework.caches),
            **dict(framework.args),
        }
        return tuple((name, value) for name, value in known.items() if value is not None)

    def _arch(self) -> str:
        """Return the architectures as the framework's build system takes them, and note where they come from."""
        framework = self.framework
        arch = resolve(framework, self.settings.arch, gpu_facts.gather(self.engine, self.facts))
        if arch.capabilities:
            self._note(f"architectures: {', '.join(arch.capabilities)} ({arch.origin})")
        return form(arch, framework.build.arch_form)

    def _upstream(self, stage: str) -> Blueprint:
        """Return the framework's own Dockerfile for a stage, rendered first where it has to be, in its own folder."""
        framework, request, checkout = self.framework, self.request, self._checkout_for("--upstream")
        rules = upstream.rules(framework)
        revision = self.revision or sources.Revision()
        rendered = upstream.renders(rules, checkout)
        if request.cuda is not None and rules.cuda is None and not rendered:
            raise UsageError("its own Dockerfile is told of no CUDA release", hint="leave --upstream or --cuda out")
        known = {
            **dict(rules.values),
            "arch": self._arch(),
            "cuda": stated.release(framework, checkout, request.cuda),
            "python": request.python or "",
            "jobs": str(self.settings.jobs or jobs(framework, self.host)),
            "threads": str(framework.build.nvcc_threads),
            "version": revision.version or "",
            "commit": revision.commit or "",
            "variant": framework.variant,
            "machine": architecture(),
            "platform": ",".join(self.common.platforms) or f"linux/{architecture()}",
        }
        # A variant that says its own target inherits the stages of the framework, the one for development among them.
        named = replace(rules, stages=tuple({**dict(rules.stages), DEFAULT_STAGE: rules.target or ""}.items()))
        told = stated.told(named, stage, known, checkout, cuda=request.cuda)
        self._note(*told.notes(rules))
        if request.push and told.staging is not None and not request.rewrites and rules.make is not None:
            said = f'push_rewrite = ["{rules.make.rewrite}"]'
            self._note(
                f"{told.staging.place} has make push to a staging repository, and this pushes no such name: {said}"
            )
        known["stage"] = told.stage or ""
        # What is rendered for a stage ends with it, but for some.
        inner = dict(rules.within).get(known["stage"]) if rendered else told.stage
        argv = upstream.command(rules, known, checkout, efa=request.efa)
        if request.cache_lines:
            shared = upstream.cached(rules, request.cache_lines, self.engine.environ)
            self._note(*shared.notes)
            self.common = replace(
                self.common,
                args=(*shared.args, *self.common.args),
                secrets=(*self.common.secrets, *shared.files),
                env_secrets=(*self.common.env_secrets, *shared.secrets),
            )
        if argv and len(request.stages) > 1:
            raise UsageError("this checkout renders one stage at a time", hint=f"devbox image build --upstream {stage}")
        if argv:
            self._agree([upstream.reach(argv, rules, checkout)])
        if argv and request.dry_run:
            self.rendering = shlex.join(["env", "-C", str(checkout), *argv])
            # What is there may be of another stage, or of nobody's doing yet.
            file = checkout / rules.dockerfile[0]
            taken = (*dict(told.args), *dict(self.common.args), *self.common.forwarded)
            text = upstream.foreseen(inner or "", taken)
        else:
            if argv:
                upstream.render(argv, checkout, self.reporter)
            file = upstream.dockerfile(rules, checkout)
            text = lean.text(file, errors="replace")
        blueprint = Blueprint(framework, text, str(file), str(checkout), told.args, (), self.revision)
        if argv and request.dry_run:
            return replace(blueprint, names={stage: inner})
        there = stages_of(blueprint, self.common)
        inner = next((one for one in (inner or "").split() if there.find(one) is not None), inner)
        if request.efa and rules.efa_stage is not None and rules.efa_stage not in needs(there, inner):
            raise UsageError(f"its own Dockerfile puts no EFA into {stage}", hint="leave --efa out, or another stage")
        return replace(blueprint, names={stage: inner})

    def _of_file(self, file: Path, stage: str) -> Blueprint:
        """Return a Dockerfile of the checkout as it is, for one of its stages or ("") the last one."""
        checkout, request = self._checkout_for("--file"), self.request
        if request.efa or request.cuda or request.cache_lines:
            raise UsageError("--file builds a Dockerfile as it is", hint="--arg NAME=VALUE is what it can be told")
        try:
            text = lean.text(file)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read: {error}", hint=f"ls -l {shlex.quote(str(file))}") from None
        if not file.resolve().is_relative_to(checkout.resolve()):
            raise UsageError(f"{file} is outside of {checkout}, which it would be built from", hint="-w CHECKOUT")
        # `npu.Dockerfile`, `Dockerfile.rocm_base`, `contrib/Dockerfile`
        own = _OF_A_DOCKERFILE.sub("", file.name) or file.resolve().parent.name
        names = {"-".join(filter(None, (own, stage))): stage or None}
        return Blueprint(self.framework, text, str(file), str(checkout), (), (), self.revision, names)

    def _checkout_for(self, flag: str) -> Path:
        if self.checkout is None:
            raise UsageError(
                f"{flag} needs a checkout of {self.framework.name}", hint="devbox image build --workspace PATH"
            )
        return self.checkout

    def _note(self, *notes: str) -> None:
        """Note what is not noted yet: stages have much in common."""
        self.notes += [note for note in notes if note not in self.notes]

    def _look_at_secrets(self, blueprint: Blueprint, made: list[Target]) -> None:
        """Note each secret that no step reads: a slip of the pen there fails an hour later, or not at all."""
        if self.rendering is not None:
            return
        stages = stages_of(blueprint, self.common)
        read = {
            mount.get("id") or (mount.get("target") or mount.get("dst") or "").rpartition("/")[2]
            for one in made
            for stage in stages.needed(None if one.build.target is None else stages.find(one.build.target))
            for instruction in stage.instructions
            for mount in mounts(instruction)
            if mount["type"] == "secret"
        }
        for name, _ in (*self.common.secrets, *self.common.env_secrets):
            if name not in read and name != CA_SECRET:
                what = "the shared compiler cache" if name == SECRET else f"the secret {name}"
                self.notes.append(f"{what} is read by no step of {', '.join(one.stage for one in made)}")


def jobs(framework: Framework, host: Host) -> int:
    """Return how many compilers this machine can run at once, for a Dockerfile that has to be told."""
    return choose_jobs(host.cpus, host.cpu_quota, host.memory_total, framework.build.memory_per_job).number
