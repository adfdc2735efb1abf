"""What is special to the QEMU driver, on real guests: restarts, crashes, deaths, damage, and what is left behind.

What every driver promises is asked in test_driver_contract.py. Each call here runs on an event loop of its own, as the
driver must bear: the service has one for HTTP and another for its workers.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import msgspec
import pytest
from driver_harness import new_account, new_capture, new_image, new_key, pieces, pieces_of

from darkroom.domain.ids import ImageId, ServerId
from darkroom.drivers.base import Door, GuestAccount, MachineSpec, MachineState, no_progress
from darkroom.drivers.qemu import accel, files, machines, process, snapshot
from darkroom.drivers.qemu.agent import agent
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.machines import MachineRecord
from darkroom.drivers.qemu.qmp import Monitor, monitor
from darkroom.drivers.qemu.snapshot import CaptureRecord
from darkroom.errors import (
    AccountFailed,
    GeneraliseFailed,
    GuestSilent,
    HostFull,
    ImageDamaged,
    LoginFailed,
    MachineFailed,
    SnapshotFailed,
)
from darkroom.guests import Kit as BuiltKit

pytestmark = pytest.mark.qemu

T = TypeVar("T")
GIB = 1 << 30
#: 16-bit code that writes to the first serial port and halts.
SAYS_AND_HALTS = b"".join(b"\xba\xf8\x03\xb0" + bytes([sign]) + b"\xee" for sign in b"NO SYSTEM HERE\r\n") + b"\xfa\xf4"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class World:
    """A driver with the tiny image in it, and the machines that a test makes."""

    def __init__(self, data: Path, kit: BuiltKit) -> None:
        self.data, self.kit = data, kit
        self.compute = self.service()
        self.base = new_image()
        run(self.compute.image_store.receive(self.base, pieces_of(kit.tiny)))

    def service(self) -> QemuCompute:
        """Start the driver as a service would after a restart: knowing nothing but the data folder."""
        compute = QemuCompute(self.data, self.kit.tiny.parent, accelerator="tcg")
        run(compute.start())
        return compute

    def spec(self, image: ImageId | None = None, **changes: Any) -> MachineSpec:
        spec = MachineSpec(name="Test 1", image_id=image or self.base, cpus=1, memory_mib=256, disk_bytes=GIB)
        return msgspec.structs.replace(spec, **changes)

    def boot(self, image: ImageId | None = None) -> ServerId:
        key = new_key()
        run(self.compute.create(key, self.spec(image)))
        run(self.compute.await_guest(key, timeout=120))
        return key

    def home(self, key: str) -> Path:
        return self.data / "machines" / key

    def vm(self, key: str) -> Path:
        return self.home(key) / "vm"

    def record(self, key: str) -> MachineRecord:
        record = files.read_record(self.home(key) / "machine.json", MachineRecord)
        assert record is not None
        return record

    def sh(self, key: str, script: str) -> str:
        """Run a script in the guest by its agent."""

        async def talk() -> str:
            async with agent(self.vm(key), limit=20) as guest:
                ended = await guest.run(["/bin/sh", "-c", script], limit=60)
                assert ended.status == 0, ended.output
                return ended.output

        return run(talk())

    def pid(self, key: str) -> int:
        (pid,) = process.bearers(machines.uuid_of(key))
        return pid

    def kill(self, key: str) -> None:
        os.kill(self.pid(key), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while process.lives(self.vm(key)):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def active_layer(self, key: str) -> str:
        async def ask() -> str:
            async with monitor(self.vm(key)) as qemu:
                return f"{await qemu.active_node()}.qcow2"

        return run(ask())

    def close(self) -> None:
        for machine in run(self.compute.machines()):
            run(self.compute.delete(machine.key))
        run(self.compute.stop())


@pytest.fixture(scope="module")
def world(kit: BuiltKit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # A path longer than a socket's may be, below folders that are closed to QEMU's user.
    data = tmp_path_factory.mktemp("data") / ("long-" * 20) / "data"
    data.mkdir(parents=True)
    world = World(data, kit)
    yield world
    world.close()


@pytest.fixture(scope="module")
def machine(world: World) -> ServerId:
    """A machine whose guest answers, for tests that leave it so."""
    return world.boot()


@pytest.fixture
def halting(world: World) -> ImageId:
    """An image that says a line and halts."""
    image = new_image()
    disk = SAYS_AND_HALTS.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024)
    run(world.compute.image_store.receive(image, pieces(disk)))
    return image


def test_creating_again_confirms_the_machine(world: World, machine: ServerId) -> None:
    pid = world.pid(machine)
    again = run(world.compute.create(machine, world.spec()))
    assert (again.state, again.instance_id) == (MachineState.RUNNING, machines.uuid_of(machine))
    assert world.pid(machine) == pid


def test_a_restarted_service_finds_its_machines_and_carries_on(world: World, machine: ServerId) -> None:
    restarted = world.service()
    try:
        found = run(restarted.find(machine))
        assert found is not None
        assert (found.state, found.accelerator) == (MachineState.RUNNING, "tcg")
        assert found in run(restarted.machines())
        run(restarted.await_guest(machine, timeout=30))
    finally:
        run(restarted.stop())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start QEMU as another user")
def test_qemu_is_not_root(world: World, machine: ServerId) -> None:
    status = Path(f"/proc/{world.pid(machine)}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    owner = files.identity_of("nobody")
    assert owner is not None
    assert set(fields["Uid"].split()) == {str(owner.uid)}
    assert fields["Groups"].split() in ([], [str(owner.gid)])
    assert int(fields["CapEff"], 16) == 0
    assert fields["Seccomp"].strip() == "2"


def test_an_account_is_made_and_made_again(world: World, machine: ServerId) -> None:
    account = new_account("zhang.san")
    door = run(world.compute.admit(machine, account))
    assert run(world.compute.admit(machine, account)) == door
    run(world.compute.try_login(machine, account, door, timeout=60))
    assert world.sh(machine, "cat /etc/hostname").strip() == "test-1"
    assert world.sh(machine, "grep -c ssh- /home/zhang.san/.ssh/authorized_keys").strip() == "1"
    assert run(login_by_password(account, door)) == "zhang.san"
    assert "zhang.san" in world.sh(machine, "su zhang.san -c 'sudo -n id -un; id -un'")


async def login_by_password(account: GuestAccount, door: Door) -> str:
    known = asyncssh.import_known_hosts(f"[{door.address}]:{door.port} {door.host_key}")
    async with asyncssh.connect(
        door.address,
        door.port,
        username=account.name,
        password=account.password,
        client_keys=None,
        known_hosts=known,
        config=[],
    ) as connection:
        return str((await connection.run("id -un", check=True)).stdout).strip()


def test_a_login_is_made_only_where_the_host_key_is_the_guests(world: World, machine: ServerId) -> None:
    account = new_account("careful")
    door = run(world.compute.admit(machine, account))
    other = " ".join(new_account("x").public_key.split()[:2])
    began = time.monotonic()
    with pytest.raises(LoginFailed, match="Another machine answers"):
        run(world.compute.try_login(machine, account, msgspec.structs.replace(door, host_key=other), timeout=60))
    assert time.monotonic() - began < 30
    with pytest.raises(LoginFailed, match="within 3 s"):
        run(world.compute.try_login(machine, new_account("careful"), door, timeout=3))


@pytest.mark.parametrize("name", ["root", "nobody", "a b", "-rf", "$(reboot)", "x" * 33])
def test_an_account_that_cannot_be_is_refused(world: World, machine: ServerId, name: str) -> None:
    with pytest.raises(AccountFailed):
        run(world.compute.admit(machine, new_account(name)))


def test_a_password_is_never_read_as_a_command(world: World, machine: ServerId) -> None:
    account = msgspec.structs.replace(new_account("quoted"), password="'$(touch /tmp/harm)`touch /tmp/harm`\"\\: %s")
    run(world.compute.admit(machine, account))
    assert world.sh(machine, "ls /tmp/harm 2>/dev/null || echo none").strip() == "none"


def test_two_captures_in_a_row_each_hold_what_was_there(world: World, machine: ServerId) -> None:
    images, pauses = [], []
    for word in ("first", "second"):
        world.sh(machine, f"echo {word} >/opt/{word}; sync")
        capture, image = new_capture(), new_image()
        pauses.append(run(world.compute.snapshot(machine, capture)).pause_seconds)
        assert run(world.compute.snapshot(machine, capture)).pause_seconds == pauses[-1]
        facts = run(world.compute.flatten(machine, capture, image, progress=no_progress))
        assert run(world.compute.flatten(machine, capture, image, progress=no_progress)) == facts
        run(world.compute.discard(machine, capture))
        images.append(image)
    assert all(0 < pause < 5 for pause in pauses)
    assert world.active_layer(machine) == world.record(machine).disk
    stored = [world.data / "images" / f"{image}.qcow2" for image in images]
    info = [subprocess.check_output(["qemu-img", "info", "--output=json", path]) for path in stored]
    assert not any(b"backing" in text for text in info)
    world.sh(machine, "test -f /opt/first && test -f /opt/second")
    assert not list(world.vm(machine).glob("capture-*"))


def test_the_measured_pause_is_what_the_guest_sees(
    world: World, machine: ServerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that writes all the time notes when; the flip is made to take a second, in which it must stand still."""
    do = Monitor.do

    async def slowly(self: Monitor, command: str, *arguments: Any, **more: Any) -> Any:
        if command == "blockdev-snapshot":
            await asyncio.sleep(1)
        return await do(self, command, *arguments, **more)

    monkeypatch.setattr(Monitor, "do", slowly)
    world.sh(machine, "(while :; do cut -d ' ' -f 1 /proc/uptime; sync; done >/opt/times 2>&1 & echo $! >/opt/pid) &")
    time.sleep(0.5)
    capture = new_capture()
    pause = run(world.compute.snapshot(machine, capture)).pause_seconds
    times = [float(word) for word in world.sh(machine, "sleep 1; kill $(cat /opt/pid); cat /opt/times").split()]
    run(world.compute.discard(machine, capture))
    longest = max(later - sooner for sooner, later in pairwise(times))
    assert 1 <= pause < 6
    assert longest > 0.95


