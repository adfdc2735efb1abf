"""Pages of a server's screen and serial console, and the WebSockets behind them."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from darkroom.console import csrf
from darkroom.console.headers import policy
from darkroom.console.pages import Pages, Visit
from darkroom.console.servers import SERVERS
from darkroom.console.session import Sessions
from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.drivers.base import Channel
from darkroom.http.operations import socket
from darkroom.http.requests import path_id
from darkroom.http.terminals import accept, pump
from darkroom.http.throttle import Throttle
from darkroom.services.terminals import Terminals

Connect = Callable[..., Awaitable[Channel]]
_PATH: Final = f"{SERVERS}/{{server_id}}"


def routes(make: Pages, sessions: Sessions, throttle: Throttle, terminals: Terminals) -> list[BaseRoute]:
    async def show_screen(visit: Visit) -> Response:
        server = await terminals.check(visit.caller, visit.project_id, visit.id_of("server_id"))
        answer = visit.page("screen.html", server=server)
        answer.headers["content-security-policy"] = policy(img_src="data:")  # noVNC draws pointers and pictures so
        return answer

    async def show_serial(visit: Visit) -> Response:
        server = await terminals.check(visit.caller, visit.project_id, visit.id_of("server_id"))
        nonce = secrets.token_urlsafe()
        answer = visit.page("serial.html", server=server, nonce=nonce)
        answer.headers["content-security-policy"] = policy(style_src=f"'nonce-{nonce}'")  # xterm.js makes its styles
        return answer

    def terminal(path: str, connect: Connect) -> WebSocketRoute:
        return socket(path, lambda websocket: serve(websocket, connect))

    async def serve(websocket: WebSocket, connect: Connect) -> None:
        csrf.check_origin(websocket.headers)
        session = await sessions.of(websocket)
        throttle.check(session.caller.user_id, "GET")
        server_id = path_id(websocket, "server_id")

        async def allowed() -> None:
            await terminals.check(*_whose((await sessions.read(session.text)).caller, server_id))

        async with aclosing(await connect(*_whose(session.caller, server_id))) as channel:
            await accept(websocket)
            await pump(websocket, channel, allowed)

    return [
        make.read(f"{_PATH}/screen", show_screen),
        make.read(f"{_PATH}/serial", show_serial),
        terminal(f"{_PATH}/screen", terminals.screen),
        terminal(f"{_PATH}/serial", terminals.serial),
    ]


def _whose(caller: Caller, server_id: str) -> tuple[Caller, ProjectId, str]:
    return caller, caller.project_id, server_id
