"""A task at work: its container, from a framework's data and a person's options, to its end or until it serves."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from devbox.errors import DevboxError, EngineError, UsageError
from devbox.facts import gpu as gpu_facts
from devbox.frameworks.model import RunRules
from devbox.image import names
from devbox.oneshot import image_run, launch
from devbox.oneshot.tasks import Filled, fill
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.config.network import Network
    from devbox.engine.docker import ContainerSummary, Engine
    from devbox.facts.model import EngineFacts, Gpus
    from devbox.frameworks.model import Framework, Task
    from devbox.reporter import Reporter

# "framework/task" of the container.
LABEL = "devbox.task"
OWN_STAGE = "stage:"
POLL_SECONDS = 0.5
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What `devbox task run` was asked for; None means the task's own. `uid` and `gid` are the host user's."""

    framework: Framework
    task: Task
    values: Mapping[str, str]
    image: str | None = None
    name: str | None = None
    gpus: str | None = None
    user: str | None = None
    ports: tuple[str, ...] = ()
    network: str | None = None
    pull: bool = False
    uid: int = 0
    gid: int = 0

    @property
    def called(self) -> str:
        """The container's name: one of a task at a time, unless another name is given."""
        return self.name or f"devbox-{self.uid}-{self.framework.name}-{self.task.name}"

    @property
    def stage(self) -> str | None:
        """The framework's own stage that the task runs in; None for an image of others."""
        own = self.image is None and self.task.image.startswith(OWN_STAGE)
        return self.task.image.removeprefix(OWN_STAGE) if own else None

    @property
    def reference(self) -> str:
        """The image."""
        if self.stage is not None:
            return names.reference(self.framework, self.stage)
        return self.image or self.task.image


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """The container of a task, and the host's folders that it needs: those to be made, and those that must be there."""

    run: image_run.RunPlan
    made: tuple[Path, ...] = ()
    needed: tuple[Path, ...] = ()


def flags(task: Task) -> tuple[str, ...]:
    """Return the flags of `docker run`. What serves is kept when it ends: its log says why."""
    serving = task.ready is not None
    return launch.flags(detach=serving, keep=serving)


def prepare(
    engine: Engine, request: TaskRequest, network: Network, facts: EngineFacts, reporter: Reporter, *, dry_run: bool
) -> TaskPlan:
    """Return the plan of a task; its image is pulled if it is not there, but not for a dry run.

    Raises UsageError for what makes no sense, ImageError for an image that cannot be had, RefusedError for GPUs.
    """
    task, gpus = request.task, gpu_facts.gather(engine, facts)
    image = image_run.have(engine, request.reference, reporter, pull=request.pull, stage=request.stage, dry_run=dry_run)
    filled = fill(task, request.values, gpu=_gpu_folder(gpus))
    writes = any(not readonly for _, _, readonly in filled.mounts)
    # What it writes on the host is to be the user's, and no image has a home for any user.
    user = request.user or (f"{request.uid}:{request.gid}" if writes and not facts.rootless else None)
    framework = replace(request.framework, run=_rules(task, filled, home=user is not None))
    asked = image_run.RunRequest(
        image=request.reference,
        framework=framework,
        name=request.called,
        gpus=request.gpus or (None if task.gpus == "all" else task.gpus),
        user=user,
        ports=request.ports,
        network=request.network,
        volumes=tuple(f"{source}:{target}{':ro' if readonly else ''}" for source, target, readonly in filled.mounts),
        uid=request.uid,
    )
    plan = image_run.plan(engine, asked, image, network, facts=facts, gpus=gpus)
    plan = replace(plan, spec=replace(plan.spec, labels=((LABEL, f"{request.framework.name}/{task.name}"),)))
    sources = [(Path(source), readonly) for source, _, readonly in filled.mounts]
    return TaskPlan(
        plan,
        made=tuple(path for path, readonly in sources if not readonly),
        needed=tuple(path for path, readonly in sources if readonly),
    )


