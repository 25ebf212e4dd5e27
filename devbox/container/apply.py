"""The one place that changes containers: it does the steps of a plan."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from devbox.container import memory
from devbox.container.plan import CreateContainer, Plan, RemoveContainer, StartContainer, Step
from devbox.engine.process import CommandError
from devbox.engine.spec import ContainerSpec, Mount, container_args
from devbox.errors import ContractError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]

# The kernel's numbers of resource limits, as `--ulimit` names them.
_LIMITS = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "locks", "sigpending", "msgqueue",
    "nice", "rtprio", "rttime",
)  # fmt: skip
_REFUSED_LIMIT = re.compile(r"error setting rlimit type (\d+): operation not permitted")
_NO_GPU = ("could not select device driver", "cdi device injection failed", "unresolvable cdi")
# What docker adds to each error of its command line.
_USAGE = re.compile(r"^(?:Usage:|Run 'docker run --help'|See 'docker run --help')", re.MULTILINE)
_NAME_TAKEN = re.compile(r'container name "/?([^"]+)" is already in use')


def apply(engine: Engine, plan: Plan, reporter: Reporter) -> tuple[str, ...]:
    """Do the steps of a plan and return what has to be said about them. Raises EngineError where docker refuses one."""
    notes: list[str] = []
    for step in plan.steps:
        with reporter.step(step.title):
            notes += _do(engine, step)
    return tuple(notes)


def _do(engine: Engine, step: Step) -> list[str]:
    match step:
        case RemoveContainer():
            remove(engine, step.id)
            return []
        case StartContainer():
            try:
                engine.run(["unpause" if step.paused else "start", step.id])
            except CommandError as error:
                raise refused(error.done.stderr, step.name) from None
            return []
        case CreateContainer():
            return create(engine, step.spec)


def remove(engine: Engine, container: str) -> None:
    """Remove a container and what is remembered of it; one that is gone already is no failure. Named volumes stay."""
    done = engine.run(["rm", "--force", "--volumes", container], check=False)
    if not done.ok and "No such container" not in done.stderr:
        raise EngineError(f"the container {container[:12]} cannot be removed", detail=done.stderr.strip())
    memory.forget_container(container)


def create(engine: Engine, spec: ContainerSpec) -> list[str]:
    """Create and start the container `spec`, with lower limits where the engine refuses those that are asked for.

    Returns a sentence for each limit that was lowered. Raises EngineError where docker refuses.
    """
    notes: list[str] = []
    while True:
        done = engine.run(["run", "--detach", *container_args(spec)], check=False)
        if done.ok:
            return notes
        _remove_unstarted(engine, spec)
        found = _REFUSED_LIMIT.search(done.stderr)
        name = _LIMITS[int(found[1])] if found and int(found[1]) < len(_LIMITS) else None
        if name is None:
            raise refused(done.stderr, spec.called)
        lowered, note = clamped(spec.run_args, name, partial(_hard_limit, engine, name))
        if lowered == spec.run_args:
            raise refused(done.stderr, spec.called)
        notes.append(note)
        spec = replace(spec, run_args=lowered)


def _remove_unstarted(engine: Engine, spec: ContainerSpec) -> None:
    """Remove what a failed `docker run` leaves: a container that was created and did not start."""
    labels: dict[str, str | None] = dict(spec.labels)
    for found in engine.containers(labels):
        if found.state in {"created", "dead"}:
            engine.run(["rm", "--force", "--volumes", found.id], check=False)


def _hard_limit(engine: Engine, name: str) -> int | None:
    """Return the highest limit that the engine is known to be able to grant, or None if nothing is known."""
    if name not in {"memlock", "stack", "nofile"}:
        return None
    from devbox.facts.engine import gather

    facts = gather(engine)
    return {"memlock": facts.memlock, "stack": facts.stack, "nofile": facts.nofile}[name] or None


def clamped(run_args: Sequence[str], name: str, hard: Callable[[], int | None]) -> tuple[tuple[str, ...], str]:
    """Return `run_args` with the limit `name` set to `hard`, or left out where that is unknown or no lower; and a note.

    A limit that was lowered already is left out. The arguments come back unchanged where they do not set it.
    """
    spans = _limit_spans(run_args, name)
    if not spans:
        return tuple(run_args), ""
    old = run_args[spans[0][1]].removeprefix("--ulimit=")
    number = hard()
    new = [] if number is None or old == f"{name}={number}" else [f"--ulimit={name}={number}"]
    result: list[str] = []
    for index, argument in enumerate(run_args):
        inside = [start for start, end in spans if start <= index <= end]
        if not inside:
            result.append(argument)
        elif index == spans[0][0]:
            result += new
    got = f"set to {number}, the most that it can grant" if new else "left at the engine's own default"
    return tuple(result), f"the engine refused the limit {old}: it was {got}"


def _limit_spans(run_args: Sequence[str], name: str) -> list[tuple[int, int]]:
    """Return first and last index of each `--ulimit NAME=…` in `run_args`, in one word or two."""
    spans = []
    for index, argument in enumerate(run_args):
        if argument.startswith(f"--ulimit={name}="):
            spans.append((index, index))
        elif argument == "--ulimit" and index + 1 < len(run_args) and run_args[index + 1].startswith(f"{name}="):
            spans.append((index, index + 1))
    return spans


def refused(stderr: str, what: str) -> EngineError:
    """Return the error for a container that docker did not create or start, in a sentence where the reason is known."""
    text = _USAGE.split(stderr, maxsplit=1)[0].strip()
    lower = text.lower()
    taken = _NAME_TAKEN.search(text)
    if taken:
        return EngineError(
            f"another container is called {taken[1]}", hint="devbox up --name NAME   # or: docker rm " + taken[1]
        )
    if any(words in lower for words in _NO_GPU):
        return EngineError(
            "the engine cannot hand out the GPUs that are asked for", hint="devbox up --gpus none", detail=text
        )
    if "port is already allocated" in lower or "address already in use" in lower:
        return EngineError(
            "a port that the container publishes is taken", hint="docker ps   # shows by whom", detail=text
        )
    missing = re.search(r"bind source path does not exist: (.+)", text)
    if missing:
        return EngineError(f"the folder {missing[1].strip()}, which is to be mounted, does not exist", detail=text)
    return EngineError(
        f"docker could not start the container {what}", hint="devbox up --dry-run   # shows its command", detail=text
    )


# As root: $1 is the user, the rest are folders. Prints those whose owner was set.
_OWNERS = r"""
ids=$(id -u "$1"):$(id -g "$1") || exit 1
shift
for folder; do
  [ "$(stat -c %u:%g "$folder")" = "$ids" ] || { chown "$ids" "$folder" && echo "$folder"; }
