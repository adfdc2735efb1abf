"""What lies in the folder of machines and is none, or none any more: it keeps no machine from being seen to."""

import asyncio
import os
import subprocess
import uuid
from pathlib import Path

import msgspec
import pytest

from darkroom.domain.ids import ServerId, Snowflakes
from darkroom.domain.servers import ServerStatus
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Door, GuestAccount, MachineSpec, MachineState
from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.files import identity_of
from darkroom.drivers.qemu.layout import Layout
from darkroom.drivers.qemu.machines import MachineRecord, uuid_of
from darkroom.drivers.qemu.programs import drop_to
from darkroom.workflows.reconcile import Machines
from house import DAY, Records

TORN = [b"", b'{"key":"1', b"\xff\xfe", b"{}", b"null", None]


@pytest.fixture
def compute(tmp_path: Path) -> QemuCompute:
    return QemuCompute(tmp_path, tmp_path / "kit", accelerator="tcg")


def whole(data: Path, name: str, key: str = "") -> None:
    """Leave a stopped machine in a folder of that name."""
    spec = MachineSpec(name="n", image_id="i", cpus=1, memory_mib=64, disk_bytes=1 << 20)
    record = MachineRecord(key=key or name, spec=spec, uuid=uuid_of(key or name), accelerator="tcg")
    (data / "machines" / name / "vm").mkdir(parents=True)
    (data / "machines" / name / "machine.json").write_bytes(msgspec.json.encode(record))


def torn(data: Path, key: str, content: bytes | None = b"") -> None:
    """Leave a machine whose record cannot be read; without content, a folder lies in its place."""
    record = Layout(data).machine(key).record
    record.parent.mkdir(parents=True)
    record.mkdir() if content is None else record.write_bytes(content)


def listed(compute: QemuCompute) -> dict[str, MachineState]:
    return {machine.key: machine.state for machine in asyncio.run(compute.machines())}


def test_what_has_no_servers_id_for_a_name_is_no_machine(compute: QemuCompute, tmp_path: Path) -> None:
    whole(tmp_path, "123")
    for copy in ("123 copy", "123.bak", "١٢٣"):
        whole(tmp_path, copy, "123")
    (tmp_path / "machines" / "lost+found").mkdir()
    (tmp_path / "machines" / "124").touch()
    assert listed(compute) == {"123": MachineState.STOPPED}
    assert asyncio.run(compute.captures()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_the_user_that_qemu_runs_as_finds_no_way_from_one_machine_to_the_next(
    compute: QemuCompute, tmp_path: Path
) -> None:
    owner = identity_of("nobody")
    assert owner
    for key in ("1", "2"):
        whole(tmp_path, key)
        (tmp_path / "machines" / key / "vm" / "disk-0.qcow2").touch()

    def reads(name: str) -> bool:
        ended = subprocess.run(["cat", name], cwd=tmp_path / "machines" / "1" / "vm", check=False, **drop_to(owner))
        return ended.returncode == 0

    for call in (compute.start, compute.stop):
        asyncio.run(call())
    assert (reads("disk-0.qcow2"), reads("../../2/vm/disk-0.qcow2")) == (True, False)


@pytest.mark.parametrize("content", TORN)
def test_a_machine_whose_record_cannot_be_read_is_damaged_and_can_be_deleted(
    compute: QemuCompute, tmp_path: Path, content: bytes | None
) -> None:
    torn(tmp_path, "122", content)
    whole(tmp_path, "123")
    assert listed(compute) == {"122": MachineState.DAMAGED, "123": MachineState.STOPPED}
    assert asyncio.run(compute.find(ServerId("122"))) is None, "what is only left of one is no machine"
    asyncio.run(compute.delete(ServerId("122")))
    assert listed(compute) == {"123": MachineState.STOPPED}


def test_the_service_starts_whatever_lies_there(compute: QemuCompute, tmp_path: Path) -> None:
    torn(tmp_path, "121")
    whole(tmp_path, "122 copy", "122")
    whole(tmp_path, "123")
    home, mark = tmp_path / "machines" / "123", str(uuid.uuid4())
    (home / "pausing").touch()
    (home / "capture-7.json").touch()
    os.mkfifo(home / "vm" / "fifo")
    process.spawn(["sh", "-c", "read nothing <fifo", "sh", "-uuid", mark, ""], home / "vm", None, [])

    async def start() -> None:
        await compute.start()
        await compute.stop()
        await process.end(mark)

    asyncio.run(start())


def test_machines_whose_records_cannot_be_read_keep_no_other_from_being_seen_to(
    compute: QemuCompute, tmp_path: Path
) -> None:
    world, old = Records(tmp_path, compute, compute.image_store), Snowflakes(lambda: now_ms() - DAY)
    orphans, foreign, server = [ServerId(old.mint()) for _ in range(2)], ServerId(old.mint()), ServerId(old.mint())
    for key in (*orphans, foreign, server):
        torn(tmp_path, key)
    world.once_knew(*orphans)
    account = GuestAccount(name="builder", password="p", public_key="k", private_key="k")
    door = Door(address="127.0.0.1", port=1, host_key="k")
    world.add_server(server, "i", ServerStatus.ACTIVE, account, door)
    (problem,) = world.run(Machines(world.tools).reconcile())
    assert problem.resource_id == foreign
    assert world.status(server) == "ERROR"
    assert set(listed(compute)) == {foreign, server}
    world.store.close()
