"""What the doctor sees of a dev container on a real engine: each trouble is made, found, and gone after its remedy."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.container.target import ONE_SHOT
from devbox.doctor.model import Patient
from devbox.doctor.run import examine, look, mend
from devbox.engine.docker import Engine
from devbox.facts import host
from devbox.oneshot import left
from devbox.reporter import Silent
from tests.engine.lab import Checkout, devbox, remove
from tests.oracle.feature_lab import PASSWORD, USER, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.finding import Finding

pytestmark = pytest.mark.engine

NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


@pytest.fixture
def work(engine: Engine, base_image: str, tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "work", engine, base_image, trust=True)
    made.path.mkdir()
    yield made
    remove(engine, made.path)


def wrong(check: str, work: Checkout, **known: object) -> list[Finding]:
    return [one for one in look(check, Patient(work.engine, work.path, **known)) if one.severity != "ok"]


def test_a_dev_container_is_looked_at_from_all_sides(work: Checkout) -> None:
    work.write(runArgs=["--device=/dev/null:/dev/nvidia0"], remoteUser="root")
    container = work.up().container
    said = str([one.remedy for name in ("limits", "debugging") for one in wrong(name, work)])
    assert "--ipc=host" in said
    assert "SYS_PTRACE" in said
    assert [one for one in wrong("gpu", work) if one.severity == "error"] == []
    assert wrong("contract", work) == []
    # The device is there, and the rules of the container's control group do not allow it: as after a reload of systemd.
    work.inside(container, "sh", "-c", "rm /dev/nvidia0; mknod -m 666 /dev/nvidia0 c 195 0")
    (lost,) = (one for one in wrong("gpu", work) if one.severity == "error")
    assert lost.message == "the dev container may not use /dev/nvidia0 any more"
    assert lost.remedy == "devbox up --recreate"
    ordinary = replace(host.gather(), user=replace(host.gather().user, uid=4711))
    (found,) = (one for one in wrong("users", work, host=ordinary) if "dev container" in one.message)
    assert found.message == "in the dev container you are uid 0, and here uid 4711"

    work.inside(container, "sh", "-c", "echo you:x:4711:4711::/:/bin/sh >> /etc/passwd; cp /etc/passwd /p")
    work.inside(container, "sh", "-c", "echo me:x:0:0::/:/bin/sh >> /etc/passwd")
    assert any("root, me have the same uid 0" in one.message for one in wrong("users", work, host=ordinary))
    work.inside(container, "cp", "/p", "/etc/passwd")

    work.write(
        runArgs=["--device=/dev/null:/dev/nvidia0", "--ipc=host"], capAdd=["SYS_PTRACE"], remoteUser="root",
        containerEnv={"NEW": "1"},
    )  # fmt: skip
    (drift,) = wrong("contract", work)
    assert "NEW" in drift.message
    assert drift.remedy == "devbox up"
    work.up()
    assert wrong("contract", work) == []
    assert "--ipc=host" not in str(wrong("limits", work))
    assert "SYS_PTRACE" not in str(wrong("debugging", work))
    assert [one for one in wrong("gpu", work) if one.severity == "error"] == []


def test_what_a_killed_command_left_is_removed_by_fix_which_says_it_first(
    work: Checkout, engine_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left, "FRESH_SECONDS", -1.0)
    name = engine_name("left")
    argv = ["create", "--name", name, "--label", f"{ONE_SHOT}={work.path}", work.image, "true"]
    work.engine.run(argv)
    mine = [one for one in wrong("leftovers", work) if name in one.message]
    assert [one.remedy for one in mine] == [f"docker rm --volumes {name}"]
    assert mend(mine, work.path, work.engine, Silent()) == (f"docker rm --volumes {name}",)
    assert [one for one in wrong("leftovers", work) if name in one.message] == []


def test_fix_fetches_what_the_checkout_lacks_and_looks_again(tmp_path: Path, engine: Engine) -> None:
    work = tmp_path / "work"
    for command in (
        ["git", "init", "-q", str(work)], ["git", "init", "-q", str(tmp_path / "sub")],
        ["git", "-C", str(tmp_path / "sub"), "commit", "-q", "--allow-empty", "-m", "x"],
        ["git", "-C", str(work), "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"{tmp_path}/sub", "s"],
        ["git", "-C", str(work), "submodule", "deinit", "-q", "--all", "-f"],
    ):  # fmt: skip
        environ = {
            **os.environ,
            **{f"GIT_{who}_{what}": "x@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        subprocess.run(command, check=True, env=environ)
    (found,) = (one for one in examine(engine, work, ["checkout"]) if one.severity == "error")
    assert found.message == "submodule s without content"
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    said = devbox("doctor", "checkout", "--fix", "--json", cwd=work, code=0, **allowed)
    data = json.loads(said.stdout)["data"]
    assert data["fixed"] == ["git submodule update --init --recursive -- s"]
    assert [one["severity"] for one in data["findings"]] == ["ok"]
    assert "git submodule update --init" in said.stderr


def test_an_api_version_that_is_set_by_hand_is_found(engine: Engine, tmp_path: Path) -> None:
    old = Engine(environ={**os.environ, "DOCKER_API_VERSION": "1.40"})
    found = [one for one in look("engine", Patient(old, tmp_path)) if one.severity == "warning"]
    assert [one.remedy for one in found] == ["unset DOCKER_API_VERSION"]
    assert [one for one in look("engine", Patient(engine, tmp_path)) if one.severity == "warning"] == []


def test_a_registry_that_wants_a_login_is_found_until_there_is_one(work: Checkout, tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    with running_registry(tmp_path / "registry", secured=True) as registry:
        work.write(image=f"{registry.host}/x:1")
        seen = Patient(Engine(environ=environ), work.path)
        (found,) = look("registry", seen)
        assert found.remedy == f"docker login {registry.host.partition('/')[0]}"
        login = {"DEVCONTAINERS_OCI_AUTH": f"{registry.host.partition('/')[0]}|{USER}|{PASSWORD}"}
        (found,) = look("registry", Patient(Engine(environ={**environ, **login}), work.path))
        assert "has no" in found.message
