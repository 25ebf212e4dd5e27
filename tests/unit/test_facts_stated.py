"""What a checkout states: assignments, and a Makefile that is read as make reads it, without running anything."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from devbox.errors import UsageError
from devbox.facts.dockerfile import default, taken
from devbox.facts.makefile import Makefile, read_makefile
from devbox.facts.stated import Stated, assigned, pinned, table, text_of
from devbox.frameworks import stated
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from pathlib import Path

GROOVY = """\
// LLM_DOCKER_IMAGE = "a comment"
LLM_DOCKER_IMAGE = env.dockerImage
LLM_SBSA_DOCKER_IMAGE = "r.org/team/ci:sbsa-1"
def OTHER = 'r.org/other:1'
BUILT = "${BASE}/x:1"
"""
PROPERTIES = """\
# a comment
IMAGE_NAME=r.org/team/ci
LLM_DOCKER_IMAGE=r.org/team/ci:x86_64-1
"""
# The forms in which the Makefiles of such projects are written: defaults out of a Dockerfile, variables of patterns,
# conditionals, functions, and lines that only a shell can answer.
MAKEFILE = r"""
BASE_IMAGE ?= $(shell grep '^ARG BASE_IMAGE=' Dockerfile.multi | grep -o '=.*' | tr -d '="')
BASE_TAG   ?= $(shell grep '^ARG BASE_TAG=' Dockerfile.multi | grep -o '=.*' | tr -d '="')
# A comment.
ARCHS      ?= $(if $(filter arm64,$(PLATFORM)),'90-real;100-real',)
OPTS       ?=
CLEAN      ?= $(shell grep 'ARG CLEAN=' Dockerfile.multi | grep -o '=.*' | tr -d '="')
WHEEL_ARGS ?= $(CLEAN) -s$(if $(ARCHS), --arch $(ARCHS))$(if $(OPTS), $(OPTS))
VERSION    ?= $(shell grep '^__version__' ../pkg/version.py | grep -o '=.*' | tr -d '= "')
WHEN       ?= $(shell date +%s)
LOCAL      ?= 0
STAGE      ?=
CI         ?= 0
ifeq ($(LOCAL),1)
SUFFIX     ?= -local
else
SUFFIX     ?= -none
endif
SUFFIX     += more
define unused
	echo $(1)
endef

