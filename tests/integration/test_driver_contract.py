"""What every driver promises (`darkroom.drivers.base`), asked of each of them in the same words.

A real guest takes seconds to boot, so one machine, two captures of it and the machines that run from these serve all
tests of a module; what changes them comes last.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from driver_harness import (
    Harness,
    QemuHarness,
    SimulatedHarness,
    new_account,
    new_capture,
    new_image,
    new_key,
    pieces,
)

from darkroom.domain.ids import ImageId, JobId, ServerId
from darkroom.drivers.base import Channel, Completed, Door, GuestAccount, ImageFacts, MachineState, no_progress
from darkroom.drivers.simulated import qcow2
from darkroom.errors import (
    AccountFailed,
    CaptureFailed,
    GeneraliseFailed,
    HostFull,
    ImageDamaged,
    InvalidParameter,
    LoginFailed,
    MachineFailed,
    SnapshotFailed,
)

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

APP, LATER = "/opt/application", "/opt/later"
MACHINE_ID, PASSWD = "/etc/machine-id", "/etc/passwd"
RAW_DISK = bytes(510) + b"\x55\xaa" + bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def run() -> Iterator[Run[Any]]:
    """One event loop for all: a driver is free to keep connections to its machines."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module", params=["simulated", pytest.param("qemu", marks=pytest.mark.qemu)])
