"""Framework files: the built-in ones are right, and every mistake in one is told by file, key and expected type."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from devbox.errors import ConfigError, UsageError
from devbox.frameworks import load
from devbox.frameworks.model import CheckoutContext, Framework

SMALL = """\
title = "Small"
source = "https://example.com"
default_variant = "plain"
workspace_path = "/workspaces/small"
base_image = "debian:12"
package_base = "cpu"
stages = ["toolchain", "user"]

[detect]
all = ["CMakeLists.txt"]

[build]
memory_per_job = 512

[build.defines]
A = "1"
B = "2"

[variants.plain]

[variants.other]
gpu = false
cuda = ""

[variants.other.build.defines]
B = "3"
"""


def parsed(text: str) -> tuple[Framework, ...]:
    return load.parse("small", tomllib.loads(text), Path("small.toml"))


BUILT_IN = [framework for name in load.available() for framework in load.variants(name)]
PLACEHOLDERS = {"source", "build", "python", "type", "arch", "threads", "jobs", "prefix"}


def test_the_built_in_frameworks() -> None:
    assert set(load.available()) >= {"cuda", "vllm"}
    assert load.load("cuda").variants == ("cuda13", "cpu")
    assert load.load("vllm").variants == ("cuda13", "cuda12", "cpu")


@pytest.mark.parametrize("framework", BUILT_IN, ids=lambda one: f"{one.name}-{one.variant}")
def test_each_built_in_variant_makes_sense(framework: Framework) -> None:
    rules = framework.build
    assert framework.workspace_path == f"/workspaces/{framework.name}"
    assert framework.stages[-1] == "user"
    assert framework.gpu == (framework.cuda is not None) == (framework.default_arch is not None)
    assert framework.gpu == bool(rules.arch_define or rules.arch_env)
    assert framework.package_base == ("cuda" if framework.gpu else "cpu")
    assert "ccache" in framework.caches
    words = [value for _, value in (*rules.defines, *rules.env)] + [rules.install_prefix or "", *rules.test]
    assert set(re.findall(r"{(\w+)}", " ".join(words))) <= PLACEHOLDERS


def test_every_variant_of_a_framework_has_the_same_path_in_the_container() -> None:
    for name in load.available():
        assert len({framework.workspace_path for framework in load.variants(name)}) == 1


def test_vllm_builds_through_its_own_cmake_into_the_build_tree() -> None:
    vllm = load.load("vllm")
    defines = dict(vllm.build.defines)
    assert defines["VLLM_PYTHON_EXECUTABLE"] == "{python}"
    assert defines["FETCHCONTENT_BASE_DIR"].startswith("{build}/")
    assert (vllm.build.install, vllm.build.install_prefix) == (True, "{source}")
    assert (vllm.build.arch_form, vllm.build.arch_env) == ("torch", "TORCH_CUDA_ARCH_LIST")
    assert vllm.contexts == (CheckoutContext("checkout", "requirements"),)
    assert dict(load.load("vllm", "cpu").build.defines) == defines | {"VLLM_TARGET_DEVICE": "cpu"}


def test_a_variant_replaces_key_by_key() -> None:
    plain, other = parsed(SMALL)
    assert (plain.name, plain.variant, plain.variants) == ("small", "plain", ("plain", "other"))
    assert plain.build.defines == (("A", "1"), ("B", "2"))
    assert other.build.defines == (("A", "1"), ("B", "3"))
    assert other.build.memory_per_job == 512
    assert (plain.gpu, other.gpu) == (True, False)


def test_an_empty_string_stands_for_none_and_so_does_a_missing_key() -> None:
    plain, other = parsed(SMALL)
    assert plain.cuda is None
    assert other.cuda is None
    assert parsed(SMALL.replace("[build]", '[build]\narch_define = ""'))[0].build.arch_define is None


def test_the_default_variant_comes_first() -> None:
    first = parsed(SMALL.replace('default_variant = "plain"', 'default_variant = "other"'))[0]
    assert (first.variant, first.variants) == ("other", ("other", "plain"))


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        ("title =", "titel =", "there is no key 'titel'", "did you mean 'title'?"),
        ("memory_per_job = 512", "memory_per_jobs = 512", "no key 'build.memory_per_jobs'", "'build.memory_per_job'?"),
        ("memory_per_job = 512", 'memory_per_job = "512"', "'build.memory_per_job' must be a whole number, not", None),
        ("memory_per_job = 512", "memory_per_job = true", "must be a whole number, not the boolean true", None),
        ("gpu = false", "gpu = 0", "'gpu' must be true or false, not the number 0", None),
        ('B = "2"', "B = 2", "'build.defines.B' must be a string, not the number 2", None),
        ('["CMakeLists.txt"]', '"CMakeLists.txt"', "'detect.all' must be a list of strings, not", None),
        ('["toolchain", "user"]', '["toolchain", 3]', "'stages[1]' must be a string, not the number 3", None),
        ('["toolchain", "user"]', "[]", "'stages' must name at least one stage", None),
        ('package_base = "cpu"', 'package_base = "gpu"', "must be one of 'cuda', 'cpu', not 'gpu'", None),
        ('base_image = "debian:12"\n', "", "the key 'base_image' is missing: a string", None),
        ('default_variant = "plain"', 'default_variant = "fancy"', "must be one of the variants (plain, other)", None),
        ('default_variant = "plain"\n', "", "'default_variant' must be one of the variants", None),
        ("[variants.other]", "[variants.Other]\n[variants.other]", "'variants.Other' must be a table with a", None),
        ('title = "Small"', 'title = "Small"\nname = "large"', "there is no key 'name'", None),
        ("/workspaces/", "workspaces/", "'workspace_path' must be an absolute path", None),
        ("[build]", '[build]\nbuild_type = "Fast"', "'build.build_type' must be one of Release", None),
        ("gpu = false", 'default_arch = "9.x"', "'default_arch': '9.x' is no GPU architecture", None),
        ('cuda = ""', "cuda = 13.0", "'cuda' must be a string, not the number 13.0", None),
        ("gpu = false", "contexts = [{name = 'a'}]", "the key 'contexts[0].path' is missing", None),
        ("gpu = false", "detect = 3", "'detect' must be a table, not the number 3", None),
    ],
)  # fmt: skip
def test_mistakes(before: str, after: str, message: str, hint: str | None) -> None:
    assert before in SMALL
    with pytest.raises(ConfigError) as caught:
        parsed(SMALL.replace(before, after, 1))
    assert caught.value.message.startswith("small.toml: ")
    assert message in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_a_file_without_variants() -> None:
    with pytest.raises(ConfigError, match=r"'variants' must be one table or more"):
        parsed(SMALL[: SMALL.index("[variants.plain]")])


def test_unknown_names_come_with_the_choices() -> None:
    with pytest.raises(UsageError) as caught:
        load.load("vlm")
    assert "'vlm'" in caught.value.message
    assert "did you mean 'vllm'?" in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        load.load("cuda", "cuda14")
    assert "variant of cuda" in caught.value.message
    assert "cuda13, cpu" in (caught.value.hint or "")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path))
    (tmp_path / "frameworks").mkdir()
    return tmp_path / "frameworks"


def test_a_framework_of_the_users_own(own: Path) -> None:
    (own / "small.toml").write_text(SMALL)
    assert "small" in load.available()
    assert load.load("small", "other").gpu is False


def test_the_users_file_comes_before_the_built_in_one(own: Path) -> None:
    (own / "cuda.toml").write_text(SMALL)
    assert load.load("cuda").title == "Small"


def test_a_file_that_is_no_toml_is_named_with_its_line(own: Path) -> None:
    (own / "small.toml").write_text("title = \n")
    with pytest.raises(ConfigError) as caught:
        load.load("small")
    assert str(own / "small.toml") in caught.value.message
    assert "line 1" in caught.value.message