def intend(world: World, key: ServerId) -> tuple[str, CaptureRecord]:
    """Write down the intent of a capture, its layer made, as far as a crash before the flip would leave it."""
    capture, record = new_capture(), world.record(key)
    intent = CaptureRecord(frozen=record.disk, active=snapshot.next_disk(record.disk))
    run(world.compute._images.tool.create(world.vm(key), intent.active, backing=intent.frozen))
    files.write_record(world.home(key) / f"capture-{capture}.json", intent)
    return capture, intent


def forget_flip(world: World, key: ServerId, capture: str) -> CaptureRecord:
    """Undo what is written down after a flip, as a crash just after it would leave it."""
    path = world.home(key) / f"capture-{capture}.json"
    taken = files.read_record(path, CaptureRecord)
    assert taken is not None
    files.write_record(path, CaptureRecord(frozen=taken.frozen, active=taken.active))
    record = msgspec.structs.replace(world.record(key), disk=taken.frozen)
    files.write_record(world.home(key) / "machine.json", record)
    return taken


def test_a_crash_before_the_flip_is_made_good(world: World, machine: ServerId) -> None:
    capture, intent = intend(world, machine)
    assert world.active_layer(machine) == intent.frozen
    run(world.compute.snapshot(machine, capture))
    assert world.active_layer(machine) == world.record(machine).disk == intent.active
    run(world.compute.discard(machine, capture))


