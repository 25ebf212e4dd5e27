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
from devbox.image import dockerfile

GOLDEN = Path(__file__).resolve().parents[1] / "golden/image"
CASES = [("cuda", "cuda13"), ("cuda", "cpu"), ("vllm", "cuda13"), ("vllm", "cpu")]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A framework and a variant of it."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def text(case: tuple[str, str]) -> str:
    return dockerfile.assemble(load.load(*case))


def test_golden(case: tuple[str, str], text: str) -> None:
    golden = GOLDEN / f"{'-'.join(case)}.Dockerfile"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


def test_golden_package_base() -> None:
    golden = GOLDEN / "base-cuda.Dockerfile"
    text = dockerfile.concatenate("the package base", "debian:12", ("base-cuda",))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_needs_no_registry_and_no_context(text: str) -> None:
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    for line in text.splitlines():
        if line.startswith(("COPY", "ADD")):
            assert "<<" in line


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
    for block in re.findall(r"^RUN .*?^EOT$", text, re.MULTILINE | re.DOTALL):
        if "packages " in block:
            assert "--mount=type=secret,id=ca_bundle,required=false" in block
            assert re.search(r'packages "[^"]+"\s*\\?\s*"[^"]+"', block), block
    assert "/etc/ssl/certs" not in text


def test_nothing_is_chowned_in_the_user_stage(text: str) -> None:
    stage = text[text.index("FROM devel AS user") :]
    assert "chown -R" not in stage
    assert "apt-get" not in stage
    assert "--mount" not in stage


def test_the_same_stages_are_the_same_text() -> None:
    def toolchain(name: str) -> str:
        text = dockerfile.assemble(load.load(name, "cuda13"))
        return text[text.index("FROM scratch AS wheels") : text.index("git lfs install")]

    assert toolchain("cuda") == toolchain("vllm")


def test_a_stage_without_a_file_is_named() -> None:
    broken = replace(load.load("cuda", "cuda13"), stages=("toolchain", "devel-nosuch", "user"))
    with pytest.raises(ConfigError, match="devel-nosuch"):
        dockerfile.assemble(broken)


def test_a_users_framework_brings_its_own_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path))
    (tmp_path / "dockerfiles").mkdir()
    (tmp_path / "dockerfiles/devel-mine.Dockerfile").write_text("FROM toolchain AS devel\n# mine\n")
    (tmp_path / "dockerfiles/user.Dockerfile").write_text("# not this one\n")
    mine = replace(load.load("cuda", "cuda13"), stages=("toolchain", "devel-mine", "user"))
    text = dockerfile.assemble(mine)
    assert "# mine\n" in text
    assert "# not this one" not in text


def test_hadolint(case: tuple[str, str], text: str) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
