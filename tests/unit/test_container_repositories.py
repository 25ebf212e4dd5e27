"""Further checkouts in a dev container: which they are, where they lie, and what the contract says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbox import config
from devbox.agent.python import environment
from devbox.container.contract import checkouts
from devbox.container.target import Target
from devbox.devcontainer import record
from devbox.devcontainer.writing.draft import generate
from devbox.devcontainer.writing.repositories import Repository
from devbox.errors import ConfigError, UsageError
from devbox.facts.model import Checkout
from devbox.frameworks.load import load
from tests.golden.test_golden_devcontainer import request

VLLM = ("CMakeLists.txt", "csrc/a.cu", "requirements/cuda.txt", "vllm/__init__.py", "pyproject.toml")


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    for name in VLLM:
        path = tmp_path / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('name = "vllm"\n')
    for other in ("main", "kernels"):
        (tmp_path / other).mkdir()
        (tmp_path / other / "CMakeLists.txt").touch()
    (tmp_path / "plain").mkdir()
    return tmp_path


def chosen(trees: Path, *words: str) -> tuple[Repository, ...]:
    given = ",".join(word if word == "none" else str(trees / "main" / word) for word in words) or None
    settings = config.load(trees / "main", environ={}, flags={"repositories": given})
    return checkouts.chosen(load("cuda"), trees / "main", settings)


def test_each_is_known_by_its_files(trees: Path) -> None:
    (found,) = chosen(trees, "../vllm")
    assert (found.name, found.framework, found.folder) == ("vllm", "vllm", "/workspaces/vllm")
    assert found.checkout.path == trees / "vllm"
    assert chosen(trees, "none") == chosen(trees) == ()


def test_a_checkout_cannot_ask_for_others_itself(trees: Path) -> None:
    (trees / "main" / "devbox.toml").write_text('repositories = ["../vllm"]')
    with pytest.raises(ConfigError, match="a container can write this file"):
        config.load(trees / "main", environ={}, flags={})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["../gone"], "there is no folder .*gone .*--repositories"),
        (["../plain"], "plain looks like none of the frameworks"),
        (["."], "is the workspace itself"),
        (["../kernels"], "kernels and .*main are both cuda, and would lie at /workspaces/cuda"),
        (["../vllm", "../vllm"], "are both vllm"),
    ],
)
def test_what_cannot_be_mounted_is_refused(trees: Path, words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(trees, *words)


def test_the_contract_mounts_and_records_them() -> None:
    checkout = Checkout(Path("/home/ada/vllm"), Path("/home/ada/vllm"), git_common_dir=Path("/home/ada/src/.git"))
    further = Repository("vllm", checkout, "vllm", "cuda13", "/workspaces/vllm")
    contract = generate(request("cuda", "cuda13", "/home/ada/dynamo", repositories=(further,))).devcontainer
    assert contract["mounts"][-2:] == [
        "type=bind,source=/home/ada/vllm,target=/workspaces/vllm",
        "type=bind,source=/home/ada/src/.git,target=/home/ada/src/.git",
    ]
    written = record.of(contract)
    target = Target("id", Path("/home/ada/dynamo"), "/workspaces/cuda", "ada")
    assert "/build/python/bin" not in str(contract.get("remoteEnv"))
    place = checkouts.located(target, written, "vllm")
    assert (place.workspace, place.folder) == (Path("/home/ada/vllm"), "/workspaces/vllm")
    assert place.volume == "/build/.repositories/vllm"
    with pytest.raises(UsageError, match=r"no repository called 'sglang' \(it has: vllm\)"):
        checkouts.located(target, written, "sglang")


def test_a_further_python_package_brings_the_environment() -> None:
    vllm = Repository("vllm", Checkout(Path("/home/ada/vllm")), "vllm", "cuda13", "/workspaces/vllm", python=True)
    contract = generate(request("cuda", "cuda13", "/home/ada/app", repositories=(vllm,))).devcontainer
    assert contract["remoteEnv"]["PATH"].startswith("/build/python/bin:")


def test_trees_of_its_own_and_the_environment_of_all() -> None:
    assert environment.link("/build/.repositories/vllm") == environment.link("/build") == "/build/python"
