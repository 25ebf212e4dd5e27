"""What was recorded of projects' own scripts: read as docker reads it, and each difference has a reason."""

from __future__ import annotations

import json
import tomllib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest

from devbox.paths import cache_dir
from tests.trees.conformance import DATA, differences, facts, moved

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = sorted((DATA / "conformance").glob("*.json"))
SAID = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in RECORDED}
PAGES = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in (DATA / "migration").glob("*.toml")}


@pytest.mark.parametrize("name", SAID)
def test_each_difference_has_a_reason(name: str) -> None:
    page = PAGES[SAID[name]["system"]]
    found = [(row["was"], one) for row in SAID[name]["rows"] for one in differences(page, row)]
    assert [text for text in found if not text[1].why] == []
    # The lines are those of the page as it is now: a changed command is recorded anew.
    lines = {(row["was"], row.get("devbox")) for table in page["tables"] for row in table["rows"]}
    assert {(row["was"], row["devbox"]) for row in SAID[name]["rows"]} <= lines


def test_no_recording_knows_the_machine_that_made_it(tmp_path: Path) -> None:
    assert [name for name, said in SAID.items() if "/.cache/devbox/" in json.dumps(said)] == []
    there = f"{cache_dir()}/sources/0a1b2c3d4e5f/{tmp_path.name}"
    (fact, *_) = facts(f"docker build --build-context source={there} .", tmp_path)
    assert fact == "build build-context source={cache}/sources/{hash}/{tree}"


def test_no_reason_is_left_over() -> None:
    for system in {said["system"] for said in SAID.values()}:
        page = PAGES[system]
        rows = [row for said in SAID.values() if said["system"] == system for row in said["rows"]]
        told = [f"{one.side} {one.fact}" for row in rows for one in differences(page, row)]
        left = [one["what"] for one in page["reasons"] if not any(fnmatchcase(text, one["what"]) for text in told)]
        assert left == []


def test_a_script_s_lines_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    text = (
        'echo "docker build no"\n'
        'DOCKER_BUILDKIT=1 docker build --pull \\\n --build-arg A="x y" --target dev --file D ..\n'
        "if [ 1 = 0 ]; then echo a; docker push a:1; fi\n"
        "if [ 1 = 1 ]; then docker tag a:1 b:1; docker push b:1; fi\n"
        "docker run --rm -it --gpus='\"device=0\"' -v /a:/b --env C=1 a:1 sh -c 'x; docker y\n'\n"
    )
    assert facts(text, tmp_path, "docker") == [
        "build --pull",
        "build build-arg A=x y",
        "build file docker/D",
        "build of {tree}",
        "build target dev",
        "push of b:1",
        "run --rm",
        "run -it",
        "run env C=1",
        'run gpus "device=0"',
        "run mount /b",
        "run of a:1 sh -c x; docker y\n",
        "tag of a:1 b:1",
    ]


def test_a_changed_value_needs_a_reason_of_its_own() -> None:
    page = {"reasons": [{"what": "there build build-arg *", "why": "left out"}]}
    row = {"devbox": "devbox image build --upstream", "there": ["build build-arg A=1", "build build-arg B=1"]}
    row["here"] = ["build build-arg A=2"]
    assert [(one.fact, one.why) for one in differences(page, row)] == [
        ("changed build build-arg A=1", ""),
        ("build build-arg B=1", "left out"),
        ("changed build build-arg A=2", ""),
    ]
    assert [*moved({"rows": [{"was": "x", **row}]}, {"rows": [{"was": "x", **row, "here": []}]})] == [
        "x: here no more: build build-arg A=2"
    ]
