"""Framework files: the built-in ones are right, and every mistake in one is told by file, key and expected type."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from devbox import config
from devbox.errors import ConfigError, UsageError
from devbox.frameworks import arch, load, model, stated
from devbox.frameworks.detect import detect
from devbox.frameworks.model import CheckoutContext, Framework
from devbox.image.assembly.stage_files import assemble
from devbox.image.base.package import TOOLKITS

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


TASK = """B = "3"
[[variants.other.tasks]]
name = "t"
title = "T"
image = "debian:12"
options = [{{name = 'n', help = 'h', kind = 'number', default = '2'}}]
{}"""


def parsed(text: str) -> tuple[Framework, ...]:
    return load.parse("small", tomllib.loads(text), Path("small.toml"))


BUILT_IN = [framework for name in load.available() for framework in load.variants(name)]


def test_the_built_in_frameworks() -> None:
    assert {name: load.load(name).variants for name in load.available()} == {
        "cuda": ("cuda13", "cpu"),
        "vllm": (
            "cuda13", "cuda12", "nightly-torch", "arm64", "cpu", "rocm", "xpu", "tpu", "ppc64le", "s390x",
        ),
        "trtllm": ("ngc", "ubuntu24", "ubuntu22", "rocky8", "triton"),
        "sglang": ("cuda13", "cuda12", "rocm", "cpu"),
        "dynamo": ("vllm", "trtllm", "sglang", "none", "vllm-xpu", "sglang-xpu", "vllm-cpu"),
        "tgi": ("trtllm",),
    }  # fmt: skip


@pytest.mark.parametrize("framework", BUILT_IN, ids=lambda one: f"{one.name}-{one.variant}")
def test_each_built_in_variant_makes_sense(framework: Framework) -> None:
    rules = framework.build
    assert framework.workspace_path == f"/workspaces/{framework.name}"
    assert framework.stages[0] == "toolchain"
    assert framework.stages[-1] == "user"
    assert framework.gpu == (framework.cuda is not None) == (framework.default_arch is not None)
    # A package base is made for one of its CUDA releases, and has no GPU of another maker.
    if framework.package_base == "cuda":
        assert framework.cuda in TOOLKITS
    assert framework.gpu or framework.package_base != "cuda"
    if not framework.gpu:
        assert not rules.arch_env
        assert "nvidia.nsight-vscode-edition" not in framework.extensions
    assert "ccache" in framework.caches
    assert set(framework.run.caches) <= {*framework.caches, "huggingface"}
    # Host IPC has the host's /dev/shm, and a container with its own needs a size.
    assert (framework.run.ipc == "host") == (framework.run.shm is None)
    assert all(path.startswith("/dev/") for path in framework.run.devices)


@pytest.mark.parametrize("framework", BUILT_IN, ids=lambda one: f"{one.name}-{one.variant}")
def test_each_stage_of_a_built_in_variant_has_a_file(framework: Framework) -> None:
    assert f" AS {framework.stages[-1]}\n" in assemble(framework)
    whole = assemble(framework, images=True)
    for stage in {one.stage for one in framework.prebuilt} - {"devel", "user", "test"}:
        assert re.search(rf" AS ({stage}|release)\n", whole)
    assert framework.image_stages == () or framework.runtime_image is not None


def test_what_a_variant_replaces_is_not_left_over_from_the_default() -> None:
    """The tables that all variants share are NVIDIA's: a variant for other hardware must not inherit a wrong one."""
    for framework in BUILT_IN:
        if framework.name == "vllm":
            targets = {dict(framework.env)["VLLM_TARGET_DEVICE"], dict(framework.args)["VLLM_TARGET_DEVICE"]}
            targets.add(dict(framework.build.defines)["VLLM_TARGET_DEVICE"])
            assert len(targets) == 1, framework.variant
        if not framework.gpu:
            assert not any("cu13" in value or "cu12" in value for _, value in framework.args)
            assert not any("cuda" in one.reference for one in framework.prebuilt)


