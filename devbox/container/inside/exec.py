"""`devbox exec`: a command in the dev container, as the remote user, in the matching folder, with its environment."""

from __future__ import annotations

import os
import time

from devbox.container.inside import supervise
from devbox.engine.api import client_setting, socket_path
from devbox.engine.exec import Exec, by_client, is_pod, terminal_size
from devbox.errors import ProgramMissingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM, Signals
    from typing import Any

    from devbox.container.target import Target
    from devbox.engine.attach import Session
else:
    # What signal is made of, without its enums.
    import _signal as signal
    from _signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM

_EXIT_SIGNAL = 128


def execution(
    target: Target,
    argv: Sequence[str],
    *,
    tty: bool = False,
    cwd: str | None = None,
    interactive: bool = True,
    user: str | None = None,
    env: Sequence[tuple[str, str | None]] = (),
    environ: Mapping[str, str] | None = None,
) -> Exec:
    """Return what runs `argv` in the container; docker has to run in `target.client_environ` for it.

    `cwd` is a folder inside (the workspace's by default), `user` another user than the remote user. `env` are further
    variables, see `Exec`, `environ` is the host's environment (this process's by default).
    """
    return Exec(
        container=target.container,
        argv=tuple(argv),
        user=user or target.user,
        cwd=cwd or target.folder,
        interactive=interactive,
        tty=tty,
        env_file=target.env_name,
        env=(*target.variables(os.environ if environ is None else environ), *env),
    )


def exec_argv(
    target: Target, argv: Sequence[str], *, environ: Mapping[str, str], docker: str = "docker", **more: Any
) -> list[str]:
    """Return what executes `argv` in the container, to be run in `environ`; `more` is as for `execution`."""
    asked = execution(target, argv, environ=environ, **more)
    return by_client(asked, target.client_environ(environ), docker)


def execute(
    target: Target,
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: str | None = None,
    tty: bool | None = None,
    user: str | None = None,
    env: Sequence[tuple[str, str | None]] = (),
    docker: str = "docker",
) -> int:
    """Run a command in the container on this process's stdin, stdout and stderr; return its exit code.

    `cwd`, `user` and `env` are as for `execution`. It gets a terminal where stdin and stdout are terminals. Ctrl-C,
    SIGTERM, SIGHUP and this process's death end it together with its descendants; the first three return 128 + the
    signal's number. The engine is asked over its socket where there is one on this machine, else by the docker client.
    """
    terminal = (os.isatty(0) and os.isatty(1)) if tty is None else tty
    token = supervise.new_token()
    named = (*env, (supervise.TOKEN, token))
    asked = execution(target, argv, tty=terminal, cwd=cwd, user=user, env=named, environ=environ)
    # An interactive shell ignores SIGTERM and goes when its terminal does.
    signals = ("HUP", "TERM", "KILL") if terminal else ("TERM", "KILL")

    def end_argv(*first: str) -> list[str]:
        return supervise.end_argv(
            target.container, token, (*first, *signals), user=user or target.user, docker=docker, looks=5
        )

    interrupted = {int(SIGINT): end_argv("INT")}
    client = target.client_environ(environ)
    session = prepared(asked, client)
    if session is None:
        pod = asked.container if is_pod(asked.container) else None
        if pod is not None and not terminal and _is_empty(0):
            asked = asked._replace(interactive=False)
        return run_watched(
            by_client(asked, client, docker), environ=client, end=end_argv(), on_signal=interrupted, pod=pod
        )
    from devbox.container.inside.attached import run_attached

    return run_attached(session, tty=terminal, environ=client, end=end_argv(), on_signal=interrupted)


def _is_empty(stream: int) -> bool:
    """Tell whether a stream is /dev/null. To say to a pod that there is nothing to read may cost what it writes."""
    null = (1, 3)
    try:
        device = os.fstat(stream).st_rdev
    except OSError:
        return True
    return (os.major(device), os.minor(device)) == null


def prepared(asked: Exec, environ: Mapping[str, str]) -> Session | None:
    """Return the command, prepared over the engine's socket; None where only the docker client knows the way."""
    path = None if is_pod(asked.container) else socket_path(environ)
    if path is None or (asked.tty and not os.isatty(0)):
        return None
    from devbox.engine.attach import Session

    keys = (client_setting(environ, "detachKeys") or "") if asked.tty else ""
    size = terminal_size(1) if asked.tty and os.isatty(1) else None
    try:
        return Session(path, asked, environ, size=size, detach_keys=keys)
    except OSError:
        return None


def run_watched(
    args: list[str],
    *,
    environ: Mapping[str, str],
    end: list[str],
    on_signal: Mapping[int, list[str]] | None = None,
    on_death: list[str] | None = None,
    pod: str | None = None,
) -> int:
    """Run the docker client `args` on this process's streams and return its exit code; for a `pod` it is kubectl.

    If it dies of a signal, or this process gets one, the command `end` is run, which has to end what the client
    started; `on_signal` has other commands for some signals, `on_death` is for the death of this process. Raises
    EngineError where it was cut off from the pod.
    """
    said = None
    if pod is not None:
        from devbox.engine.kubernetes import execution

        said = execution.Stderr()
    stoppers = [one for one in (SIGINT, SIGTERM, SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    watcher = supervise.watch(end if on_death is None else on_death, environ=environ)
    # The signals are blocked and waited for together with the client's end: whichever comes first is seen, and no
    # handler runs at a moment that does not suit.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*stoppers, SIGCHLD})
    try:
        try:
            reset = [*stoppers, signal.SIGPIPE, signal.SIGXFSZ]
            streams = [] if said is None else [(os.POSIX_SPAWN_DUP2, said.end, 2)]
            client = os.posix_spawnp(
                args[0], args, dict(environ), file_actions=streams, setsigdef=reset, setsigmask=before
            )
        except FileNotFoundError:
            raise ProgramMissingError(args[0]) from None
        if said is not None:
            said.begin()
        watcher.client(client)
        stopped, code = _wait(client, {*stoppers, SIGCHLD})
        if not stopped and pod is not None and said is not None:
            said.finish()
            code = execution.code_of(code)
            if code < 0:
                raise execution.lost(pod)
        if not stopped:
            return code
        # From here on a second signal kills this process in the ordinary way, and the watcher takes over.
        handlers = {number: signal.signal(number, signal.SIG_DFL) for number in stoppers}
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        supervise.run_quietly((on_signal or {}).get(stopped, end), environ)
        _reap(client)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return code
    finally:
        watcher.done()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(client: int, signals: set[Signals]) -> tuple[int, int]:
    """Wait for the client's end or a signal. Return 0, the signal, or -1 for a killed client; and the exit code."""
    while True:
        number = signal.sigwait(signals)
        if number != SIGCHLD:
            return number, _EXIT_SIGNAL + number
        ended, status = os.waitpid(client, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return (0, code) if code >= 0 else (-1, _EXIT_SIGNAL - code)


def _reap(client: int) -> None:
    """Let the docker client end, which puts the terminal back as it was; it has nothing left to wait for."""
    try:
        for _ in range(50):
            if os.waitpid(client, os.WNOHANG)[0]:
                return
            time.sleep(0.02)
        os.kill(client, signal.SIGTERM)
        os.waitpid(client, 0)
    except (ChildProcessError, ProcessLookupError):
        return
