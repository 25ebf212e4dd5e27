"""Answers that are given again: of commands that only look, and whose looks show what they showed last time.

A warm `devbox up` reads the contract, the settings and what was agreed to, asks the engine, and finds that there is
nothing to do. What it said is kept with all that it looked at (`devbox.looks`), for exactly these arguments, this
folder, this environment and this terminal. The next one looks at the same again, and where it is as it was, says the
same. Else, and where anything had to be done, such as a hook of each `up`, the ordinary way is taken.

All that is kept may be deleted at any time. `devbox.__main__` comes here before the command line is imported, so this
module imports next to nothing.
"""

from __future__ import annotations

import os
import sys

from devbox.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from devbox.lean import dumps, loads, stored
from devbox.looks import Looks, digest, same
from devbox.paths import state_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TextIO

SCHEMA = 2
COMMANDS = (["--help"], ["up"], ["build"], ["config", "contract"])
MOST = 64
_NAMES = ("stdout", "stderr")


def may_be_kept(args: Sequence[str]) -> bool:
    """Tell whether an answer to these arguments is ever given again. What comes over stdin is not looked at."""
    known = any(list(args[: len(command)]) == command for command in COMMANDS)
    return known and not any(text == "-" or text.endswith("=-") for text in (*args, *os.environ.values()))


def answer(args: Sequence[str]) -> int | None:
    """Say what these arguments gave the last time, and return the exit code; None where that need not hold any more.

    What was only decided the last time, what to ask of the agent, is done.
    """
    if not may_be_kept(args):
        return None
    try:
        kept = loads(stored(_file(args)))
        if kept["schema"] != SCHEMA or not same(kept["looks"]):
            return None
        if "SSH_AUTH_SOCK" in os.environ and kept["decided"] is None:
            from devbox.container.person import ssh_agent

            ssh_agent.ensure(os.environ)
        for name, text in kept["said"]:
            told = sys.stdout if name == "stdout" else sys.stderr
            told.write(text)
            told.flush()
    except (OSError, UsageError, ValueError, LookupError, TypeError, AttributeError):
        return None
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if kept["decided"] is None:
        return EXIT_OK
    from devbox.cli.builds import again

    return again.build(kept["decided"])


def run(args: Sequence[str], ordinary: Callable[[], int]) -> int:
    """Return the exit code of `ordinary`, the ordinary way; what it says is kept where it only looked."""
    global _run  # noqa: PLW0603  # a process has one run, and what decides in it is far from here
    try:
        file = _file(args) if may_be_kept(args) else None
    except (OSError, UsageError):
        file = None
    if file is None:
        return ordinary()
    _run = _Run()
    with _run:
        code = ordinary()
    # Who was asked something may answer otherwise the next time.
    if code == EXIT_OK and "questionary" not in sys.modules:
        _run.end(None)
    if _run.kept is not None:
        _keep(file, _run.kept)
    return code


def decided(what: dict[str, Any]) -> None:
    """Keep what this run has decided to do: from here on it does more than look. `what` is JSON."""
    if _run is not None:
        _run.end(what)


class _Run:
    """A run by the ordinary way: what it looks at, and what it says. `kept` is what there is to keep of it."""

    def __init__(self) -> None:
        state = state_folder()
        self.kept: dict[str, Any] | None = None
        self.said: list[tuple[str, str]] | None = []
        self._looks = Looks((f"{state}/answers", f"{state}/ssh"), locks=(f"{state}/workspaces/", f"{state}/locks/"))
        self._streams = sys.stdout, sys.stderr

    def __enter__(self) -> None:
        told: list[Any] = [_Told(*stream, self) for stream in zip(self._streams, _NAMES, strict=True)]
        sys.stdout, sys.stderr = told
        self._looks.__enter__()

    def __exit__(self, *_: object) -> None:
        self._looks.__exit__()
        sys.stdout, sys.stderr = self._streams

    def end(self, decided: dict[str, Any] | None) -> None:
        """Have what was looked at and said until now kept, with what is `decided` by it. The first time counts."""
        self._looks.__exit__()
        said, self.said = self.said, None
        if said is not None and (looks := self._looks.kept()) is not None:
            self.kept = {"schema": SCHEMA, "looks": looks, "said": said, "decided": decided}


_run: _Run | None = None


class _Told:
    """A stream, and a copy of what is written to it."""

    def __init__(self, stream: TextIO, name: str, run: _Run) -> None:
        self._told = stream, name, run

    def write(self, text: str) -> int:
        """Write to the stream, and keep a copy."""
        stream, name, run = self._told
        # First: typer asks with bytes whether a stream takes text.
        written = stream.write(text)
        if run.said is not None:
            run.said.append((name, text))
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._told[0], name)


def _file(args: Sequence[str]) -> str:
    """Return the file of an answer to exactly this: its name is a hash, for in the environment there are secrets."""
    columns = [os.get_terminal_size(number).columns if os.isatty(number) else -1 for number in range(3)]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = (sys.version, sys.executable, __file__, *os.uname(), cpus, os.getuid(), os.getgid(), *os.getgroups())
    variables = sorted(f"{name}={value}" for name, value in os.environ.items())
    name = digest(*machine, columns, os.getcwd(), len(args), *args, *variables)  # noqa: PTH109
    return f"{state_folder()}/answers/{name}.json"


def _keep(name: str, kept: dict[str, Any]) -> None:
    """Write an answer for its owner alone, and forget the oldest of many. What cannot be written is not kept."""
    from pathlib import Path

    from devbox.files import private_folder, write_atomically

    file = Path(name)
    try:
        private_folder(file.parent)
        write_atomically(file, dumps(kept), mode=0o600)
        for old in sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError:
        pass
