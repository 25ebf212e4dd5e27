"""Names of images, as docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.image.registry.reference import Reference, parse

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "full", "shown"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04", "ubuntu:24.04"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu"),
        ("index.docker.io/library/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu"),
        ("vllm/vllm-openai:nightly", "docker.io/vllm/vllm-openai:nightly", "vllm/vllm-openai:nightly"),
        ("localhost/a", "localhost/a:latest", "localhost/a"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a"),
        ("nvcr.io/nvidia/pytorch:26.08-py3", "nvcr.io/nvidia/pytorch:26.08-py3", "nvcr.io/nvidia/pytorch:26.08-py3"),
        (f"a/b@{DIGEST}", f"docker.io/a/b:latest@{DIGEST}", f"a/b@{DIGEST}"),
        (f"a/b:1@{DIGEST}", f"docker.io/a/b:1@{DIGEST}", f"a/b:1@{DIGEST}"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e"),
    ],
)
def test_names(text: str, full: str, shown: str) -> None:
    assert parse(text).full == full
    assert str(parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A/b",
        "a b",
        "a:",
        "a:b c",
        "a@",
        "a@sha256:12",
        "a@md5:0",
        "a//b",
        "/a",
        "a/",
        "-a",
        "r.org/",
        "a:$(x)",
        "a:b:c",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="is no name of an image") as caught:
        parse(text)
    assert repr(text)[1:-1] in caught.value.message
    assert caught.value.hint


_part = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+){0,2}", fullmatch=True)


@given(
    st.builds(
        Reference,
        st.sampled_from(["docker.io", "r.org", "localhost:5000", "a.b.c:1"]),
        st.lists(_part, min_size=2, max_size=3).map("/".join),
        st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
        st.none() | st.just(DIGEST),
    )
)
def test_what_is_written_reads_the_same(reference: Reference) -> None:
    # A first part with a dot in it would be taken for a host.
    if reference.registry == "docker.io" and "." in reference.name.partition("/")[0]:
        return
    assert parse(str(reference)).full == reference.full
    assert parse(reference.full).full == reference.full


def test_another_tag() -> None:
    assert str(parse(f"r.org/a:1@{DIGEST}").with_tag("2")) == "r.org/a:2"
    with pytest.raises(UsageError, match="is no tag"):
        parse("r.org/a").with_tag("-")
