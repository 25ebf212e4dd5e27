"""The door to Docker. What is only asked over the socket imports next to nothing.

Whatever a person could type goes through the docker CLI as an argv list, so that a dry run prints what would run.
Questions are asked over the engine's unix socket: starting the CLI costs more than the answer. Where there is none on
this machine, the docker SDK asks them.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from devbox.engine.address import PROGRAM, Address, address, reached
from devbox.engine.api import ask_socket, patience, socket_path

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from devbox.engine import process
    from devbox.engine.exec import Exec
    from devbox.engine.flavour import Flavour
    from devbox.engine.spec import ImageBuild
    from devbox.errors import EngineError

JSON = dict[str, Any]

_FOUND = 200
# Of nothing that there is, and of what cannot be a name.
_NOTHING = frozenset({400, 404})
# What only asks the engine something, by its first words, gets so many seconds for an answer: as long as a busy machine
# may need for one. What is to be done may take its time, and so may buildx, whose builders can be far away.
ANSWER_SECONDS = 30.0
_ASKS = frozenset({"ps", "info", "version", "inspect", "context", "top", "port"})
# What is said to the program that makes images and containers, by its first word: see `devbox.engine.flavour`.
_MAKES = frozenset({"build", "create", "run"})
_ASKS_OF = frozenset({"image", "volume", "network", "container"})


class ContainerSummary(NamedTuple):
    """A container as a list shows it. `state` is docker's word: created, running, paused, exited …"""

    id: str
    names: tuple[str, ...]
    image: str
    image_id: str
    state: str
    status: str
    created: int
    labels: Mapping[str, str]
    mounts: tuple[Mapping[str, Any], ...] = ()

    @property
    def running(self) -> bool:
        """Whether a command can be executed in it."""
        return self.state == "running"

    @property
    def called(self) -> str:
        """Its name for people; the short id while it has none."""
        return self.names[0] if self.names else self.id[:12]


def _summary(item: JSON) -> ContainerSummary:
    return ContainerSummary(
        id=item["Id"],
        names=tuple(name.removeprefix("/") for name in item.get("Names") or ()),
        image=item.get("Image", ""),
        image_id=item.get("ImageID", ""),
        state=item.get("State", ""),
        status=item.get("Status", ""),
        created=int(item.get("Created", 0)),
        labels=item.get("Labels") or {},
        mounts=tuple(item.get("Mounts") or ()),
    )


