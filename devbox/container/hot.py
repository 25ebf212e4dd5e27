"""`devbox exec` from its arguments to its exit code, by the shortest way.

It is run hundreds of times a day, by people and by tools, and is held to 1.5 times a bare `docker exec`. So one
list and one inspection are asked of the engine's socket, the rest is remembered, and nothing is imported that this does
not need. Where the socket or the memory has no answer, the ordinary way is taken.
"""

from __future__ import annotations

import os
import sys

from devbox.container import memory, target
from devbox.devcontainer.spelling import host_spelling
from devbox.engine.api import ON, ask_socket, is_cluster, socket_path
from devbox.errors import EXIT_INTERRUPTED, DevboxError, UsageError
from devbox.lean import dumps, loads
from devbox.paths import may_set, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NamedTuple

    from devbox.container.target import Target
    from devbox.engine.docker import Engine
else:
    from devbox.lean import NamedTuple

USAGE = "devbox exec [--workspace PATH] [--context NAME] [--] COMMAND [ARGUMENT]…"
_OK = 200
_LISTED = "/containers/json?all=1&filters=%7B%22label%22%3A%5B"
_LIST = f"{_LISTED}%22devcontainer.local_folder%22%5D%7D"
_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"


class Arguments(NamedTuple):
    """The arguments of `exec`, read: the folder and the docker context that were named, if any, and the command."""

    workspace: str | None
    command: tuple[str, ...]
    context: str | None = None


def parse(argv: list[str]) -> Arguments:
    """Read the arguments; options come before the command. Raises UsageError."""
    said: dict[str, str] = {}
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        name, equals, value = option.partition("=")
        if name not in {"-w", "--workspace", "--context"}:
            raise UsageError(
                f"exec has no option {name}", hint=f"{USAGE}   # put -- before a command that starts with -"
            )
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a {'name' if name == '--context' else 'folder'}", hint=USAGE)
            value = rest.pop(0)
        said[name.lstrip("-")] = value
    if not rest:
        raise UsageError("exec needs a command", hint=USAGE)
    return Arguments(said.get("workspace", said.get("w")), tuple(rest), said.get("context"))


def engine_of(folder: str, environ: Mapping[str, str], context: str | None) -> Mapping[str, str]:
    """Return the environment in which the engine of `folder` is reached: the one that was named, set, or docker's own.

    Raises DevboxError where it cannot be reached, or a setting makes no sense.
    """
    from devbox.engine.address import in_context, reached

    if context is None and may_set("context", environ):
        from pathlib import Path

        from devbox.config import context_for
        from devbox.container.which import workspace

        context = context_for(workspace(Path(folder)), environ)
    return reached(environ if context is None else in_context(environ, context))


def running(folder: str, environ: Mapping[str, str]) -> Target:
    """Return the running dev container of a folder or of one above it. Raises DevboxError if there is none."""
    path = None if is_cluster(environ) else socket_path(environ)
    if path is not None:
        found = _ask(path, folder)
        if found is not None:
            return found
    # Only where the socket or the memory has no answer: `exec` pays for each import.
    from pathlib import Path

    from devbox.container.inside.find import running_container

    return running_container(_engine(environ), Path(folder))


def _engine(environ: Mapping[str, str]) -> Engine:
    if ON in environ:
        from devbox.engine.kubernetes.cluster import chosen

        return chosen(environ)
    from devbox.engine.docker import Engine

    return Engine(environ=environ)