done
"""


def mend_owners(engine: Engine, container: str, user: str, mounts: Sequence[str], uid: int) -> tuple[str, ...]:
    """Give the user the top folder of each of devbox's volumes among `mounts`, that folder alone; return the mended.

    A volume that an IDE or an older image made may belong to root. The volumes of the host user `uid` are devbox's by
    their names; others are left as they are.
    """
    folders = [mount.target for mount in map(_mount, mounts) if mount is not None and _is_ours(mount, uid)]
    if not folders or user in {"root", "0"}:
        return ()
    done = engine.run(["exec", "--user", "root", container, "sh", "-c", _OWNERS, "owners", user, *folders], check=False)
    return tuple(done.stdout.splitlines())


def _mount(text: str) -> Mount | None:
    try:
        return Mount.parse(text)
    except ContractError:
        return None


def _is_ours(mount: Mount, uid: int) -> bool:
    return mount.type == "volume" and (mount.source or "").startswith(f"devbox-{uid}-")


def sessions(engine: Engine, inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the commands that are executed in a container now: shells, builds, the servers of IDEs."""
    from devbox.engine.api import ask_socket, socket_path

    ids = inspected.get("ExecIDs") or ()
    path = socket_path(engine.environ)
    found = []
    for identifier in ids:
        text = "a command"
        if path is not None:
            try:
                status, body = ask_socket(path, f"/exec/{identifier}/json")
                data: JSON = json.loads(body) if status == 200 else {"Running": False}
            except (OSError, ValueError):
                data = {"Running": True}
            if not data.get("Running"):
                continue
            process = data.get("ProcessConfig") or {}
            text = " ".join([process.get("entrypoint", ""), *(process.get("arguments") or ())])[:60] or text
        found.append(text)
    return tuple(found)
