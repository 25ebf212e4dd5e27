"""`devbox task`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import application, workspace
from devbox.cli.flags import Flags, from_settings
from devbox.cli.options import DryRunOption, NameOption, WorkspaceOption, examples, in_panels, passes_on
from devbox.errors import UsageError

if TYPE_CHECKING:
    pass

app = typer.Typer(name="task", no_args_is_help=True)
Words = list[str] | None
Word = str | None
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="The task.")]
ContainerArgument = Annotated[str, typer.Argument(metavar="TASK|CONTAINER", help="A running task, or its container.")]


@app.command("list")
@examples({"devbox task list": "All tasks."})
@from_settings("framework")
def list_(context: typer.Context, *, flags: Flags) -> None:
    """List the tasks of every framework, and which of them run."""
    from devbox.errors import EngineError
    from devbox.frameworks.load import available, load
    from devbox.oneshot.task_run import LABEL, of_user
    from devbox.ui.tables import table

    run = application(context)
    known = [load(name) for name in ([flags["framework"]] if flags else available())]
    states: dict[str, str] = {}
    try:
        states = {one.labels[LABEL]: one.status or one.state for one in reversed(of_user(run.engine))}
    except EngineError as error:
        run.console.warn(f"which of them run cannot be told: {error.message}")
    tasks = [(one, task, states.get(f"{one.name}/{task.name}", "")) for one in known for task in one.tasks]
    data = [
        {"framework": one.name, "name": task.name, "title": task.title, "image": task.image, "state": state}
        for one, task, state in tasks
    ]
    rows = [(one.name, task.name, task.title, state) for one, task, state in tasks]
    run.show({"tasks": data}, lambda: table(("framework", "task", "title", "state"), rows))


@app.command()
@examples({"devbox task show serve --framework vllm": "A task's options."})
@from_settings("framework", "variant")
def show(
    context: typer.Context,
    name: TaskArgument,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
) -> None:
    """Show a task and its options."""
    from devbox.oneshot.tasks import framework_of, task_of
    from devbox.ui.tables import table

    run = application(context)
    folder = workspace(path)
    chosen = framework_of(folder, run.settings(folder, flags), name)
    task = task_of(chosen, name)

    def text() -> str:
        rows = [
            (
                f"--{option.name}",
                " | ".join(option.choices) if option.kind == "choice" else option.kind,
                "required" if option.required else option.default or "-",
                option.help,
            )
            for option in task.options
        ]
        lines = [
            f"{chosen.name} {task.name}: {task.title}",
            f"image: {task.image}",
            f"command: {' '.join(task.command)}",
        ]
        lines += [f"mount: {mount}" for mount in task.mounts]
        lines += [f"port: {port}" for port in task.ports]
        return "\n".join([*lines, table(("option", "value", "default", "what"), rows)])

    run.show(task, text)


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@examples({"devbox task run serve --framework vllm --gpus 0 --dry-run": "See what serving a model would run."})
@in_panels(
    {
        "The task": "framework variant image pull",
        "The container": "gpus port user container network",
    }
)
@from_settings("framework", "variant", "gpus")
def run_(
    context: typer.Context,
    name: TaskArgument,
    path: WorkspaceOption = None,
    *,
    flags: Flags,
    image: Annotated[Word, typer.Option("--image", metavar="IMAGE", help="Another image.")] = None,
    container: NameOption = None,
    user: Annotated[
        Word, typer.Option("--user", metavar="USER|UID[:GID]", help="Who it runs as.", show_default="you, if it writes")
    ] = None,
    port: Annotated[
        Words, typer.Option("--port", "-p", metavar="[[ADDRESS:]OUTER:]INNER|none", help="A port to publish.")
    ] = None,
    network: Annotated[Word, typer.Option("--network", metavar="NAME", help="The network, such as host.")] = None,
    pull: Annotated[bool, typer.Option("--pull", help="Look for a newer image first.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Run a task; what serves goes on when it answers. `devbox task show TASK` lists the task's own options."""
    from devbox.facts import engine as engine_facts
    from devbox.oneshot import task_run
    from devbox.oneshot.tasks import framework_of, parse, task_of

    run = application(context)
    folder = workspace(path)
    chosen = framework_of(folder, run.settings(folder, flags), name)
    task = task_of(chosen, name)
    request = task_run.TaskRequest(
        framework=chosen,
        task=task,
        values=parse(task, context.args, folder=Path.cwd()),
        image=image,
        name=container,
        gpus=flags.get("gpus"),
        user=user,
        ports=tuple(port or ()),
        network=network,
        pull=pull,
        uid=os.getuid(),
        gid=os.getgid(),
    )
    serving = task.ready is not None
    if run.json and not serving and not dry_run:
        raise UsageError("--json goes with --dry-run, or with a task that serves: stdout is the task's")
    facts = engine_facts.gather(run.engine)
    plan = task_run.prepare(run.engine, request, run.network(folder), facts, run.console, dry_run=dry_run)
    if dry_run:
        run.show_commands(plan.run.lines(run.engine, task_run.flags(task)))
        return
    code = task_run.run(run.engine, request, plan, facts, run.console)
    if not serving:
        raise typer.Exit(code)
    where = task_run.address(plan)
    if where:
        run.console.info(f"serves at {where}")
    run.console.info(f"next: devbox task logs {name}; devbox task stop {name}")
    run.show({"name": request.called, "url": where}, lambda: where)


@app.command()
@examples({"devbox task logs serve --follow": "What it writes, as it comes."})
@passes_on
def logs(
    context: typer.Context,
    name: ContainerArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, metavar="LINES", help="Only the last lines.")
    ] = None,
) -> None:
    """Show what a task wrote."""
    from devbox.container.logs import logs_args, passed_on
    from devbox.oneshot.task_run import container_of

    run = application(context)
    raise typer.Exit(passed_on(run.engine, logs_args(container_of(run.engine, name), follow=follow, tail=tail)))


@app.command()
@examples({"devbox task stop serve": "Stop it."})
def stop(context: typer.Context, name: ContainerArgument) -> None:
    """Stop a task and remove its container."""
    from devbox.oneshot.task_run import container_of
    from devbox.oneshot.task_run import stop as halt

    run = application(context)
    found = container_of(run.engine, name)
    halt(run.engine, found)
    run.show({"stopped": found}, lambda: run.console.info(f"{found} is stopped and removed"))