def test_another_capture_does_not_mistake_an_intent_for_a_flip(world: World, machine: ServerId) -> None:
    crashed, _ = intend(world, machine)
    capture = new_capture()
    run(world.compute.snapshot(machine, capture))
    assert world.active_layer(machine) == world.record(machine).disk
    run(world.compute.snapshot(machine, crashed))
    assert world.active_layer(machine) == world.record(machine).disk
    for name in (capture, crashed):
        run(world.compute.discard(machine, name))


def test_a_crash_after_the_flip_does_not_flip_twice(world: World, machine: ServerId) -> None:
    capture = new_capture()
    run(world.compute.snapshot(machine, capture))
    taken = forget_flip(world, machine, capture)
    run(world.compute.snapshot(machine, capture))
    assert world.active_layer(machine) == world.record(machine).disk == taken.active
    run(world.compute.discard(machine, capture))


def test_a_capture_that_is_discarded_right_after_the_flip_loses_nothing(world: World) -> None:
    key = world.boot()
    capture = new_capture()
    run(world.compute.snapshot(key, capture))
    taken = forget_flip(world, key, capture)
    world.sh(key, "echo later >/opt/later; sync")
    run(world.compute.discard(key, capture))
    assert world.record(key).disk == taken.active
    world.kill(key)
    run(world.compute.create(key, world.spec()))
    run(world.compute.await_guest(key, timeout=120))
    assert world.sh(key, "cat /opt/later").strip() == "later"
    run(world.compute.delete(key))


