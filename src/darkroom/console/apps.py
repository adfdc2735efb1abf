"""The page of applications: what can be attached to image servers."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.console.listing import PAGE, ROWS, Listing, offset_of
from darkroom.console.pages import Pages, Visit
from darkroom.console.rooms import Rooms
from darkroom.console.session import PATH

APPS: Final = f"{PATH}/apps"


def routes(make: Pages, rooms: Rooms) -> list[BaseRoute]:
    async def list_apps(visit: Visit) -> Response:
        count, found = await rooms.apps.page(
            visit.caller, visit.project_id, name="", offset=offset_of(visit.request), limit=ROWS
        )
        return visit.page("apps.html", apps=found, listing=Listing(APPS, {}, PAGE.read(visit.request), count))

    return [make.read(APPS, list_apps)]
