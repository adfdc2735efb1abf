"""Machines that exist only as records, and guests that are a handful of text files."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from darkroom.domain.ids import ImageId, JobId, ServerId, new_uuid
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
    no_progress,
)
from darkroom.drivers.simulated import screen
from darkroom.drivers.simulated.console import SimulatedConsole, typed
from darkroom.drivers.simulated.faults import Fault
from darkroom.drivers.simulated.files import Records, abridged, locked
from darkroom.drivers.simulated.guest import Guest
from darkroom.drivers.simulated.images import SimulatedImageStore
from darkroom.drivers.simulated.machines import Frozen, MachineRecord
from darkroom.drivers.simulated.pace import Durations, Sleep, pass_time
from darkroom.drivers.simulated.rfb import SimulatedScreen
from darkroom.errors import (
    AccountFailed,
    CaptureFailed,
    GeneraliseFailed,
    GuestSilent,
    HostFull,
    LoginFailed,
    MachineFailed,
    SnapshotFailed,
)

#: Serial lines that errors quote.
_QUOTED_LINES = 10


class SimulatedCompute:
    """A `Compute` that pretends: work takes the `durations`, and fails where the image store's `faults` say so."""

    def __init__(
        self,
        data: Path,
        images: SimulatedImageStore,
        *,
        durations: Durations | str = "",
        sleep: Sleep = asyncio.sleep,
        memory_limit_mib: int = 64 * 1024,
    ) -> None:
        self.durations = Durations.parse(durations) if isinstance(durations, str) else durations
        self.faults = images.faults
        self._images, self._sleep, self._memory_limit_mib = images, sleep, memory_limit_mib
        self._records = Records(data / "simulated" / "machines", MachineRecord)
        self._ports: dict[str, int] = {}
        self._released = Records(data / "simulated" / "released", MachineRecord)
        self._lock = data / "simulated" / ".lock"

    async def start(self) -> None:
        self.faults.load()
        with locked(self._lock):  # whoever writes a machine's record holds it too
            for records in (self._records, self._released):
                records.sweep_all()

    async def stop(self) -> None:
        pass

    async def check(self, spec: MachineSpec) -> None:
        await self._pass("check", names=[spec.name])
        self._check(spec)

    async def create(self, key: ServerId, spec: MachineSpec) -> Machine:
        await self._pass("create", names=[spec.name, key])
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                guest = self._check(spec)
                record = MachineRecord(
                    key=key, instance_id=new_uuid(), spec=spec, port=self._free_port(), guest=guest,
                    serial=[f"Booting {spec.name} from image {spec.image_id}"],
                )  # fmt: skip
                self._keep(record)
            return self._started(record).machine

    async def restart(self, key: ServerId) -> Machine:
        await self._pass("restart", key)
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                raise MachineFailed("There is no such machine.")
            return self._started(record).machine

    async def await_guest(self, key: ServerId, *, timeout: float) -> None:
        record = self._records.get(key)
        seconds = 0 if record is None or record.booted else self.durations.boot
        try:
            await self._pass("await_guest", key, seconds=min(seconds, timeout))
            if record is None or not record.running:
                raise MachineFailed("There is no such machine that runs.")
            if seconds > timeout:
                raise GuestSilent
        except (GuestSilent, MachineFailed) as error:
            quoted = record.serial[-_QUOTED_LINES:] if record else []
            raise type(error)("\n".join([error.message, *quoted])) from None
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                raise MachineFailed("The machine was deleted while it booted.")
            if not record.booted:
                name = record.spec.name
                self._keep(record.having(guest=record.guest.booted(name), booted=True, line=f"{name} login:"))

    async def admit(self, key: ServerId, account: GuestAccount) -> Door:
        await self._pass("admit", key)
        with locked(self._lock):
            record = self._records.get(key)
            if record is None or not record.answers:
                raise AccountFailed("There is no guest that answers.")
            guest = record.guest.admitting(account)
            self._keep(record.having(guest=guest, line=f"account {account.name} may log in"))
            return record.door

    async def try_login(self, key: ServerId, account: GuestAccount, door: Door, *, timeout: float) -> None:
        seconds = self.durations.login
        await self._pass("try_login", key, seconds=min(seconds, timeout))
        record = self._records.get(key)
        if record is None or not record.answers or door != record.door:
            raise LoginFailed("Nobody answers at that door.")
        if seconds > timeout:
            raise LoginFailed(f"The guest did not answer within {timeout:g} seconds.")
        if not record.guest.admits(account):
            raise LoginFailed(f"The guest does not let {account.name} in with that key.")

    async def put_file(
        self, key: ServerId, path: str, chunks: AsyncIterator[bytes], *, size: int, mode: int, timeout: float
    ) -> None:
        await self._pass("put_file", key)
        text = await abridged(chunks, size)
        with locked(self._lock):
            record = self._answering(key)
            self._keep(record.having(guest=record.guest.writing(path, text)))

    async def run(self, key: ServerId, words: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """See Compute. Nothing is run: every program ends well, unless a fault says otherwise."""
        seconds = self.durations.run
        try:
            async with asyncio.timeout(timeout):
                fault = await self._pass("run", key, seconds=min(seconds, timeout))
        except TimeoutError:
            return Completed(exit_code=None, output="")
        with locked(self._lock):
            record = self._answering(key)
            self._keep(record.having(line=f"ran {words[0]}"))
        code = fault.exit_code if fault else 0
        return Completed(exit_code=None if seconds > timeout else code, output=fault.message if fault else "")

    async def find(self, key: ServerId) -> Machine | None:
        await self._pass("find", key)
        record = self._records.get(key)
        return record.machine if record else None

    async def machines(self) -> list[Machine]:
        await self._pass("machines", names=[])
        return [record.machine for record in self._records.all()]

    async def serial_tail(self, key: ServerId, lines: int) -> list[str]:
        await self._pass("serial_tail", key)
        record = self._records.get(key)
        return record.serial[-lines:] if record and lines > 0 else []

    async def screenshot(self, key: ServerId) -> bytes | None:
        await self._pass("screenshot", key)
        record = self._records.get(key)
        return screen.drawn(record.serial) if record and record.running else None

    async def guest_facts(self, key: ServerId) -> Mapping[str, str]:
        await self._pass("guest_facts", key)
        record = self._records.get(key)
        if record is None or not record.running:
            return {}
        return {"agent": "answers", **record.guest.facts} if record.answers else {"agent": "silent"}

    async def connect_screen(self, key: ServerId) -> Channel:
        await self._pass("connect_screen", key)
        return await SimulatedScreen.showing(self._running(key).spec.name, lambda: self._runs(key))

    async def connect_serial(self, key: ServerId) -> Channel:
        await self._pass("connect_serial", key)
        self._running(key)
        return SimulatedConsole(lambda: self._records.get(key), lambda data: self._type(key, data))

    async def delete(self, key: ServerId) -> None:
        await self._pass("delete", key, seconds=self.durations.delete if self._records.get(key) else 0)
        with locked(self._lock):
            self._records.drop(key)

    async def release(self, key: ServerId) -> None:
        await self._pass("release", key, seconds=self.durations.delete if self._records.get(key) else 0)
        with locked(self._lock):
            record = self._records.get(key)
            if record:
                self._released.put(key, record.having(captures={}))
                self._records.drop(key)

    async def snapshot(self, key: ServerId, capture: JobId) -> Snapshot:
        record = self._records.get(key)
        is_new = record is not None and capture not in record.captures
        await self._pass("snapshot", key, seconds=self.durations.snapshot if is_new else 0)
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                raise SnapshotFailed("There is no such machine.")
            frozen = record.captures.get(capture)
            if frozen is None:
                frozen = Frozen(guest=record.guest, pause_seconds=self.durations.snapshot)
                self._keep(record.having(captures={**record.captures, capture: frozen}))
            return Snapshot(pause_seconds=frozen.pause_seconds)

    async def generalise(
        self, key: ServerId, capture: JobId, accounts: Sequence[str], *, timeout: float, progress: Progress
    ) -> None:
        frozen = self._frozen(key, capture)
        seconds = 0 if frozen is None or frozen.generalised else self.durations.generalise
        record = self._records.get(key)
        total = record.spec.disk_bytes if record else 0
        await self._pass("generalise", key, seconds=min(seconds, timeout), progress=progress, total=total)
        if seconds > timeout:
            raise GeneraliseFailed(f"Generalising took longer than {timeout:g} seconds.")
        with locked(self._lock):
            record, frozen = self._records.get(key), self._frozen(key, capture)
            if record is None or frozen is None:
                raise GeneraliseFailed("The machine's disk has not been frozen.")
            clean = msgspec.structs.replace(frozen, guest=frozen.guest.generalised(accounts), generalised=True)
            self._keep(record.having(captures={**record.captures, capture: clean}))

    async def flatten(self, key: ServerId, capture: JobId, image_id: ImageId, *, progress: Progress) -> ImageFacts:
        known = self._images.whole(image_id)
        record = self._records.get(key)
        total = known.virtual_size if known else record.spec.disk_bytes if record else 0
        seconds = 0 if known else self.durations.flatten
        await self._pass("flatten", key, seconds=seconds, progress=progress, total=total)
        if known:
            return known
        frozen = self._frozen(key, capture)
        if frozen is None:
            raise CaptureFailed("The machine's disk has not been frozen.")
        return self._images.keep_guest(image_id, frozen.guest, total)

    async def captures(self) -> list[tuple[ServerId, JobId]]:
        await self._pass("captures", names=[])
        return [(record.key, capture) for record in self._records.all() for capture in record.captures]

    async def discard(self, key: ServerId, capture: JobId) -> None:
        await self._pass("discard", key)
        with locked(self._lock):
            record = self._records.get(key)
            if record and capture in record.captures:
                others = {job: frozen for job, frozen in record.captures.items() if job != capture}
                self._keep(record.having(captures=others))

    def read_file(self, key: ServerId, path: str) -> str | None:
        """Return what a file in the guest says, None if there is no such file or machine."""
        record = self._records.get(key)
        return record.guest.files.get(path) if record else None

    def write_file(self, key: ServerId, path: str, text: str) -> None:
        """Write a file in the guest, as an administrator would. Raises MachineFailed if there is no machine."""
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                raise MachineFailed("There is no such machine.")
            self._keep(record.having(guest=record.guest.writing(path, text)))

    def switch_off(self, key: ServerId) -> None:
        """Let a machine stop by itself; its disk stays. Raises MachineFailed if there is no machine."""
        with locked(self._lock):
            record = self._records.get(key)
            if record is None:
                raise MachineFailed("There is no such machine.")
            self._keep(record.having(running=False, line="reboot: Power down"))

    async def _pass(
        self,
        call: str,
        key: ServerId | None = None,
        *,
        names: Sequence[str] = (),
        seconds: float = 0,
        progress: Progress = no_progress,
        total: int = 100,
    ) -> Fault | None:
        """Let a call's time pass, or its fault strike; return the fault if it has not raised an error."""
        record = self._records.get(key) if key else None
        names = names or [name for name in (key, record and record.spec.name) if name]
        fault = self.faults.take(call, names)
        if seconds or fault or progress is not no_progress:
            await pass_time(seconds, fault, sleep=self._sleep, progress=progress, total=total)
        return fault

    def _answering(self, key: ServerId) -> MachineRecord:
        """Return a machine whose guest answers. Raises MachineFailed."""
        record = self._records.get(key)
        if record is None or not record.answers:
            raise MachineFailed(f"There is no machine {key} that runs.")
        return record

    def _running(self, key: ServerId) -> MachineRecord:
        """Return a machine that runs, whether its guest answers or not. Raises MachineFailed."""
        record = self._records.get(key)
        if record is None or not record.running:
            raise MachineFailed(f"There is no machine {key} that runs.")
        return record

    def _runs(self, key: ServerId) -> bool:
        record = self._records.get(key)
        return record is not None and record.running

    def _type(self, key: ServerId, data: bytes) -> None:
        """Type on a machine's console, which heeds it once its guest is up. Raises OSError if it does not run."""
        with locked(self._lock):
            record = self._records.get(key)
            if record is None or not record.running:
                raise BrokenPipeError(f"There is no machine {key} that runs.")
            if record.answers:
                self._keep(typed(record, data))

    def _check(self, spec: MachineSpec) -> Guest:
        """Return the guest that the machine would boot."""
        if spec.memory_mib > self._memory_limit_mib:
            raise HostFull(f"{spec.memory_mib} MiB of memory are wanted, {self._memory_limit_mib} MiB are there.")
        return self._images.guest(spec.image_id)

    def _frozen(self, key: ServerId, capture: JobId) -> Frozen | None:
        record = self._records.get(key)
        return record.captures.get(capture) if record else None

    def _started(self, record: MachineRecord) -> MachineRecord:
        """Return the machine running; the lock must be held. The guest is up again at once, if it ever was."""
        if record.running:
            return record
        record = record.having(running=True, line=f"Booting {record.spec.name} from its disk")
        self._keep(record)
        return record

    def _keep(self, record: MachineRecord) -> None:
        """Store a changed record; the lock must be held."""
        self._records.put(record.key, record)

    def _free_port(self) -> int:
        """Return a port that no machine has; the lock must be held. A machine keeps the one that it was given."""
        known = self._ports
        self._ports = {name: known.get(name) or self._port_of(name) for name in self._records.names()}
        taken = set(self._ports.values())
        return next(port for port in range(2201, 1 << 16) if port not in taken)

    def _port_of(self, name: str) -> int:
        record = self._records.get(ServerId(name))
        return record.port if record else 0
