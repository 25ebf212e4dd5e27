"""The commits and tags of a checkout, from real repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox.errors import UsageError
from devbox.image.prebuilt.history import History, gather
from tests.git import git

if TYPE_CHECKING:
    from pathlib import Path


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    return folder


def test_the_first_parents_of_the_head_and_of_the_main_line(tree: Path) -> None:
    one = commit(tree, "one")
    git(tree, "tag", "v1.0")
    git(tree, "checkout", "--quiet", "-b", "side")
    commit(tree, "on the side")
    git(tree, "checkout", "--quiet", "main")
    git(tree, "merge", "--quiet", "--no-ff", "--message", "merge", "side")
    merge = git(tree, "rev-parse", "HEAD")
    git(tree, "update-ref", "refs/remotes/origin/main", one)
    git(tree, "update-ref", "refs/remotes/upstream/main", merge)
    own = commit(tree, "own work")
    assert gather(tree) == History((own, merge, one), (merge, one), ("v1.0",))
    assert gather(tree, back=0) == History((own,), (merge,), ("v1.0",))
    assert gather(tree, "main~1") == History((merge, one), (merge, one), ("v1.0",))
    git(tree, "update-ref", "-d", "refs/remotes/upstream/main")
    assert gather(tree).since_base == (one,)


def test_tags_newest_first(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("v0.9.0", "v0.10.0", "v0.10.1rc1")):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-0{number + 1}T00:00:00Z")
        commit(tree, name)
        git(tree, "tag", name)
    git(tree, "checkout", "--quiet", "v0.10.0")
    assert gather(tree).tags == ("v0.10.0", "v0.9.0")


def test_no_repository_and_no_commit(tree: Path, tmp_path: Path) -> None:
    assert gather(tmp_path) == History()
    assert gather(tree) == History()


def test_a_source_archive_of_a_release(tmp_path: Path) -> None:
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: vllm\nVersion: 0.33.0\n")
    assert gather(tmp_path) == History(tags=("v0.33.0",))


def test_a_ref_that_the_checkout_does_not_have(tree: Path, tmp_path: Path) -> None:
    assert gather(tree, "deadbeef") == History(("deadbeef",), ("deadbeef",))
    assert gather(tmp_path, "a" * 40).since_head == ("a" * 40,)
    for ref in ("HEAD", "nope", "--help", "-x", "@{u}", ""):
        with pytest.raises(UsageError, match="has no commit"):
            gather(tree, ref)
