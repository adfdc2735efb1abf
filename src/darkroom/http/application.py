"""The ASGI application: all routes, a request id on every answer, every error in the contract's envelope."""

from collections.abc import Awaitable, Sequence
from random import getrandbits

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from darkroom.errors import DarkroomError, Fault, MethodNotAllowed, UnknownPath
from darkroom.http.answers import JSON
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
        request_id = f"{getrandbits(128):032x}"  # tells requests apart, and need not be hard to guess
        scope.setdefault("state", {})["request_id"] = request_id
        begun = False

        def send_with_id(message: Message) -> Awaitable[None]:
            """Put the request's id on its answer (contract section 2.4)."""
            nonlocal begun
            if message["type"] in _BEGINNINGS:
                begun = True
                message["headers"] = [*message.get("headers", ()), *_ids(scope["path"], request_id)]
            return send(message)

        try:
            await self._serve(scope, receive, send_with_id)
        except Exception as error:
            if begun:
                raise  # the server ends the connection
            await self._refusal(scope, error)(scope, receive, send_with_id)

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand over to the route that the request is for. Raises UnknownPath or MethodNotAllowed."""
        wrong_method = False
        for route in self._crossroads.at(scope["path"]):
            match, more = route.matches(scope)
            if match is Match.FULL:
                scope.update(more)
                return route.handle(scope, receive, send)
            wrong_method |= match is Match.PARTIAL
        raise MethodNotAllowed if wrong_method else UnknownPath

    def _refusal(self, scope: Scope, error: Exception) -> Response:
        """Return the answer that tells of an error. The log has all of one that nobody expected, the answer nothing."""
        path: str = scope["path"]
        if isinstance(error, HTTPException):  # of the framework, which serves the files
            error = MethodNotAllowed() if error.status_code == 405 else UnknownPath()
        if not isinstance(error, DarkroomError):
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


def _ids(path: str, request_id: str) -> list[tuple[bytes, bytes]]:
    own = [(b"x-request-id", request_id.encode())]
    if path.startswith("/v3"):  # the identity service has its own word for it
        own.append((b"x-iam-trace-id", request_id.encode()))
    return own
