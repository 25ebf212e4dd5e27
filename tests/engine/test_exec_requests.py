"""Over the socket the engine is asked what docker's own client asks it: each request is recorded and compared."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from devbox.engine.attach import Session
from devbox.engine.exec import Exec
from devbox.engine.process import NoAnswerError
from tests.engine.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

SIZE = (33, 44)
ENV_FILE = """\
# a comment
PLAIN=1
  LEADING=blank
EQUALS=a=b=c
QUOTES="kept" 'as they are'
EMPTY=

FROM_CLIENT
NOT_THERE
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Callable[[], Recorder]]:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(tmp_path / f"{len(made)}.sock"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def container(engine: Engine, base_image: str, engine_name: Callable[[str], str]) -> str:
    return engine.run(["run", "--detach", "--name", engine_name("asked"), base_image, "sleep", "600"]).stdout.strip()


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
def test_the_engine_is_asked_the_same_both_ways(
    tty: bool, container: str, recorder: Callable[[], Recorder], tmp_path: Path
) -> None:
    (tmp_path / "env").write_text(ENV_FILE)
    (tmp_path / "config.json").write_text('{"detachKeys": "ctrl-e,e"}')
    environ = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(tmp_path), "FROM_CLIENT": "ä b", "SECRET": "s3cret"}
    asked = Exec(
        container, ("sh", "-c", "exit 7", "-it", "ü"), "nobody", "/tmp", tty=tty, env_file=tmp_path / "env",
        env=(("SECRET", None), ("ABSENT", None), ("SAID", "x y"), ("PLAIN", "2")),
    )  # fmt: skip
    keys = "ctrl-e,e"
    theirs, ours = recorder(), recorder()
    argv = ["docker", *asked.args()]
    variables = {**environ, "DOCKER_HOST": f"unix://{theirs.path}"}
    if tty:
        pid, terminal = pty.fork()
        if pid == 0:
            termios.tcsetwinsize(0, SIZE)
            os.execvpe(argv[0], argv, variables)
        with contextlib.suppress(OSError):
            while os.read(terminal, 1024):
                pass
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    else:
        assert subprocess.run(argv, env=variables, stdin=subprocess.DEVNULL, check=False).returncode == 7
    session = Session(str(ours.path), asked, environ, size=SIZE if tty else None, detach_keys=keys)
    session.start()
    session.end_input()
    while session.receive() is not None:
        pass
    assert session.exit_code() == 7
    session.close()
    assert ours.created() == theirs.created()
    assert ours.inspected() == theirs.inspected()
    assert ours.created()["Env"][-4:] == ["SECRET=s3cret", "ABSENT", "SAID=x y", "PLAIN=2"]


BOTH_WAYS = "cat >/tmp/in; head -c 300000 /tmp/in >&2; cat /tmp/in; exit 7"


@pytest.mark.parametrize(
    ("argv", "user", "text"),
    [
        (("sh", "-c", "cat; id -u; pwd; exit 3"), "root", "ä\n"),
        (("sh", "-c", BOTH_WAYS), "root", "0123456789" * 100_000),
        (("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4"), "", None),
        (("true",), "nobody-is-called-this", None),
        (("no-such-program",), "root", None),
    ],
)
def test_what_a_captured_command_says_is_what_docker_says(
    engine: Engine, container: str, argv: tuple[str, ...], user: str, text: str | None
) -> None:
    asked = Exec(container, argv, user, interactive=text is not None)
    by_socket, by_docker = (
        engine.execute(asked, input_text=text),
        engine.run(asked.args(), check=False, input_text=text),
    )
    assert by_socket.argv == by_docker.argv
    assert (by_socket.code, by_socket.stdout.strip(), by_socket.stderr.strip()) == (
        by_docker.code,
        by_docker.stdout.strip(),
        by_docker.stderr.strip(),
    )


def test_a_captured_command_has_so_many_seconds(engine: Engine, container: str) -> None:
    asked = Exec(container, ("sh", "-c", "echo begun; sleep 60"), "root", interactive=False)
    with pytest.raises(NoAnswerError):
        engine.execute(asked, timeout=0.3)


def test_a_captured_command_of_a_container_that_is_gone_fails(engine: Engine) -> None:
    done = engine.execute(Exec("devbox-there-is-none", ("true",)))
    assert not done.ok
    assert "No such container" in done.stderr
