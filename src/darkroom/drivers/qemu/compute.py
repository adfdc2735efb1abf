"""Compute on this host: plain QEMU processes, each in a folder of its own, that outlive the service."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from darkroom.domain.ids import ImageId, JobId, ServerId
from darkroom.drivers import ssh
from darkroom.drivers.base import (
    Door,
    GuestAccount,
    ImageFacts,
    Machine,
    MachineSpec,
    MachineState,
    Progress,
    Snapshot,
)
from darkroom.drivers.qemu import accel, guest, process, serial
from darkroom.drivers.qemu.accel import Accelerator
from darkroom.drivers.qemu.agent import AgentRefused, AgentSilent, agent
from darkroom.drivers.qemu.capture import Captures
from darkroom.drivers.qemu.files import Identity, held, identity_of, remove_tree, sync_folder, write_record
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.images import FolderImageStore, ImageFolder, full_told
from darkroom.drivers.qemu.layout import Layout, MachinePlace
from darkroom.drivers.qemu.machines import MachineRecord, Machines, as_fault, record_of, uuid_of
from darkroom.drivers.qemu.programs import ProgramFailed
from darkroom.drivers.qemu.qemu_img import QemuImg
from darkroom.drivers.qemu.qmp import MonitorFailed
from darkroom.drivers.qemu.snapshot import Flipper, is_held
from darkroom.errors import (
    AccountFailed,
    CaptureFailed,
    DeleteFailed,
    GeneraliseFailed,
    GuestSilent,
    MachineFailed,
    SnapshotFailed,
)

_log = logging.getLogger(__name__)

#: Seconds between two rounds of the housekeeper, and that a guest gets to shut down when it is released.
_ROUND: Final = 10.0
_SHUTDOWN: Final = 120.0


class QemuCompute:
    """Runs machines under `data` as plain QEMU processes; see Compute for what each call promises.

    `kit` holds the helper guest that generalises disks. Where the service is root, QEMU runs as `qemu_user`. Nothing
    here is bound to an event loop, so calls may come from several.
    """

    def __init__(
        self,
        data: Path,
        kit: Path,
        *,
        accelerator: Literal["auto", "kvm", "tcg"] = "auto",
        qemu_user: str = "nobody",
    ) -> None:
        self._layout = Layout(data.absolute())
        self._kit = Kit(kit.absolute())
        self._setting: Literal["auto", "kvm", "tcg"] = accelerator
        self._user = qemu_user
        self._housekeeper: threading.Thread | None = None
        self._halt = threading.Event()

    @property
    def image_store(self) -> FolderImageStore:
        """The store of the images that machines here start from and are captured into."""
        return FolderImageStore(self._images)

    async def start(self) -> None:
        """See Compute. Guests that a crash of the service left frozen or paused run on."""
        self._layout.data.mkdir(parents=True, exist_ok=True)
        self._images.make()
        self._images.sweep()
        for place in self._layout.machines():
            await self._take_over(place)
        # A thread, because a task would die with the event loop that happened to start it.
        self._halt.clear()
        self._housekeeper = threading.Thread(target=self._keep_house, name="qemu-housekeeper", daemon=True)
        self._housekeeper.start()

    async def stop(self) -> None:
        """See Compute."""
        self._halt.set()
        if self._housekeeper:
            await asyncio.to_thread(self._housekeeper.join)
            self._housekeeper = None

    async def accelerator(self) -> Accelerator:
        """Return what machines are run by, and why. Raises QemuMissing, and MachineFailed if QEMU's user is unknown."""
        return await accel.choose(self._setting, self._kit, self._layout.accelerator_verdict, self._owner)

    async def check(self, spec: MachineSpec) -> None:
        """See Compute."""
        try:
            await self._machines.check(spec)
        except OSError as problem:
            raise as_fault(problem) from problem

    async def create(self, key: ServerId, spec: MachineSpec) -> Machine:
        """See Compute. A machine that has ended is started again from its disk."""
        place = self._layout.machine(key)
        place.home.mkdir(parents=True, exist_ok=True, mode=0o711)
        try:
            async with held(place.lock):
                return await self._create(place, key, spec)
        except (ProgramFailed, MonitorFailed) as problem:
            raise MachineFailed(f"The machine could not be started: {problem}.") from problem
        except OSError as problem:
            raise as_fault(problem) from problem

    async def await_guest(self, key: ServerId, *, timeout: float) -> None:
        """See Compute."""
        place, deadline, pause = self._layout.machine(key), time.monotonic() + timeout, 0.1
        while True:
            if not process.lives(place.vm):
                said = process.complaint(place.vm)
                raise MachineFailed(f"The machine stopped by itself. {said}".rstrip() + serial.told(place.vm))
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestSilent(f"The guest agent did not answer within {timeout:.0f} s.{serial.told(place.vm)}")
            try:
                async with agent(place.vm, limit=min(2.0, left)):
                    return
            except AgentSilent:
                await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 1.3, 0.5)

    async def admit(self, key: ServerId, account: GuestAccount) -> Door:
        """See Compute. The guest takes the name of its machine as its host name."""
        place = self._layout.machine(key)
        record = record_of(place)
        if record is None:
            raise AccountFailed(f"There is no machine {key}.")
        host_key = await guest.admit(place.vm, record.spec.name, account)
        return Door(address="127.0.0.1", port=record.ssh_port, host_key=host_key)

    async def try_login(self, key: ServerId, account: GuestAccount, door: Door, *, timeout: float) -> None:
        """See Compute."""
        await ssh.try_login(account, door, timeout=timeout)

    async def find(self, key: ServerId) -> Machine | None:
        """See Compute."""
        process.reap()
        return _seen(self._layout.machine(key))

    async def machines(self) -> list[Machine]:
        """See Compute."""
        process.reap()
        return [machine for place in self._layout.machines() if (machine := _seen(place))]

    async def serial_tail(self, key: ServerId, lines: int) -> list[str]:
        """See Compute."""
        return serial.tail(self._layout.machine(key).vm, lines)

    async def delete(self, key: ServerId) -> None:
        """See Compute."""
        place = self._layout.machine(key)
        if not place.home.exists():
            return
        try:
            async with held(place.lock):
                await self._remove(place)
        except FileNotFoundError:
            return  # somebody else was quicker
        except (process.Undying, OSError) as problem:
            raise DeleteFailed(f"The machine could not be deleted: {problem}.") from problem

    async def release(self, key: ServerId) -> None:
        """See Compute. Its folder goes to `released` in the data folder."""
        place = self._layout.machine(key)
        if record_of(place) is None:
            return
        try:
            async with held(place.lock):
                await self._shut_down(place)
                target = self._layout.released(key)
                target.parent.mkdir(exist_ok=True)
                place.home.rename(target)
                sync_folder(target.parent)
        except FileNotFoundError:
            return  # somebody else was quicker
        except (process.Undying, OSError) as problem:
            raise DeleteFailed(f"The machine could not be released: {problem}.") from problem

    async def snapshot(self, key: ServerId, capture: JobId) -> Snapshot:
        """See Compute. `pause_seconds` is 0 if the machine does not run, or a crash kept it from being measured."""
        place = self._existing(key, SnapshotFailed)
        try:
            async with held(place.lock):
                taken = await Flipper(place, self._images.tool).take(capture)
        except ProgramFailed as problem:
            raise full_told(problem) or SnapshotFailed(f"The disk could not be frozen: {problem}.") from problem
        except Exception as problem:
            raise SnapshotFailed(f"The disk could not be frozen: {problem}.") from problem
        return Snapshot(pause_seconds=taken.pause_seconds)

    async def generalise(
        self, key: ServerId, capture: JobId, accounts: Sequence[str], *, timeout: float, progress: Progress
    ) -> None:
        """See Compute. How far it has come is not known before it is done."""
        place = self._existing(key, GeneraliseFailed)
        machine = record_of(place)
        assert machine is not None
        progress(0, 0)
        await self._captures.generalise(place, machine, capture, accounts, timeout)
        progress(1, 1)

    async def flatten(self, key: ServerId, capture: JobId, image_id: ImageId, *, progress: Progress) -> ImageFacts:
        """See Compute. Progress is told in thousandths."""
        place = self._existing(key, CaptureFailed)
        return await self._captures.flatten(place, capture, image_id, progress)

    async def discard(self, key: ServerId, capture: JobId) -> None:
        """See Compute. The frozen layer stays: the machine stands on it."""
        place = self._layout.machine(key)
        with suppress(FileNotFoundError):  # the machine is gone, and the capture with it
            await self._captures.discard(place, capture)

    @property
    def _owner(self) -> Identity | None:
        return identity_of(self._user)

    @property
    def _images(self) -> ImageFolder:
        return ImageFolder(self._layout, QemuImg(self._owner))

    @property
    def _machines(self) -> Machines:
        return Machines(self._images, self._owner)

    @property
    def _captures(self) -> Captures:
        return Captures(self._images, self._kit, self._owner)

    def _existing(
        self, key: str, fault: type[SnapshotFailed] | type[GeneraliseFailed] | type[CaptureFailed]
    ) -> MachinePlace:
        place = self._layout.machine(key)
        if record_of(place) is None:
            raise fault(f"There is no machine {key}.")
        return place

    async def _create(self, place: MachinePlace, key: str, spec: MachineSpec) -> Machine:
        record = record_of(place)
        if record is not None:
            return await self._resume(place)
        try:
            accelerator = await self.accelerator()
            record = MachineRecord(key=key, spec=spec, uuid=uuid_of(key), accelerator=accelerator.name)
            write_record(place.record, record)
            await self._machines.prepare(place, record)
            record = await self._machines.boot(place, record)
        except BaseException:
            await self._remove(place)
            raise
        return _machine(record, MachineState.RUNNING)

    async def _resume(self, place: MachinePlace) -> Machine:
        """Confirm the machine, or start it again; its disk is never given up, whatever fails."""
        record = await Flipper(place, self._images.tool).settle()
        if not process.lives(place.vm):
            await self._machines.prepare(place, record)
            record = await self._machines.boot(place, record)
        return _machine(record, MachineState.RUNNING)

    async def _remove(self, place: MachinePlace) -> None:
        key = place.home.name
        for path in place.capture_records():
            await process.end(uuid_of(key, path.stem.removeprefix("capture-")))
        await process.end(uuid_of(key))
        await asyncio.to_thread(remove_tree, place.home)

    async def _shut_down(self, place: MachinePlace) -> None:
        uuid = uuid_of(place.home.name)
        try:
            async with agent(place.vm, limit=5.0) as guest_agent:
                await guest_agent.say("guest-shutdown", mode="powerdown")
            await process.wait_for_end(uuid, _SHUTDOWN)
        except (AgentSilent, AgentRefused):
            _log.warning("the guest of %s does not answer and is switched off", place.home.name)
        await process.end(uuid)

    async def _take_over(self, place: MachinePlace) -> None:
        if not (process.lives(place.vm) and is_held(place)):
            return
        try:
            async with held(place.lock):
                await Flipper(place, self._images.tool).settle()
        except (MonitorFailed, OSError) as problem:
            _log.warning("the machine %s could not be taken over: %s", place.home.name, problem)

    def _keep_house(self) -> None:
        while not self._halt.wait(_ROUND):
            process.reap()
            for place in self._layout.machines():
                serial.trim(place.vm)


def _machine(record: MachineRecord, state: MachineState) -> Machine:
    return Machine(key=ServerId(record.key), instance_id=record.uuid, state=state, accelerator=record.accelerator)


def _seen(place: MachinePlace) -> Machine | None:
    record = record_of(place)
    if record is None:
        return None
    return _machine(record, MachineState.RUNNING if process.lives(place.vm) else MachineState.STOPPED)
