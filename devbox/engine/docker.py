"""The door to Docker. What is only asked over the socket imports next to nothing.

Whatever a person could type goes through the docker CLI as an argv list, so that a dry run prints what would run. The
one hot question, which containers carry these labels, is asked over the engine's unix socket where there is one:
starting the CLI costs more than the answer.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from devbox.engine.api import ask_socket, patience, socket_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devbox.engine import process
    from devbox.engine.exec import Exec
    from devbox.engine.flavour import Flavour
    from devbox.engine.spec import ImageBuild
    from devbox.errors import EngineError

JSON = dict[str, Any]

_FOUND, _NOT_FOUND = 200, 404
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

    def __init__(self, *, docker: str = "docker", environ: Mapping[str, str] | None = None) -> None:
        """Take the docker program and the environment that it runs in (the process's own by default)."""
        self.docker = docker
        self.environ: Mapping[str, str] = os.environ if environ is None else environ

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

        argv = (self.docker, *asked.args())
        path = socket_path(self.environ)
        try:
            session = None if path is None else Session(path, asked, self.environ)
        except OSError:
            session = None
        if session is None:
            return self.run(argv[1:], check=False, input_text=input_text, timeout=timeout)
        try:
            code, *said = captured(session, (input_text or "").encode(), timeout)
        except RefusedByEngineError as error:
            return process.Completed(argv, 1, "", f"Error response from daemon: {error.message}\n")
        except TimeoutError:
            raise process.NoAnswerError(
                f"{self.docker} exec {asked.container[:12]} … gave no answer within {timeout:g} s"
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

    def trouble(self, said: str, args: Sequence[str] = ()) -> EngineError | None:
        """Return the error for a `docker ARGS` that failed and `said` that it could not reach or use its engine."""
        # Only where something failed: a command that works pays for no explanations.
        from devbox.engine.trouble import explain

        return explain(said, self.environ, args)

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

    def containers(self, labels: Mapping[str, str | None]) -> tuple[ContainerSummary, ...]:
        """Return the containers that carry all of `labels` (None: any value), newest first, stopped ones too."""
        wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
        path = socket_path(self.environ)
        if path is not None:
            from urllib.parse import quote

            filters = quote(json.dumps({"label": wanted}, separators=(",", ":")))
            try:
                status, body = ask_socket(path, f"/containers/json?all=1&filters={filters}")
            except OSError as error:
                raise self._unreachable(str(error), permitted=not isinstance(error, PermissionError)) from None
            if status == _FOUND:
                try:
                    return tuple(_summary(item) for item in json.loads(body))
                except (ValueError, LookupError, TypeError, AttributeError):
                    raise self._unreachable("its list of containers makes no sense") from None
        args = ["ps", "--no-trunc", "--quiet", "--all"]
        for label in wanted:
            args += ["--filter", f"label={label}"]
        ids = self.run(args).stdout.split()
        return tuple(_summary_of_inspect(item) for item in self.inspect("container", ids))

    def inspect(self, kind: str, names: Sequence[str]) -> list[JSON]:
        """Return `docker inspect --type KIND` of those of `names` that exist, in their order."""
        if not names:
            return []
        done = self.run(["inspect", "--type", kind, *names], check=False)
        return cast("list[JSON]", json.loads(done.stdout or "[]"))

    def container(self, name: str) -> JSON | None:
        """Return `docker inspect` of a container, or None if there is none of that name or id."""
        return self._one("container", name)

    def image(self, reference: str) -> JSON | None:
        """Return `docker inspect` of a local image, or None if it is not there."""
        return self._one("image", reference)

    def volume(self, name: str) -> JSON | None:
        """Return `docker inspect` of a volume, or None if it does not exist."""
        return self._one("volume", name)

    def network(self, name: str) -> JSON | None:
        """Return `docker inspect` of a network, or None if it does not exist."""
        return self._one("network", name)

    def _one(self, kind: str, name: str) -> JSON | None:
        """Inspect one thing over the socket, which answers ten times as fast as the CLI starts; else by the CLI."""
        path = socket_path(self.environ)
        if path is not None:
            from urllib.parse import quote

            quoted = quote(name, safe="/:@")
            routes = {"container": f"/containers/{quoted}/json", "image": f"/images/{quoted}/json"}
            try:
                status, body = ask_socket(path, routes.get(kind, f"/{kind}s/{quoted}"))
            except OSError:
                status, body = 0, b""
            if status == _FOUND:
                try:
                    return cast("JSON", json.loads(body))
                except ValueError:
                    raise self._unreachable(f"what it says of the {kind} {name} makes no sense") from None
            if status == _NOT_FOUND:
                return None
        return next(iter(self.inspect(kind, [name])), None)

    def _unreachable(self, said: str, *, permitted: bool = True) -> EngineError:
        from devbox.engine.trouble import unreachable

        return unreachable(self.environ, said, permitted=permitted)

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
