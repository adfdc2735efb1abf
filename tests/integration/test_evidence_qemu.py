"""Evidence of failures with real machines: their screens, consoles and agents, seen before they are undone."""

import asyncio
import os
import signal
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_harness import new_image, new_key, pieces, pieces_of

from contract.service_process import Service
from darkroom.domain.ids import ServerId
from darkroom.drivers.base import MachineSpec
from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.machines import uuid_of
from darkroom.errors import GuestSilent, MachineFailed
from darkroom.guests import Kit
from darkroom.workflows import evidence

pytestmark = pytest.mark.qemu

GIB = 1 << 30
WORDS = "No system is here."
#: A boot sector that writes these words on the screen and on the serial port, and stops: no agent ever answers.
TELLING = (
    bytes.fromhex(
        "31c0 8ed8 be1f7c"  # xor ax, ax; mov ds, ax; mov si, the words
        "ac 08c0 7410"  # next: lodsb; or al, al; jz stop
        "b40e bb0700 cd10"  # mov ah, 0x0e; mov bx, 7; int 0x10 (write a letter on the screen)
        "8a44ff baf803 ee"  # mov al, [si - 1]; mov dx, 0x3f8; out dx, al (send it to the serial port)
        "ebeb"  # jmp next
        "f4 ebfd"  # stop: hlt; jmp stop
    )
    + f"{WORDS}\r\n".encode()
).ljust(510, b"\0") + b"\x55\xaa"


class Machine:
    """A machine of an image, and its driver."""

    def __init__(self, data: Path, kit: Kit) -> None:
        self.compute = QemuCompute(data, kit.tiny.parent, accelerator="tcg")
        asyncio.run(self.compute.start())
        self.keys: list[ServerId] = []

    def boot(self, disk: Path | bytes) -> ServerId:
        async def boot() -> ServerId:
            base, key = new_image(), new_key()
            chunks = pieces(disk) if isinstance(disk, bytes) else pieces_of(disk)
            await self.compute.image_store.receive(base, chunks)
            spec = MachineSpec(name="evident", image_id=base, cpus=1, memory_mib=256, disk_bytes=GIB)
            self.keys.append(key)
            await self.compute.create(key, spec)
            return key

        return asyncio.run(boot())

    def end(self) -> None:
        for key in self.keys:
            asyncio.run(self.compute.delete(key))
        asyncio.run(self.compute.stop())


@pytest.fixture(scope="module")
def machines(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machines = Machine(tmp_path_factory.mktemp("data"), kit)
    yield machines
    machines.end()


def lit(picture: bytes) -> int:
    """Return how many bytes of a picture's pixels are not dark."""
    pixels, at = b"", 8
    while at < len(picture):
        (size,) = struct.unpack(">I", picture[at : at + 4])
        if picture[at + 4 : at + 8] == b"IDAT":
            pixels += picture[at + 8 : at + 8 + size]
        at += size + 12
    return sum(byte != 0 for byte in zlib.decompress(pixels))


def test_a_guest_whose_agent_never_answers_shows_its_screen_and_its_console(machines: Machine) -> None:
    key = machines.boot(TELLING)
    with pytest.raises(GuestSilent):
        asyncio.run(machines.compute.await_guest(key, timeout=15))
    sight = asyncio.run(evidence.look(machines.compute, key))
    assert sight.missing == {}
    assert (sight.machine["state"], sight.machine["accelerator"]) == ("running", "tcg")
    assert sight.guest == {"agent": "silent"}
    assert sight.console[-1].endswith(WORDS)
    assert sight.screen is not None
    assert lit(sight.screen) > 100, "there are letters on it"


def test_of_a_machine_that_has_stopped_the_console_stays_to_be_seen(machines: Machine) -> None:
    key = machines.boot(TELLING)
    with pytest.raises(GuestSilent):
        asyncio.run(machines.compute.await_guest(key, timeout=10))
    (pid,) = process.bearers(uuid_of(key))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MachineFailed):
        asyncio.run(machines.compute.await_guest(key, timeout=30))
    sight = asyncio.run(evidence.look(machines.compute, key))
    assert (sight.machine["state"], sight.guest, sight.screen, sight.missing) == ("stopped", {}, None, {})
    assert sight.console[-1].endswith(WORDS)


def test_a_screen_is_seen_of_a_machine_that_is_busy_with_others_who_look(machines: Machine) -> None:
    key = machines.boot(TELLING)

    async def look() -> list[bytes | None]:
        return await asyncio.gather(*(machines.compute.screenshot(key) for _ in range(4)))

    pictures = asyncio.run(look())
    assert all(picture and picture.startswith(b"\x89PNG") for picture in pictures)


def test_a_job_fails_with_the_sight_of_its_machine_which_is_kept_for_a_while(kit: Kit, tmp_path: Path) -> None:
    settings = {"DARKROOM_DRIVER": "qemu", "DARKROOM_KIT": str(kit.tiny.parent), "DARKROOM_ACCELERATOR": "tcg"}
    service = Service(tmp_path / "data", settings={**settings, "DARKROOM_BOOT_TIMEOUT": "8"})
    try:
        service.start()
        body = service.order(service.add_image(TELLING), name="never", product_id="darkroom.tiny")
        body["root_volume"]["size"] = 10
        answer = service.ask("POST", "image-servers", body, headers={"Darkroom-Keep-On-Failure": "5"})
        job = service.ended(answer.json()["job_id"])
        (failure,) = service.get(f"image-server-jobs/{job['id']}/evidence")["failures"]
        assert (failure["step"], failure["code"]) == ("await guest", "Darkroom.0104")
        assert (failure["guest"], failure["missing"]) == ({"agent": "silent"}, {})
        assert failure["console"][-1].endswith(WORDS)
        assert lit(service.ask("GET", failure["screen"]).content) > 100
        pids = list(process.bearers(uuid_of(failure["resource_id"])))
        assert len(pids) == 1, "the machine is kept"
        assert "kept_until" in failure
        service.succeeded(service.delete(failure["resource_id"]))
        assert not list(process.bearers(uuid_of(failure["resource_id"])))
        service.stop_cleanly()
    finally:
        service.end()