def test_compatibility_tells_source_and_day() -> None:
    rows = [row for framework in BUILT_IN for row in framework.compatibility]
    assert {framework.name for framework in BUILT_IN if framework.compatibility} == set(load.available())
    for row in rows:
        assert row.source
        assert date.fromisoformat(row.date) <= date(2026, 12, 31)
        assert all(word.startswith("gfx") or arch.parse(word) == (word,) for word in row.arch)


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
        ("gpu = false", "gpu = 0", "'variants.other.gpu' must be true or false, not the number 0", None),
        ('B = "2"', "B = 2", "'build.defines.B' must be a string, not the number 2", None),
        ('["CMakeLists.txt"]', '"CMakeLists.txt"', "'detect.all' must be a list of strings, not", None),
        ('["toolchain", "user"]', '["toolchain", 3]', "'stages[1]' must be a string, not the number 3", None),
        ('["toolchain", "user"]', "[]", "'stages' must name at least one stage", None),
        ('package_base = "cpu"', 'package_base = "gpu"', "must be one of 'cuda', 'cpu', not 'gpu'", None),
        ('base_image = "debian:12"\n', "", "the key 'base_image' is missing: a string", None),
        ('default_variant = "plain"', 'default_variant = "fancy"', "must be one of the variants (plain, other)", None),
        ('default_variant = "plain"\n', "", "'default_variant' must be one of the variants", None),
        ('default_variant = "plain"', "default_variant = []", "'default_variant' must be one of the variants", None),
        ("[variants.other]", "[variants.Other]\n[variants.other]", "'variants.Other' must be a table with a", None),
        ('title = "Small"', 'title = "Small"\nname = "large"', "there is no key 'name'", None),
        ("/workspaces/", "workspaces/", "'workspace_path' must be an absolute path", None),
        ("[build]", '[build]\nbuild_type = "Fast"', "'build.build_type' must be one of Release", None),
        ("gpu = false", 'default_arch = "9.x"', "'variants.other.default_arch' must be a compute capability", None),
        ('cuda = ""', "cuda = 13.0", "'variants.other.cuda' must be a string, not the number 13.0", None),
        ("gpu = false", "contexts = [{name = 'a'}]", "the key 'variants.other.contexts[0].path' is missing", None),
        ("gpu = false", "build.nvcc_threads = 0", "'variants.other.build.nvcc_threads' must be 1 or more", None),
        ("gpu = false", "build.source = [1]", "'variants.other.build.source[0]' must be a string", None),
        ("gpu = false", "build.source = '../x'", "'variants.other.build.source' must be relative to the", None),
        ("gpu = false", "build.source = 7", "must be a string or a list of strings, not the number 7", None),
        ("gpu = false", "env = {'A B' = 'c'}", "'variants.other.env.A B' must be the name of a variable", None),
        ("gpu = false", "ports = [70000]", "'variants.other.ports' must be port numbers", None),
        ("gpu = false", "run.shm = 'much'", "'variants.other.run.shm' must be a size such as 16g", None),
        ("gpu = false", "run.ipc = 'none'", "'variants.other.run.ipc' must be one of 'host', 'private'", None),
        ("gpu = false", "upstream = {}", "the key 'variants.other.upstream.dockerfile' is missing", None),
        ('A = "1"', 'A = "{wrong}"', "'build.defines' must not hold {wrong}; it may hold {arch}", None),
        ("gpu = false", "prebuilt = [{stage = 'x', why = 'y'}]", "must hold {key} where 'file' and 'key' say", None),
        ("gpu = false", "compatibility = [{source = 'x', date = '22.8.'}]", "must be a day such as 2026-08-22", None),
        ("gpu = false", "stages = ['a b']", "'variants.other.stages[0]' must be the name of a stage", None),
        ('B = "3"', TASK.format("command = ['{nope}']"), "must not hold {nope}; it may hold {gpu}, {n}", None),
        ('B = "3"', TASK.format("command = []\nready = '/health'"), "must name the port that 'ready' is", None),
        ('B = "3"', TASK.format("command = []").replace("number", "choice"), "must be there for the kind", None),
        ('B = "3"', TASK.format("command = []").replace("'2'", "'two'"), "must be a number, not 'two'", None),
        ("gpu = false", "detect = 3", "'variants.other.detect' must be a table, not the number 3", None),
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


