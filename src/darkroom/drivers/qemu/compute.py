"""Compute on this host: plain QEMU processes, each in a folder of its own, that outlive the service."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from darkroom.domain.ids import ImageId, JobId, ServerId
from darkroom.drivers import ssh
from darkroom.drivers.base import (
    Channel,
    Completed,
    Door,
    GuestAccount,
    ImageFacts,
    Machine,
    MachineSpec,
    Progress,
    Snapshot,
)
from darkroom.drivers.lines import SocketChannel
from darkroom.drivers.qemu import accel, delivery, facts, guest, layout, process, running, screen, serial
from darkroom.drivers.qemu.accel import Accelerator
from darkroom.drivers.qemu.agent import AgentSilent, agent
from darkroom.drivers.qemu.capture import Captures
from darkroom.drivers.qemu.console import SerialConsole
from darkroom.drivers.qemu.files import Identity, held, identity_of
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.images import FolderImageStore, ImageFolder, full_told
from darkroom.drivers.qemu.layout import Layout, MachinePlace
from darkroom.drivers.qemu.lifecycle import Lifecycle, seen
from darkroom.drivers.qemu.machines import Machines, as_fault, record_of
from darkroom.drivers.qemu.programs import ProgramFailed
from darkroom.drivers.qemu.qemu_img import QemuImg
from darkroom.drivers.qemu.qmp import MonitorFailed
from darkroom.drivers.qemu.remains import remains
from darkroom.drivers.qemu.snapshot import Flipper, capture_of
from darkroom.drivers.qemu.sockets import dial
from darkroom.errors import (
    AccountFailed,
    CaptureFailed,
    DeleteFailed,
    GeneraliseFailed,
    GuestSilent,
    MachineFailed,
    SnapshotFailed,
)

#: Seconds between two rounds of the housekeeper.
_ROUND: Final = 10.0
#: Seconds for which the line to a guest agent that has answered is kept for whoever is next to need it.
_LINGER: Final = 0.5
#: Seconds in which QEMU must let a viewer in.
_LET_IN: Final = 10.0


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
        self._layout.close()
        self._images.make()
        for place in self._layout.machines():
            await self._lifecycle(place.home.name).take_over()
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
        try:
            return await self._lifecycle(key).create(spec, self.accelerator)
        except (ProgramFailed, MonitorFailed) as problem:
            raise MachineFailed(f"The machine could not be started: {problem}.") from problem
        except OSError as problem:
            raise as_fault(problem) from problem

    async def restart(self, key: ServerId) -> Machine:
        """See Compute."""
        try:
            return await self._lifecycle(key).restart()
        except FileNotFoundError as problem:
            raise MachineFailed(f"There is no machine {key}.") from problem
        except (ProgramFailed, MonitorFailed) as problem:
            raise MachineFailed(f"The machine could not be started: {problem}.") from problem
        except OSError as problem:
            raise as_fault(problem) from problem

    async def await_guest(self, key: ServerId, *, timeout: float) -> None:
        """See Compute."""
        place, deadline = self._layout.machine(key), time.monotonic() + timeout
        while True:
            if not process.lives(place.vm):
                said = process.complaint(place.vm)
                raise MachineFailed(f"The machine stopped by itself. {said}".rstrip() + serial.told(place.vm))
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestSilent(f"The guest agent did not answer within {timeout:.0f} s.{serial.told(place.vm)}")
            try:
                # What we ask waits in the line until the guest opens it; hardly a moment is to be without a question.
                async with agent(place.vm, limit=min(2.0, left), linger=_LINGER):
                    return
            except AgentSilent:
                await asyncio.sleep(0.02)

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

    async def put_file(
        self, key: ServerId, path: str, chunks: AsyncIterator[bytes], *, size: int, mode: int, timeout: float
    ) -> None:
        """See Compute."""
        await delivery.put_file(self._guest_of(key), path, chunks, size=size, mode=mode, timeout=timeout)

    async def run(self, key: ServerId, words: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """See Compute."""
        return await running.run(self._guest_of(key), words, stdin=stdin, timeout=timeout)

    async def find(self, key: ServerId) -> Machine | None:
        """See Compute."""
        process.reap()
        return seen(self._layout.machine(key))

    async def machines(self) -> list[Machine]:
        """See Compute."""
        process.reap()
        whole = [machine for place in self._layout.machines() if (machine := seen(place))]
        return whole + remains(self._layout)

    async def serial_tail(self, key: ServerId, lines: int) -> list[str]:
        """See Compute."""
        return serial.tail(self._layout.machine(key).vm, lines)

    async def screenshot(self, key: ServerId) -> bytes | None:
        """See Compute."""
        return await screen.picture(self._layout.machine(key).vm)

    async def guest_facts(self, key: ServerId) -> Mapping[str, str]:
        """See Compute."""
        return await facts.of_guest(self._layout.machine(key).vm)

    async def connect_screen(self, key: ServerId) -> Channel:
        """See Compute. Raises OSError if QEMU does not answer."""
        return await SocketChannel.over(await dial(self._guest_of(key), layout.VNC_SOCKET, limit=_LET_IN))

    async def connect_serial(self, key: ServerId) -> Channel:
        """See Compute. Raises OSError if its log cannot be read."""
        return SerialConsole(self._guest_of(key))

    async def delete(self, key: ServerId) -> None:
        """See Compute."""
        try:
            await self._lifecycle(key).delete()
        except (process.Undying, OSError) as problem:
            raise DeleteFailed(f"The machine could not be deleted: {problem}.") from problem

    async def release(self, key: ServerId) -> None:
        """See Compute. Its folder goes to `released` in the data folder."""
        try:
            await self._lifecycle(key).release(self._layout.released(key))
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
        await self._captures.generalise(place, machine, capture, accounts, timeout)

    async def flatten(self, key: ServerId, capture: JobId, image_id: ImageId, *, progress: Progress) -> ImageFacts:
        """See Compute. Progress is told as a share of what the disk occupies."""
        place = self._existing(key, CaptureFailed)
        return await self._captures.flatten(place, capture, image_id, progress)

    async def captures(self) -> list[tuple[ServerId, JobId]]:
        """See Compute."""
        return [
            (ServerId(place.home.name), JobId(capture))
            for place in self._layout.machines()
            for capture in place.captures()
        ]

    async def discard(self, key: ServerId, capture: JobId) -> None:
        """See Compute. The frozen layer stays: the machine stands on it."""
        place = self._layout.machine(key)
        with suppress(FileNotFoundError):  # the machine is gone, and the capture with it
            await self._settle(place, capture)
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

    def _lifecycle(self, key: str) -> Lifecycle:
        return Lifecycle(self._layout.machine(key), self._machines)

    @property
    def _captures(self) -> Captures:
        return Captures(self._images, self._kit, self._owner)

    def _guest_of(self, key: ServerId) -> Path:
        """Return the folder of a machine that runs. Raises MachineFailed."""
        place = self._layout.machine(key)
        if not process.lives(place.vm):
            raise MachineFailed(f"There is no machine {key} that runs.")
        return place.vm

    async def _settle(self, place: MachinePlace, capture: JobId) -> None:
        """See to it that the machine's record tells which layer it writes to, before what else tells it goes."""
        async with held(place.lock):
            try:
                record = capture_of(place, capture)
                if record and not record.flipped:
                    await Flipper(place, self._images.tool).settle()
            except (MonitorFailed, OSError, ValueError) as problem:
                raise SnapshotFailed(f"The snapshot could not be discarded: {problem}.") from problem

    def _existing(
        self, key: str, fault: type[SnapshotFailed] | type[GeneraliseFailed] | type[CaptureFailed]
    ) -> MachinePlace:
        place = self._layout.machine(key)
        if record_of(place) is None:
            raise fault(f"There is no machine {key}.")
        return place

    def _keep_house(self) -> None:
        while not self._halt.wait(_ROUND):
            process.reap()
            for place in self._layout.machines():
                serial.trim(place.vm)
                if process.lives(place.vm):
                    asyncio.run(self._lifecycle(place.home.name).relieve())
