"""A contract's Dockerfile with Features in a stage after its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox.errors import DockerfileError
from devbox.image.dockerfile.stages import read_stages
from devbox.image.features.extended import extended
from tests.unit.test_features_layer import layer, step

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "target", "first"),
    [
        ("FROM a\nRUN x\n", None, "FROM a AS devbox-target\nRUN x\nFROM devbox-target\n"),
        ("FROM a AS One\nRUN x", None, "FROM a AS One\nRUN x\nFROM one\n"),
        ("FROM a AS one\nFROM b AS two\n", "one", "FROM a AS one\nFROM b AS two\nFROM one\n"),
        ("FROM a\nFROM b AS two\n", "0", "FROM a AS devbox-target\nFROM b AS two\nFROM devbox-target\n"),
        ("FROM \\\n  a\r\nRUN x\n", None, "FROM \\\n  a AS devbox-target\nRUN x\nFROM devbox-target\n"),
    ],
)
def test_the_features_come_after_the_target_and_the_rest_stays(
    text: str, target: str | None, first: str, tmp_path: Path
) -> None:
    found = extended(text, layer(step(tmp_path / "one")), target=target)
    assert found.startswith(f"{first}USER root\nRUN --mount=type=bind,from=devbox-features,source=0,")
    assert found.endswith("\nUSER dev\n")


def test_the_escape_character_of_the_dockerfile_is_that_of_the_features(tmp_path: Path) -> None:
    one = layer(step(tmp_path / "one", containerEnv={"SAY": 'a "b" c:\\'}))
    found = extended("# escape=`\nFROM a\n", one)
    assert 'ENV SAY="a `"b`" c:\\"\n' in found
    assert [one.keyword for one in read_stages(found, {}).stages[-1].instructions] == ["USER", "ENV", "RUN", "USER"]


@pytest.mark.parametrize(("text", "target"), [("RUN x\n", None), ("FROM a\n", "other")])
def test_a_stage_that_is_not_there_is_an_error(text: str, target: str | None, tmp_path: Path) -> None:
    with pytest.raises(DockerfileError):
        extended(text, layer(step(tmp_path / "one")), target=target)