def test_every_mistake_is_told_and_one_that_all_variants_share_once(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        SMALL.replace('B = "2"', "B = 2")
        .replace("gpu = false", "gpu = 0\nports = ['a']")
        .replace('title = "Small"', "titel = 3")
    )
    found, wrong = load.examine(file)
    assert [one.message.removeprefix(f"{file}: ") for one in wrong] == [
        "there is no key 'titel'",
        "the key 'title' is missing: a string",
        "'build.defines.B' must be a string, not the number 2",
        "'variants.other.ports[0]' must be a whole number, not 'a'",
        "'variants.other.gpu' must be true or false, not the number 0",
    ]
    assert len(found) == 2


def test_the_name_of_a_file_is_the_frameworks(tmp_path: Path) -> None:
    file = tmp_path / "My Framework.toml"
    file.write_text(SMALL)
    (wrong,) = load.examine(file)[1]
    assert "no file NAME.toml" in wrong.message


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


def test_a_framework_that_extends_another_replaces_what_it_says(own: Path) -> None:
    (own / "fork.toml").write_text(
        """extends = "vllm"
title = "Our fork"
detect.text = { "pyproject.toml" = 'name = "fork"' }

[build]
memory_per_job = 4096

[[tasks]]
name = "serve"
title = "Serve it our way"

[[tasks]]
name = "bench"
title = "Measure it"
image = "stage:release"
command = ["vllm", "bench"]

[variants.cuda13]
base_image = "registry.example/cuda:13"

[variants.lab]
base_image = "registry.example/lab:1"
package_base = "cuda"
cuda = "13.0"
default_arch = "9.0"
"""
    )
    vllm, fork = load.load("vllm"), load.load("fork")
    assert (fork.name, fork.title, fork.base_image) == ("fork", "Our fork", "registry.example/cuda:13")
    assert fork.variants == (*vllm.variants, "lab")
    assert fork.build.memory_per_job == 4096
    assert fork.build.defines == vllm.build.defines
    assert fork.detect.all == vllm.detect.all
    serve, bench = fork.tasks
    assert (serve.title, serve.command) == ("Serve it our way", vllm.tasks[0].command)
    assert bench.name == "bench"
    assert load.load("fork", "lab").base_image == "registry.example/lab:1"


