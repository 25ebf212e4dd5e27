"""The reader of Dockerfiles, beside BuildKit's own parser and its rules for words."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.errors import DockerfileError
from devbox.image.dockerfile.ignore import parse_ignore
from devbox.image.dockerfile.instructions import Instruction, parse
from devbox.image.dockerfile.stages import base_images, local_sources, mounts, read_stages, sources_of
from devbox.image.dockerfile.words import assignments, fill, split_words

SHIPPED = sorted(Path(__file__).parents[2].glob("dockerfiles/*.Dockerfile"))


def one(text: str) -> Instruction:
    (instruction,) = parse(text).instructions
    return instruction


def reference(text: str) -> list[tuple[object, ...]]:
    """What BuildKit's parser reads (PyPI's `dockerfile` is its Go code), as `ours` tells it."""
    parser = pytest.importorskip("dockerfile")
    return [
        (
            command.cmd.upper(),
            command.start_line,
            command.end_line,
            len(command.flags),
            # It does not hand on those of an ONBUILD; the lines tell that it has read them.
            tuple((heredoc.name, heredoc.content) for heredoc in command.heredocs),
            command.value[0].strip() if command.cmd.upper() == "RUN" and not command.json and command.value else None,
        )
        for command in parser.parse_string(text)
    ]


def ours(text: str) -> list[tuple[object, ...]]:
    return [
        (
            found.keyword,
            found.line,
            found.end_line,
            len((found.trigger or found).flags),
            tuple((heredoc.name, heredoc.text) for heredoc in found.heredocs if found.trigger is None),
            found.text if found.keyword == "RUN" and not found.text.startswith("[") and found.text else None,
        )
        for found in parse(text).instructions
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_stage_file_reads_as_buildkit_reads_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ours(text) == reference(text)


LINES = [
    "FROM a AS b",
    "RUN x \\",
    "RUN x \\  ",
    "RUN x \\\\",
    "  # comment",
    "#",
    "",
    "   ",
    "&& y",
    "EOT",
    "\tEOT",
    "RUN <<EOT",
    "RUN <<-EOT",
    "RUN cat <<'EOT' >f",
    "COPY <<EOT <<'E O' /x",
    "E O",
    "RUN echo don't <<EOT",
    "RUN echo '<<EOT'",
    "RUN 3<<EOT cat",
    "RUN a <<<EOT",
    'RUN ["a", "<<EOT"]',
    "ONBUILD RUN <<EOT",
    "run --mount=type=cache,target=/x --network=none y",
    "COPY --from=b --chown='1:2' x y",
    "RUN --mount=type=bind \\",
    "# escape=\\",
    "ENV a=b \\",
]


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=8))
@example(["RUN <<EOT", "\tEOT", "EOT"])
@example(["# escape=\\", "# escape=\\"])
@example(["ONBUILD RUN <<EOT", "x", "EOT"])
def test_lines_read_as_buildkit_reads_them(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        expected = reference(text)
    except Exception:  # noqa: BLE001  # its own error class is no public name
        return
    assert ours(text) == expected


@given(st.text(alphabet="FROM RUNCOPY<>-=\"'\\`$#{}\n\t abEOT123", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(DockerfileError):
        read_stages(text, {})


def test_an_instruction_keeps_its_lines() -> None:
    found = one("RUN a && \\\n  # said\n\n  b && \\\n  c\n")
    assert (found.line, found.end_line, found.text) == (1, 5, "a &&   b &&   c")
    assert found.lines == ((1, "RUN a && "), (4, "  b && "), (5, "  c"))
    assert found.line_of("c") == 5


def test_a_heredoc_knows_its_lines() -> None:
    found = one("RUN <<'ONE' <<-TWO\n$a\nONE\n\tb\n\tTWO\n")
    assert [(h.name, h.text, h.line, h.expand) for h in found.heredocs] == [
        ("ONE", "$a\n", 2, False),
        ("TWO", "\tb\n", 4, True),
    ]
    assert found.line_of("b$") == 4


def test_the_escape_directive_frees_the_backslash() -> None:
    found = parse("# escape=`\nFROM a\nRUN c:\\x `\n  y\n")
    assert found.escape == "`"
    assert found.instructions[1].text == "c:\\x   y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a\nRUN <<EOT\nx\n", "Dockerfile:2: the heredoc 'EOT' does not end"),
        ("# escape=x\nFROM a\n", "Dockerfile:1: the escape character 'x' is neither \\ nor `"),
        ("# syntax=a\n# syntax=b\n", "Dockerfile:2: the directive 'syntax' is there twice"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert caught.value.message == message


# https://docs.docker.com/reference/dockerfile/#environment-replacement
@pytest.mark.parametrize(
    ("text", "filled", "unset"),
    [
        ("$a-${a}", "1-1", []),
        ("${no:-d}${no-d}${empty:-d}${empty-d}", "ddd", []),
        ("${a:+y}${no:+y}${empty+y}", "yy", []),
        ("${path#*/}|${path##*/}", "b/c.tar.gz|c.tar.gz", []),
        ("${path%.*}|${path%%.*}", "a/b/c.tar|a/b/c", []),
        ("${path/a/x}|${path//\\//:}", "x/b/c.tar.gz|a:b:c.tar.gz", []),
        ("'$a'\"$a\"\\$a", "$a1$a", []),
        ('"\\a\\""', '\\a"', []),
        ("$no ${no}", " ", ["no", "no"]),
        ("${no:-$a}${no:-${a}}", "11", []),
        ("5$ ${", "5$ ", []),
    ],
)
def test_variables(text: str, filled: str, unset: list[str]) -> None:
    found = fill(text, {"a": "1", "empty": "", "path": "a/b/c.tar.gz"}, "\\")
    assert (found.text, found.unset) == (filled, unset)


@pytest.mark.parametrize(
    ("keyword", "text", "pairs"),
    [
        ("ENV", 'a=1 b="2 3" c=4\\ 5', [("a", "1"), ("b", '"2 3"'), ("c", "4\\ 5")]),
        ("ENV", "a some words", [("a", "some words")]),
        ("ARG", "a b=1", [("a", None), ("b", "1")]),
        ("ARG", "a=1 # said", [("a", "1")]),
        ("LABEL", '"a.b"="c"', [('"a.b"', '"c"')]),
    ],
)
def test_assignments(keyword: str, text: str, pairs: list[tuple[str, str | None]]) -> None:
    assert assignments(keyword, text, "\\") == pairs


@given(st.lists(st.text(alphabet="ab'\" \\", min_size=1).filter(lambda word: split_words(word, "\\") == [word])))
def test_words_are_split_where_they_were_joined(words: list[str]) -> None:
    whole = [word for word in words if not word.endswith("\\")]
    assert split_words("  ".join(whole), "\\") == whole


@pytest.mark.parametrize(
    ("dockerfile", "args", "images"),
    [
        ("FROM debian:12\n", {}, ("debian:12",)),
        ("ARG BASE=a:1\nFROM ${BASE} AS x\nFROM x AS y\n", {}, ("a:1",)),
        ("ARG BASE=a:1\nFROM $BASE\n", {"BASE": "b:2"}, ("b:2",)),
        ('ARG V="9"\nARG BASE=a:${V}\nFROM --platform=linux/amd64 ${BASE}\n', {}, ("a:9",)),
        ("FROM a AS one\nFROM b AS two\nFROM ONE\nFROM scratch\n", {}, ("a", "b")),
        ("# FROM no\nfrom \\\n  a:1 as x\nARG V=late\nFROM a:${V:-d}\n", {}, ("a:1", "a:d")),
        ("FROM ${NO}\nFROM a\n", {}, ("a",)),
        ("FROM a\nRUN <<EOT\nFROM b\nEOT\n", {}, ("a",)),
        ("FROM base-${TARGETARCH}\n", {"TARGETARCH": "arm64"}, ("base-arm64",)),
    ],
)
def test_base_images_of_a_dockerfile(dockerfile: str, args: dict[str, str], images: tuple[str, ...]) -> None:
    assert base_images(dockerfile, args) == images


SELECTED = """\
ARG KIND=1
FROM a AS base
FROM base AS get-0
FROM base AS get-1
COPY --from=tools /x /x
FROM get-${KIND} AS get
FROM b AS tools
FROM c AS unused
FROM base AS last
RUN --mount=from=get,target=/y true
COPY --from=0 /z /z
COPY --from=other:1 /z /z
"""


def test_a_build_needs_what_its_target_reads() -> None:
    stages = read_stages(SELECTED, {})
    assert [stage.name for stage in stages.needed(None)] == ["base", "get-1", "get", "tools", "last"]
    stages = read_stages(SELECTED, {"KIND": "0"})
    assert [stage.name for stage in stages.needed(None)] == ["base", "get-0", "get", "last"]
    assert [stage.name for stage in stages.needed(stages.find("TOOLS"))] == ["tools"]


def test_a_stage_sees_what_it_starts_from_and_what_it_declares() -> None:
    text = "ARG a=1\nARG b=2\nFROM x AS one\nARG a\nENV c=$a$b\nFROM one\nARG b\nENV d=${c}${b}\nARG c=9\nRUN x\n"
    stages = read_stages(text, {"b": "5"})
    *_, (run, values, declared) = stages.scopes(stages.stages[1])
    assert run.keyword == "RUN"
    assert values == {"a": "1", "c": "1", "b": "5", "d": "15"}
    assert declared == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("text", "sources", "local"),
    [
        ("COPY a b /c", [], ["a", "b"]),
        ('COPY ["a b", "/c"]', [], ["a b"]),
        ("COPY --from=x a /c", [("copy", "x")], []),
        ("ADD https://x/y z /c", [], ["z"]),
        ("COPY <<EOT /c\nEOT", [], []),
        ("ONBUILD COPY . /c", [], ["."]),
        ("RUN --mount=target=/x --mount=type=cache,target=/y z", [], ["."]),
        ("RUN --mount=type=bind,from=x,source=.git,target=/x z", [("mount", "x")], []),
        ("RUN --mount=type=bind,source=.git,target=/x z", [], [".git"]),
    ],
)
def test_what_an_instruction_reads(text: str, sources: list[tuple[str, str]], local: list[str]) -> None:
    found = one(text)
    assert list(sources_of(found)) == sources
    assert local_sources(found) == local


def test_mounts_are_bind_mounts_unless_they_say_otherwise() -> None:
    found = mounts(one("RUN --mount=target=/x,ro --mount=type=secret,id=s x"))
    assert found == [{"type": "bind", "target": "/x", "ro": ""}, {"type": "secret", "id": "s"}]


@pytest.mark.parametrize(
    ("text", "path", "ignored"),
    [
        ("build", "build/x/y", True),
        ("build", "a/build", False),
        ("**/build", "a/b/build/x", True),
        ("**/build", "build", True),
        ("*.o", "a/x.o", False),
        ("**/*.o", "a/x.o", True),
        ("/lib/", "lib/x", True),
        ("a/*/c", "a/b/c/d", True),
        ("# build\n\n", "build", False),
        ("build\n!build/keep", "build/keep/x", False),
        ("build\n!build/keep\nbuild/keep/x", "build/keep/x", True),
        ("*.py[cod]", "x.pyc", True),
        ("*\n!src", "src/x", False),
        ("a?c", "abc", True),
    ],
)
def test_dockerignore(text: str, path: str, ignored: bool) -> None:
    ignore = parse_ignore(text)
    assert ignore.ignores(path) is ignored
    test, prune = ignore.walker()
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
    assert bool(any(prune(folder) for folder in folders) or test(path)) is ignored
