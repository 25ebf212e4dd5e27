"""`devbox image run`."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, NameOption, WorkspaceOption, examples, in_panels
from devbox.errors import EngineError, UsageError

Words = list[str] | None
Word = str | None


class RunCommand(TyperCommand):
    """A command whose words after `--` are never the image, which may be left out before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments up to `--`, and add the rest to the command."""
        end = args.index("--") if "--" in args else len(args)
        left = super().parse_args(ctx, args[:end])
        if args[end + 1 :]:
            ctx.params["command"] = [*(ctx.params["command"] or ()), *args[end + 1 :]]
        return left


app = typer.Typer()


@app.command(cls=RunCommand)
@in_panels(
    {
        "The image": "framework variant pull",
        "The container": "gpus port env volume user name with_checkout network shm entrypoint detach keep",
    }
)
@examples(
    {
        "devbox image run": "The framework's release.",
        "devbox image run team/vllm:1 -- nvidia-smi": "A program in another image.",
    }
)
@from_settings("framework", "variant", "gpus")
def run(
    context: typer.Context,
    image: Annotated[
        Word, typer.Argument(metavar="[IMAGE|STAGE]", help="What to run.", show_default="the framework's release")
    ] = None,
    command: Annotated[Words, typer.Argument(metavar="[-- COMMAND]…", help="In place of the image's own.")] = None,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    name: NameOption = None,
    user: Annotated[
        Word, typer.Option("--user", metavar="USER|UID[:GID]", help="Who it runs as.", show_default="the image's")
    ] = None,
    port: Annotated[
        Words,
        typer.Option(
            "--port",
            "-p",
            metavar="[[ADDRESS:]OUTER:]INNER|none",
            help="A port to publish, on this machine alone unless an address is named.",
            show_default="the framework's",
        ),
    ] = None,
    shm: Annotated[
        Word, typer.Option("--shm", metavar="SIZE", help="The size of /dev/shm, in place of the host's ipc.")
    ] = None,
    network: Annotated[Word, typer.Option("--network", metavar="NAME", help="The network, such as host.")] = None,
    entrypoint: Annotated[Word, typer.Option("--entrypoint", metavar="PROGRAM", help="The program.")] = None,
    env: Annotated[
        Words, typer.Option("--env", "-e", metavar="NAME[=VALUE]", help="A variable; by its name for a secret.")
    ] = None,
    volume: Annotated[
        Words, typer.Option("--volume", "-v", metavar="SOURCE:TARGET[:ro]", help="A further mount.")
    ] = None,
    with_checkout: Annotated[
        bool, typer.Option("--with-checkout", help="Mount the checkout at /mnt/NAME: beside the installed package.")
    ] = False,
    pull: Annotated[bool, typer.Option("--pull", envvar="DOCKER_PULL", help="Look for a newer image first.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running, and print its name.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the container when it ends.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Run an image that is no dev container, such as a release, with the framework's limits, ports and caches."""
    from devbox.config.network import network_of
    from devbox.container.inside import supervise
    from devbox.oneshot import image_run, launch

    run_ = application(context)
    folder = workspace(path)
    settings = run_.settings(folder, flags)
    chosen = image_run.choose(run_.engine, folder, settings, image, run_.console, pull=pull, dry_run=dry_run)
    called = name or f"devbox-image-{supervise.new_token()[:8]}"
    request = image_run.RunRequest(
        image=chosen.image,
        framework=chosen.framework,
        command=tuple(command or ()),
        name=called,
        gpus=flags.get("gpus"),
        user=user,
        ports=tuple(port or ()),
        shm=shm,
        network=network,
        entrypoint=entrypoint,
        env=tuple(env or ()),
        volumes=tuple(volume or ()),
        checkout=folder if with_checkout else None,
        uid=os.getuid(),
    )
    todo = image_run.plan(run_.engine, request, chosen.found, network_of(settings, run_.environ))
    given = launch.flags(detach=detach, keep=keep)
    if dry_run:
        pulls = [run_.engine.line(args) for args in chosen.pulls(newer=pull)]
        run_.show_commands([*pulls, *todo.lines(run_.engine, given)])
        return
    launch.prepare(run_.engine, todo, run_.console)
    if not detach:
        if run_.json:
            raise UsageError("--json goes with --detach or --dry-run: stdout is the container's", hint="--detach")
        run_.console.close()
        raise typer.Exit(launch.attached(run_.engine, todo, given, called, run_.console))
    started = launch.detached(run_.engine, todo, given, called, run_.console)
    if not started.ok:
        raise EngineError(
            f"the container {called} could not be started",
            hint=f"docker rm --force {called}",
            detail=started.stderr.strip(),
        )
    published = [one.rpartition(":")[0] for one in todo.spec.publish]
    for one in published:
        run_.console.info(f"port: {one}")
    run_.console.info(f"next: docker logs --follow {called}; docker stop {called}")
    run_.show({"name": called, "id": started.stdout.strip(), "ports": published}, lambda: called)
