"""What the tests of builds stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oracle.build_lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A small C tree, and the agent to build it with."""
    one = Lab(tmp_path)
    yield one
    one.close()
