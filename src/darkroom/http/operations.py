"""An operation: a route whose caller is known. It answers with what a handler returns, or with the error it raises."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from darkroom.domain.accounts import Caller
from darkroom.http.auth import Authenticator
from darkroom.http.requests import whole_body

Handler = Callable[[Caller, Request], Awaitable[Response]]
BodyHandler = Callable[[Caller, Request, bytes], Awaitable[Response]]


class Operations:
    """Makes routes of handlers."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def read(self, method: str, path: str, handler: Handler) -> Route:
        """Return a route whose handler needs no body."""

        async def endpoint(request: Request) -> Response:
            return await handler(await self._authenticator.caller(request), request)

        return Route(path, endpoint, methods=[method])

    def write(self, method: str, path: str, handler: BodyHandler) -> Route:
        """Return a route whose handler is given the whole body."""

        async def endpoint(request: Request) -> Response:
            caller = await self._authenticator.caller(request)
            body = getattr(request.state, "body", None)
            return await handler(caller, request, await whole_body(request) if body is None else body)

        return Route(path, endpoint, methods=[method])

    def stream(self, method: str, path: str, handler: Handler) -> Route:
        """Return a route whose handler reads the body as it comes."""

        async def endpoint(request: Request) -> Response:
            return await handler(await self._authenticator.caller(request, streamed=True), request)

        return Route(path, endpoint, methods=[method])
