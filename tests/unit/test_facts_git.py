"""The door to git: nothing that a container planted in `.git` runs on the host."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.facts.checkout import gather
from devbox.facts.git import COMMANDS, environment, git

if TYPE_CHECKING:
    from pathlib import Path


def host_git(folder: Path, *args: str) -> str:
    """Run git as the person who owns the checkout would, without the machine's configuration."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    return subprocess.run(
        ["git", *args], cwd=folder, env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit that tracks a dev container's file."""
    folder = tmp_path / "a checkout, with 'quotes' ü"
    (folder / ".devcontainer" / "vllm").mkdir(parents=True)
    (folder / "sub").mkdir()
    (folder / ".devcontainer" / "vllm" / "devcontainer.json").write_text("{}")
    (folder / ".devcontainer.json").write_text("{}")
    (folder / "file.txt").write_text("one")
    host_git(folder, "init", "-q", "-b", "main")
    host_git(folder, "add", ".devcontainer", "file.txt")
    host_git(folder, "commit", "-q", "-m", "one")
    return folder


def test_a_checkout(repository: Path) -> None:
    facts = gather(repository)
    assert facts.path == repository
    assert facts.git_top == repository
    assert facts.git_dir == repository / ".git"
    assert facts.git_common_dir is None
    assert facts.head == host_git(repository, "rev-parse", "HEAD")
    assert facts.tracked == {".devcontainer/vllm/devcontainer.json"}


def test_a_folder_inside_a_checkout(repository: Path) -> None:
    facts = gather(repository / "sub")
    assert facts.git_top == repository
    assert facts.tracked == frozenset()


def test_a_linked_worktree_points_to_the_common_folder(repository: Path, tmp_path: Path) -> None:
    host_git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    facts = gather(tmp_path / "second")
    assert facts.git_top == tmp_path / "second"
    assert facts.git_common_dir == repository / ".git"
    assert facts.git_dir == repository / ".git" / "worktrees" / "second"


def test_a_planted_link_to_another_repository_is_no_worktree(repository: Path, tmp_path: Path) -> None:
    host_git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / ".git").write_text((tmp_path / "second" / ".git").read_text())
    assert gather(planted).git_common_dir is None


def test_symlinks_stay_as_the_user_gave_them(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository)
    facts = gather(tmp_path / "link")
    assert facts.path == tmp_path / "link"
    assert facts.git_top == tmp_path / "link"


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    host_git(tmp_path, "init", "-q")
    facts = gather(tmp_path)
    assert facts.git_top == tmp_path
    assert facts.head is None


@pytest.mark.parametrize("content", [None, "gitdir: ../../.git/modules/gone\n", "rubbish"])
def test_no_git_or_a_broken_one_is_a_normal_answer(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / ".git").write_text(content)
    facts = gather(tmp_path)
    assert (facts.path, facts.git_top, facts.head, facts.tracked) == (tmp_path, None, None, frozenset())


def test_without_git_installed_only_the_path_is_known(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert gather(repository).git_top is None


def test_nothing_that_the_configuration_names_is_run(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    script = tmp_path / "planted"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> "{trace}"\ncat\n')
    script.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    for hook in ("post-index-change", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=planted diff=planted\n")
    (repository / "file.txt").write_text("two")
    for key in (
        "core.fsmonitor",
        "diff.external",
        "filter.planted.clean",
        "diff.planted.command",
        "core.pager",
        "gpg.program",
    ):
        host_git(repository, "config", key, str(script))
    host_git(repository, "config", "core.hooksPath", str(hooks))

    gather(repository)
    assert git(repository, "ls-files", "--others", "--stage") is not None
    assert git(repository, "rev-list", "--all") is not None
    assert not trace.exists(), trace.read_text()
    # The trap itself works: the commands that stay outside do run it.
    host_git(repository, "-c", "core.hooksPath=/dev/null", "status")
    assert trace.exists()


def test_a_promised_object_is_not_fetched(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    host_git(repository, "config", "extensions.partialClone", "origin")
    host_git(repository, "config", "remote.origin.promisor", "true")
    host_git(repository, "config", "remote.origin.url", f"ext::sh -c 'touch {trace}'")
    host_git(repository, "config", "protocol.ext.allow", "always")
    done = git(repository, "cat-file", "-p", "0123456789012345678901234567890123456789")
    assert done is not None
    assert not done.ok
    assert not trace.exists()


def test_devbox_called_from_a_hook_still_sees_the_checkout_it_was_asked_about(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    host_git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert gather(repository).git_dir == repository / ".git"


def test_the_index_is_not_touched(repository: Path) -> None:
    index = repository / ".git" / "index"
    (repository / "file.txt").write_text("two")
    before = (index.stat().st_mtime_ns, index.read_bytes())
    gather(repository)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository to someone else")
def test_a_repository_of_another_user_is_read(repository: Path) -> None:
    for path in [repository, *repository.rglob("*")]:
        os.chown(path, 1234, 1234)
    assert gather(repository).git_top == repository


@pytest.mark.parametrize("args", [(), ("status",), ("diff",), ("log",), ("ls-files", "-m"), ("worktree", "add", "x")])
def test_other_commands_are_a_mistake_in_the_program(tmp_path: Path, args: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not among the commands"):
        git(tmp_path, *args)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert git(tmp_path / "gone", "rev-parse", "HEAD") is None


def test_what_the_user_says_about_the_search_is_kept() -> None:
    kept = environment({"GIT_CEILING_DIRECTORIES": "/x", "GIT_DIR": "/y", "HOME": "/h", "GIT_OPTIONAL_LOCKS": "1"})
    assert kept["GIT_CEILING_DIRECTORIES"] == "/x"
    assert "GIT_DIR" not in kept
    assert kept["GIT_OPTIONAL_LOCKS"] == "0"
    assert "status" not in COMMANDS