def test_a_machine_that_died_after_the_flip_keeps_what_it_wrote(world: World) -> None:
    key = world.boot()
    capture = new_capture()
    run(world.compute.snapshot(key, capture))
    world.sh(key, "echo later >/opt/later; sync")
    taken = forget_flip(world, key, capture)
    world.kill(key)
    run(world.compute.create(key, world.spec()))
    run(world.compute.await_guest(key, timeout=120))
    assert world.record(key).disk == taken.active
    assert world.sh(key, "cat /opt/later").strip() == "later"
    run(world.compute.delete(key))


def test_a_guest_left_frozen_by_a_crash_is_thawed_at_the_next_start(world: World, machine: ServerId) -> None:
    async def freeze() -> None:
        async with agent(world.vm(machine), limit=20) as guest:
            await guest.do("guest-fsfreeze-freeze", limit=20)

    (world.home(machine) / "pausing").touch()
    run(freeze())
    run(world.service().stop())
    world.sh(machine, "echo thawed >/opt/thawed; sync")
    assert not (world.home(machine) / "pausing").exists()


def test_a_snapshot_that_fails_leaves_nothing_and_the_guest_runs(
    world: World, machine: ServerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in world.vm(machine).iterdir())

    async def breaks(*_: object) -> float:
        raise snapshot.MonitorFailed("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_while_still", breaks)
        with pytest.raises(SnapshotFailed, match="made to fail"):
            run(world.compute.snapshot(machine, new_capture()))
    assert sorted(path.name for path in world.vm(machine).iterdir()) == before
    assert not list(world.home(machine).glob("capture-*"))
    world.sh(machine, "touch /opt/runs; sync")


def test_a_guest_without_an_agent_is_paused_instead(world: World, halting: ImageId, machine: ServerId) -> None:
    key, capture = new_key(), new_capture()
    run(world.compute.create(key, world.spec(halting)))
    assert run(world.compute.snapshot(key, capture)).pause_seconds > 0

    async def status() -> str:
        async with monitor(world.vm(key)) as qemu:
            return await qemu.status()

    assert run(status()) == "running"
    with pytest.raises(GeneraliseFailed, match="no Linux root file system"):
        run(world.compute.generalise(key, capture, [], timeout=120, progress=no_progress))
    with pytest.raises(GeneraliseFailed):
        run(world.compute.generalise(key, capture, [], timeout=0.3, progress=no_progress))
    assert not list(process.bearers(machines.uuid_of(key, capture)))
    run(world.compute.delete(key))


def test_generalising_begins_anew_after_a_crash(world: World, machine: ServerId) -> None:
    capture = new_capture()
    run(world.compute.snapshot(machine, capture))
    bench = world.vm(machine) / f"capture-{capture}"
    bench.mkdir()
    (bench / "overlay.qcow2").write_bytes(b"half")
    run(world.compute.generalise(machine, capture, ["nobody-like"], timeout=120, progress=no_progress))
    run(world.compute.generalise(machine, capture, [], timeout=0.001, progress=no_progress))
    run(world.compute.discard(machine, capture))
    assert not bench.exists()


def test_a_stopped_machine_is_captured_and_boots_from_its_new_layer(world: World) -> None:
    key, capture, image = world.boot(), new_capture(), new_image()
    world.sh(key, "echo kept >/opt/kept; sync")
    world.kill(key)
    found = run(world.compute.find(key))
    assert found is not None
    assert found.state is MachineState.STOPPED
    assert run(world.compute.snapshot(key, capture)).pause_seconds == 0
    run(world.compute.flatten(key, capture, image, progress=no_progress))
    run(world.compute.create(key, world.spec()))
    run(world.compute.await_guest(key, timeout=120))
    assert world.active_layer(key) == "disk-1.qcow2"
    assert world.sh(key, "cat /opt/kept").strip() == "kept"
    run(world.compute.delete(key))


