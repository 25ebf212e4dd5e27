"""The wheel is complete: installed outside the checkout, devbox runs and finds its data."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, or the one that $WHEEL names."""
    if "WHEEL" in os.environ:
        return Path(os.environ["WHEEL"])
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(repository)],
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_code_frameworks_stages_templates_and_licence(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"devbox/__main__.py", "devbox/py.typed"}
    expected |= {f"devbox/frameworks/{path.name}" for path in (repository / "devbox/frameworks").glob("*.toml")}
    expected |= {f"devbox/_data/dockerfiles/{path.name}" for path in (repository / "dockerfiles").glob("*Dockerfile")}
    expected |= {
        f"devbox/_data/templates/{path.relative_to(repository / 'templates')}"
        for path in (repository / "templates").glob("**/*")
        if path.is_file()
    }
    assert expected - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("share/man/man1/devbox.1") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/"))]


def test_it_works_installed_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", str(wheel)], check=True)
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}

    def ask(*argv: str | Path) -> str:
        return subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True).stdout

    assert ask(venv / "bin/devbox", "--version") == f"devbox {wheel.name.split('-')[1]}\n"
    assert (venv / "share/man/man1/devbox.1").is_file()
    code = (
        "import devbox; from devbox.paths import data_dir; print(devbox.__file__); "
        "print(*(file.name for file in data_dir('dockerfiles').iterdir()))"
    )
    place, stages = ask(venv / "bin/python", "-c", code).splitlines()
    assert place.startswith(str(venv))
    assert "toolchain.Dockerfile" in stages.split()
    assert "vllm" in ask(venv / "bin/devbox", "frameworks", "list")
