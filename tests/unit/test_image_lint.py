"""The linter of Dockerfiles: each rule on what it is for, and on what looks like it and is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.cli.app import run
from devbox.frameworks.load import available, variants
from devbox.image.assembly.stage_files import assemble
from devbox.image.dockerfile.ignore import ignore_file
from devbox.image.dockerfile.stages import read_stages
from devbox.image.lint.cuda import release
from devbox.image.lint.linter import RULES, lint
from devbox.image.lint.model import Base, Subject
from devbox.image.lint.shell import assigned, used

if TYPE_CHECKING:
    from devbox.finding import Finding

DOCS = Path(__file__).parents[2] / "docs"


def findings(text: str, **around: object) -> list[Finding]:
    args = around.pop("args", {})
    return lint(Subject("Dockerfile", read_stages(text, args), **around))  # type: ignore[arg-type]


def places(text: str, **around: object) -> list[tuple[str, int]]:
    return [(one.check, one.line) for one in findings(text, **around)]


FOUND = {
    "a global ARG that nothing takes over": (
        "ARG A=1\nARG B=2\nARG C=$B\nFROM x:$C\nRUN true\n",
        [("unused-arg", 1)],
    ),
    "an ARG after the last RUN": ("FROM x\nRUN true\nARG A=1\n", [("unused-arg", 3)]),
    "small letters that nothing names": ("FROM x\nARG max=1\nRUN make\n", [("unused-arg", 2)]),
    "declared again, never read": (
        "FROM x AS a\nARG v\nFROM a\nARG v\nRUN make\n",
        [("unused-arg", 2), ("unused-arg", 4)],
    ),
    "used above its ARG": ("FROM x\nRUN make -j$J\nARG J=4\nRUN ctest -j$J\n", [("arg-order", 2)]),
    "used above its ARG, on a later line": (
        "FROM x\nRUN a && \\\n  make -j${J}\nARG J=4\nENV K=$J\n",
        [("arg-order", 3)],
    ),
    "a global ARG that the stage did not take over": (
        "ARG V=1\nFROM x:$V\nWORKDIR /a/$V\nRUN <<EOT\necho $V\nEOT\n",
        [("arg-order", 3), ("arg-order", 5)],
    ),
    "the platform without its ARG": ("FROM x\nRUN curl a-${TARGETARCH}.tar\n", [("arg-order", 2)]),
    "two equal builds with an ARG between them": (
        "FROM x\nARG S\nRUN if [ $S ]; then make wheel; fi\nARG D=cuda\nENV T=$D\nRUN [ $S ] || make  wheel\n",
        [("late-arg", 4)],
    ),
    "jobs that threads eat up": (
        "FROM x\nARG max_jobs=2\nENV MAX_JOBS=${max_jobs}\nARG nvcc_threads=8\nENV THREADS=$nvcc_threads\nRUN make\n",
        [("jobs-cancel", 2)],
    ),
    "a base of another CUDA": (
        "ARG CUDA_VERSION=12.9.1\nFROM acme/builder:cuda13.0-1 AS a\nARG CUDA_VERSION\nRUN make\n",
        [("cuda-version", 3)],
    ),
    "a secret in an ARG": ("FROM x\nARG HF_TOKEN\nRUN a\n", [("secret-arg", 2)]),
    "a secret in an ENV": ("FROM x\nENV A=1 \\\n    AWS_SECRET_ACCESS_KEY=abc\nRUN a\n", [("secret-arg", 3)]),
    "the repository's folder, mounted": (
        "FROM x\nRUN --mount=type=bind,source=.git,target=.git make\n",
        [("git-mount", 2)],
    ),
    "the repository's folder, copied": ("FROM x\nCOPY a ./.git /b/\n", [("git-mount", 2)]),
    "a comment after an ARG": ("FROM x\nARG A=1 # one of two\nRUN echo $A\n", [("arg-comment", 2)]),
}


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    text, expected = FOUND[case]
    assert places(text) == expected


RIGHT = {
    "a program of a RUN reads it": "FROM x\nARG PIP_INDEX_URL\nRUN pip install a\n",
    "a stage on top reads it": "FROM x AS a\nARG v\nFROM a\nRUN echo $v\n",
    "a flag reads it": "FROM x\nARG v=1\nCOPY --chown=$v a /b\n",
    "the platform of FROM": "ARG P=linux/amd64\nFROM --platform=$P x\nRUN a\n",
    "declared for BuildKit's sake": "FROM x\nARG TARGETARCH\nRUN true\n",
    "a default says what happens without": "FROM x\nRUN ${J:+-j$J} ${K:-}\nENV L=${J:+$J}\nARG J=4 K\nRUN $J $K\n",
    "the shell's own variable": "ARG V=1\nFROM x:$V\nRUN V=$(date) && echo $V; for W in a; do echo $W; done\n",
    "not the shell's to fill in": "ARG V=1\nFROM x:$V\nRUN awk '{ print $V }' f && echo \\$V # $V\n",
    "another program's heredoc": "ARG V=1\nFROM x:$V\nRUN perl <<'E'\nprint $V\nE\nRUN <<E\n#!/bin/perl\n$V\nE\n",
    "the base image has it": "ARG CUDA_VERSION=13.0\nFROM nvidia/cuda:${CUDA_VERSION}-base\nRUN echo $CUDA_VERSION\n",
    "a variable that adds to itself": "FROM x\nENV LD_LIBRARY_PATH=/a:${LD_LIBRARY_PATH}\n",
    "two builds, everything declared first": "FROM x\nARG D\nRUN make all\nENV T=$D\nRUN make all\n",
    "the same words in other folders": "FROM x\nRUN cd a && make install\nARG D\nRUN cd b && make install\n"
    "WORKDIR /c\nRUN make install\nARG E\nRUN git clone u /c && make install\n",
    "one job because it was asked for": "FROM x\nARG MAX_JOBS=1\nARG NVCC_THREADS=8\nRUN make\n",
    "jobs enough": "FROM x\nARG MAX_JOBS=16\nARG NVCC_THREADS=8\nRUN make\n",
    "jobs as the machine has": "FROM x\nARG MAX_JOBS\nARG NVCC_THREADS=8\nRUN make\n",
    "the same CUDA": "FROM nvidia/cuda:13.0.3-devel\nARG CUDA_VERSION=13.0.1\nRUN make\n",
    "a secret that is none": "FROM x\nARG SCCACHE_S3_NO_CREDENTIALS=0\nARG GPG_KEY_URL\nARG PIP_KEYRING_PROVIDER\n"
    "ARG TOKENIZERS_PARALLELISM\nENV HF_TOKEN=\nRUN a\n",
    "a secret as a secret": "FROM x\nRUN --mount=type=secret,id=HF_TOKEN,env=HF_TOKEN a\n",
    ".git of another stage": "FROM x AS src\nRUN a\nFROM x\nRUN --mount=from=src,source=.git,target=/g a\n"
    "COPY --from=src .git /g\n",
    "ignored here": "FROM x\n# devbox ignore=secret-arg,unused-arg\nARG HF_TOKEN\n",
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_right(case: str) -> None:
    assert findings(RIGHT[case]) == []


def test_a_template_is_looked_at_by_the_instruction() -> None:
    text = "ARG A=1\n{% if x %}\nARG HF_TOKEN\n{%- endif %}\nFROM y AS z\nARG never\nRUN true\n"
    assert places(text) == [("template", 2), ("secret-arg", 3)]


def test_an_ignore_is_for_its_instruction_alone() -> None:
    text = "FROM x\n# devbox ignore=secret-arg\nARG A_TOKEN\nARG B_TOKEN\nRUN a\n"
    assert places(text) == [("secret-arg", 4)]


def test_an_argument_that_no_arg_takes_is_named_with_the_one_that_is_meant() -> None:
    text = "FROM x\nARG VLLM_MERGE_BASE_COMMIT\nRUN a\n"
    (one,) = findings(text, args={"VLLM_MERGE_COMMIT": "1", "HTTPS_PROXY": "p", "BUILDKIT_INLINE_CACHE": "1"})
    assert (one.check, one.line, one.severity) == ("undeclared-arg", 0, "warning")
    assert one.remedy == "is VLLM_MERGE_BASE_COMMIT meant?"


def test_arguments_that_are_given_count() -> None:
    text = "FROM x\nARG max_jobs=2\nARG nvcc_threads=8\nRUN make $max_jobs $nvcc_threads\n"
    assert places(text, args={"max_jobs": "16"}) == []
    assert places(text, args={"nvcc_threads": "1"}) == []
    assert places(text, args={"max_jobs": "8"}) == [("jobs-cancel", 2)]


@pytest.mark.parametrize(
    ("own", "base", "severity"), [(114, 0, None), (115, 0, "warning"), (60, 60, "warning"), (70, 60, "error")]
)
def test_layers(own: int, base: int, severity: str | None) -> None:
    text = "FROM x AS a\nENV A=1\n" + "RUN true\n" * (own - 1) + "FROM a\nCOPY --from=a / /\n"
    found = findings(text, bases={"x": Base(base)})
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_the_images_own_variables_are_known_from_the_engine() -> None:
    text = "ARG NAME=1\nFROM x:$NAME\nRUN echo $NAME\n"
    assert places(text) == [("arg-order", 3)]
    assert places(text, bases={"x:1": Base(1, frozenset({"NAME"}))}) == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nvidia/cuda:12.9.1-devel-ubuntu24.04", (12, 9)),
        ("pytorch/manylinux2_28-builder:cuda13.0-78e737", (13, 0)),
        ("nvcr.io/nvidia/cuda-dl-base:25.11-cuda13.0-devel-ubuntu24.04", (13, 0)),
        ("lmsysorg/sglang:v0.5.17-cu130-runtime", (13, 0)),
        ("nvcr.io/nvidia/pytorch:25.08-py3", None),
        ("ubuntu:22.04", None),
        ("a/docu128:1", None),
    ],
)
def test_the_cuda_release_of_an_image(image: str, expected: tuple[int, int] | None) -> None:
    assert release(image) == expected


def test_shell_variables() -> None:
    script = "export A=1 B; C=\"$D 'x $E'\" && echo '$F' ${G#x} \"${H:=1}\" $((I + 1)) \\$J $1 # $K\nread L <f"
    assert used(script) == {"D", "E", "G", "H"}
    assert assigned(script) >= {"A", "C", "H", "L"}


def test_commands_of_a_checkout_are_checked(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/build.md").write_text(
        "```bash\ndocker build . -f docker/Dockerfile \\\n  --build-arg MAX_JOBS=1 \\\n  --build-arg 'PRECOMPILED=1'\n"
        "docker build -f docker/Dockerfile.cpu --build-arg OTHER=1 .\n"
        "docker run --build-arg NO=1 x\n```\n"
    )
    (tmp_path / "ci.yaml").write_text('- "docker buildx build --build-arg ACL=ON --file $FILE ."\n')
    (tmp_path / "build.sh").write_text(
        "podman build --build-arg=ARCH --build-arg http_proxy=x --file docker/Dockerfile .\n"
    )
    subject = Subject("docker/Dockerfile", read_stages("FROM x\nARG MAX_JOBS\nRUN a\n", {}), checkout=tmp_path)
    assert [(one.check, one.path, one.line) for one in lint(subject)] == [
        ("unknown-build-arg", "build.sh", 1),
        ("unknown-build-arg", "docs/build.md", 4),
    ]


BAKE = """\
variable "MAX_JOBS" { default = 16 }
variable "UNUSED" {
  default = "x"  # {
}
target "_common" {
  dockerfile = "docker/Dockerfile"
  args = {
    max_jobs = MAX_JOBS
    # not_this = 1
    ACL      = "${MAX_JOBS}"
  }
}
target "test" {
  inherits = ["_labels", "_common"]
  args     = { OTHER = "1" }
}
target "cpu" {
  dockerfile = "docker/Dockerfile.cpu"
  args = { FOR_CPU = 1 }
}
"""


def test_bake_files_beside_the_dockerfile_are_checked(tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "docker-bake.hcl").write_text(BAKE)
    versions = {"variable": {"MAX_JOBS": {"default": "2"}, "CUDA_VERSION": {"default": "13"}}}
    (folder / "versions.json").write_text(json.dumps(versions, indent=1))
    (folder / "other.json").write_text("[]")
    (folder / "broken.json").write_text("{")
    stages = read_stages("FROM x\nARG max_jobs\nRUN make -j$max_jobs\n", {})
    found = lint(Subject("docker/Dockerfile", stages, checkout=tmp_path))
    assert [(one.severity, one.path, one.line, one.message.split(" ")[0]) for one in found] == [
        ("info", "docker/docker-bake.hcl", 2, "1"),
        ("warning", "docker/docker-bake.hcl", 10, "the"),
        ("warning", "docker/docker-bake.hcl", 15, "the"),
        ("warning", "docker/versions.json", 3, "MAX_JOBS"),
        ("info", "docker/versions.json", 6, "1"),
    ]
    assert (
        found[3].sentence == "MAX_JOBS is 2 here and 16 in docker/docker-bake.hcl: the file that is given last counts"
    )
    assert lint(Subject("docker/Dockerfile.rocm", stages, checkout=tmp_path)) == []
    # A list of values that is written from the Dockerfile may be of another day.
    text = "ARG CUDA_VERSION=12\nARG BASE=nv:$CUDA_VERSION\nFROM $BASE\nARG max_jobs\nRUN make -j$max_jobs\n"
    (folder / "versions.json").write_text(
        '{"variable": {"CUDA_VERSION": {"default": "13"}, "BASE": {"default": "nv:12"}}}'
    )
    for args, expected in (
        ({}, ["CUDA_VERSION is 13 here, and 12 in docker/Dockerfile"]),
        ({"CUDA_VERSION": "13"}, []),
    ):
        found = lint(Subject("docker/Dockerfile", read_stages(text, args), checkout=tmp_path))
        assert [one.message for one in found if " is 13 here" in one.message] == expected


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, size in (("src/a.cu", 10), (".venv-3/lib/x.so", 20_000_000), ("build/y.o", 30_000_000), ("big.bin", 10)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size)
    return tmp_path


def context(checkout: Path, text: str, ignored: str | None = None) -> list[Finding]:
    if ignored is not None:
        (checkout / ".dockerignore").write_text(ignored)
    ignore = ignore_file(checkout / "Dockerfile", checkout)
    return findings(text, context=checkout, ignore=ignore)


def test_what_a_build_uploads(checkout: Path) -> None:
    (one,) = context(checkout, "FROM x\nRUN a\nCOPY . /src\n")
    assert (one.check, one.severity, one.line) == ("context", "warning", 3)
    assert "50 MB in 4 files" in one.message
    assert "build 30 MB, .venv-3 20 MB" in one.message
    assert one.remedy == ".dockerignore: /build /.venv-3"
    assert context(checkout, "FROM x\nCOPY src /src\n") == []
    assert [one.severity for one in context(checkout, "FROM x\nRUN --mount=target=/x a\n")] == ["warning"]


def test_what_the_ignore_file_leaves_out_is_not_uploaded(checkout: Path) -> None:
    everything = "**/.venv*\n**/build\n**/cmake-build-*\n**/.*cache\n.deps\n__pycache__\n"
    assert context(checkout, "FROM x\nCOPY . /src\n", everything) == []
    # What is not there is nobody's concern yet.
    assert context(checkout, "FROM x\nCOPY . /src\n", "/.venv-3\n/build\n") == []
    # A file that belongs to the Dockerfile counts before the context's.
    (checkout / "Dockerfile.dockerignore").write_text("*\n!src\n")
    assert context(checkout, "FROM x\nCOPY . /src\n") == []


def test_a_repository_as_a_file_is_an_error(tmp_path: Path) -> None:
    text = "FROM x\nRUN --mount=type=bind,source=.git,target=.git make\n"
    (tmp_path / ".git").write_text("gitdir: /elsewhere\n")
    (one,) = findings(text, context=tmp_path)
    assert one.severity == "error"
    (tmp_path / ".git").unlink()
    (tmp_path / ".git").mkdir()
    (one,) = findings(text, context=tmp_path)
    assert one.severity == "warning"


def names() -> list[tuple[str, str]]:
    return [(name, one.variant) for name in available() for one in variants(name)]


@pytest.mark.parametrize("case", names(), ids="-".join)
def test_devboxs_own_dockerfiles_are_clean(case: tuple[str, str]) -> None:
    framework = next(one for one in variants(case[0]) if one.variant == case[1])
    stages = read_stages(assemble(framework, images=True), dict(framework.args))
    assert [(one.check, one.line, one.message) for one in lint(Subject("-".join(case), stages))] == []


def test_every_rule_is_documented() -> None:
    page = (DOCS / "stages.md").read_text(encoding="utf-8")
    for rule in RULES:
        name, _, _ = (rule.__doc__ or "").partition(":")
        assert f"| {name} |" in page


def test_the_command_says_where_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM scratch\nARG HF_TOKEN\nCOPY a /b\n")
    assert run(["image", "lint", str(file)]) == 1
    written = capsys.readouterr()
    assert written.out.splitlines()[0].startswith("Dockerfile:2: error: HF_TOKEN looks like a secret")
    assert run(["image", "lint", str(file), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["counts"] == {"error": 1, "warning": 1, "info": 0, "ok": 0}
    assert {one["check"] for one in data["findings"]} == {"secret-arg", "unused-arg"}
    assert run(["image", "lint", str(file), "--fail-on", "never"]) == 0
    file.write_text("FROM scratch\nCOPY <<EOT /b\nx\n")
    assert run(["image", "lint", str(file)]) == 4
    assert f"{file}:2: the heredoc 'EOT' does not end" in capsys.readouterr().err
    file.write_text("# A page\n\nText.\n")
    assert run(["image", "lint", str(file)]) == 4
    assert f"{file} has no FROM" in capsys.readouterr().err
    assert run(["image", "lint", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_graph_is_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "Dockerfile", tmp_path / "stages.svg"
    file.write_text("FROM scratch AS a\nCOPY x /x\nFROM a AS b\n")
    assert run(["image", "graph", str(file), "--output", str(picture)]) == 0
    assert picture.read_text().startswith("<svg ")
    assert run(["image", "graph", str(file), "--output", str(picture), "--check"]) == 0
    file.write_text("FROM scratch AS a\nCOPY x /x\nFROM a AS c\n")
    assert run(["image", "graph", str(file), "--output", str(picture), "--check"]) == 8
    capsys.readouterr()
    assert run(["image", "graph", str(file), "--output", str(tmp_path / "stages.png")]) == 2
    assert "stages.png does not say what to write by its suffix: .svg, .mmd" in capsys.readouterr().err
    assert not (tmp_path / "stages.png").exists()
    assert run(["image", "graph", str(file), "--format", "mermaid", "--no-sizes"]) == 0
    assert capsys.readouterr().out.startswith("flowchart TB\n")
    assert run(["image", "graph", str(file), "--json", "--target", "a"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [node["name"] for node in data["nodes"]] == ["a"]
    assert run(["image", "graph", str(file), "--check"]) == 2


def test_a_framework_of_the_checkouts_own_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "devbox.toml").write_text('framework = "mine"\n[frameworks.mine]\nextends = "cuda"\n')
    assert run(["image", "lint", "--workspace", str(tmp_path)]) == 0
    assert "0 findings" in capsys.readouterr().err
    assert run(["image", "lint", "--workspace", str(tmp_path), "--framework", "mine", "--variant", "none"]) == 2
    assert "no variant of mine called 'none'" in capsys.readouterr().err
