"""Health: is the service able to work?"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from darkroom import __version__
from darkroom.http.answers import JSON
from darkroom.store.store import Store


def routes(store: Store, driver: str) -> list[BaseRoute]:
    async def health(_request: Request) -> Response:
        """200 while the database answers, else 503. Needs no sign-in, tells no secrets."""
        await store.check()
        return JSON({"status": "ok", "version": __version__, "driver": driver})

    return [Route("/health", health, methods=["GET"])]
