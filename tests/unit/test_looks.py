"""What a run looked at is as it was, or the run is not believed."""

from __future__ import annotations

import ast
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox import looks
from devbox.engine.api import ask_socket
from devbox.files import lock
from devbox.looks import Looks, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test have just been written."""
    monkeypatch.setattr(looks, "TICK_NS", 0)


def watched(look: Callable[[], object], locks: tuple[str, ...] = ()) -> dict[str, Any] | None:
    with Looks(locks=locks) as seen:
        look()
    kept = seen.kept()
    return None if kept is None else json.loads(json.dumps(kept))


# Each way in which the code of devbox and of the standard library asks the file system: of `there`, a file, `missing`,
# nothing, `link`, to the file, and `folder`, with the file.
LOOKS: dict[str, Callable[[Path], object]] = {
    "read": lambda at: (at / "folder/there").read_bytes(),
    "open": lambda at: os.close(os.open(at / "folder/there", os.O_RDONLY)),
    "read, missing": lambda at: _failing((at / "folder/missing").read_text),
    "exists": lambda at: (at / "folder/missing").exists(),
    "is_file": lambda at: (at / "folder/missing").is_file(),
    "isfile": lambda at: os.path.isfile(at / "folder/missing"),  # noqa: PTH113
    "lexists": lambda at: os.path.lexists(at / "folder/missing"),
    "access": lambda at: os.access(at / "folder/there", os.X_OK),
    "which": lambda at: shutil.which("missing", path=str(at / "folder")),
    "readlink": lambda at: str((at / "folder/link").readlink()),
    "realpath": lambda at: os.path.realpath(at / "folder/link"),
    "resolve": lambda at: (at / "folder/link").resolve(),
    "islink": lambda at: (at / "folder/link").is_symlink(),
    "lstat": lambda at: (at / "folder/link").lstat(),
    "iterdir": lambda at: sorted((at / "folder").iterdir()),
    "glob": lambda at: list((at / "folder").glob("*")),
    "glob.glob": lambda at: glob.glob(str(at / "folder/*")),  # noqa: PTH207
    "walk": lambda at: list(os.walk(at)),
    "scandir, is_dir": lambda at: [entry.is_dir() for entry in os.scandir(at / "folder")],
    "scandir, stat": lambda at: [entry.stat().st_mtime_ns for entry in os.scandir(at / "folder") if entry.is_file()],
    "scandir, lstat": lambda at: [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(at / "folder")],
    "stat of an entry": lambda at: [os.stat(entry) for entry in os.scandir(at / "folder") if entry.is_file()],  # noqa: PTH116
    "glob through a link": lambda at: list(at.glob("f*/away/*")),
    "glob of links": lambda at: list((at / "folder").glob("*/x")),
    "samefile": lambda at: os.path.samefile(at / "folder/there", at / "folder/link"),  # noqa: PTH121
}
CHANGES: dict[str, Callable[[Path], object]] = {
    "read": lambda at: (at / "folder/there").write_text("other"),
    "open": lambda at: (at / "folder/there").unlink(),
    **dict.fromkeys(
        ("scandir, stat", "scandir, lstat", "stat of an entry"), lambda at: (at / "folder/there").write_text("other")
    ),
    "access": lambda at: subprocess.run(["chmod", "777", at / "folder/there"], check=True),
    **dict.fromkeys(("readlink", "realpath", "resolve", "islink", "lstat"), lambda at: _relink(at / "folder/link")),
    "samefile": lambda at: _relink(at / "folder/link"),
    **dict.fromkeys(
        ("scandir, is_dir", "glob through a link", "glob of links"), lambda at: (at / "elsewhere/x").mkdir(parents=True)
    ),
}


def _failing(look: Callable[[], object]) -> None:
    with pytest.raises(OSError, match="missing"):
        look()


def _relink(link: Path) -> None:
    link.unlink()
    link.symlink_to("elsewhere")


def _tree(at: Path) -> Path:
    (at / "folder").mkdir(parents=True)
    (at / "folder/there").write_text("content")
    (at / "folder/link").symlink_to("there")
    (at / "folder/away").symlink_to("../elsewhere")
    return at


@pytest.mark.parametrize("name", LOOKS)
def test_each_way_to_look_is_seen(name: str, tmp_path: Path) -> None:
    _tree(tmp_path)
    kept = watched(lambda: LOOKS[name](tmp_path))
    assert kept is not None
    assert same(kept)
    missing = tmp_path / "folder/missing"
    if name in CHANGES:
        CHANGES[name](tmp_path)
    else:
        os.close(os.open(missing, os.O_CREAT, 0o700))
    assert not same(kept)


def _chmod(path: Path) -> None:
    path.chmod(0o600)


DEEDS: dict[str, Callable[[Path], object]] = {
    "program": lambda _: subprocess.run([sys.executable, "-c", ""], check=True),
    "write": lambda at: (at / "new").write_text("x"),
    "append": lambda at: (at / "folder/there").open("a").close(),
    "mkdir": lambda at: (at / "new").mkdir(),
    "rename": lambda at: (at / "folder/there").rename(at / "new"),
    "remove": lambda at: (at / "folder/there").unlink(),
    "remove, by a descriptor": lambda at: _in(at / "folder", lambda at: os.unlink("there", dir_fd=at)),
    "open, by a descriptor": lambda at: _in(at / "folder", lambda at: os.close(os.open("there", 0, dir_fd=at))),
    "scandir of a descriptor": lambda at: _in(at / "folder", lambda at: os.scandir(at).close()),
    "a lock of others": lambda at: (at / "yarn.lock").write_text("x"),
    "chmod": lambda at: _chmod(at / "folder/there"),
    "space": shutil.disk_usage,
    "kernel": lambda _: Path("/proc/uptime").read_text(),
    "network": lambda _: _failing_connect(),
}


def _in(folder: Path, act: Callable[[int], object]) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    act(descriptor)
    os.close(descriptor)


def _failing_connect() -> None:
    with socket.socket(socket.AF_UNIX) as connection, pytest.raises(OSError, match="No such file"):
        connection.connect("/nowhere/at/all")


@pytest.mark.parametrize("name", DEEDS)
def test_a_run_that_does_something_proves_nothing(name: str, tmp_path: Path) -> None:
    _tree(tmp_path)
    before = os.stat
    assert watched(lambda: DEEDS[name](tmp_path)) is None
    assert os.stat is before


def test_to_remove_what_is_not_there_is_a_look(tmp_path: Path) -> None:
    kept = watched(lambda: (tmp_path / "missing").unlink(missing_ok=True))
    assert kept is not None
    (tmp_path / "missing").touch()
    assert not same(kept)


def test_a_lock_that_was_taken_has_to_be_free(tmp_path: Path) -> None:
    path = tmp_path / "locks/one.lock"
    with lock(path):
        pass

    def held() -> None:
        with lock(path):
            pass

    assert watched(held) is None
    kept = watched(held, (f"{tmp_path}/locks/",))
    assert kept is not None
    assert same(kept)
    with lock(path):
        assert not same(kept)


def test_what_changed_a_moment_ago_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tree(tmp_path)
    monkeypatch.setattr(looks, "TICK_NS", 3600 * 10**9)
    assert watched((tmp_path / "folder/there").read_text) is None


def test_what_changes_while_it_is_looked_at_is_not_believed(tmp_path: Path) -> None:
    _tree(tmp_path)
    with Looks() as seen:
        (tmp_path / "folder/there").read_text()
    (tmp_path / "folder/there").write_text("another")
    assert seen.kept() is None


def test_a_module_of_the_program_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "some_module.py"
    module.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    __import__("some_module")
    monkeypatch.setitem(sys.modules, "some_module", sys.modules["some_module"])
    kept = watched(lambda: None)
    assert kept is not None
    module.write_text("changed = True")
    assert not same(kept)


# A tree of five places, which may be absent, files, folders or links; what of them is looked at, and what changes.
_PLACES = st.sampled_from(["a", "b", "d", "d/a", "d/b"])
_WAYS = st.sampled_from(["read", "is_file", "is_dir", "realpath", "list"])
_ACTS = st.sampled_from(["file", "folder", "link", "gone"])
_numbers = iter(range(1, 10**9))


def _act(at: Path, act: str) -> None:
    if at.is_symlink() or at.is_file():
        at.unlink()
    elif at.is_dir():
        shutil.rmtree(at)
    if not at.parent.is_dir():
        return
    if act == "file":
        # Another size each time: two changes within one tick of the clock differ, too.
        at.write_text("x" * next(_numbers))
    elif act == "folder":
        at.mkdir()
    elif act == "link":
        at.symlink_to("a" if at.name != "a" else "b")


def _tick(clock: Path) -> None:
    """Wait until the clock of the file system, which stands still for some milliseconds, goes on."""
    clock.touch()
    begun = clock.stat().st_ctime_ns
    while clock.stat().st_ctime_ns == begun:
        clock.touch()


def _answer(at: Path, way: str) -> object:
    try:
        if way == "read":
            return at.read_text()
        if way == "list":
            return sorted(os.listdir(at))  # noqa: PTH208
        return os.path.realpath(at) if way == "realpath" else getattr(at, way)()
    except OSError as error:
        return error.errno


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.tuples(_PLACES, _ACTS), max_size=6),
    ways=st.lists(st.tuples(_PLACES, _WAYS), min_size=1, max_size=4),
    after=st.lists(st.tuples(_PLACES, _ACTS), max_size=3),
)
def test_where_it_is_as_it_was_the_answers_are_the_same(
    before: list[tuple[str, str]],
    ways: list[tuple[str, str]],
    after: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    top = tmp_path_factory.mktemp("tree")
    for place, act in before:
        _act(top / place, act)
    answers: list[object] = []
    _tick(top.with_name("clock"))
    kept = watched(lambda: answers.extend(_answer(top / place, way) for place, way in ways))
    assert kept is not None
    assert same(kept)
    _tick(top.with_name("clock"))
    for place, act in after:
        _act(top / place, act)
    if same(kept):
        assert [_answer(top / place, way) for place, way in ways] == answers
    shutil.rmtree(top)


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[tuple[str, list[bytes]]]:
    """A socket that answers every question with the first of a list."""
    path = str(tmp_path / "engine.sock")
    answers: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + answers[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path, answers
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_engine_has_to_say_the_same(engine_socket: tuple[str, list[bytes]]) -> None:
    path, answers = engine_socket
    one: dict[str, Any] = {
        "Id": "1", "Status": "Up 2 seconds", "State": {"StartedAt": "1", "Health": {"Log": []}}, "ExecIDs": None,
        "Mounts": [{"Source": "/a"}, {"Source": "/b"}],
    }  # fmt: skip
    answers[:] = [json.dumps([one]).encode()]
    kept = watched(lambda: ask_socket(path, "/containers/json"))
    assert kept is not None
    passing = {**one, "Status": "Up 3 seconds", "ExecIDs": ["e"], "Mounts": one["Mounts"][::-1]}
    answers[:] = [json.dumps([{**passing, "State": {"StartedAt": "1", "Health": None}}]).encode()]
    assert same(kept)
    for changed in ({"Id": "2"}, {"State": {"StartedAt": "2"}}, {"Mounts": [{"Source": "/a"}]}):
        answers[:] = [json.dumps([{**one, **changed}]).encode()]
        assert not same(kept)
    answers[:] = [b"[]"]
    assert not same(kept)


def test_how_a_container_ended_does_not_pass(engine_socket: tuple[str, list[bytes]]) -> None:
    path, answers = engine_socket
    answers[:] = [b'[{"State": "exited", "Status": "Exited (0) 2 seconds ago"}]']
    kept = watched(lambda: ask_socket(path, "/containers/json"))
    assert kept is not None
    answers[:] = [b'[{"State": "exited", "Status": "Exited (0) About a minute ago"}]']
    assert same(kept)
    answers[:] = [b'[{"State": "exited", "Status": "Exited (1) 2 seconds ago"}]']
    assert not same(kept)


def test_nobody_keeps_a_door_past_the_watch() -> None:
    """What is bound by name when a module is loaded is not watched; the agent and `doctor` never are."""
    top = Path(looks.__file__).parent
    found = []
    for path in sorted(top.rglob("*.py")):
        if path.relative_to(top).parts[0] not in {"agent", "doctor"} and path.name != "looks.py":
            imports = [one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.ImportFrom)]
            found += [path.name for one in imports if one.module in {"os", "posix"}]
    assert found == []


@pytest.mark.parametrize("request_", ["/exec/1/json", "POST"])
def test_to_ask_of_commands_in_a_container_proves_nothing(
    request_: str, engine_socket: tuple[str, list[bytes]]
) -> None:
    path, answers = engine_socket
    answers[:] = [b"{}"]
    assert watched(lambda: ask_socket(path, request_, body={} if request_ == "POST" else None)) is None
