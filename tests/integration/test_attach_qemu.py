"""Files and scripts in a real guest: sent by a line of their own or by the agent, run, ended, and told of."""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_harness import GIB, new_image, new_key, pieces, pieces_of

from darkroom.domain.apps import LISTING, AppKind, AppRecord
from darkroom.domain.ids import ServerId
from darkroom.drivers.base import Completed, MachineSpec
from darkroom.drivers.qemu import delivery
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.errors import AttachFailed, GuestRefused, GuestSilent
from darkroom.guests import Kit
from darkroom.store.app_files import AppFiles
from darkroom.workflows.attach import attach

pytestmark = pytest.mark.qemu

MIB = 1 << 20


class Machine:
    """A tiny guest that runs, and its driver."""

    def __init__(self, data: Path, kit: Kit) -> None:
        self.key = ServerId(new_key())
        self.compute = QemuCompute(data, kit.tiny.parent, accelerator="tcg")
        asyncio.run(self._boot(kit))

    async def _boot(self, kit: Kit) -> None:
        await self.compute.start()
        base = new_image()
        await self.compute.image_store.receive(base, pieces_of(kit.tiny))
        spec = MachineSpec(name="guest", image_id=base, cpus=1, memory_mib=256, disk_bytes=GIB)
        await self.compute.create(self.key, spec)
        await self.compute.await_guest(self.key, timeout=120)

    def end(self) -> None:
        asyncio.run(self.compute.delete(self.key))
        asyncio.run(self.compute.stop())

    def put(self, path: str, content: bytes, *, mode: int = 0o644, timeout: float = 60) -> None:
        chunks = pieces(*(content[at : at + MIB] for at in range(0, len(content), MIB)))
        work = self.compute.put_file(self.key, path, chunks, size=len(content), mode=mode, timeout=timeout)
        asyncio.run(work)

    def run(self, *words: str, stdin: bytes = b"", timeout: float = 30) -> Completed:
        return asyncio.run(self.compute.run(self.key, words, stdin=stdin, timeout=timeout))

    def sh(self, script: str) -> str:
        completed = self.run("/bin/sh", "-c", script)
        assert completed.exit_code == 0, completed.output
        return completed.output


@pytest.fixture(scope="module")
def machine(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("data"), kit)
    yield machine
    machine.end()


def test_a_script_and_a_package_are_attached(machine: Machine, tmp_path: Path) -> None:
    files, compute = AppFiles(tmp_path / "apps", limit=GIB), machine.compute
    files.sweep()
    contents = {
        "1": b'#!/bin/sh\nset -e\npwd\nsha256sum ../2/tool.deb\necho "$@" >/opt/tool\ncat /opt/missing\n',
        "2": os.urandom(3 * MIB),
    }

    def record(number: str, kind: AppKind, name: str, *arguments: str) -> AppRecord:
        facts = asyncio.run(files.receive(number, pieces(contents[number])))  # type: ignore[arg-type]
        values: dict[str, Any] = {"id": number, "app_id": f"{number}0", "project_id": "p", "version": "1"}
        return AppRecord(
            **values, name=name, kind=kind, file_name=name, arguments=arguments, size=facts.size, sha256=facts.sha256
        )

    records = [record("1", AppKind.SCRIPT, "setup", "a  b", "$HOME"), record("2", AppKind.PACKAGE, "tool.deb")]
    with pytest.raises(AttachFailed, match="setup 1 ended with status 1") as caught:
        asyncio.run(attach(compute, files, machine.key, records, timeout=60))
    digest = hashlib.sha256(contents["2"]).hexdigest()
    said = caught.value.output.splitlines()
    assert said[:2] == ["/opt/darkroom/apps/1", f"{digest}  ../2/tool.deb"]
    assert "/opt/missing" in said[-1]
    assert '"failed"' in machine.sh(f"cat {LISTING}")
    machine.sh("touch /opt/missing")
    asyncio.run(attach(compute, files, machine.key, records, timeout=60))
    assert machine.sh("cat /opt/tool") == "a  b $HOME"
    assert '"done"' in machine.sh(f"cat {LISTING}")
    modes = machine.sh("cd /opt/darkroom/apps && stat -c '%a %U %n' . 1 1/setup 2/tool.deb apps.json").splitlines()
    assert modes == ["755 root .", "755 root 1", "755 root 1/setup", "644 root 2/tool.deb", "644 root apps.json"]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 7])
