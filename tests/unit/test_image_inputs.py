"""Two builds of the same inputs have the same digest, and nothing that makes another image is missed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.engine.spec import ImageBuild
from devbox.errors import ContractError
from devbox.image.buildkit import inputs
from devbox.image.buildkit.inputs import inputs_digest, inputs_of
from devbox.image.dockerfile.stages import context_reads, read_stages

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def build(tmp_path: Path) -> ImageBuild:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY --from=checkout . /r\n")
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
    (tmp_path / "context/Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY --from=checkout . /s\n")
    digests.append(inputs_digest(build, BASES))
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("named", [True, False])
def test_a_context_that_is_no_folder_is_not_looked_for_elsewhere(
    build: ImageBuild, tmp_path: Path, named: bool
) -> None:
    gone = str(tmp_path / "a@b.c:d.git")
    build = replace(build, target=None, **{"contexts": (("other", gone),)} if named else {"context": gone})
    with pytest.raises(ContractError, match="is no folder"):
        inputs_of(build, {}, text="FROM debian\nCOPY --from=other . /\nCOPY . /\n")


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


def test_a_tree_of_too_many_files_counts_by_times_and_is_said(
    build: ImageBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "requirements/b.txt"
    file.write_text("1")
    assert inputs_of(build, BASES).notes == ()
    monkeypatch.setattr(inputs, "MAX_FILES", 1)
    os.utime(file, ns=(1, 1))
    before = inputs_of(build, BASES)
    (note,) = before.notes
    assert f"files of {tmp_path / 'requirements'}: above 1 they count by size and time" in note
    os.utime(file, ns=(2, 2))
    assert inputs_digest(build, BASES) != before.digest


CONTEXT = (
    "a.txt", "b.txt", "src/one.c", "src/two.h", "src/deep/three.c", "docs/x.md", "out/big", "out/keep/y", "odd/[z]",
    "link@src/deep", "far@../elsewhere", "alias@a.txt", "src/inner@../a.txt", "empty/", ".git/HEAD",
)  # fmt: skip


@pytest.fixture
def context(build: ImageBuild, tmp_path: Path) -> Callable[..., set[str]]:
    """Return what makes another image of a Dockerfile: those files of CONTEXT that change the digest when changed."""
    top = tmp_path / "context"
    for name in CONTEXT:
        path, at, leads = name.partition("@")
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        if at:
            (top / path).symlink_to(leads)
        elif name.endswith("/"):
            (top / name).mkdir()
        else:
            (top / path).write_text("1")
    (tmp_path / "elsewhere").write_text("1")

    def counted(dockerfile: str, ignore: str = "", beside: str | None = None, **options: Any) -> set[str]:
        (top / "Dockerfile").write_text(dockerfile)
        (top / ".dockerignore").write_text(ignore)
        (top / "Dockerfile.dockerignore").unlink(missing_ok=True)
        if beside is not None:
            (top / "Dockerfile.dockerignore").write_text(beside)
        made = replace(build, target=None)
        before = inputs_of(made, {}, **options).digest
        found = set()
        for name in CONTEXT:
            path = top / name.partition("@")[0]
            if path.is_file() and not path.is_symlink():
                path.write_text("2")
                if inputs_of(made, {}, **options).digest != before:
                    found.add(name)
                path.write_text("1")
        return found

    return counted


SOURCES = {"src/one.c", "src/two.h", "src/deep/three.c"}


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM a\nCOPY a.txt /", {"a.txt"}),
        ('FROM a\nCOPY ["a.txt", "b.txt", "/"]', {"a.txt", "b.txt"}),
        ("FROM a\nADD --chmod=755 ./src/ /x", SOURCES),
        ("FROM a\nCOPY src/*.c *.txt /x/", {"src/one.c", "a.txt", "b.txt"}),
        ("FROM a\nCOPY src/[^o]*.[ch] /x/", {"src/two.h"}),
        ("FROM a\nCOPY --parents src/**/*.c /x/", {"src/one.c", "src/deep/three.c"}),
        ("FROM a\nCOPY /../a.txt /x", {"a.txt"}),
        ("FROM a\nARG F=b\nENV E=.txt\nCOPY $F${E} /x", {"b.txt"}),
        ("FROM a\nARG X\nCOPY ${X}.txt /x", {"a.txt"}),
        ("ARG D=docs\nFROM a\nARG D\nCOPY ${D} /x", {"docs/x.md"}),
        ("FROM a\nRUN --mount=type=bind,source=docs,target=/d true", {"docs/x.md"}),
        ("FROM a\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s true", set()),
        ("FROM a\nCOPY <<a.txt /x\nb.txt\na.txt", set()),
        ("FROM a\nADD https://x/a.txt /x", set()),
        ("FROM a\nONBUILD COPY a.txt /", {"a.txt"}),
        ("FROM a\nCOPY link/three.c /x", {"src/deep/three.c"}),
        ("FROM a\nCOPY link /x", {"src/deep/three.c"}),
        ("FROM a\nCOPY far alias /x", {"a.txt"}),
        ("FROM a AS x\nCOPY a.txt /\nFROM a AS y\nCOPY b.txt /\nFROM x\nCOPY --from=y /b /", {"a.txt", "b.txt"}),
        ("FROM a AS unused\nCOPY a.txt /\nFROM a\nCOPY b.txt /", {"b.txt"}),
        ("FROM a\nCOPY --from=b a.txt /", set()),
        ("FROM a\nCOPY gone.txt a.txt /", {"a.txt"}),
    ],
)  # fmt: skip
def test_what_the_dockerfile_copies_counts(
    context: Callable[..., set[str]], build: ImageBuild, dockerfile: str, expected: set[str]
) -> None:
    # An argument's value, here X=1, is the build's own.
    (Path(build.context) / "1.txt").symlink_to("a.txt")
    assert context(dockerfile) == expected


@pytest.mark.parametrize(
    ("ignore", "beside", "expected"),
    [
        ("", None, {*SOURCES, "a.txt", "b.txt", "docs/x.md", "out/big", "out/keep/y", "odd/[z]"}),
        ("out\n*.txt\n# src\n**/*.c\n", None, {"src/two.h", "docs/x.md", "odd/[z]"}),
        ("out\n!out/keep\n*.txt\nsrc\ndocs\nodd", None, {"out/keep/y"}),
        ("*\n!src\nsrc/deep", None, {"src/one.c", "src/two.h"}),
        ("*\n!**/*.md", None, {"docs/x.md"}),
        ("*", "*\n!a.txt", {"a.txt"}),
    ],
)
def test_what_the_ignore_file_leaves_out_does_not_count(
    context: Callable[..., set[str]], ignore: str, beside: str | None, expected: set[str]
) -> None:
    assert context("FROM a\nCOPY . /x", ignore, beside) == expected


def test_an_image_may_copy_when_it_is_built_on(context: Callable[..., set[str]]) -> None:
    assert context("FROM a\n", triggers=["COPY a.txt /", "RUN true"]) == {"a.txt"}


def test_modes_links_and_empty_folders_count(build: ImageBuild, tmp_path: Path) -> None:
    (tmp_path / "context/Dockerfile").write_text("FROM a\nCOPY x /x\n")
    folder = tmp_path / "context/x"
    folder.mkdir()
    found = [inputs_digest(build, BASES)]
    (folder / "empty").mkdir()
    found.append(inputs_digest(build, BASES))
    (folder / "link").symlink_to("a")
    found.append(inputs_digest(build, BASES))
    (folder / "file").write_text("")
    found.append(inputs_digest(build, BASES))
    (folder / "file").chmod(0o600)
    found.append(inputs_digest(build, BASES))
    assert len(set(found)) == len(found)


def test_of_a_named_context_what_is_copied_counts(build: ImageBuild, tmp_path: Path) -> None:
    (tmp_path / "context/Dockerfile").write_text("FROM a\nCOPY --from=checkout build/cuda.txt /\n")
    before = inputs_digest(build, BASES)
    (tmp_path / "requirements/other").write_text("")
    assert inputs_digest(build, BASES) == before
    (tmp_path / "context/Dockerfile").write_text("FROM checkout\n")
    before = inputs_digest(build, BASES)
    (tmp_path / "requirements/other").write_text("2")
    assert inputs_digest(build, BASES) != before


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
    assert bool(context_reads(read_stages(dockerfile, {}), None).get("")) is expected
