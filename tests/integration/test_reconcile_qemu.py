"""Reconciliation with real machines: QEMU dies behind the service's back, folders and processes are nobody's."""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_harness import new_account, new_image, pieces, pieces_of

from darkroom.domain.ids import ImageId, ServerId, Snowflakes
from darkroom.domain.servers import ServerStatus
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Door, GuestAccount, MachineSpec, MachineState
from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.machines import uuid_of
from darkroom.guests import Kit
from darkroom.workflows.reconcile import STARTS, Machines
from darkroom.workflows.reconcile_images import STALE, ImageFiles
from house import DAY, PROJECT, Records

pytestmark = pytest.mark.qemu

GIB = 1 << 30
#: A disk that a machine runs from without ever coming up.
NO_SYSTEM = b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa"


class World(Records):
    """Records over the QEMU driver."""

    def __init__(self, data: Path, kit: Kit) -> None:
        self.compute = QemuCompute(data, kit.tiny.parent, accelerator="tcg")
        super().__init__(data, self.compute, self.compute.image_store)
        asyncio.run(self.compute.start())

    def add_file(self, chunks: Any) -> ImageId:
        image_id = new_image()
        self.run(self.compute.image_store.receive(image_id, chunks))
        self.add_image(image_id)
        return image_id

    def boot(self, key: ServerId, image_id: ImageId) -> ServerId:
        spec = MachineSpec(name="reconciled", image_id=image_id, cpus=1, memory_mib=256, disk_bytes=GIB)
        self.run(self.compute.create(key, spec))
        return key

    def sh(self, key: ServerId, script: str) -> str:
        ended = self.run(self.compute.run(key, ["/bin/sh", "-c", script], timeout=60))
        assert ended.exit_code == 0, ended.output
        return str(ended.output)

    def home(self, key: ServerId) -> Path:
        return self.data / "machines" / key

    def pids(self, key: ServerId) -> list[int]:
        return list(process.bearers(uuid_of(key)))

    def kill(self, key: ServerId) -> None:
        """End a machine as the kernel does where memory runs out."""
        (pid,) = self.pids(key)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not process.lives(self.home(key) / "vm"), "it has ended")

    def reconcile(self) -> None:
        self.run(Machines(self.tools).reconcile())
        self.run(ImageFiles(self.tools).reconcile())


def eventually(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, f"it never happened that {what}"
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path, kit: Kit) -> Iterator[World]:
    world = World(tmp_path, kit)
    yield world
    for machine in world.run(world.compute.machines()):
        world.run(world.compute.delete(machine.key))
    world.run(world.compute.stop())
    world.store.close()


def access_of(world: World, key: ServerId) -> Door:
    access = world.run(world.store.servers.access(world.run(world.store.servers.get(PROJECT, key))))
    return Door(address=access.address, port=access.port, host_key=access.host_key)


def test_a_machine_that_died_comes_back_with_its_work_and_its_account(world: World, kit: Kit) -> None:
    account = new_account("builder")
    base = world.add_file(pieces_of(kit.tiny))
    key = world.boot(ServerId(world.snowflakes.mint()), base)
    world.run(world.compute.await_guest(key, timeout=120))
    door = world.run(world.compute.admit(key, account))
    world.add_server(key, base, ServerStatus.ACTIVE, account, door)
    world.sh(key, "echo half-finished > /root/work && sync")

    world.kill(key)
    found = world.run(world.compute.find(key))
    assert (found.state, found.why) == (MachineState.STOPPED, "QEMU ended without a word")
    with socket.socket() as taken:  # somebody else has its port by now
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", door.port))
        taken.listen()
        world.reconcile()

    assert (world.status(key), world.run(world.compute.find(key)).state) == ("ACTIVE", MachineState.RUNNING)
    assert world.kinds(key)[-3:] == ["server.machine_stopped", "server.door_moved", "server.restarted"]
    world.run(world.compute.await_guest(key, timeout=120))
    assert world.sh(key, "cat /root/work") == "half-finished"
    moved = access_of(world, key)
    assert (moved.port != door.port, moved.host_key) == (True, door.host_key)
    world.run(world.compute.try_login(key, account, moved, timeout=90))


def test_a_machine_that_dies_again_and_again_is_given_up_and_its_disk_stays(world: World) -> None:
    base = world.add_file(pieces(NO_SYSTEM))
    key = world.boot(ServerId(world.snowflakes.mint()), base)
    account = GuestAccount(name="builder", password="p", public_key="k", private_key="k")
    world.add_server(key, base, ServerStatus.BUILT, account, Door(address="127.0.0.1", port=1, host_key="k"))
    for _ in range(STARTS):
        world.kill(key)
        world.reconcile()
        assert len(world.pids(key)) == 1
    world.kill(key)
    world.reconcile()
    assert (world.status(key), world.pids(key)) == ("ERROR", [])
    assert "QEMU ended without a word" in world.told(key)[-1][1]["reason"]
    assert (world.home(key) / "vm" / "disk-0.qcow2").exists()


def test_a_disk_that_is_gone_is_never_made_anew(world: World) -> None:
    base = world.add_file(pieces(NO_SYSTEM))
    key = world.boot(ServerId(world.snowflakes.mint()), base)
    account = GuestAccount(name="builder", password="p", public_key="k", private_key="k")
    world.add_server(key, base, ServerStatus.ACTIVE, account, Door(address="127.0.0.1", port=1, host_key="k"))
    world.kill(key)
    (world.home(key) / "vm" / "disk-0.qcow2").unlink()
    for _ in range(STARTS + 1):
        world.reconcile()
    assert (world.status(key), world.pids(key)) == ("ERROR", [])
    assert not (world.home(key) / "vm" / "disk-0.qcow2").exists()


def test_folders_processes_and_files_that_are_nobodys_are_removed(world: World) -> None:
    base = world.add_file(pieces(NO_SYSTEM))
    old = Snowflakes(lambda: now_ms() - DAY)
    whole, unrecorded, homeless = (world.boot(ServerId(old.mint()), base) for _ in range(3))
    kept = world.boot(ServerId(world.snowflakes.mint()), base)
    (world.home(unrecorded) / "machine.json").unlink()
    shutil.rmtree(world.home(homeless))
    images = world.data / "images"
    half = images / "0c51d2a4-0000-4000-8000-000000000001.0123abcd.partial"
    note = images / "0c51d2a4-0000-4000-8000-000000000002.json"
    fresh = images / "0c51d2a4-0000-4000-8000-000000000003.0123abcd.partial"
    for path in (half, note, fresh):
        path.write_bytes(b"half")
    for path in (half, note):
        os.utime(path, (time.time() - STALE - 60, time.time() - STALE - 60))
    assert [len(world.pids(key)) for key in (whole, unrecorded, homeless, kept)] == [1, 1, 1, 1]
    world.once_knew(whole, unrecorded, homeless)

    world.reconcile()

    assert [world.pids(key) for key in (whole, unrecorded, homeless)] == [[], [], []]
    assert {path.name for path in (world.data / "machines").iterdir()} == {kept}
    assert len(world.pids(kept)) == 1, "a young one is let be"
    for key in (whole, unrecorded, homeless):
        assert world.kinds(key)[-1] == "machine.orphan_removed"
    assert {path.name for path in images.iterdir()} == {f"{base}.qcow2", f"{base}.json", fresh.name}
