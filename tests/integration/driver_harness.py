"""What the driver contract tests need of a driver: the two protocols, a base image, and hands inside the guests."""

import asyncio
import hashlib
import shlex
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncssh

from darkroom.domain.ids import ImageId, JobId, ServerId, Snowflakes, new_uuid
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Compute, Door, GuestAccount, ImageFacts, ImageStore, MachineSpec
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.simulated import INSTANT, SimulatedCompute, SimulatedImageStore
from darkroom.guests import Kit

GIB = 1 << 30
_mint = Snowflakes(now_ms, worker=7).mint


def new_key() -> ServerId:
    return ServerId(_mint())


def new_capture() -> JobId:
    return JobId(_mint())


def new_image() -> ImageId:
    return ImageId(new_uuid())


def new_account(name: str) -> GuestAccount:
    key = asyncssh.generate_private_key("ssh-ed25519")
    return GuestAccount(
        name=name,
        password="Correct-Horse-7",
        public_key=key.export_public_key().decode().strip(),
        private_key=key.export_private_key().decode(),
    )


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def pieces_of(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            yield chunk


@dataclass
class Harness(ABC):
    """A driver under test. Seconds are what a slow host without KVM may need."""

    data: Path
    compute: Compute
    images: ImageStore
    boot_timeout: float = 120
    login_timeout: float = 60
    generalise_timeout: float = 180
    base: ImageId = field(default_factory=new_image)
    _numbers: Any = field(default_factory=count)

    def spec(self, image_id: ImageId | None = None, *, memory_mib: int = 256) -> MachineSpec:
        return MachineSpec(
            name=f"contract-{next(self._numbers)}",
            image_id=image_id or self.base,
            cpus=1,
            memory_mib=memory_mib,
            disk_bytes=1 * GIB,
        )

    async def start(self) -> None:
        await self.compute.start()
        await self.images.receive(self.base, self.base_disk())

    async def stop(self) -> None:
        for machine in await self.compute.machines():
            await self.compute.delete(machine.key)
        assert await self.compute.machines() == []
        await self.compute.stop()

    async def boot(self, image_id: ImageId | None = None) -> ServerId:
        """Run a machine from an image until its guest answers."""
        key = new_key()
        await self.compute.create(key, self.spec(image_id))
        await self.compute.await_guest(key, timeout=self.boot_timeout)
        return key

    async def content_facts(self, image_id: ImageId) -> tuple[int, str]:
        """Return the size and the SHA-256 of what the store gives out."""
        size, digest = 0, hashlib.sha256()
        async for chunk in self.images.read(image_id):
            size += len(chunk)
            digest.update(chunk)
        return size, digest.hexdigest()

    async def assert_true(self, image_id: ImageId, facts: ImageFacts) -> None:
        """Check that the facts are those of the stored file, and what the store tells of it."""
        assert await self.content_facts(image_id) == (facts.size, facts.sha256)
        assert await self.images.facts(image_id) == facts

    def traces(self, name: str) -> list[str]:
        """Return every file and every process that has the name of a machine, capture or image in it."""
        files = [str(path) for path in self.data.rglob("*") if name in str(path.relative_to(self.data))]
        return files + self.processes(name)

    def processes(self, name: str) -> list[str]:
        """Return the command line or working directory of every process that has the name in it."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                says = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                says += f" in {process.joinpath('cwd').readlink()}"
            except OSError:
                continue
            if name in says and str(self.data) in says:
                found.append(says)
        return found

    @abstractmethod
    def base_disk(self) -> AsyncIterator[bytes]:
        """Yield the disk image that machines start from."""

    @abstractmethod
    async def read_file(self, key: ServerId, account: GuestAccount, door: Door, path: str) -> str | None:
        """Return what a file in the guest says, None if there is none."""

    @abstractmethod
    async def write_file(self, key: ServerId, account: GuestAccount, door: Door, path: str, text: str) -> None:
        """Write a file in the guest as an administrator."""


@dataclass
class SimulatedHarness(Harness):
    compute: SimulatedCompute

    @classmethod
    def at(cls, data: Path) -> "SimulatedHarness":
        images = SimulatedImageStore(data)
        return cls(data, SimulatedCompute(data, images, durations=INSTANT), images)

    def base_disk(self) -> AsyncIterator[bytes]:
        return pieces(bytes(510) + b"\x55\xaa")

    async def read_file(self, key: ServerId, account: GuestAccount, door: Door, path: str) -> str | None:
        return self.compute.read_file(key, path)

    async def write_file(self, key: ServerId, account: GuestAccount, door: Door, path: str, text: str) -> None:
        self.compute.write_file(key, path, text)


@dataclass(kw_only=True)
class QemuHarness(Harness):
    """Works in the guests as an administrator does: by SSH."""

    disk: Path
    _connections: dict[Door, asyncssh.SSHClientConnection] = field(default_factory=dict)

    @classmethod
    def at(cls, data: Path, kit: Kit) -> "QemuHarness":
        compute = QemuCompute(data, kit.tiny.parent)
        return cls(data, compute, compute.image_store, disk=kit.tiny)

    def base_disk(self) -> AsyncIterator[bytes]:
        return pieces_of(self.disk)

    async def read_file(self, key: ServerId, account: GuestAccount, door: Door, path: str) -> str | None:
        result = await self._run(account, door, f"sudo cat {shlex.quote(path)}")
        return str(result.stdout) if result.exit_status == 0 else None

    async def write_file(self, key: ServerId, account: GuestAccount, door: Door, path: str, text: str) -> None:
        result = await self._run(account, door, f"sudo tee {shlex.quote(path)} >/dev/null", text)
        assert result.exit_status == 0, result.stderr

    async def stop(self) -> None:
        for connection in self._connections.values():
            connection.abort()
        await super().stop()

    async def _run(self, account: GuestAccount, door: Door, command: str, text: str = "") -> Any:
        async with asyncio.timeout(self.login_timeout):
            # Emulated guests need seconds for each new connection.
            if door not in self._connections:
                self._connections[door] = await _connect(account, door)
            return await self._connections[door].run(command, input=text)


async def _connect(account: GuestAccount, door: Door) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        door.address,
        door.port,
        username=account.name,
        client_keys=[asyncssh.import_private_key(account.private_key)],
        known_hosts=([asyncssh.import_public_key(door.host_key)], [], []),
        config=None,
    )