def test_a_guest_that_never_answers_is_told_with_its_console(world: World, halting: ImageId) -> None:
    key = new_key()
    run(world.compute.create(key, world.spec(halting)))
    began = time.monotonic()
    with pytest.raises(GuestSilent, match="NO SYSTEM HERE"):
        run(world.compute.await_guest(key, timeout=4))
    assert time.monotonic() - began < 6
    assert "NO SYSTEM HERE" in run(world.compute.serial_tail(key, 5))
    run(world.compute.delete(key))


def test_a_killed_qemu_is_noticed_at_once(world: World, halting: ImageId) -> None:
    key = new_key()
    run(world.compute.create(key, world.spec(halting)))
    world.kill(key)
    began = time.monotonic()
    with pytest.raises(MachineFailed, match="stopped by itself"):
        run(world.compute.await_guest(key, timeout=60))
    assert time.monotonic() - began < 5
    run(world.compute.delete(key))


def test_qemus_own_words_are_told_and_nothing_stays(world: World) -> None:
    key = new_key()
    with pytest.raises(MachineFailed, match=r"(?i)cpus"):
        run(world.compute.create(key, world.spec(cpus=5000)))
    assert not world.home(key).exists()


def test_a_host_without_enough_memory_is_told_with_numbers(world: World) -> None:
    key = new_key()
    with pytest.raises(HostFull, match=r"needs 99999\d{3} MiB"):
        run(world.compute.create(key, world.spec(memory_mib=99999000)))
    assert not world.home(key).exists()


def test_a_damaged_base_image_is_not_started(world: World, halting: ImageId) -> None:
    path = world.data / "images" / f"{halting}.qcow2"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageDamaged, match="changed"):
        run(world.compute.check(world.spec(halting)))
    path.write_bytes(data[:-10])
    with pytest.raises(ImageDamaged, match="bytes instead of"):
        run(world.compute.create(new_key(), world.spec(halting)))
    path.unlink()
    with pytest.raises(ImageDamaged, match="missing"):
        run(world.compute.check(world.spec(halting)))


def test_a_touched_but_unchanged_image_is_looked_at_once(world: World, halting: ImageId) -> None:
    path = world.data / "images" / f"{halting}.qcow2"
    os.utime(path, (1, 1))
    run(world.compute.check(world.spec(halting)))
    assert f'"mtime_ns":{path.stat().st_mtime_ns}' in path.with_suffix(".json").read_text()


def test_an_image_may_go_while_its_machine_runs(world: World, halting: ImageId) -> None:
    key = new_key()
    run(world.compute.create(key, world.spec(halting)))
    run(world.compute.image_store.remove(halting))
    world.kill(key)
    run(world.compute.create(key, world.spec(halting)))
    run(world.compute.delete(key))


