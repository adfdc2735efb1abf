"""Reconciliation of images: files that are nobody's go, files that are missing are told of, dead uploads begin anew."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from darkroom.domain.chores import Problem
from darkroom.domain.images import ImageStatus
from darkroom.domain.jobs import JobType, SubJobStatus
from darkroom.domain.limits import Quota
from darkroom.drivers.base import ImageFacts
from darkroom.errors import Conflict
from darkroom.services import uploads
from darkroom.services.images import Images
from darkroom.workflows.reconcile_images import SILENCE_MS, STALE, ImageFiles
from house import MINUTE, PROJECT, World, administrator

DISK = bytes(510) + b"\x55\xaa"


def reconcile(world: World) -> list[Problem]:
    return world.run(ImageFiles(world.tools).reconcile())


def stored(world: World) -> set[str]:
    return set(world.run(world.images.stored()))


def status(world: World, image_id: str) -> str:
    return world.run(world.store.images.get(PROJECT, image_id)).status


def half(world: World, image_id: str, age: float) -> Path:
    """Leave behind what a writer that died has written of an image."""
    path = world.data / "images" / f".{image_id}.disk.0123abcd.part"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_file_that_has_no_record_any_more_is_removed_and_told_of(world: World) -> None:
    deleted, built = world.file(), world.file()
    world.once_knew(deleted)
    world.job(SubJobStatus.FAILED, job_type=JobType.CREATE_SERVER_IMAGE, order={"image_id": built})
    assert reconcile(world) == []
    assert stored(world) == {world.base}
    assert world.kinds(deleted)[-1] == world.kinds(built)[-1] == "image.orphan_removed"


def test_a_file_of_which_the_records_never_knew_is_left_alone_and_told_of(world: World) -> None:
    foreign = world.file()
    (problem,) = reconcile(world)
    assert (problem.resource_id, foreign in stored(world)) == (foreign, True)


def test_the_image_that_a_running_build_makes_is_let_be(world: World) -> None:
    image_id = world.file()
    world.job(SubJobStatus.RUNNING, job_type=JobType.CREATE_SERVER_IMAGE, order={"image_id": image_id})
    reconcile(world)
    assert image_id in stored(world)


def test_what_is_half_written_and_old_is_removed_unless_somebody_is_at_work_on_it(world: World) -> None:
    saving = world.image(ImageStatus.SAVING)
    building = "0c51d2a4-0000-4000-8000-000000000001"
    world.job(SubJobStatus.RUNNING, job_type=JobType.CREATE_SERVER_IMAGE, order={"image_id": building})
    dead = half(world, "0c51d2a4-0000-4000-8000-000000000002", STALE + 60)
    kept = [
        half(world, "0c51d2a4-0000-4000-8000-000000000003", 0),
        half(world, saving, STALE + 60),
        half(world, building, STALE + 60),
    ]
    reconcile(world)
    assert [path.exists() for path in (dead, *kept)] == [False, True, True, True]
    assert world.base in stored(world)


def test_an_image_whose_file_has_disappeared_is_told_of_once_and_stays_a_problem(world: World) -> None:
    image_id = world.image()
    world.run(world.images.remove(image_id))
    for _ in range(2):
        (problem,) = reconcile(world)
        assert (problem.project_id, problem.resource_id) == (PROJECT, image_id)
    assert status(world, image_id) == "active", "the record stays, for the file may be restored"
    assert world.kinds(image_id).count("image.file_missing") == 1
    world.run(world.images.receive(image_id, chunks([DISK])))
    assert reconcile(world) == []


def test_a_fault_with_one_image_keeps_no_other_from_being_seen_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [world.image(), world.image()]
    for image_id in images:
        world.run(world.images.remove(image_id))
    facts = world.images.facts

    async def fails(image_id: str) -> ImageFacts | None:
        if image_id == images[0]:
            raise ValueError("torn")
        return await facts(image_id)

    monkeypatch.setattr(world.images, "facts", fails)
    assert {problem.resource_id for problem in reconcile(world)} == set(images)
    assert "image.file_missing" in world.kinds(images[1])


def test_a_queued_image_needs_no_file(world: World) -> None:
    image_id = world.image(ImageStatus.QUEUED)
    world.run(world.images.remove(image_id))
    assert reconcile(world) == []


# Uploads


async def chunks(some: list[bytes]) -> AsyncIterator[bytes]:
    for each in some:
        yield each


def test_an_upload_that_gives_no_sign_of_life_is_given_up(world: World) -> None:
    dead = world.image(ImageStatus.SAVING)
    world.clock.passes(SILENCE_MS)
    alive = world.image(ImageStatus.SAVING)
    reconcile(world)
    assert (status(world, dead), status(world, alive)) == ("saving", "saving")
    world.clock.passes(1)
    reconcile(world)
    assert (status(world, dead), status(world, alive)) == ("queued", "saving")


def test_an_upload_gives_signs_of_life_for_as_long_as_it_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BEAT", 0.01)
    images = Images(world.store, world.images, Quota(), world.clock)
    image_id = world.image(ImageStatus.QUEUED)

    async def slow() -> AsyncIterator[bytes]:
        yield DISK
        for _ in range(3):
            world.clock.passes(MINUTE)
            while (await world.store.images.get(PROJECT, image_id)).updated_at < world.clock():
                await asyncio.sleep(0.01)
            await ImageFiles(world.tools).reconcile()

    async def upload() -> None:
        async with asyncio.timeout(60):
            await images.upload(administrator(), image_id, slow())

    world.run(upload())
    assert status(world, image_id) == "active"
    assert world.kinds(image_id) == ["image.added", "image.changed", "image.changed"], "signs of life are no events"


@pytest.mark.parametrize("fails", [True, False])
def test_an_upload_that_was_given_up_changes_nothing_any_more(world: World, fails: bool) -> None:
    images = Images(world.store, world.images, Quota(), world.clock)
    image_id = world.image(ImageStatus.QUEUED)

    async def stalls() -> AsyncIterator[bytes]:
        yield DISK
        world.clock.passes(SILENCE_MS + 1)
        await ImageFiles(world.tools).reconcile()
        world.clock.passes(1)
        await images.upload(administrator(), image_id, chunks([DISK, b"the second"]))
        if fails:
            raise OSError("the client left")

    with pytest.raises(Conflict, match="given up"):
        world.run(images.upload(administrator(), image_id, stalls()))
    image, facts = world.run(world.store.images.get(PROJECT, image_id)), world.run(world.images.facts(image_id))
    assert (image.status, image.size, image.sha256) == ("active", facts.size, facts.sha256)
    assert facts.size == len(DISK) + len(b"the second")


def test_a_second_uploads_hold_is_not_broken_by_the_first(world: World) -> None:
    """The first one fails while the second goes on: the image is still the second's."""
    images = Images(world.store, world.images, Quota(), world.clock)
    image_id = world.image(ImageStatus.QUEUED)

    async def first() -> AsyncIterator[bytes]:
        world.clock.passes(SILENCE_MS + 1)
        await ImageFiles(world.tools).reconcile()
        record = await world.store.images.get(PROJECT, image_id)
        now = world.clock() + 1
        await world.store.write(lambda tx: tx.images.change(record, now, of=ImageStatus.QUEUED, status="saving"))
        raise OSError("the client left")
        yield b""

    with pytest.raises(Conflict, match="given up"):
        world.run(images.upload(administrator(), image_id, first()))
    assert status(world, image_id) == "saving"
