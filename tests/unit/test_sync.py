"""A checkout and its copy: after whatever was done to it, the copy is the same, and what was edited there is kept.

The receiver runs here, by a stand-in for docker that executes what it is told to execute in a container.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.agent import receiver
from devbox.agent.receiver import OWN
from devbox.container.sync import repository
from devbox.container.sync.checkout import scan
from devbox.container.sync.line import Place, in_container
from devbox.container.sync.repository import _exclude, _is_here, head_of
from devbox.container.sync.send import _contents, _put, compare, sync, take_back
from devbox.container.sync.wire import CutError, framed
from devbox.engine.docker import Engine
from devbox.errors import DevboxError, EngineError, RefusedError
from devbox.facts import git
from devbox.reporter import Silent

if TYPE_CHECKING:
    from devbox.container.sync.send import Synced

DOCKER = """#!/bin/sh
while [ "$1" != here ]; do shift; done
shift
exec "$@"
"""


class Lab:
    """A checkout, its copy, and an engine that is reached by the docker program alone."""

    def __init__(self, folder: Path) -> None:
        self.here, self.there = folder / "here", folder / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.docker = folder / "docker"
        self.docker.write_text(DOCKER)
        self.docker.chmod(0o755)
        self.reporter = Silent()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str, there: bool = False) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        done = subprocess.run(
            ["git", *who, *args], cwd=self.there if there else self.here, capture_output=True, text=True, check=True
        )
        return done.stdout.strip("\n")

    def write(self, name: str, text: str, *, there: bool = False) -> Path:
        path = (self.there if there else self.here) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, message: str = "x") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def place(self, docker: Path | None = None) -> Place:
        engine = Engine(docker=str(docker or self.docker), environ={**os.environ, "DOCKER_HOST": "tcp://far:1"})
        return in_container(engine, "here", str(self.there), "")

    def sync(self, *discard: str, docker: Path | None = None) -> Synced:
        self.reporter.warnings.clear()
        return sync(self.place(docker), self.here, os.environ, self.reporter, discard=discard)

    def must_agree(self) -> None:
        assert held(self.there) == held(self.here)
        assert self.git("rev-parse", "HEAD", there=True) == self.git("rev-parse", "HEAD")
        status = ("status", "--porcelain", "--untracked-files=all")
        # The index itself stays here: what is staged is a change over there.
        assert {one[3:] for one in self.git(*status, there=True).splitlines()} == {
            one[3:] for one in self.git(*status, "--no-renames").splitlines()
        }


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Lab(tmp_path)


def held(top: Path) -> dict[str, tuple[str, bytes, int]]:
    """Return kind, content and mtime of all that lies in a folder, without what is each end's own."""
    found = {}
    for folder, names, files in os.walk(top):
        names[:] = [name for name in names if name not in {".git", OWN}]
        links = [name for name in names if Path(folder, name).is_symlink()]
        for path in (Path(folder, name) for name in (*files, *links)):
            kind = "link" if path.is_symlink() else oct(path.stat().st_mode & 0o100)
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(top))] = (kind, content, path.lstat().st_mtime_ns)
    return found


def test_the_first_brings_all_and_the_next_nothing(lab: Lab) -> None:
    lab.write("a/b.cpp", "int b;")
    lab.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (lab.here / "link").symlink_to("a/b.cpp")
    lab.write(".gitignore", "out/\n")
    lab.commit()
    lab.git("tag", "v1")
    lab.write("out/left", "here")
    lab.write("new.cpp", "untracked")
    lab.write("a/b.cpp", "int c;")
    first = lab.sync()
    shutil.rmtree(lab.here / "out")
    lab.must_agree()
    assert lab.git("describe", "--tags", there=True) == "v1"
    # What the commit holds came with it.
    assert first.sent == 2
    again = lab.sync()
    assert (again.sent, again.deleted, again.digest) == (0, 0, first.digest)


