"""The ASGI application: all routes, a request id on every answer, every error in the contract's envelope."""

from collections.abc import Sequence
from random import getrandbits

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.errors import DarkroomError, Fault, MethodNotAllowed, UnknownPath
from darkroom.http.answers import JSON
from darkroom.wire.errors import envelope_for

log = structlog.get_logger(__name__)


#: Messages that carry an answer's headers: of a request, of a WebSocket that is refused, of one that is accepted.
_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application that serves these routes."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(RequestId)],
        exception_handlers={
            DarkroomError: _refuse,
            HTTPException: _refuse_by_status,
            Exception: _fail,
        },
    )
    app.router.redirect_slashes = False
    app.router.default = _unknown_path
    return app


class RequestId:
    """Puts an id on every request, and on its answer as `X-Request-Id` (contract section 2.4)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = f"{getrandbits(128):032x}"  # tells requests apart, and need not be hard to guess
        own = [(b"x-request-id", request_id.encode())]
        if scope["path"].startswith("/v3"):  # the identity service has its own word for it
            own.append((b"x-iam-trace-id", request_id.encode()))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        await self._app(scope, receive, send_with_id)


async def _unknown_path(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise UnknownPath


async def _refuse(request: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, DarkroomError)
    if isinstance(error, Fault):
        log.error("request failed", path=request.url.path, code=error.code, reason=error.message, exc_info=error)
    return JSON(envelope_for(request.url.path, error, request.state.request_id), error.status)


async def _refuse_by_status(request: Request, error: Exception) -> Response:
    """Answer for the framework: it raises these for unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return await _refuse(request, UnknownPath())
    answer = await _refuse(request, MethodNotAllowed())
    answer.headers["allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """Return the methods of the request's path: each has a route of its own."""
    routes: list[BaseRoute] = request.app.routes
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in found if isinstance(route, Route) for method in route.methods or ()}


async def _fail(request: Request, error: Exception) -> Response:
    """Answer for what nobody expected: the log has it all, the answer nothing of it."""
    log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return await _refuse(request, Fault())
