"""The stage graph and the linter beside images that were really built."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

DOCKERFILE = """\
ARG BASE_IMAGE
FROM scratch AS tools
COPY <<'EOT' /tool
echo built
EOT
FROM ${BASE_IMAGE} AS one
ARG SIZE=1
RUN --mount=type=bind,from=tools,target=/tools \\
    sh /tools/tool && \\
    # Two files of the size.
    head -c ${SIZE}000000 /dev/zero >/one
ENV KEPT="a b"
FROM one AS two
RUN <<'EOT'
head -c 3000000 /dev/zero >/two
rm /one
EOT
COPY --from=tools /tool /tool
FROM one AS unbuilt
RUN head -c 5 /dev/zero >/five
"""


@pytest.fixture
def built(
    engine: Engine, base_image: str, engine_name: Callable[[str], str], tmp_path: Path
) -> Iterator[tuple[Path, str, str]]:
    """A Dockerfile, the image that its stage `two` was built as, and the base."""
    file, name = tmp_path / "Dockerfile", engine_name("graph")
    file.write_text(DOCKERFILE)
    args = ["--build-arg", f"BASE_IMAGE={base_image}", "--build-arg", "SIZE=2", "--target", "two", "--tag", name]
    engine.run(["buildx", "build", "--quiet", *args, str(tmp_path)])
    yield file, name, base_image
    engine.run(["image", "rm", "--force", name], check=False)


def graph(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["image", "graph", *args, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    return {node["name"]: node for node in data["nodes"]}


def test_sizes_and_states_are_those_of_the_image(
    built: tuple[Path, str, str], engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    file, name, base = built
    nodes = graph(capsys, str(file), "--arg", f"BASE_IMAGE={base}", "--image", f"two={name}")
    whole, below = engine.image(name), engine.image(base)
    assert whole is not None
    assert below is not None
    assert nodes[base]["size"] == below["Size"]
    assert (nodes["two"]["state"], nodes["two"]["size"]) == ("current", whole["Size"])
    assert nodes["two"]["own"] == pytest.approx(3_000_000, abs=1000)
    assert nodes["one"]["state"] == "current"
    assert nodes["one"]["own"] == pytest.approx(2_000_000, abs=1000)
    assert nodes["one"]["size"] == nodes["two"]["size"] - nodes["two"]["own"]
    assert nodes["unbuilt"]["state"] == "absent"


def test_a_changed_line_puts_its_stage_and_those_on_top_out_of_date(
    built: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file, name, base = built
    args = (str(file), "--arg", f"BASE_IMAGE={base}", "--image", name, "--target", "two")
    file.write_text(DOCKERFILE.replace("rm /one", "rm -f /one"))
    nodes = graph(capsys, *args)
    assert (nodes["one"]["state"], nodes["two"]["state"]) == ("current", "stale")
    file.write_text(DOCKERFILE.replace("head -c ${SIZE}", "head -c 1${SIZE}"))
    nodes = graph(capsys, *args)
    assert (nodes["one"]["state"], nodes["two"]["state"]) == ("absent", "stale")
    file.write_text(DOCKERFILE.replace("# Two files", "# One file"))
    assert graph(capsys, *args)["two"]["state"] == "current"


def test_the_linter_counts_the_layers_of_the_base(
    built: tuple[Path, str, str], engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, name, _ = built
    image = engine.image(name)
    assert image is not None
    there = len(image["RootFS"]["Layers"])
    file = tmp_path / "other.Dockerfile"
    # What the image sets, a stage on it has without an ARG.
    file.write_text(f"ARG KEPT=1\nFROM {name}\n" + "RUN echo $KEPT\n" * (115 - there))
    assert run(["image", "lint", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["data"]["findings"]
    assert [one["check"] for one in found] == ["unused-arg", "layers"]
    assert f"115 layers, {there} of them of {name}" in found[1]["message"]


def test_a_framework_is_told_from_its_own_images(
    engine: Engine,
    base_image: str,
    engine_name: Callable[[str], str],
    saxpy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An image that `devbox image build` made tells of its stages, and nothing of those of another variant."""
    framework = ("--workspace", str(saxpy), "--framework", "cuda")
    name = f"devbox-cuda:{engine_name('graph')}"
    build = ("--variant", "cpu", "--base-image", base_image, "--tag", name)
    try:
        assert run(["image", "build", "toolchain", *framework, *build]) == 0
        nodes = graph(capsys, *framework, "--variant", "cpu")
        image = engine.image(name)
        assert image is not None
        assert (nodes["toolchain"]["state"], nodes["toolchain"]["size"]) == ("current", image["Size"])
        assert nodes["devel"]["default"]
        other = graph(capsys, *framework, "--variant", "cuda13")
        assert other["toolchain"]["size"] != image["Size"]
    finally:
        engine.run(["image", "rm", "--force", name], check=False)
