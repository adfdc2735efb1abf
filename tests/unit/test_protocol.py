"""What is sent in one turn of the loop goes out together."""

import asyncio
from typing import Any

from darkroom.http.protocol import Gathering


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


def gathering() -> tuple[Gathering, Wire]:
    wire = Wire()
    return Gathering(wire, asyncio.get_running_loop()), wire  # type: ignore[arg-type]


def test_what_is_written_in_one_turn_goes_out_once() -> None:
    async def main() -> list[Any]:
        transport, wire = gathering()
        for piece in (b"head", b"", b"body"):
            transport.write(piece)
        assert wire.done == []
        await asyncio.sleep(0)
        transport.write(b"next")
        await asyncio.sleep(0)
        return wire.done

    assert asyncio.run(main()) == [b"headbody", b"next"]


def test_much_goes_out_at_once_and_once_only() -> None:
    async def main() -> list[Any]:
        transport, wire = gathering()
        for _ in range(5):
            transport.write(bytes(30 << 10))
        told = list(map(len, wire.done))
        await asyncio.sleep(0)
        return [told, list(map(len, wire.done))]

    assert asyncio.run(main()) == [[90 << 10], [90 << 10, 60 << 10]]


def test_nothing_is_lost_when_the_connection_is_closed() -> None:
    async def main() -> list[Any]:
        transport, wire = gathering()
        transport.write(b"last")
        transport.close()
        assert transport.is_closing()
        await asyncio.sleep(0)
        return wire.done

    assert asyncio.run(main()) == [b"last", "closed"]


def test_nothing_is_written_to_a_connection_that_was_lost_meanwhile() -> None:
    async def main() -> list[Any]:
        transport, wire = gathering()
        transport.write(b"answer")
        wire.close()
        await asyncio.sleep(0)
        return wire.done

    assert asyncio.run(main()) == ["closed"]
