"""Between a WebSocket and a machine: what passes, what is waited for, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocket

from darkroom.errors import Forbidden, Unavailable
from darkroom.http import terminals
from darkroom.http.terminals import accept, pump

Message = dict[str, Any]


class Line:
    """A machine's line: what it says is put in beforehand; it takes what it is sent, or does as it is told."""

    def __init__(self, *said: bytes, stays: bool = True) -> None:
        self.said, self.stays, self.taken = list(said), stays, list[bytes]()
        self.refusal: Exception | None = None
        self.stuck = False

    async def read(self) -> bytes:
        if not self.said and self.stays:
            await asyncio.Event().wait()
        return self.said.pop(0) if self.said else b""

    async def write(self, data: bytes) -> None:
        if self.refusal:
            raise self.refusal
        if self.stuck:
            await asyncio.Event().wait()
        self.taken.append(data)

    async def aclose(self) -> None:
        raise AssertionError("the pump leaves the line open")


class Client:
    """The client's side of a WebSocket, as an ASGI server would hand it on."""

    def __init__(self, *sends: Message, subprotocols: tuple[str, ...] = ()) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, *sends):
            self.incoming.put_nowait(message)
        self.got: list[Message] = []
        self.gone = False
        scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": list(subprotocols)}
        self.socket = WebSocket(scope, self.incoming.get, self._take)

    async def _take(self, message: Message) -> None:
        if self.gone:
            raise OSError("the client is gone")
        self.got.append(message)

    @property
    def bytes(self) -> bytes:
        return b"".join(message["bytes"] for message in self.got if message["type"] == "websocket.send")

    @property
    def close(self) -> tuple[int, str]:
        (message,) = (message for message in self.got if message["type"] == "websocket.close")
        return message["code"], message["reason"]


async def always() -> None:
    """Nobody forbids it."""


def carry(client: Client, line: Line, allowed: Callable[[], Awaitable[object]] = always) -> None:
    async def work() -> None:
        async with asyncio.timeout(30):
            await accept(client.socket)
            await pump(client.socket, line, allowed)

    asyncio.run(work())


def binary(data: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": data}


BYE = {"type": "websocket.disconnect", "code": 1000}


def test_bytes_pass_both_ways_until_the_client_leaves() -> None:
    line = Line(b"one", b"two")
    client = Client(binary(b"a"), {"type": "websocket.receive", "text": "ü"}, BYE)
    carry(client, line)
    assert line.taken == [b"a", "ü".encode()]


def test_what_the_machine_says_last_is_still_sent() -> None:
    client = Client()
    carry(client, Line(b"one", b"two", stays=False))
    assert client.bytes == b"onetwo"
    assert client.close == (1000, "The machine has ended the connection.")


def test_a_line_that_breaks_while_it_is_written_to_ends_alike() -> None:
    line = Line()
    line.refusal = BrokenPipeError()
    client = Client(binary(b"a"))
    carry(client, line)
    assert client.close == (1000, "The machine has ended the connection.")


def test_a_machine_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "STALL", 0.05)
    line = Line()
    line.stuck = True
    client = Client(binary(b"a"))
    carry(client, line)
    assert client.close[0] == 1011
    assert "taken nothing" in client.close[1]


def test_it_ends_once_it_is_not_allowed_any_more_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "CHECK", 0.01)
    asked = 0

    async def allowed() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Unavailable  # says nothing about the right
        if asked == 3:
            raise Forbidden("ä" * 200)

    client = Client()
    carry(client, Line(), allowed)
    code, reason = client.close
    assert (asked, code) == (3, 1008)
    assert reason == "ä" * 61  # 123 bytes at most, and no half letter


@pytest.mark.parametrize("where", ["line", "check"])
def test_what_nobody_expected_ends_it_without_a_word_of_what_it_was(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(terminals, "CHECK", 0.01)

    async def broken() -> None:
        raise ZeroDivisionError("secret")

    line = Line()
    line.refusal = ZeroDivisionError("secret") if where == "line" else None
    client = Client(binary(b"a"))
    carry(client, line, broken if where == "check" else always)
    assert client.close == (1011, "The operation failed; try again later.")


def test_a_client_that_vanished_is_no_fault() -> None:
    client = Client()

    async def work() -> None:
        async with asyncio.timeout(30):
            await accept(client.socket)
            client.gone = True
            await pump(client.socket, Line(b"nobody reads this"), always)

    asyncio.run(work())
    assert [message["type"] for message in client.got] == ["websocket.accept"]


@pytest.mark.parametrize(
    ("offered", "chosen"), [((), None), (("binary",), "binary"), (("base64", "binary"), "binary"), (("base64",), None)]
)
def test_the_subprotocol_is_taken_where_it_is_offered(offered: tuple[str, ...], chosen: str | None) -> None:
    client = Client(BYE, subprotocols=offered)
    carry(client, Line())
    assert client.got[0]["subprotocol"] == chosen
