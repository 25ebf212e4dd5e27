"""What of a checkout an image build reads, and what the checkout is called."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import ImageError
from devbox.facts.git import git
from devbox.image.building import copies, source
from devbox.image.building.source import Revision, mirror, revision, version_of


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "csrc").mkdir(parents=True)
    (top / ".gitignore").write_text("build/\n*.o\n")
    (top / ".dockerignore").write_text("csrc\n")
    (top / "csrc/a.cpp").write_text("int a;\n")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("csrc/a.cpp")
    (top / "folder").symlink_to("csrc")
    run(top, "init", "--quiet")
    run(top, "add", "--all")
    commit(top)
    (top / "new.cpp").write_text("int b;\n")
    (top / "csrc/a.o").write_text("object\n")
    (top / "build").mkdir()
    (top / "build/big.o").write_bytes(bytes(100_000))
    return top


def run(top: Path, *args: str) -> None:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    settings = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *settings, *args], cwd=top, env=environ, check=True, capture_output=True)


def commit(top: Path, message: str = "one") -> None:
    run(top, "commit", "--quiet", "--allow-empty", "--message", message)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


KNOWN = {".gitignore", "csrc/a.cpp", "run.sh", "link", "folder", "new.cpp"}


def test_what_git_knows_or_would_add_is_copied_and_nothing_else(checkout: Path) -> None:
    made = mirror(checkout)
    assert files(made.folder) == KNOWN
    assert (made.files, made.copied) == (len(KNOWN), len(KNOWN))
    assert made.size < 1000
    assert (made.folder / "run.sh").stat().st_mode & 0o111
    assert (made.folder / "link").readlink() == Path("csrc/a.cpp")
    assert (made.folder / "folder").is_symlink()
    assert (made.folder / "csrc/a.cpp").stat().st_mtime_ns == (checkout / "csrc/a.cpp").stat().st_mtime_ns


def test_only_what_changed_is_copied_again(checkout: Path) -> None:
    first = mirror(checkout)
    before = (first.folder / "run.sh").stat().st_ino
    assert mirror(checkout).copied == 0
    (checkout / "csrc/a.cpp").write_text("int a = 1;\n")
    (checkout / "new.cpp").unlink()
    (checkout / "run.sh").chmod(0o644)
    second = mirror(checkout)
    assert second.copied == 2
    assert (second.folder / "csrc/a.cpp").read_text() == "int a = 1;\n"
    assert not (second.folder / "run.sh").stat().st_mode & 0o111
    assert files(second.folder) == KNOWN - {"new.cpp"}
    assert (second.folder / "run.sh").stat().st_ino != before


def test_a_folder_that_has_become_a_link_is_not_written_through(checkout: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.cpp").write_text("mine\n")
    (checkout / "csrc/a.cpp").unlink()
    (checkout / "csrc/a.o").unlink()
    (checkout / "csrc").rmdir()
    (checkout / "csrc").symlink_to(outside)
    made = mirror(checkout)
    assert (made.folder / "csrc").readlink() == outside
    (checkout / "csrc").unlink()
    (checkout / "csrc").mkdir()
    (checkout / "csrc/a.cpp").write_text("theirs\n")
    assert (mirror(checkout).folder / "csrc/a.cpp").read_text() == "theirs\n"
    assert (outside / "a.cpp").read_text() == "mine\n"


def index_of(*names: str) -> bytes:
    """Return an index of git's (version 2) with entries that git itself would never make."""
    entries = b""
    for name in sorted(name.encode() for name in names):
        entry = struct.pack(">10I20sH", *[0] * 6, 0o100644, 0, 0, 1, bytes(20), len(name)) + name
        entries += entry + bytes(8 - len(entry) % 8)
    body = struct.pack(">4sII", b"DIRC", 2, len(names)) + entries
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


