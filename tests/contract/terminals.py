"""WebSockets to the terminals of image servers."""

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
from rfb import Viewer


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


def viewer_at(line: ClientConnection) -> Viewer:
    return Viewer(lambda: bytes(line.recv(timeout=PATIENCE, decode=False)), line.send)
