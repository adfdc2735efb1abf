"""WebSockets to the terminals of image servers, and as much of RFB as looking at a screen needs."""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from service_process import PATIENCE, Service
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from darkroom.wire.signing import sign


def signed(service: Service, path: str, *, key: tuple[str, str] | None = None, project: str = "") -> dict[str, str]:
    """Return the headers that sign a handshake, by the first user's key or another."""
    headers = {"X-Project-Id": project or service.project_id}
    access, secret = key or (service.credentials["access_key"], service.credentials["secret_key"])
    made = sign("GET", f"{service.endpoint}{path}", headers, access_key=access, secret_key=secret)
    return headers | {name: value for name, value in made.items() if name != "Host"}


@contextmanager
def terminal(
    service: Service, path: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Iterator[ClientConnection]:
    """Open a WebSocket; a path without a leading slash is one below the project's image servers."""
    path = path if path.startswith("/") else f"/v1/{service.project_id}/image-servers/{path}"
    given = signed(service, path) if headers is None else headers
    url = f"{service.endpoint.replace('http', 'ws', 1)}{path}"
    with connect(url, additional_headers=given, proxy=None, **more) as line:
        yield line


def refused(service: Service, path: str, **more: Any) -> tuple[httpx2.Headers, int, Any]:
    """See that a handshake is refused; return headers, status and body of the answer."""
    with pytest.raises(InvalidStatus) as caught, terminal(service, path, **more):
        pass
    answer = caught.value.response
    told = httpx2.Response(
        answer.status_code, headers=list(answer.headers.raw_items()), content=bytes(answer.body or b"")
    )
    return told.headers, told.status_code, told.json()


def read_until(line: ClientConnection, word: bytes) -> bytes:
    """Read until a word has come; return all that came."""
    got, deadline = b"", time.monotonic() + PATIENCE
    while word not in got:
        got += bytes(line.recv(timeout=deadline - time.monotonic(), decode=False))
    return got


def ending(line: ClientConnection) -> tuple[int, str]:
    """Wait for the end of a connection; return the code and the reason that were given."""

    def drain() -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            line.recv(timeout=deadline - time.monotonic())

    with pytest.raises(ConnectionClosed) as caught:
        drain()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


class Viewer:
    """An RFB client (RFC 6143) that knows raw rectangles of four bytes for a pixel."""

    def __init__(self, line: ClientConnection) -> None:
        self._line, self._rest = line, b""

    def need(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._rest += bytes(self._line.recv(timeout=PATIENCE, decode=False))
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece

    def greet(self, *, shared: bool = True) -> tuple[int, int, str]:
        """Begin; return width, height and name of the screen."""
        assert self.need(12) == b"RFB 003.008\n"
        self._line.send(b"RFB 003.008\n")
        assert 1 in self.need(self.need(1)[0])
        self._line.send(b"\x01")
        assert self.need(4) == bytes(4)
        self._line.send(bytes([shared]))
        self.width, self.height, length = struct.unpack(">HH16xI", self.need(24))
        name = self.need(length).decode()
        self._line.send(struct.pack(">BxHi", 2, 1, 0))
        return self.width, self.height, name

    def look(self, *, incremental: bool = False) -> list[tuple[int, int, int, int, bytes]]:
        """Ask for the whole screen; return the rectangles that come: left, top, width, height, pixels."""
        self._line.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        kind, count = struct.unpack(">BxH", self.need(4))
        assert kind == 0
        found = []
        for _ in range(count):
            left, top, width, height, encoding = struct.unpack(">4Hi", self.need(12))
            assert encoding == 0
            found.append((left, top, width, height, self.need(width * height * 4)))
        return found

    def press(self, key: int) -> None:
        for down in (1, 0):
            self._line.send(struct.pack(">BBxxI", 4, down, key))

    def click(self, x: int, y: int) -> None:
        for buttons in (1, 0):
            self._line.send(struct.pack(">BBHH", 5, buttons, x, y))

    def pixels_as(self, bits: int, form: bytes) -> None:
        """Ask for another format of pixels: what follows `bits` in it, 15 bytes."""
        self._line.send(struct.pack(">BxxxB", 0, bits) + form)


def colours(pixels: bytes) -> set[bytes]:
    return {pixels[at : at + 4] for at in range(0, len(pixels), 4)}
