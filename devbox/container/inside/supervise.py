"""Ends what runs in a container when the one who started it is gone.

`docker exec` leaves the inner process running when its client is interrupted or killed. So each process that devbox
starts inside carries a token in its environment, and a watcher in a session of its own waits on a pipe: devbox writes
to it when the command has returned. If the pipe closes without that, devbox is dead, and the watcher ends every process
of the container that holds the token or descends from one that does. In the normal case that costs one idle shell.
"""

from __future__ import annotations

import contextlib
import os

from devbox.engine.exec import Exec, is_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping, Sequence
else:
    # What signal is made of, without its enums.
    import _signal as signal

TOKEN = "DEVBOX_EXEC_ID"  # noqa: S105  # a name, no secret
_STDERR = 2

# $1 is the token, $2 how often to look for processes that are just being started; the signals follow. After each one
# the processes get time to go: SIGTERM is the polite one, the others are not waited for long. Those found stay on the
# list when their parent dies first, as sudo's child does. A parent, which is the older one, is signalled before its
# child: a shell whose child is ended first goes on with its script.
_END = r"""
token=$1 looks=$2 found=
shift 2
look() {
  alive=
  for p in $found $(grep -lsF "DEVBOX_EXEC_ID=$token" /proc/[0-9]*/environ | cut -d/ -f3 | sort -n); do
    case " $alive " in *" $p "*) ;; *) [ -r "/proc/$p/status" ] && alive="$alive $p" ;; esac
  done
  more=1
  while [ -n "$more" ] && [ -n "$alive" ]; do
    more=
    for d in /proc/[0-9]*; do
      p=${d#/proc/}
      case " $alive " in *" $p "*) continue ;; esac
      parent=
      while read -r key value; do
        case $key in PPid:) parent=$value; break ;; esac
      done 2>/dev/null <"$d/status"
      case " $alive " in *" $parent "*) [ "$p" = $$ ] || { alive="$alive $p"; more=1; } ;; esac
    done
  done
  found=
  for p in $alive; do
    while read -r key value; do
      case $key in State:) case $value in [ZX]*) ;; *) found="$found $p" ;; esac; break ;; esac
    done 2>/dev/null <"/proc/$p/status"
  done
}
look
while [ -z "$found" ] && [ "$looks" -gt 1 ]; do
  looks=$((looks - 1))
  sleep 0.2
  look
done
for signal in "$@"; do
  # A process that is just being started shows no environment for a moment, so nothing is believed at the first look.
  [ -n "$found" ] || { sleep 0.1; look; }
  [ -n "$found" ] || exit 0
  kill -s "$signal" $found 2>/dev/null
  kill -s CONT $found 2>/dev/null
  case $signal in TERM) tries=50 ;; *) tries=10 ;; esac
  while [ "$tries" -gt 0 ] && [ -n "$found" ]; do
    tries=$((tries - 1))
    sleep 0.1
    look
  done
done
exit 0
"""


# As root with all capabilities, because reading another user's /proc/PID/environ needs CAP_SYS_PTRACE. An engine that
# remaps users refuses that; then as the user, who may read that of the own processes.
_END_FROM_HOST = r"""
docker=$1 container=$2 user=$3
shift 3
"$docker" exec --privileged --user root "$container" sh -c "$@" ||
  "$docker" exec --user "$user" "$container" sh -c "$@"
"""

# Reads the docker client's process id and then `done`, or the end of a devbox that died. A client that had not started
# its command yet may do so while it is ended, and the engine goes on with what it asked for last, such as to make a
# container: nobody says when. So what has to be done then is done again, after pauses, which nobody waits for.
_WATCH = r"""
trap '' INT TERM HUP QUIT
client=
while read -r line; do
  [ "$line" = done ] && exit
  client=$line
done
"$@"
[ -n "$client" ] && kill -s TERM "$client" || exit
for pause in 0 1 3 9; do sleep $pause; "$@"; done
"""


def new_token() -> str:
    """Return a token that no other process holds."""
    return os.urandom(12).hex()


def end_argv(
    container: str, token: str, signals: Sequence[str], *, user: str, docker: str = "docker", looks: int = 1
) -> list[str]:
    """Return the command that ends the processes of `token`, sending each of `signals` in turn while some still live.

    `user` is whose processes they are.
    """
    script = [_END, "devbox-end", token, str(looks), *signals]
    if is_pod(container):
        return Exec(container, ("sh", "-c", *script), interactive=False).argv_of(docker)
    return ["/bin/sh", "-c", _END_FROM_HOST, "devbox-end", docker, container, user, *script]


