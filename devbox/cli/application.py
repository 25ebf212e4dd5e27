"""What one run of the command line shares: the console, the engine, and how a result is shown."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from devbox.engine.api import ON
from devbox.errors import RefusedError, UsageError
from devbox.masking import calm, calm_json, folded_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import typer

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.config.table import Flags
    from devbox.engine.docker import Engine
    from devbox.errors import DevboxError
    from devbox.frameworks.model import Framework
    from devbox.trust.reach import Reach
    from devbox.ui.console import Console


class Application:
    """One run: made in `devbox.cli.app.run`, handed to each command as the context's object."""

    def __init__(
        self, console: Console, environ: Mapping[str, str], *, json: bool, debug: bool = False, command: str = ""
    ) -> None:
        """Take the terminal, the environment, and what the command line says for all commands."""
        self.console = console
        self.environ = environ
        self.json = json
        self.debug = debug
        self.command = command

    @cached_property
    def engine(self) -> Engine:
        """The engine that the person or the environment names; of a command in dev containers it may be a cluster."""
        see_engine(None)
        if _place:
            from devbox.engine.kubernetes.cluster import chosen

            return chosen(self.environ)
        from devbox.engine.docker import Engine

        return Engine(environ=self.environ)

    def settings(
        self, folder: Path | None, flags: Flags | None = None, *, trust: bool | None = None, dry_run: bool = False
    ) -> Settings:
        """Return the settings of a checkout, or of the person alone. Raises ConfigError.

        What a file of the checkout reaches by them is asked for; `trust` says yes, None that the command has no
        `--trust`. In a dry run the person's own settings count until then. Raises RefusedError.
        """
        from devbox import config
        from devbox.config.table import OF_CHECKOUTS

        settings = config.load(folder, environ=self.environ, flags=flags or {})
        if folder is not None:
            self.see_settings(settings, folder, OF_CHECKOUTS, trust=trust, dry_run=dry_run)
            if dry_run:
                from devbox.trust.settings import agreed

                return agreed(settings, folder, self.environ, flags or {})
        return settings

    def see_settings(
        self, settings: Settings, folder: Path, keys: Sequence[str], *, trust: bool | None = None, dry_run: bool = False
    ) -> None:
        """Ask for what the checkout's own files reach by these settings. As `settings`."""
        if any(settings.said(key) for key in keys):
            from devbox.trust.settings import of_settings

            self.see(folder, tuple(of_settings(settings, folder, self.environ, keys)), trust=trust, dry_run=dry_run)

    def see(self, folder: Path, reach: Sequence[Reach], *, trust: bool | None = None, dry_run: bool = False) -> None:
        """See that the person agreed to what a checkout reaches; a dry run says what would be asked. As `settings`."""
        from devbox.trust.ask import Answers, agree

        command = "devbox up" if trust is None else f"devbox {self.command}"
        for note in agree(folder, folder, reach, Answers(bool(trust), dry_run=dry_run, command=command), self.console):
            self.console.info(f"note: {note}")

    def network(self, folder: Path | None) -> Network:
        """Return what settings and environment say of the network."""
        from devbox.config.network import network_of

        return network_of(self.settings(folder), self.environ)

    def framework(self, folder: Path, flags: Flags) -> Framework:
        """Return the framework of a checkout, as it is asked for, set or detected. Raises UsageError."""
        from devbox.container.which import framework_for

        return framework_for(folder, self.settings(folder, flags), self.console)

    def agree(self, question: str, again: str) -> None:
        """Ask before something is removed. Raises RefusedError, with the command that needs no answer, for a no."""
        if not self.console.confirm(question):
            raise RefusedError("nothing was removed", hint=f"{again} --yes   # removes what is named above")

    def show_commands(self, lines: Sequence[str]) -> None:
        """Print what a dry run would have done, as commands."""
        self.show({"commands": lines}, lambda: "\n".join(self.in_short(lines)))

    def in_short(self, lines: Sequence[str]) -> Sequence[str]:
        """Return the lines of a dry run, with long words folded unless `--verbose` is given."""
        return lines if self.console.verbose else [line if "\n" in line else folded_command(line) for line in lines]

    def finish(self, data: object, text: Callable[[], str | None], error: DevboxError | None) -> None:
        """Print a result. Where it is a failure, too, say what failed, and leave with its exit code."""
        self.show(data, text, error=error)
        if error is not None:
            import typer

            if not self.json:
                self.console.error(error.message, hint=error.hint)
            raise typer.Exit(error.exit_code)

    def show(
        self, data: object, text: Callable[[], str | None], *, error: DevboxError | None = None, code: int | None = None
    ) -> None:
        """Print a result on stdout: as the JSON envelope, or as the text for people.

        A result that is a failure, too, comes with its `error` and the exit `code`; the text says it in its own way.
        """
        if self.json:
            from devbox.ui.envelope import envelope

            console = self.console
            line = envelope(
                self.command, data, warnings=console.warnings, error=error, code=code, mask=console.mask.data
            )
            sys.stdout.write(f"{calm_json(line)}\n")
            return
        self.console.close()
        shown = text()
        if shown:
            data = self.console.mask(shown.rstrip("\n"))
            # Only a terminal acts on it: what a script or a file gets stays what it is.
            sys.stdout.write(f"{calm(data) if sys.stdout.isatty() else data}\n")

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Print an event of a long command on stdout, as a line of JSON before the envelope."""
        self.line(command=self.command, event=name, data=fields)

    def line(self, **fields: object) -> None:
        """Print a line of JSON on stdout, at once: for what happens before a command has a result."""
        import json

        from devbox.ui.envelope import SCHEMA, plain

        line = self.console.mask.data(plain({"schema": SCHEMA, **fields}))
        sys.stdout.write(f"{calm_json(json.dumps(line, ensure_ascii=False))}\n")
        sys.stdout.flush()


def application(context: typer.Context) -> Application:
    """Return the run's application, which learns from the innermost `context` what command this is: `builds list`."""
    run = cast("Application", context.obj)
    run.command = context.command_path.partition(" ")[2] or context.invoked_subcommand or ""
    return run


