"""An operation: a route whose caller is known. It answers with what a handler returns, or with the error it raises.

What a route says of itself beside its handler (its parameters, body and answer) is what the OpenAPI document is made
of.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from darkroom.domain.accounts import Again, Caller
from darkroom.errors import DarkroomError, Fault
from darkroom.http.auth import Authenticator
from darkroom.http.parameters import Parameter
from darkroom.http.requests import whole_body
from darkroom.http.throttle import Throttle

Handler = Callable[[Caller, Request], Awaitable[Response]]
BodyHandler = Callable[[Caller, Request, bytes], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
SocketHandler = Callable[[Caller, WebSocket, Again], Awaitable[None]]

log = structlog.get_logger(__name__)

_NAMED = re.compile(r"((?:[A-Z][a-z]+){2,}): ")


@dataclass(frozen=True)
class Description:
    """What the OpenAPI document says of a route: types of body and answer, the status of success, the summary.

    `body` and `answer` are types that msgspec can describe, `bytes` for anything of `media_type`, or None for none.
    """

    operation_id: str
    summary: str
    parameters: Sequence[Parameter] = ()
    body: Any = None
    answer: Any = None
    status: int = 200
    media_type: str = "application/octet-stream"
    signed_in: bool = True


class Operation(Route):
    """A route with its description."""

    def __init__(self, method: str, path: str, endpoint: Endpoint, description: Description) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.method, self.description = method, description
        self._methods = frozenset(self.methods or ())  # HEAD among them, where there is GET

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Do what the framework does, for the kind of route that this is: on HTTP alone, with texts as parameters."""
        found = self.path_regex.match(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in self._methods else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": found.groupdict()}


def describe(handler: Callable[..., Any], **more: Any) -> Description:
    """Return a description whose name and summary are the first line of the handler's docstring.

    `ShowImageJob: one job.` names the operation as the contract does; else its name is made of the handler's.
    """
    summary = (handler.__doc__ or handler.__name__).strip().split("\n")[0]
    named = _NAMED.match(summary)
    if named is None:
        return Description("".join(map(str.capitalize, handler.__name__.split("_"))), summary, **more)
    rest = summary[named.end() :]
    return Description(named[1], rest[0].upper() + rest[1:], **more)


class Operations:
    """Makes routes of handlers."""

    def __init__(self, authenticator: Authenticator, throttle: Throttle) -> None:
        self._authenticator, self._throttle = authenticator, throttle

    async def _caller(self, request: Request, *, streamed: bool = False) -> Caller:
        """Return who asks, unless they ask too often."""
        caller = await self._authenticator.caller(request, streamed=streamed)
        self._throttle.check(caller.user_id, request.scope["method"])
        return caller

    def again(self, connection: HTTPConnection) -> Again:
        """Return what tells who made a request as of now, for an answer that goes on for long."""
        return lambda: self._authenticator.caller_again(connection)

    def read(self, method: str, path: str, handler: Handler, **more: Any) -> Operation:
        """Return a route whose handler needs no body. `more` are fields of its Description."""

        async def endpoint(request: Request) -> Response:
            return await handler(await self._caller(request), request)

        return Operation(method, path, endpoint, describe(handler, **more))

    def write(self, method: str, path: str, handler: BodyHandler, **more: Any) -> Operation:
        """Return a route whose handler is given the whole body."""

        async def endpoint(request: Request) -> Response:
            caller = await self._caller(request)
            body = request.scope["state"].get("body")  # read to look at its signature
            return await handler(caller, request, await whole_body(request) if body is None else body)

        return Operation(method, path, endpoint, describe(handler, **more))

    def stream(self, method: str, path: str, handler: Handler, **more: Any) -> Operation:
        """Return a route whose handler reads the body as it comes."""

        async def endpoint(request: Request) -> Response:
            return await handler(await self._caller(request, streamed=True), request)

        return Operation(method, path, endpoint, describe(handler, body=bytes, **more))

    def socket(self, path: str, handler: SocketHandler) -> WebSocketRoute:
        """Return a route whose handler accepts a WebSocket; an error before that is answered as on plain HTTP."""

        async def serve(websocket: WebSocket) -> None:
            caller = await self._authenticator.caller(websocket)
            self._throttle.check(caller.user_id, "GET")
            await handler(caller, websocket, self.again(websocket))

        return socket(path, serve)


def socket(path: str, serve: Callable[[WebSocket], Awaitable[None]]) -> WebSocketRoute:
    """Return a route whose handler accepts a WebSocket; an error before that is answered as on plain HTTP."""

    async def endpoint(websocket: WebSocket) -> None:
        try:
            await serve(websocket)
        except DarkroomError:
            raise
        except WebSocketDisconnect:
            log.debug("a client has gone before it was answered", path=websocket.url.path)
        except Exception:  # the framework answers for these on plain HTTP alone
            log.exception("request failed unexpectedly", path=websocket.url.path)
            raise Fault from None

    return WebSocketRoute(path, endpoint)
