"""The assembled Dockerfiles: their exact text, and what every tool that reads them relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devbox.errors import ConfigError
from devbox.frameworks import load
from devbox.image.assembly import stage_files

GOLDEN = Path(__file__).resolve().parents[1] / "golden/image"
CASES = [
    ("cuda", "cuda13"),
    ("cuda", "cpu"),
    ("vllm", "cuda13"),
    ("vllm", "cpu"),
    ("sglang", "cuda13"),
    ("trtllm", "ngc"),
    ("dynamo", "vllm"),
    ("tgi", "trtllm"),
]
PYTHON = ("sglang", "trtllm", "vllm")


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A framework and a variant of it."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def text(case: tuple[str, str]) -> str:
    return stage_files.assemble(load.load(*case))


def test_golden(case: tuple[str, str], text: str) -> None:
    golden = GOLDEN / f"{'-'.join(case)}.Dockerfile"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


@pytest.mark.parametrize("name", [*PYTHON, "cuda", "dynamo", "tgi"])
def test_golden_images(name: str) -> None:
    """What `devbox image build` adds: the text behind the stage of dev containers."""
    framework = load.load(name)
    text = stage_files.assemble(framework, images=True)
    golden = GOLDEN / f"{name}-images.Dockerfile"
    added = text[text.index("USER ${DEV_NAME}") :]
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(added, encoding="utf-8")
    assert added == golden.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


def test_golden_package_base() -> None:
    golden = GOLDEN / "base-cuda.Dockerfile"
    text = stage_files.concatenate("the package base", "debian:12", ("base-cuda",))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_needs_no_registry_and_no_context(text: str) -> None:
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    for line in text.splitlines():
        if line.startswith(("COPY", "ADD")):
            assert "<<" in line or line.startswith("COPY --from=")


def test_base_image_is_an_argument_with_the_frameworks_default(case: tuple[str, str], text: str) -> None:
    first_from = text.index("\nFROM ")
    assert f"ARG BASE_IMAGE={load.load(*case).base_image}\n" in text[:first_from]


def test_the_reference_cli_finds_exactly_the_stages(text: str) -> None:
    """It looks for FROM lines by a pattern that knows neither heredocs nor case: Python's `from` would be one."""
    found = re.findall(r"^\s*FROM\s+.*$", text, re.MULTILINE | re.IGNORECASE)
    assert all(re.fullmatch(r"\s*FROM \S+ AS [a-z]+", line) for line in found), found
    assert found[-1].split()[-1] == "user"
    users = re.findall(r"^\s*USER\s+.*$", text, re.MULTILINE | re.IGNORECASE)
    assert users[-1].strip() == "USER ${DEV_NAME}"


def test_every_stage_that_reaches_the_network_knows_the_ca_and_both_package_managers(text: str) -> None:
    for block in runs(text):
        if re.search(r"\b(packages|install_python|make_venv|pip install) ?", block):
            assert "--mount=type=secret,id=ca_bundle,required=false" in block
        if "packages " in block:
            assert re.search(r'packages "[^"]+"\s*\\?\s*"[^"]*"', block), block
    assert "/etc/ssl/certs" not in text


def test_nothing_is_chowned_in_the_user_stage(text: str) -> None:
    stage = text[text.index("FROM devel AS user") :]
    assert "chown -R" not in stage
    assert "apt-get" not in stage
    assert "--mount" not in stage


def test_the_same_stages_are_the_same_text() -> None:
    def part(name: str, end: str) -> str:
        text = stage_files.assemble(load.load(name))
        return text[text.index("FROM scratch AS wheels") : text.index(end)]

    toolchain, torch = "FROM toolchain AS ", "\n# The checkout"
    assert part("cuda", "# A CMake/CUDA tree") == part("vllm", "# torch in a virtual")
    assert toolchain in part("vllm", torch)
    assert part("vllm", torch) == part("sglang", torch) == part("trtllm", torch)


def test_a_stage_without_a_file_is_named() -> None:
    broken = replace(load.load("cuda", "cuda13"), stages=("toolchain", "devel-nosuch", "user"))
    with pytest.raises(ConfigError, match="devel-nosuch"):
        stage_files.assemble(broken)


def test_a_users_framework_brings_its_own_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path))
    (tmp_path / "dockerfiles").mkdir()
    (tmp_path / "dockerfiles/devel-mine.Dockerfile").write_text("FROM toolchain AS devel\n# mine\n")
    (tmp_path / "dockerfiles/user.Dockerfile").write_text("# not this one\n")
    mine = replace(load.load("cuda", "cuda13"), stages=("toolchain", "devel-mine", "user"))
    text = stage_files.assemble(mine)
    assert "# mine\n" in text
    assert "# not this one" not in text


