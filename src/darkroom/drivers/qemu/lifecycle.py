"""The life of one machine: made, confirmed, started again, taken over from a service that died, released, deleted."""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darkroom.domain.ids import ServerId
from darkroom.drivers.base import Machine, MachineSpec, MachineState
from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.accel import Accelerator
from darkroom.drivers.qemu.agent import AgentRefused, AgentSilent, agent
from darkroom.drivers.qemu.files import held, remove_tree, sync_folder, write_record
from darkroom.drivers.qemu.layout import MachinePlace
from darkroom.drivers.qemu.machines import MachineRecord, Machines, answers, record_of, uuid_of
from darkroom.drivers.qemu.qmp import MonitorFailed, monitor
from darkroom.drivers.qemu.snapshot import Flipper, is_held
from darkroom.errors import MachineFailed

_log = logging.getLogger(__name__)

#: Seconds that a guest gets to shut down when it is released.
_SHUTDOWN: Final = 120.0
#: Seconds in which a process that has been forked becomes QEMU.
_START: Final = 10.0
#: Seconds that QEMU gets to say how it is, and bytes of room with which a guest that ran out of it may go on.
_LOOK: Final = 2.0
_ROOM: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Lifecycle:
    """Changes the machine at `place`, holding its lock. Deleting and releasing what is not there does nothing."""

    place: MachinePlace
    machines: Machines

    async def create(self, spec: MachineSpec, accelerator: Callable[[], Awaitable[Accelerator]]) -> Machine:
        """Make and start the machine, or confirm it. One that cannot be made leaves nothing."""
        self.place.home.mkdir(parents=True, exist_ok=True, mode=0o711)
        async with held(self.place.lock):
            if record_of(self.place) is not None:
                return await self._resume()
            try:
                return await self._make(spec, accelerator)
            except BaseException:
                await self._remove()
                raise

    async def restart(self) -> Machine:
        """Start the machine again from its disk, or confirm it. Raises MachineFailed if there is no disk to start."""
        if record_of(self.place) is not None:
            async with held(self.place.lock):
                record = record_of(self.place)
                if record is not None and (self.place.vm / record.disk).exists():
                    return await self._resume()
        raise MachineFailed(f"There is no machine {self._key} with a disk.")

    async def delete(self) -> None:
        """End the machine and remove its folder. Raises Undying and OSError."""
        if not self._home_exists():
            await process.end(uuid_of(self._key))  # whoever removed the folder need not have ended it
            return
        try:
            async with held(self.place.lock):
                await self._remove()
        except FileNotFoundError:
            return  # somebody else was quicker

    async def release(self, target: Path) -> None:
        """Shut the machine down and move its folder to `target`. Raises Undying and OSError."""
        if record_of(self.place) is not None:
            try:
                async with held(self.place.lock):
                    await self._shut_down()
                    self._move(target)
            except FileNotFoundError:
                return  # somebody else was quicker

    async def take_over(self) -> None:
        """Let the guest run if the service died while it was held."""
        if not (process.lives(self.place.vm) and is_held(self.place)):
            return
        try:
            async with held(self.place.lock):
                await self._flipper.settle()
        except Exception as problem:  # whatever it is: the other machines are to be taken over, too
            _log.warning("the machine %s could not be taken over: %s", self._key, problem)

    async def relieve(self) -> None:
        """Let the guest run on that QEMU has stopped, for there was no room for what it wrote, once there is some."""
        with suppress(MonitorFailed, OSError):
            async with monitor(self.place.vm, limit=_LOOK) as qemu:
                if await qemu.status() != "io-error":
                    return
                if shutil.disk_usage(self.place.vm).free < _ROOM:
                    _log.warning("the machine %s stands still until there is room on the disk", self._key)
                    return
                await qemu.do("cont")
                _log.warning("the machine %s stood still for want of room on the disk, and goes on", self._key)

    @property
    def _key(self) -> str:
        return self.place.home.name

    @property
    def _flipper(self) -> Flipper:
        return Flipper(self.place, self.machines.images.tool)

    def _home_exists(self) -> bool:
        return self.place.home.exists()

    async def _make(self, spec: MachineSpec, accelerator: Callable[[], Awaitable[Accelerator]]) -> Machine:
        found = await accelerator()
        record = MachineRecord(key=self._key, spec=spec, uuid=uuid_of(self._key), accelerator=found.name)
        write_record(self.place.record, record)
        return await self._start(record)

    async def _resume(self) -> Machine:
        """Confirm the machine, or start it again; its disk is never given up, whatever fails."""
        record = await self._flipper.settle()
        # One that was started just before the service died may still end at once, say because its port was taken.
        if await answers(self.place.vm, record.uuid):
            return _machine(record, MachineState.RUNNING)
        return await self._start(record)

    async def _start(self, record: MachineRecord) -> Machine:
        await self.machines.prepare(self.place, record)
        return _machine(await self.machines.boot(self.place, record), MachineState.RUNNING)

    async def _remove(self) -> None:
        for capture in self.place.captures():
            await process.end(uuid_of(self._key, capture))
        await self._end()
        await asyncio.to_thread(remove_tree, self.place.home)

    async def _end(self) -> None:
        """End the machine's process, and one that a service which died has begun, and that has no name yet."""
        deadline = time.monotonic() + _START
        while True:
            await process.end(uuid_of(self._key))
            if not process.lives(self.place.vm):
                return
            if time.monotonic() > deadline:
                raise process.Undying("its process holds its lock, but is not to be found")
            await asyncio.sleep(0.02)

    async def _shut_down(self) -> None:
        uuid = uuid_of(self._key)
        try:
            async with agent(self.place.vm, limit=5.0) as guest:
                await guest.say("guest-shutdown", mode="powerdown")
            await process.wait_for_end(uuid, _SHUTDOWN)
        except (AgentSilent, AgentRefused):
            _log.warning("the guest of %s does not answer and is switched off", self._key)
        await process.end(uuid)

    def _move(self, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        self.place.home.rename(target)
        sync_folder(target.parent)


def seen(place: MachinePlace) -> Machine | None:
    """Return the machine at `place` as it is now, or None."""
    record = record_of(place)
    if record is None:
        return None
    if process.lives(place.vm):
        return _machine(record, MachineState.RUNNING)
    return _machine(record, MachineState.STOPPED, process.why_ended(place.vm))


def _machine(record: MachineRecord, state: MachineState, why: str = "") -> Machine:
    return Machine(
        key=ServerId(record.key),
        instance_id=record.uuid,
        state=state,
        accelerator=record.accelerator,
        ssh_port=record.ssh_port,
        why=why,
    )
