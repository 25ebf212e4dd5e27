"""Questions to the Engine API over its unix socket, without starting the docker CLI.

In a module of its own, with next to no imports, because `exec` asks one before it does anything else.
"""

from __future__ import annotations

import os

from devbox.lean import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
else:
    # The module that socket is made of: socket itself brings enum and selectors along.
    import _socket as socket

DEFAULT_SOCKET = "/var/run/docker.sock"
# Where the environment says that dev containers run, `docker` or a cluster: as it was said, set or remembered.
ON = "DEVBOX_ON"
CLUSTER = "kubernetes"
SOCKET_SECONDS = 10.0
FOUND = 200
# So much of a script tells what it starts.
_SCRIPT = 2048
# Between these is what a person may set. A longer time is more than the system can wait for.
_LEAST_SECONDS, _MOST_SECONDS = 0.1, 86_400.0

# Who is told of each question and its answer: socket, request, body, status, answer. See `devbox.looks`.
heard: Callable[[str, str, object, int, bytes], None] | None = None


def socket_path(environ: Mapping[str, str]) -> str | None:
    """Return the engine's unix socket as the docker CLI would choose it, or None where only the CLI knows the way.

    The order is the CLI's own: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of its config file, the default socket.
    """
    host = environ.get("DOCKER_HOST")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix://") else None
    context = environ.get("DOCKER_CONTEXT") or client_setting(environ, "currentContext")
    if context not in {None, "", "default"}:
        return None
    if not is_podman("docker", environ):
        return DEFAULT_SOCKET
    path = podman_socket(environ)
    # Where none listens its program does without one.
    return path if os.path.exists(path) else None  # noqa: PTH110


def is_cluster(environ: Mapping[str, str]) -> bool:
    """Tell whether dev containers run on a cluster: see `devbox.engine.kubernetes`."""
    return environ.get(ON, "").partition(":")[0] == CLUSTER


def is_podman(docker: str, environ: Mapping[str, str]) -> bool:
    """Tell whether the program `docker` is Podman by another name: a link to it, or a script that starts it."""
    for folder in environ.get("PATH", "").split(":"):
        path = f"{folder}/{docker}"
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
                head = stream.read(_SCRIPT)
        except OSError:
            continue
        return b"podman" in head if head[:2] == b"#!" else os.path.basename(os.path.realpath(path)) == "podman"  # noqa: PTH119
    return False


def podman_socket(environ: Mapping[str, str]) -> str:
    """Return where Podman's service listens, if it does."""
    folder = "/run" if os.geteuid() == 0 else environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return f"{folder}/podman/podman.sock"


def patience(environ: Mapping[str, str], usual: float) -> float:
    """Return how many seconds an answer may take: `DEVBOX_TIMEOUT`, else what is `usual` for the question.

    That is from a tenth of a second to a day; what is no number counts as not set.
    """
    try:
        said = float(environ.get("DEVBOX_TIMEOUT", ""))
    except ValueError:
        return usual
    # NaN is neither.
    return min(max(said, _LEAST_SECONDS), _MOST_SECONDS) if abs(said) >= 0 else usual


def ask_socket(
    path: str, request: str, *, timeout: float | None = None, body: Mapping[str, object] | None = None
) -> tuple[int, bytes]:
    """GET `request` from the Engine API at the unix socket `path`, or POST a `body`; return the status and the answer.

    Raises OSError.
    """
    return Question(path, request, timeout=timeout, body=body).answer()


class Question:
    """A request that was sent: the engine works on it, and so may this process meanwhile.

    HTTP/1.0 makes the engine close the connection after the answer, so that no header has to be understood.
    """

    def __init__(
        self, path: str, request: str, *, timeout: float | None = None, body: Mapping[str, object] | None = None
    ) -> None:
        """Send a request as `ask_socket` does. Raises OSError."""
        self._asked = (path, request, body)
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.settimeout(patience(os.environ, SOCKET_SECONDS) if timeout is None else timeout)
            self._connection.connect(path)
            self._connection.sendall(_request(request, "HTTP/1.0", body))
        except BaseException:
            self._connection.close()
            raise

    def answer(self) -> tuple[int, bytes]:
        """Return the status and the answer; to be called once. Raises OSError."""
        chunks = []
        try:
            while chunk := self._connection.recv(1 << 16):
                chunks.append(chunk)
        finally:
            self._connection.close()
        head, _, answer = b"".join(chunks).partition(b"\r\n\r\n")
        status = _status(head)
        if heard is not None:
            heard(*self._asked, status, answer)
        return status, answer

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of an answer that goes on as they come, those of its head first. Raises OSError."""
        rest = b""
        try:
            while chunk := self._connection.recv(1 << 16):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
        finally:
            self._connection.close()


def upgrade(
    path: str, request: str, body: Mapping[str, object], *, timeout: float | None = None
) -> tuple[int, socket.socket, bytes]:
    """POST `body` and keep the connection, which the engine then hands over; return the status and it.

    The bytes are what came behind the head of the answer: the first of the stream, or why it was refused. `timeout` is
    in seconds, for each piece of the answer. Raises OSError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(SOCKET_SECONDS)
        connection.connect(path)
        connection.sendall(_request(request, "HTTP/1.1", body, "Connection: Upgrade\r\nUpgrade: tcp\r\n"))
        # The answer comes when the command runs, which a busy machine may be slow at.
        connection.settimeout(timeout)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(1 << 16)
            if not chunk:
                break
            data += chunk
    except BaseException:
        connection.close()
        raise
    head, _, rest = data.partition(b"\r\n\r\n")
    return _status(head), connection, rest


def _request(request: str, version: str, body: Mapping[str, object] | None, headers: str = "") -> bytes:
    if body is None:
        return f"GET {request} {version}\r\nHost: docker\r\n{headers}\r\n".encode()
    content = dumps(body).encode("utf-8", "surrogateescape")
    headers += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"POST {request} {version}\r\nHost: docker\r\n{headers}\r\n".encode() + content


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def client_setting(environ: Mapping[str, str], name: str) -> str | None:
    """Return a setting of the docker CLI's config file; None where there is none, or no readable file."""
    folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME", "/"), ".docker")  # noqa: PTH118
    try:
        with open(os.path.join(folder, "config.json"), "rb") as stream:  # noqa: PTH118, PTH123
            found = loads(stream.read()).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
