"""Following a file that grows and is cut, and sockets whose other side stops reading."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from darkroom.drivers.lines import FileFollower, SocketChannel
from darkroom.drivers.qemu import layout, serial


def read(follower: FileFollower, *, goes_on: bool = True) -> bytes:
    return asyncio.run(asyncio.wait_for(follower.read(lambda: goes_on), timeout=30))


def test_what_was_there_is_past_and_what_comes_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    follower = FileFollower(log, past=100)
    assert follower.past == b"before\n"
    with log.open("ab") as file:
        file.write(b"after")
    assert read(follower) == b"after"
    assert read(follower, goes_on=False) == b""
    follower.close()


def test_of_a_long_past_the_last_whole_lines_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a line that is too long\nsecond\nthird")
    assert FileFollower(log, past=14).past == b"second\nthird"
    assert FileFollower(log, past=12).past == b"third"


def test_what_was_written_before_the_end_is_still_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    follower = FileFollower(log, past=0)
    log.write_bytes(b"last words")
    assert read(follower, goes_on=False) == b"last words"
    assert read(follower, goes_on=False) == b""


def test_a_log_that_is_cut_is_followed_on_and_nothing_is_told_twice(tmp_path: Path) -> None:
    log = tmp_path / layout.SERIAL_LOG
    log.write_bytes(b"x" * serial.MOST + b"\nbefore the cut\n")
    follower = FileFollower(log, past=100)

    async def cut_and_go_on() -> bytes:
        reading = asyncio.create_task(follower.read(lambda: True))
        await asyncio.sleep(0)
        serial.trim(tmp_path)
        await asyncio.sleep(0.3)
        with log.open("ab") as file:
            file.write(b"after the cut\n")
        return await asyncio.wait_for(reading, timeout=30)

    assert asyncio.run(cut_and_go_on()) == b"after the cut\n"
    assert log.stat().st_size < serial.MOST


def test_what_is_no_ordinary_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        FileFollower(tmp_path / "link", past=10)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="seek"):
        FileFollower(tmp_path / "pipe", past=10)
    with pytest.raises(FileNotFoundError):
        FileFollower(tmp_path / "nothing", past=10)


def test_a_socket_carries_bytes_and_knows_what_is_not_taken() -> None:
    async def talk() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = await SocketChannel.over(ours)
        await channel.write(b"hello")
        assert channel.unsent
        assert theirs.recv(5) == b"hello"
        assert not channel.unsent
        theirs.sendall(b"answer")
        assert await channel.read() == b"answer"
        theirs.close()
        assert await channel.read() == b""
        await channel.aclose()

    asyncio.run(talk())


def test_letting_go_does_not_wait_for_a_side_that_takes_nothing() -> None:
    async def flood_and_leave() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = await SocketChannel.over(ours)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.write(bytes(1 << 22)), timeout=0.2)
        await asyncio.wait_for(channel.aclose(), timeout=30)
        theirs.close()

    asyncio.run(flood_and_leave())


def test_a_side_that_leaves_without_reading_ends_the_line() -> None:
    async def be_left() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = await SocketChannel.over(ours)
        await channel.write(b"never read")
        theirs.close()
        assert await channel.read() == b""
        await channel.aclose()

    asyncio.run(be_left())