def run(engine: Engine, request: TaskRequest, plan: TaskPlan, facts: EngineFacts, reporter: Reporter) -> int:
    """Run a task: to its end, whose exit code is returned, or until it serves; then it goes on, and 0 is returned.

    Ctrl-C stops it. Raises UsageError where a folder is missing that another task makes, EngineError where the
    container cannot be started, DevboxError where it ends before it serves.
    """
    for folder in plan.needed:
        if not folder.is_dir():
            raise UsageError(
                f"there is no folder {folder}, which {request.task.name} reads",
                hint=f"devbox task list --framework {request.framework.name}   # another task may make it",
            )
    for folder in plan.made:
        # As the user: docker would make it root's.
        folder.mkdir(parents=True, exist_ok=True)
    launch.prepare(engine, plan.run, reporter)
    if request.task.ready is None:
        return launch.attached(engine, plan.run, flags(request.task), request.called, reporter)
    started = launch.detached(engine, plan.run, flags(request.task), request.called, reporter)
    if not started.ok:
        # Docker leaves what it made and could not start.
        engine.run(["rm", "--force", "--volumes", request.called], check=False)
        raise engine.trouble(started.stderr) or EngineError(
            f"the task {request.task.name} could not be started", hint="devbox doctor", detail=started.stderr.strip()
        )
    try:
        with reporter.step(f"Waiting until {request.called} serves"):
            _wait(engine, request, plan, facts, reporter)
    except KeyboardInterrupt:
        stop(engine, request.called)
        raise
    return 0


def address(plan: TaskPlan) -> str | None:
    """Return where what serves is reached from this machine: its first published port."""
    if not plan.run.spec.publish:
        return None
    host, _, port = plan.run.spec.publish[0].rpartition(":")[0].rpartition(":")
    return f"http://{'127.0.0.1' if host in {'0.0.0.0', '[::]'} else host}:{port}"  # noqa: S104  # compared, not bound


def of_user(engine: Engine) -> tuple[ContainerSummary, ...]:
    """Return the containers of tasks, newest first, ended ones too."""
    return engine.containers({LABEL: None})


def container_of(engine: Engine, name: str) -> str:
    """Return the container of the task `name`, or the one of that name. Raises UsageError with the choices."""
    found = of_user(engine)
    named = [one for one in found if name in {one.called, one.labels[LABEL], one.labels[LABEL].partition("/")[2]}]
    if len(named) != 1:
        what = "several containers run the task" if named else "no container runs the task"
        choices = ", ".join(one.called for one in named or found) or "none"
        raise UsageError(f"{what} {name}; there are: {choices}", hint="devbox task list")
    return named[0].called


def stop(engine: Engine, name: str) -> None:
    """Stop a task's container and remove it; none is no failure."""
    engine.run(["stop", "--time", str(launch.STOP_SECONDS), name], check=False)
    engine.run(["rm", "--force", "--volumes", name], check=False)


def _rules(task: Task, filled: Filled, *, home: bool) -> RunRules:
    return RunRules(
        command=filled.command,
        entrypoint=task.entrypoint if not task.shell else "",
        ports=task.ports,
        ipc=task.ipc,
        shm=task.shm,
        env=(*((("HOME", "/tmp"),) if home else ()), *filled.env),  # noqa: S108  # every image has it, for any user
        forward=task.forward,
        caches=task.caches,
    )


def _gpu_folder(gpus: Gpus) -> str:
    """Return the first GPU's name as a folder is called: engines are compiled for one kind of GPU."""
    found = gpus.devices
    return found[0].name.replace(" ", "-").replace("/", "-") if found else "gpu"


def _wait(engine: Engine, request: TaskRequest, plan: TaskPlan, facts: EngineFacts, reporter: Reporter) -> None:
    """Pass the container's log on until it answers. Raises DevboxError, with the log's end, if it ends before."""
    where = address(plan)
    if where is None or not facts.local:
        reporter.info(f"nothing is asked of it: {'no port is published' if where is None else 'it runs elsewhere'}")
        return
    over = threading.Event()
    last: list[str] = []

    def follow() -> None:
        def on_line(line: str) -> None:
            last.append(line)
            del last[:-30]
            if not serving.is_set():
                reporter.output(line, prefix=request.task.name)

        try:
            engine.stream(["logs", "--follow", request.called], on_line)
        finally:
            over.set()

    serving = threading.Event()
    # A daemon: it follows the log until the container ends, which is long after this process.
    threading.Thread(target=follow, daemon=True).start()
    while not _answers(f"{where}{request.task.ready}"):
        if over.wait(POLL_SECONDS):
            state = (engine.container(request.called) or {}).get("State") or {}
            raise DevboxError(
                f"{request.called} ended with exit code {state.get('ExitCode', '?')} before it served",
                hint=f"devbox task stop {request.called}   # removes it; devbox task logs shows all that it said",
                detail="\n".join(last),
            )
        time.sleep(POLL_SECONDS)
    serving.set()


def _answers(url: str) -> bool:
    """Whether a GET of `url` is answered with a success."""
    try:
        # No proxy: it is this machine.
        with build_opener(ProxyHandler({})).open(url, timeout=_ANSWER_SECONDS) as answer:
            return 200 <= int(answer.status) < 300
    except (URLError, OSError, HTTPException):
        return False
