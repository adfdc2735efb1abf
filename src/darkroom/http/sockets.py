"""uvicorn's WebSockets, with an end that does not wait for whoever has stopped reading, and an answer to bad heads."""

from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from darkroom.http.heads import refusal, spelled

#: Seconds that a client gets to read what was sent last, when the service stops.
FAREWELL: Final = 1.0


class WebSockets(WebSocketsSansIOProtocol):
    """Closing alone would keep a connection, and the service from its end, until the client has read everything."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # such as a line beyond 8 KB
            message = f"Invalid WebSocket request received: {self.conn.handshake_exc}."
            self.transport.write(spelled(refusal(400, message)))
            self.transport.close()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(FAREWELL, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()
