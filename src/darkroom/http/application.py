"""The ASGI application: all routes, a request id on every answer, every error in the contract's envelope."""

from collections.abc import Awaitable, Sequence
from random import getrandbits

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from darkroom.errors import DarkroomError, Fault, MethodNotAllowed, UnknownPath
from darkroom.http.answers import JSON
from darkroom.http.requests import QuickRequest
from darkroom.http.routing import Crossroads
from darkroom.wire.errors import envelope_for

log = structlog.get_logger(__name__)

#: Messages that carry an answer's headers: of a request, of a WebSocket that is refused, of one that is accepted.
_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})


class Application:
    """Serves routes. What is common to all answers is done here, once: there are no layers around it."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = routes
        self._crossroads = Crossroads(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The id tells requests apart, and need not be hard to guess.
        state = scope.setdefault("state", {})
        state["request_id"] = getrandbits(128).to_bytes(16, "big").hex()
        try:
            route = self._route(scope)
            if not isinstance(route, Route):
                await route.handle(scope, receive, _telling_ids(scope, send))
                return
            answer = await route.endpoint(QuickRequest(scope, receive, send))
        except Exception as error:
            if "begun" in state:
                raise  # the server ends the connection
            answer = self._refusal(scope, error)
        answer.raw_headers += _ids(scope)
        await answer(scope, receive, send)

    def _route(self, scope: Scope) -> BaseRoute:
        """Return the route that the request is for. Raises UnknownPath or MethodNotAllowed."""
        wrong_method = False
        for route in self._crossroads.at(scope["path"]):
            match, more = route.matches(scope)
            if match is Match.FULL:
                scope.update(more)
                return route
            wrong_method |= match is Match.PARTIAL
        raise MethodNotAllowed if wrong_method else UnknownPath

    def _refusal(self, scope: Scope, error: Exception) -> Response:
        """Return the answer that tells of an error. The log has all of one that nobody expected, the answer nothing."""
        path: str = scope["path"]
        if isinstance(error, HTTPException):  # of the framework, which serves the files
            error = MethodNotAllowed() if error.status_code == 405 else UnknownPath()
        if isinstance(error, ClientDisconnect):
            log.debug("a client has gone before it was answered", path=path)
            error = Fault()  # nobody hears of it
        elif not isinstance(error, DarkroomError):
            log.error("request failed unexpectedly", path=path, exc_info=error)
            error = Fault()
        elif isinstance(error, Fault):
            log.error("request failed", path=path, code=error.code, reason=error.message, exc_info=error)
        headers = {"allow": ", ".join(sorted(self._methods(path)))} if isinstance(error, MethodNotAllowed) else None
        return JSON(envelope_for(path, error, scope["state"]["request_id"]), error.status, headers)

    def _methods(self, path: str) -> set[str]:
        """Return the methods of a path: each has a route of its own."""
        found = self._crossroads.at(path)
        return {method for route in found if isinstance(route, Route) for method in route.methods or ()}


def _telling_ids(scope: Scope, send: Send) -> Send:
    """Return `send` for routes that answer by themselves, files and WebSockets: it puts the ids on their answers."""

    def send_with_ids(message: Message) -> Awaitable[None]:
        if message["type"] in _BEGINNINGS:
            scope["state"]["begun"] = True
            message["headers"] = [*message.get("headers", ()), *_ids(scope)]
        return send(message)

    return send_with_ids


def _ids(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell a request's id (contract section 2.4)."""
    request_id = scope["state"]["request_id"].encode()
    own = [(b"x-request-id", request_id)]
    if scope["path"].startswith("/v3"):  # the identity service has its own word for it
        own.append((b"x-iam-trace-id", request_id))
    return own
