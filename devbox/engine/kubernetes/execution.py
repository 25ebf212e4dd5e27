"""A command in a pod, as kubectl is told. It has no words for a folder or for variables, so a shell inside sets them.

A value that is no secret stands in the argv. What docker would take from its own environment must not: an argv of
`kubectl exec` is in the cluster's audit log. That is handed over before, through the stream of another command, as a
file in the pod's memory that the shell reads and removes. The environment of the user's shells, which is the same each
time, goes the same way once, and stays there as long as the pod.

A kubectl whose streams are cut says nothing, and exits with 0: the API server gives up what is still on its way to it
as soon as it cannot pass something on to the node, such as the end of stdin to a command that has ended already. So
the shell never ends with 0. How a command ended is the last that comes: who has heard it has had all of the output.
"""

from __future__ import annotations

import _thread
import os
import shlex

from devbox.agent.hashes import sha256
from devbox.engine.kubernetes.place import CONTAINER, QUESTION_SECONDS, Pod
from devbox.errors import EngineError, last_lines
from devbox.paths import runtime_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.engine.exec import Exec

# A tmpfs of the pod's own.
MEMORY = "/dev/shm"  # noqa: S108
_ONCE = ".once"
# What the shell ends with in place of 0; a command that does so itself is said to have ended with 1.
_GOOD = 209
# The files to read, the folder, and the command, after `--`. Ctrl-C in a terminal is for the command alone.
_SHELL = f"""\
trap : INT QUIT
(
while [ "$1" != -- ]; do . "$1"; case $1 in *{_ONCE}) rm -f "$1" ;; esac; shift; done
[ -z "$2" ] || cd -- "$2" || exit 126
shift 2
exec "$@"
)
code=$?
case $code in 0) exit {_GOOD} ;; {_GOOD}) exit 1 ;; *) exit $code ;; esac
"""
_RECEIVE = f'umask 077; cat >"$1.new" && mv "$1.new" "$1" && exit {_GOOD}'
_TRIES = 3
# What kubectl adds about a command's own exit code.
_LAST_WORDS = b"command terminated with exit code "
_NUMBER = b"0123456789\n"
_LEFT_SECONDS = 1.0


def argv_of(asked: Exec, handed: Iterable[str] = ()) -> list[str]:
    """Return the argv of kubectl for a command; `handed` are the files with what is in no argv.

    A pod has one user, the remote user: who else it might be cannot be said.
    """
    pod = Pod.parse(asked.container)
    flags = [*(["--stdin"] if asked.interactive or asked.tty else []), *(["--tty"] if asked.tty else [])]
    told = [f"{name}={value}" for name, value in asked.env if value is not None]
    words = ["sh", "-c", _SHELL, "sh", *handed, "--", asked.cwd, *(["env", *told] if told else []), *asked.argv]
    return pod.place.kubectl("exec", *flags, pod.name, f"--container={CONTAINER}", "--", *words, seconds=None)


def code_of(code: int) -> int:
    """Return the exit code of a command by that of kubectl; -1 where this has not heard how it ended."""
    return {0: -1, _GOOD: 0}.get(code, code)


def lost(container: str) -> EngineError:
    """Return the error for a command whose end was not heard."""
    return EngineError(
        f"the connection to the pod {Pod.parse(container).name} was lost: how the command ended is not known",
        hint="the same command again   # its output may be cut",
    )


class Stderr:
    """A command's stderr, which is that of its kubectl, less what this adds at its end."""

    def __init__(self) -> None:
        """Make a pipe; `end` is for kubectl."""
        self._read, self.end = os.pipe()
        self._ended = _thread.allocate_lock()

    def begin(self) -> None:
        """Pass on what comes; kubectl has its end by now."""
        os.close(self.end)
        self._ended.acquire()
        _thread.start_new_thread(self._pass_on, ())

    def finish(self) -> None:
        """Wait until all of it has been passed on. What kubectl has left running is not waited for."""
        self._ended.acquire(timeout=_LEFT_SECONDS)

    def _pass_on(self) -> None:
        held = b""
        try:
            while data := os.read(self._read, 1 << 16):
                held += data
                ready = len(held) - _maybe_last(held)
                _write(held[:ready])
                held = held[ready:]
            if not held.endswith(b"\n") or not held.startswith(_LAST_WORDS):
                _write(held)
        except OSError:
            pass  # nobody listens
        finally:
            os.close(self._read)
            self._ended.release()


def _maybe_last(said: bytes) -> int:
    """Return how much at the end of what was said may begin kubectl's last words."""
    size = len(_LAST_WORDS)
    for at in range(max(0, len(said) - size - 4), len(said)):
        tail = said[at:]
        if _LAST_WORDS.startswith(tail[:size]) and not tail[size:].strip(_NUMBER):
            return len(tail)
    return 0


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


def shown(asked: Exec) -> list[str]:
    """Return the argv as it is shown: with the files that will have been handed over."""
    return argv_of(asked, [name for name, _ in _files(asked, {})])


def handed_over(asked: Exec, environ: Mapping[str, str]) -> list[str]:
    """Return the argv to run, after what is in no argv has been handed over. Raises EngineError."""
    files = []
    for name, script in _files(asked, environ):
        files.append(name)
        mark = None if name.endswith(_ONCE) else f"{runtime_folder()}/pods/{Pod.parse(asked.container).uid}{name}"
        if mark is not None and os.path.exists(mark):  # noqa: PTH110
            continue
        _hand(asked.container, name, script, environ)
        if mark is not None:
            os.makedirs(os.path.dirname(mark), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
            os.close(os.open(mark, os.O_CREAT | os.O_WRONLY, 0o600))
    return argv_of(asked, files)


def _files(asked: Exec, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the files that a command needs, with what is in them: a shell's script."""
    from devbox.engine.exec import variables_in

    found = []
    if asked.env_file is not None and (lasting := _script(variables_in(asked.env_file, environ))):
        found.append(
            (f"{MEMORY}/devbox-{sha256(lasting.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}", lasting)
        )
    by_name = [name for name, value in asked.env if value is None]
    if by_name:
        gone = "".join(f"unset -v {name}\n" for name in by_name if name not in environ and _is_name(name))
        secret = _script((name, environ[name]) for name in by_name if name in environ)
        found.append((f"{MEMORY}/devbox-{os.urandom(8).hex()}{_ONCE}", gone + secret))
    return found


def _script(variables: Iterable[tuple[str, str]]) -> str:
    # Of another name is what only the shell that made it can read, such as bash's functions.
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables if _is_name(name))


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _hand(container: str, name: str, script: str, environ: Mapping[str, str]) -> None:
    from devbox.engine import process
    from devbox.engine.api import patience
    from devbox.engine.kubernetes.trouble import explain

    pod = Pod.parse(container)
    argv = pod.place.kubectl(
        *("exec", "--stdin", pod.name, f"--container={CONTAINER}", "--", "sh", "-c", _RECEIVE, "sh", name), seconds=None
    )
    for _ in range(_TRIES):
        done = process.run(
            argv, check=False, input_text=script, environ=environ, timeout=patience(environ, QUESTION_SECONDS)
        )
        if not done.ok:
            break
    if code_of(done.code) != 0:
        raise explain(done.stderr, pod.place) or EngineError(
            f"the variables of a command could not be handed to the pod {pod.name}", detail=last_lines(done.stderr)
        )
