"""What counts as a source, and what its content is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from devbox.agent import content
from devbox.agent.content import UNKNOWN, digest_file
from devbox.agent.files import stamp_of
from devbox.agent.proof import sources as module
from devbox.agent.proof.git import Git, index_entries
from devbox.agent.proof.sources import Sources, walk
from tests.git import git

ENVIRON = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git(tmp_path, "init", "-q", "-b", "main", "top")
    top = tmp_path / "top"
    for name in ("a.c", "folder/b.c", "folder/long/" + "x" * 200, "with space"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    return top


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_walk_leaves_out_what_tools_made(tmp_path: Path) -> None:
    for name in (
        "a.c", "sub/b.c", ".git/index", "sub/.git", "node_modules/x.js", "sub/__pycache__/x.pyc",
        "out/CMakeCache.txt", "out/deep/x.c", "venv/pyvenv.cfg", "venv/lib/x.py", "target/CACHEDIR.TAG", "target/x.rs",
    ):  # fmt: skip
        write(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    found = walk(str(tmp_path))
    assert set(found.stamps) == {"a.c", "sub/b.c"}
    assert found.foreign == ["out"]
    assert found.stamps["a.c"] == stamp_of(str(tmp_path / "a.c"))


def test_a_build_in_the_checkout_s_top_hides_no_source(tmp_path: Path) -> None:
    write(tmp_path / "CMakeCache.txt")
    write(tmp_path / "a.c")
    found = walk(str(tmp_path))
    assert "a.c" in found.stamps
    assert found.foreign == ["."]


def test_names_that_are_no_text_are_sources_too(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.c")
    path.write_text("x")
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    (entry,) = sources.entries({}, list).values()
    assert entry.content == digest_file(str(path)) != UNKNOWN


def test_a_link_is_where_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    assert sources.entries({}, list)["link"].content == "@elsewhere"


def test_only_what_moved_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.c", "b.c"):
        write(tmp_path / name, name)
    sources = Sources(str(tmp_path), str(tmp_path / "none"))
    known = sources.entries({}, list)
    write(tmp_path / "b.c", "another")
    read: list[str] = []

    def digest(path: str) -> str:
        read.append(Path(path).name)
        return "digest"

    monkeypatch.setattr(module, "digest_file", digest)
    now = sources.entries(known, list)
    assert read == ["b.c"]
    assert now["a.c"] == known["a.c"]
    assert now["b.c"].content == "digest"


def test_a_write_within_one_tick_of_the_clock_is_waited_out(tmp_path: Path) -> None:
    write(tmp_path / "a.c")
    Sources(str(tmp_path), str(tmp_path / "none")).entries({}, list)
    assert time.time_ns() - (tmp_path / "a.c").stat().st_ctime_ns >= content.FINE_TICK_NS


def test_large_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model").open("wb") as stream:
        stream.truncate(content.LARGE + 1)
    assert digest_file(str(tmp_path / "model")) == UNKNOWN
    assert digest_file(str(tmp_path / "missing")) == UNKNOWN


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_index_is_its_entries_and_not_its_stat_data(repository: Path, version: int) -> None:
    git(repository, "update-index", "--index-version", str(version))
    if version == 3:  # git writes it only where an entry has extended flags
        git(repository, "update-index", "--skip-worktree", "a.c")
    index = str(repository / ".git/index")
    before = index_entries(index)
    assert before != UNKNOWN
    (repository / "folder/b.c").touch()
    git(repository, "update-index", "-q", "--refresh")
    assert index_entries(index) == before
    write(repository / "folder/b.c", "another")
    git(repository, "add", "folder/b.c")
    assert index_entries(index) != before


def test_versions_of_an_index_agree(repository: Path) -> None:
    found = set()
    for version in (2, 4):
        git(repository, "update-index", "--index-version", str(version))
        found.add(index_entries(str(repository / ".git/index")))
    assert len(found) == 1


def test_a_broken_or_split_index_is_unknown(repository: Path, tmp_path: Path) -> None:
    index = repository / ".git/index"
    assert index_entries(str(write(tmp_path / "broken", "DIRC"))) == UNKNOWN
    (tmp_path / "cut").write_bytes(index.read_bytes()[:100])
    assert index_entries(str(tmp_path / "cut")) == UNKNOWN
    git(repository, "update-index", "--split-index")
    assert index_entries(str(index)) == UNKNOWN


def test_head_is_its_branch_and_commit(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    state = Git(str(repository))
    assert state.content(".git/HEAD") == f"refs/heads/main={commit}"
    git(repository, "pack-refs", "--all")
    assert state.content(".git/HEAD") == f"refs/heads/main={commit}"
    index = state.content(".git/index")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert state.content(".git/index") != index
    git(repository, "switch", "-q", "--detach")
    assert state.content(".git/HEAD") == git(repository, "rev-parse", "HEAD")


def test_a_linked_worktree_has_an_index_of_its_own(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    state = Git(str(tmp_path / "linked"))
    head, index = state.names
    assert index.endswith("/.git/worktrees/linked/index")
    assert state.content(head).startswith("refs/heads/other=")
    assert state.content(index) != UNKNOWN
