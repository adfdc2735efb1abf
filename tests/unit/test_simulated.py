"""The simulated driver's own features: faults, durations, a state that outlives the process."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom.domain.ids import ImageId, JobId, ServerId
from darkroom.drivers.base import GuestAccount, ImageFacts, ImageStore, MachineSpec, no_progress
from darkroom.drivers.simulated import INSTANT, Durations, Fault, SimulatedCompute, SimulatedImageStore
from darkroom.errors import (
    AccountFailed,
    CaptureFailed,
    GeneraliseFailed,
    GuestSilent,
    HostFull,
    ImageDamaged,
    InvalidParameter,
    JobFault,
    LoginFailed,
    MachineFailed,
)

BASE, IMAGE = ImageId("base"), ImageId("made")
KEY, OTHER = ServerId("100000000000000001"), ServerId("100000000000000002")
CAPTURE = JobId("200000000000000001")
SPEC = MachineSpec(name="builder", image_id=BASE, cpus=1, memory_mib=256, disk_bytes=40 << 30)
ADMIN = GuestAccount(name="admin", password="-", public_key="ssh-ed25519 AAAA admin@here", private_key="-")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def content(images: ImageStore, image_id: ImageId) -> bytes:
    return b"".join([chunk async for chunk in images.read(image_id)])


class World:
    """A data folder with a base image, and drivers on it."""

    def __init__(self, data: Path) -> None:
        self.data, self.slept = data, 0.0
        self.images = SimulatedImageStore(data)
        self.faults = self.images.faults
        run(self.images.receive(BASE, chunks(b"a raw disk")))

    def compute(self, durations: Durations | str = INSTANT, **options: Any) -> SimulatedCompute:
        return SimulatedCompute(
            self.data, SimulatedImageStore(self.data), durations=durations, sleep=self.sleep, **options
        )

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def booted(self) -> SimulatedCompute:
        """Return a driver with one machine that has booted."""
        compute = self.compute()
        run(compute.create(KEY, SPEC))
        run(compute.await_guest(KEY, timeout=1))
        return compute

    def names(self) -> set[str]:
        """Return the name of every file that is not hidden."""
        return {path.name for path in self.data.rglob("*") if path.is_file() and not path.name.startswith(".")}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- state


def test_another_process_sees_the_machine_its_files_and_its_frozen_disk(world: World) -> None:
    before = world.booted()
    before.write_file(KEY, "/opt/app", "installed")
    run(before.snapshot(KEY, CAPTURE))

    after = world.compute()
    assert run(after.machines()) == [run(before.find(KEY))]
    assert after.read_file(KEY, "/opt/app") == "installed"
    assert run(after.flatten(KEY, CAPTURE, IMAGE, progress=no_progress)).virtual_size == SPEC.disk_bytes


def test_what_a_killed_process_wrote_is_whole(world: World) -> None:
    writer = """
import asyncio, sys
from pathlib import Path
from test_simulated import KEY, SPEC, World
world = World(Path(sys.argv[1]))
compute = world.booted()
print("up", flush=True)
while True:
    compute.write_file(KEY, "/opt/app", "x" * 100_000)