def test_sglang_is_built_against_the_torch_that_its_checkout_pins(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python/pyproject.toml").write_text('dependencies = [\n  "torch==2.11.0",\n]\n')
    (tmp_path / "python/pyproject_cpu.toml").write_text('dependencies = [\n  "torch==2.12.0",\n]\n')
    found = {one.variant: [pin.value for pin in stated.pins(one, tmp_path)] for one in load.variants("sglang")}
    assert (found["cuda13"], found["cuda12"], found["cpu"]) == (["2.11.0"], ["2.11.0"], ["2.12.0"])


def test_a_tree_without_cuda_is_not_told_that_it_has_some() -> None:
    assert (load.load("cuda").title, load.load("cuda", "cpu").title) == ("CMake and CUDA", "CMake")


def test_a_file_may_extend_the_built_in_one_of_its_own_name(own: Path) -> None:
    (own / "cuda.toml").write_text('extends = "cuda"\ntitle = "Ours"\n')
    assert load.load("cuda").title == "Ours"
    assert load.load("cuda", "cpu").gpu is False
    assert load.origin("cuda") == str(own / "cuda.toml")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": 'extends = "vlm"'}, "'extends': there is no framework called 'vlm'"),
        ({"a": "extends = 3"}, "'extends' must be the name of a framework, not the number 3"),
        ({"a": 'extends = "b"', "b": 'extends = "a"'}, "'extends': a extends b in its turn"),
        ({"a": 'extends = "a"'}, "'extends': there is no framework called 'a'"),
        ({"a": 'title = "x"'}, "'variants' must be one table or more"),
    ],
)
def test_what_cannot_be_extended(own: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (own / f"{name}.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load.load("a")
    assert message in caught.value.message
    assert " a," not in (caught.value.hint or ""), "it is no choice of its own"


def test_a_file_that_says_nearly_nothing_is_told_of_extends(own: Path) -> None:
    (own / "vllm.toml").write_text('[variants.cuda13]\nbase_image = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load.load("vllm")
    assert 'extends = "NAME"' in (caught.value.hint or "")


def test_a_checkout_describes_frameworks_in_its_devbox_toml(tmp_path: Path, own: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "devbox.toml").write_text(
        'framework = "fork"\n[frameworks.fork]\nextends = "cuda"\ndetect.all = ["fork.txt"]\ndetect.weight = 20\n'
        '[frameworks.cuda]\nextends = "cuda"\ntitle = "Theirs"\n'
    )
    (own / "cuda.toml").write_text('extends = "cuda"\ntitle = "Mine"\nports = [1234]\n')
    assert set(load.available(work)) == {*load.available(), "fork"}
    assert load.load("cuda", workspace=work).title == "Theirs"
    assert load.load("cuda", workspace=work).ports == (1234,)
    assert load.load("cuda").title == "Mine"
    assert load.origin("fork", work) == str(work / "devbox.toml")
    (work / "devbox.local.toml").write_text('[frameworks.fork]\nextends = "fork"\nports = [1]\n')
    assert load.load("fork", workspace=work).ports == (1,)
    (work / "fork.txt").touch()
    assert detect(work)[0].name == "fork"
    # The settings' reader passes the tables by, and takes no other.
    assert config.load(work, environ={}, flags={}).framework == "fork"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frameworks = 3", "'frameworks' must be tables, [frameworks.NAME], not the number 3"),
        ("[frameworks]\nx = 3", "'frameworks.x' must be a table with a lower-case name, not the number 3"),
        ('[frameworks.x]\nextends = "cuda"\nports = 3', "'frameworks.x.ports' must be a list"),
        ('[frameworks.x]\nextends = "cuda"\nrun.cap_add = ["SYS_ADMIN"]', "'frameworks.x.run' reaches the host"),
        ('[frameworks.x]\nextends = "cuda"\ntasks = []', "'frameworks.x.tasks' reaches the host"),
        ('[frameworks.x]\nextends = "cuda"\nvariants.cpu.run.ipc = "host"', "'frameworks.x.variants.cpu.run' reaches"),
    ],
)
def test_mistakes_in_a_checkouts_own_tables(tmp_path: Path, own: Path, text: str, message: str) -> None:
    (tmp_path / "devbox.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load.load("x", workspace=tmp_path)
    assert caught.value.message.startswith(str(tmp_path / "devbox.toml"))
    assert message in caught.value.message


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_published_images_are_for_the_cuda_of_the_variant(name: str) -> None:
    for variant in load.variants(name):
        for reference in (one.reference for one in variant.prebuilt):
            assert ("cu12" in reference) == (variant.cuda or "").startswith("12."), f"{variant.variant}: {reference}"
            # The nightlies of both lie in one repository.
            assert "nightly-dev-*" not in reference


DOCS = (Path(__file__).parents[2] / "docs/frameworks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "kind",
    [
        model.Framework, model.Detect, model.CheckoutContext, model.BuildRules, model.Step, model.Upstream,
        model.Prebuilt, model.RunRules, model.TaskOption, model.Task, model.Compatible, model.Preflight,
        model.PythonRules,
    ],
)  # fmt: skip
def test_each_key_is_documented(kind: type) -> None:
    keys = {field.name for field in fields(kind)} - {"name", "variant", "variants", "rules"}
    assert [key for key in sorted(keys) if not re.search(rf"`(\[{{1,2}})?{key}(\]{{1,2}})?`", DOCS)] == []


def test_the_page_names_each_framework_with_its_variants() -> None:
    for name in load.available():
        row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}` |"))
        assert tuple(re.findall(r"`([\w-]+)`", row.split("|")[2])) == load.load(name).variants
