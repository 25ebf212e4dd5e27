"""What a copy of a tree that failed left behind is no part of the next one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent import seed
from devbox.agent.protocol import Seed, Source, WantSeed
from devbox.agent.record import SCHEMA, Attempt, Records, ninja_identity
from devbox.builds import seed as host
from devbox.builds.seed import repository
from devbox.builds.volumes import BuildVolume
from devbox.container.target import Target
from devbox.engine.docker import Engine
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devbox.engine.spec import Mount

KEY = "key"


def lend(volume: Path) -> Source:
    """Make a volume with a tree that may be copied."""
    (volume / KEY).mkdir(parents=True)
    (volume / KEY / "x.o").write_text(volume.name)
    lock = volume / ".devbox" / "locks" / f"{KEY}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    plain: dict[str, Any] = dict.fromkeys(Attempt._fields, "")
    inputs = {"generator": "Ninja", "source": "/src"}
    known: dict[str, Any] = {"key": KEY, "state": "closed", "inputs": inputs, "configured": True, "schema": SCHEMA}
    attempt = Attempt(**{**plain, **known, "start": 1, "ninja": ninja_identity(str(volume / KEY))})
    Records(str(volume / ".devbox" / "records")).write(attempt)
    return Source(volume=str(volume), workspace=volume.name, sibling=False, least=0)


def test_two_trees_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(
        path: str | os.PathLike[str], *, dir_fd: int | None = None, whole: Callable[..., None] = os.unlink
    ) -> None:
        if os.fspath(path).endswith("x.o"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        whole(path, dir_fd=dir_fd)

    def run(argv: list[str], *, on_text: Callable[[str], None], cwd: str, environ: object) -> int:
        on_text("cp: cannot open 'secret': Permission denied")
        return subprocess.run(argv, cwd=cwd, check=True).returncode + ("first" in argv[-2])

    sources = [lend(tmp_path / name) for name in ("first", "second")]
    own = tmp_path / "own"
    tree = own / ".devbox" / "seeds" / f"{KEY}.1" / "tree"
    tree.parent.mkdir(parents=True)
    request = Seed(volume=str(own), key=KEY, digest="", token="1", sources=sources)
    monkeypatch.setattr(os, "unlink", unlink)
    events: Any = SimpleNamespace(phase=lambda _: None)
    supervisor: Any = SimpleNamespace(run=run)
    done = seed.copy(request, events, supervisor)
    assert [path.name for path in tree.iterdir()] == ["x.o"]
    assert done.seeded == ""
    assert done.why[-1] == f"second: {tree}, from a copy that failed, cannot be deleted"


@pytest.mark.parametrize("way", ["file", "commondir"])
def test_whoever_says_that_it_is_a_sibling_is_none(tmp_path: Path, way: str) -> None:
    """A container may write into `.git` whose it is; that repository has to know it."""
    run = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for name in ("mine", "hostile"):
        subprocess.run([*run, "init", "-q", str(tmp_path / name)], check=True)
    mine, hostile = tmp_path / "mine", tmp_path / "hostile"
    subprocess.run([*run, "commit", "-q", "--allow-empty", "-m", "x"], cwd=mine, check=True)
    subprocess.run([*run, "worktree", "add", "-q", str(tmp_path / "tree")], cwd=mine, check=True)
    assert repository(mine) == repository(tmp_path / "tree") == mine / ".git"
    if way == "commondir":
        (hostile / ".git/commondir").write_text(f"{mine}/.git\n")
    else:
        shutil.rmtree(hostile / ".git")
        (hostile / ".git").write_text(f"gitdir: {mine}/.git\n")
    assert repository(hostile) != repository(mine)


@pytest.mark.parametrize(("known", "offered"), [("sha256:a", ["sibling", "other"]), ("sha256:b", ["sibling"])])
def test_an_image_that_a_checkout_chose_sees_no_trees_of_others(
    known: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def ask(_: object, mounts: list[Mount], *__: object, **___: object) -> SimpleNamespace:
        seen.extend(str(one.source) for one in mounts[1:])
        return SimpleNamespace(seeded="")

    volumes = [
        (BuildVolume(name, f"/{name}", gone=False, used_by=()), name == "sibling") for name in ("sibling", "other")
    ]
    there = {"Image": "sha256:a", "Mounts": [{"Destination": "/build", "Name": "mine"}]}
    monkeypatch.setattr(Engine, "container", lambda *_: there)
    monkeypatch.setattr(host, "images_of", lambda _, names: dict.fromkeys(names, (known,)))
    monkeypatch.setattr(host, "_offered", lambda *_: volumes)
    monkeypatch.setattr(host, "ask_helper", ask)
    host.seed(
        WantSeed(key="k", digest="d", token="t"), host.AUTO, Target("c", tmp_path, "/w", "root"), Engine(), Silent()
    )
    assert seen == offered
