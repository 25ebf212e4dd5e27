"""The stage graph: what is in it, how it is drawn, and where the boxes go."""

from __future__ import annotations

import itertools
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.image.dockerfile.stages import read_stages
from devbox.image.graph.layout import Link, layout
from devbox.image.graph.model import Edge, graph, node_keys, with_images
from devbox.image.graph.state import Built, state
from devbox.image.graph.svg import svg
from devbox.image.graph.text import detail, dot, mermaid, size, tree

GOLDEN = Path(__file__).parents[1] / "golden/graph"

TEXT = """\
ARG BASE=debian:12
FROM scratch AS wheels
FROM ${BASE} AS toolchain
RUN --mount=type=bind,from=wheels,target=/w true
FROM toolchain AS devel
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/
COPY --from=tools /a /a
COPY --from=tools /b /b
FROM debian:12 AS tools
RUN true
FROM devel
RUN --mount=from=wheels,target=/w true
"""


def test_a_graph_says_who_reads_from_whom() -> None:
    found = graph(read_stages(TEXT, {}))
    assert [(node.key, node.kind, node.default) for node in found.nodes] == [
        ("wheels", "context", False),
        ("image debian:12", "image", False),
        ("toolchain", "stage", False),
        ("image ghcr.io/astral-sh/uv:0.9", "image", False),
        ("devel", "stage", False),
        ("tools", "stage", False),
        ("stage 4", "stage", True),
    ]
    assert set(found.edges) == {
        Edge("image debian:12", "toolchain", "from"),
        Edge("wheels", "toolchain", "mount"),
        Edge("toolchain", "devel", "from"),
        Edge("image ghcr.io/astral-sh/uv:0.9", "devel", "copy"),
        Edge("tools", "devel", "copy", 2),
        Edge("image debian:12", "tools", "from"),
        Edge("devel", "stage 4", "from"),
        Edge("wheels", "stage 4", "mount"),
    }


def test_a_target_leaves_out_what_it_does_not_need() -> None:
    stages = read_stages(TEXT, {})
    assert [node.key for node in graph(stages, default="devel").nodes if node.default] == ["devel"]
    assert [node.key for node in graph(stages, "toolchain").nodes] == ["wheels", "image debian:12", "toolchain"]
    with pytest.raises(UsageError, match="no stage 'nothing'") as caught:
        graph(stages, "nothing")
    assert caught.value.hint == "one of wheels, toolchain, devel, tools"


def test_stages_of_one_name_are_two_nodes() -> None:
    found = graph(read_stages("FROM a AS x\nFROM b AS x\nFROM x\n", {}))
    assert [node.key for node in found.nodes if node.kind == "stage"] == ["x 0", "x 1", "stage 2"]
    assert Edge("x 1", "stage 2", "from") in found.edges


@pytest.mark.parametrize("form", ["txt", "mmd", "dot", "svg"])
def test_drawings(form: str) -> None:
    found = graph(read_stages(TEXT, {}))
    found = with_images(found, {"devel": ("current", 6_100_000_000, 250_000_000), "tools": ("stale", None, None)})
    drawn = {
        "txt": lambda: "".join(f"{name} | {detail(node)} | {reads}\n" for name, node, reads in tree(found)),
        "mmd": lambda: mermaid(found),
        "dot": lambda: dot(found),
        "svg": lambda: svg(found, "The stages of <this>"),
    }[form]()
    golden = GOLDEN / f"stages.{form}"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(drawn, encoding="utf-8")
    assert drawn == golden.read_text(encoding="utf-8"), f"UPDATE_GOLDEN=1 pytest {__file__} writes it anew"


def test_a_picture_is_well_formed_and_holds_every_name() -> None:
    text = svg(graph(read_stages('FROM "a<b>&c" AS x\nFROM x\n', {})), 'a "title" & <more>')
    root = ET.fromstring(text)
    said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b>&c", "x", "stage 1"} <= set(said)
    assert root.find("{http://www.w3.org/2000/svg}title").text == 'a "title" & <more>'  # type: ignore[union-attr]


def test_mermaid_and_dot_quote_names() -> None:
    found = graph(read_stages('FROM a AS x\nCOPY --from=b\\"c#d /x /y\n', {}))
    assert "b#quot;c#35;d" in mermaid(found)
    assert '"image b\\"c#d"' in dot(found)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (2.5e9, "2.5 GB"), (999_600, "1 MB")]
)
def test_sizes_read_as_docker_prints_them(count: float, text: str) -> None:
    assert size(int(count)) == text


