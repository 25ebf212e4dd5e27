"""`devbox image build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devbox.cli.application import Application, application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import (
    BuilderOption,
    CacheFromOption,
    CacheToOption,
    DryRunOption,
    NoStepCacheOption,
    OutputOption,
    TrustOption,
    WorkspaceOption,
    examples,
    in_panels,
)
from devbox.errors import UsageError
from devbox.ui.console import BOLD, counted, seconds, size

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.image.building.blueprint import Wanted
    from devbox.image.building.make import BuildPlan, BuildResult
    from devbox.ui.console import Console

Words = list[str] | None
Word = str | None

app = typer.Typer()


@app.command()
@examples(
    {
        "devbox image build": "The image that dev containers start from.",
        "devbox image build release --tag team/vllm:1 --push": "A release, pushed.",
        "devbox image build --upstream --dry-run": "See how the checkout's own Dockerfile would be built.",
    }
)
@in_panels(
    {
        "The image": "framework variant arch user cuda python base_image efa upstream file tag",
        "Its build": "jobs pull no_cache arg build_context secret ssh find_links network shm_size builder progress",
        "Caches": "cache_from cache_to sccache",
        "The result": "push load output target_platform push_rewrite no_rewrite sbom provenance",
        "What is told": "dry_run print_ json",
    }
)
@from_settings("variant", "base_image", "arch", "jobs", "user", "find_links", "push_rewrite")
def build(
    context: typer.Context,
    stages: Annotated[
        Words, typer.Argument(metavar="[STAGE]…", help="The stages to build.", show_default="devel")
    ] = None,
    path: WorkspaceOption = None,
    framework: Annotated[
        Words,
        typer.Option(
            "--framework",
            "-f",
            metavar="NAME[/VARIANT][=CHECKOUT]",
            help="The framework; without it, detected from the checkout. May be repeated.",
        ),
    ] = None,
    *,
    flags: Flags,
    cuda: Annotated[Word, typer.Option("--cuda", metavar="VERSION", help="The CUDA release to build on.")] = None,
    python: Annotated[Word, typer.Option("--python", metavar="VERSION", help="The Python release.")] = None,
    tag: Annotated[
        Words,
        typer.Option(
            "--tag",
            "-t",
            metavar="NAME",
            envvar="IMAGE_WITH_TAG",
            help="The image's name; {stage} {variant} {version} {commit} {short} {framework} are filled in.",
            show_default="devbox-FRAMEWORK:VARIANT-STAGE",
        ),
    ] = None,
    arg: Annotated[Words, typer.Option("--arg", metavar="NAME[=VALUE]", help="A build argument of the stages.")] = None,
    build_context: Annotated[
        Words,
        typer.Option("--context", metavar="NAME=PLACE", help="A folder or docker-image://… in place of a stage."),
    ] = None,
    target_platform: Annotated[
        Words, typer.Option("--target-platform", metavar="linux/amd64,…", help="The platforms to build for.")
    ] = None,
    cache_from: CacheFromOption = None,
    cache_to: CacheToOption = None,
    no_cache: NoStepCacheOption = False,
    pull: Annotated[bool, typer.Option("--pull", help="Look for newer base images.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Push what is built.")] = False,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Push under the name as it is.")] = False,
    load: Annotated[
        bool, typer.Option("--load", help="Load what is built into the engine, as is done without --push.")
    ] = False,
    output: OutputOption = None,
    network: Annotated[
        Literal["default", "host", "none"] | None,
        typer.Option("--network", help="The network of all steps.", show_default="default"),
    ] = None,
    shm_size: Annotated[
        Word, typer.Option("--shm-size", metavar="SIZE", help="The size of /dev/shm in a step, such as 4g.")
    ] = None,
    secret: Annotated[
        Words, typer.Option("--secret", metavar="id=NAME,src=FILE|env=VAR", help="A secret that steps may read.")
    ] = None,
    ssh: Annotated[Words, typer.Option("--ssh", metavar="default|ID=SOCKET", help="An ssh agent for steps.")] = None,
    sbom: Annotated[bool, typer.Option("--sbom", help="Attach a list of what is inside.")] = False,
    provenance: Annotated[
        Word, typer.Option("--provenance", metavar="true|mode=max|false", help="Attach how it was built.")
    ] = None,
    builder: BuilderOption = None,
    progress: Annotated[
        Literal["auto", "plain", "tty", "quiet"] | None,
        typer.Option("--progress", help="What is shown: the newest line on a terminal, every line, nothing."),
    ] = None,
    efa: Annotated[bool, typer.Option("--efa", help="With AWS's Elastic Fabric Adapter.")] = False,
    sccache: Annotated[
        Word, typer.Option("--sccache", metavar="redis://…|s3://…", help="The storage that compilers share.")
    ] = None,
    upstream: Annotated[
        bool, typer.Option("--upstream", help="Build the checkout's own Dockerfile, with its own arguments.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="Build this Dockerfile of the checkout as it is.")
    ] = None,
    trust: TrustOption = False,
    dry_run: DryRunOption = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the builds as a bake file, and build nothing.")
    ] = False,
) -> None:
    """Build stages of a framework's image: devel, wheel, release and the like; several at once by bake."""
    from devbox.builds.caches.storage import of_image_build
    from devbox.container.contract.choices import wheels
    from devbox.engine.spec import BuildOptions
    from devbox.image.building import options
    from devbox.image.building.blueprint import BuildRequest
    from devbox.image.building.make import carry_out, plan
    from devbox.image.registry import transfer
    from devbox.masking import is_secret_name

    run = application(context)
    _quieten(run.console, progress)
    folder = workspace(path)
    if push and load:
        raise UsageError("--push and --load cannot go together", hint="devbox image push   # pushes what is loaded")
    settings = run.settings(folder, flags, trust=trust, dry_run=dry_run or print_)
    rules = settings.push_rewrite if push and not no_rewrite else ()
    if rules:
        run.see_settings(settings, folder, ("push_rewrite",), trust=trust, dry_run=dry_run or print_)
    args, forwarded = options.arguments(arg or ())
    files, variables = options.secrets(secret or (), run.environ)
    cache = of_image_build(sccache, run.environ) if sccache else {}
    run.console.mask.hide([value for name, value in cache.items() if is_secret_name(name)])
    request = BuildRequest(
        wanted=_wanted(run, folder, framework or [], settings, cuda, upstream=upstream, file=file),
        stages=tuple(stages or ()),
        common=BuildOptions(
            tags=tuple(tag or ()),
            args=args,
            forwarded=forwarded,
            contexts=options.contexts(build_context or ()),
            secrets=files,
            env_secrets=variables,
            ssh=tuple(ssh or ()),
            cache_from=tuple(cache_from or ()),
            cache_to=tuple(cache_to or ()),
            platforms=options.platforms(target_platform or ()),
            attest=options.attestations(sbom=sbom, provenance=provenance),
            outputs=(*(("type=registry",) if push else ()), *map(options.output, output or ())),
            network=network,
            shm_size=options.shm_size(shm_size) if shm_size is not None else None,
            pull=pull,
            no_cache=no_cache,
        ),
        python=options.python_release(python) if python else None,
        efa=efa,
        find_links=wheels(settings),
        cache_lines=cache,
        cuda=cuda,
        upstream=upstream or file is not None,
        file=None if file is None else Path.cwd() / file,
        push=push,
        rewrites=tuple(map(transfer.rewrite, rules)),
        trust=trust,
        builder=builder,
        dry_run=dry_run or print_,
    )
    todo = plan(run.engine, request, settings, run.console)
    if dry_run or print_:
        _show_plan(run, todo, bake=print_)
        return
    for note in todo.notes:
        run.console.info(f"note: {note}")
    result = carry_out(run.engine, todo, run.console)
    run.show(result, lambda: _text(result, run.console))


