"""The box and its engines, once a session; and the figures of all of them, at its end."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import image  # noqa: F401  # the development image, which no test here builds anew
from tests.reach.box import LOCAL, Box, ensure_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

Figures = dict[str, dict[str, float]]
# What every engine in the box has the development image as.
BASE = "devbox-reach-base:1"
ARCHIVE = "/share/base.tar"


@pytest.fixture(scope="session")
def box(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:  # noqa: F811
    """The box with its engines, and in `/share` an archive of the image that contracts start from.

    REACH_BOX is the name of one that is kept for the next run, which finds it as this one left it.
    """
    kept = os.environ.get("REACH_BOX")
    if kept and (there := engine.container(kept)) is not None:
        source = next(one["Source"] for one in there["Mounts"] if one["Destination"] == "/share")
        yield Box(engine, kept, Path(source))
        return
    share = Path(f"/tmp/{kept}") if kept else tmp_path_factory.mktemp("share")
    share.mkdir(exist_ok=True)
    ensure_image(engine, share)
    engine.run(["tag", image, BASE])
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


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Seconds by engine and by what took them; at the end printed beside those of the box's own Docker."""
    found: Figures = {}
    yield found
    local = found.get(LOCAL.name)
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if local is None or reporter is None:
        return
    lines = [f"{'':28}" + "".join(f"{what:>22}" for what in local)]
    for name, times in found.items():
        cells = (f"{seconds:.2f} s ({seconds / local[what]:.2f} x)" for what, seconds in times.items())
        lines.append(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        reporter.write_line("\n" + "\n".join(lines))