"""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(world.data)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.05)
        process.kill()
    compute = world.compute()
    assert [machine.key for machine in run(compute.machines())] == [KEY]
    run(compute.delete(KEY))
    assert not list((world.data / "simulated" / "machines").iterdir())


def test_threads_with_event_loops_of_their_own_do_not_disturb_each_other(world: World) -> None:
    compute = world.compute()
    keys = [ServerId(f"{number:018d}") for number in range(24)]

    async def begin(key: ServerId) -> int:
        await compute.create(key, SPEC)
        await compute.await_guest(key, timeout=1)
        return (await compute.admit(key, ADMIN)).port

    with ThreadPoolExecutor(8) as threads:
        ports = list(threads.map(lambda key: asyncio.run(begin(key)), keys))
    assert len(set(ports)) == len(keys) == len(run(compute.machines()))


def test_deleting_a_machine_leaves_no_file_of_it(world: World) -> None:
    before = world.names()
    run(world.booted().delete(KEY))
    assert world.names() == before


def test_an_image_id_does_not_lead_out_of_the_folder(world: World) -> None:
    (world.data / "secret.disk").write_bytes(b"secret")
    with pytest.raises(ImageDamaged):
        run(content(world.images, ImageId("../secret")))
    run(world.images.remove(ImageId("../secret")))
    assert (world.data / "secret.disk").exists()


# --- faults


def test_a_fault_strikes_as_often_as_it_says_across_processes(world: World) -> None:
    world.faults.set("create", Fault(error="MachineFailed", message="no luck", times=2))
    for _ in range(2):
        with pytest.raises(MachineFailed, match="no luck"):
            run(world.compute().create(KEY, SPEC))
        assert run(world.compute().find(KEY)) is None
    run(world.compute().create(KEY, SPEC))


def test_an_operator_switches_faults_in_a_file_while_the_service_runs(world: World) -> None:
    compute = world.booted()
    file = world.data / "simulated" / "faults.json"
    file.write_text(json.dumps({"delete": {"error": "DeleteFailed"}, "receive": {"error": "InvalidParameter"}}))
    with pytest.raises(JobFault, match="The machine could not be deleted"):
        run(compute.delete(KEY))
    with pytest.raises(InvalidParameter):
        run(world.images.receive(IMAGE, chunks(b"disk")))
    file.unlink()
    run(compute.delete(KEY))


@pytest.mark.parametrize("name", ["unlucky", OTHER])
def test_a_fault_may_be_meant_for_one_server(world: World, name: str) -> None:
    world.faults.set("create", Fault(error="HostFull", only=name))
    compute = world.compute()
    run(compute.create(KEY, SPEC))
    with pytest.raises(HostFull):
        run(compute.create(OTHER, msgspec.structs.replace(SPEC, name="unlucky")))


def test_a_fault_may_strike_in_the_middle_of_the_work_and_leaves_no_half_image(world: World) -> None:
    compute, seen = world.booted(), []
    run(compute.snapshot(KEY, CAPTURE))
    world.faults.set("flatten", Fault(error="CaptureFailed", after=0.5))
    before = world.names()
    with pytest.raises(CaptureFailed):
        run(compute.flatten(KEY, CAPTURE, IMAGE, progress=lambda done, total: seen.append(done / total)))
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert world.names() == before


def test_an_upload_struck_after_its_bytes_leaves_nothing(world: World) -> None:
    world.faults.set("receive", Fault(error="HostFull", after=1))
    with pytest.raises(HostFull):
        run(world.images.receive(IMAGE, chunks(b"disk")))
    assert run(world.images.facts(IMAGE)) is None
    assert not list((world.data / "images").glob("*made*"))


def test_a_call_that_hangs_waits_until_it_is_cancelled_and_has_changed_nothing(world: World) -> None:
    world.faults.set("create", Fault(hang=True, times=1))
    compute = world.compute()

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await compute.create(KEY, SPEC)

    with pytest.raises(TimeoutError):
        run(give_up())
    assert run(compute.machines()) == []
    run(compute.create(KEY, SPEC))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('{"creat": {"error": "HostFull"}}', "'creat': there is no such call"),
        ('{"create": {"error": "Oops"}}', "'create': there is no error 'Oops'"),
        ('{"create": {"error": "HostFull", "after": 2}}', "'create': .*after"),
        ('{"create": {"error": "HostFull", "when": 2}}', "'create': .*when"),
        ('{"create": {}}', "'create': give one of `error`, `hang` and `exit_code`"),
        ('{"create": 7}', "'create': "),
        ('{"create": ', "faults.json: "),
    ],
)
def test_a_wrong_fault_file_is_told_by_its_entry(world: World, entry: str, problem: str) -> None:
    (world.data / "simulated").mkdir(exist_ok=True)
    (world.data / "simulated" / "faults.json").write_text(entry)
    with pytest.raises(JobFault, match=problem):
        run(world.compute().start())
    with pytest.raises(JobFault, match=problem):
        run(world.compute().find(KEY))


def test_a_fault_for_no_call_at_all_cannot_be_set(world: World) -> None:
    with pytest.raises(ValueError, match="there is no call 'explode'"):
        world.faults.set("explode", Fault(error="HostFull"))


# --- time


def test_durations_are_read_from_a_setting() -> None:
    assert Durations.parse(" boot=5, flatten = 0.5,") == Durations(boot=5, flatten=0.5)
    assert Durations.parse("") == Durations()
    for wrong in ("boot", "boot=soon", "boot=-1", "lunch=3"):
        with pytest.raises(ValueError):
            Durations.parse(wrong)


def test_work_takes_its_time_once(world: World) -> None:
    compute = world.compute("boot=3, login=1, snapshot=0, generalise=5, flatten=7, delete=11")
    run(compute.create(KEY, SPEC))
    steps = {
        3: lambda: compute.await_guest(KEY, timeout=60),
        0: lambda: compute.snapshot(KEY, CAPTURE),
        5: lambda: compute.generalise(KEY, CAPTURE, [], timeout=60, progress=no_progress),
        7: lambda: compute.flatten(KEY, CAPTURE, IMAGE, progress=no_progress),
        11: lambda: compute.delete(KEY),
    }
    for seconds, step in steps.items():
        world.slept = 0
        run(step())
        assert world.slept == pytest.approx(seconds)
        run(step())
        assert world.slept == pytest.approx(seconds)


def test_a_guest_slower_than_the_limit_is_silent_and_its_console_is_quoted(world: World) -> None:
    compute = world.compute(msgspec.structs.replace(INSTANT, boot=60))
    run(compute.create(KEY, SPEC))
    with pytest.raises(GuestSilent, match="Booting builder"):
        run(compute.await_guest(KEY, timeout=5))
    assert world.slept == pytest.approx(5)


def test_logins_and_generalising_keep_to_their_limits(world: World) -> None:
    door = run(world.booted().admit(KEY, ADMIN))
    slow = world.compute(Durations())
    run(slow.snapshot(KEY, CAPTURE))
    with pytest.raises(LoginFailed, match="within"):
        run(slow.try_login(KEY, ADMIN, door, timeout=0.1))
    with pytest.raises(GeneraliseFailed, match="longer"):
        run(slow.generalise(KEY, CAPTURE, [], timeout=0.1, progress=no_progress))


# --- guests, doors and images


def test_only_the_admitted_key_opens_the_door(world: World) -> None:
    compute = world.booted()
    door = run(compute.admit(KEY, ADMIN))
    assert door.host_key.startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA")
    run(compute.try_login(KEY, msgspec.structs.replace(ADMIN, public_key="ssh-ed25519 AAAA"), door, timeout=1))
    for account in (
        msgspec.structs.replace(ADMIN, public_key="ssh-ed25519 BBBB"),
        msgspec.structs.replace(ADMIN, name="stranger"),
    ):
        with pytest.raises(LoginFailed):
            run(compute.try_login(KEY, account, door, timeout=1))
    with pytest.raises(LoginFailed):
        run(compute.try_login(KEY, ADMIN, msgspec.structs.replace(door, host_key="ssh-ed25519 CCCC"), timeout=1))


def test_a_guest_that_has_not_booted_admits_nobody(world: World) -> None:
    compute = world.compute()
    run(compute.create(KEY, SPEC))
    with pytest.raises(AccountFailed):
        run(compute.admit(KEY, ADMIN))


def test_the_host_has_as_much_memory_as_it_is_told(world: World) -> None:
    run(world.compute(memory_limit_mib=256).check(SPEC))
    with pytest.raises(HostFull, match="256 MiB of memory are wanted, 255 MiB are there"):
        run(world.compute(memory_limit_mib=255).check(SPEC))


def test_an_image_whose_file_is_gone_is_damaged(world: World) -> None:
    (world.data / "images" / "base.disk").unlink()
    with pytest.raises(ImageDamaged, match="missing"):
        run(world.compute().check(SPEC))


def made_image(world: World) -> ImageFacts:
    compute = world.booted()
    compute.write_file(KEY, "/opt/app", "installed")
    run(compute.snapshot(KEY, CAPTURE))
    facts: ImageFacts = run(compute.flatten(KEY, CAPTURE, IMAGE, progress=no_progress))
    return facts


def test_an_image_that_was_exported_and_uploaded_elsewhere_still_has_the_files(world: World, tmp_path: Path) -> None:
    facts = made_image(world)
    elsewhere = World(tmp_path / "elsewhere")
    assert run(elsewhere.images.receive(BASE, chunks(run(content(world.images, IMAGE))))) == facts
    assert elsewhere.booted().read_file(KEY, "/opt/app") == "installed"


def test_an_upload_that_lies_about_a_guest_in_it_is_just_a_disk(world: World) -> None:
    made_image(world)
    disk = bytearray(run(content(world.images, IMAGE)))
    for lie in (b"\xff" * 8, bytes(8)):
        disk[112:120] = lie  # where the guest is said to be
        run(world.images.receive(BASE, chunks(bytes(disk))))
        key = ServerId("3")
        run(world.compute().create(key, SPEC))
        assert world.compute().read_file(key, "/opt/app") is None
        run(world.compute().delete(key))


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_a_captured_image_is_a_true_qcow2_file(world: World) -> None:
    facts = made_image(world)
    file = world.data / "made.qcow2"
    file.write_bytes(run(content(world.images, IMAGE)))
    subprocess.run(["qemu-img", "check", "-f", "qcow2", file], check=True, capture_output=True)
    told = subprocess.run(["qemu-img", "info", "--output=json", file], check=True, capture_output=True).stdout
    assert json.loads(told)["virtual-size"] == facts.virtual_size
