"""Fixtures that tests of several rooms share."""

import os
import signal
from pathlib import Path

import pytest

from darkroom.guests import Kit, build_kit
from postgres import postgres_server, postgres_url  # noqa: F401  (fixtures)

# A shell lets what it starts in the background ignore Ctrl-C, and so would whatever the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """The helper guest and the tiny image, built once and kept; DARKROOM_TEST_KIT may name another folder for them."""
    return build_kit(Path(os.environ.get("DARKROOM_TEST_KIT") or Path.home() / ".cache" / "darkroom" / "kit"))
