"""Screens and serial consoles as WebSockets, beside the contract: the bytes of a machine's line in binary frames."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from darkroom.domain.accounts import Again, Caller
from darkroom.drivers.base import Channel
from darkroom.errors import Fault, InvalidParameter, Refused
from darkroom.http.operations import Operations
from darkroom.http.requests import path_id, project_of
from darkroom.http.servers import SERVERS
from darkroom.services.terminals import Terminals

log = structlog.get_logger(__name__)

PNG: Final = "image/png"
#: What noVNC used to ask for; it changes nothing.
SUBPROTOCOL: Final = "binary"
#: Seconds between two looks whether an open terminal is still allowed.
CHECK: Final = 5.0
#: Seconds in which a machine must take what is sent to it.
STALL: Final = 60.0
#: Bytes that the reason of a close frame may have (RFC 6455, section 5.5).
_REASON: Final = 123


class _Ending(NamedTuple):
    """Why a terminal ends, as a close frame says it (RFC 6455, section 7.4.1)."""

    code: int
    reason: str


def routes(operations: Operations, terminals: Terminals) -> list[BaseRoute]:
    def handler(connect: Callable[..., Awaitable[Channel]]) -> Callable[..., Awaitable[None]]:
        async def open_terminal(caller: Caller, websocket: WebSocket, again: Again) -> None:
            whose = project_of(websocket), path_id(websocket, "server_id")
            async with aclosing(await connect(caller, *whose)) as channel:
                await accept(websocket)

                async def allowed() -> None:
                    await terminals.check(await again(), *whose)

                await pump(websocket, channel, allowed)

        return open_terminal

    async def open_screen(caller: Caller, request: Request) -> Response:
        """The screen of an image server, as a WebSocket that speaks RFB."""
        return await explain(caller, request)

    async def open_serial_console(caller: Caller, request: Request) -> Response:
        """The serial console of an image server, as a WebSocket of its bytes."""
        return await explain(caller, request)

    async def take_screenshot(caller: Caller, request: Request) -> Response:
        """A picture of an image server's screen as it is now."""
        picture = await terminals.screenshot(caller, project_of(request), path_id(request, "server_id"))
        return Response(picture, media_type=PNG, headers={"cache-control": "no-store"})

    async def explain(caller: Caller, request: Request) -> Response:
        """Refuse what is no WebSocket."""
        await terminals.check(caller, project_of(request), path_id(request, "server_id"))
        raise InvalidParameter("Upgrade", "this is opened as a WebSocket")

    one = f"{SERVERS}/{{server_id}}"
    return [
        operations.socket(f"{one}/screen", handler(terminals.screen)),
        operations.read("GET", f"{one}/screen", open_screen, status=101),
        operations.socket(f"{one}/serial", handler(terminals.serial)),
        operations.read("GET", f"{one}/serial", open_serial_console, status=101),
        operations.read("GET", f"{one}/screenshot", take_screenshot, answer=bytes, media_type=PNG),
    ]


async def accept(websocket: WebSocket) -> None:
    """Accept a WebSocket, with the subprotocol that is here for viewers which must have one.

    Raises WebSocketDisconnect if the client has gone meanwhile.
    """
    try:
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None)
    except OSError:
        raise WebSocketDisconnect(1006) from None


async def pump(websocket: WebSocket, channel: Channel, allowed: Callable[[], Awaitable[object]]) -> None:
    """Carry bytes between an accepted WebSocket and a machine until either side ends, then close the WebSocket.

    `allowed` is called every few seconds and raises Refused once the terminal may not stay open. Whoever reads too
    slowly is waited for, on both sides; nothing is kept but one piece of each direction. The channel is left open.
    """
    work = [
        asyncio.ensure_future(each)
        for each in (_to_machine(websocket, channel), _from_machine(websocket, channel), _watch(allowed))
    ]
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    await _close(websocket, _told(done.pop()))


async def _to_machine(websocket: WebSocket, channel: Channel) -> _Ending:
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            data = message.get("bytes")
            async with asyncio.timeout(STALL):
                await channel.write(message["text"].encode() if data is None else data)
    except TimeoutError:
        return _Ending(1011, f"The machine has taken nothing for {STALL:.0f} s.")
    except OSError:
        return _ended()
    return _Ending(1000, "")


async def _from_machine(websocket: WebSocket, channel: Channel) -> _Ending:
    with suppress(WebSocketDisconnect):
        while data := await channel.read():
            await websocket.send_bytes(data)
    return _ended()


async def _watch(allowed: Callable[[], Awaitable[object]]) -> _Ending:
    while True:
        await asyncio.sleep(CHECK)
        try:
            await allowed()
        except Refused as error:
            return _Ending(1008, error.message)
        except Fault as error:
            log.warning("an open terminal could not be checked", reason=error.message)


def _ended() -> _Ending:
    return _Ending(1000, "The machine has ended the connection.")


def _told(task: asyncio.Future[_Ending]) -> _Ending:
    error = task.exception()
    if error is None:
        return task.result()
    log.error("a terminal failed unexpectedly", exc_info=error)
    return _Ending(1011, Fault().message)


async def _close(websocket: WebSocket, ending: _Ending) -> None:
    reason = ending.reason.encode()[:_REASON].decode(errors="ignore")
    with suppress(WebSocketDisconnect, RuntimeError):  # the other side was quicker
        await websocket.close(ending.code, reason)