def test_a_taken_port_is_tried_around(world: World, halting: ImageId, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken, real = busy.getsockname()[1], machines._free_port
        answers = iter([taken])
        monkeypatch.setattr(machines, "_free_port", lambda wanted: next(answers, None) or real(0))
        key = new_key()
        run(world.compute.create(key, world.spec(halting)))
        assert world.record(key).ssh_port != taken
    run(world.compute.delete(key))


def test_a_cancelled_creation_leaves_nothing(world: World, halting: ImageId) -> None:
    async def scene(key: ServerId, delay: float) -> None:
        task = asyncio.create_task(world.compute.create(key, world.spec(halting)))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for delay in (0, 0.01, 0.03, 0.05):
        key = new_key()
        run(scene(key, delay))
        assert not world.home(key).exists()
        assert not list(process.bearers(machines.uuid_of(key)))


def test_deleting_leaves_no_process_no_file_and_no_port(world: World, halting: ImageId) -> None:
    key = new_key()
    run(world.compute.create(key, world.spec(halting)))
    pid, port = world.pid(key), world.record(key).ssh_port
    run(world.compute.delete(key))
    run(world.compute.delete(key))
    assert not Path(f"/proc/{pid}").exists()
    assert not world.home(key).exists()
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", port))
    assert run(world.compute.find(key)) is None


def test_a_stuck_qemu_is_killed(world: World, halting: ImageId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_POLITE", 0.5)
    key = new_key()
    run(world.compute.create(key, world.spec(halting)))
    os.kill(world.pid(key), signal.SIGSTOP)
    run(world.compute.delete(key))
    assert not list(process.bearers(machines.uuid_of(key)))


def test_a_released_machine_is_shut_down_and_its_disk_kept(world: World) -> None:
    key = world.boot()
    began = time.monotonic()
    run(world.compute.release(key))
    run(world.compute.release(key))
    assert time.monotonic() - began < 60
    assert run(world.compute.find(key)) is None
    assert not list(process.bearers(machines.uuid_of(key)))
    kept = world.data / "released" / key / "vm" / "disk-0.qcow2"
    subprocess.run(["qemu-img", "check", "-q", kept], check=True)


SERVICE = """
import asyncio, sys
from pathlib import Path
from darkroom.drivers.base import MachineSpec, no_progress
from darkroom.drivers.qemu.compute import QemuCompute

call, data, kit, key, *words = sys.argv[1:]
compute = QemuCompute(Path(data), Path(kit), accelerator="tcg")
spec = MachineSpec(name="x", image_id=words[0], cpus=1, memory_mib=256, disk_bytes=1 << 30)
work = {
    "create": lambda: compute.create(key, spec),
    "snapshot": lambda: compute.snapshot(key, words[0]),
    "flatten": lambda: compute.flatten(key, words[0], words[1], progress=no_progress),
    "generalise": lambda: compute.generalise(key, words[0], [], timeout=60, progress=no_progress),
}
print("ready", flush=True)
asyncio.run(work[call]())
"""


def die_during(world: World, delay: float, call: str, key: str, *words: str) -> None:
    """Have another process make a call, and kill it with SIGKILL `delay` seconds after it has begun."""
    command = [sys.executable, "-c", SERVICE, call, world.data, world.kit.tiny.parent, key, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        time.sleep(delay)
        service.kill()


def test_a_service_killed_while_it_creates_is_followed_up(world: World, halting: ImageId) -> None:
    for step in range(10):
        key = new_key()
        die_during(world, step * 0.012, "create", key, halting)
        machine = run(world.compute.create(key, world.spec(halting)))
        assert machine.state is MachineState.RUNNING
        assert list(process.bearers(machine.instance_id)) == [world.pid(key)]
        assert world.active_layer(key) == "disk-0.qcow2"
        run(world.compute.delete(key))


def test_a_service_killed_while_it_creates_leaves_nothing_that_deleting_misses(world: World, halting: ImageId) -> None:
    for step in range(10):
        key = new_key()
        die_during(world, step * 0.012, "create", key, halting)
        run(world.compute.delete(key))
        assert not world.home(key).exists()
        assert not list(process.bearers(machines.uuid_of(key)))


def test_a_service_killed_while_it_takes_a_snapshot_is_followed_up(world: World, machine: ServerId) -> None:
    for step in range(12):
        capture, before = new_capture(), world.record(machine).disk
        die_during(world, step * 0.02, "snapshot", machine, capture)
        run(world.compute.snapshot(machine, capture))
        assert world.active_layer(machine) == world.record(machine).disk == snapshot.next_disk(before)
        world.sh(machine, f"echo {step} >/opt/steps; sync")
        run(world.compute.discard(machine, capture))
    assert not (world.home(machine) / "pausing").exists()


def test_a_service_killed_while_it_copies_is_followed_up(world: World, machine: ServerId) -> None:
    capture = new_capture()
    run(world.compute.snapshot(machine, capture))
    for step in range(6):
        image = new_image()
        die_during(world, step * 0.04, "flatten", machine, capture, image)
        facts = run(world.compute.flatten(machine, capture, image, progress=no_progress))
        assert run(world.compute.image_store.facts(image)) == facts
        run(world.compute.check(world.spec(image)))
    die_during(world, 0.5, "generalise", machine, capture)
    run(world.compute.generalise(machine, capture, [], timeout=60, progress=no_progress))
    run(world.compute.discard(machine, capture))
    assert not list((world.data / "images").glob("*.partial"))
    assert not list(process.bearers(machines.uuid_of(machine, capture)))


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="needs /dev/kvm")
def test_kvm_is_tried_before_it_is_trusted(world: World, tmp_path: Path) -> None:
    kit, cache = Kit(world.kit.tiny.parent), tmp_path / "verdict.json"
    found = run(accel.choose("auto", kit, cache, None, patience=3))
    assert found.name in ("kvm", "tcg")
    assert "trial" in found.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["verdict.json", "verdict.lock"]
    began = time.monotonic()
    assert run(accel.choose("auto", kit, cache, None)) == found
    assert time.monotonic() - began < 0.5
