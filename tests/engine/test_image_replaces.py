"""The docker command for what make, build.sh, render.py and run.sh of TensorRT-LLM and Dynamo do.

Only facts are asked of the engine: nothing is built.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from devbox.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

MULTI = """\
ARG BASE_IMAGE=nvcr.io/nvidia/pytorch
ARG BASE_TAG=26.08-py3
ARG DEVEL_IMAGE=devel
FROM ${BASE_IMAGE}:${BASE_TAG} AS base
ARG GITHUB_MIRROR=""
ARG TORCH_INSTALL_TYPE="skip"
ARG PYTHON_VERSION=3.12.3
FROM base AS devel
ARG CUDA_VER=""
FROM devel AS tritondevel
FROM ${DEVEL_IMAGE} AS wheel
ARG BUILD_WHEEL_ARGS="--clean"
RUN --mount=type=secret,id=github_clone_token true
FROM ${DEVEL_IMAGE} AS release
ARG GIT_COMMIT
ARG TRT_LLM_VER
FROM release AS tritonrelease
"""
RENDERED = """\
ARG RUNTIME_IMAGE=vllm/vllm-openai:v0.27.1-ubuntu2404
FROM ${RUNTIME_IMAGE} AS runtime
ARG USE_SCCACHE
FROM runtime AS dev
FROM dev AS local-dev
"""
TRTLLM = {
    "docker/Dockerfile.multi": MULTI,
    "scripts/build_wheel.py": "",
    "cpp/CMakeLists.txt": "",
    "tensorrt_llm/__init__.py": "",
}
DYNAMO = {
    "Cargo.toml": "",
    "lib/runtime/Cargo.toml": "",
    "lib/bindings/python/x": "",
    "container/build.sh": "",
    "container/rendered.Dockerfile": RENDERED,
}


def make(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for args in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "-m", "x"], ["tag", "v1.3.0"]):
        subprocess.run(["git", *args], cwd=top, env=environ, check=True)
    return top


@pytest.fixture(scope="module")
def trtllm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("trtllm"), TRTLLM)


@pytest.fixture(scope="module")
def dynamo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("dynamo"), DYNAMO)


def command(capsys: pytest.CaptureFixture[str], checkout: Path, *argv: str) -> str:
    """Return the last line of the dry run: the docker command."""
    code = run([*argv[:2], "--workspace", str(checkout), "--dry-run", *argv[2:]])
    written = capsys.readouterr()
    assert code == 0, written.err
    return written.out.splitlines()[-1]


MAKE = [
    ("devel_build", "devel", "--target devel --tag devbox-trtllm:ngc-devel"),
    ("tritondevel_build", "tritondevel", "--target tritondevel"),
    ("wheel_build", "wheel", "--target wheel"),
    ("release_build", "release", "--target release --tag devbox-trtllm:ngc-release"),
    ("tritonrelease_build", "tritonrelease --arg DEVEL_IMAGE=tritondevel", "--build-arg DEVEL_IMAGE=tritondevel"),
    ("rockylinux8_build", "devel --variant rocky8", "--build-arg BASE_TAG=13.3.1-devel-rockylinux8"),
    ("ubuntu22_build", "devel --variant ubuntu22", "--build-arg BASE_TAG=13.3.1-devel-ubuntu22.04"),
    ("ubuntu24_build", "devel --variant ubuntu24", "--build-arg BASE_TAG=13.3.1-devel-ubuntu24.04"),
    ("jenkins_build DEVEL_IMAGE=…", "wheel --arg DEVEL_IMAGE=urm.nvidia.com/x:1", "DEVEL_IMAGE=urm.nvidia.com/x:1"),
    ("BASE_IMAGE= BASE_TAG=", "devel --arg BASE_TAG=26.05-py3", "--build-arg BASE_TAG=26.05-py3"),
    ("IMAGE_WITH_TAG=", "devel --tag me/trt:1", "--tag me/trt:1"),
    ("IMAGE_NAME= IMAGE_TAG=", "devel --tag tensorrt_llm/{stage}:latest", "--tag tensorrt_llm/devel:latest"),
    ("CUDA_ARCHS=90-real", "wheel --arch 90", "--cuda_architectures 90-real"),
    ("BUILD_WHEEL_OPTS=-j 32", "wheel --jobs 32", "-j 32"),
    ("TORCH_INSTALL_TYPE=pypi", "devel --arg TORCH_INSTALL_TYPE=pypi", "--build-arg TORCH_INSTALL_TYPE=pypi"),
    ("CUDA_VERSION=", "devel --arg CUDA_VER=13.0", "--build-arg CUDA_VER=13.0"),
    ("PYTHON_VERSION=", "devel --python 3.10.12", "--build-arg PYTHON_VERSION=3.10.12"),
    ("GITHUB_MIRROR=", "devel --arg GITHUB_MIRROR=https://m.example", "GITHUB_MIRROR=https://m.example"),
    (
        "GITHUB_CLONE_TOKEN=",
        "wheel --secret id=github_clone_token,env=CLONE",
        "--secret id=github_clone_token,env=CLONE",
    ),
    ("GIT_COMMIT TRT_LLM_VERSION", "release", "--build-arg TRT_LLM_VER=1.3.0 --build-arg GIT_COMMIT="),
    ("DOCKER_BUILD_OPTS=--pull", "devel --pull", "--pull"),
    ("DOCKER_BUILD_ARGS=--cache-from", "devel --cache-from r.example/x:cache", "--cache-from r.example/x:cache"),
    ("PLATFORM=arm64", "devel --target-platform linux/arm64", "--platform linux/arm64"),
    ("devel_push", "devel --push --tag r.example/devel:1", "--output type=registry"),
]


@pytest.mark.parametrize(("argv", "words"), [row[1:] for row in MAKE], ids=[row[0] for row in MAKE])
def test_make_of_tensorrt_llm(
    engine: Engine,
    trtllm: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: str,
    words: str,
) -> None:
    monkeypatch.setenv("CLONE", "secretsecret")
    line = command(capsys, trtllm, "image", "build", "--upstream", *argv.split())
    assert words in line
    assert line.endswith(str(trtllm))
    assert f"--file {trtllm}/docker/Dockerfile.multi" in line
    assert "secretsecret" not in line


RUN = [
    ("make devel_run", "trtllm", "me/trt:1 --gpus none", "--ipc=host --ulimit=memlock="),
    ("DOCKER_RUN_ARGS=-v", "trtllm", "me/trt:1 --volume /a:/b", "--volume=/a:/b"),
    ("RUN_CMD", "trtllm", "me/trt:1 -- pytest -k x", "me/trt:1 pytest -k x"),
    ("CONTAINER_NAME=", "trtllm", "me/trt:1 --name mine", "--name mine"),
    ("run.sh --image", "dynamo", "me/dynamo:1", "me/dynamo:1"),
    ("run.sh --framework --target", "dynamo", "runtime --variant sglang", "devbox-dynamo:sglang-runtime"),
    ("run.sh --network host", "dynamo", "me/d:1 --network host", "--network=host"),
    ("run.sh -p", "dynamo", "me/d:1 -p 0.0.0.0:9000:8000", "-p 0.0.0.0:9000:8000"),
    ("run.sh -e", "dynamo", "me/d:1 -e A=b", "--env A=b"),
    ("run.sh --entrypoint", "dynamo", "me/d:1 --entrypoint bash", "--entrypoint bash"),
    ("run.sh --user", "dynamo", "me/d:1 --user 1234:0", "--user 1234:0"),
    ("run.sh --rm FALSE", "dynamo", "me/d:1 --keep", "docker run --interactive"),
    ("run.sh --mount-workspace", "dynamo", "me/d:1 --with-checkout", "target=/mnt/"),
    ("run.sh: ptrace", "dynamo", "me/d:1", "--cap-add SYS_PTRACE"),
    ("run.sh: HF_TOKEN", "dynamo", "me/d:1", "/environment,target=/run/devbox/environment,readonly"),
    ("run.sh --hf-home", "dynamo", "me/d:1", "target=/cache/huggingface"),
]


@pytest.mark.parametrize(("framework", "argv", "words"), [row[1:] for row in RUN], ids=[row[0] for row in RUN])
def test_how_images_are_run(
    engine: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
    argv: str,
    words: str,
) -> None:
    # With a token, a shell that reads it stands before the image's own program.
    if "/run/devbox" in words:
        monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    else:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    line = command(capsys, tmp_path, "image", "run", "--framework", framework, *argv.split())
    assert words in line
    assert "hf_secretsecret" not in line
    assert "--privileged" not in line


BUILD_SH = [
    ("--framework vllm --target runtime", "runtime", "--target runtime --tag devbox-dynamo:vllm-runtime"),
    ("--target dev", "dev", "--target dev"),
    ("--target local-dev", "local-dev", "--target local-dev"),
    ("--tag", "runtime --tag dynamo:v1-vllm --tag dynamo:latest-vllm", "--tag dynamo:v1-vllm --tag dynamo:latest-vllm"),
    ("--platform", "runtime --target-platform linux/arm64", "--platform linux/arm64"),
    ("--build-arg", "runtime --arg USE_SCCACHE=true", "--build-arg USE_SCCACHE=true"),
    ("--build-context", "runtime --context wheels=docker-image://x:1", "--build-context wheels=docker-image://x:1"),
    ("--cache-from --cache-to", "runtime --cache-from a/b:c --cache-to type=inline", "--cache-to type=inline"),
    ("--no-cache", "runtime --no-cache", "--no-cache"),
    ("--base-image", "runtime --arg RUNTIME_IMAGE=me/base:1", "--build-arg RUNTIME_IMAGE=me/base:1"),
]


@pytest.mark.parametrize(("argv", "words"), [row[1:] for row in BUILD_SH], ids=[row[0] for row in BUILD_SH])
def test_build_sh_of_dynamo(
    engine: Engine, dynamo: Path, capsys: pytest.CaptureFixture[str], argv: str, words: str
) -> None:
    line = command(capsys, dynamo, "image", "build", "--upstream", *argv.split())
    assert words in line
    assert f"--file {dynamo}/container/rendered.Dockerfile" in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("runtime", "--framework vllm --target runtime --cuda-version 13.0"),
        ("devel --variant trtllm", "--framework trtllm --target dev --cuda-version 13.1"),
        ("local-dev --variant sglang --efa", "--framework sglang --target local-dev"),
    ],
)
def test_render_py_is_run_first_and_only_with_consent(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: str, words: str
) -> None:
    script = "import pathlib, sys; pathlib.Path('ran').write_text(' '.join(sys.argv[1:])); sys.exit(3)\n"
    files = {name: text for name, text in DYNAMO.items() if name != "container/rendered.Dockerfile"}
    checkout = make(tmp_path, {**files, "container/render.py": script})
    assert run(["image", "build", "--workspace", str(checkout), "--upstream", "--dry-run", *argv.split()]) == 0
    rendering, build = capsys.readouterr().out.splitlines()
    assert words in rendering
    assert ("--make-efa" in rendering) == ("--efa" in argv)
    # What is rendered for a target ends with it.
    assert f"--file {checkout}/container/rendered.Dockerfile --tag devbox-dynamo:" in build
    assert "--target" not in build
    assert run(["image", "build", "--workspace", str(checkout), "--upstream", *argv.split()]) == 5
    assert not (checkout / "ran").exists()
    assert run(["image", "build", "--workspace", str(checkout), "--upstream", "--trust", *argv.split()]) == 3
    assert words in (checkout / "ran").read_text()
    assert "could not be rendered" in capsys.readouterr().err
