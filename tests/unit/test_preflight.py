"""What a checkout lacks, told from real repositories, and what brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.container.checkout import preflight
from devbox.container.checkout.prepare import prepare, running
from devbox.errors import DevboxError, RefusedError
from devbox.facts import fitness, gaps
from devbox.frameworks.load import load
from devbox.frameworks.model import Framework, Preflight
from devbox.reporter import Silent
from tests.git import git

if TYPE_CHECKING:
    from pathlib import Path

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"
QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_ALLOW_PROTOCOL": "file"}
NAMES = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRON = {**os.environ, **QUIET, **NAMES}


def repository(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first", "--allow-empty")
    return folder


def rules(**values: object) -> Framework:
    from dataclasses import replace

    return replace(load("cuda"), preflight=Preflight(**values))  # type: ignore[arg-type]


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A repository with a submodule that has one itself, freshly cloned: both are empty."""
    inner = repository(tmp_path / "origin" / "inner", a="1")
    middle = repository(tmp_path / "origin" / "middle", b="1")
    git(middle, "submodule", "--quiet", "add", str(inner), "third party/inner")
    git(middle, "commit", "-q", "-m", "inner")
    outer = repository(tmp_path / "origin" / "outer", c="1")
    git(outer, "submodule", "--quiet", "add", str(middle), "3rdparty/middle")
    git(outer, "commit", "-q", "-m", "middle")
    git(tmp_path, "clone", "-q", str(outer), "clone")
    return tmp_path / "clone"


def test_an_empty_submodule_is_named_and_then_those_in_it(nested: Path) -> None:
    assert gaps.gather(nested).submodules == ("3rdparty/middle",)
    git(nested, "submodule", "update", "--init")
    assert gaps.gather(nested).submodules == ("3rdparty/middle/third party/inner",)


def test_prepare_fills_the_submodules(nested: Path) -> None:
    done = prepare(nested, None, Silent(), environ=ENVIRON)
    assert done.commands == ("git submodule update --init --recursive -- 3rdparty/middle",)
    assert (nested / "3rdparty/middle/third party/inner/a").read_text() == "1"
    assert prepare(nested, None, Silent(), environ=ENVIRON).commands == ()


def test_a_dry_run_fetches_nothing(nested: Path) -> None:
    done = prepare(nested, None, Silent(), environ=ENVIRON, dry_run=True)
    assert done.lacked == ("submodule 3rdparty/middle without content",)
    assert not list((nested / "3rdparty/middle").iterdir())


def test_what_cannot_be_fetched_is_told_with_gits_words(nested: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "origin")
    with pytest.raises(DevboxError, match=r"git submodule update .* failed in") as caught:
        prepare(nested, None, Silent(), environ=ENVIRON)
    assert "does not exist" in (caught.value.detail or "")


