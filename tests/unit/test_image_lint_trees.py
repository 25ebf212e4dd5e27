"""The reader, the graph and the linter on the Dockerfiles of a real tree: every one of vLLM's."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from devbox.image.dockerfile.ignore import ignore_file
from devbox.image.dockerfile.stages import read_stages
from devbox.image.graph.model import graph
from devbox.image.graph.svg import svg
from devbox.image.lint.linter import lint
from devbox.image.lint.model import Subject
from tests.trees.sdist import fetch
from tests.unit.test_image_parse import ours, reference

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
VERSION = "0.33.0"

# Everything that is found, less the notes about the whole context and the .git that an sdist does not have.
EXPECTED = {
    ("docker/Dockerfile", "jobs-cancel", "docker/Dockerfile", 388),
    ("docker/Dockerfile", "late-arg", "docker/Dockerfile", 438),
    # Variables that reach no target, and two that the other bake file sets to something else.
    ("docker/Dockerfile", "bake", "docker/versions.json", 4),
    ("docker/Dockerfile", "bake", "docker/versions.json", 52),
    ("docker/Dockerfile", "bake", "docker/versions.json", 55),
    ("docker/Dockerfile.cpu", "unknown-build-arg", ".buildkite/image_build/image_build_cpu.sh", 106),
    ("docker/Dockerfile.cpu", "unknown-build-arg", ".buildkite/image_build/image_build_cpu_arm64.sh", 25),
    ("docker/Dockerfile.cpu", "unknown-build-arg", ".buildkite/image_build/image_build_zen_cpu.sh", 59),
    # VLLM_BUILD_ACL, which nothing reads.
    ("docker/Dockerfile.cpu", "unknown-build-arg", ".buildkite/release-pipeline.yaml", 68),
    ("docker/Dockerfile.rocm_72_base", "arg-comment", "docker/Dockerfile.rocm_72_base", 2),
    ("docker/Dockerfile.rocm_72_base", "arg-comment", "docker/Dockerfile.rocm_72_base", 4),
    ("docker/Dockerfile.rocm_base", "arg-comment", "docker/Dockerfile.rocm_base", 6),
    ("docker/Dockerfile.rocm_base", "arg-comment", "docker/Dockerfile.rocm_base", 21),
    ("docker/Dockerfile.rocm_base", "arg-comment", "docker/Dockerfile.rocm_base", 22),
    ("docker/Dockerfile.rocm_base_gfx1250", "unused-arg", "docker/Dockerfile.rocm_base_gfx1250", 7),
    ("docker/Dockerfile.xpu", "unknown-build-arg", ".buildkite/image_build/image_build_xpu.sh", 26),
    ("docker/Dockerfile.xpu", "unknown-build-arg", ".buildkite/image_build/image_build_xpu.sh", 27),
    ("docker/Dockerfile.xpu", "unknown-build-arg", ".buildkite/release-pipeline.yaml", 139),
    ("docker/Dockerfile.zen", "unused-arg", "docker/Dockerfile.zen", 23),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch("vllm", VERSION, tmp_path_factory.mktemp("sdist"))


def test_every_dockerfile_of_vllm(tree: Path) -> None:
    found = set()
    reading_git = set()
    files = sorted(tree.glob("docker/Dockerfile*"))
    assert len(files) == 13
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert ours(text) == reference(text)
        stages = read_stages(text, {}, name=file.name)
        ET.fromstring(svg(graph(stages), file.name))
        name = file.relative_to(tree).as_posix()
        subject = Subject(name, stages, context=tree, ignore=ignore_file(file, tree), checkout=tree)
        for one in lint(subject):
            if one.check == "git-mount":
                reading_git.add((name, one.severity))
            elif one.check != "context":
                found.add((name, one.check, one.path, one.line))
    assert found == EXPECTED
    assert reading_git == {(f"docker/Dockerfile{suffix}", "error") for suffix in ("", ".cpu", ".xpu")}


def test_the_graph_of_vllms_image(tree: Path) -> None:
    stages = read_stages((tree / "docker/Dockerfile").read_text(encoding="utf-8"), {})
    edges = {(edge.source, edge.target, edge.kind) for edge in graph(stages, "vllm-openai").edges}
    assert edges == {
        ("image pytorch/manylinux2_28-builder:cuda13.0-78e737ad29420ffc4800e677c51e2a852caf8359", "base", "from"),
        ("image nvidia/cuda:13.0.3-base-ubuntu24.04", "vllm-runtime-base", "from"),
        ("base", "rust-build-cache", "from"),
        ("rust-build-cache", "rust-build", "from"),
        ("base", "csrc-build", "from"),
        ("base", "csrc-build", "copy"),
        ("base", "extensions-build", "from"),
        ("base", "build", "from"),
        ("base", "build", "copy"),
        ("csrc-build", "build", "copy"),
        ("rust-build", "build", "copy"),
        ("extensions-build", "build", "copy"),
        ("vllm-runtime-base", "vllm-base", "from"),
        ("base", "vllm-base", "copy"),
        ("build", "vllm-base", "copy"),
        ("build", "vllm-base", "mount"),
        ("vllm-base", "vllm-openai-base", "from"),
        ("extensions-build", "vllm-openai-base", "copy"),
        ("extensions-build", "vllm-openai-base", "mount"),
        ("vllm-openai-base", "vllm-openai", "from"),
    }
