"""`devbox image run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from devbox.cli.application import Application, application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, JsonOption, NameOption, WorkspaceOption
from devbox.errors import EngineError, UsageError

if TYPE_CHECKING:
    from devbox.config import Settings
    from devbox.frameworks.model import Framework
    from devbox.oneshot.image_run import RunPlan

JSON = dict[str, Any]
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
    json: JsonOption = False,
) -> None:
    """Run an image that is no dev container, such as a release, with the framework's limits, ports and caches."""
    from devbox.config.network import network_of
    from devbox.container.inside import supervise
    from devbox.oneshot import image_run

    run_ = application(context)
    folder = workspace(path)
    settings = run_.settings(folder, flags)
    chosen, reference, stage = _resolve(run_, folder, settings, image)
    found = run_.engine.image(reference) if dry_run else None
    if found is None or not dry_run:
        found = {} if dry_run else image_run.have(run_.engine, reference, run_.console, pull=pull, stage=stage)
    if chosen is None:
        chosen = _made_for(run_, folder, settings, found)
    called = name or f"devbox-image-{supervise.new_token()[:8]}"
    request = image_run.RunRequest(
        image=reference,
        framework=chosen,
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
    todo = image_run.plan(run_.engine, request, found, network_of(settings, run_.environ))
    given = ([] if keep else ["--rm"]) + _attached(detach=detach)
    if dry_run:
        first = [["pull", reference]] if stage is None and (pull or not found) else []
        first += [todo.preparation()] if todo.owned else []
        run_.show_commands([run_.engine.line(args) for args in (*first, todo.args(*given))])
        return
    _start(run_, todo, given, called, detach=detach)


def _resolve(
    run: Application, folder: Path, settings: Settings, image: str | None
) -> tuple[Framework | None, str, str | None]:
    """Return the framework, the image's name, and the stage that it is of where the name is devbox's own.

    A word without a colon and a slash is a stage, unless an image is called so: then the framework is the one that was
    asked for, else None, because the image itself may tell.
    """
    from devbox.container.which import framework_for
    from devbox.image import names
    from devbox.image.assembly.stage_files import assemble
    from devbox.image.building.targets import known_stage

    named = image is not None and (":" in image or "/" in image or run.engine.image(image) is not None)
    if named and image is not None:
        asked = settings.asked("framework")
        return framework_for(folder, settings, run.console) if asked else None, image, None
    chosen = framework_for(folder, settings, run.console)
    stage = image or chosen.run.stage
    known_stage(chosen, assemble(chosen, images=True), stage)
    return chosen, names.reference(chosen, stage), stage


def _made_for(run: Application, folder: Path, settings: Settings, found: JSON) -> Framework | None:
    """Return the framework of an image that was named: that of its label, else that of the checkout, which is said.

    None where the label is of a framework that is not known here, and where the checkout is of none, or in doubt.
    """
    from devbox.container import which
    from devbox.errors import DevboxError
    from devbox.frameworks.load import load
    from devbox.image import names

    made = names.made_from(found)
    if made is not None:
        try:
            return load(made[0], made[1], folder)
        except DevboxError:
            return None
    seen = which.frameworks(folder, settings.framework)
    if len(seen) != 1:
        return None
    why = seen[0].why or f"{settings.origin('framework')} says so"
    run.console.info(f"note: with the ports, caches and limits of {seen[0].name}, because {why}")
    return load(seen[0].name, settings.variant or seen[0].variant, folder)


def _attached(*, detach: bool) -> list[str]:
    if detach:
        return ["--detach"]
    return ["--interactive", *(["--tty"] if os.isatty(0) and os.isatty(1) else [])]


def _start(run: Application, todo: RunPlan, flags: list[str], name: str, *, detach: bool) -> None:
    """Start the container: left running, or on this process's streams, with its exit code."""
    from devbox.oneshot import launch

    for note in todo.notes:
        run.console.info(f"note: {note}")
    if todo.owned:
        done = run.engine.run(todo.preparation(), check=False)
        if not done.ok:
            run.console.warn(f"the caches may not be the container's to write: {done.stderr.strip()}")
    if not detach:
        if run.json:
            raise UsageError("--json goes with --detach or --dry-run: stdout is the container's", hint="--detach")
        run.console.close()
        raise typer.Exit(launch.attached(run.engine, todo, flags, name, run.console))
    started = launch.detached(run.engine, todo, flags, name, run.console)
    if not started.ok:
        raise EngineError(
            f"the container {name} could not be started",
            hint=f"docker rm --force {name}",
            detail=started.stderr.strip(),
        )
    ports = [port.rpartition(":")[0] for port in todo.spec.publish]
    for port in ports:
        run.console.info(f"port: {port}")
    run.console.info(f"next: docker logs --follow {name}; docker stop {name}")
    run.show({"name": name, "id": started.stdout.strip(), "ports": ports}, lambda: name)
