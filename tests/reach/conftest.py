"""The box and its engines, once a session; and the figures of all of them, at its end."""

from __future__ import annotations

import os
import statistics
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.engine.conftest import image  # noqa: F401  # the development image, which no test here builds anew
from tests.reach.box import Box, ensure_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

COMMANDS = {
    "exec": "devbox exec -- true",
    "warm up": "devbox up",
    "no-op build": "devbox build",
    "one edit": "echo \"int b() { return $(date +%N | sed 's/^0*//'); }\" >src/b.cpp; devbox build",
}
TIMES = 7
# What every engine in the box has the development image as.
BASE = "devbox-reach-base:1"
ARCHIVE = "/share/base.tar"


@pytest.fixture(scope="session")
def box(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:  # noqa: F811
    """The box with its engines, and in `/share` an archive of the image that contracts start from.

    REACH_BOX is the name of one that is kept for the next run, which finds it as this one left it.
    """
    engine.run(["tag", image, BASE])
    kept = os.environ.get("REACH_BOX")
    if kept and (there := engine.container(kept)) is not None:
        source = next(one["Source"] for one in there["Mounts"] if one["Destination"] == "/share")
        yield Box(engine, kept, Path(source))
        return
    share = Path(f"/tmp/{kept}") if kept else tmp_path_factory.mktemp("share")
    share.mkdir(exist_ok=True)
    ensure_image(engine, share)
    engine.run(["save", "--output", str(share / "base.tar"), BASE])
    (share / "base.tar").chmod(0o644)
    for folder in (share, *([] if kept else [share.parent])):
        folder.chmod(0o755)
    one = Box.start(engine, kept or f"devbox-test-reach-{share.parent.name.replace('_', '-')}", share)
    try:
        yield one
    finally:
        if not kept:
            one.remove()
            engine.run(["image", "rm", BASE], check=False)


class Timed(Protocol):
    """Somebody at a checkout whose dev container is up and built."""

    def seconds(self, script: str) -> float:
        """Return how long a shell script takes there."""


def measured(at: Timed, local: Timed) -> dict[str, tuple[float, float]]:
    """Return the medians of both, measured in turn: a machine that gets busy is so for both."""
    found = {}
    for what, script in COMMANDS.items():
        pairs = [(at.seconds(script), local.seconds(script)) for _ in range(TIMES)]
        found[what] = (statistics.median(one for one, _ in pairs), statistics.median(one for _, one in pairs))
    return found


@dataclass
class Figures:
    """What was measured: by engine and command seconds, and those with an engine of the same machine; and sentences."""

    times: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """What the tests measured; printed at the end."""
    found = Figures()
    yield found
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    lines = [f"{'':28}" + "".join(f"{what:>22}" for what in COMMANDS)]
    for name, times in found.times.items():
        cells = (f"{seconds:.2f} s ({seconds / local:.2f} x)" for seconds, local in times.values())
        lines.append(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        reporter.write_line("\n" + "\n".join([*lines, *found.notes]))
