"""The lifecycle commands: their order, their markers, and how they are run.

The markers are those of the reference CLI and the IDEs, byte for byte, so that none of them runs a command again.
Unlike theirs, devbox's are written when the command has succeeded: one that failed is tried again by the next `up`.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox.container import memory
from devbox.container.hooks.parallel import INTERRUPTED, CommandDone, CommandsFailedError, run_entry
from devbox.container.inside import supervise
from devbox.container.inside.exec import execution
from devbox.container.inside.home import HOMELESS, OWN_HOME
from devbox.container.inside.unrunnable import BEGINNING, CODES, unrunnable
from devbox.container.person.dotfiles import NAME as DOTFILES
from devbox.container.target import missing_user
from devbox.devcontainer.merge import merge
from devbox.engine import process
from devbox.engine.exec import Exec
from devbox.errors import HookError
from devbox.files import has_windows_lines, windows_lines
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devbox.container.person.dotfiles import Dotfiles
    from devbox.container.target import Target
    from devbox.devcontainer.model import Command, Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.engine.process import Completed
    from devbox.reporter import Reporter

# The entries of one lifecycle name in order; the commands of one entry, by name, run in parallel.
Entries = tuple[tuple[tuple[str, "Command"], ...], ...]

ONCE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
EACH_START = "postStartCommand"
ALWAYS = "postAttachCommand"
ON_HOST = "initializeCommand"
MARKED = (*ONCE, EACH_START)
# In the order in which they run, as with the reference CLI.
ORDER = (*ONCE, DOTFILES, EACH_START, ALWAYS)

# Arguments: name, moment, and what to do: `ask` prints the name if the marker does not hold the moment, `write` makes
# it hold it, `clear` removes it. An empty marker counts as done, as with the reference. The marker of a name without a
# moment, the dotfiles', is empty. `$HOME` is the container's, or that of passwd where it cannot be written.
MARKERS = rf"""
{OWN_HOME}
for home in "$HOME" "$(own_home)"; do
  [ -n "$home" ] && mkdir -p "$home/.devcontainer" 2>/dev/null && [ -w "$home/.devcontainer" ] && break
  home=
done
[ -n "$home" ] || exit {HOMELESS}
nl='
'
while [ $# -ge 3 ]; do
  file=$home/.devcontainer/.$1Marker
  if [ -e "$file" ]; then have=$(cat "$file"); else have=ENOENT; fi
  [ -n "$2" ] || [ "$have" = ENOENT ] || have=
  if [ "$3" = clear ]; then
    rm -f "$file" || exit {HOMELESS}
  elif [ -n "$have" ] && [ "$have" != "$2" ]; then
    if [ "$3" = ask ]; then echo "$1"
    elif ! printf '%s' "${{2:+$2$nl}}" >"$file"; then rm -f "$file"; exit {HOMELESS}; fi
  fi
  shift 3
done
"""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The lifecycle commands of a container, and the moments that its markers hold: its creation and its last start.

    Where it is said from where each comes, `merged` knows that.
    """

    commands: tuple[tuple[str, Entries], ...]
    created: str
    started: str
    dotfiles: Dotfiles | None = None
    merged: Merged | None = None

    def entries(self, name: str) -> Entries:
        """Return the entries of a lifecycle name."""
        if name == DOTFILES:
            return () if self.dotfiles is None else ((("", self.dotfiles.argv()),),)
        return dict(self.commands).get(name, ())

    def moment(self, name: str) -> str:
        """Return what the marker of `name` holds when it is done."""
        return {EACH_START: self.started, DOTFILES: ""}.get(name, self.created)

    @property
    def names(self) -> tuple[str, ...]:
        """The lifecycle names that have a command and run in the container, in order."""
        return tuple(name for name in ORDER if self.entries(name))


class Extent(NamedTuple):
    """Which of the lifecycle commands in the container a call is about, of those that are due.

    `until` is the last one, None for all; with `blocking` it is the one that `waitFor` names. `attach` is false where
    nobody attaches, `inside` where none is to run. `again` is one that runs though it is done.
    """

    inside: bool = True
    until: str | None = None
    blocking: bool = False
    attach: bool = True
    again: str | None = None

    def of(self, hooks: Hooks, due: Sequence[str]) -> tuple[str, ...]:
        """Return the lifecycle names, of those that have a command, which are in question."""
        names = {*due, self.again}
        return tuple(name for name in hooks.names if name in names and (self.attach or name != ALWAYS))


ALL = Extent()


@dataclass(frozen=True, slots=True)
class HookDone:
    """A lifecycle name that was run: how many seconds it took in all, and each of its named commands."""

    name: str
    seconds: float
    commands: tuple[CommandDone, ...] = ()


@dataclass(frozen=True, slots=True)
class Inside:
    """Where lifecycle commands run: the container, and the secrets that they get by the environment.

    `variables` are those that this one call sets for them.
    """

    engine: Engine
    target: Target
    reporter: Reporter
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Sequence[tuple[str, str]] = ()

    def asked(self, command: Command, token: str | None = None, names: Sequence[str] = ()) -> Exec:
        """Return a lifecycle command as it is executed, in `environ`. `names` are further variables."""
        env: list[tuple[str, str | None]] = [] if token is None else [(supervise.TOKEN, token)]
        env += [*self.variables, *((name, None) for name in (*self.secrets, *names))]
        return execution(self.target, host_argv(command), interactive=False, env=env, environ=self.engine.environ)

    def environ(self) -> dict[str, str]:
        """Return the environment for docker, with what it passes on by name."""
        return {**self.target.client_environ(self.engine.environ), **self.secrets}

    def marks(self, requests: Sequence[tuple[str, str, str]]) -> list[str]:
        """Look at markers, or write them, as the remote user: see `MARKERS`. Return the names that are asked and due.

        Where the user has no home for them, what is remembered of the last runs stands for them.
        """
        words = [word for request in requests for word in request]
        argv = ("sh", "-c", MARKERS, "markers", *words)
        done = self.engine.execute(Exec(self.target.container, argv, self.target.user, interactive=False))
        if done.code == HOMELESS:
            runs = memory.hook_runs(self.target.container)
            last = {name: run.moment for name, run in runs.items() if run.code == 0}
            return [name for name, moment, what in requests if what == "ask" and last.get(name) != moment]
        if not done.ok:
            raise missing_user(self.target.user, done) or HookError(
                f"the marks of lifecycle commands cannot be looked at in the container, as {self.target.user}",
                detail=done.stderr.strip() or None,
            )
        return done.stdout.split()


def host_argv(command: Command) -> list[str]:
    """Return a lifecycle command as an argv: a line for the shell, or as it is."""
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)