def _on(folder: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return `environ` with the cluster on which the containers of a folder run, if they do."""
    from pathlib import Path

    from devbox.config import place_for
    from devbox.container.which import workspace
    from devbox.engine.kubernetes.cluster import resolved

    where = workspace(Path(folder))
    environ = {**environ, **place_for(where, environ)}
    found = memory.place_of(where)
    if environ.get(ON):
        return {**environ, ON: resolved(environ[ON], environ, found)}
    return environ if found is None else {**environ, ON: found}


def _ask(path: str, folder: str) -> Target | None:
    try:
        candidates = _candidates(path, _labelled(folder)) or _candidates(path, _LIST)
        found = target.nearest(candidates, folder, preferred=memory.last_contract)
        if found is None or not found.running:
            # Said by the ordinary way, which also knows the contract that a workspace last used.
            return None
        status, body = ask_socket(path, f"/containers/{found.id}/json")
        if status != _OK:
            return None
        state = loads(body)["State"]
        return memory.recall_target(found.id, state["StartedAt"]) if state["Running"] else None
    except (OSError, ValueError, KeyError):
        return None


def _labelled(folder: str) -> str:
    """Return the question for the dev containers of exactly this folder: however many others there are, it costs that.

    In a WSL distribution the label may spell the folder in another way.
    """
    if "WSL_DISTRO_NAME" in os.environ:
        return _LIST
    label = dumps(f"devcontainer.local_folder={folder}").encode("utf-8", "surrogateescape")
    quoted = "".join(chr(one) if chr(one) in _PLAIN else f"%{one:02X}" for one in label)
    return f"{_LISTED}{quoted}%5D%7D"


def _candidates(path: str, request: str) -> list[target.Candidate]:
    status, body = ask_socket(path, request)
    if status != _OK:
        raise ValueError(status)
    return [one for one in map(_candidate, loads(body)) if one.mounted or memory.has_used(one.id)]


def _candidate(item: dict[str, object]) -> target.Candidate:
    labels = item["Labels"]
    assert isinstance(labels, dict)  # noqa: S101  # the filter asks for a label
    mounts = item.get("Mounts") or ()
    assert isinstance(mounts, (list, tuple))  # noqa: S101  # the engine's own list
    folder = target.folder_of(labels)
    return target.Candidate(
        str(item["Id"]),
        folder,
        host_spelling(labels.get(target.CONFIG_FILE, "")),
        item["State"] == "running",
        int(str(item["Created"])),
        target.mounts_of(folder, (str(mount.get("Source")) for mount in mounts)),
    )


def _bring(found: Target, environ: Mapping[str, str]) -> None:
    """Bring the checkout to its copy, on an engine that does not see it. Raises DevboxError."""
    from devbox.container.sync.send import bring
    from devbox.masking import calm
    from devbox.reporter import Silent

    said = Silent()
    bring(found, _engine(environ), said)
    sys.stderr.write("".join(calm(f"warning: {text}\n") for text in said.warnings))


def main(argv: list[str]) -> int:
    """Run `devbox exec ARGV` and return the exit code: the command's own, or devbox's with an error on stderr."""
    environ: Mapping[str, str] = os.environ
    try:
        arguments = parse(argv)
        here = target.logical_cwd(environ)
        folder = here
        if arguments.workspace is not None:
            folder = os.path.normpath(os.path.join(here, arguments.workspace))  # noqa: PTH118
            if not os.path.isdir(folder):  # noqa: PTH112
                raise UsageError(f"there is no folder {folder}", hint=USAGE)
        if memory.any_on_cluster() or ON in environ or may_set("kubernetes", environ):
            environ = _on(folder, environ)
        elsewhere = arguments.context is not None or socket_path(environ) is None or may_set("context", environ)
        if elsewhere and not is_cluster(environ):
            environ = engine_of(folder, environ, arguments.context)
        found = running(folder, environ)
        if found.copied:
            _bring(found, environ)
        if "SSH_AUTH_SOCK" in environ:
            from devbox.container.person import ssh_agent

            ssh_agent.ensure(environ)
        from devbox.container.inside.exec import execute

        # A folder named with --workspace is where the command starts, unless the current one lies below it.
        inside = found.inside(here) if here.startswith(f"{folder}/") else None
        return execute(found, arguments.command, environ=environ, cwd=inside or found.inside(folder))
    except (DevboxError, OSError) as failed:
        error = failed if isinstance(failed, DevboxError) else refused(failed)
        detail = "".join(f"  {line}\n" for line in (error.detail or "").splitlines())
        hint = f"hint: {error.hint}\n" if error.hint else ""
        from devbox.masking import calm

        try:  # noqa: SIM105  # contextlib is not imported for that
            sys.stderr.write(calm(f"{detail}error: {error.message}\n{hint}"))
        except OSError:
            pass  # nobody listens
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