@pytest.mark.parametrize("name", load.available())
def test_hadolint(name: str) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    text = stage_files.assemble(load.load(name), images=True, efa=True)
    done = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def runs(text: str) -> list[str]:
    """Return the RUN instructions with a script."""
    return re.findall(r"^RUN .*?^EOT$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(params=PYTHON)
def images(request: pytest.FixtureRequest) -> str:
    """The whole Dockerfile of a Python framework, in its default variant."""
    return stage_files.assemble(load.load(request.param), images=True)


def test_every_argument_of_a_frameworks_data_is_declared(images: str) -> None:
    declared = set(re.findall(r"^ARG (\w+)", images, re.MULTILINE))
    framework = load.load(re.findall(r"^# (\w+) ", images)[0])
    for variant in framework.variants:
        missing = {name for name, _ in load.load(framework.name, variant).args} - declared
        assert not missing, f"{framework.name} ({variant}) sets what no stage declares"


def test_every_script_has_the_helpers_that_it_calls(images: str) -> None:
    for block in runs(images):
        mounted = {name for name in ("lib", "final") if re.search(rf"^\. /run/\w+/{name}\.sh$", block, re.MULTILINE)}
        calls = set(re.findall(r"^(\w+)(?: |$)", block, re.MULTILINE))
        if calls & {"packages", "install_python", "make_venv", "finish_venv", "compile_venv", "settle", "jobs"}:
            assert "lib" in mounted, block
            assert "from=helpers,target=/run/devbox" in block
        if "account" in calls:
            assert "final" in mounted
            assert "from=final,target=/run/final" in block
        if "compiler_cache_begin" in calls:
            assert "compiler_cache_end" in calls
            assert "--mount=type=secret,id=sccache,required=false" in block
            assert "--mount=type=cache,target=/var/cache/ccache" in block


def test_no_release_starts_from_a_stage_with_compilers_or_runs_as_root(images: str) -> None:
    release = images[images.index("FROM ${RUNTIME_IMAGE} AS release") : images.index("FROM release AS test")]
    assert re.findall(r"^USER .*$", release, re.MULTILINE) == ["USER root", "USER ${APP_UID}:0"]
    assert not re.search(r"^COPY --from=", release, re.MULTILINE)
    assert images.rstrip().endswith('CMD ["bash"]')
    assert "USER ${APP_UID}:0" in images[images.index("FROM release AS test") :]


def test_what_changes_often_comes_last(images: str) -> None:
    """An argument belongs to the key of every RUN behind it: a new commit must not install requirements anew."""
    release = images[images.index("FROM ${RUNTIME_IMAGE} AS release") : images.index("FROM release AS test")]
    places = [
        release.index(word)
        for word in ("packages ", "make_venv", "install_python -r", "/run/dist/*.whl", "ARG SOURCE_VERSION")
    ]
    assert places == sorted(places)


def lib(tmp_path: Path) -> Path:
    """Return a file with the helpers of the preamble."""
    text = stage_files.concatenate("test", "scratch", ())
    path = tmp_path / "lib.sh"
    path.write_text(text[text.index("set -eu\n") : text.rindex("EOT")], encoding="utf-8")
    return path


def sh(library: Path, script: str, **env: str) -> str:
    """Return what `script` prints, with the helpers at hand."""
    done = subprocess.run(
        ["sh", "-c", f". {library}\n{script}"],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(library.parent), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_jobs_are_what_was_said_or_what_the_memory_allows(tmp_path: Path) -> None:
    library = lib(tmp_path)
    assert sh(library, "jobs 8192", MAX_JOBS="7") == "7"
    assert sh(library, "jobs 1000000000") == "1"
    assert sh(library, "jobs 1") == str(len(os.sched_getaffinity(0)))


def test_interpreter_is_the_wanted_one_or_a_sentence(tmp_path: Path) -> None:
    library = lib(tmp_path)
    found = sh(library, "interpreter")
    version = subprocess.run([found, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    short = version.rpartition(".")[0]
    assert sh(library, '"$(interpreter)" -V', PYTHON_VERSION=short).startswith(f"Python {short}.")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        sh(library, "interpreter", PYTHON_VERSION="3.99")
    assert caught.value.stderr == "devbox: no Python 3.99 with venv in the base image\n"


def test_shared_changes_only_what_is_not_shared_yet(tmp_path: Path) -> None:
    """Each file that it touches is stored once more in the layer."""
    library = lib(tmp_path)
    folder = tmp_path / "venv"
    (folder / "lib").mkdir(parents=True)
    for name in ("old", "new"):
        (folder / "lib" / name).touch()
    # The group of the images is not on every machine that runs the tests.
    library.write_text(library.read_text().replace("-group devbox", f"-group {os.getgid()}"))
    sh(library, f"shared {folder}")
    stamps = {path: path.stat().st_ctime_ns for path in folder.rglob("*")}
    (folder / "lib/late").touch()
    (folder / "lib/late").chmod(0o600)
    sh(library, f"shared {folder}")
    assert {path: path.stat().st_ctime_ns for path in stamps if path.is_file()} == {
        path: stamp for path, stamp in stamps.items() if path.is_file()
    }
    assert (folder / "lib/late").stat().st_mode & 0o060 == 0o060
    assert (folder / "lib").stat().st_mode & 0o2020 == 0o2020
