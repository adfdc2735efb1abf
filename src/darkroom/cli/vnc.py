"""The screen of an image server for ordinary VNC viewers: a TCP port here that leads there."""

import socket
import socketserver
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from darkroom.cli import output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, UsageFailure

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_PIECE = 64 * 1024


def forward(api: Api, path: str, listen: str) -> None:
    """Lead whoever connects to `listen` (address and port) to the screen at `path`, until Ctrl-C. Raises Failure."""
    place = _place(listen)
    with api.socket(path):
        pass  # if it cannot be opened, that is better told now than to each viewer

    class Viewer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with api.socket(path) as line:
                    _carry(self.request, line)
            except (Failure, OSError) as failure:
                output.note(f"A viewer was turned away: {failure}")

    try:
        server = _Server(place, Viewer)
    except OSError as error:
        raise Failure(f"Cannot listen on {listen}: {error.strerror or error}.") from error
    with server:
        host, port = server.server_address[:2]
        output.say(f"{host!s}:{port}")
        output.note("Whoever connects a VNC viewer to this sees and uses the screen. Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    try:
        address = ip_address(host)
        if address.version == 4 and port.isascii() and port.isdecimal() and int(port) < 1 << 16:
            return host, int(port)
    except ValueError:
        pass
    raise UsageFailure(f"--listen must be an IPv4 address and a port, such as 127.0.0.1:5900, not {listen!r}.")


def _carry(viewer: socket.socket, line: "ClientConnection") -> None:
    """Carry bytes between a viewer and a screen until either ends."""
    from websockets.exceptions import ConnectionClosed

    def show() -> None:
        with suppress(ConnectionClosed, OSError):
            while True:
                viewer.sendall(line.recv(decode=False))
        with suppress(OSError):
            viewer.shutdown(socket.SHUT_RDWR)

    showing = threading.Thread(target=show, name="screen", daemon=True)
    showing.start()
    with suppress(ConnectionClosed, OSError):
        while data := viewer.recv(_PIECE):
            line.send(data)
    line.close()
    showing.join()