def driver(
    request: pytest.FixtureRequest, run: Run[Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    data = tmp_path_factory.mktemp("data")
    qemu = request.param == "qemu"
    harness = QemuHarness.at(data, request.getfixturevalue("kit")) if qemu else SimulatedHarness.at(data)
    run(harness.start())
    yield harness
    run(harness.stop())


@dataclass
class Guest:
    """A machine that runs, and an administrator's way into it."""

    harness: Harness
    key: ServerId
    account: GuestAccount
    door: Door

    async def read(self, path: str) -> str:
        return await self.harness.read_file(self.key, self.account, self.door, path) or ""

    async def write(self, path: str, text: str) -> None:
        await self.harness.write_file(self.key, self.account, self.door, path, text)

    async def accounts(self) -> set[str]:
        return {line.split(":")[0] for line in (await self.read(PASSWD)).splitlines()}


async def enter(driver: Harness, key: ServerId, name: str) -> Guest:
    account = new_account(name)
    door = await driver.compute.admit(key, account)
    await driver.compute.try_login(key, account, door, timeout=driver.login_timeout)
    return Guest(driver, key, account, door)


@pytest.fixture(scope="module")
def machine(driver: Harness, run: Run[Any]) -> Guest:
    """A machine with an administrator and an application."""

    async def prepare() -> Guest:
        guest = await enter(driver, await driver.boot(), "builder")
        await guest.write(APP, "installed")
        return guest

    return run(prepare())


@dataclass
class Captured:
    """Two images captured from the machine in a row: the first as it was, the second generalised."""

    plain: ImageId
    plain_facts: ImageFacts
    generalised: ImageId
    generalised_facts: ImageFacts
    plain_capture: JobId
    progress: list[tuple[int, int]]


@pytest.fixture(scope="module")
def captured(driver: Harness, machine: Guest, run: Run[Any]) -> Captured:
    compute, key = driver.compute, machine.key
    first, second = new_capture(), new_capture()
    plain, generalised = new_image(), new_image()
    progress: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        progress.append((done, total))

    async def capture() -> Captured:
        frozen = await compute.snapshot(key, first)
        await machine.write(LATER, "written after the first snapshot")
        assert await compute.snapshot(key, first) == frozen
        plain_facts = await compute.flatten(key, first, plain, progress=note)
        assert await compute.flatten(key, first, plain, progress=no_progress) == plain_facts
        for _ in range(2):
            await compute.discard(key, first)

        for _ in range(2):
            await compute.snapshot(key, second)
        for _ in range(2):
            await compute.generalise(
                key, second, [machine.account.name], timeout=driver.generalise_timeout, progress=no_progress
            )
        generalised_facts = await compute.flatten(key, second, generalised, progress=no_progress)
        await compute.discard(key, second)
        return Captured(plain, plain_facts, generalised, generalised_facts, first, progress)

    return run(capture())


@pytest.fixture(scope="module")
def twins(driver: Harness, captured: Captured, run: Run[Any]) -> tuple[Guest, Guest]:
    """Machines that run from the two captured images."""

    async def visit(image_id: ImageId) -> Guest:
        return await enter(driver, await driver.boot(image_id), "visitor")

    async def boot_both() -> list[Guest]:
        return await asyncio.gather(visit(captured.plain), visit(captured.generalised))

    from_plain, from_generalised = run(boot_both())
    return from_plain, from_generalised


# --- what is refused


def test_a_machine_from_an_unknown_image_is_refused_and_leaves_nothing(driver: Harness, run: Run[Any]) -> None:
    key, spec = new_key(), driver.spec(new_image())
    with pytest.raises(ImageDamaged):
        run(driver.compute.check(spec))
    with pytest.raises(ImageDamaged):
        run(driver.compute.create(key, spec))
    assert run(driver.compute.find(key)) is None
    assert driver.traces(key) == []


def test_a_machine_larger_than_the_host_is_refused_and_leaves_nothing(driver: Harness, run: Run[Any]) -> None:
    key, spec = new_key(), driver.spec(memory_mib=1 << 30)
    with pytest.raises(HostFull):
        run(driver.compute.check(spec))
    with pytest.raises(HostFull):
        run(driver.compute.create(key, spec))
    assert run(driver.compute.find(key)) is None
    assert driver.traces(key) == []


def test_a_machine_that_fits_passes_the_check(driver: Harness, run: Run[Any]) -> None:
    run(driver.compute.check(driver.spec()))


def test_what_does_not_exist_is_deleted_and_released_and_discarded_in_peace(driver: Harness, run: Run[Any]) -> None:
    key = new_key()
    run(driver.compute.delete(key))
    run(driver.compute.release(key))
    run(driver.compute.discard(key, new_capture()))
    run(driver.images.remove(new_image()))
    assert run(driver.compute.find(key)) is None
    assert run(driver.compute.serial_tail(key, 10)) == []
    assert run(driver.compute.screenshot(key)) is None
    assert run(driver.compute.guest_facts(key)) == {}
    assert driver.traces(key) == []


def test_nothing_can_be_done_with_a_machine_that_does_not_exist(driver: Harness, run: Run[Any]) -> None:
    compute, key, capture, image_id = driver.compute, new_key(), new_capture(), new_image()
    with pytest.raises(AccountFailed):
        run(compute.admit(key, new_account("builder")))
    with pytest.raises(MachineFailed):
        run(compute.put_file(key, "/opt/file", pieces(b"a"), size=1, mode=0o644, timeout=5))
    with pytest.raises(MachineFailed):
        run(compute.run(key, ["/bin/true"], timeout=5))
    for connect in (compute.connect_screen, compute.connect_serial):
        with pytest.raises(MachineFailed):
            run(connect(key))
    with pytest.raises(MachineFailed):
        run(compute.restart(key))
    with pytest.raises(SnapshotFailed):
        run(compute.snapshot(key, capture))
    with pytest.raises(GeneraliseFailed):
        run(compute.generalise(key, capture, [], timeout=5, progress=no_progress))
    with pytest.raises(CaptureFailed):
        run(compute.flatten(key, capture, image_id, progress=no_progress))
    assert run(driver.images.facts(image_id)) is None
    assert driver.traces(key) + driver.traces(image_id) == []


# --- images


def test_an_uploaded_raw_disk_is_stored_and_given_out_and_removed(driver: Harness, run: Run[Any]) -> None:
    images, image_id = driver.images, new_image()
    for _ in range(2):
        facts = run(images.receive(image_id, pieces(RAW_DISK[:700], RAW_DISK[700:])))
    assert facts.virtual_size == len(RAW_DISK)
    run(driver.assert_true(image_id, facts))
    for _ in range(2):
        run(images.remove(image_id))
    assert run(images.facts(image_id)) is None
    with pytest.raises(ImageDamaged):
        run(driver.content_facts(image_id))
    assert driver.traces(image_id) == []


def test_an_image_that_was_given_out_can_be_uploaded_again(driver: Harness, run: Run[Any]) -> None:
    async def copy(source: ImageId, target: ImageId) -> ImageFacts:
        return await driver.images.receive(target, driver.images.read(source))

    image_id = new_image()
    facts = run(copy(driver.base, image_id))
    run(driver.assert_true(image_id, facts))
    assert facts.virtual_size == run(driver.images.facts(driver.base)).virtual_size
    run(driver.images.remove(image_id))


def patched(at: int, value: bytes) -> bytes:
    disk = bytearray(qcow2.disk_with_guest(1 << 20, b""))
    disk[at : at + len(value)] = value
    return bytes(disk)


#: A backing file's name lies at offset 1024, eleven bytes long; bit 2 of the incompatible features: external data file.
REFUSED = {
    "empty": b"",
    "cut off": qcow2.disk_with_guest(1 << 20, b"")[:60],
    "of an unknown version": patched(4, (9).to_bytes(4)),
    "with a backing file": patched(8, (1024).to_bytes(8) + (11).to_bytes(4)),
    "with an external data file": patched(72, (4).to_bytes(8)),
}


@pytest.mark.parametrize("disk", REFUSED.values(), ids=REFUSED)
def test_an_image_that_must_not_be_stored_is_refused_and_leaves_nothing(
    driver: Harness, run: Run[Any], disk: bytes
) -> None:
    image_id = new_image()
    with pytest.raises(InvalidParameter):
        run(driver.images.receive(image_id, pieces(disk[:1000], disk[1000:])))
    assert run(driver.images.facts(image_id)) is None
    assert driver.traces(image_id) == []


def test_an_upload_that_breaks_off_leaves_nothing(driver: Harness, run: Run[Any]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield RAW_DISK
        raise ConnectionResetError

    image_id = new_image()
    with pytest.raises(ConnectionResetError):
        run(driver.images.receive(image_id, broken()))
    assert run(driver.images.facts(image_id)) is None
    assert driver.traces(image_id) == []


def test_what_is_half_written_is_swept_unless_it_is_kept_or_young(driver: Harness, run: Run[Any]) -> None:
    half, whole = new_image(), new_image()
    run(driver.images.receive(whole, pieces(RAW_DISK)))

    async def begin(chunks: list[bytes], looks: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        await looks()
        raise ConnectionError("the client left")

    async def look() -> None:
        assert half not in await driver.images.stored()
        assert await driver.images.sweep([], older_than=3600) == []
        assert await driver.images.sweep([half], older_than=-1) == []
        assert await driver.images.sweep([], older_than=-1) == [half]
        assert await driver.images.sweep([], older_than=-1) == []

    with pytest.raises(ConnectionError):
        run(driver.images.receive(half, begin([RAW_DISK], look)))
    assert whole in run(driver.images.stored())
    run(driver.assert_true(whole, run(driver.images.facts(whole))))
    run(driver.images.remove(whole))
    assert whole not in run(driver.images.stored())


# --- a machine


def test_a_machine_that_runs_is_found_by_its_key(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    found = run(driver.compute.find(machine.key))
    assert (found.key, found.state) == (machine.key, MachineState.RUNNING)
    assert len(found.instance_id) == 36
    assert found in run(driver.compute.machines())
    assert (found.ssh_port, found.why) == (machine.door.port, "")
    assert len(run(driver.compute.serial_tail(machine.key, 1))) == 1


def test_a_machine_shows_its_screen_and_its_guest_tells_of_itself(
    driver: Harness, machine: Guest, run: Run[Any]
) -> None:
    before = driver.traces(machine.key)
    picture = run(driver.compute.screenshot(machine.key))
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82"), "it is whole"
    assert driver.traces(machine.key) == before, "no file of it stays"
    facts = run(driver.compute.guest_facts(machine.key))
    assert facts["agent"] == "answers"
    assert facts["hostname"] == run(machine.read("/etc/hostname")).strip()
    assert facts["os"] in run(machine.read("/etc/os-release"))


def test_what_was_done_to_a_machine_may_be_repeated(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    compute, key = driver.compute, machine.key
    before = run(compute.find(key))
    assert run(compute.create(key, driver.spec())) == before
    assert run(compute.restart(key)) == before
    run(compute.await_guest(key, timeout=driver.boot_timeout))
    assert run(compute.admit(key, machine.account)) == machine.door
    run(compute.try_login(key, machine.account, machine.door, timeout=driver.login_timeout))
    assert run(compute.find(key)) == before
    assert run(machine.read(APP)) == "installed"


def test_a_stranger_is_not_let_in(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    with pytest.raises(LoginFailed):
        run(driver.compute.try_login(machine.key, new_account("builder"), machine.door, timeout=2))


# --- errands in a guest


def test_a_file_that_is_sent_replaces_the_one_that_was_there(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    path = "/opt/new/folder/file"
    for text in ("the first, which is longer", "the second"):
        chunks = pieces(text[:3].encode(), text[3:].encode())
        run(driver.compute.put_file(machine.key, path, chunks, size=len(text), mode=0o640, timeout=60))
        assert run(machine.read(path)) == text


def test_a_file_that_turns_out_to_be_of_another_size_is_not_written(
    driver: Harness, machine: Guest, run: Run[Any]
) -> None:
    for size in (2, 4):
        with pytest.raises(ValueError, match="announced"):
            run(driver.compute.put_file(machine.key, "/opt/half", pieces(b"abc"), size=size, mode=0o644, timeout=60))
    assert run(machine.read("/opt/half")) == ""


def test_a_program_runs_to_its_end(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    for _ in range(2):
        completed = run(driver.compute.run(machine.key, ["/bin/true"], stdin=b"input", timeout=60))
        assert completed == Completed(exit_code=0, output="")


# --- captures


def test_two_see_the_screen_at_one_time(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    async def look() -> list[bytes]:
        lines = [await driver.compute.connect_screen(machine.key) for _ in range(2)]
        greetings = [await read_until(line, b"\n") for line in lines]
        for line in lines:
            await line.aclose()
        return greetings

    assert run(look()) == [b"RFB 003.008\n"] * 2


def test_what_one_types_at_the_serial_console_others_see_and_who_comes_later(
    driver: Harness, machine: Guest, run: Run[Any]
) -> None:
    async def type_and_look() -> None:
        typist, other = [await driver.compute.connect_serial(machine.key) for _ in range(2)]
        await typist.write(b"hello-to-all\r")
        for line in (typist, other):
            await read_until(line, b"hello-to-all\r\n")
            await line.aclose()
        later = await driver.compute.connect_serial(machine.key)
        await read_until(later, b"hello-to-all\r\n")
        await later.aclose()

    run(type_and_look())


async def read_until(line: Channel, word: bytes) -> bytes:
    got = b""
    async with asyncio.timeout(120):
        while word not in got:
            piece = await line.read()
            assert piece, got
            got += piece
    return got


def test_what_is_told_of_captured_images_is_true(driver: Harness, captured: Captured, run: Run[Any]) -> None:
    run(driver.assert_true(captured.plain, captured.plain_facts))
    run(driver.assert_true(captured.generalised, captured.generalised_facts))
    assert captured.plain_facts.virtual_size == driver.spec().disk_bytes


def test_flattening_tells_how_far_it_is(captured: Captured) -> None:
    done = [done for done, _ in captured.progress]
    assert done
    assert done == sorted(done)
    assert all(0 <= done <= total for done, total in captured.progress if total)


def test_a_capture_leaves_nothing_but_its_image(driver: Harness, captured: Captured) -> None:
    assert driver.traces(captured.plain_capture) == []


def test_a_capture_is_listed_until_it_is_discarded(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    capture = new_capture()
    assert (machine.key, capture) not in run(driver.compute.captures())
    run(driver.compute.snapshot(machine.key, capture))
    assert (machine.key, capture) in run(driver.compute.captures())
    run(driver.compute.discard(machine.key, capture))
    assert (machine.key, capture) not in run(driver.compute.captures())


def test_a_discarded_capture_cannot_be_flattened_again(
    driver: Harness, machine: Guest, captured: Captured, run: Run[Any]
) -> None:
    image_id = new_image()
    with pytest.raises(CaptureFailed):
        run(driver.compute.flatten(machine.key, captured.plain_capture, image_id, progress=no_progress))
    assert driver.traces(image_id) == []


def test_a_copy_that_is_cancelled_leaves_no_half_image_and_may_be_begun_again(
    driver: Harness, machine: Guest, run: Run[Any]
) -> None:
    compute, key, capture, image_id = driver.compute, machine.key, new_capture(), new_image()

    async def flatten_and_give_up() -> None:
        def give_up(done: int, _total: int) -> None:
            if done:
                work.cancel()

        work = asyncio.create_task(compute.flatten(key, capture, image_id, progress=give_up))
        with pytest.raises(asyncio.CancelledError):
            await work

    run(compute.snapshot(key, capture))
    run(flatten_and_give_up())
    assert run(driver.images.facts(image_id)) is None
    assert driver.traces(image_id) == []
    facts = run(compute.flatten(key, capture, image_id, progress=no_progress))
    run(driver.assert_true(image_id, facts))
    run(compute.discard(key, capture))
    run(driver.images.remove(image_id))


def test_a_capture_does_not_touch_the_machine(machine: Guest, twins: tuple[Guest, Guest], run: Run[Any]) -> None:
    assert len(run(machine.read(MACHINE_ID)).strip()) == 32
    assert machine.account.name in run(machine.accounts())
    assert run(machine.read(APP)) == "installed"
    assert run(machine.read(LATER)).startswith("written after")


def test_a_plain_capture_is_the_machine_as_it_was_when_first_frozen(
    machine: Guest, twins: tuple[Guest, Guest], run: Run[Any]
) -> None:
    twin, _ = twins
    assert run(twin.read(APP)) == "installed"
    assert run(twin.read(LATER)) == ""
    assert run(twin.read(MACHINE_ID)) == run(machine.read(MACHINE_ID))
    assert machine.account.name in run(twin.accounts())


def test_a_generalised_capture_has_the_files_but_not_what_was_the_machines_own(
    machine: Guest, twins: tuple[Guest, Guest], run: Run[Any]
) -> None:
    _, twin = twins
    assert run(twin.read(APP)) == "installed"
    assert run(twin.read(LATER)).startswith("written after")
    assert len(run(twin.read(MACHINE_ID)).strip()) == 32
    assert run(twin.read(MACHINE_ID)) != run(machine.read(MACHINE_ID))
    assert twin.door.host_key != machine.door.host_key
    assert machine.account.name not in run(twin.accounts())


# --- ends: these change the machines that the tests above look at


def test_removing_an_image_does_not_disturb_a_machine_that_runs_from_it(
    driver: Harness, captured: Captured, twins: tuple[Guest, Guest], run: Run[Any]
) -> None:
    _, twin = twins
    run(driver.images.remove(captured.generalised))
    assert run(twin.read(APP)) == "installed"
    run(twin.write(LATER, "still here"))
    assert run(twin.read(LATER)) == "still here"


def test_a_released_machine_is_no_longer_kept_and_nothing_of_it_runs(
    driver: Harness, twins: tuple[Guest, Guest], run: Run[Any]
) -> None:
    twin, _ = twins
    for _ in range(2):
        run(driver.compute.release(twin.key))
    assert run(driver.compute.find(twin.key)) is None
    assert twin.key not in [machine.key for machine in run(driver.compute.machines())]
    assert driver.processes(twin.key) == []
    assert driver.traces(twin.key)


def test_a_deleted_machine_leaves_nothing_even_of_a_capture_under_way(
    driver: Harness, twins: tuple[Guest, Guest], run: Run[Any]
) -> None:
    _, twin = twins
    run(driver.compute.snapshot(twin.key, new_capture()))
    for _ in range(2):
        run(driver.compute.delete(twin.key))
    assert run(driver.compute.find(twin.key)) is None
    assert driver.traces(twin.key) == []


def test_a_machine_outlives_the_image_servers_driver(driver: Harness, machine: Guest, run: Run[Any]) -> None:
    before = run(driver.compute.find(machine.key))
    run(driver.compute.stop())
    run(driver.compute.start())
    assert run(driver.compute.find(machine.key)) == before
    run(driver.compute.await_guest(machine.key, timeout=driver.boot_timeout))