NAMES = st.integers(0, 11)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, float], list[Link]]:
    widths = {f"n{number}": draw(st.floats(20, 400)) for number in range(draw(st.integers(1, 12)))}
    pairs = draw(st.lists(st.tuples(NAMES, NAMES), max_size=24, unique=True))
    links = [
        Link(f"n{a}", f"n{b}", draw(st.sampled_from(["from", "copy"])), strong=draw(st.booleans()))
        for a, b in pairs
        if a < b and b < len(widths)
    ]
    return widths, links


@given(graphs())
def test_boxes_never_overlap_and_lines_lead_down(given: tuple[dict[str, float], list[Link]]) -> None:
    widths, links = given
    found = layout(widths, links)
    for a, b in itertools.combinations(widths, 2):
        (x1, row1), (x2, row2) = found.places[a], found.places[b]
        assert row1 != row2 or abs(x1 - x2) >= (widths[a] + widths[b]) / 2
    for link in links:
        assert found.places[link.source][1] < found.places[link.target][1]
    assert all(end[1] == start[1] + 1 for _, start, end in found.lines)
    for key, (x, _) in found.places.items():
        assert -0.01 <= x - widths[key] / 2 <= x + widths[key] / 2 <= found.width + 0.01


def test_a_circle_is_drawn_without_the_line_that_closes_it() -> None:
    links = [Link("a", "b", "copy", strong=False), Link("b", "a", "copy", strong=False)]
    assert len(layout({"a": 50, "b": 50}, links).lines) == 1


DOCKERFILE = """\
FROM base AS one
ARG A=1
RUN --mount=type=cache,target=/x make \\
    all
FROM one AS two
RUN <<'EOT'
echo  b
EOT
FROM scratch AS files
COPY --from=two /x /x
"""
HISTORY = (
    ('CMD ["bash"]', 0),
    ("COPY /rootfs / # buildkit", 100),
    ("ARG A=7", 0),
    ("RUN |1 A=7 /bin/sh -c make     all # buildkit", 20),
    ("RUN |1 A=7 /bin/sh -c echo  b\n # buildkit", 3),
    ('CMD ["x"]', 0),
)  # fmt: skip


def states(*images: Built) -> list[tuple[str, int | None, int | None]]:
    stages = read_stages(DOCKERFILE, {})
    assert node_keys(stages) == {0: "one", 1: "two", 2: "files"}
    return [state(stages, stage, images) for stage in stages.stages]


def test_an_image_tells_about_all_stages_that_it_was_made_through() -> None:
    assert states(Built("image", HISTORY)) == [("current", 120, 20), ("current", 123, 3), ("", None, None)]


def test_an_image_of_other_instructions_is_out_of_date() -> None:
    changed = tuple((made.replace("echo  b", "echo c"), size) for made, size in HISTORY)
    assert states(Built("image", changed, "two"))[:2] == [("current", 120, 20), ("stale", None, None)]
    assert states(Built("image", changed))[1] == ("absent", None, None)
    assert states()[0] == ("absent", None, None)


def test_a_stage_of_files_is_known_by_its_label_alone() -> None:
    history = (("COPY /x /x # buildkit", 8),)
    assert states(Built("image", history))[2] == ("", None, None)
    assert states(Built("image", history, "files"))[2] == ("current", 8, 8)


def test_upstream_dockerfiles_of_every_shape_are_drawn(tmp_path: Path) -> None:
    """The idioms of large trees: a stage chosen by an argument, by the platform, ONBUILD, COPY --from by number."""
    text = (
        "ARG REMOTE=0\nFROM rocm/dev:1 AS base\nFROM base AS fetch_0\nONBUILD COPY ./ ./\nFROM base AS fetch_1\n"
        "FROM fetch_${REMOTE} AS fetch\nFROM fetch AS base-amd64\nFROM fetch AS base-arm64\n"
        "FROM base-${TARGETARCH} AS final\nCOPY --from=0 /a /a\n"
    )
    stages = read_stages(text, {"REMOTE": "1"}, platform="linux/arm64")
    names = [node.name for node in graph(stages, "final").nodes]
    assert names == ["rocm/dev:1", "base", "fetch_1", "fetch", "base-arm64", "final"]
