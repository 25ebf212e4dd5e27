"""What a Dockerfile has the engine do by itself: whatever way it is written, it is shown; and nothing else is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devbox.engine.spec import ImageBuild
from devbox.errors import ContractError
from devbox.trust.builds import of_image_build
from devbox.trust.dockerfiles import of_file, of_text, see_triggers
from devbox.trust.names import _TOOLS
from devbox.trust.projects import of_service_build

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "ADD http://127.0.0.1/x /x",
    "add HTTPS://elsewhere/x /x",
    "\tADD\thttp://127.0.0.1/x\t/x",
    "ADD --chown=1:1 --checksum=sha256:0 http://127.0.0.1/x /x",
    "ADD file http://127.0.0.1/x /x/",
    "ADD git@github.com:a/b.git /x",
    "ADD git://127.0.0.1/x.git /x",
    "ADD ssh://git@elsewhere/x /x",
    "ADD \"http://127.0.0.1/x\" '/x'",
    "ADD ht\\tp://127.0.0.1/x /x",
    'ADD ["http://127.0.0.1/x", "/x"]',
    'ADD ["\\u0068ttp\\u003a//127.0.0.1/x", "/x"]',
    'ADD --link ["\\u0068ttp\\u003a//127.0.0.1/x", "/x"]',
    'ADD ["\\u003a", "/x"',
    "ARG U=http://127.0.0.1/x\nADD $U /x",
    "ARG U\nADD ${U:-http}://x /x",
    "AD\\\nD http://127.0.0.1/x /x",
    "ADD \\\n# a comment\n\n  http://127.0.0.1/x /x",
    "ADD http://127.0.0.1/x \\\r\n /x",
    "# escape=`\nADD `\n http://127.0.0.1/x /x",
    "ONBUILD ADD http://127.0.0.1/x /x",
    "onbuild add \\\n http://127.0.0.1/x /x",
    "RUN <<EOF\nEOF2\nADD http://127.0.0.1/x /x\nEOF",
    "# syntax=elsewhere/frontend:1",
    "#Syntax = elsewhere/frontend",
    "// syntax=elsewhere/frontend",
    "\ufeff# syntax=elsewhere/frontend",
    "#!/bin/sh\n# syntax=elsewhere/frontend",
    "# syntax=docker/dockerfile/evil:1",
    "# syntax=docker/dockerfile-evil",
    "# syntax=127.0.0.1:1/docker/dockerfile:1",
    json.dumps({"syntax": "elsewhere/frontend"}),
    '#!/bin/sh\n{"syntax": "elsewhere/frontend"}',
    "#" * (5 << 20),
    *(f"ADD \\\n{space}# a comment\n http://127.0.0.1/x /x" for space in "\x85\xa0\u2028\u3000"),
    "ADD \\\r\r\n http://127.0.0.1/x /x",
    "RUN echo \\\\\nADD \\\n http://127.0.0.1/x /x",
    "RUN <<'A\\'\nA\\\nADD \\\n http://127.0.0.1/x /x",
    'ADD ["http://127.0.0.1/x","/x"]]',
    'ADD ["\\u0068ttp\\u003a//127.0.0.1/x","/x"] and more',
    'ADD --chown="a b" ["http://127.0.0.1/x","/x"]',
    'ADD --chown=a\\ b ["http://127.0.0.1/x","/x"]',
]
BENIGN = [
    "# syntax=docker/dockerfile:1\nFROM x",
    "# syntax=docker.io/docker/dockerfile:1.7-labs\nFROM x",
    "# syntax=docker/dockerfile-upstream:master@sha256:00\nFROM x",
    "FROM x\nADD rootfs.tar.gz /\nADD --chown=$USER:$GROUP a b /$HOME/",
    'ADD ["a b", "/c:d"]',
    "ADD <<EOF /x\nhttp://127.0.0.1\nEOF",
    "RUN curl http://127.0.0.1 && add-apt-repository ppa:x",
    "# ADD http://127.0.0.1/x /x",
    "COPY --from=127.0.0.1:5000/x:1 a b",
    "LABEL ADD http://x y",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_the_engine_does_by_itself_is_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_bytes(f"{text}\n".encode())
    found = list(of_file(str(tmp_path / "Dockerfile")))
    assert [one.kind for one in found] == ["remote"]
    assert list(of_image_build(ImageBuild(str(tmp_path / "Dockerfile"), str(tmp_path)), tmp_path)) == found


@pytest.mark.parametrize("text", BENIGN)
def test_nothing_else_is(text: str) -> None:
    assert list(of_text(text)) == []


@pytest.mark.parametrize("text", ["\n", " ", "A\\\n", "ADD \\\n", "ADD [", "#\n", "\ufeff", "ONBUILD \\\n"])
def test_no_text_is_looked_through_for_long(text: str) -> None:
    whole = text * (200_000 // len(text))
    assert not [*of_text(whole)]


def test_a_service_and_an_argument_say_the_same(tmp_path: Path) -> None:
    inline = {"context": str(tmp_path), "dockerfile_inline": HOSTILE[0]}
    assert [one.value for one in of_service_build(inline, {}, tmp_path)] == ["http://127.0.0.1/x"]
    for name in ("BUILDKIT_SYNTAX", "buildkit_syntax"):
        wanted = {"context": str(tmp_path), "args": {name: "elsewhere/x"}}
        assert [one.value for one in of_service_build(wanted, {}, tmp_path)] == ["elsewhere/x"]
        made = ImageBuild("", str(tmp_path), args=((name, "docker/dockerfile:1"), (name, "x")))
        assert [one.value for one in of_image_build(made, tmp_path)] == ["x"]


def test_a_base_image_adds_nothing_of_the_kind() -> None:
    see_triggers(["COPY . /src", "ADD a /b"], "Dockerfile")
    with pytest.raises(ContractError, match=r"http://127.0.0.1/x .*ONBUILD"):
        see_triggers(["RUN true", "ADD http://127.0.0.1/x /x"], "Dockerfile")


@pytest.mark.parametrize("name", ["docker/dockerfile:1", "docker.io/docker/dockerfile:mine"])
def test_no_image_is_called_like_what_reads_dockerfiles(name: str) -> None:
    assert _TOOLS.match(name)