%_build: FROM_IMAGE = $(if $(findstring 1,$(CI)),$(shell . ../ci/tags.properties && echo $$CI_IMAGE))
%_build:
	@echo "Building $(STAGE)"
	docker buildx build --pull \
		$(if $(BASE_IMAGE), --build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		$(if $(BASE_TAG), --build-arg BASE_TAG=$(BASE_TAG)) \
		$(if $(WHEEL_ARGS), --build-arg WHEEL_ARGS="$(WHEEL_ARGS)") \
		$(if $(VERSION), --build-arg VERSION="$(VERSION)") \
		--build-arg WHEN="$(WHEN)" --build-arg SUFFIX="$(SUFFIX)" \
		$(if $(FROM_IMAGE), --build-arg FROM_IMAGE="$(FROM_IMAGE)") \
		$(if $(STAGE), --target $(STAGE)) --file Dockerfile.multi ..

devel_%: STAGE = devel
release_%: STAGE = release
ci_%: STAGE = devel
ci_%: FROM_IMAGE = $(shell . ../ci/tags.properties && echo $$CI_IMAGE)
jammy_%: STAGE = devel
jammy_%: BASE_IMAGE = nvidia/cuda
jammy_%: BASE_TAG = 12.5-jammy
run: devel_run ;
"""
FILES = {
    "docker/Dockerfile.multi": 'ARG BASE_IMAGE=nv/pytorch\nARG BASE_TAG=24.07\nFROM x\n ARG CLEAN="--clean -b"\n',
    "docker/Makefile": MAKEFILE,
    "pkg/version.py": '__version__ = "0.13.0.dev1"\n',
    "ci/tags.properties": "CI_IMAGE=r.org/ci:7\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read(tree: Path, **given: str) -> Makefile:
    found = read_makefile(tree, "docker/Makefile", given)
    assert found is not None
    return found


def test_the_values_that_a_checkout_names(tmp_path: Path) -> None:
    (tmp_path / "t.properties").write_text(PROPERTIES)
    (tmp_path / "ci.groovy").write_text(GROOVY)
    (tmp_path / "version.py").write_text('# (c)\n__version__ = "1.2.0rc3"  # next\n')
    (tmp_path / "binary").write_bytes(b"\xff\x00KEY=1\n\nKEY=2\n")

    def named(files: tuple[str, ...], key: str) -> str | None:
        found = assigned(tmp_path, files, key)
        return None if found is None else found.value

    both = ("gone", "t.properties", "ci.groovy")
    assert assigned(tmp_path, both, "LLM_DOCKER_IMAGE") == Stated(
        "LLM_DOCKER_IMAGE", "r.org/team/ci:x86_64-1", "t.properties", 3
    )
    # What is computed in a source file is no value.
    assert named(("ci.groovy",), "LLM_DOCKER_IMAGE") is None
    assert named(("ci.groovy",), "BUILT") is None
    assert named(both, "LLM_SBSA_DOCKER_IMAGE") == "r.org/team/ci:sbsa-1"
    assert named(both, "OTHER") == "r.org/other:1"
    assert named(("version.py",), "__version__") == "1.2.0rc3"
    assert named(("binary",), "KEY") == "2"
    assert named(both, "NOPE") is None


def test_no_fact_is_read_through_a_link_out_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "secret").write_text("KEY=1\n")
    (tmp_path / "tree/a").symlink_to("../secret")
    assert text_of(tmp_path / "tree", "a") is None
    assert text_of(tmp_path / "tree", "../secret") is None
    assert text_of(tmp_path / "tree", "a\0") is None
    assert assigned(tmp_path / "tree", ("a",), "KEY") is None


def test_a_target_s_arguments_come_with_where_they_stand(tree: Path) -> None:
    makefile = read(tree, ARCHS="90-real", OPTS="-j 4")
    found = makefile.arguments("jammy_build")
    assert found["BASE_TAG"] == Stated(
        "BASE_TAG", "12.5-jammy", "docker/Makefile", 1 + MAKEFILE[: MAKEFILE.index("12.5-j")].count("\n")
    )
    assert {name: one and one.value for name, one in found.items()} == {
        "BASE_IMAGE": "nvidia/cuda",
        "BASE_TAG": "12.5-jammy",
        "WHEEL_ARGS": "--clean -b -s --arch 90-real -j 4",
        "VERSION": "0.13.0.dev1",
        # What a program would have to be asked for is not known.
        "WHEN": None,
        "SUFFIX": "-none more",
    }
    assert makefile.prefixes() == ("devel", "release", "ci", "jammy")
    stage = makefile.stated("STAGE", "release_build", "jammy_build")
    assert stage is not None
    assert stage.value == "release"
    # What the first target does not say, the next one does.
    assert makefile.arguments("release_build", "jammy_build")["BASE_TAG"] == found["BASE_TAG"]


def test_nothing_outside_the_checkout_is_read(tree: Path) -> None:
    (tree / "docker/Makefile").write_text(
        "A = $(shell grep 'x=' ../../passwd)\n%_build:\n\tdocker build --build-arg A=$(A) .\n"
    )
    assert read(tree).arguments("devel_build") == {"A": None}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["devel", "release", "ci", "jammy", "nobodys"])
@pytest.mark.parametrize(
    "given", [{}, {"ARCHS": "90-real"}, {"PLATFORM": "arm64"}, {"CI": "1"}, {"LOCAL": "1", "OPTS": "-j 2"}]
)
def test_it_is_read_as_make_reads_it(tree: Path, target: str, given: dict[str, str]) -> None:
    asked = [
        "make",
        "-n",
        "-C",
        str(tree / "docker"),
        f"{target}_build",
        *(f"{name}={value}" for name, value in given.items()),
    ]
    said = subprocess.run(asked, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout
    words = shlex.split(re.sub(r"\\\n", " ", said))
    pairs = dict(value.split("=", 1) for word, value in pairwise(words) if word == "--build-arg")
    del pairs["WHEN"]
    found = read(tree, **given).arguments(f"{target}_build")
    # Where the local user's own suffix is decided, make takes what is said for it.
    assert {name: one.value for name, one in found.items() if one} == pairs


def test_a_makefile_takes_no_time_and_no_pattern_breaks_it(tmp_path: Path) -> None:
    lines = ["V0 =", "W0 = x" * 9, *(f"V{one} = {f'$(V{one - 1})' * 9}" for one in range(1, 30))]
    lines += [f"W{one} = {f'$(W{one - 1})' * 9}" for one in range(1, 30)]
    (tmp_path / "Makefile").write_text("\n".join([*lines, "B = $(shell grep '[' Makefile)", "C = c", ""]))
    found = read_makefile(tmp_path, "Makefile", {})
    assert found is not None
    assert [found.stated(name) for name in ("W29", "B")] == [None, None]
    assert found.stated("V29") == Stated("V29", "", "Makefile", 31)
    assert found.stated("C") == Stated("C", "c", "Makefile", len(lines) + 2)


def test_a_pipe_states_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert text_of(tmp_path, "pipe") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("R = $(filter a,b,a c)", ""),
        ("R = $(filter 1.%,1.2 3)", "1.2"),
        ("R = $(strip a,b)", "a,b"),
        ("X = 1\nifneq (,$(filter 2,$(X)))\nR = yes\nelse\nR = no\nendif", "no"),
        ('X = 1\nifeq "$(X)" "1"\nR = yes\nelse\nR = no\nendif', "yes"),
        ("X = 1\nifeq ($(X),1)\nR = 1\nelse ifeq ($(X),2)\nR = 2\nelse\nR = 3\nendif", "1"),
        ("X = 3\nifeq ($(X),1)\nR = 1\nelse ifeq ($(X),2)\nR = 2\nelse\nR = 3\nendif", "3"),
        # What is not understood is not known, and nothing is made up for it.
        ("X = v1\nR = $(X:v%=%)", None),
        ("R != echo 1", None),
        ("X = $(shell uname)\nR = $(shell grep a $(X))", None),
        ("R = $(shell grep '[' file)", None),
        ("R = $(shell grep a file | tr -d '\\n')", None),
        # Nor is one of two branches taken where it is not known which make would take.
        ("X = $(shell uname)\nifeq ($(X),Linux)\nR = a\nelse\nR = b\nendif", None),
        ("R = 0\nX = $(shell uname)\nifeq ($(X),Linux)\nR += a\nendif", None),
        ("X = $(shell uname)\nifeq ($(X),Linux)\nR = a\nelse ifdef X\nR = b\nelse\nR = c\nendif", None),
        ("X = $(shell uname)\nifeq ($(X),Linux)\nR = a\nendif\nR = c", "c"),
        ("X = 1\nY = $(shell uname)\nifeq ($(X),1)\nR = a\nelse ifeq ($(Y),Linux)\nR = b\nendif", "a"),
        ("R = $(if $(shell uname),a,b)", None),
        ("Y =\nX = $(Y)\nifdef X\nR = a\nendif", "a"),
        ("R += a\nR ?= b", "a"),
        ("R += a\nR = b", "b"),
    ],
)
def test_odd_lines_are_read_as_make_reads_them_or_not_at_all(tmp_path: Path, text: str, value: str | None) -> None:
    (tmp_path / "file").write_text("banana\n")
    (tmp_path / "Makefile").write_text(f"{text}\n")
    makefile = read_makefile(tmp_path, "Makefile", {})
    assert makefile is not None
    found = makefile.stated("R")
    assert (None if found is None else found.value) == value


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["dev_build", "dev_arm_build", "plain_build"])
def test_what_a_target_adds_is_added_to_what_all_have(tmp_path: Path, target: str) -> None:
    text = (
        "A = all\nA += more\nB ?= b\n"
        "%_build: A += built\ndev_%: A += dev\ndev_%: B = mine\ndev_arm_%: B += arm\n"
        "%_build:\n\tdocker build --build-arg A='$(A)' --build-arg B='$(B)' .\n"
    )
    (tmp_path / "Makefile").write_text(text)
    said = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    makefile = read_makefile(tmp_path, "Makefile", {})
    assert makefile is not None
    found = makefile.arguments(target)
    assert [f"{name}={one.value}" for name, one in found.items() if one] == shlex.split(said)[3:7:2]


def test_what_is_handed_over_only_on_an_unknown_condition_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "X = $(shell uname)\n%_build:\n"
        "\tdocker build $(if $(X), --build-arg A=1 --build-arg B='2 3') --build-arg C=4 .\n"
        "ifeq ($(X),Linux)\npush_%:\n\tdocker build --build-arg D=5 .\nendif\n"
    )
    makefile = read_makefile(tmp_path, "Makefile", {})
    assert makefile is not None
    found = {name: one and one.value for name, one in makefile.arguments("a_build").items()}
    assert found == {"A": None, "B": None, "C": "4"}
    assert makefile.arguments("push_a") == {"D": None}


def test_a_variable_made_of_itself_or_of_very_many_ends(tmp_path: Path) -> None:
    doubled = "\n".join(f"A{number} = $(A{number - 1})$(A{number - 1})" for number in range(1, 36))
    (tmp_path / "Makefile").write_text(f"R := $(if $(R),$(R),y)\nA0 = x\n{doubled}\n")
    makefile = read_makefile(tmp_path, "Makefile", {})
    assert makefile is not None
    assert makefile.stated("R") is None
    assert makefile.stated("A35") is None


# The forms in which such files give up on a release that they do not know.
REFUSES = """\
ARG CUDA_VERSION=13.0.1
ARG PLAIN
FROM nvidia/cuda:${CUDA_VERSION} AS base
RUN case "$CUDA_VERSION" in \\
        12.6.1) CUINDEX=126 ;; \\
        12.8.1|12.9.1) \\
          CUINDEX=129 \\
          ;; \\
        13.*) CUINDEX=130 ;; \\
        11.8.0) echo "no more" && exit 1 ;; \\
        *) echo "Unsupported CUDA version: $CUDA_VERSION" && exit 1 ;; \\
    esac