def end(
    container: str,
    token: str,
    signals: Sequence[str] = ("TERM", "KILL"),
    *,
    user: str,
    environ: Mapping[str, str],
    docker: str = "docker",
) -> None:
    """End the processes of `token` in the container and wait for it; a container that is gone is no failure."""
    run_quietly(end_argv(container, token, signals, user=user, docker=docker), environ)


def run_quietly(argv: list[str], environ: Mapping[str, str]) -> None:
    """Run a program to its end without its output; that it is missing or fails is no failure."""
    has_ended(start_quietly(argv, environ), wait=True)


def start_quietly(argv: list[str], environ: Mapping[str, str]) -> int | None:
    """Start a program without its output; return its process, None where it is missing."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(_STDERR + 1)]
    reset = default_signals()
    try:
        return os.posix_spawnp(argv[0], argv, dict(environ), file_actions=null, setsigdef=reset, setsigmask=())
    except OSError:
        return None


def has_ended(process: int | None, *, wait: bool = False) -> bool:
    """Return whether a process that `start_quietly` returned has ended; with `wait`, when it has."""
    if process is None:
        return True
    try:
        return os.waitpid(process, 0 if wait else os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def default_signals() -> list[int]:
    """Return the signals that a child must find in their default state: Python itself ignores some of them."""
    return [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Watch:
    """A watcher at work. `client` tells it the docker client's process; `done` sends it home."""

    def __init__(self, pipe: int, pid: int) -> None:
        """Take the pipe's write end and the watcher's process."""
        self._pipe = pipe
        self._pid = pid

    def client(self, pid: int) -> None:
        """Name the docker client, which is ended too where the command could not be found in the container."""
        self._say(f"{pid}\n".encode())

    def done(self) -> None:
        """Say that nothing has to be ended, and wait for the watcher to go."""
        self._say(b"done\n")
        self.leave()

    def leave(self) -> None:
        """Leave the ending to the watcher, which does it now, and wait for it to go."""
        os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _say(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, message)


def watch(on_death: list[str], *, environ: Mapping[str, str]) -> Watch:
    """Start a watcher that runs the command `on_death` if this process dies before it says `done`.

    It is a shell: one is started faster than this process is copied, and takes a tenth of its memory.
    """
    reader, writer = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, reader, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    argv = ["/bin/sh", "-c", _WATCH, "devbox-watch", *on_death]
    # A session of its own: what a terminal sends to the command's group is not for the watcher.
    pid = os.posix_spawn(argv[0], argv, dict(environ), file_actions=actions, setsid=True)
    os.close(reader)
    return Watch(writer, pid)


@contextlib.contextmanager
def supervised(container: str, *, user: str, environ: Mapping[str, str], docker: str = "docker") -> Iterator[str]:
    """Yield a token; what is executed in the container with it ends when the block is left by an exception, or dies.

    The block passes the token on with `docker exec --env DEVBOX_EXEC_ID=TOKEN`.
    """
    token = new_token()
    on_death = end_argv(container, token, ("TERM", "KILL"), user=user, docker=docker, looks=5)
    with watched(on_death, end_argv(container, token, ("TERM", "KILL"), user=user, docker=docker), environ):
        yield token


@contextlib.contextmanager
def supervised_here(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a token as `supervised` does, for processes on this machine that have it in their environment."""
    token = new_token()
    end = ["/bin/sh", "-c", _END, "devbox-end", token, "1", "TERM", "KILL"]
    with watched(end, end, environ):
        yield token


@contextlib.contextmanager
def watched(on_death: list[str], on_error: list[str], environ: Mapping[str, str]) -> Iterator[None]:
    """Run `on_error` if the block is left by an exception, and see that `on_death` is run if this process dies."""
    watcher = watch(on_death, environ=environ)
    try:
        yield
    except BaseException:
        try:
            run_quietly(on_error, environ)
        except BaseException:
            # Interrupted once more, before all had ended. The watcher has a session of its own and does not hear that.
            watcher.leave()
            raise
        watcher.done()
        raise
    watcher.done()
