"""Freezes a machine's disk while it runs: its writes go to a new layer from then on, and the old one stays as it is.

What a crash may have cut short at any instruction is settled before anything else is done. A capture's record is
written before the flip, as an intent that names the layers; afterwards:

* QEMU runs: the layer that it writes to now tells whether the flip was made. If not, the intent is dropped.
* QEMU has ended: the flip counts as made. The new layer was whole before the intent was written, so whether or not
  anything has been written to it, it shows the machine's disk as it last was.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from darkroom.drivers.qemu import command, process
from darkroom.drivers.qemu.agent import Agent, AgentRefused, AgentSilent, agent
from darkroom.drivers.qemu.files import read_record, sync_file, write_record
from darkroom.drivers.qemu.layout import MachinePlace, next_disk
from darkroom.drivers.qemu.machines import MachineRecord, record_of
from darkroom.drivers.qemu.qemu_img import QemuImg
from darkroom.drivers.qemu.qmp import Monitor, MonitorFailed, monitor

_log = logging.getLogger(__name__)

#: Seconds until a silent agent is done without, that a freeze may take, and that a guest is tried to be thawed.
_AGENT, _FREEZE, _THAW = 3.0, 20.0, 60.0
_PAUSING: Final = "pausing"


class StillFrozen(Exception):
    """The guest's file systems were frozen and its agent no longer answers."""


class CaptureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far a capture has come: `frozen` is the layer to capture, `active` the one that is written to after it."""

    frozen: str
    active: str
    flipped: bool = False
    pause_seconds: float = 0.0  #: 0 where a crash came between the flip and writing this
    generalised: bool = False


def capture_of(place: MachinePlace, capture: str) -> CaptureRecord | None:
    return read_record(place.capture_record(capture), CaptureRecord)


@dataclass(frozen=True)
class Flipper:
    """Makes snapshots of the machine at `place`; the caller holds its lock."""

    place: MachinePlace
    tool: QemuImg

    async def settle(self) -> MachineRecord:
        """Bring the records up to what is true after a crash, let the guest run if it was held, return its record."""
        record = record_of(self.place)
        assert record is not None
        if not process.lives(self.place.vm):
            for path, intent in self._intents():
                record = self._flipped(record, path, intent)
            return record
        if not self._pausing.exists() and not self._intents():
            return record
        async with monitor(self.place.vm) as qemu:
            await self._let_run(qemu)
            active = f"{await qemu.active_node()}.qcow2"
            for path, intent in self._intents():
                if active == intent.active:
                    record = self._flipped(record, path, intent)
                else:
                    await self._drop(qemu, path, intent)
        return record

    async def take(self, capture: str) -> CaptureRecord:
        """Freeze the disk for `capture`.

        Raises MonitorFailed, StillFrozen, ProgramFailed and OSError, after having undone what could be undone.
        """
        record = await self.settle()
        if done := capture_of(self.place, capture):
            return done
        intent = CaptureRecord(frozen=record.disk, active=next_disk(record.disk))
        path = self.place.capture_record(capture)
        try:
            await self._make_layer(intent)
            write_record(path, intent)
            intent = msgspec.structs.replace(intent, pause_seconds=await self._flip(intent))
        except BaseException:
            await self._undo(intent, path)
            raise
        self._flipped(record, path, intent)
        return msgspec.structs.replace(intent, flipped=True)

    def _intents(self) -> list[tuple[Path, CaptureRecord]]:
        """Return the captures of which it is not written down that the flip was made."""
        records = ((path, read_record(path, CaptureRecord)) for path in self.place.capture_records())
        return [(path, record) for path, record in records if record and not record.flipped]

    def _flipped(self, record: MachineRecord, path: Path, intent: CaptureRecord) -> MachineRecord:
        record = msgspec.structs.replace(record, disk=intent.active)
        write_record(self.place.record, record)
        write_record(path, msgspec.structs.replace(intent, flipped=True))
        return record

    async def _make_layer(self, intent: CaptureRecord) -> None:
        # A file of this name that no record knows of is what a crash left of an earlier attempt; it is replaced.
        await self.tool.create(self.place.vm, intent.active, backing=intent.frozen)
        sync_file(self.place.vm / intent.active)

    async def _flip(self, intent: CaptureRecord) -> float:
        if not process.lives(self.place.vm):
            return 0.0
        async with monitor(self.place.vm) as qemu:
            await qemu.do("blockdev-add", command.overlay_node(intent.active))

            async def flip() -> None:
                nodes = {"node": command.node_of(intent.frozen), "overlay": command.node_of(intent.active)}
                await qemu.do("blockdev-snapshot", nodes)

            self._pausing.touch()
            pause = await _while_still(qemu, self.place.vm, flip)
            self._pausing.unlink(missing_ok=True)
            return pause

    async def _undo(self, intent: CaptureRecord, path: Path) -> None:
        if read_record(path, CaptureRecord) is None:
            self._forget(path, intent)
            return
        with suppress(MonitorFailed, OSError):
            await self.settle()

    async def _drop(self, qemu: Monitor, path: Path, intent: CaptureRecord) -> None:
        node = command.node_of(intent.active)
        if await qemu.has_node(node):
            await qemu.do("blockdev-del", {"node-name": node})
        self._forget(path, intent)

    def _forget(self, path: Path, intent: CaptureRecord) -> None:
        path.unlink(missing_ok=True)
        (self.place.vm / intent.active).unlink(missing_ok=True)

    async def _let_run(self, qemu: Monitor) -> None:
        if not self._pausing.exists():
            return
        if await qemu.status() == "paused":
            await qemu.do("cont")
        with suppress(AgentSilent, StillFrozen):
            async with agent(self.place.vm, limit=10.0) as guest:
                await _thaw(guest)
        self._pausing.unlink(missing_ok=True)

    @property
    def _pausing(self) -> Path:
        """A file that is there while the guest is held, so that a restarted service lets it run."""
        return self.place.home / _PAUSING


def is_held(place: MachinePlace) -> bool:
    """Whether a crash may have left the guest held."""
    return (place.home / _PAUSING).exists()


async def _while_still(qemu: Monitor, vm: Path, flip: Callable[[], Awaitable[None]]) -> float:
    """Make `flip` while nothing is written, and return for how many seconds the guest stood still.

    The agent freezes the file systems, so that what is captured is clean; without it the processors are stopped, and
    what is captured is as after a power failure, which journals mend.
    """
    try:
        async with agent(vm, limit=_AGENT) as guest:
            return await _while_frozen(guest, flip)
    except AgentSilent as problem:
        why = str(problem)
    except AgentRefused as problem:
        why = f"it refuses to freeze: {problem}"
    _log.warning("the guest of %s is paused instead of frozen: %s", vm.parent.name, why)
    began = time.monotonic()
    await qemu.do("stop")
    try:
        await flip()
    finally:
        await qemu.do("cont")
    return time.monotonic() - began


async def _while_frozen(guest: Agent, flip: Callable[[], Awaitable[None]]) -> float:
    began = time.monotonic()
    try:
        await guest.do("guest-fsfreeze-freeze", limit=_FREEZE)
        await flip()
    finally:
        # Even if the freeze was not answered: it may have been carried out all the same.
        await _thaw(guest)
    return time.monotonic() - began


async def _thaw(guest: Agent) -> None:
    deadline = time.monotonic() + _THAW
    while True:
        try:
            await guest.sync(2.0)
            await guest.do("guest-fsfreeze-thaw", limit=_FREEZE)
        except AgentSilent as problem:
            if time.monotonic() > deadline:
                raise StillFrozen(f"the guest could not be thawed: {problem}") from problem
            await asyncio.sleep(0.1)
        except AgentRefused:
            return  # what it cannot thaw it has not frozen
        else:
            return
