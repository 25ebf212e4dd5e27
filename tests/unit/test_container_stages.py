"""What the stages of `up` decide before anything is done: base images, interrupted swaps, GPUs for a successor."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.container import memory
from devbox.container.inside.probe import CONTRACT_LABEL, project_of
from devbox.container.steps import NEXT, REPLACES, Actual, FinishReplacing, RemoveContainer, Replace
from devbox.container.up.images import plan_image
from devbox.container.up.needs import _with
from devbox.container.up.plan import unfinished
from devbox.container.up.up import UpRequest, up
from devbox.devcontainer.compose.model import NUMBER, PROJECT
from devbox.devcontainer.gpu import ALL
from devbox.devcontainer.read import read
from devbox.engine.docker import ContainerSummary, Engine
from devbox.engine.spec import ContainerSpec
from devbox.errors import ContractError, UsageError
from devbox.frameworks import load
from devbox.image.base.choose import PACKAGE, plan_base
from devbox.reporter import Silent
from tests.api import empty_engine

if TYPE_CHECKING:
    from pathlib import Path

CUDA = replace(load.load("cuda"), base_image="nvidia/cuda:13")
INSTEAD = "devbox-base:cuda13.0-debian12"
ENGINE = Engine(environ={})


@pytest.mark.parametrize(
    ("requested", "there", "before", "pull", "foreseen", "first"),
    [
        (None, {"nvidia/cuda:13"}, None, False, "nvidia/cuda:13", None),
        (None, {INSTEAD}, None, False, INSTEAD, "docker pull nvidia/cuda:13"),
        (None, set(), None, False, "nvidia/cuda:13", "docker pull nvidia/cuda:13"),
        (None, {"nvidia/cuda:13"}, None, True, "nvidia/cuda:13", "docker pull nvidia/cuda:13"),
        (None, {"mine:1", "nvidia/cuda:13"}, "mine:1", False, "mine:1", None),
        (None, {"nvidia/cuda:13"}, "mine:1", False, "nvidia/cuda:13", None),
        ("mine:1", {"mine:1"}, None, False, "mine:1", None),
        ("mine:1", {INSTEAD}, None, False, "mine:1", "docker pull mine:1"),
        (PACKAGE, set(), None, False, INSTEAD, "devbox image base --cuda 13.0"),
        (PACKAGE, {INSTEAD}, None, True, INSTEAD, None),
    ],
)
def test_how_a_base_image_is_had(
    requested: str | None, there: set[str], before: str | None, *, pull: bool, foreseen: str, first: str | None
) -> None:
    choice = plan_base(CUDA, requested, frozenset(there), before=before, pull=pull)
    assert choice.foreseen == foreseen
    assert next(iter(choice.lines(ENGINE)), None) == first
    assert choice.certain is (first is None)


def test_a_dry_run_shows_the_pull_that_is_tried_and_what_takes_its_place() -> None:
    made = plan_base(CUDA, None, frozenset()).lines(ENGINE)
    assert f"# where that fails, the package base {INSTEAD} takes its place:" in made
    assert "#   devbox image base --cuda 13.0" in made
    there = plan_base(CUDA, None, frozenset({INSTEAD})).lines(ENGINE)
    assert "#   it is on the engine" in there
    assert there[-1].startswith("# unknown until then")


def test_no_package_base_can_stand_for_everything() -> None:
    with pytest.raises(UsageError, match="no package base can stand for"):
        plan_base(replace(CUDA, package_base=None), PACKAGE, frozenset())


def test_a_digest_that_is_locked_anew_is_stronger_than_the_one_before() -> None:
    locked = replace(CUDA, base_image="nvidia/cuda@sha256:2")
    there = frozenset({"nvidia/cuda@sha256:1", "nvidia/cuda@sha256:2"})
    assert plan_base(locked, None, there, before="nvidia/cuda@sha256:1").image == "nvidia/cuda@sha256:2"


def container(name: str, state: str, **labels: str) -> ContainerSummary:
    return ContainerSummary(name, (name,), "i", "i", state, state, 0, labels)


def test_an_interrupted_swap_is_told_from_its_containers() -> None:
    mark = {REPLACES: "old"}
    assert unfinished([container("w", "running"), container(f"w{NEXT}", "created", **mark)]) == (
        RemoveContainer(f"w{NEXT}", f"w{NEXT}"),
    )
    (step,) = unfinished([container("old", "exited"), container(f"w{NEXT}", "running", **mark)])
    assert step == FinishReplacing(f"w{NEXT}", f"w{NEXT}", "old")
    beside = [container("old", "exited")]
    assert unfinished([container(f"w{NEXT}", "running", **mark)], beside) == (step,)
    assert isinstance(step, FinishReplacing)
    assert step.called == "w"
    assert unfinished([container("w", "running", **mark), container(f"x{NEXT}", "running")]) == ()


def test_a_label_that_an_image_brought_removes_nobodys_container() -> None:
    (step,) = unfinished([container(f"w{NEXT}", "running", **{REPLACES: "postgres"})])
    assert isinstance(step, FinishReplacing)
    assert step.old is None
    assert not any(" rm " in line for line in step.lines(ENGINE))


def test_an_image_that_compose_built_makes_no_member_of_its_project() -> None:
    image = {PROJECT: "shop", "com.docker.compose.service": "web"}
    assert project_of(image) is None
    assert project_of({**image, NUMBER: "1"}) == "shop"
    assert project_of({**image, NUMBER: "1", CONTRACT_LABEL: '{"image": "shop-web"}'}) is None
    assert project_of({**image, CONTRACT_LABEL: '{"project": "mine"}'}) == "mine"


def test_a_successor_gets_the_gpus_and_is_called_otherwise_until_it_has_the_place() -> None:
    old = Actual("0123456789ab", "w", "running", {})
    step = _with(Replace(old, ContainerSpec("i", name="w")), ALL)
    assert isinstance(step, Replace)
    create, stop, start, remove, rename = step.lines(ENGINE)
    assert create.startswith(f"docker create --label {REPLACES}={old.id} ")
    assert f"--name=w{NEXT}" in create
    assert "--gpus=all" in create
    assert [stop, start] == ["docker stop w", f"docker start w{NEXT}"]
    assert [remove, rename] == ["docker rm --force --volumes w", f"docker rename w{NEXT} w"]


def test_why_up_failed_is_said_where_the_contract_cannot_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(workspace: Path) -> bool:
        raise OSError(28, "No space left on device", str(workspace))

    monkeypatch.setattr("devbox.container.contract.attempt.take_back", full)
    memory.attempt_file(tmp_path).parent.mkdir(parents=True)
    memory.attempt_file(tmp_path).touch()
    (tmp_path / ".devcontainer.json").write_text('{"image": ')
    silent = Silent()
    with (
        empty_engine(tmp_path / "api") as host,
        pytest.raises(ContractError, match=r"devcontainer\.json:1"),
    ):
        up(UpRequest(path=tmp_path), Engine(docker="true", environ={"DOCKER_HOST": host}), silent)
    assert ["No space left" in one for one in silent.warnings] == [True]


def test_a_folder_that_is_no_text_is_said(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"x\xe9")
    with pytest.raises(UsageError, match="is no name in UTF-8"):
        up(UpRequest(path=folder), Engine(docker="false", environ={}), Silent())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"image": "${localEnv:NONE}"}', r"devcontainer\.json: '' is no name of an image: it is empty"),
        ('{"image": "lab:${localEnv:NONE}"}', r"devcontainer\.json: 'lab:' is no name of an image: '' is no tag"),
        ('{"build": {"dockerfile": "Dockerfile"}}', r"Dockerfile: 'lab:' is no name of an image"),
    ],
)
def test_what_cannot_be_an_images_name_is_told_with_its_place(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "Dockerfile").write_text("ARG TAG\nFROM lab:${TAG}\n")
    contract = read(tmp_path / "devcontainer.json", tmp_path, {}, text=config)
    with pytest.raises(ContractError, match=said):
        plan_image(lambda _: None, contract)
