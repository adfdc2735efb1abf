"""uvicorn's HTTP, with the head and the body of an answer sent together: one system call and one packet, not two."""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes that are held back at most; beyond them it must show whether the client still reads.
_HELD: Final = 64 << 10


class Http(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))

    def eof_received(self) -> None:
        """Send what has been answered: a client may say that it sends no more, and then the transport closes itself."""
        self._gathering.flush()

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._gathering.inner  # a WebSocket sends each message by itself
        super().handle_websocket_upgrade()


class Gathering:
    """A transport to which all is written at once that comes in one turn of the loop, by `write` alone."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.inner, self._loop = transport, loop
        self.is_closing = transport.is_closing  # asked for at every request
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > _HELD:
            self.flush()

    def close(self) -> None:
        self.flush()
        self.inner.close()

    def flush(self) -> None:
        """Write what is held back; it is lost where the connection is, as all that is written there."""
        if self._held and not self.is_closing():
            self.inner.write(b"".join(self._held))
        self._held.clear()
        self._size = 0
