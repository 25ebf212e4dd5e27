"""The house is as its design says: folders, stage files, words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Unfinished business, and what a merge leaves behind.
FORBIDDEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|^(<{7}|>{7}|={7}) ?", re.MULTILINE)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".Dockerfile", ".txt", ".json", ".cu", ".cpp", ".hpp", ".cuh"}


def sources(repository: Path) -> list[Path]:
    """Return the files of the checkout that git does not ignore; all of them where there is no git."""
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := repository / name).is_file()]


@pytest.mark.parametrize("folder", ["devbox", "devcontainers", "dockerfiles", "templates", "tests", "bench", "docs"])
def test_a_fresh_clone_has_the_folder(repository: Path, folder: str) -> None:
    assert any(path.is_relative_to(repository / folder) for path in sources(repository)), (
        f"git keeps no empty folder: put a file into {folder}/"
    )


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"]
)
def test_a_fresh_clone_has_the_file(repository: Path, name: str) -> None:
    assert (repository / name).stat().st_size > 0


def test_no_stage_needs_a_frontend_from_a_registry(repository: Path) -> None:
    stages = sorted((repository / "dockerfiles").glob("*Dockerfile"))
    assert stages
    for stage in stages:
        assert not re.search(r"^#\s*syntax\s*=", stage.read_text(), re.MULTILINE | re.IGNORECASE), stage.name


def test_every_stage_of_every_framework_is_there(repository: Path) -> None:
    for framework in sorted((repository / "devbox/frameworks").glob("*.toml")):
        for stage in tomllib.loads(framework.read_text()).get("stages", ()):
            assert (repository / "dockerfiles" / f"{stage}.Dockerfile").is_file(), f"{framework.name} names {stage}"


def test_each_room_has_a_line_about_itself(repository: Path) -> None:
    for package in sorted((repository / "devbox").glob("**/__init__.py")):
        assert package.read_text().startswith('"""'), package


def test_the_architecture_page_names_each_room_and_nothing_that_is_gone(repository: Path) -> None:
    page = (repository / "docs/architecture.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    named = {*re.findall(r"`([\w./-]+\.py)`", page), *re.findall(r"`([\w./-]+)/`", rows)}
    files = {path.relative_to(repository) for path in sources(repository)}
    there = {f"/{path}" for file in files for path in (file, *file.parents)}
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []
    # Packages and modules of these rooms have a row each; those of others are found by their names.
    for room in ("devbox", "devbox/container", "devbox/image", "devbox/agent"):
        found = {file.relative_to(room).parts[0] for file in files if file.is_relative_to(room)}
        known = {name.rpartition("/")[2] for name in named}
        assert [name for name in sorted(found) if name.endswith(".py") and name[0] != "_" and name not in known] == []
        assert [name for name in sorted(found) if "." not in name and name[0] != "_" and name not in known] == []


def test_nothing_is_left_unfinished(repository: Path) -> None:
    found = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:100]}"
        for path in sources(repository)
        if path.suffix in TEXT and path.name != "test_house.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not found, "\n".join(found)


def test_relative_links_of_the_docs_lead_somewhere(repository: Path) -> None:
    for page in [path for path in sources(repository) if path.suffix == ".md"]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(repository)} links to {target}"


# `error.code` of a kind of errors, wherever it is declared.
_KIND = re.compile(r'^    code = "(\w+)"', re.MULTILINE)


def test_every_exit_code_is_documented(repository: Path) -> None:
    from devbox import errors

    page = (repository / "docs/reference/exit-codes.md").read_text()
    for name, value in vars(errors).items():
        if name.startswith("EXIT_"):
            assert re.search(rf"^\| {value} \|", page, re.MULTILINE), f"{name} = {value}"
    kinds = [kind for path in (repository / "devbox").rglob("*.py") for kind in _KIND.findall(path.read_text("utf-8"))]
    assert len(kinds) > 10
    for kind in kinds:
        assert f"`{kind}`" in page, kind


def test_generated_pages_are_up_to_date(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, repository / "docs/generate.py", "--check"],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
