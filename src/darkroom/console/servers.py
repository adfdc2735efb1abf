"""Pages of image servers: the list, one server with its history, building an image of it, deleting it."""

from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.console import live
from darkroom.console.forms import Form, Values, first
from darkroom.console.i18n import N_
from darkroom.console.labels import NOT_ALLOWED
from darkroom.console.listing import PAGE, ROWS, Listing, offset_of
from darkroom.console.once import once_of
from darkroom.console.pages import Pages, Visit, to
from darkroom.console.rooms import Rooms
from darkroom.console.session import PATH
from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.domain.ids import new_hex
from darkroom.domain.servers import ALLOWED, Action, ImageOrder, ImageServer, ServerAccess
from darkroom.errors import ImageNotFound, Refused, ServerNotReady
from darkroom.http.parameters import Text
from darkroom.wire.servers import ImageDescription, ImageName

SERVERS: Final = f"{PATH}/servers"
NAME: Final = Text("name", 64)
#: Events of a server that its page shows.
EVENTS: Final = 30


class NewImage(msgspec.Struct, kw_only=True):
    """The form by which an image is built."""

    name: ImageName
    description: ImageDescription
    generalise: bool = False


def routes(make: Pages, rooms: Rooms) -> list[BaseRoute]:
    async def listed(visit: Visit) -> dict[str, object]:
        name = NAME.read(visit.request)
        count, found = await rooms.servers.page(
            visit.caller, visit.project_id, name_contains=name, offset=offset_of(visit.request), limit=ROWS
        )
        return {"servers": found, "listing": Listing(SERVERS, {"name": name}, PAGE.read(visit.request), count)}

    async def list_servers(visit: Visit) -> Response:
        return visit.page("servers.html", **await listed(visit))

    async def watch_servers(visit: Visit) -> Response:
        async def show() -> tuple[str, bool]:
            return visit.fragment("servers.html", "live", **await listed(visit)), True

        return await live.stream(visit, rooms, show)

    async def one(visit: Visit) -> ImageServer:
        return await rooms.servers.show(visit.caller, visit.project_id, visit.id_of("server_id"))

    async def shown(visit: Visit) -> dict[str, object]:
        """Return what a server's page shows, which may change at any moment."""
        server = await one(visit)
        return {
            "server": server,
            "events": await _history(rooms, visit, server),
            "base": await _image_name(rooms, visit, server.base_image_id),
            "built": await _image_name(rooms, visit, server.image_id),
            "access": await _access(rooms, visit, server),
            "refusals": _refusals(server, visit.caller),
            "can_watch": server.status in ALLOWED[Action.WATCH]
            and visit.caller.may("workspace:imageServer:openConsole"),
        }

    async def show_server(visit: Visit) -> Response:
        return visit.page("server.html", **await shown(visit))

    async def watch_server(visit: Visit) -> Response:
        async def show() -> tuple[str, bool]:
            return visit.fragment("server.html", "live", **await shown(visit)), True

        await one(visit)
        return await live.stream(visit, rooms, show)

    async def build_form(visit: Visit) -> Response:
        server = await one(visit)
        empty = {"name": "", "description": "", "generalise": True}
        return visit.page("build.html", server=server, values=empty, errors={}, once=new_hex())

    async def build(visit: Visit, sent: Values) -> Response:
        server = await one(visit)
        form = Form(NewImage, sent)
        if not form.errors:
            wanted = form.wanted
            order = ImageOrder(name=wanted.name, description=wanted.description, sysprep=wanted.generalise)
            try:
                once = once_of(visit.request, sent)
                job_id = await rooms.servers.build(visit.caller, visit.project_id, server.id, order, once)
            except Refused as error:
                form.refuse(error)
            else:
                return to(f"{PATH}/jobs/{job_id}")
        again = {"values": form.values, "errors": form.errors, "once": first(sent, "once")}
        return visit.page("build.html", form.status, server=server, **again)

    async def delete_form(visit: Visit) -> Response:
        server = await one(visit)
        return visit.page("delete-server.html", server=server, once=new_hex())

    async def delete(visit: Visit, sent: Values) -> Response:
        server = await one(visit)
        job_id = await rooms.servers.delete(
            visit.caller,
            visit.project_id,
            [server.id],
            recursive=first(sent, "recursive") == "true",
            once=once_of(visit.request, sent),
        )
        return to(f"{PATH}/jobs/{job_id}")

    path = f"{SERVERS}/{{server_id}}"
    return [
        make.read(SERVERS, list_servers),
        make.read(f"{SERVERS}/live", watch_servers),
        make.read(path, show_server),
        make.read(f"{path}/live", watch_server),
        make.read(f"{path}/build", build_form),
        make.write(f"{path}/build", build),
        make.read(f"{path}/delete", delete_form),
        make.write(f"{path}/delete", delete),
    ]


def _refusals(server: ImageServer, caller: Caller) -> dict[str, str]:
    """Return why this caller cannot build an image of a server or delete it now; empty reasons if it can."""
    wanted = {
        "build": (Action.BUILD, "recreate", N_("An image can be built when the server is active.")),
        "delete": (Action.DELETE, "batchDelete", N_("It can be deleted when its job has ended.")),
    }
    return {
        name: NOT_ALLOWED
        if not caller.may(f"workspace:imageServer:{right}")
        else ("" if server.status in ALLOWED[action] else not_now)
        for name, (action, right, not_now) in wanted.items()
    }


async def _history(rooms: Rooms, visit: Visit, server: ImageServer) -> list[Event]:
    """Return what has happened to a server last, newest first, if the user may know."""
    if not visit.caller.may("workspace:imageServer:listEvents"):
        return []
    return (await rooms.servers.events(visit.caller, visit.project_id, server.id, offset=0, limit=EVENTS))[1]


async def _image_name(rooms: Rooms, visit: Visit, image_id: str) -> tuple[str, str]:
    """Return an image's id and name; the name is empty if the image is not there or may not be seen."""
    if not image_id or not visit.caller.may("ims:images:get"):
        return image_id, ""
    try:
        return image_id, (await rooms.images.show(visit.caller, image_id)).name
    except ImageNotFound:
        return image_id, ""


async def _access(rooms: Rooms, visit: Visit, server: ImageServer) -> ServerAccess | None:
    """Return how to log in, if the user may know and anybody can."""
    if not visit.caller.may("workspace:imageServer:getAccess"):
        return None
    try:
        return await rooms.servers.access(visit.caller, visit.project_id, server.id)
    except ServerNotReady:
        return None
