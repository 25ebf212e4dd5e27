"""Generated contracts, byte for byte, and by the specification's schema. `UPDATE_GOLDEN=1 pytest …` rewrites them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devbox.config import Network
from devbox.devcontainer.find import Placement
from devbox.devcontainer.generate import GenerateRequest, generate
from devbox.devcontainer.generated import is_generated
from devbox.facts.model import Checkout, Host, User
from devbox.frameworks.arch import Arch
from devbox.frameworks.load import load

HERE = Path(__file__).with_name("devcontainer")
SCHEMA = Path(__file__).parents[1] / "data/devcontainers-spec/devContainer.base.schema.json"
ADA = User(1000, 1000, "ada", "/home/ada")


@dataclass(frozen=True)
class FixedRecipe:
    """A recipe that does not change with the stage files."""

    dockerfile: str = "FROM scratch AS user\n"
    target: str = "user"
    args: tuple[tuple[str, str], ...] = (("BASE_IMAGE", "devbox-base:cuda13.0-debian12"), ("DEV_UID", "1000"))
    further: tuple[str, ...] = ()

    def options(self) -> list[str]:
        return list(self.further)


def request(framework: str, variant: str, workspace: str, **values: Any) -> GenerateRequest:
    checkout = values.pop("checkout", Checkout(Path(workspace), git_top=Path(workspace)))
    return GenerateRequest(
        **{
            "checkout": checkout,
            "framework": load(framework, variant),
            "recipe": FixedRecipe(),
            "arch": Arch(("9.0",), "the default"),
            "user": ADA,
            "host": Host(ADA, 8, None, 65536, 32768),
            "network": Network(),
            "placement": Placement(".devcontainer/devcontainer.json", ".devcontainer/Dockerfile"),
            **values,
        }
    )


CASES = {
    "cuda-cuda13": request(
        "cuda",
        "cuda13",
        "/home/ada/llama.cpp",
        limits=("--ulimit=memlock=8388608", "--ulimit=stack=67108864", "--ulimit=nofile=20000:20000"),
    ),
    "vllm-cuda13": request(
        "vllm",
        "cuda13",
        "/home/ada/a, b/vllm",
        checkout=Checkout(
            Path("/home/ada/a, b/vllm"), Path("/home/ada/a, b/vllm"), git_common_dir=Path("/home/ada/src/vllm/.git")
        ),
        recipe=FixedRecipe(
            further=(
                *("--build-context", "checkout=${localWorkspaceFolder}/requirements"),
                *("--secret", "id=ca_bundle,src=/etc/ssl/site.pem"),
            )
        ),
        gpu_args=("--device=nvidia.com/gpu=all",),
        network=Network(Path("/etc/ssl/site.pem"), "http://proxy:3128", "http://proxy:3128", "localhost"),
    ),
    "cuda-cpu-flat": request(
        "cuda",
        "cpu",
        '/home/ada/a "tree"',
        arch=Arch((), "no GPU code"),
        placement=Placement(".devcontainer.json", ".devcontainer/Dockerfile"),
        network=Network(https_proxy="http://ada:hunter2@proxy:3128"),
        environ={"https_proxy": "http://ada:hunter2@proxy:3128"},
        container_name="ada-llama",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_generated_contract(name: str) -> None:
    (path, text), (_, dockerfile) = generate(CASES[name]).files
    assert path == CASES[name].placement.config
    assert dockerfile == "FROM scratch AS user\n"
    golden = HERE / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
    assert "hunter2" not in text
    assert is_generated(text)


def test_generated_contracts_follow_the_specifications_schema(tmp_path: Path) -> None:
    files = []
    for name, case in CASES.items():
        file = tmp_path / f"{name}.json"
        file.write_text(generate(case).files[0][1])
        files.append(str(file))
    argv = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_keys_are_in_the_order_of_the_specification() -> None:
    from devbox.devcontainer.properties import PROPERTIES

    for case in CASES.values():
        keys = list(json.loads(generate(case).files[0][1]))
        assert keys == [key for key in PROPERTIES if key in keys]
