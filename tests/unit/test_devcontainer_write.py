"""Files in somebody's checkout: what is written, what is left alone, what git sees."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.contract.inforce import agree_by_writing
from devbox.container.contract.reach import reach_of
from devbox.devcontainer.read import read
from devbox.devcontainer.record import dump, sealed, text_hash
from devbox.devcontainer.writing.request import Generated
from devbox.devcontainer.writing.write import excluded, preview, remove, write
from devbox.errors import RefusedError
from devbox.facts.checkout import gather
from devbox.facts.model import Checkout
from devbox.trust import grants
from tests.git import git

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract

CONFIG = ".devcontainer/devcontainer.json"
DOCKERFILE = ".devcontainer/Dockerfile"


def generated(image: str = "FROM a\n", name: str = "x", folder: str = ".devcontainer") -> Generated:
    devcontainer = sealed(
        {
            "name": name,
            "capAdd": ["SYS_PTRACE"],
            "customizations": {"devbox": {"framework": "cuda", "dockerfile": text_hash(image)}},
            "build": {"dockerfile": "Dockerfile", "context": "."},
        }
    )
    files = ((f"{folder}/devcontainer.json", dump(devcontainer)), (f"{folder}/Dockerfile", image))
    return Generated(files, devcontainer)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    top.mkdir()
    git(top, "init", "--quiet")
    git(top, "commit", "--quiet", "--allow-empty", "-m", "One")
    return top


def test_written_once_and_then_left(repository: Path) -> None:
    checkout = gather(repository)
    first = write(checkout, generated())
    assert first.paths == first.changed == (repository / CONFIG, repository / DOCKERFILE)
    assert git(repository, "status", "--porcelain") == ""
    second = write(checkout, generated())
    assert second.changed == second.kept == ()
    assert preview(checkout, generated()) == ()


def test_a_new_generation_replaces_the_old_one(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    write(checkout, generated())
    changed = write(checkout, generated("FROM b\n"))
    assert changed.changed == changed.paths
    assert (tmp_path / DOCKERFILE).read_text() == "FROM b\n"


@pytest.mark.parametrize("edited", [CONFIG, DOCKERFILE])
def test_an_edited_file_is_the_users(tmp_path: Path, edited: str) -> None:
    checkout = Checkout(tmp_path)
    write(checkout, generated())
    path = tmp_path / edited
    path.write_text(path.read_text() + "\n")
    before = {name: (tmp_path / name).read_text() for name in (CONFIG, DOCKERFILE)}

    kept = write(checkout, generated("FROM b\n", "y"))
    assert (kept.kept, kept.changed) == ((path,), ())
    assert {name: (tmp_path / name).read_text() for name in before} == before

    forced = write(checkout, generated("FROM b\n", "y"), force=True)
    assert forced.changed == forced.paths


def test_a_dockerfile_without_a_contract_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / DOCKERFILE).write_text("FROM mine\n")
    assert write(Checkout(tmp_path), generated()).kept == (tmp_path / DOCKERFILE,)
    assert not (tmp_path / CONFIG).exists()


def test_an_interrupted_write_is_finished(tmp_path: Path) -> None:
    """The Dockerfile comes first; a kill after it leaves one that the next run must take for its own."""
    checkout = Checkout(tmp_path)
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / DOCKERFILE).write_text("FROM a\n")
    assert write(checkout, generated()).changed == (tmp_path / CONFIG,)


@pytest.mark.parametrize("force", [False, True])
def test_a_tracked_file_is_never_overwritten(repository: Path, force: bool) -> None:
    (repository / ".devcontainer").mkdir()
    (repository / CONFIG).write_text("{}")
    git(repository, "add", CONFIG)
    with pytest.raises(RefusedError, match="tracked by git"):
        write(gather(repository), generated(), force=force)
    assert (repository / CONFIG).read_text() == "{}"
    assert not (repository / DOCKERFILE).exists()


def test_a_symlink_does_not_lead_out_of_the_workspace(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "w", tmp_path / "outside"
    workspace.mkdir()
    outside.mkdir()
    (workspace / ".devcontainer").symlink_to(outside)
    with pytest.raises(RefusedError, match="symlink"):
        write(Checkout(workspace), generated(), force=True)
    assert list(outside.iterdir()) == []


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / CONFIG).mkdir(parents=True)
    with pytest.raises(RefusedError, match="in the way"):
        write(Checkout(tmp_path), generated(), force=True)


def test_git_sees_nothing_in_a_worktree_either(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "other"))
    write(gather(tmp_path / "other"), generated())
    assert git(tmp_path / "other", "status", "--porcelain") == ""


def test_nothing_is_excluded_where_the_workspace_is_a_part_of_the_repository(repository: Path) -> None:
    part = repository / "part"
    part.mkdir()
    before = (repository / ".git/info/exclude").read_text()
    write(gather(part), generated())
    assert (repository / ".git/info/exclude").read_text() == before


def test_removal_takes_the_files_the_folder_and_the_lines(repository: Path) -> None:
    exclude = repository / ".git/info/exclude"
    exclude.write_text("mine\n")
    paths = write(gather(repository), generated()).paths
    assert "/.devcontainer/Dockerfile" in exclude.read_text()
    (repository / "kept").touch()
    assert remove(gather(repository), paths) == paths
    assert not (repository / ".devcontainer").exists()
    assert exclude.read_text() == "mine\n"
    assert repository.is_dir()


def left(contract: Contract) -> list[str]:
    return [one.said for one in grants.missing(contract.workspace, reach_of(contract, {}))]


def test_what_devbox_wrote_needs_no_consent_but_its_copy_does(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write(Checkout(here), generated())
    wrote = read(here / CONFIG, here, {})
    assert left(wrote)
    agree_by_writing(wrote, {})
    assert not left(wrote)
    # The hash in a file proves nothing: a repository could carry a valid one.
    (there / ".devcontainer").mkdir(parents=True)
    (there / CONFIG).write_text((here / CONFIG).read_text())
    copied = read(there / CONFIG, there, {})
    assert copied.generated
    assert left(copied)
    assert left(replace(copied, workspace=tmp_path))


def test_an_edit_that_reaches_no_further_needs_no_consent(repository: Path) -> None:
    write(gather(repository), generated())
    path = repository / CONFIG
    agree_by_writing(read(path, repository, {}), {})

    def edited(change: dict[str, object]) -> Contract:
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        return read(path, repository, {})

    assert not left(edited({"name": "mine", "postCreateCommand": "true"}))
    # Only what is new is asked for.
    assert left(edited({"initializeCommand": "true"})) == ["runs on the host, at each start: true"]
    assert not left(edited({"initializeCommand": ""}))


lines = st.lists(st.text(alphabet="ab/*# ", max_size=6), max_size=5).map("\n".join)
paths = st.sets(st.sampled_from([".devcontainer.json", CONFIG, DOCKERFILE, "a b/[x]"]))


@given(lines, paths)
def test_the_exclude_file_comes_back_as_it_was(text: str, added: set[str]) -> None:
    with_block = excluded(text, add=added)
    assert excluded(with_block, add=added) == with_block
    assert with_block.startswith(text)
    assert excluded(with_block, drop=added) in {text, f"{text}\n"}


def test_a_block_without_an_end_is_left_alone() -> None:
    broken = excluded("a\n", add=["x"]).replace("# <<< devbox <<<\n", "") + "theirs\n"
    assert excluded(broken, add=["y"]).startswith(broken)
