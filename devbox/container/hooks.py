"""The lifecycle commands: their order, their markers, and how they are run.

The markers are those of the reference CLI and the IDEs, byte for byte, so that none of them runs a command again.
Unlike theirs, devbox's are written when the command has succeeded: one that failed is tried again by the next `up`.
"""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from devbox.container import supervise
from devbox.container.exec import exec_argv
from devbox.container.target import missing_user
from devbox.errors import HookError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.container.target import Target
    from devbox.devcontainer.model import Command
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

# The entries of one lifecycle name in order; the commands of one entry, by name, run in parallel.
Entries = tuple[tuple[tuple[str, "Command"], ...], ...]

ONCE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
EACH_START = "postStartCommand"
ALWAYS = "postAttachCommand"
ON_HOST = "initializeCommand"
MARKED = (*ONCE, EACH_START)

# Arguments: name, moment, and what to do if the marker does not hold the moment: `ask` prints the name, `write` writes
# it. An empty marker counts as done, as with the reference. `$HOME` is the container's, or that of passwd.
_MARKERS = r"""
home=$HOME
[ -w "$home" ] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
mkdir -p "$home/.devcontainer" || exit 1
while [ $# -ge 3 ]; do
  file=$home/.devcontainer/.$1Marker
  if [ -e "$file" ]; then have=$(cat "$file"); else have=ENOENT; fi
  if [ -n "$have" ] && [ "$have" != "$2" ]; then
    if [ "$3" = write ]; then printf '%s\n' "$2" >"$file" || exit 1; else echo "$1"; fi
  fi
  shift 3
done
"""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The lifecycle commands of a container, and the moments that its markers hold: its creation and its last start."""

    commands: tuple[tuple[str, Entries], ...]
    created: str
    started: str

    def entries(self, name: str) -> Entries:
        """Return the entries of a lifecycle name."""
        return dict(self.commands).get(name, ())

    def moment(self, name: str) -> str:
        """Return what the marker of `name` holds when it is done."""
        return self.started if name == EACH_START else self.created

    @property
    def names(self) -> tuple[str, ...]:
        """The lifecycle names that have a command and run in the container, in order."""
        return tuple(name for name in (*MARKED, ALWAYS) if self.entries(name))


def host_argv(command: Command) -> list[str]:
    """Return a lifecycle command as an argv: a line for the shell, or as it is."""
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)


def markers_argv(target: Target, requests: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the docker arguments that look at markers, or write them, as the remote user."""
    arguments = [word for request in requests for word in request]
    return ["exec", "--user", target.user, target.container, "sh", "-c", _MARKERS, "markers", *arguments]


def pending(engine: Engine, target: Target, hooks: Hooks) -> tuple[str, ...]:
    """Return the lifecycle names whose commands have to run now, `postAttachCommand` aside.

    Where there is no command for a name, its marker is written at once, in the same call.
    """
    requests = [(name, hooks.moment(name), "ask" if hooks.entries(name) else "write") for name in MARKED]
    done = engine.run(markers_argv(target, requests), check=False)
    if not done.ok:
        raise missing_user(target.user, done) or HookError(
            f"{target.user} cannot write ~/.devcontainer in the container, where lifecycle commands leave their marks",
            detail=done.stderr.strip(),
        )
    asked = done.stdout.split()
    return tuple(name for name in MARKED if name in asked)


def run(
    engine: Engine, target: Target, hooks: Hooks, reporter: Reporter, *, only_attach: bool = False
) -> tuple[str, ...]:
    """Run the lifecycle commands that are due, in order, and return their names.

    `only_attach` means that the others are known to be done. Raises HookError at the first one that fails; the later
    ones then wait for the next `up`.
    """
    due = [*(() if only_attach else pending(engine, target, hooks)), *([ALWAYS] if hooks.entries(ALWAYS) else [])]
    if not due:
        return ()
    environ = target.client_environ(engine.environ)
    with supervise.supervised(target.container, user=target.user, environ=environ, docker=engine.docker) as token:
        for name in due:
            with reporter.step(name):
                for entry in hooks.entries(name):
                    run_parallel(name, entry, partial(_run_one, engine, target, reporter, token=token, hook=name))
            if name != ALWAYS:
                engine.run(markers_argv(target, [(name, hooks.moment(name), "write")]))
    return tuple(due)


def lines(engine: Engine, target: Target, hooks: Hooks, names: Sequence[str]) -> list[str]:
    """Return the docker commands of the lifecycle commands `names`, as a person would type them."""
    return [
        shlex.join(exec_argv(target, host_argv(command), interactive=False, docker=engine.docker))
        for name in names
        for entry in hooks.entries(name)
        for _, command in entry
    ]


def _run_one(
    engine: Engine, target: Target, reporter: Reporter, label: str, command: Command, *, token: str, hook: str
) -> tuple[int, str]:
    """Run one command in the container, and return its exit code and its last lines."""
    args = exec_argv(
        target, host_argv(command), interactive=False, env=((supervise.TOKEN, token),), docker=engine.docker
    )
    prefix = f"{hook} {label}".strip()
    environ = target.client_environ(engine.environ)
    done = engine.stream(args[1:], lambda line: reporter.output(line, prefix=prefix), secrets=environ)
    return done.code, done.stderr


def run_on_host(entries: Entries, workspace: str, environ: Mapping[str, str], reporter: Reporter) -> None:
    """Run `initializeCommand` on the host, in the workspace. Raises HookError if it fails."""
    from devbox.engine import process

    def run_one(label: str, command: Command) -> tuple[int, str]:
        prefix = f"{ON_HOST} {label}".strip()
        done = process.stream(
            host_argv(command), lambda line: reporter.output(line, prefix=prefix), environ=environ, cwd=workspace
        )
        return done.code, done.stderr

    for entry in entries:
        run_parallel(ON_HOST, entry, run_one)


class _Thread(threading.Thread):
    """One command of several in parallel; `result` is its exit code and last output, or what was raised."""

    def __init__(self, run_one: RunOne, label: str, command: Command) -> None:
        super().__init__(name=label, daemon=True)
        self.label = label
        self.result: tuple[int, str] | BaseException = (0, "")
        self._run_one = run_one
        self._command = command

    def run(self) -> None:
        """Run the command."""
        try:
            self.result = self._run_one(self.label, self._command)
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
            self.result = error


def run_parallel(name: str, entry: Sequence[tuple[str, Command]], run_one: RunOne) -> None:
    """Run the commands of one entry, several of them in parallel, and wait for all. Raises HookError if one failed."""
    if len(entry) == 1:
        results = [(entry[0][0], run_one(*entry[0]))]
    else:
        threads = [_Thread(run_one, label, command) for label, command in entry]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results = []
        for thread in threads:
            if isinstance(thread.result, BaseException):
                raise thread.result
            results.append((thread.label, thread.result))
    for label, (code, output) in results:
        if code:
            what = f"{name} '{label}'" if label else name
            raise HookError(
                f"{what} failed with exit code {code}",
                hint="devbox up   # tries it again; --skip-hooks leaves it out",
                detail="\n".join(output.splitlines()[-20:]) or None,
            )


if TYPE_CHECKING:
    from collections.abc import Callable

    RunOne = Callable[[str, Command], tuple[int, str]]