def _quieten(console: Console, progress: str | None) -> None:
    console.verbose = console.verbose or progress == "plain"
    console.quiet = console.quiet or progress == "quiet"


def _wanted(
    run: Application,
    folder: Path,
    named: list[str],
    settings: Settings,
    cuda: str | None,
    *,
    upstream: bool,
    file: Path | None,
) -> tuple[Wanted, ...]:
    """Return the frameworks to build, each with its checkout: the one that is named with it, or the workspace."""
    from devbox.container import which
    from devbox.frameworks.detect import fits
    from devbox.image.building import options
    from devbox.image.building.blueprint import Wanted, with_cuda

    if not named:
        one = which.framework(folder, settings.framework, run.console)
        if one.why is not None:
            run.console.info(f"note: {one.told}")
        return (Wanted(with_cuda(one.name, settings.variant or one.variant, cuda, folder, upstream=upstream), folder),)
    found = []
    for chosen in (options.framework(text) for text in named):
        checkout = chosen.checkout
        if checkout is None and (file is not None or fits(folder, chosen.name)):
            checkout = folder
        variant = chosen.variant or settings.variant
        found.append(Wanted(with_cuda(chosen.name, variant, cuda, folder, upstream=upstream), checkout))
    return tuple(found)


def _show_plan(run: Application, todo: BuildPlan, *, bake: bool) -> None:
    """Print what would be built: the commands, or the bake file."""
    for note in todo.notes:
        run.console.info(f"note: {note}")
    data = {"bake": todo.bake(), "commands": todo.lines(run.engine)}

    def text() -> str:
        import json

        return json.dumps(todo.bake(), indent=2) if bake else "\n".join(todo.lines(run.engine))

    run.show(data, text)


def _text(result: BuildResult, console: Console) -> str:
    """Say how it went, and return the images' names: what a script goes on with."""
    cached = f", {result.cached} of them cached" if result.cached else ""
    console.info(f"{counted(result.steps, 'step')}{cached}, {seconds(result.seconds)}; the log is {result.log}")
    for use in result.sources:
        read = f"{counted(use.files, 'file')}, {size(use.size)}, {use.changed} of them new or changed"
        console.info(f"source of {use.checkout}: {read}")
    cache = result.compiler_cache
    if cache is not None:
        total = cache.hits + cache.misses
        share = f" ({100 * cache.hits // total} %)" if total else ""
        console.info(f"compiler cache ({cache.cache}): {cache.hits} of {counted(total, 'compile')} answered{share}")
    for image in result.images:
        what = f", {size(image.size)}" if image.size is not None else ""
        where = image.files or ", ".join(image.tags)
        console.info(f"{console.paint(where, BOLD)}: {image.stage} of {image.framework} ({image.variant}){what}")
    return "\n".join(image.files or image.tags[0] for image in result.images if image.files or image.tags)
