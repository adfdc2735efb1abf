"""What several files of unit tests work with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from house import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Records over the simulated driver, of this test alone."""
    world = World(tmp_path)
    yield world
    world.store.close()
