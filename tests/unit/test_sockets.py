"""WebSockets before they are accepted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocket

from darkroom.errors import Fault, Forbidden
from darkroom.http.operations import socket
from darkroom.http.terminals import accept


def ask(serve: Callable[[WebSocket], Awaitable[None]]) -> None:
    """Ask a route for a WebSocket as a client that is gone when the answer comes."""

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_message: Any) -> None:
        raise OSError

    scope = {"type": "websocket", "path": "/line", "headers": [], "server": ("localhost", 80), "scheme": "ws"}
    asyncio.run(socket("/line", serve).app(scope, receive, send))


def test_who_leaves_before_the_answer_is_no_failure() -> None:
    ask(accept)


def test_what_fails_before_the_answer_is_told_as_on_plain_http() -> None:
    async def fail(_websocket: WebSocket) -> None:
        raise RuntimeError("not to be told")

    with pytest.raises(Fault) as caught:
        ask(fail)
    assert "not to be told" not in caught.value.message


def test_who_is_refused_is_told_why() -> None:
    async def refuse(_websocket: WebSocket) -> None:
        raise Forbidden("not you")

    with pytest.raises(Forbidden, match="not you"):
        ask(refuse)
