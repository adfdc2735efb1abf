"""uvicorn's WebSockets, with an end that does not wait for whoever has stopped reading."""

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: Seconds that a client gets to read what was sent last, when the service stops.
FAREWELL: Final = 1.0


class WebSockets(WebSocketsSansIOProtocol):
    """Closing alone would keep a connection, and the service from its end, until the client has read everything."""

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(FAREWELL, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()
