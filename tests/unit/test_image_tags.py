"""What the names of tags tell, and their order."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.image.registry.tags import matching, newest_first, of_commits, read, shell_pattern

SHA = "8cb21dd705432bf7d2e91aeef8394d3386afc4cb"
OTHER = "60bd8a1f3f2c4d5e6f708192a3b4c5d6e7f80910"


@pytest.mark.parametrize(
    ("name", "date", "version", "commit"),
    [
        ("latest", None, None, None),
        ("v0.11.0rc2", None, "0.11.0rc2", None),
        ("0.5.0.post1-cu126", None, "0.5.0.post1", None),
        ("26.08-py3", None, "26.08", None),
        ("12.9.1-devel-ubuntu24.04", None, "12.9.1", None),
        ("1-amd64", None, "1", None),
        ("nightly-dev-20260801-abcdef1", "2026-08-01", None, "abcdef1"),
        ("2026-08-01", "2026-08-01", None, None),
        ("20260801-1530", "2026-08-01", None, None),
        ("202608011530-7", "2026-08-01", None, None),
        ("20269901", None, None, None),
        ("v1.2.3-14-gabcdef12", None, "1.2.3", "abcdef12"),
        (f"nightly-{SHA}", None, None, SHA),
        (f"{SHA}-x86_64", None, None, SHA),
        ("x86_64-tritondevel-torch_skip-cca75fa-github-pr-9225-1249", None, None, "cca75fa"),
        ("1234567", None, None, None),
    ],
)
def test_what_a_name_tells(name: str, date: str | None, version: str | None, commit: str | None) -> None:
    tag = read(name)
    assert (tag.date, tag.version, tag.commit) == (date, version, commit)


def test_newest_first() -> None:
    newest = [
        "nightly-20260802",
        "nightly-20260801-1200-abcdef1",
        "nightly-20260801-0800-abcdef2",
        "v0.12.0",
        "v0.12.0rc2",
        "v0.12.0rc1",
        "v0.12.0b1",
        "v0.12.0.dev3",
        "v0.11.0.post1",
        "v0.11.0",
        "v0.9.2",
        "stable",
        "main",
        "latest",
    ]
    assert [tag.name for tag in newest_first(sorted(newest))] == newest
    assert [tag.name for tag in newest_first(reversed(newest))] == newest


def test_the_date_of_the_image_is_stronger() -> None:
    made = {"v2.0": "2020-01-01T00:00:00Z", "v1.0": "2026-01-01T00:00:00Z", "v3.0": None}
    found = newest_first(made, made)
    assert [(tag.name, tag.created) for tag in found] == [
        ("v1.0", made["v1.0"]),
        ("v2.0", made["v2.0"]),
        ("v3.0", None),
    ]


@example(["0", "00"])
@given(st.lists(st.text("0123456789.-_vabcrdg", min_size=1, max_size=24), unique=True))
def test_any_names_have_one_order(names: list[str]) -> None:
    once = [tag.name for tag in newest_first(names)]
    assert sorted(once) == sorted(names)
    assert [tag.name for tag in newest_first(reversed(names))] == once


def test_a_filter_is_text_or_a_pattern() -> None:
    names = ["v1.0-cu12", "v1.0-cu13", "nightly"]
    assert matching(names, "cu1") == names[:2]
    assert matching(names, "v*3") == ["v1.0-cu13"]
    assert matching(names, None) == matching(names, "") == names
    assert shell_pattern("a[12]") == "a[12]"


def test_the_image_of_a_commit() -> None:
    names = [f"nightly-{OTHER}", f"{SHA[:8]}-cu13", SHA[:8], "v1.0", f"g{SHA}"]
    assert of_commits(names, [SHA]) == (SHA[:8], 0)
    assert of_commits(names, ["0" * 40, OTHER, SHA]) == (f"nightly-{OTHER}", 1)
    assert of_commits(names, [OTHER[:9]]) == (f"nightly-{OTHER}", 0)
    assert of_commits(names, ["f" * 40]) is None
    assert of_commits(["dev-20260801-8cb21dd", "dev-20260802-8cb21dd"], [SHA]) == ("dev-20260802-8cb21dd", 0)
    # Seven digits that are the same are not enough where more are written.
    assert of_commits([f"{SHA[:7]}0"], [SHA]) is None