def test_git_lfs_that_is_not_installed_is_said(nested: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/git"
    program.write_text("#!/bin/sh\necho \"git: 'lfs' is not a git command. See 'git --help'.\" >&2; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(DevboxError, match="git-lfs is not installed here") as caught:
        prepare(nested, None, Silent(), environ={**ENVIRON, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert (caught.value.hint or "").startswith("install git-lfs")


@pytest.mark.parametrize(
    ("name", "value", "harmless"),
    [
        ("core.fsmonitor", "/tmp/planted", False),
        ("core.sshCommand", "planted", False),
        ("filter.lfs.smudge", "planted %f", False),
        ("filter.lfs.smudge", "git-lfs smudge -- %f", True),
        ("submodule.x.update", "!planted", False),
        ("submodule.x.update", "checkout", True),
        ("url.ext::planted.insteadOf", "https://", False),
        ("credential.helper", "!planted", False),
        ("user.name", "Somebody", True),
    ],
)
def test_a_repository_that_names_programs_of_its_own_is_refused(
    nested: Path, name: str, value: str, harmless: bool
) -> None:
    git(nested, "config", name, value)
    assert (running(nested) == ()) is harmless
    if not harmless:
        with pytest.raises(RefusedError, match="settings of its own"):
            prepare(nested, None, Silent(), environ=ENVIRON)


def test_hooks_do_not_run(nested: Path, tmp_path: Path) -> None:
    hook = nested / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    hook.chmod(0o755)
    prepare(nested, None, Silent(), environ=ENVIRON)
    assert not (tmp_path / "ran").exists()


def test_a_submodule_that_leads_out_of_the_checkout_is_none(tmp_path: Path) -> None:
    text = '[submodule "x"]\n\tpath = ../elsewhere\n\turl = x\n[submodule "y"]\n\tpath = /etc/x\n\turl = x\n'
    folder = repository(tmp_path / "tree", **{".gitmodules": text})
    assert gaps.gather(folder).submodules == ()


def test_pointers_are_found_and_fetched_files_are_not(tmp_path: Path) -> None:
    folder = repository(tmp_path / "tree", **{".gitattributes": "*.a filter=lfs\n*.so filter=lfs\n"})
    (folder / "cpp").mkdir()
    for name, text in {"cpp/lib.a": POINTER, "cpp/real.so": "ELF", "top.a": POINTER, "text.txt": POINTER}.items():
        (folder / name).write_text(text)
        git(folder, "update-index", "--add", "--cacheinfo", f"100644,{_blob(folder, text)},{name}")
    assert gaps.gather(folder).pointers == ("cpp/lib.a", "top.a")
    assert gaps.gather(folder, lfs=("cpp",)).pointers == ("cpp/lib.a",)
    (shortfall,) = preflight.look(folder, rules(lfs=("cpp",)))
    assert shortfall.severity == "error"
    assert shortfall.remedy == "git lfs install --local && git lfs pull"


def _blob(folder: Path, text: str) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=folder, env=ENVIRON, check=True, capture_output=True,
        text=True, input=text,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_shallow_clone_and_one_without_tags(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin", a="1")
    git(origin, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{origin}", "shallow")
    clone = tmp_path / "shallow"
    assert preflight.look(clone, rules()) == ()
    (shallow,) = preflight.look(clone, rules(history=True))
    assert shallow.remedy == "git fetch --unshallow --tags"
    assert shallow.severity == "warning"
    git(origin, "tag", "v1.0")
    assert prepare(clone, rules(history=True), Silent(), environ=ENVIRON).commands == (shallow.remedy,)
    assert git(clone, "describe", "--tags").strip().startswith("v1.0")
    assert preflight.look(clone, rules(history=True)) == ()
    git(clone, "tag", "-d", "v1.0")
    (untagged,) = preflight.look(clone, rules(history=True))
    assert untagged.remedy == "git fetch --tags"


def test_an_unpacked_archive_lacks_nothing(tmp_path: Path) -> None:
    assert preflight.look(tmp_path, rules(history=True, lfs=("cpp",))) == ()


def test_little_room_is_told_in_gib() -> None:
    assert fitness.space(None, title="vLLM", wanted=60) is None
    enough, little = (fitness.space(free << 30, title="vLLM", wanted=60) for free in (61, 12))
    assert enough is not None
    assert enough.severity == "ok"
    assert little is not None
    assert little.severity == "warning"
    assert little.sentence == ("12 GiB are free for the engine: vLLM takes about 60 GiB for its image and first build")


def test_the_warning_names_the_command() -> None:
    found = preflight.findings(gaps.Gaps(submodules=("a", "b", "b/c", "d", "e")))
    assert found[0].message == "submodules a, b, b/c and 2 more without content"
    assert found[0].remedy == "git submodule update --init --recursive -- a b d e"


@pytest.mark.parametrize("name", ["alias.lfs", "core.alternateRefsCommand", "core.editor", "http.cookieFile"])
def test_settings_that_lead_git_elsewhere_are_found(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", name, "!touch pwned")
    assert running(tmp_path) == (name.lower(),)
