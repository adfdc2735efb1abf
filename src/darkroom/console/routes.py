"""All routes of the console, and the door by which browsers come to it."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from darkroom.console import apps, assets, images, jobs, new_server, servers, sign_in, terminals
from darkroom.console.forms import Values
from darkroom.console.pages import NO_PAGE, Guest, Pages
from darkroom.console.rooms import Rooms
from darkroom.console.session import PATH
from darkroom.console.views import Views
from darkroom.domain.flavours import Flavour
from darkroom.domain.times import Clock
from darkroom.errors import NotFound
from darkroom.http.throttle import Throttle


def routes(rooms: Rooms, throttle: Throttle, flavours: Sequence[Flavour], clock: Clock) -> list[BaseRoute]:
    make = Pages(rooms.sessions, throttle, Views())

    async def nothing(_guest: Guest, _: Values) -> Response:
        raise NotFound(NO_PAGE)

    return [
        _FrontDoor("/", _enter, methods=["GET"]),
        *assets.routes(),
        *sign_in.routes(make, rooms.sessions),
        *new_server.routes(make, rooms, flavours),  # before those of servers: to them, `new` would be the id of one
        *servers.routes(make, rooms),
        *terminals.routes(make, rooms.sessions, throttle, rooms.terminals),
        *images.routes(make, rooms),
        *apps.routes(make, rooms),
        *jobs.routes(make, rooms, clock),
        make.open("GET", f"{PATH}/{{rest:path}}", nothing),
        make.open("POST", f"{PATH}/{{rest:path}}", nothing),
    ]


class _FrontDoor(Route):
    """The root, for browsers alone: to others it tells of the API's versions."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
            return Match.NONE, {}
        return super().matches(scope)


async def _enter(_: Request) -> Response:
    return RedirectResponse(PATH, 303, headers={"vary": "accept"})