def workspace(path: Path | None, *, exact: bool = False) -> Path:
    """Return the workspace that a command is about, absolute: what `path`, by default the current folder, is in.

    With `exact` a folder that is named is meant as it is: to bring a container up for it makes it a workspace. Raises
    UsageError if it is no folder.
    """
    from devbox.container import which

    folder = named(path)
    return folder if exact and path is not None else which.workspace(folder)


def once_named(path: Path | None) -> Path:
    """Return the folder as `named` does; one that is gone counts, too, for what is left of it."""
    from devbox.devcontainer.identity import absolute

    return named(path) if path is None or path.is_dir() else Path(absolute(path))


def named(path: Path | None) -> Path:
    """Return the folder that is named, by default the current one, absolute, symlinks kept as the user wrote them.

    Commands that work in a dev container take it as it is, and look for the nearest container from there. Raises
    UsageError if it is no folder.
    """
    given = Path.cwd() if path is None else path
    if path is None:
        # The shell's own idea of where it is keeps the symlinks that the kernel resolves.
        import os

        logical = os.environ.get("PWD", "")
        if logical and Path(logical).is_absolute() and Path(logical).is_dir() and Path(logical).samefile(given):
            given = Path(logical)
    elif not given.is_absolute():
        given = named(None) / given
    folder = _normal(given)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="devbox up PATH   # PATH is a checkout")
    see_engine(folder)
    return folder


_set: list[str] = []
# The place that this process has put into its environment.
_place: list[str] = []


def see_engine(folder: Path | None) -> None:
    """Have the engine used that the person has set for a folder's workspace, or for all. Raises as settings do.

    It goes into this process's environment, in docker's own word for it: so every program that is started means it.
    """
    import os

    from devbox.paths import may_set

    if may_set("context", os.environ):
        from devbox.config import context_for
        from devbox.container.which import workspace as workspace_of

        if _set == [os.environ.get("DOCKER_CONTEXT")]:
            # What was set for all before the workspace was known.
            del os.environ["DOCKER_CONTEXT"], _set[:]
        found = context_for(None if folder is None else workspace_of(folder), os.environ)
        if found is not None:
            os.environ["DOCKER_CONTEXT"] = found
            _set[:] = [found]


def see_place_of(path: Path | None) -> None:
    """Have the cluster used that is said or set for a folder's workspace, or where that was last.

    Without a `path` it is the current folder's. One that is none is for the command to complain about.
    """
    import os

    from devbox.container import memory
    from devbox.paths import may_set

    if _place and os.environ.get(ON) == _place[0]:
        # Of a command before this one in the same process.
        del os.environ[ON], _place[:]
    if not (ON in os.environ or memory.any_on_cluster() or may_set("kubernetes", os.environ)):
        return
    from devbox.config import place_for
    from devbox.container.target import logical_cwd
    from devbox.container.which import workspace as workspace_of

    folder = Path(os.path.normpath(Path(logical_cwd(os.environ), path or "")))
    where = workspace_of(folder) if folder.is_dir() else folder
    os.environ.update(place_for(where, os.environ))
    known = memory.place_of(where)
    found = os.environ.get(ON) or known
    if found is not None:
        use_place(found, known)


def use_place(on: str, known: str | None = None) -> None:
    """Have dev containers made, and looked for, where `--on` says; `known` is as for `resolved`.

    Raises UsageError where there is no such place.
    """
    import os

    from devbox.engine.kubernetes.cluster import resolved

    os.environ[ON] = resolved(on, os.environ, known)
    _place[:] = [os.environ[ON]]


def _normal(path: Path) -> Path:
    import os.path

    return Path(os.path.normpath(path))
