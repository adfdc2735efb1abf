"""The screen and the serial console of a real guest: typed at, looked at, by several at once."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_harness import QemuHarness, new_account, new_key

from darkroom.domain.ids import ServerId
from darkroom.drivers.base import Channel, GuestAccount
from darkroom.drivers.qemu import process
from darkroom.errors import MachineFailed
from darkroom.guests import Kit
from rfb import Viewer

pytestmark = pytest.mark.qemu

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PATIENCE = 120
LOGIN, PROMPT = b"tiny login: ", b"~ $ "


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module")
def driver(run: Run, kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QemuHarness]:
    harness = QemuHarness.at(tmp_path_factory.mktemp("data"), kit)
    run(harness.start())
    yield harness
    run(harness.stop())


@pytest.fixture(scope="module")
def account() -> GuestAccount:
    return new_account("builder")


@pytest.fixture(scope="module")
def machine(driver: QemuHarness, run: Run, account: GuestAccount) -> ServerId:
    """A machine with an account, which has logged in at the serial console."""

    async def prepare() -> ServerId:
        key = await driver.boot()
        await driver.compute.admit(key, account)
        line = await driver.compute.connect_serial(key)
        await until(line, LOGIN)
        await line.write(b"builder\r")
        await until(line, b"Password: ")
        await line.write(account.password.encode() + b"\r")
        await until(line, PROMPT)
        await line.aclose()
        return key

    return run(prepare())


async def until(line: Channel, word: bytes) -> bytes:
    """Read until a word has come; return all that came."""
    got = b""
    async with asyncio.timeout(PATIENCE):
        while word not in got:
            piece = await line.read()
            assert piece, got
            got += piece
    return got


async def ended(line: Channel) -> None:
    async with asyncio.timeout(PATIENCE):
        while await line.read():
            pass


def seen(driver: QemuHarness, run: Run, key: ServerId) -> tuple[Channel, Viewer]:
    """Return a line to the screen and a viewer that looks at it."""
    line = run(driver.compute.connect_screen(key))
    return line, Viewer(lambda: run(line.read()), lambda data: run(line.write(data)))


def test_what_is_typed_at_the_console_is_echoed_and_run(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    async def type_and_read() -> None:
        line = await driver.compute.connect_serial(machine)
        await until(line, PROMPT)
        await line.write(b"echo $((6 * 7))-is-it\r")
        assert b"echo $((6 * 7))-is-it\r\n42-is-it\r\n" in await until(line, b"\n42-is-it\r\n")
        await line.aclose()

    run(type_and_read())


def test_two_who_type_at_the_console_see_each_other(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    async def talk() -> None:
        first = await driver.compute.connect_serial(machine)
        second = await driver.compute.connect_serial(machine)
        for number in range(2):
            await first.write(b"echo first-$((%d + 1))\r" % number)
            await until(second, b"\nfirst-%d\r\n" % (number + 1))
            await second.write(b"echo second-$((%d + 1))\r" % number)
            await until(first, b"\nsecond-%d\r\n" % (number + 1))
        await first.aclose()
        await second.aclose()

    run(talk())


def test_who_comes_later_is_told_what_was_said_but_not_asked_again(
    driver: QemuHarness, run: Run, machine: ServerId
) -> None:
    async def come_twice() -> None:
        line = await driver.compute.connect_serial(machine)
        await until(line, PROMPT)
        await line.write(b"printf 'remem%s\\033[6n\\033[c\\n' ber\r")
        assert b"remember\x1b[6n\x1b[c" in await until(line, b"\nremember\x1b[6n\x1b[c\r\n" + PROMPT)
        await line.aclose()
        later = await driver.compute.connect_serial(machine)
        told = await until(later, b"\nremember\r\n" + PROMPT)
        assert b"TINY-UP" in told
        assert not re.search(rb"\x1b\[[0-9;]*[nc]", told)
        await later.write(b"echo still here\r")
        await until(later, b"\nstill here\r\n")
        await later.aclose()

    run(come_twice())


def test_much_that_is_pasted_arrives_whole(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    text = b"".join(b"line %05d of what was pasted\r" % number for number in range(300))

    async def paste() -> None:
        line = await driver.compute.connect_serial(machine)
        await until(line, PROMPT)
        await line.write(b"cat >/tmp/pasted\r" + text + b"\x04")
        await line.aclose()  # what was typed is still taken
        after = await driver.compute.connect_serial(machine)
        await after.write(b"wc -l </tmp/pasted; wc -c </tmp/pasted; echo do''ne\r")
        counted = await until(after, b"\ndone\r\n")
        assert b"\n300\r\n%d\r\n" % len(text) in counted[counted.rindex(b"''ne") :]
        await after.aclose()

    run(paste())


def test_the_log_goes_on_while_somebody_types(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    async def type_and_look() -> None:
        line = await driver.compute.connect_serial(machine)
        await line.write(b"for n in 1 2 3 4 5; do echo count-$n; done\r")
        await until(line, b"\ncount-5\r\n")
        tail = await driver.compute.serial_tail(machine, 20)
        assert [f"count-{number}" for number in range(1, 6)] == [word for word in tail if word.startswith("count-")]
        await line.aclose()

    run(type_and_look())


def test_the_screen_is_seen_by_several_even_if_one_would_be_alone(
    driver: QemuHarness, run: Run, machine: ServerId
) -> None:
    first_line, first = seen(driver, run, machine)
    second_line, second = seen(driver, run, machine)
    width, height, name = first.greet()
    assert (width, height) == (720, 400)
    assert machine in name
    second.greet(shared=False)
    for viewer in (first, second, first):
        rectangles = viewer.look()
        assert sum(width * height for _, _, width, height, _ in rectangles) == 720 * 400
        assert any(set(pixels) != {0} for *_, pixels in rectangles)
    run(first_line.aclose())
    run(second_line.aclose())


def test_what_is_typed_at_the_screen_is_seen_there(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    def picture() -> bytes:
        return b"".join(pixels for *_, pixels in viewer.look())

    line, viewer = seen(driver, run, machine)
    viewer.greet()
    lit_before = len(picture().translate(None, b"\0"))
    for key in b"nobody-of-this-name":
        viewer.press(key)

    deadline = time.monotonic() + PATIENCE
    while len(picture().translate(None, b"\0")) < lit_before + 1000:
        assert time.monotonic() < deadline, "what was typed never showed"
        run(asyncio.sleep(0.1))
    run(line.aclose())


def test_terminals_end_with_their_machine(driver: QemuHarness, run: Run) -> None:
    async def delete_and_see() -> None:
        key = new_key()
        await driver.compute.create(key, driver.spec())
        lines = [await driver.compute.connect_serial(key), await driver.compute.connect_screen(key)]
        await driver.compute.delete(key)
        for line in lines:
            await ended(line)
            await line.aclose()
        for connect in (driver.compute.connect_serial, driver.compute.connect_screen):
            with pytest.raises(MachineFailed, match=r"no machine .* that runs"):
                await connect(key)

    run(delete_and_see())


def test_a_machine_that_dies_ends_its_terminals_and_one_that_is_started_again_has_new_ones(
    driver: QemuHarness, run: Run
) -> None:
    async def die_and_come_back() -> None:
        key = new_key()
        machine = await driver.compute.create(key, driver.spec())
        lines = [await driver.compute.connect_serial(key), await driver.compute.connect_screen(key)]
        await process.end(machine.instance_id)
        for line in lines:
            await ended(line)
            await line.aclose()
        with pytest.raises(MachineFailed):
            await driver.compute.connect_serial(key)
        await driver.compute.restart(key)
        line = await driver.compute.connect_serial(key)
        await until(line, LOGIN)
        await line.aclose()

    run(die_and_come_back())


def test_a_screen_whose_socket_is_gone_is_an_error_of_its_own(driver: QemuHarness, run: Run, machine: ServerId) -> None:
    (place,) = driver.data.glob(f"machines/{machine}/vm/vnc.sock")
    hidden = place.rename(Path(f"{place}.hidden"))
    try:
        with pytest.raises(FileNotFoundError):
            run(driver.compute.connect_screen(machine))
    finally:
        hidden.rename(place)
