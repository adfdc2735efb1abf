"""What becomes of a frozen disk: generalised in a throw-away layer, flattened into an image, cleared away."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from darkroom.drivers.base import ImageFacts, Progress
from darkroom.drivers.qemu import accel, helper, process, serial
from darkroom.drivers.qemu.command import HelperOrder
from darkroom.drivers.qemu.files import Identity, held, host_full, remove_tree, write_record
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.images import ImageFolder, full_told
from darkroom.drivers.qemu.layout import MachinePlace
from darkroom.drivers.qemu.machines import MachineRecord, uuid_of
from darkroom.drivers.qemu.programs import ProgramFailed
from darkroom.drivers.qemu.snapshot import CaptureRecord, capture_of
from darkroom.errors import CaptureFailed, GeneraliseFailed, HostFull
from darkroom.guests.appliance import kernel_command_line, verdict
from darkroom.guests.generalise import generalise_task

_OVERLAY: Final = "overlay.qcow2"
_TASK: Final = "task.tar"
_MIB: Final = 1024 * 1024
#: Room that a capture leaves on the disk, in bytes.
_SPARE: Final = 64 * _MIB
#: The share of the time that copying takes; computing the digest takes the rest.
_COPY: Final = 0.6


@dataclass(frozen=True)
class Captures:
    """Works on frozen disks; QEMU and qemu-img run as `owner`."""

    images: ImageFolder
    kit: Kit
    owner: Identity | None

    async def generalise(
        self, place: MachinePlace, machine: MachineRecord, capture: str, accounts: Sequence[str], limit: float
    ) -> None:
        """Have the helper guest clean the frozen disk, in a throw-away layer over it. Raises GeneraliseFailed."""
        async with held(place.capture_lock(capture)):
            record = _flipped(capture_of(place, capture), GeneraliseFailed)
            if record.generalised:
                return
            if not self.kit.is_there:
                raise GeneraliseFailed(f"The helper guest is not in {self.kit.folder}.")
            try:
                await self._clean(place, machine, capture, record, accounts, limit)
            except ProgramFailed as problem:
                raise full_told(problem) or GeneraliseFailed(f"The image could not be made: {problem}.") from problem
            except ValueError as problem:
                raise GeneraliseFailed(f"The image could not be generalised: {problem}.") from problem
            except OSError as problem:
                raise host_full(problem) or GeneraliseFailed(f"The image could not be made: {problem}.") from problem
            write_record(place.capture_record(capture), msgspec.structs.replace(record, generalised=True))

    async def flatten(self, place: MachinePlace, capture: str, image_id: str, progress: Progress) -> ImageFacts:
        """Copy the frozen disk, generalised or not, into the image. Raises CaptureFailed and HostFull."""
        if done := self.images.facts(image_id):
            return done
        async with held(place.capture_lock(capture)):
            record = _flipped(capture_of(place, capture), CaptureFailed)
            bench = place.bench(capture).name
            source = f"{bench}/{_OVERLAY}" if record.generalised else record.frozen
            self.images.clear(image_id)
            try:
                size = await self._check_room(place.vm, source)
                with self.images.partial(image_id) as partial:
                    return await self._copy(place.vm, source, partial, image_id, size, progress)
            except ProgramFailed as problem:
                raise full_told(problem) or CaptureFailed(f"The disk could not be copied: {problem}.") from problem
            except OSError as problem:
                raise host_full(problem) or CaptureFailed(f"The disk could not be copied: {problem}.") from problem

    async def discard(self, place: MachinePlace, capture: str) -> None:
        """Remove the throw-away layer, ending a helper guest that may be at work on it, and the capture's record."""
        async with held(place.capture_lock(capture)):
            await process.end(uuid_of(place.home.name, capture))
            for folder in (place.bench(capture), place.draft(capture)):
                await asyncio.to_thread(remove_tree, folder)
            place.capture_record(capture).unlink(missing_ok=True)
            place.capture_lock(capture).unlink(missing_ok=True)

    async def _clean(
        self,
        place: MachinePlace,
        machine: MachineRecord,
        capture: str,
        record: CaptureRecord,
        accounts: Sequence[str],
        limit: float,
    ) -> None:
        bench = place.bench(capture)
        order = HelperOrder(
            name=f"darkroom-{machine.key}-generalise",
            uuid=uuid_of(machine.key, capture),
            accelerator=machine.accelerator,
            kernel=self.kit.kernel.name,
            initrd=self.kit.initrd.name,
            command_line=kernel_command_line("run"),
            disk=_OVERLAY,
            task=_TASK,
        )
        task = generalise_task(accounts)
        await helper.fresh_bench(bench, place.draft(capture), order, self.kit, self.owner, task=task)
        await self.images.tool.create(bench, _OVERLAY, backing=f"../{record.frozen}")
        groups = accel.kvm_groups(self.owner) if machine.accelerator == "kvm" else []
        text = await helper.run(bench, order, self.owner, groups, limit=limit, is_done=_has_failed)
        _judge(bench, text, limit)

    async def _check_room(self, vm: Path, source: str) -> int:
        """Return how many bytes the disk occupies. Raises HostFull if there may be no room for as many again."""
        layers = await self.images.tool.chain(vm, source)
        # As much as all layers occupy is the most that the image can need, give or take its tables.
        size = sum(int(layer["actual-size"]) for layer in layers)
        needed = size + _SPARE
        free = shutil.disk_usage(self.images.layout.data).free
        if free < needed:
            raise HostFull(f"The image may need {needed // _MIB} MiB and {free // _MIB} MiB of room are left for data.")
        return size

    async def _copy(
        self, vm: Path, source: str, partial: Path, image_id: str, size: int, progress: Progress
    ) -> ImageFacts:
        loop = asyncio.get_running_loop()

        def copied(percent: float) -> None:
            loop.call_soon_threadsafe(progress, int(size * _COPY * percent / 100), size)

        def hashed(done: int, total: int) -> None:
            progress(int(size * (_COPY + (1 - _COPY) * done / max(total, 1))), size)

        progress(0, size)
        await self.images.tool.convert(vm, source, partial, percent=copied)
        return await self.images.publish(partial, image_id, progress=hashed)


def _flipped(record: CaptureRecord | None, fault: type[GeneraliseFailed] | type[CaptureFailed]) -> CaptureRecord:
    if record is None or not record.flipped:
        raise fault("There is no snapshot of the disk for this capture.")
    return record


def _has_failed(text: str) -> bool:
    # After "ok" the guest is left to power off, so that QEMU closes the disk in good order.
    return verdict(text).outcome == "failed"


def _judge(bench: Path, text: str, limit: float) -> None:
    found = verdict(text)
    if found.outcome == "ok":
        return
    if found.outcome == "failed":
        why = found.reason
    else:
        why = process.complaint(bench) or f"the helper guest came to no result within {limit:.0f} s"
    raise GeneraliseFailed(f"The image could not be generalised: {why}.{serial.told(bench)}")