def on_host(contract: Contract) -> Entries:
    """Return the entries of `initializeCommand`, which is the contract's alone."""
    return dict(merge(contract, (), {}).hooks).get(ON_HOST, ()) if contract.config.get(ON_HOST) else ()


def pending(inside: Inside, hooks: Hooks, *, look: bool = False) -> tuple[str, ...]:
    """Return the lifecycle names whose commands have to run now, `postAttachCommand` aside.

    Where there is no command for a name, its marker is written at once, in the same call, unless `look` forbids it; not
    that of dotfiles, which somebody may still choose.
    """
    requests = [(name, hooks.moment(name), "ask" if look or hooks.entries(name) else "write") for name in MARKED]
    if hooks.dotfiles is not None:
        requests.append((DOTFILES, "", "ask"))
    asked = inside.marks(requests)
    return tuple(name for name in hooks.names if name in asked)


def awaited(names: Sequence[str], wait_for: str) -> tuple[str, ...]:
    """Return those of the lifecycle `names` that `waitFor` makes a tool wait for: up to the one that it names."""
    last = ORDER.index(wait_for) if wait_for in ORDER else -1
    return tuple(name for name in names if ORDER.index(name) <= last)


def unmarked(inside: Inside, hooks: Hooks) -> tuple[str, ...] | None:
    """Return what `pending` says; None where it is remembered that all is done. No environment is needed for that."""
    wanted = hooks.dotfiles is not None
    if memory.hooks_done(inside.target.container, (hooks.created, hooks.started), dotfiles=wanted):
        return None
    return pending(inside, hooks)


def run_due(
    inside: Inside,
    hooks: Hooks,
    *,
    wait_for: str | None = None,
    extent: Extent = ALL,
    left: Callable[[], tuple[str, ...] | None] | None = None,
) -> tuple[tuple[HookDone, ...], bool]:
    """Run the lifecycle commands that are due, in order: what was run, and whether nothing is left to do.

    With `wait_for`, only those up to that name; `extent` says which of them are in question at all, `left` what
    `unmarked` said where that was asked already. Raises HookError at the first one that fails; the later ones then wait
    for the next `up`. Dotfiles that fail are a warning.
    """
    identifier, moments = inside.target.container, (hooks.created, hooks.started)
    wanted = hooks.dotfiles is not None
    named = unmarked(inside, hooks) if left is None else left()
    known = named is None
    due = extent.of(hooks, (*(named or ()), ALWAYS))
    now = due if wait_for is None else awaited(due, wait_for)
    done = run(inside, hooks, now)
    ran = {one.name for one in done}
    undone = [name for name in due if name not in ran]
    if not known and not {*undone} - {ALWAYS, DOTFILES}:
        memory.remember_hooks(identifier, moments, dotfiles=wanted and DOTFILES not in undone)
    return done, now == due


