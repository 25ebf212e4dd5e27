"""The one place that changes anything: it does steps, or writes down what they would do."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from devbox.container import memory
from devbox.container.checkout.elsewhere import of_copy
from devbox.container.request import StepDone
from devbox.container.steps import (
    NEXT,
    ComposeUp,
    Containers,
    CreateContainer,
    CreatePod,
    FinishReplacing,
    RemoveContainer,
    Replace,
    ShareImage,
    StartContainer,
)
from devbox.container.target import LOCAL_FOLDER, folder_of
from devbox.devcontainer.compose.model import PROJECT
from devbox.devcontainer.identity import group_of_volume, volume_name
from devbox.engine.api import ask_socket, socket_path
from devbox.engine.exec import Exec
from devbox.engine.process import CommandError, NoAnswerError
from devbox.engine.spec import ContainerSpec, container_args
from devbox.errors import EngineError, RefusedError, last_lines
from devbox.masking import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from devbox.container.steps import Step
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.engine.docker import Engine
    from devbox.engine.process import Completed
    from devbox.reporter import Reporter
    from devbox.trust.reach import Reach
    from devbox.trust.sources import Source

JSON = dict[str, Any]

# How long the removal of a container may take that somebody else has begun.
_REMOVAL_SECONDS = 30.0
# And how long an engine may take to hear that a container's command has ended.
_END_SECONDS = 10.0
# The kernel's numbers of resource limits, as `--ulimit` names them.
_LIMITS = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "locks", "sigpending", "msgqueue",
    "nice", "rtprio", "rttime",
)  # fmt: skip
# Of runc, and of crun, which names it.
_REFUSED_LIMIT = re.compile(
    r"error setting rlimit type (\d+): operation not permitted|setrlimit `RLIMIT_(\w+)`: Operation not permitted"
)
_NO_GPU = (
    "could not select device driver", "cdi device injection failed", "unresolvable cdi", "runtime name: nvidia",
)  # fmt: skip
# Each as Docker says it, with runc, and as Podman does, with crun.
_NO_DEVICE = re.compile(
    r'error gathering device information while adding custom device "([^"]+)"|stat (/dev/\S+): no such file'
)
_NO_NETWORK = re.compile(r"network (\S+) not found|unable to find network with name or ID ([^\s:]+)")
_NO_SHELL = re.compile(
    r'exec: "/bin/sh": (?:stat /bin/sh: )?(?:no such file|executable file not found)'
    r"|executable file `/bin/sh` not found"
)
# What docker adds to each error of its command line.
_USAGE = re.compile(
    r"^(?:Usage:|Run 'docker \w+ --help'|See 'docker \w+ --help'|Error: failed to start containers:)", re.MULTILINE
)
_UNKNOWN = "devbox up --dry-run   # shows its command"
_PORT = re.compile(r":(\d+)( failed: port is already allocated|: bind: address already in use)")
# What docker compose says of a service whose image it cannot pull.
_NO_IMAGE = re.compile(r"^ (\S+) Error (.+)$", re.MULTILINE)
_NAME_TAKEN = re.compile(r'container name "/?([^"]+)" is already in use')


class NoGpusError(EngineError):
    """The engine has not the GPUs that a container asks for; who knows the contract knows a better hint."""


class Journal:
    """Where one `up` hands its steps in: they are done, or with `dry_run` written down with their commands.

    It holds what has been done so far, and what there is to say about it in the end.
    """

    def __init__(
        self, engine: Engine, reporter: Reporter, *, dry_run: bool = False, place: Engine | None = None
    ) -> None:
        """Take the engine of images, and the `place` where the container is made: the same one by default."""
        self.engine, self.reporter, self.dry_run = engine, reporter, dry_run
        self.place = engine if place is None else place
        self.steps: list[StepDone] = []
        self.notes: list[str] = []
        self._held: list[tuple[Callable[[], Iterable[Reach]], frozenset[tuple[str, ...]]]] = []

    def hold(self, judge: Callable[[], Iterable[Reach]]) -> tuple[Reach, ...]:
        """Return what `judge` finds that is reached; nothing is done from now on where it finds more than that.

        Files of the checkout may be others while somebody is asked, or an image is pulled.
        """
        found = tuple(judge())
        self._held.append((judge, frozenset(one.key for one in found)))
        return found

    def release(self) -> None:
        """Forget what was judged, because what the person agreed to may have changed it."""
        self._held.clear()

    def see_held(self) -> None:
        """See that what was judged is what is done. Raises RefusedError."""
        more = [visible(one.said) for judge, known in self._held for one in judge() if one.key not in known]
        if more:
            raise RefusedError(
                "the contract, or what it names, changed while devbox looked at it: it reaches other things by now",
                hint="devbox up",
                detail="\n".join(more),
            )

    def do(self, *steps: Step) -> None:
        """Do steps in their order. Raises EngineError where docker refuses one."""
        if self.dry_run:
            for step in steps:
                self.would(step.title, step.lines(self._of(step)))
        else:
            for step in steps:
                self.see_held()
                self.notes += apply(self._of(step), [step], self.reporter)

    def _of(self, step: Step) -> Engine:
        """Return the engine that does a step."""
        return self.place if isinstance(step, Containers) else self.engine

    @contextlib.contextmanager
    def timed(self, title: str) -> Iterator[None]:
        """Note how long something takes."""
        begun = time.monotonic()
        yield
        if not self.dry_run:
            self.steps.append(StepDone(title, round(time.monotonic() - begun, 3)))

    def would(self, title: str, lines: Sequence[str]) -> None:
        """Note the commands of a step of a dry run; a step without any is none."""
        if lines:
            self.steps.append(StepDone(title, lines=tuple(lines)))


def apply(engine: Engine, steps: Sequence[Step], reporter: Reporter) -> tuple[str, ...]:
    """Do steps in their order, and return what has to be said about them. Raises EngineError where docker refuses."""
    notes: list[str] = []
    for step in steps:
        match step:
            case (
                RemoveContainer() | CreateContainer() | StartContainer() | ComposeUp() | Replace() | FinishReplacing()
                | ShareImage() | CreatePod()
            ):  # fmt: skip
                with reporter.step(step.title):
                    notes += _do(engine, step, reporter)
            case _:
                from devbox.container.up.making import make

                make(engine, step, reporter)
    return tuple(notes)


def _do(engine: Engine, step: Containers, reporter: Reporter) -> list[str]:
    _see_sources(engine, step)
    match step:
        case RemoveContainer():
            remove(engine, step.id)
        case StartContainer():
            try:
                engine.run(["unpause" if step.paused else "start", step.id])
            except CommandError as error:
                raise refused(error.done.stderr, step.name) from None
        case CreateContainer():
            return create(engine, step.spec)
        case ShareImage() | CreatePod():
            from devbox.container.up.pod import do

            return do(engine, step, reporter)
        case ComposeUp():
            return start_project(engine, step, reporter)
        case Replace():
            from devbox.container.up.replacing import replace_container

            return replace_container(engine, step, reporter)
        case FinishReplacing():
            if step.old:
                remove(engine, step.old)
            engine.run(["rename", step.id, step.called])
    return []


def _see_sources(engine: Engine, step: Containers) -> None:
    """See that what the step mounts of the workspace is still there. Raises RefusedError for a link out of it."""
    from devbox.trust.sources import must_stay

    match step:
        case CreateContainer(spec=spec) | Replace(spec=spec) | ComposeUp(spec=spec) if spec is not None:
            must_stay(_bound(spec), _workspace(spec))
        case StartContainer():
            _see_mounted(engine.inspect("container", [step.id]))
        case ComposeUp():
            _see_mounted(engine.inspect("container", [one.id for one in engine.containers({PROJECT: step.project})]))


def _bound(spec: ContainerSpec | ProjectSpec) -> list[Source]:
    """Return the folders of the host that the containers to be made mount."""
    from devbox.trust.sources import of_services, of_spec

    if isinstance(spec, ContainerSpec):
        return of_spec(spec)
    made = of_services(spec.override)
    return of_services(spec.project.config) + [one._replace(path=one.path.replace("$$", "$")) for one in made]


def _workspace(spec: ContainerSpec | ProjectSpec) -> str:
    """Return the workspace whose dev container is to be made, as its label has it."""
    if isinstance(spec, ContainerSpec):
        return dict(spec.labels)["devbox.workspace"]
    labels = spec.override["services"][spec.project.service]["labels"]
    return str(labels["devbox.workspace"]).replace("$$", "$")


def _see_mounted(inspected: Sequence[JSON]) -> None:
    """See to the mounts of containers that are there, all of one workspace: that of the dev container among them."""
    from devbox.trust.sources import Source, must_stay

    folders = [folder_of(one["Config"]["Labels"]) for one in inspected if LOCAL_FOLDER in one["Config"]["Labels"]]
    mounts = [mount for one in inspected for mount in one.get("Mounts") or () if mount["Type"] == "bind"]
    if folders:
        must_stay((Source(mount["Source"], not mount["RW"]) for mount in mounts), folders[0])


def remove(engine: Engine, container: str) -> None:
    """Remove a container and what is remembered of it; one that is gone already is no failure. Named volumes stay.

    Where somebody else removes it now, that is waited for.
    """
    done = engine.run(engine.removal(container), check=False)
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while "already in progress" in done.stderr and engine.container(container) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not done.ok and "No such container" not in done.stderr and engine.container(container) is not None:
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
        spec, note = with_lower_limit(engine, spec, done.stderr)
        notes.append(note)


def with_lower_limit(engine: Engine, spec: ContainerSpec, stderr: str) -> tuple[ContainerSpec, str]:
    """Return `spec` with the limit lowered that docker refused, and a sentence on it.

    Raises EngineError where something else than a limit was refused.
    """
    name = refused_limit(stderr)
    if name is None:
        raise refused(stderr, spec.called.removesuffix(NEXT))
    lowered, note = clamped(spec.run_args, name, partial(_hard_limit, engine, name))
    if lowered == spec.run_args:
        raise refused(stderr, spec.called.removesuffix(NEXT))
    return replace(spec, run_args=lowered), note


def start_project(engine: Engine, step: ComposeUp, reporter: Reporter) -> list[str]:
    """Do `docker compose up`, with lower limits where the engine refuses those of a service; return what was lowered.

    What it made before a failure stays, and the next `up` goes on from there. Raises EngineError with compose's words.
    """
    notes: list[str] = []
    while True:
        done = compose_up(engine, step, reporter)
        if done.ok:
            return notes
        step, note = project_with_lower_limit(engine, step, done.stderr)
        notes.append(note)


def compose_up(engine: Engine, step: ComposeUp, reporter: Reporter) -> Completed:
    """Write the project as it was judged, and run `docker compose up` once. Raises RefusedError where it changed."""
    from devbox.container.project import write

    variables = write(engine, step.model, step.spec) if step.model is not None else {}
    return engine.stream(step.args(), lambda line: reporter.output(line, prefix="compose"), secrets=variables)


def project_with_lower_limit(engine: Engine, step: ComposeUp, stderr: str) -> tuple[ComposeUp, str]:
    """Return `step` with the limit lowered that docker refused, as `with_lower_limit` does."""
    from devbox.devcontainer.compose.override import with_limit

    name = refused_limit(stderr)
    most = _hard_limit(engine, name) if name is not None else None
    if step.spec is None or name is None or most is None:
        raise _project_refused(engine, stderr, step)
    lowered = with_limit(step.spec, name, most)
    if lowered.override == step.spec.override:
        raise _project_refused(engine, stderr, step)
    note = f"the engine refused the limit {name} of a service: it was set to {most}, the most it can grant"
    return replace(step, spec=lowered), note


def _project_refused(engine: Engine, text: str, step: ComposeUp) -> EngineError:
    logs = _UNKNOWN
    # One that was only created has said nothing.
    if any(one.state not in {"created", "dead"} for one in engine.containers({PROJECT: step.project})):
        logs = f"docker compose --project-name {step.project} logs   # what its services say"
    sick = re.search(r"container (\S+) (?:is unhealthy|exited|has no healthcheck)[^\n]*", text)
    if sick:
        return EngineError(f"a service that the dev container waits for did not come up: {sick[0]}", hint=logs)
    if "is not a docker command" in text:
        return EngineError(
            "docker has no 'compose' command, which the contract needs", hint="install docker-compose-plugin (v2)"
        )
    if (odd := re.search("invalid volume specification: '([^']*)'", text)) is not None:
        return EngineError(
            f"docker compose cannot mount {odd[1]}: its source has a colon in its name",
            hint="mv it to a name without one",
            detail=odd[0],
        )
    pulled = _NO_IMAGE.search(text)
    if pulled and step.spec is not None:
        image = step.spec.project.config["services"].get(pulled[1], {}).get("image", "")
        return EngineError(
            f"the image {image} of the service {pulled[1]} is neither on the engine nor can it be pulled",
            hint=f"docker pull {image}",
            detail=pulled[2],
        )
    # What compose has done begins with a space; it was shown already, and is not why it failed.
    told = "\n".join(line for line in text.splitlines() if not line.startswith(" ")) or text
    known = refused(told, step.spec.called if step.spec is not None else step.project)
    if known.hint != _UNKNOWN:
        return known
    return EngineError(f"docker compose could not start the project {step.project}", hint=logs, detail=last_lines(told))


def refused_limit(stderr: str) -> str | None:
    """Return the name of the resource limit that the engine may not set, if that is why it failed."""
    found = _REFUSED_LIMIT.search(stderr)
    if found is None:
        return None
    if found[2]:
        return found[2].lower()
    return _LIMITS[int(found[1])] if int(found[1]) < len(_LIMITS) else None


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
    setting = [word for word in run_args if word.startswith(f"--ulimit={name}=")]
    if not setting:
        return tuple(run_args), ""
    old = setting[0].removeprefix("--ulimit=")
    number = hard()
    new = [] if number is None or old == f"{name}={number}" else [f"--ulimit={name}={number}"]
    first = run_args.index(setting[0])
    others = [word for word in run_args if word not in setting]
    got = f"set to {number}, the most that it can grant" if new else "left at the engine's own default"
    return (*others[:first], *new, *others[first:]), f"the engine refused the limit {old}: it was {got}"


def refused(stderr: str, what: str) -> EngineError:
    """Return the error for a container that docker did not create or start, in a sentence where the reason is known."""
    text = _USAGE.split(stderr, maxsplit=1)[0].strip()
    lower = text.lower()
    taken = _NAME_TAKEN.search(text)
    if taken:
        return EngineError(
            f"another container is called {taken[1]}", hint="devbox up --name NAME   # or: docker rm " + taken[1]
        )
    device = _NO_DEVICE.search(text)
    if any(words in lower for words in _NO_GPU) or (device and "nvidia" in device[0]):
        return NoGpusError(
            "the engine cannot hand out the GPUs that are asked for", hint="devbox up --gpus none", detail=text
        )
    if _NO_SHELL.search(text):
        return EngineError(
            "the image has no /bin/sh, which is a dev container's first process",
            hint="name an image with a shell in the contract: debian, ubuntu, busybox",
            detail=text,
        )
    if "port is already allocated" in lower or "address already in use" in lower:
        return _port_taken(text)
    known = _not_there(text)
    return known or EngineError(f"docker could not start the container {what}", hint=_UNKNOWN, detail=text)


def _not_there(text: str) -> EngineError | None:
    """Return the error for something of the engine's machine that the container asks for and that is not there."""
    if device := _NO_DEVICE.search(text):
        path = device[1] or device[2]
        return EngineError(
            f"the device {path}, which the container asks for, is not there on the engine's machine",
            hint=f"ls -l {path}   # there; runArgs, or devices of a compose file, ask for it",
            detail=text,
        )
    if network := _NO_NETWORK.search(text):
        name = network[1] or network[2]
        return EngineError(
            f"the engine has no network {name}, which the container asks for",
            hint=f"docker network create {name}   # or: docker network ls",
            detail=text,
        )
    if missing := re.search(r"bind source path does not exist: (.+)", text):
        return EngineError(f"the folder {missing[1].strip()}, which is to be mounted, does not exist", detail=text)
    return None