@pytest.mark.parametrize("line", [True, False], ids=["by the line", "by the agent"])
def test_files_of_any_size_arrive(machine: Machine, monkeypatch: pytest.MonkeyPatch, size: int, line: bool) -> None:
    content = os.urandom(size)
    monkeypatch.setattr(delivery, "_SMALL", 0 if line else GIB)
    machine.put("/root/file", content, mode=0o600)
    expected = f"{hashlib.sha256(content).hexdigest()}  /root/file\n600"
    assert machine.sh("sha256sum /root/file; stat -c %a /root/file") == expected


def test_a_transfer_that_takes_too_long_leaves_the_old_file_and_no_other(machine: Machine) -> None:
    machine.put("/root/kept", b"old")
    with pytest.raises(GuestSilent, match=r"within 0\.7 s"):
        machine.put("/root/kept", bytes(64 * MIB), timeout=0.7)
    assert machine.sh("cat /root/kept; ls /root | grep -c kept") == "old1"
    machine.put("/root/kept", bytes(MIB))


def test_what_the_guest_has_no_room_for_is_told_and_leaves_nothing(machine: Machine) -> None:
    machine.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=2m small /mnt/small")
    with pytest.raises(GuestRefused, match="no space is left on the disk"):
        machine.put("/mnt/small/file", os.urandom(8 * MIB))
    assert machine.sh("ls /mnt/small") == ""
    with pytest.raises(GuestRefused, match="folder of that name"):
        machine.put("/mnt/small", b"a")


def test_a_program_is_told_of_by_its_status_and_the_end_of_its_output(machine: Machine) -> None:
    completed = machine.run("/bin/sh", "-c", 'cat; echo "$0 $1"; echo err >&2; exit 3', "a b", "$c", stdin=b"in\n")
    assert completed == Completed(exit_code=3, output="in\na b $c\nerr")
    assert machine.run("/nowhere").exit_code == 127
    output = machine.run("/bin/sh", "-c", "yes | head -n 100000; printf '\\033[1mEND'").output
    assert output.endswith("y\nEND")
    assert len(output) <= 16 * 1024


def test_a_service_that_a_program_leaves_behind_is_not_waited_for(machine: Machine) -> None:
    began = time.monotonic()
    machine.sh("sleep 1000 & echo $! >/run/left")
    assert time.monotonic() - began < 20
    machine.sh("kill $(cat /run/left)")


def test_a_program_that_takes_too_long_is_ended_with_all_it_began(machine: Machine) -> None:
    script = "trap '' TERM; echo begun; sh -c 'trap \"\" TERM; sleep 1001; sleep 1002'; echo never"
    completed = machine.run("/bin/sh", "-c", script, timeout=1)
    assert completed == Completed(exit_code=None, output="begun")
    assert machine.sh("ps | grep '[s]leep 100[12]' || true") == ""


def test_a_run_that_nobody_waits_for_any_more_is_ended_before_the_same_is_run_again(machine: Machine) -> None:
    words = ["/bin/sh", "-c", "echo $$ >>/run/runs; [ -e /run/again ] || sleep 1003"]

    async def begin_and_give_up() -> None:
        work = asyncio.create_task(machine.compute.run(machine.key, words, timeout=60))
        await asyncio.sleep(3)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(begin_and_give_up())
    first = machine.sh("cat /run/runs")
    machine.sh(f"touch /run/again; kill -0 {first}")
    assert machine.run(*words) == Completed(exit_code=0, output="")
    assert len(machine.sh("cat /run/runs").split()) == 2
    assert machine.run("/bin/sh", "-c", f"kill -0 {first}").exit_code == 1
    assert machine.sh("ls /run | grep -c ^darkroom-") == "2", "of this run itself; nothing is left of the others"