class Engine:
    """A Docker engine, reached as the docker CLI would reach it."""

    # Whether what is made there is a pod of a cluster: see `devbox.engine.kubernetes`.
    is_cluster = False
    # The states of a container that holds what others could have, and can be stopped.
    busy = frozenset({"running", "paused", "restarting"})

    def __init__(self, *, docker: str = "docker", environ: Mapping[str, str] | None = None) -> None:
        """Take the docker program and the environment that names the engine (the process's own by default)."""
        self.docker = docker
        self.named: Mapping[str, str] = os.environ if environ is None else environ

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment in which docker reaches the engine: the one it was given, or see `address.reached`."""
        if socket_path(self.named) is not None:
            return self.named
        return reached(self.named)

    @property
    def images(self) -> Engine:
        """The engine that has the images of its containers, and builds them."""
        return self

    @cached_property
    def address(self) -> Address:
        """Where it is, and what chose it."""
        return address(self.named)

    def run(
        self,
        args: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        timeout: float | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> process.Completed:
        """Run `docker ARGS` to its end. `secrets` are added to its environment alone.

        Raises EngineError with the reason where the engine cannot be reached, CommandError where it refused and
        `check` is set.
        """
        from devbox.engine import process

        limit = patience(self.environ, ANSWER_SECONDS) if timeout is None and _only_asks(args) else timeout
        try:
            done = process.run(
                self.argv(args),
                check=False,
                input_text=input_text,
                environ=self._environ(args, secrets),
                timeout=limit,
            )
        except process.NoAnswerError as error:
            if timeout is not None:
                raise
            raise self._unreachable(error.message) from None
        if not done.ok:
            self.raise_known(done.stderr, args)
            if check:
                raise process.CommandError(done)
        return done

    def execute(self, asked: Exec, *, input_text: str | None = None, timeout: float | None = None) -> process.Completed:
        """Run a command in a container to its end, whatever its exit code: over the socket, else by the docker CLI.

        Raises NoAnswerError if it takes longer than `timeout` seconds: it goes on then. Raises EngineError where the
        engine is lost.
        """
        from devbox.engine import process
        from devbox.engine.attach import RefusedByEngineError, Session, captured

        path = socket_path(self.environ)
        try:
            session = None if path is None else Session(path, asked, self.environ)
        except OSError:
            session = None
        if session is None:
            return self.run(asked.args(), check=False, input_text=input_text, timeout=timeout)
        argv = tuple(asked.argv_of(self.docker))
        try:
            code, *said = captured(session, (input_text or "").encode(), timeout)
        except RefusedByEngineError as error:
            return process.Completed(argv, 1, "", f"Error response from daemon: {error.message}\n")
        except TimeoutError:
            # Without a limit it is the engine that does not answer.
            within = "in time" if timeout is None else f"within {timeout:g} s"
            raise process.NoAnswerError(
                f"{self.docker} exec {asked.container[:12]} … gave no answer {within}"
            ) from None
        out, err = (text.decode("utf-8", "replace") for text in said)
        return process.Completed(argv, code, out, err)

    def stream(
        self, args: Sequence[str], on_line: Callable[[str], None], *, secrets: Mapping[str, str] | None = None
    ) -> process.Completed:
        """Run `docker ARGS`, passing on each line as it comes.

        Raises EngineError where the engine cannot be reached.
        """
        from devbox.engine import process

        done = process.stream(self.argv(args), on_line, environ=self._environ(args, secrets))
        if not done.ok:
            self.raise_known(done.stderr, args)
        return done

    def follow(self, asked: Exec, on_line: Callable[[str], None], *, environ: Mapping[str, str]) -> process.Completed:
        """Run a command in a container like `stream`; `environ` has what it is passed on by name."""
        return self.stream(asked.args(), on_line, secrets=environ)

    def id_of(self, name: str) -> str:
        """Return what stands for the id of a container that there will be, by its name."""
        return name

    def removal(self, container: str) -> list[str]:
        """Return the arguments that remove a container, running or not."""
        return ["rm", "--force", "--volumes", container]

    def volume_removal(self, name: str) -> list[str]:
        """Return the arguments that remove a volume."""
        return ["volume", "rm", name]

    def logged(self, container: str) -> list[str]:
        """Return how `logs` is told of a container."""
        return [container]

    def stopping(self, container: str, seconds: int) -> list[str]:
        """Return the arguments that stop a container, which gets so many seconds to end by itself."""
        return ["stop", "--time", str(seconds), container]

    def trouble(self, said: str, args: Sequence[str] = ()) -> EngineError | None:
        """Return the error for a `docker ARGS` that failed and `said` that it could not reach or use its engine."""
        # Only where something failed: a command that works pays for no explanations.
        from devbox.engine.trouble import explain

        return explain(said, self.named, args)

    def raise_known(self, said: str, args: Sequence[str]) -> None:
        """Raise the error for a `docker ARGS` that failed, where `said` shows that the engine was the trouble."""
        if (known := self.trouble(said, args)) is not None:
            raise known

    def line(self, args: Sequence[str]) -> str:
        """Return `docker ARGS` as a person would type it: to podman, where that is who does it."""
        import shlex

        return shlex.join(self.argv(args))

    @cached_property
    def flavour(self) -> Flavour:
        """Whether it is Docker or Podman. Asked once, and only by what makes something or looks at facts."""
        from devbox.engine.flavour import flavour

        return flavour(self.docker, self.environ)

    def argv(self, args: Sequence[str]) -> list[str]:
        """Return `docker ARGS` with the program that does it."""
        if args[0] not in _MAKES:
            return [self.docker, *args]
        return [*(self.flavour.maker or (self.docker,)), *args]

    def build_args(self, build: ImageBuild) -> list[str]:
        """Return the arguments of the engine's own way to build an image: BuildKit's, or Podman's."""
        from devbox.engine.spec import build_args, podman_build_args

        return podman_build_args(build) if self.flavour.podman else build_args(build)

    def ask(
        self, request: str, *, body: Mapping[str, object] | None = None, timeout: float | None = None
    ) -> tuple[int, bytes]:
        """GET `request` from the Engine API, or POST a `body`; return the status and the answer.

        Over the engine's socket, or where it has none on this machine, by the docker SDK. Raises EngineError.
        """
        path = socket_path(self.environ)
        try:
            if path is not None:
                return ask_socket(path, request, timeout=timeout, body=body)
            from devbox.engine import sdk

            self._must_be_installed()
            seconds = patience(self.environ, ANSWER_SECONDS) if timeout is None else timeout
            return sdk.ask(self.environ, request, timeout=seconds, body=body)
        except OSError as error:
            raise self._unreachable(str(error), permitted=not isinstance(error, PermissionError)) from None

    def _must_be_installed(self) -> None:
        """See that there is the docker program, without which an engine elsewhere is of no use."""
        import shutil

        if shutil.which(self.docker, path=self.named.get("PATH")) is None:
            from devbox.errors import ProgramMissingError

            raise ProgramMissingError(self.docker)

    def containers(self, labels: Mapping[str, str | None], volume: str | None = None) -> tuple[ContainerSummary, ...]:
        """Return the containers that carry all of `labels` (None: any value), newest first, stopped ones too.

        With `volume`, those alone that mount the volume of that name.
        """
        from urllib.parse import quote

        wanted = {"label": [name if value is None else f"{name}={value}" for name, value in labels.items()]}
        if volume is not None:
            wanted["volume"] = [volume]
        if self.address.url == PROGRAM:
            named = [word for kind, ones in wanted.items() for one in ones for word in ("--filter", f"{kind}={one}")]
            ids = self.run(["ps", "--no-trunc", "--quiet", "--all", *named]).stdout.split()
            return tuple(map(_summary_of_inspect, self.inspect("container", ids)))
        filters = quote(json.dumps(wanted, separators=(",", ":")))
        found = self._told(f"/containers/json?all=1&filters={filters}", "its list of containers")
        try:
            return tuple(map(_summary, found))
        except (LookupError, TypeError, AttributeError):
            raise self._unreachable("its list of containers makes no sense") from None

    def inspect(self, kind: str, names: Sequence[str]) -> list[JSON]:
        """Return `docker inspect --type KIND` of those of `names` that exist, in their order."""
        return [found for name in names if (found := self._one(kind, name)) is not None]

    def container(self, name: str) -> JSON | None:
        """Return `docker inspect` of a container, or None if there is none of that name or id."""
        return self._one("container", name)

    def image(self, reference: str) -> JSON | None:
        """Return `docker inspect` of a local image, or None if it is not there."""
        return self._one("image", reference)

    def volume(self, name: str) -> JSON | None:
        """Return `docker inspect` of a volume, or None if it does not exist."""
        return self._one("volume", name)

    def volumes(self, prefix: str) -> list[JSON]:
        """Return the volumes whose name begins with `prefix`, as `docker inspect` shows them."""
        from urllib.parse import quote

        if self.address.url == PROGRAM:
            found = self.inspect("volume", self.run(["volume", "ls", "--quiet"]).stdout.split())
        else:
            # While it adds up sizes, for whomever, the engine may be slow to answer this.
            limit = patience(self.environ, ANSWER_SECONDS)
            request = f"/volumes?filters={quote(json.dumps({'name': [prefix]}))}"
            said = self._told(request, "its list of volumes", timeout=limit)
            try:
                found = said["Volumes"] or []
            except (LookupError, TypeError):
                raise self._unreachable("its list of volumes makes no sense") from None
        return [one for one in found if str(one["Name"]).startswith(prefix)]

    def network(self, name: str) -> JSON | None:
        """Return `docker inspect` of a network, or None if it does not exist."""
        return self._one("network", name)

    def _one(self, kind: str, name: str) -> JSON | None:
        """Inspect one thing, which the engine answers ten times as fast as the CLI starts."""
        from urllib.parse import quote

        if self.address.url == PROGRAM:
            done = self.run(["inspect", "--type", kind, name], check=False)
            return next(iter(json.loads(done.stdout or "[]")), None)
        quoted = quote(name, safe="/:@")
        routes = {"container": f"/containers/{quoted}/json", "image": f"/images/{quoted}/json"}
        return cast(
            "JSON | None",
            self._told(routes.get(kind, f"/{kind}s/{quoted}"), f"what it says of the {kind} {name}", nothing=_NOTHING),
        )

    def _told(self, request: str, what: str, *, nothing: Container[int] = (), timeout: float | None = None) -> Any:
        """Return what the engine answers, None where its status says that there is `nothing`. Raises EngineError."""
        status, body = self.ask(request, timeout=timeout)
        if status in nothing:
            return None
        try:
            said = json.loads(body)
        except ValueError:
            raise self._unreachable(f"{what} makes no sense") from None
        if status != _FOUND:
            from devbox.errors import EngineError

            why = said.get("message") if isinstance(said, dict) else said
            raise EngineError(f"the engine does not tell {what}: {why}", hint="docker info")
        return said

    def _unreachable(self, said: str, *, permitted: bool = True) -> EngineError:
        from devbox.engine.trouble import unreachable

        return unreachable(self.named, said, permitted=permitted)

    def _environ(self, args: Sequence[str], secrets: Mapping[str, str] | None) -> dict[str, str]:
        if args[:1] == ["compose"]:
            from devbox.engine.steering import for_compose

            return {**for_compose(self.environ), **(secrets or {})}
        return {**self.environ, **(secrets or {})}


def _only_asks(args: Sequence[str]) -> bool:
    """Tell whether `docker ARGS` changes nothing, and is answered at once."""
    first, second = (*args[:2], "", "")[:2]
    return first in _ASKS or (first in _ASKS_OF and second in {"ls", "list", "inspect", "version"})


def _summary_of_inspect(item: JSON) -> ContainerSummary:
    from datetime import datetime

    created = str(item.get("Created", "")).partition(".")[0].removesuffix("Z")
    state = item.get("State", {}).get("Status", "")
    return ContainerSummary(
        id=item["Id"],
        names=(str(item.get("Name", "")).removeprefix("/"),),
        image=item.get("Config", {}).get("Image", ""),
        image_id=item.get("Image", ""),
        state=state,
        status=state,
        created=int(datetime.fromisoformat(f"{created}+00:00").timestamp()) if created else 0,
        labels=item.get("Config", {}).get("Labels") or {},
        mounts=tuple(item.get("Mounts") or ()),
    )
