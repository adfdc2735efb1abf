"""uvicorn's HTTP, with limits to the heads of requests, and the contract's answers to what is none.

The head and the body of an answer are sent together: one system call and one packet, not two.
"""

import asyncio
from typing import Any, Final, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from darkroom.http.answers import JSON
from darkroom.http.heads import HEADER_LIMIT, HEADERS_LIMIT, refusal, refusal_of, spelled, too_large

#: Bytes that are held back at most; beyond them it must show whether the client still reads.
_HELD: Final = 64 << 10


class Http(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    #: Bytes that came without completing a head or bringing some of a body; what they are is kept in memory.
    _pending = 0
    url = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))

    def data_received(self, data: bytes) -> None:
        pending, before = self._pending, self.scope
        if pending or len(data) > HEADER_LIMIT:  # no other head can be too large
            self.app = self._answer_within_limits
        self._pending = pending + len(data)
        HttpToolsProtocol.data_received(self, data)  # by super() it takes as long again as all of this
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and "method" in self.scope:
            self._pending = 0  # the request has come whole
        elif self.scope is not before:
            self._pending = 1  # it has begun somewhere in these bytes
        elif self._pending > HEADERS_LIMIT:
            self._refuse(too_large(len(self.url)))

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._refuse(refusal(400, msg))

    async def _answer_within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.app = self.config.loaded_app
        await (refusal_of(scope) or self.app)(scope, receive, send)

    def _refuse(self, answer: JSON) -> None:
        """Answer what cannot be a request, unless another answer is due before, and close the connection."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started):
            self.transport.write(spelled(answer))
        self.transport.close()

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
