"""Fixtures of several engine tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devbox.container.up.up import UpRequest, up
from devbox.reporter import Silent
from tests.asked import asked
from tests.engine.lab import Place, Yard, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine


@pytest.fixture(scope="session")
def image(engine: Engine, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The development image of the framework `cuda` in its variant without CUDA, as `devbox up` makes it."""
    work = small_tree(tmp_path_factory.mktemp("image") / "small")
    user = "1000:1000:dev" if os.getuid() == 0 else None
    up(
        UpRequest(path=work, **asked(framework="cuda", variant="cpu", base_image=base_image, user=user)),
        engine,
        Silent(),
    )
    found = engine.containers({"devcontainer.local_folder": str(work)})
    return found[0].image_id


@pytest.fixture
def place(engine: Engine, image: str, tmp_path: Path, engine_name: Callable[[str], str]) -> Place:
    work = small_tree(tmp_path / "small")
    return Place(engine, image, engine_name, work, engine_name("build"), engine_name("ccache")).start()


@pytest.fixture
def yard(engine: Engine, tmp_path: Path, engine_name: Callable[[str], str]) -> Iterator[Yard]:
    one = Yard(engine, tmp_path, engine_name)
    yield one
    if one.tags:
        engine.run(["image", "rm", "--force", *one.tags], check=False)
