"""A data folder whose disk is really full: what a capture makes of it, and a machine that had to stand still."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from driver_harness import new_capture, new_image
from test_qemu_driver import World, run

from darkroom.domain.ids import ServerId
from darkroom.drivers.base import no_progress
from darkroom.drivers.qemu.qmp import monitor
from darkroom.errors import HostFull
from darkroom.guests import Kit as BuiltKit

pytestmark = pytest.mark.qemu

#: MiB that the disk has; a machine is not begun with less than 1024 free.
SIZE = 1300


@pytest.fixture
def world(kit: BuiltKit, tmp_path: Path) -> Iterator[World]:
    data = tmp_path / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "tmpfs", str(data)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        world = World(data, kit)
        yield world
        world.close()
    finally:
        subprocess.run(["umount", str(data)], check=True)


def fill(world: World) -> Path:
    """Take all the room that the disk has left."""
    filler = world.data / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    return filler


def status(world: World, key: ServerId) -> str:
    async def ask() -> str:
        async with monitor(world.vm(key)) as qemu:
            return await qemu.status()

    return run(ask())


def becomes(world: World, key: ServerId, wanted: str) -> None:
    deadline = time.monotonic() + 40
    while (seen := status(world, key)) != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)


def test_a_disk_that_fills_while_it_is_captured_is_told_and_leaves_no_half_image(world: World) -> None:
    key = world.boot()
    world.sh(key, "dd if=/dev/urandom of=/opt/data bs=1M count=60 && sync")
    capture, image_id = new_capture(), new_image()
    run(world.compute.snapshot(key, capture))
    fillers = []

    def somebody_fills_it(done: int, _total: int) -> None:
        if done and not fillers:
            fillers.append(fill(world))

    with pytest.raises(HostFull):
        run(world.compute.flatten(key, capture, image_id, progress=somebody_fills_it))
    assert not list((world.data / "images").glob(f"{image_id}*"))
    fillers[0].unlink()
    facts = run(world.compute.flatten(key, capture, image_id, progress=no_progress))
    assert facts.size > 60 << 20
    run(world.compute.discard(key, capture))


def test_a_machine_that_stood_still_for_want_of_room_goes_on_once_there_is_some(world: World) -> None:
    key = world.boot()
    filler = fill(world)
    # A little later and in the background: a machine that stands still answers nobody.
    writing = "sleep 2; dd if=/dev/urandom of=/opt/data bs=1M count=40 conv=fsync"
    world.sh(key, f"({writing}) >/run/told 2>&1 &")
    becomes(world, key, "io-error")
    filler.unlink()
    becomes(world, key, "running")
    assert "40+0 records out" in world.sh(key, "until grep 'records out' /run/told; do sleep 0.1; done")