@pytest.mark.parametrize(
    "name",
    ["../outside", "{outside}", "csrc/../../outside", ".git/config", "csrc/.GIT/x", "csrc/./a.cpp", "csrc//a.cpp"],
)
@pytest.mark.parametrize("inner", ["", "sub/"])
def test_an_index_that_names_what_is_elsewhere_is_refused(
    checkout: Path, tmp_path: Path, name: str, inner: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    git_folder = checkout / ".git"
    if inner:
        # The index of a submodule, in a repository that a `.git` file names, is read, too.
        run(checkout, "init", "--quiet", "sub")
        commit(checkout / "sub")
        (checkout / ".gitmodules").write_text('[submodule "sub"]\n\tpath = sub\n\turl = elsewhere\n')
        run(checkout, "config", "submodule.sub.active", "true")
        run(checkout, "-c", "advice.addEmbeddedRepo=false", "add", "sub", ".gitmodules")
        (checkout / "sub/.git").rename(tmp_path / "moved")
        git_folder = tmp_path / "moved"
        (checkout / "sub/.git").write_text(f"gitdir: {git_folder}\n")
    (git_folder / "index").write_bytes(index_of(name.replace("{outside}", str(outside))))
    before = {*tmp_path.rglob("*")}
    with pytest.raises(ImageError, match="no path of a checkout"):
        mirror(checkout)
    assert {*tmp_path.rglob("*")} == before
    copies = source.folder_of(checkout)
    assert not copies.exists()


def test_what_becomes_a_link_while_it_is_copied_is_not_followed(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.cpp").write_text("secret")
    for swapped in ("csrc", "csrc/a.cpp"):

        def swap(*_: object, name: str = swapped) -> None:
            (checkout / name).rename(tmp_path / f"moved-{len(name)}")
            (checkout / name).symlink_to(tmp_path / "outside" / name.removeprefix("csrc").lstrip("/"))

        monkeypatch.setattr(source, "_remove_others", swap)
        with pytest.raises(ImageError, match="cannot be copied"):
            mirror(checkout)
        (checkout / swapped).unlink()
        (tmp_path / f"moved-{len(swapped)}").rename(checkout / swapped)
    assert "secret" not in "".join(one.read_text() for one in source.folder_of(checkout).rglob("*") if one.is_file())


def test_a_file_that_nobody_may_write_is_copied_once(checkout: Path) -> None:
    (checkout / "csrc/a.cpp").chmod(0o444)
    mirror(checkout)
    assert mirror(checkout).copied == 0


def test_submodules_come_along(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "--quiet")
    (other / "lib.h").write_text("int c;\n")
    run(other, "add", "--all")
    commit(other)
    run(checkout, "submodule", "--quiet", "add", str(other), "third_party/other")
    commit(checkout)
    assert "third_party/other/lib.h" in files(mirror(checkout).folder)


def test_without_git_build_trees_and_caches_are_left_out(tmp_path: Path) -> None:
    top = tmp_path / "archive"
    for name in (
        "a.cpp",
        "build/x.o",
        "cmake-build-debug/x.o",
        "__pycache__/x.pyc",
        ".venv/x",
        "sub/build/y",
        "sub/b.cpp",
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("x")
    (top / "sub/there").symlink_to(".")
    assert files(mirror(top).folder) == {"a.cpp", "sub/b.cpp", "sub/there"}


def test_a_hostile_name_stays_below(checkout: Path) -> None:
    (checkout / "a\nb -rf").write_text("x")
    (checkout / "..weird").write_text("x")
    assert {"a\nb -rf", "..weird"} <= files(mirror(checkout).folder)


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v0.10.1-0-g1a2b3c4", "0.10.1"),
        ("v0.10.1-5-g1a2b3c4", "0.10.2.dev5+g1a2b3c4"),
        ("v0.11.0rc1-5-g1a2b3c4", "0.11.0rc2.dev5+g1a2b3c4"),
        ("release-1.2-1-gabc", "1.3.dev1+gabc"),
        ("b4512-3-gabcdef0", None),
        ("2.0+local-0-gabc", "2.0"),
        ("nonsense", None),
    ],
)
def test_versions_are_those_of_setuptools_scm(described: str, version: str | None) -> None:
    assert version_of(described) == version


@given(st.text(max_size=40))
def test_no_description_is_too_odd(text: str) -> None:
    version_of(text)


def test_a_checkout_says_its_commit_and_version(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert head is not None
    commit_id = head.stdout.strip()
    assert revision(checkout) == Revision(commit_id, f"0.1.dev1+g{commit_id[:9]}")
    run(checkout, "tag", "v1.2.3")
    assert revision(checkout) == Revision(commit_id, "1.2.3")
    archive = tmp_path / "sdist"
    archive.mkdir()
    assert revision(archive) == Revision()
    (archive / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: x\nVersion: 0.33.0\n")
    assert revision(archive) == Revision(version="0.33.0")


def test_two_checkouts_of_one_name_have_copies_of_their_own(tmp_path: Path) -> None:
    assert source.folder_of(tmp_path / "a/vllm") != source.folder_of(tmp_path / "b/vllm")
    assert source.folder_of(tmp_path / "a/vllm").name == "vllm"


def test_a_copy_says_whose_it_is_and_goes_when_nobody_needs_it(checkout: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"gone \xff\nx")
    shutil.copytree(checkout, odd, symlinks=True)
    made = [mirror(one) for one in (checkout, odd)]
    (source.copies_dir() / "mine").mkdir()
    now = time.time()
    found = copies.copies()
    assert {one.checkout for one in found} == {checkout, odd}
    assert {one.size for one in found} == {
        sum(path.lstat().st_size for path in made[0].folder.rglob("*") if not path.is_dir())
    }
    assert copies.prunable(found, now=now) == ()
    shutil.rmtree(odd)
    ((gone, reason),) = copies.prunable(found, now=now)
    assert (gone.checkout, reason) == (odd, "the checkout is gone")
    assert copies.remove(gone)
    assert not gone.folder.exists()
    (old,) = copies.copies()
    assert [why for _, why in copies.prunable([old], now=now + 31 * 86400)] == [
        "no image was built from it for 31 days"
    ]
    assert copies.prunable([old], now=now + 31 * 86400, older_than=90 * 86400) == ()
    # A build came in between.
    os.utime(source.record_of(old.folder), (now + 99, now + 99), follow_symlinks=False)
    assert not copies.remove(old)
    assert {one.name for one in source.copies_dir().iterdir()} == {
        "mine",
        old.folder.name,
        f"{old.folder.name}.checkout",
    }


def test_pruning_names_copies_first_and_asks(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from devbox.__main__ import main

    monkeypatch.setattr("devbox.image.life.images", lambda _: ())
    made = mirror(checkout)
    shutil.rmtree(checkout)

    def prune(*words: str) -> tuple[int, str, str]:
        code = main(["image", "prune", "--all", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    # Without --all another checkout's is nobody's business.
    assert main(["image", "prune", "--yes"]) == 0
    said = capsys.readouterr()
    assert (said.out, "devbox image prune --all" in said.err) == ("nothing to remove\n", True)
    assert made.folder.exists()
    code, out, err = prune("--dry-run")
    assert (code, out) == (0, f"rm -r -- {made.folder.parent} {made.folder.parent}.checkout\n")
    assert f"the copy of {checkout} (" in err
    assert prune()[0] == 5
    assert made.folder.exists()
    assert prune("--yes")[:2] == (0, f"{made.folder.parent}\n")
    assert not made.folder.parent.exists()
    assert prune("--yes")[:2] == (0, "nothing to remove\n")
