"""Fixtures that tests of several rooms share."""

import os
from pathlib import Path

import pytest

from darkroom.guests import Kit, build_kit
from postgres import postgres_server, postgres_url  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """The helper guest and the tiny image, built once and kept; DARKROOM_TEST_KIT may name another folder for them."""
    return build_kit(Path(os.environ.get("DARKROOM_TEST_KIT") or Path.home() / ".cache" / "darkroom" / "kit"))