RUN case ${CUDA_VERSION} in 12.8.1 | 12.9.1 | 13.0.1) true ;; *) exit 1;; esac
RUN case "$TARGETARCH" in amd64) A=x ;; *) A=y ;; esac
"""


def test_a_dockerfile_says_which_values_it_takes(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(REFUSES)
    assert default(tmp_path, "Dockerfile", "CUDA_VERSION") == Stated("CUDA_VERSION", "13.0.1", "Dockerfile", 1)
    assert default(tmp_path, "Dockerfile", "PLAIN") is None
    found = taken(tmp_path, "Dockerfile", "CUDA_VERSION")
    assert [(one.value, one.line) for one in found] == [("12.8.1", 13), ("12.9.1", 13), ("13.0.1", 13)]
    # What takes anything refuses nothing.
    assert taken(tmp_path, "Dockerfile", "TARGETARCH") == ()
    assert taken(tmp_path, "gone", "CUDA_VERSION") == ()


@pytest.mark.parametrize(
    ("variant", "cuda", "text", "value"),
    [
        ("cuda13", None, REFUSES.replace("13.*", "13.0.1"), "13.0.1"),
        ("cuda12", None, REFUSES, "12.9.1"),
        ("cuda13", "12.8", REFUSES, "12.8.1"),
        # Where nothing is refused the default counts for its release, and devbox's constant for another.
        ("cuda13", None, "ARG CUDA_VERSION=13.0.9\nFROM x:$CUDA_VERSION\n", "13.0.9"),
        ("cuda12", None, "ARG CUDA_VERSION=13.0.9\nFROM x:$CUDA_VERSION\n", "12.9.2"),
        # A checkout that is older than the variant's release is built as it says.
        ("cuda13", None, 'FROM x\nRUN case "$CUDA_VERSION" in 12.4.1) true ;; *) exit 1 ;; esac\n', None),
    ],
)
def test_a_dockerfile_is_told_a_release_that_it_takes(
    tmp_path: Path, variant: str, cuda: str | None, text: str, value: str | None
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/Dockerfile").write_text(text)
    rules = load("sglang", variant).upstream
    assert rules is not None
    told = stated.told(rules, "release", {}, tmp_path, cuda=cuda)
    assert dict(told.args).get("CUDA_VERSION") == value
    with pytest.raises(UsageError, match=r"docker/Dockerfile names no CUDA_VERSION for CUDA 11\.8"):
        stated.told(rules, "release", {}, tmp_path, cuda="11.8")


CATALOG = """\
vllm:
  cuda12.9: {base_image: nvcr.io/nvidia/cuda-dl-base, base_image_tag: 25.06-cuda12.9}
  cuda13.0:
    base_image: nvcr.io/nvidia/cuda-dl-base
    base_image_tag: 25.11-cuda13.0
    runtime_image: evil.example.com/vllm
    runtime_image_tag: "1"
