"""Routes that attach applications to image servers (contract sections 3.12 and 3.13)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.requests import decode, path_id, project_of
from darkroom.http.servers import SERVERS
from darkroom.services.attach import Attaching
from darkroom.wire import apps as wire
from darkroom.wire.servers import unique


def routes(operations: Operations, attaching: Attaching) -> list[BaseRoute]:
    async def attach_app(caller: Caller, request: Request, body: bytes) -> Response:
        """AttachImageServerApp: sends applications to an image server and runs the scripts among them."""
        wanted = decode(request, body, wire.AttachImageServerApp, {})
        unique("items", wanted.items)
        server_id = path_id(request, "server_id")
        return JSON(wire.AttachedApps(await attaching.attach(caller, project_of(request), server_id, wanted.items)))

    async def latest_attached_app(caller: Caller, request: Request) -> Response:
        """ListLatestAttachedServerApp: what the most recent attach has sent."""
        found = await attaching.latest(caller, project_of(request), path_id(request, "server_id"))
        return JSON(wire.LatestApps([wire.LatestApp(app.id, app.app_id) for app in found]))

    actions = f"{SERVERS}/{{server_id}}/actions"
    return [
        operations.write(
            "POST",
            f"{actions}/attach-app",
            attach_app,
            body=wire.AttachImageServerApp,
            answer=wire.AttachedApps,
        ),
        operations.read("GET", f"{actions}/latest-attached-app", latest_attached_app, answer=wire.LatestApps),
    ]
