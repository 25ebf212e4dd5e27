"""A builder of buildx that is apart from the engine: what only the engine has is handed to it, and sent once."""

from __future__ import annotations

import re

import pytest

from tests.reach.box import LOCAL, Box
from tests.reach.conftest import BASE
from tests.reach.test_flavours import TREE, seat

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.reach]


def sent(log: str) -> int:
    """Return how many bytes of base images a build's log says were sent to the builder."""
    units = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
    last = {found[1]: found for found in re.finditer(r"sha256:(\w+) ([\d.]+)([kMG]?B) / [\d.]+[kMG]?B", log)}
    return int(sum(float(found[2]) * units[found[3]] for found in last.values()))


def test_up_prebuild_and_image_build_use_a_builder_that_sees_no_image_of_the_engine(box: Box) -> None:
    box.sh("sh /devbox/tests/reach/builder.sh", environ=LOCAL.environ())
    at = seat(box, LOCAL, "built")
    at.sh(TREE.format(at.folder))
    first = at.devbox("--verbose", "up", "--yes", "--base-image", BASE, "--builder", "far")
    assert at.compiled() == 4
    # A setting says the same, for whoever does not want to type it.
    at.sh("mkdir -p ~/.config/devbox && echo 'builder = \"far\"' >~/.config/devbox/config.toml")
    again = at.devbox("--verbose", "prebuild", "--tag", "complete:1")
    assert at.sh("docker image inspect --format '{{.Os}}' complete:1") == "linux\n"
    assert "--builder far" in at.devbox("up", "--dry-run", "--user", "1000:1000:dev")
    assert sent(first) > 100 * 10**6
    assert sent(again) == 0
    at.sh("rm ~/.config/devbox/config.toml; docker buildx use far")
    said = at.devbox("prebuild", "--tag", "complete:2", code=None)
    assert "sees none of the engine's" in said
    assert "--builder far" in said
    at.sh("docker buildx use default")
    at.devbox("down", "--volumes", "--yes")
