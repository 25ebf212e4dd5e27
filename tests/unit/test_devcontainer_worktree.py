"""Worktrees, submodules and bare repositories: what is mounted so that git works inside, checked with git itself."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

import pytest

from devbox.container.checkout.git_mounts import with_repository
from devbox.devcontainer.identity import volume_name, workspace_hash
from devbox.devcontainer.read import read
from devbox.devcontainer.worktree import git_mounts
from devbox.facts.checkout import gather
from devbox.facts.model import Checkout
from tests.git import git

TARGET = "/workspaces/vllm"


def commit(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "one")


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Return a repository with a submodule."""
    sub, main = tmp_path / "sub", tmp_path / "main"
    for folder in (sub, main):
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=main")
        commit(folder)
    git(main, "submodule", "--quiet", "add", str(sub), "libs/sub")
    commit(main)
    return main


def make_relative(worktree: Path) -> None:
    """Turn a worktree's links into those of `git worktree add --relative-paths` (git 2.48)."""
    git_dir = Path(git(worktree, "rev-parse", "--absolute-git-dir"))
    (worktree / ".git").write_text(f"gitdir: {os.path.relpath(git_dir, worktree)}\n")
    (git_dir / "gitdir").write_text(f"{os.path.relpath(worktree / '.git', git_dir)}\n")


def places(path: Path) -> dict[str, str]:
    return {mount.target: str(mount.source) for mount in git_mounts(gather(path), TARGET)}


def follow(links: dict[str, str], path: str) -> str:
    """Return the host's path of a path inside."""
    inside = max((target for target in links if posixpath.commonpath([target, path]) == target), key=len)
    return posixpath.normpath(posixpath.join(links[inside], posixpath.relpath(path, inside)))


def test_a_plain_checkout_needs_nothing(main: Path) -> None:
    assert git_mounts(gather(main), TARGET) == ()


def test_an_absolute_worktree_finds_its_repository_at_the_hosts_path(main: Path, tmp_path: Path) -> None:
    work = tmp_path / "wt"
    git(main, "worktree", "add", "--quiet", str(work))
    assert places(work) == {str(main / ".git"): str(main / ".git")}


@pytest.mark.parametrize("name", ["wt", "deep/er/wt", "main/.worktrees/wt"])
def test_a_relative_worktree_is_followed_there_and_back(main: Path, tmp_path: Path, name: str) -> None:
    work = tmp_path / name
    git(main, "worktree", "add", "--quiet", str(work))
    make_relative(work)
    checkout = gather(work)
    assert (checkout.git_common_dir, checkout.git_link) == (main / ".git", "relative")
    links = {TARGET: str(work), **places(work)}
    link = (work / ".git").read_text().removeprefix("gitdir:").strip()
    git_dir = posixpath.normpath(posixpath.join(TARGET, link))
    assert follow(links, git_dir) == str(main / ".git/worktrees/wt")
    back = (main / ".git/worktrees/wt/gitdir").read_text().strip()
    assert follow(links, posixpath.normpath(posixpath.join(git_dir, back))) == str(work / ".git")


def test_submodules_of_an_absolute_worktree_are_followed_too(main: Path, tmp_path: Path) -> None:
    work = tmp_path / "wt"
    git(main, "worktree", "add", "--quiet", str(work))
    git(work, "submodule", "--quiet", "update", "--init")
    assert gather(work).git_link == "both"
    links = {TARGET: str(work), **places(work)}
    assert links[str(main / ".git")] == str(main / ".git")
    link = (work / "libs/sub/.git").read_text().removeprefix("gitdir:").strip()
    git_dir = posixpath.normpath(posixpath.join(TARGET, "libs/sub", link))
    module = follow(links, git_dir)
    assert module == str(main / ".git/worktrees/wt/modules/libs/sub")
    back = git(Path(module), "config", "--file", "config", "core.worktree")
    assert follow(links, posixpath.normpath(posixpath.join(git_dir, back))) == str(work / "libs/sub")


def test_a_submodule_is_a_workspace_of_its_own(main: Path) -> None:
    checkout = gather(main / "libs/sub")
    assert (checkout.git_common_dir, checkout.git_link) == (main / ".git/modules/libs/sub", "relative")
    links = {TARGET: str(main / "libs/sub"), **places(main / "libs/sub")}
    link = (main / "libs/sub/.git").read_text().removeprefix("gitdir:").strip()
    assert follow(links, posixpath.normpath(posixpath.join(TARGET, link))) == str(main / ".git/modules/libs/sub")


def test_a_bare_repository_with_worktrees_beside_it(main: Path, tmp_path: Path) -> None:
    bare = tmp_path / "project" / ".bare"
    git(tmp_path, "clone", "--quiet", "--bare", str(main), str(bare))
    work = tmp_path / "project" / "feature"
    git(bare, "worktree", "add", "--quiet", str(work))
    assert places(work) == {str(bare): str(bare)}


def test_a_planted_link_to_another_repository_is_not_followed(main: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / ".git").write_text(f"gitdir: {main}/.git\n")
    assert gather(own).git_common_dir is None
    (own / ".git").write_text(f"gitdir: {main}/.git/modules/libs/sub\n")
    assert gather(own).git_common_dir is None


def test_a_contract_of_somebody_elses_gets_the_mounts_and_keeps_its_own(main: Path, tmp_path: Path) -> None:
    work = tmp_path / "wt"
    git(main, "worktree", "add", "--quiet", str(work))
    file = work / ".devcontainer.json"
    file.write_text('{"image": "debian"}')
    mount = f"type=bind,source={main}/.git,target={main}/.git"
    assert with_repository(read(file, work, {})).extra_mounts == (mount,)
    # A folder inside the worktree mounts all of it.
    (work / "inner").mkdir()
    (work / "inner" / ".devcontainer.json").write_text('{"image": "debian"}')
    inner = read(work / "inner" / ".devcontainer.json", work / "inner", {})
    assert with_repository(inner).extra_mounts == (mount,)
    # So does a folder above it, by whichever path.
    above = '"workspaceMount": "type=bind,source=%s,target=/w/x/..", "workspaceFolder": "/w/wt"'
    (tmp_path / "link").symlink_to(".")
    for source in ("${localWorkspaceFolder}/..", str(tmp_path), f"{tmp_path}/wt/../", f"{tmp_path}/link"):
        file.write_text(f'{{"image": "debian", {above % source}}}')
        assert with_repository(read(file, work, {})).extra_mounts == (mount,)
    file.write_text(f'{{"image": "debian", "mounts": [{{"type": "bind", "source": "/x", "target": "{main}/.git"}}]}}')
    assert with_repository(read(file, work, {})).extra_mounts == ()
    file.write_text('{"image": "debian", "workspaceMount": "", "workspaceFolder": "/w"}')
    assert with_repository(read(file, work, {})).extra_mounts == ()


def test_two_checkouts_of_one_name_have_nothing_of_their_own_in_common() -> None:
    one, other = Path("/a/vllm"), Path("/b/vllm")
    assert workspace_hash(one) != workspace_hash(other)
    assert volume_name(1000, "build", one) != volume_name(1000, "build", other)
    assert volume_name(1000, "ccache") == "devbox-1000-ccache"


def test_mounts_of_a_place_with_odd_characters_can_be_written() -> None:
    from devbox.engine.spec import Mount

    checkout = Checkout(Path('/home/a, "b"/wt'), git_common_dir=Path('/home/a, "b"/main/.git'))
    (mount,) = git_mounts(checkout, TARGET)
    assert Mount.parse(mount.csv()) == mount
