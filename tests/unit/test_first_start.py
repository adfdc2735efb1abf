"""The first start: nobody is made whose credentials could not be kept, and the records are where they should be."""

import asyncio
import json
from pathlib import Path

import pytest

from darkroom.app import Service
from darkroom.errors import DarkroomError
from darkroom.settings import Settings


async def start(data: Path) -> None:
    async with Service(Settings(data=data, driver="simulated")).running():
        pass


def test_nobody_is_made_whose_credentials_cannot_be_kept(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials.json"
    credentials.mkdir()
    with pytest.raises(DarkroomError, match=r"credentials\.json: Is a directory"):
        asyncio.run(start(tmp_path))
    credentials.rmdir()
    asyncio.run(start(tmp_path))
    assert json.loads(credentials.read_text())["user"] == "admin"


@pytest.mark.parametrize("name", ["what?now", "a#b", "100%25 done", "ü 'q' \"r\""])
def test_a_data_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    data.mkdir()
    asyncio.run(start(data))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {"darkroom.db", "credentials.json", "secret.key"} <= {path.name for path in data.iterdir()}