def test_what_is_not_in_git_is_sent_as_it_lies(lab: Lab) -> None:
    shutil.rmtree(lab.here / ".git")
    lab.write("a/b", "1")
    assert lab.sync().sent == 1
    (lab.here / "a/b").unlink()
    (lab.here / "a").rmdir()
    lab.write("a", "2")
    assert lab.sync().deleted == 1
    assert held(lab.there) == held(lab.here)


@pytest.mark.parametrize("known", [True, False])
def test_links_to_folders_are_sent_as_links(lab: Lab, tmp_path: Path, *, known: bool) -> None:
    (tmp_path / "other/.git").mkdir(parents=True)
    (tmp_path / "other/theirs").write_text("no")
    lab.write("python/a", "1")
    lab.write("conf/devcontainer.json", "{}")
    (lab.here / "python/self").symlink_to("..")
    (lab.here / "other").symlink_to(tmp_path / "other")
    (lab.here / ".devcontainer").symlink_to("conf")
    if known:
        lab.commit()
    else:
        shutil.rmtree(lab.here / ".git")
    assert lab.sync().edited == ()
    assert held(lab.there) == held(lab.here)


def test_an_edit_over_there_is_told_and_kept_until_it_is_given_up(lab: Lab) -> None:
    for name in ("kept", "gone", "both", "other"):
        lab.write(name, "first")
    lab.commit()
    lab.sync()
    lab.write("kept", "theirs", there=True)
    lab.write("both", "theirs", there=True)
    (lab.there / "gone").unlink()
    lab.write("mine", "theirs", there=True)
    lab.write("both", "ours")
    lab.write("mine", "ours")
    lab.write("other", "second")
    done = lab.sync()
    assert done.edited == ("both", "gone", "kept", "mine")
    assert "--back PATH" in lab.reporter.warnings[0]
    told = {name: (lab.there / name).read_text() for name in ("kept", "both", "mine", "other")}
    assert told == {"kept": "theirs", "both": "theirs", "mine": "theirs", "other": "second"}
    assert lab.sync().edited == done.edited
    # The same at both ends is no edit any more.
    lab.write("both", "theirs")
    assert lab.sync().edited == ("gone", "kept", "mine")
    assert lab.sync("gone", "kept", "mine").edited == ()
    lab.must_agree()
    assert lab.sync().edited == ()


def test_nothing_is_sent_where_git_does_not_tell_what_is_ignored(lab: Lab) -> None:
    lab.write(".gitignore", "secret\n")
    lab.write("secret", "x")
    lab.write(".git/index", "garbage")
    with pytest.raises(DevboxError, match="does not tell which files belong"):
        lab.sync()
    assert held(lab.there) == {}


def test_what_is_kept_counts_as_neither_sent_nor_deleted(lab: Lab) -> None:
    lab.write("a", "1")
    lab.write("b", "1")
    lab.sync()
    lab.write("a", "theirs", there=True)
    lab.write("b", "theirs", there=True)
    (lab.here / "a").unlink()
    lab.write("b", "2")
    done = lab.sync()
    assert (done.sent, done.deleted, done.edited) == (0, 0, ("a", "b"))


def test_edits_in_a_folder_are_given_up_together(lab: Lab) -> None:
    for name in ("d/a", "d/e/b", "da"):
        lab.write(name, "ours")
    lab.commit()
    lab.sync()
    for name in ("d/a", "d/e/b", "da"):
        lab.write(name, "theirs", there=True)
    assert lab.sync("d").edited == ("da",)
    assert (lab.there / "d/e/b").read_text() == "ours"
    assert (lab.there / "da").read_text() == "theirs"


