"""The one way in which devbox runs git on the host.

A container can write into the checkout's `.git`, and git runs programs that its configuration names: a file system
monitor, hooks, diff drivers, content filters, remote helpers. This door lets in only commands that answer from git's
own data, switches off what those could still start, and asks for no network, no lock and no password.
"""

from __future__ import annotations

import os
import select
import subprocess
from typing import IO, TYPE_CHECKING

from devbox.engine import process
from devbox.errors import DevboxError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Commands that neither read file contents through filters nor run anything. `status`, `diff` and `log` are not among
# them: they start filters, drivers and signature checkers that have any name the configuration gives them.
COMMANDS = frozenset(
    {
        "cat-file",
        "check-ignore",
        "config",
        "count-objects",
        "describe",
        "for-each-ref",
        "ls-files",
        "ls-tree",
        "merge-base",
        "rev-list",
        "rev-parse",
        "symbolic-ref",
        "worktree",
    }
)
# Of these commands' options, those that do what the others are kept out for, and `worktree`'s verbs that write.
_REFUSED = frozenset(
    {"--filters", "--textconv", "--modified", "-m", "--dirty", "--broken"}
    | {"add", "move", "prune", "remove", "repair", "lock"}
)
_SETTINGS = (
    "core.fsmonitor=",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "core.gitProxy=",
    "credential.helper=",
    "diff.external=",
    "log.showSignature=false",
    "protocol.allow=never",
    # git refuses a repository of another user because of what its configuration could run. None of that runs here.
    "safe.directory=*",
)
# Where git may look for the repository is the user's to say; every other GIT_* variable could point it elsewhere, as it
# does when devbox is called from a hook.
_KEPT = frozenset({"GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH"})
_SECONDS = 60.0
# To compress a large repository takes minutes, in which git says nothing.
PACK_SECONDS = 600.0


def git(path: Path, *args: str, environ: Mapping[str, str] | None = None) -> process.Completed | None:
    """Run `git ARGS` in the folder `path`; None where git is not installed or the folder cannot be entered.

    A failure of git itself is the caller's to judge by `code`. Raises ValueError for a command outside `COMMANDS`: that
    is a mistake in the program, not of a person.
    """
    writes = args[:1] == ("config",) and args[1:2] != ("--list",)
    if not args or args[0] not in COMMANDS or writes or not _REFUSED.isdisjoint(args):
        raise ValueError(f"git {' '.join(args)} is not among the commands that are safe in a checkout")
    try:
        return process.run(
            _argv(*args),
            check=False,
            cwd=path,
            environ=environment(os.environ if environ is None else environ),
            timeout=_SECONDS,
        )
    except (DevboxError, OSError):
        return None


def packed(path: Path, objects: str, *, revisions: bool, first: bool) -> Iterator[bytes]:
    """Yield a pack, piece by piece: of `objects` by their names, a line each, or of all that `revisions` reach.

    With `revisions` it may lean on objects that the other end is known to have (git's `--thin`). For the `first` one no
    differences are looked for beside those that git keeps: on a large tree that takes longer than the line saves, and
    meanwhile nothing is sent. Raises EngineError, also where git is silent for too long: a container may have put a
    pipe in an object's place.
    """
    import tempfile

    argv = ["pack-objects", "--stdout", "--delta-base-offset", "-q", *(["--revs", "--thin"] if revisions else [])]
    argv += ["--window=0"] if first else []
    with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile() as said:
        wanted.write(f"{objects}\n".encode("utf-8", "surrogateescape"))
        wanted.seek(0)
        with subprocess.Popen(
            _argv(*argv), cwd=path, stdin=wanted, stdout=subprocess.PIPE, stderr=said, env=environment(os.environ)
        ) as running:
            assert running.stdout is not None  # noqa: S101  # PIPE was asked for
            try:
                while data := _within(PACK_SECONDS, running.stdout):
                    yield data
            except BaseException:
                running.kill()
                raise
        if running.returncode != 0:
            said.seek(0)
            raise EngineError("git could not pack the repository", detail=said.read().decode("utf-8", "replace"))


def _within(seconds: float, stream: IO[bytes]) -> bytes:
    if not select.select([stream], [], [], seconds)[0]:
        raise EngineError(f"git said nothing for {seconds:g} s while it packed the repository", hint="git fsck")
    return os.read(stream.fileno(), 1 << 20)


def _argv(*args: str) -> list[str]:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    return ["git", "--no-pager", "--no-replace-objects", *settings, *args]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` as git gets it: without GIT_* variables that aim it elsewhere, with those that keep it quiet."""
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "none",
        "LC_ALL": "C",
    }