def _port_taken(text: str) -> EngineError:
    found = _PORT.search(text)
    which = f"the port {found[1]}" if found else "a port"
    # The engine knows the ports of its own containers; what another program holds it can only try.
    hint = "docker ps   # shows by whom"
    if found and found[2].startswith(": bind"):
        hint = f"ss -ltnp 'sport = :{found[1]}'   # shows by whom"
    return EngineError(f"{which} that the container publishes is taken", hint=hint, detail=text)


# As root: $1 is the user, then what each folder is to have, and the folder: `-` for the user as its owner, with options
# of chown behind it, or a group. New folders in a group's get that group as well. Prints what was mended.
_MEND = r"""
ids=$(id -u "$1"):$(id -g "$1") || ids=
shift
while [ $# -ge 2 ]; do
  case $1 in
    # The group may be one that all of an image's users are in.
    -*) [ -z "$ids" ] || [ "$(stat -c %u "$2")" = "${ids%%:*}" ] || { chown ${1#-} "$ids" "$2" && echo "- $2"; } ;;
    *) [ "$(stat -c %g:%a "$2")" = "$1:2775" ] || { chgrp "$1" "$2" && chmod 2775 "$2" && echo "$1 $2"; } ;;
  esac
  shift 2
done
"""


def mend(
    engine: Engine, container: str, user: str, mounts: Sequence[Mapping[str, Any]], uid: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the user the top folder of each of devbox's volumes among `mounts`, and a group that of each it shares.

    Of a volume it is that folder alone, and the group may write it; of the copy of a checkout it is all. `mounts` are
    the container's as `docker inspect` lists them. A volume that an IDE or an older image made may belong to root. The
    volumes of the host user `uid` are devbox's by their names; others are left as they are. Returns the folders that
    belong to the user now, and those that are shared now.
    """
    wanted: list[str] = []
    for one in mounts:
        name, folder = str(one.get("Name") or ""), str(one["Destination"])
        ours = one.get("Type") == "volume" and name.startswith(volume_name(uid, ""))
        if ours and user not in {"root", "0"}:
            # What another user of the container had in the copy of a checkout, this one has to write.
            wanted += ["--hR" if of_copy(name) else "-", folder]
        if (gid := group_of_volume(name)) is not None:
            wanted += [str(gid), folder]
    if not wanted:
        return (), ()
    argv = ("sh", "-c", _MEND, "mend", user, *wanted)
    done = engine.execute(Exec(container, argv, "root", interactive=False))
    mended = [line.partition(" ") for line in done.stdout.splitlines()]
    return (
        tuple(folder for what, _, folder in mended if what == "-"),
        tuple(folder for what, _, folder in mended if what != "-"),
    )


def sessions(engine: Engine, inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the commands that are executed in a container now: shells, builds, the servers of IDEs."""
    if engine.is_cluster:
        from devbox.container.up.pod import sessions_in

        return sessions_in(engine, str(inspected["Id"])) if inspected["State"]["Running"] else ()
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


def alive(engine: Engine, container: str) -> JSON | None:
    """Return an inspected container after something in it failed; one whose command has ended does not run any more.

    The engine hears of the end of what was executed before it hears of the container's own, and calls it running until
    then. But nothing can be executed in it any more: then its end is awaited.
    """
    inspected = engine.container(container)
    if inspected is None or engine.is_cluster or inspected["State"]["Status"] != "running":
        return inspected
    if engine.run(["exec", container, "sh", "-c", ":"], check=False).ok:
        return inspected
    with contextlib.suppress(NoAnswerError):
        engine.run(["wait", container], check=False, timeout=_END_SECONDS)
    return engine.container(container)


def ended(engine: Engine, inspected: JSON, *, composed: bool) -> EngineError:
    """Return the error for a container that did not stay up."""
    if engine.is_cluster:
        return EngineError(inspected["State"]["Error"] or "the pod is about to go", hint="devbox up")
    done = engine.run(["logs", "--tail", "20", inspected["Id"]], check=False)
    hint = 'remove "overrideCommand": false from the contract, unless the image\'s own command keeps running'
    if composed:
        hint = 'set "overrideCommand": true in the contract, or give the service a command that keeps running'
    return EngineError(
        f"the container ended at once, with exit code {inspected['State'].get('ExitCode')}",
        hint=hint,
        detail=(done.stdout + done.stderr).strip() or None,
    )