def test_a_commit_over_there_is_told_and_kept(lab: Lab) -> None:
    lab.write("a", "1")
    lab.commit()
    lab.sync()
    lab.git("commit", "--quiet", "--allow-empty", "--message", "theirs", there=True)
    theirs = lab.git("rev-parse", "HEAD", there=True)
    lab.write("a", "2")
    lab.commit()
    assert lab.sync().moved == theirs
    assert lab.git("rev-parse", "HEAD", there=True) == theirs
    assert (lab.there / "a").read_text() == "2"
    lab.git("reset", "--quiet", "--soft", "HEAD~", there=True)
    assert lab.sync().moved == ""
    lab.must_agree()


@pytest.mark.parametrize("verb", ["read-tree", "cat-file"])
def test_a_move_of_head_that_was_cut_off_is_finished(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    lab.write("a", "1")
    lab.write("b", "1")
    lab.commit()
    if verb == "read-tree":
        lab.sync()
        lab.write("a", "2")
        lab.commit()
    (tmp_path / "bin").mkdir()
    killer = tmp_path / "bin/git"
    half = f"echo half > {OWN}/file; echo > .git/index.lock; kill -9 $PPID"
    killer.write_text(
        f'#!/bin/sh\ncase " $* " in *" {verb} "*) {half}; exit 1;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    killer.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        with pytest.raises(CutError):
            lab.sync()
    assert lab.sync().moved == ""
    lab.must_agree()


def test_a_history_that_is_not_here_is_left_out(lab: Lab, tmp_path: Path) -> None:
    for number in range(3):
        lab.write("a", str(number))
        lab.commit(f"{number}")
    whole = lab.here.rename(tmp_path / "whole")
    subprocess.run(["git", "clone", "--quiet", "--depth=2", f"file://{whole}", lab.here], check=True)
    lab.sync()
    lab.must_agree()
    lab.write("b", "new")
    lab.commit()
    lab.sync()
    lab.must_agree()
    lab.git("checkout", "--quiet", "--detach", "HEAD~2")
    lab.sync()
    lab.must_agree()
    assert lab.git("fsck", there=True) == ""


def test_a_large_history_is_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that git has not packed yet count as well."""
    monkeypatch.setattr(repository, "LARGE", 1 << 20)
    for _ in range(2):
        (lab.here / "a").write_bytes(random.Random(1).randbytes(1 << 20))
        lab.commit()
    lab.sync()
    lab.must_agree()
    assert lab.git("rev-list", "--count", "HEAD", there=True) == "1"


@pytest.mark.parametrize(
    ("seed", "rounds"), [(7, 8), *(pytest.param(seed, 50, marks=pytest.mark.slow) for seed in range(4))]
)
def test_after_any_history_the_copy_is_the_checkout(lab: Lab, seed: int, rounds: int) -> None:
    """Edits, times, deletions, branches, folders in the place of files; and some receivers that are killed anywhere."""
    chance = random.Random(seed)
    names = [f"{folder}{name}" for folder in ("", "d/", "d/e/", "f/") for name in "abc"]
    for name in names:
        lab.write(name, name)
    lab.commit()
    for branch in ("one", "two"):
        lab.git("branch", branch)
    for _ in range(rounds):
        for _ in range(chance.randint(1, 3)):
            step(lab, chance, names)
        if chance.random() < 0.2:
            cut(lab, chance)
        done = lab.sync()
        assert done.edited == (), lab.reporter.warnings
        lab.must_agree()


def step(lab: Lab, chance: random.Random, names: list[str]) -> None:
    path = lab.here / chance.choice(names)
    match chance.choice(
        ("edit", "edit", "same size", "delete", "old", "future", "mode", "link", "branch", "commit", "turn")
    ):
        case "edit":
            put(lab, path, str(chance.random()))
        case "same size":
            put(lab, path, chance.choice("xyz") * 8)
        case "delete":
            remove(path)
        case ("old" | "future") as when:
            put(lab, path, str(chance.random()), at=10**9 if when == "old" else 4 * 10**9)
        case "mode":
            put(lab, path, "program", mode=0o755)
        case "link":
            remove(path)
            if not above(lab, path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(chance.choice(names))
        case "turn":
            # A folder in the place of a file, and the other way round.
            folder = lab.here / chance.choice(("d", "f", "a"))
            remove(folder)
            put(lab, folder if chance.random() < 0.5 else folder / "b", "turned")
        case kind:
            lab.commit()
            if kind == "branch":
                lab.git("checkout", "--quiet", chance.choice(("main", "one", "two")))


def above(lab: Lab, path: Path) -> bool:
    """Tell whether something stands in the way of a path."""
    return any(
        one.is_symlink() or one.is_file() for one in path.parents if one.is_relative_to(lab.here) and one != lab.here
    )


def put(lab: Lab, path: Path, text: str, *, mode: int = 0o644, at: int | None = None) -> None:
    if above(lab, path) or (path.is_dir() and not path.is_symlink()):
        return
    remove(path)
    lab.write(str(path.relative_to(lab.here)), text).chmod(mode)
    if at is not None:
        os.utime(path, (at, at))


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        if path.parent.is_dir():
            path.unlink(missing_ok=True)


def cut(lab: Lab, chance: random.Random) -> None:
    """Have a receiver that is killed after some of its system calls that change something."""
    killer = lab.docker.with_name("killer")
    program = (
        "import os, signal, sys\n"
        "argv = sys.argv[sys.argv.index('here') + 1:]\n"
        f"left = [{chance.randint(0, 30)}]\n"
        "def hook(event, args):\n"
        "    if event in ('os.rename', 'os.remove', 'os.utime', 'os.mkdir', 'os.rmdir', 'open', 'subprocess.Popen'):\n"
        "        left[0] -= 1\n"
        "        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "text = argv[-3]\n"
        "sys.argv = ['-c', *argv[-2:]]\n"
        "code = compile(text, 'receiver', 'exec')\n"
        "sys.addaudithook(hook)\n"
        "exec(code, {'__name__': '__main__'})\n"
    )
    killer.write_text(f"#!{shutil.which('python3')}\n{program}")
    killer.chmod(0o755)
    with contextlib.suppress(CutError):
        lab.sync(docker=killer)


@pytest.mark.parametrize(
    "path", ["../out", "/etc/x", ".git/hooks/post-checkout", "sub/.GIT/config", "sub", "link/x", "a\0b"]
)
def test_what_is_taken_back_goes_nowhere_else(lab: Lab, tmp_path: Path, path: str) -> None:
    (lab.here / "sub").mkdir()
    (lab.here / "link").symlink_to(tmp_path)
    with pytest.raises((RefusedError, ValueError)):
        _put(lab.here, path, b"x", program=False)
    assert sorted(one.name for one in lab.here.iterdir()) == [".git", "link", "sub"]


def test_what_was_made_over_there_is_taken_back(lab: Lab) -> None:
    lab.write("a", "ours")
    lab.sync()
    lab.write("a", "theirs", there=True)
    lab.write("d/new.sh", "made" * (4 << 20), there=True).chmod(0o755)
    assert compare(lab.place(), lab.here, os.environ, lab.reporter).edited == ("a",)
    taken = take_back(lab.place(), lab.here, ["a", "d", "none"], os.environ, lab.reporter)
    assert taken == ["a", "d/new.sh"]
    assert (lab.here / "d/new.sh").stat().st_mode & 0o100
    assert lab.sync().edited == ()
    assert held(lab.there) == held(lab.here)


def test_a_full_disk_over_there_is_told(lab: Lab) -> None:
    lab.write("a", "x" * 100_000)
    small = lab.docker.with_name("small")
    small.write_text('#!/bin/bash\nulimit -f 20; trap "" XFSZ\nexec ' + str(lab.docker) + ' "$@"\n')
    small.chmod(0o755)
    with pytest.raises(EngineError, match="could not be brought to the engine: File too large"):
        lab.sync(docker=small)
    assert (lab.there / OWN / "file").exists()
    lab.write("a", "small")
    lab.sync(docker=small)
    assert not (lab.there / OWN / "file").exists()
    lab.sync()
    assert held(lab.there) == held(lab.here)


def test_an_end_that_says_nothing_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_TIMEOUT", "0.3")
    silent = lab.docker.with_name("silent")
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(EngineError, match=r"said nothing for 0\.3 s"):
        lab.sync(docker=silent)


def test_one_whose_other_end_is_gone_holds_no_other_sync_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write("a", "1")
    lab.commit()
    said: list[str] = []
    monkeypatch.setattr(lab.reporter, "info", said.append)
    gone = lab.place().start(receiver_argv(lab, seconds=0.5), 30)
    try:
        assert gone.receive() == b'{"ready":true}\n'
        lab.sync()
    finally:
        gone.close()
    assert said[0] == "waiting for another sync of this checkout"
    lab.must_agree()


def receiver_argv(lab: Lab, *, seconds: float) -> tuple[str, ...]:
    return ("python3", "-c", Path(receiver.__file__).read_text(), str(lab.there), str(seconds))


def test_a_repository_that_was_cut_off_is_finished(lab: Lab) -> None:
    """Its folder is there, and neither HEAD nor what devbox keeps out of git's sight."""
    lab.write("a", "1")
    lab.commit()
    lab.write(".git/info/exclude", "*.mine\n")
    (lab.there / ".git/objects").mkdir(parents=True)
    lab.write(".git/info/exclude", "theirs", there=True)
    lab.sync()
    lab.must_agree()
    assert (lab.there / ".git/info/exclude").read_text() == f"theirs\n*.mine\n/{OWN}/\n"


def test_no_commit_is_sent_whose_objects_git_does_not_tell(lab: Lab, tmp_path: Path) -> None:
    lab.write("d/a", "1")
    lab.commit()
    lab.commit()
    whole = lab.here.rename(tmp_path / "whole")
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{whole}", lab.here], check=True)
    folder = lab.git("rev-parse", "HEAD:d")
    subprocess.run(["git", "unpack-objects", "-q"], cwd=lab.here, input=moved_pack(lab), check=True)
    (lab.here / f".git/objects/{folder[:2]}/{folder[2:]}").unlink()
    with pytest.raises(DevboxError, match="does not tell which objects HEAD"):
        lab.sync()


def moved_pack(lab: Lab) -> bytes:
    """Take the only pack of a checkout away, and return it."""
    (pack,) = (lab.here / ".git/objects/pack").glob("*.pack")
    data = pack.read_bytes()
    for one in pack.parent.iterdir():
        one.unlink()
    return data


def test_a_container_without_python_is_told(lab: Lab) -> None:
    none = lab.docker.with_name("none")
    none.write_text(
        "#!/bin/sh\necho 'OCI runtime exec failed: exec: \"python3\": executable file not found' >&2; exit 127\n"
    )
    none.chmod(0o755)
    with pytest.raises(EngineError, match="has no python3"):
        lab.sync(docker=none)


def test_nothing_from_outside_of_the_checkout_is_sent(lab: Lab, tmp_path: Path) -> None:
    """Links for folders, and paths that only git's index has, lead to files of the person's."""
    home = tmp_path / "home"
    (home / ".git").mkdir(parents=True)
    (home / "id_rsa").write_text("KEY")
    lab.write("a/id_rsa", "x")
    lab.write("ab_home_id_rsa", "x")
    lab.commit()
    shutil.rmtree(lab.here / "a")
    (lab.here / "ab_home_id_rsa").unlink()
    for name in ("a", "b", ".devcontainer"):
        (lab.here / name).symlink_to("../home")
    index = lab.here / ".git/index"
    planted = index.read_bytes()[:-20].replace(b"ab_home_id_rsa", b"../home/id_rsa")
    index.write_bytes(planted + hashlib.sha1(planted, usedforsecurity=False).digest())
    assert "../home/id_rsa" in lab.git("ls-files").splitlines()
    assert {path: one.kind for path, one in scan(lab.here).items()} == dict.fromkeys(("a", "b", ".devcontainer"), "l")


@pytest.mark.parametrize("way", ["file", "link", "commondir", "refs", "alternates", "objects"])
def test_no_other_repository_of_the_persons_is_sent(lab: Lab, tmp_path: Path, way: str) -> None:
    lab.write("a", "x")
    lab.commit()
    assert head_of(lab.here) is not None
    own, other = lab.here / ".git", tmp_path / "other" / ".git"
    shutil.copytree(lab.here, other.parent)
    if way == "refs":
        (own / "objects/info/alternates").write_text(f"{other}/objects\n")
        (own / "refs/heads/main").unlink()
        (own / "refs/heads/main").symlink_to(other / "refs/heads/main")
    elif way == "alternates":
        (own / "objects/info/alternates").write_text(f"{other}/objects\n")
    elif way == "objects":
        shutil.rmtree(own / "objects")
        (own / "objects").symlink_to(other / "objects")
    elif way == "commondir":
        (own / "commondir").write_text(f"{other}\n")
    else:
        shutil.rmtree(own)
        own.symlink_to(other) if way == "link" else own.write_text(f"gitdir: {other}\n")
    assert lab.git("rev-parse", "HEAD")
    assert head_of(lab.here) is None


def test_a_worktree_has_its_repository(lab: Lab, tmp_path: Path) -> None:
    lab.commit()
    lab.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert head_of(tmp_path / "tree") == head_of(lab.here)._replace(ref="refs/heads/tree")  # type: ignore[union-attr]


def test_what_git_is_to_ignore_is_no_file_of_the_persons(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("KEY")
    place = lab.here / ".git/info/exclude"
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "key")
    assert _exclude(lab.here) == ""
    place.unlink()
    os.mkfifo(place)
    assert _exclude(lab.here) == ""


def test_a_commit_over_there_is_a_hash(lab: Lab) -> None:
    lab.commit()
    assert _is_here(lab.here, lab.git("rev-parse", "HEAD"))
    assert not _is_here(lab.here, ":/x|\nrefs/heads/main")


def test_git_that_waits_for_a_pipe_in_an_objects_place_is_given_up(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.commit()
    monkeypatch.setattr(git, "PACK_SECONDS", 0.2)
    waits = tmp_path / "bin/git"
    waits.parent.mkdir()
    waits.write_text("#!/bin/sh\nexec sleep 60\n")
    waits.chmod(0o755)
    monkeypatch.setenv("PATH", str(waits.parent), prepend=os.pathsep)
    with pytest.raises(EngineError, match=r"said nothing for 0\.2 s"):
        list(git.packed(lab.here, "HEAD", revisions=True, first=True))


def test_nothing_that_settings_name_is_run_over_there(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container's own git has filters, as `git lfs install` makes them, and so has whoever was in the copy."""
    fired = tmp_path / "fired"
    run = f"echo x >> {fired}; cat"
    user = tmp_path / "user"
    settings = [f'[filter "lfs"]\n\tclean = {run}\n\tsmudge = {run}\n\tprocess = {run}\n\trequired = true\n']
    user.write_text("".join([*settings, f"[core]\n\tfsmonitor = {run}\n\thooksPath = {tmp_path}/hooks\n"]))
    (tmp_path / "hooks").mkdir()
    for name in ("post-index-change", "reference-transaction", "post-checkout"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\necho {name} >> {fired}\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    lab.write("a", "1")
    lab.write("sub/run.sh", "2").chmod(0o755)
    (lab.here / "link").symlink_to("a")
    lab.git("add", "--all")
    # By now each file of the checkout is one of lfs, and all of them were changed.
    lab.write(".gitattributes", "* filter=lfs\n")
    lab.commit()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "hooks/post-checkout"))
    lab.sync()
    assert held(lab.there) == held(lab.here)
    shutil.copy(user, lab.there / ".git/config")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    lab.write("a", "changed")
    lab.commit()
    lab.sync()
    assert held(lab.there) == held(lab.here)
    assert not fired.exists()


class TestFolders:
    """A folder that becomes a link after it was looked at, at both ends."""

    @pytest.fixture
    def out(self, lab: Lab, tmp_path: Path) -> Path:
        out = tmp_path / "out"
        out.mkdir()
        (out / "f").write_text("KEY")
        return out

    def test_nothing_is_read_through_it(self, lab: Lab, out: Path) -> None:
        (lab.here / "d").symlink_to(out)
        assert list(_contents(lab.here, [["d/f", "f", "", 0]])) == [framed(b"")]
        assert receiver.held(str(lab.here), "d/f", (out / "f").lstat()) is None
        (out / "l").symlink_to("f")
        assert receiver.held(str(lab.here), "d/l", (out / "l").lstat()) is None

    def test_nothing_is_written_or_removed_through_it(self, lab: Lab, out: Path) -> None:
        there = receiver.Receiver(str(lab.there), io.BytesIO(framed(b"new") + framed(b"")), 60.0)
        (lab.there / "d").symlink_to(out)
        content = hashlib.blake2b(b"new", digest_size=16).hexdigest()
        there.files["d/f"] = ["f", "", 0, receiver.stamp((out / "f").lstat())]
        there.files["d/g"] = ["f", "", 0, None]
        order = {"digest": "", "discard": ["d/f", "d/g"], "touch": {}}
        said = there.take({**order, "delete": ["d/g"], "files": [["d/f", "f", content, 1]]})
        assert said["kept"] == ["d/f"]
        there._delete("d/f")
        with pytest.raises(OSError, match="d"):
            there.take({**order, "delete": [], "files": [], "touch": {"d/f": 1}})
        with pytest.raises(OSError, match="d"):
            there._append("d/f", ["more"])
        assert [(one.name, one.read_text(), one.stat().st_mtime > 1) for one in out.iterdir()] == [("f", "KEY", True)]

    def test_its_own_folder_is_none(self, lab: Lab, out: Path) -> None:
        (lab.there / OWN).symlink_to(out)
        with pytest.raises(EngineError, match="could not be brought"):
            lab.sync()
        assert [one.name for one in out.iterdir()] == ["f"]


STATE = {"digest": "", "head": "", "moved": "", "cut": False, "git": False, "shallow": False, "edited": [], "have": {}}


@pytest.mark.parametrize(
    "said",
    [
        {}, {"digest": 1}, {"fault": ["x"], "errno": []}, STATE,
        *({**STATE, key: value} for key, value in (
            ("head", ["a"]), ("moved", {"a": 1}), ("git", "yes"), ("edited", "abc"), ("edited", [[]]),
            ("edited", [[1, 2, 3]]), ("have", ["a"]), ("have", {"a": 5}), ("have", {"a": ["f"]}),
            ("have", {"a": ["f", "", True]}),
        )),
    ],
)  # fmt: skip
def test_what_a_container_makes_up_is_told(lab: Lab, said: object) -> None:
    """Whatever runs there may answer, also to what has no such answer."""
    lab.write("a", "x")
    words = "".join(f"sys.stdin.buffer.readline(); print({json.dumps(json.dumps(said))}, flush=True)\n" for _ in "12")
    made_up = lab.docker.with_name("made-up")
    more = "print(1); print('null'); print('[' * 100000); print('{}', flush=True)\n"
    made_up.write_text(f"#!{shutil.which('python3')}\nimport sys\n{more}{words}sys.stdin.buffer.read()\n")
    made_up.chmod(0o755)
    with pytest.raises(EngineError, match=r"makes no sense|could not be brought"):
        lab.sync(docker=made_up)
