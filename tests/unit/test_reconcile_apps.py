"""Reconciliation of applications: dead uploads begin anew, those that live are let be."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest

from darkroom.domain.apps import AppKind, AppOrder, AppRecord, AppStatus
from darkroom.errors import Conflict
from darkroom.services import uploads
from darkroom.services.apps import Apps
from darkroom.workflows.reconcile_apps import AppUploads
from darkroom.workflows.reconcile_images import SILENCE_MS, STALE
from house import MINUTE, PROJECT, World, administrator

ORDER = AppOrder(name="nginx", version="1", kind=AppKind.PACKAGE, file_name="nginx.deb")


@pytest.fixture
def apps(world: World) -> Apps:
    return Apps(world.store, world.tools.app_files, world.snowflakes, world.clock)


@pytest.fixture
def record(world: World, apps: Apps) -> AppRecord:
    """A record that waits for its file."""
    added: AppRecord = world.run(apps.add(administrator(), PROJECT, ORDER))
    return added


def reconcile(world: World) -> None:
    assert world.run(AppUploads(world.tools).reconcile()) == []


def status(world: World, record: AppRecord) -> str:
    return str(world.run(world.store.apps.get(PROJECT, record.id)).status)


async def content(*some: bytes) -> AsyncIterator[bytes]:
    for each in some:
        yield each


def upload(apps: Apps, record: AppRecord, chunks: AsyncIterator[bytes]) -> object:
    return apps.upload(administrator(), PROJECT, record.id, chunks, size=0)


def test_an_upload_whose_process_died_is_given_up_after_a_minute_of_silence(world: World, record: AppRecord) -> None:
    world.write(lambda tx: tx.apps.change(record, world.clock(), of=AppStatus.QUEUED, status=AppStatus.SAVING))
    world.clock.passes(SILENCE_MS)
    reconcile(world)
    assert status(world, record) == "saving"
    world.clock.passes(1)
    reconcile(world)
    assert status(world, record) == "queued"


def test_an_upload_gives_signs_of_life_for_as_long_as_it_takes(
    world: World, apps: Apps, record: AppRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "BEAT", 0.01)

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        for _ in range(3):
            world.clock.passes(MINUTE)
            while (await world.store.apps.get(PROJECT, record.id)).updated_at < world.clock():
                await asyncio.sleep(0.01)
            await AppUploads(world.tools).reconcile()

    world.run(upload(apps, record, slow()))
    assert status(world, record) == "active"
    assert world.kinds(record.id) == ["app.added", "app.changed", "app.changed"], "signs of life are no events"


def test_an_upload_that_was_given_up_does_not_end_the_one_that_came_after_it(
    world: World, apps: Apps, record: AppRecord
) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"one"
        world.clock.passes(SILENCE_MS + 1)
        await AppUploads(world.tools).reconcile()
        await world.store.write(
            lambda tx: tx.apps.change(record, world.clock() + 1, of=AppStatus.QUEUED, status=AppStatus.SAVING)
        )

    with pytest.raises(Conflict, match="given up"):
        world.run(upload(apps, record, stalls()))
    assert status(world, record) == "saving"


def test_an_upload_that_breaks_off_waits_for_its_file_again(world: World, apps: Apps, record: AppRecord) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"one"
        raise OSError("the client left")

    with pytest.raises(OSError, match="the client left"):
        world.run(upload(apps, record, breaks()))
    assert status(world, record) == "queued"
    world.run(upload(apps, record, content(b"whole")))
    assert status(world, record) == "active"


def test_what_is_half_written_and_old_is_removed(world: World) -> None:
    folder = world.data / "apps"
    folder.mkdir(exist_ok=True)
    old, fresh = folder / ".1.dead.part", folder / ".2.live.part"
    for part in (old, fresh):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - STALE - 1,) * 2)
    reconcile(world)
    assert (old.exists(), fresh.exists()) == (False, True)