def run(inside: Inside, hooks: Hooks, names: Sequence[str], *, again: bool = False) -> tuple[HookDone, ...]:
    """Run the commands of the lifecycle `names`, whatever their markers say, and return those that succeeded.

    `again` means that they may have succeeded before: until they do so again, their markers are gone. Raises HookError
    at the first one that fails; dotfiles that were not asked for by name are a warning then.
    """
    if not names:
        return ()
    engine, target, reporter = inside.engine, inside.target, inside.reporter
    if again:
        memory.forget_hooks(target.container)
        if marked := [name for name in names if name != ALWAYS]:
            inside.marks([(name, "", "clear") for name in marked])
    ran = []
    with supervise.supervised(
        target.container, user=target.user, environ=target.client_environ(engine.environ), docker=engine.docker
    ) as token:
        for place, name in enumerate(names, 1):
            try:
                with reporter.step(name):
                    ran.append(_run_name(inside, hooks, name, token, then=names[place:]))
            except HookError as error:
                if name != DOTFILES or again:
                    raise
                why = (error.detail or "").splitlines()[-1:]
                reporter.warn(": ".join(["the dotfiles could not be installed; the next up tries again", *why]))
    return tuple(ran)


def _run_name(inside: Inside, hooks: Hooks, name: str, token: str, *, then: Sequence[str]) -> HookDone:
    """Run the commands of one lifecycle name and leave its marker; what came of it is remembered, too.

    `then` are the names that are to run after it.
    """
    begun = time.monotonic()
    code = INTERRUPTED
    commands: list[CommandDone] = []
    extra = _more(hooks, name)
    entries = hooks.entries(name)
    origins = () if hooks.merged is None else hooks.merged.origins(name)
    try:
        for place, entry in enumerate(entries):
            if len(origins) == len(entries):
                for what in (f"the {name}", *(f"{label} of {name}" for label, _ in entry if label)):
                    inside.reporter.info(f"Running {what} from {origins[place]}...")
            run_one = partial(_run_one, inside, token=token, hook=name, extra=extra)
            commands += run_entry(name, entry, run_one, inside.reporter, then=then)
        code = 0
    except CommandsFailedError as error:
        code = error.status
        raise
    finally:
        seconds = round(time.monotonic() - begun, 3)
        moment = hooks.moment(name)
        memory.remember_hook_run(inside.target.container, name, memory.HookRun(moment, code, seconds))
    if name != ALWAYS:
        inside.marks([(name, moment, "write")])
    return HookDone(name, seconds, tuple(one for one in commands if one.label))


def lines(inside: Inside, hooks: Hooks, names: Sequence[str]) -> list[str]:
    """Return the docker commands of the lifecycle commands `names`, as a person would type them."""
    return [
        shlex.join(inside.asked(command, names=tuple(_more(hooks, name))).argv_of(inside.engine.docker))
        for name in names
        for entry in hooks.entries(name)
        for _, command in entry
    ]


def _more(hooks: Hooks, name: str) -> dict[str, str]:
    """Return further variables for the commands of a lifecycle name."""
    return hooks.dotfiles.environ() if name == DOTFILES and hooks.dotfiles is not None else {}


def _run_one(
    inside: Inside, label: str, command: Command, *, token: str, hook: str, extra: Mapping[str, str]
) -> tuple[int, str]:
    """Run one command in the container, and return its exit code and its last lines."""
    prefix = f"{hook} {label}".strip()
    done = inside.engine.follow(
        inside.asked(command, token, tuple(extra)),
        lambda line: inside.reporter.output(line, prefix=prefix),
        environ={**inside.environ(), **extra},
    )
    return _explained(done, command, inside.target.workspace, inside.target.folder)


def _explained(done: Completed, command: Command, workspace: Path, folder: str) -> tuple[int, str]:
    """Return exit code and last lines of a command, with the scripts of the workspace that no shell could read."""
    if done.ok:
        return 0, done.stderr
    words = command.split() if isinstance(command, str) else [word for part in command for word in part.split()]
    scripts = [word.strip("\"';&|()").removeprefix(f"{folder}/") for word in words]
    odd = [script for script in dict.fromkeys(scripts) if script and has_windows_lines(workspace / script)]
    said = done.stderr
    if said.startswith(BEGINNING) and done.code in CODES:
        said = unrunnable(said, words[0]).message
    return done.code, "\n".join([said, *map(windows_lines, odd)])


def run_on_host(entries: Entries, workspace: str, environ: Mapping[str, str], reporter: Reporter) -> HookDone:
    """Run `initializeCommand` on the host, in the workspace, with the host's environment. Raises HookError if it fails.

    What it started ends with devbox if that is interrupted.
    """
    begun = time.monotonic()
    commands: list[CommandDone] = []
    with supervise.supervised_here(environ) as token:
        inner = {**environ, supervise.TOKEN: token}

        def run_one(label: str, command: Command) -> tuple[int, str]:
            prefix = f"{ON_HOST} {label}".strip()
            done = process.stream(
                host_argv(command), lambda line: reporter.output(line, prefix=prefix), environ=inner, cwd=workspace
            )
            return _explained(done, command, Path(workspace), workspace)

        for entry in entries:
            commands += run_entry(ON_HOST, entry, run_one, reporter)
    return HookDone(ON_HOST, round(time.monotonic() - begun, 3), tuple(one for one in commands if one.label))
