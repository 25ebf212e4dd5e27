"""Detection: which framework a checkout is, and why."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Protocol

import pytest

from devbox.errors import ConfigError
from devbox.frameworks import detect as detecting
from devbox.frameworks.detect import detect, fits, reasons
from devbox.frameworks.load import detection, load, variants
from devbox.frameworks.model import Detect
from devbox.paths import config_dir

if TYPE_CHECKING:
    from pathlib import Path


class Tree(Protocol):
    def __call__(self, *files: str, **texts: str) -> Path: ...


@pytest.fixture(autouse=True)
def _no_user_frameworks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def make(*files: str, **texts: str) -> Path:
        top = tmp_path / "tree"
        shutil.rmtree(top, ignore_errors=True)
        for name in files:
            file = top / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(texts.get(file.stem, ""))
        top.mkdir(exist_ok=True)
        return top

    return make


VLLM = ("CMakeLists.txt", "csrc/ops.cu", "requirements/build/cuda.txt", "vllm/__init__.py", "pyproject.toml")


def test_vllm_comes_before_the_cmake_tree_that_it_also_is(tree: Tree) -> None:
    found = detect(tree(*VLLM, pyproject='[project]\nname = "vllm"\n'))
    assert [(match.name, match.variant) for match in found] == [("vllm", None), ("cuda", None)]
    assert "vllm/__init__.py is there" in found[0].why
    assert any("pyproject.toml says" in reason for reason in found[0].why)
    assert found[0].weight > found[1].weight


def test_a_tree_that_only_looks_like_vllm_is_not(tree: Tree) -> None:
    found = detect(tree(*VLLM, pyproject='[project]\nname = "other"\n'))
    assert [match.name for match in found] == ["cuda"]


TRTLLM = ("scripts/build_wheel.py", "cpp/CMakeLists.txt", "cpp/kernels/a.cu", "tensorrt_llm/__init__.py", "setup.py")
SGLANG = ("python/sglang/__init__.py", "python/pyproject.toml")
DYNAMO = ("Cargo.toml", "lib/runtime/Cargo.toml", "lib/bindings/python/Cargo.toml", "pyproject.toml")


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (TRTLLM, "trtllm"),
        # Before July 2026, and since.
        ((*SGLANG, "sgl-kernel/CMakeLists.txt", "sgl-kernel/csrc/a.cu"), "sglang"),
        ((*SGLANG, "python/sglang/kernels/aot/CMakeLists.txt"), "sglang"),
        # Before 2026, and since.
        ((*DYNAMO, "container/build.sh", "container/Dockerfile.vllm"), "dynamo"),
        ((*DYNAMO, "container/render.py", "container/run.sh"), "dynamo"),
        (("Cargo.toml", "launcher/Cargo.toml", "backends/trtllm/CMakeLists.txt", "Dockerfile_trtllm"), "tgi"),
    ],
)
def test_a_checkout_of_each_framework_in_its_old_and_new_layouts(tree: Tree, files: tuple[str, ...], name: str) -> None:
    (match, *others) = detect(tree(*files))
    assert (match.name, match.variant) == (name, None)
    assert match.why
    assert all(other.weight < match.weight for other in others)


def test_what_lacks_a_marker_is_none_of_them(tree: Tree) -> None:
    assert detect(tree(*SGLANG)) == ()
    assert detect(tree(*DYNAMO)) == ()


def test_a_cmake_tree_with_cuda_sources_deep_inside(tree: Tree) -> None:
    (match,) = detect(tree("CMakeLists.txt", "ggml/src/ggml-cuda/acc.cu"))
    assert (match.name, match.variant) == ("cuda", None)
    assert match.why == ("CMakeLists.txt is there", "ggml/src/ggml-cuda/acc.cu is there")


def test_a_cmake_tree_without_cuda_is_its_cpu_variant(tree: Tree) -> None:
    (match,) = detect(tree("CMakeLists.txt", "src/main.cpp"))
    assert (match.name, match.variant) == ("cuda", "cpu")


@pytest.mark.parametrize("folder", ["build", "build-release", "cmake-build-debug", ".cache", "node_modules"])
def test_sources_in_build_trees_and_hidden_folders_do_not_count(tree: Tree, folder: str) -> None:
    (match,) = detect(tree("CMakeLists.txt", f"{folder}/generated.cu"))
    assert match.variant == "cpu"


def test_a_folder_without_cmake_is_nothing(tree: Tree) -> None:
    assert detect(tree("README.md", "kernel.cu")) == ()
    assert detect(tree()) == ()


def test_links_are_not_followed_and_a_loop_ends(tree: Tree) -> None:
    top = tree("CMakeLists.txt", "src/main.cpp")
    (top / "src" / "loop").symlink_to(top)
    (match,) = detect(top)
    assert match.variant == "cpu"


def test_a_search_gives_up_after_enough_entries(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "MOST_ENTRIES", 3)
    top = tree("CMakeLists.txt", "a/1", "a/2", "a/3", "z/kernel.cu")
    assert reasons(top, Detect(any=("**/*.cu",))) is None


def test_each_rule(tree: Tree) -> None:
    top = tree("a", "b", "deep/er/file.txt", a="some words\n")
    assert reasons(top, Detect()) is None
    assert reasons(top, Detect(all=("a", "missing"))) is None
    assert reasons(top, Detect(all=("a",), none=("b",))) is None
    assert reasons(top, Detect(any=("missing", "b"))) == ("b is there",)
    assert reasons(top, Detect(any=("missing",))) is None
    assert reasons(top, Detect(text=(("a", "some"), ("a", "words")))) == ("a says 'some'", "a says 'words'")
    assert reasons(top, Detect(text=(("a", "some"), ("a", "other")))) is None
    assert reasons(top, Detect(text=(("missing", "some"),))) is None
    assert reasons(top, Detect(any=("deep/*/file.txt",))) == ("deep/er/file.txt is there",)


def framework(name: str, text: str) -> None:
    file = config_dir() / "frameworks" / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_only_how_a_framework_is_known_is_read(tree: Tree) -> None:
    top = tree("mine.txt", "metal.txt")
    # All else of it is missing or wrong, which counts where it is loaded.
    tables = '[variants.wood]\n[variants.metal]\ndetect.all = ["metal.txt"]\ndetect.weight = 50\n'
    framework("mine", f'default_variant = "wood"\nports = "many"\n[detect]\nall = ["wood.txt"]\n{tables}')
    assert [(match.name, match.variant, match.weight) for match in detect(top)] == [("mine", "metal", 50)]
    assert (fits(top, "mine"), fits(top, "vllm"), fits(top, "nobody")) == (True, False, False)
    with pytest.raises(ConfigError, match="'title' is missing"):
        load("mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[detect]\nall = "a"\n[variants.x]\n', "'detect.all' must be a list of strings"),
        ("detect = 1\n[variants.x]\n", "'detect' must be a table"),
        ('[variants.x]\ndetect.al = ["a"]\n', "there is no key 'variants.x.detect.al'"),
        ("[detect]\n", "'variants' must be one table or more"),
    ],
)
def test_a_mistake_in_how_it_is_known_is_told_by_file_and_key(tree: Tree, text: str, said: str) -> None:
    framework("mine", text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        detect(tree("a"))


def test_each_built_in_framework_is_known_as_it_is_loaded() -> None:
    for name, rules in detection().items():
        assert rules == tuple((one.variant, one.detect) for one in variants(name))
