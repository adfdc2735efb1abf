"""One machine's disk and process: made, started, and started again from its disk."""

import asyncio
import logging
import shutil
import socket
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from darkroom.drivers.base import MachineSpec
from darkroom.drivers.qemu import accel, command, layout, process
from darkroom.drivers.qemu.command import MachineOrder
from darkroom.drivers.qemu.files import Identity, host_full, link_or_copy, make_folder, read_record, write_record
from darkroom.drivers.qemu.images import ImageFolder, full_told
from darkroom.drivers.qemu.layout import MachinePlace
from darkroom.drivers.qemu.programs import PACKAGES, ProgramFailed, missing
from darkroom.drivers.qemu.qmp import MonitorFailed, monitor
from darkroom.errors import HostFull, MachineFailed

_log = logging.getLogger(__name__)

_NAMESPACE: Final = uuid.UUID("6b1f4a52-2f0e-5d3c-9d55-0c8a3f7e41d6")
_MIB: Final = 1024 * 1024

#: What QEMU needs beside the guest's memory (seen: 60 MiB, and the cache of translated code), in MiB.
_OVERHEAD_MIB: Final = 200
#: A machine is not begun with less room than this for its overlay: a guest writes some hundred MB while it boots
#: and installs, and a full disk stops every machine of the host, not the new one alone.
_ROOM: Final = 1024 * _MIB
#: Seconds until QEMU must answer, and ports tried when others are quicker to take them.
_ANSWER, _PORTS = 30.0, 5


class MachineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the service must know of a machine to run it; `disk` is the layer that it writes to."""

    key: str
    spec: MachineSpec
    uuid: str
    accelerator: str
    ssh_port: int = 0
    disk: str = layout.FIRST_DISK


class _PortTaken(Exception):
    pass


def uuid_of(key: str, *more: str) -> str:
    """Return the UUID of a machine, or of something that is done to it: the same whenever it is asked for."""
    return str(uuid.uuid5(_NAMESPACE, "/".join((key, *more))))


def record_of(place: MachinePlace) -> MachineRecord | None:
    """Return the machine's record, or None: what has none that can be read is only what is left of a machine."""
    try:
        return read_record(place.record, MachineRecord)
    except (ValueError, IsADirectoryError) as problem:
        _log.warning("the record of the machine %s cannot be read: %s", place.home.name, problem)
        return None


@dataclass(frozen=True)
class Machines:
    """Makes and starts machines; QEMU runs as `owner`."""

    images: ImageFolder
    owner: Identity | None

    async def check(self, spec: MachineSpec) -> None:
        """Raise what Compute.check raises."""
        for program in PACKAGES:
            if shutil.which(program) is None:
                raise missing(program)
        await self._size(spec)
        await self.images.try_reading(spec.image_id)

    async def prepare(self, place: MachinePlace, record: MachineRecord) -> None:
        """Make the folder and the first layer of the disk, if a crash or nobody has done so before."""
        make_folder(place.vm, self.owner)
        if (place.vm / record.disk).exists():
            return
        size = await self._size(record.spec)
        link_or_copy(self.images.layout.image(record.spec.image_id), place.vm / layout.BASE)
        try:
            await self.images.tool.create(place.vm, layout.FIRST_DISK, backing=layout.BASE, size=size)
        except ProgramFailed as problem:
            raise full_told(problem) or MachineFailed(f"The disk could not be made: {problem}.") from problem

    async def boot(self, place: MachinePlace, record: MachineRecord) -> MachineRecord:
        """Start the machine and return its record with the port it now has. Raises MachineFailed."""
        groups = accel.kvm_groups(self.owner) if record.accelerator == "kvm" else []
        for _ in range(_PORTS):
            record = msgspec.structs.replace(record, ssh_port=_free_port(record.ssh_port))
            write_record(place.record, record)
            try:
                await self._launch(place.vm, record, groups)
            except _PortTaken:
                continue
            return record
        raise MachineFailed(f"No free port was found for the machine's SSH in {_PORTS} attempts.")

    async def _size(self, spec: MachineSpec) -> int:
        """Return the size in bytes that the disk will have. Raises ImageDamaged, and HostFull if there is no room."""
        facts = await self.images.verify(spec.image_id)
        _check_memory(spec.memory_mib)
        _check_room(self.images.layout.data)
        # A disk shorter than its image would cut the guest's last partition off.
        return max(spec.disk_bytes, facts.virtual_size)

    async def _launch(self, vm: Path, record: MachineRecord, groups: Sequence[int]) -> None:
        spec = record.spec
        order = MachineOrder(
            key=record.key,
            uuid=record.uuid,
            cpus=spec.cpus,
            memory_mib=spec.memory_mib,
            disk=record.disk,
            ssh_port=record.ssh_port,
            accelerator=record.accelerator,
        )
        try:
            process.spawn(command.machine(order), vm, self.owner, groups)
            if not await answers(vm, record.uuid):
                raise _early_end(process.complaint(vm))
        except BaseException:
            await process.end(record.uuid)
            raise


async def answers(vm: Path, uuid: str) -> bool:
    """Return True once the process in `vm` is known to be the machine, ready for commands; False if it has ended."""
    deadline = time.monotonic() + _ANSWER
    while process.lives(vm):
        if time.monotonic() > deadline:
            raise MachineFailed(f"QEMU did not become ready within {_ANSWER:.0f} s. {process.complaint(vm)}")
        with suppress(MonitorFailed):
            async with monitor(vm, limit=5.0) as qemu:
                if await qemu.uuid() == uuid:
                    return True
        await asyncio.sleep(0.02)
    return False


def _early_end(complaint: str) -> Exception:
    if "host forwarding rule" in complaint:
        return _PortTaken()
    return MachineFailed(f"QEMU ended at once: {complaint or 'it did not say why'}")


def _free_port(wanted: int) -> int:
    """Return `wanted` if it is free, else any free port of the loopback address. QEMU may still find it taken."""
    for port in (wanted, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(trial.getsockname()[1])
    raise MachineFailed("The host has no free port on 127.0.0.1.")


def _check_memory(memory_mib: int) -> None:
    needed, available = memory_mib + _OVERHEAD_MIB, _available_mib()
    if available < needed:
        raise HostFull(f"The machine needs {needed} MiB of memory and the host has {available} MiB available.")


def _available_mib() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kib // 1024


def _check_room(data: Path) -> None:
    free = shutil.disk_usage(data).free
    if free < _ROOM:
        raise HostFull(f"The data folder has {free // _MIB} MiB of room left and a machine needs {_ROOM // _MIB} MiB.")


def as_fault(problem: OSError) -> Exception:
    """Return the fault to raise for a failure of the host's files."""
    return host_full(problem) or MachineFailed(f"The host refused: {problem}.")
