"""Lines to a guest agent that are left open from one conversation to the next; the agent is played by the test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from darkroom.drivers.qemu.agent import AgentSilent, agent


@dataclass
class Guest:
    """Answers whoever calls, one line at a time, and keeps all lines."""

    lines: list[asyncio.StreamWriter] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append(writer)
        while received := await reader.readline():
            request = json.loads(received.lstrip(b"\xff"))
            answer = json.dumps({"return": request.get("arguments", {}).get("id", {})})
            writer.write(b"\xff" + answer.encode() + b"\n")
        writer.close()
        self.closed.set()


@asynccontextmanager
async def guest_in(folder: Path) -> AsyncIterator[Guest]:
    guest = Guest()
    async with await asyncio.start_unix_server(guest, folder / "agent.sock"):
        yield guest


async def converse(folder: Path, linger: float) -> None:
    async with asyncio.timeout(10), agent(folder, limit=5, linger=linger) as guest:
        await guest.do("guest-ping")


def test_the_next_conversation_goes_on_with_the_line_that_was_left_open(tmp_path: Path) -> None:
    async def play() -> None:
        async with guest_in(tmp_path) as guest:
            for _ in range(3):
                await converse(tmp_path, linger=60)
            assert len(guest.lines) == 1
            await converse(tmp_path, linger=0)
            await asyncio.wait_for(guest.closed.wait(), 10)
            assert len(guest.lines) == 1

    asyncio.run(play())


def test_nobody_holds_a_line_for_longer_than_was_said(tmp_path: Path) -> None:
    async def play() -> None:
        async with guest_in(tmp_path) as guest:
            await converse(tmp_path, linger=0.01)
            await asyncio.wait_for(guest.closed.wait(), 10)
            await converse(tmp_path, linger=0)
            assert len(guest.lines) == 2

    asyncio.run(play())


def test_a_line_that_broke_meanwhile_is_dialled_anew(tmp_path: Path) -> None:
    async def play() -> None:
        async with guest_in(tmp_path) as guest:
            await converse(tmp_path, linger=60)
            guest.lines[0].close()
            await guest.lines[0].wait_closed()
            await converse(tmp_path, linger=0)
            assert len(guest.lines) == 2

    asyncio.run(play())


def test_the_line_of_a_conversation_that_failed_is_closed(tmp_path: Path) -> None:
    async def play() -> None:
        async with guest_in(tmp_path) as guest:
            with pytest.raises(AgentSilent):
                async with agent(tmp_path, limit=5, linger=60):
                    raise AgentSilent("as it may happen")
            await asyncio.wait_for(guest.closed.wait(), 10)

    asyncio.run(play())


def test_a_line_may_be_taken_up_by_another_event_loop(tmp_path: Path) -> None:
    async def play() -> int:
        async with guest_in(tmp_path) as guest:
            await converse(tmp_path, linger=60)
            await asyncio.to_thread(asyncio.run, converse(tmp_path, linger=0))
            await asyncio.wait_for(guest.closed.wait(), 10)
            return len(guest.lines)

    assert asyncio.run(play()) == 1
