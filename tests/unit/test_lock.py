"""What CI installs is what the lock names, file by file, and the lock is of what pyproject.toml asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path


def test_the_lock_has_each_requirement_in_a_version_that_it_allows_by_hashes(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    wanted += project["build-system"]["requires"]
    text = (repository / ".ci/requirements.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    locked = {entry.partition("==")[0]: entry for entry in entries}
    for requirement in map(Requirement, wanted):
        entry = locked[canonicalize_name(requirement.name)]
        assert re.split(r"==|[\s;]", entry)[1] in requirement.specifier, requirement
    assert len(entries) == len(locked)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_the_environment_is_made_by_the_lock_alone(repository: Path) -> None:
    script = (repository / ".ci/ensure-venv").read_text()
    installs = [line for line in script.splitlines() if '/bin/pip" install' in line]
    assert len(installs) == 2
    assert "--require-hashes --requirement .ci/requirements.txt" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_a_file_with_another_hash_is_not_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    wheel.write_bytes(b"swapped")
    (tmp_path / "lock").write_text(f"a==1.0 --hash=sha256:{'0' * 64}\n")
    argv = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--require-hashes"]
    done = subprocess.run(
        [*argv, "--target", str(tmp_path / "t"), "-r", str(tmp_path / "lock")],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode != 0
    assert "HASH" in done.stderr.upper()


@pytest.mark.slow
def test_the_bill_of_materials_names_the_wheel_and_all_that_it_needs(repository: Path, tmp_path: Path) -> None:
    import hashlib
    import json

    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    digests = set()
    for name in ("one", "two"):
        subprocess.run([sys.executable, *build, str(tmp_path / name), str(repository)], check=True)
        (wheel,) = (tmp_path / name).glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    # Built twice it is the same: who builds the same commit can compare.
    (digest,) = digests
    argv = [sys.executable, ".ci/sbom.py", str(wheel), ".ci/requirements.txt"]
    text = subprocess.run(argv, cwd=repository, check=True, capture_output=True, text=True).stdout
    sbom = json.loads(text)
    assert sbom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    named = {one["name"]: one for one in sbom["components"]}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert {canonicalize_name(Requirement(one).name) for one in project["dependencies"]} <= named.keys()
    assert "pytest" not in named
    assert all(one["hashes"] and one["licenses"] and one["version"] in one["purl"] for one in named.values())
    refs = {one["bom-ref"] for one in (*sbom["components"], sbom["metadata"]["component"])}
    assert {one["ref"] for one in sbom["dependencies"]} == refs
