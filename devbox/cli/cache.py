"""`devbox cache`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, application, named
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import UnaskedOption, WorkspaceOption, examples

if TYPE_CHECKING:
    from devbox.builds.caches.choose import CacheStats, CompilerCache
    from devbox.builds.caches.explain import Explanation
    from devbox.container.target import Target

app = typer.Typer(name="cache", no_args_is_help=True)


@app.command()
@examples({"devbox cache stats": "What it holds, and its hit rates."})
@from_settings("compiler_cache")
def stats(
    context: typer.Context,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """Show what the cache holds, and how many compiles it answered."""
    from devbox.builds.caches import choose

    run = application(context)
    cache, inside = _cache(run, path, flags)
    found = choose.stats(cache, inside, run.engine)
    run.show(found, lambda: _stats(found))


@app.command()
@examples({"devbox cache clear": "Empty it, after a question."})
@from_settings("compiler_cache")
def clear(
    context: typer.Context,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    yes: UnaskedOption = False,
) -> None:
    """Remove what the cache holds, after saying what that is. A storage that machines share is left alone."""
    from devbox.builds.caches import choose
    from devbox.errors import CancelledError, RefusedError
    from devbox.ui.console import size

    run = application(context)
    run.console.yes = yes
    cache, inside = _cache(run, path, flags)
    found = choose.stats(cache, inside, run.engine)
    run.console.info(f"{found.kind} in {found.folder}: {size(found.size)}, used by every workspace that mounts it")
    if found.remote:
        run.console.info(f"what {found.remote} holds stays")
    answer = run.console.confirm("Remove all of it?")
    if answer is None:
        raise RefusedError("nothing was removed: nobody could be asked", hint="devbox cache clear --yes")
    if not answer:
        raise CancelledError("nothing was removed")
    removed = choose.clear(cache, inside, run.engine)
    run.show({"folder": found.folder, "removed": removed}, lambda: f"removed {size(removed)}")


@app.command()
@examples({"devbox cache doctor": "Look at how it is set up."})
@from_settings("compiler_cache")
def doctor(
    context: typer.Context,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """Find what is wrong with how the cache is set up: owner, settings, space, clock, server."""
    from devbox.builds.caches.doctor import findings
    from devbox.errors import EXIT_FAILURE
    from devbox.ui.findings import shown

    run = application(context)
    cache, inside = _cache(run, path, flags)
    found = findings(cache, inside, run.engine)
    run.show(found, lambda: shown(found, run.console))
    if any(one.severity == "error" for one in found):
        raise typer.Exit(EXIT_FAILURE)


@app.command()
@examples({"devbox cache explain src/attention.cu": "Why that source was compiled and not found."})
@from_settings("compiler_cache")
def explain(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A source of the checkout that the build compiles.")],
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    log: Annotated[bool, typer.Option("--log", help="Print ccache's log of the compile, too.")] = False,
) -> None:
    """Say why a source comes from the cache or not. It is compiled once more, into nowhere."""
    from devbox.builds.caches import explain

    run = application(context)
    cache, inside = _cache(run, path, flags)
    with run.console.step(f"compiling {file.name} behind {cache.kind}"):
        found = explain.explain(cache, inside, run.engine, Path.cwd() / file)
    run.show(found, lambda: _explanation(found, log=log))


def _cache(run: Application, path: Path | None, flags: Flags) -> tuple[CompilerCache, Target]:
    """Return the cache that the settings choose, and the container that is asked about it."""
    from devbox.builds.caches import choose
    from devbox.container.inside.find import running_container
    from devbox.errors import UsageError

    inside = running_container(run.engine, named(path))
    settings = run.settings(inside.workspace, flags)
    cache = choose.compiler_cache(settings, run.environ)
    if cache.kind == "none":
        origin = settings.origin("compiler_cache")
        raise UsageError(f"compiler_cache is none in {origin}", hint="devbox cache stats --compiler-cache ccache")
    run.console.mask.hide(cache.secrets())
    return cache, inside


def _stats(found: CacheStats) -> str:
    from devbox.builds.caches.choose import hit_rate
    from devbox.ui.console import size
    from devbox.ui.tables import table

    limit = f" of {size(found.limit)}" if found.limit else ""
    lines = [
        f"{found.kind} in {found.folder}: {size(found.size)}{limit}",
        f"{found.hits} hits, {found.misses} misses {found.since}: {hit_rate(found.hits, found.misses)}",
    ]
    if found.remote:
        lines.append(f"shared storage {found.remote}: {found.remote_hits} hits, {found.errors} errors")
    rows = [(name, str(hits), str(misses), hit_rate(hits, misses)) for name, (hits, misses) in found.languages.items()]
    if rows:
        title = "in the last builds" if found.kind == "ccache" else "language"
        lines += ["", table((title, "hits", "misses", "rate"), rows)]
    return "\n".join(lines)


def _explanation(found: Explanation, *, log: bool) -> str:
    lines = [f"{found.source}: {found.why}"]
    if found.last:
        lines.append(f"in the last build of {found.tree}: {found.last}")
    return "\n".join([*lines, *(found.log if log else ())])