trtllm: {cuda13.2: {base_image: nvcr.io/nvidia/cuda-dl-base, base_image_tag: 26.09-cuda13.2}}
"""


def test_the_tags_of_images_are_those_of_the_checkout_s_catalog(tmp_path: Path) -> None:
    vllm, trtllm = load("dynamo"), load("dynamo", "trtllm")
    assert stated.images(vllm, tmp_path) == vllm
    (tmp_path / "container").mkdir()
    (tmp_path / "container/context.yaml").write_text(CATALOG)
    assert table(tmp_path, "container/context.yaml", "vllm")["cuda13.0"].line == 3
    found = stated.images(vllm, tmp_path)
    assert found.base_image == "nvcr.io/nvidia/cuda-dl-base:25.11-cuda13.0"
    # A tag is the checkout's to say, another repository is not.
    assert found.runtime_image == vllm.runtime_image
    assert stated.images(vllm, tmp_path, "12.9").base_image == "nvcr.io/nvidia/cuda-dl-base:25.06-cuda12.9"
    assert stated.images(trtllm, tmp_path).base_image == "nvcr.io/nvidia/cuda-dl-base:26.09-cuda13.2"
    assert [stated.release(one, tmp_path) for one in (vllm, trtllm)] == ["13.0", "13.2"]
    assert stated.release(load("dynamo", "vllm-xpu"), tmp_path) == ""
    with pytest.raises(UsageError, match=r"no images of vllm for CUDA 13\.2") as caught:
        stated.release(vllm, tmp_path, "13.2")
    assert caught.value.hint == "--cuda 12.9 | 13.0   # container/context.yaml:2, container/context.yaml:3"


@pytest.mark.parametrize("text", ["vllm: [", "a: &a [*a]", "vllm: 1", "- vllm", "? [1, 2]\n: 3\n", "\0"])
def test_a_catalog_that_is_none_states_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "container").mkdir()
    (tmp_path / "container/context.yaml").write_text(text)
    vllm = load("dynamo")
    assert stated.images(vllm, tmp_path) == vllm
    assert stated.release(vllm, tmp_path) == "13.0"


@pytest.mark.parametrize(
    ("text", "version", "line"),
    [
        ("torchaudio==1\ntorch==2.11.0\n", "2.11.0", 2),
        ('requires = [\n    "torch == 2.11.0",\n]\n', "2.11.0", 2),
        ('torch==1; platform_system == "Darwin"\ntorch==2+cpu; platform_machine == "{here}" or x == "y"', "2+cpu", 2),
        ('torch==1; platform_machine != "{here}"\nTorch == 2.1 ; python_version > "3" # why\n', "2.1", 2),
        ('torch==1; sys_platform == "linux" and platform_machine == "no-such"\ntorch>=2\n', None, 0),
        ("# torch==1\nnot-torch==1\ntorch\n", None, 0),
    ],
)  # fmt: skip
def test_the_version_that_a_package_is_pinned_to(tmp_path: Path, text: str, version: str | None, line: int) -> None:
    (tmp_path / "reqs.txt").write_text(text.replace("{here}", os.uname().machine))
    said = pinned(tmp_path, ["absent.txt", "reqs.txt"], "torch")
    assert said == (None if version is None else Stated("torch", version, "reqs.txt", line))


@pytest.mark.parametrize(
    "line",
    [
        "R = $(shell grep '{many}b' long)",
        "R = $(shell grep -o '{many}x' long)",
        "R = $(shell grep 'a*b' long)",
        "R = $(shell grep '[ab]*[ab]*c' long)",
        "R = x{spaces}y{spaces}# a comment",
        "a{spaces}b",
        "R =\n{spaces}",
    ],
)
def test_no_line_is_looked_through_for_ever(tmp_path: Path, line: str) -> None:
    """What is matched by patterns of the file, or by devbox's own, takes no more than its length, or is not known."""
    (tmp_path / "long").write_text("a" * 60_000 + "\n")
    (tmp_path / "Makefile").write_text(line.format(many="a*" * 12, spaces=" " * 60_000) + "\nC = c\n")
    begun = time.process_time()
    found = read_makefile(tmp_path, "Makefile", {})
    assert found is not None
    known = found.stated("R")
    assert known is None or not known.value.endswith("comment")
    assert found.stated("C") is not None
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    "text",
    [
        "torch==1 ;" + " " * 200_000 + 'x"',
        " " * 100_000 + "torch==1" + "\t" * 100_000 + "!",
        "case $C in " * 20_000,
        "case $C in a) x;; *) exit 1;; esac\n" * 5000,
        "case $C in " + " " * 200_000 + "x",
        "case $C in " + "in " * 80_000,
        "case $C in " + "".join(f"a{number}) x;; " for number in range(9000)) + "*) exit 1;; esac",
    ],
    ids=range(7),
)
def test_no_pin_and_no_step_is_looked_for_for_ever(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    begun = time.process_time()
    pinned(tmp_path, ["file"], "torch")
    taken(tmp_path, "file", "C")
    assert time.process_time() - begun < 10
