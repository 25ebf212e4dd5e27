"""Two builds of the same inputs have the same digest, and nothing that makes another image is missed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devbox.engine.spec import ImageBuild
from devbox.image.buildkit import inputs
from devbox.image.buildkit.inputs import inputs_digest, reads_context

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def build(tmp_path: Path) -> ImageBuild:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN true\n")
    (context / "devcontainer.json").write_text("{}")
    named = tmp_path / "requirements"
    (named / "build").mkdir(parents=True)
    (named / "build/cuda.txt").write_text("torch\n")
    return ImageBuild(
        dockerfile=str(context / "Dockerfile"),
        context=str(context),
        tags=("a:1",),
        target="user",
        args=(("BASE", "debian:12"), ("X", "1")),
        options=(
            "--build-context",
            f"checkout={named}",
            "--secret",
            "id=ca_bundle,src=/a",
            "--build-arg",
            "HTTP_PROXY",
        ),
    )


BASES = {"debian:12": "sha256:1"}


def test_what_makes_no_other_image_is_left_out(build: ImageBuild, tmp_path: Path) -> None:
    digest = inputs_digest(build, BASES)
    assert len(digest) == 64
    # Another tag, label, cache, order of arguments, secret; another file in a context that is not read.
    (tmp_path / "context/devcontainer.json").write_text('{"name": "x"}')
    assert digest == inputs_digest(replace(build, tags=("b:2",), labels=(("a", "b"),), cache_from=("c",)), BASES)
    assert digest == inputs_digest(replace(build, args=build.args[::-1], no_cache=True), BASES)
    options = tuple(option.replace("src=/a", "src=/b") for option in build.options if option != "HTTP_PROXY")[:-1]
    assert digest == inputs_digest(replace(build, options=options), BASES)


def test_what_makes_another_image_changes_it(build: ImageBuild, tmp_path: Path) -> None:
    digests = [inputs_digest(build, BASES)]
    digests.append(inputs_digest(build, {"debian:12": "sha256:2"}))
    digests.append(inputs_digest(replace(build, target="devel"), BASES))
    digests.append(inputs_digest(replace(build, args=(("BASE", "debian:12"), ("X", "2"))), BASES))
    digests.append(inputs_digest(replace(build, options=(*build.options, "--build-arg=Y=2")), BASES))
    (tmp_path / "requirements/build/cuda.txt").write_text("torch==2\n")
    digests.append(inputs_digest(build, BASES))
    (tmp_path / "requirements/new.txt").write_text("")
    digests.append(inputs_digest(build, BASES))
    (tmp_path / "context/Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN false\n")
    digests.append(inputs_digest(build, BASES))
    assert len(set(digests)) == len(digests)


def test_a_context_that_is_read_counts(build: ImageBuild, tmp_path: Path) -> None:
    (tmp_path / "context/Dockerfile").write_text("FROM debian:12\nCOPY . /x\n")
    (tmp_path / "context/a").write_text("1")
    before = inputs_digest(build, BASES)
    (tmp_path / "context/a").write_text("2")
    changed = inputs_digest(build, BASES)
    (tmp_path / "context/a").chmod(0o755)
    assert len({before, changed, inputs_digest(build, BASES)}) == 3


def test_a_large_file_counts_by_size_and_time(
    build: ImageBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "CONTENT_BYTES", 10)
    wheel = tmp_path / "requirements/a.whl"
    wheel.write_text("0123456789ab")
    os.utime(wheel, ns=(1, 1))
    before = inputs_digest(build, BASES)
    wheel.write_text("ba9876543210")
    os.utime(wheel, ns=(1, 1))
    assert inputs_digest(build, BASES) == before
    os.utime(wheel, ns=(2, 2))
    assert inputs_digest(build, BASES) != before


def test_a_tree_of_too_many_files_is_named_only(
    build: ImageBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_FILES", 1)
    (tmp_path / "requirements/b.txt").write_text("1")
    before = inputs_digest(build, BASES)
    (tmp_path / "requirements/b.txt").write_text("2")
    assert inputs_digest(build, BASES) == before


def test_odd_files_are_no_trouble(build: ImageBuild, tmp_path: Path) -> None:
    (tmp_path / "requirements/link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "requirements/pipe")
    assert len(inputs_digest(build, BASES)) == 64


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM a\nRUN true", False),
        ("FROM a\nCOPY --from=b /x /y", False),
        ("FROM a\nCOPY <<'E' /x\nCOPYING\nE", False),
        ("FROM a\nRUN --mount=type=cache,target=/x --mount=type=bind,from=b,target=/y true", False),
        ("FROM a\nRUN --mount=type=secret,id=x true", False),
        ("FROM a\n  copy x /y", True),
        ("FROM a\nADD x /y", True),
        ("FROM a\nCOPY \\\n x /y", True),
        ("FROM a\nRUN --mount=type=bind,target=/x true", True),
        ("FROM a\nRUN --mount=target=/x true", True),
    ],
)
def test_reads_context(dockerfile: str, expected: bool) -> None:
    assert reads_context(dockerfile) is expected
