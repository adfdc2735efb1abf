"""Routes of the catalogue of applications, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, PAGE, Text, page_of
from darkroom.http.requests import decode, path_id, project_of
from darkroom.services.apps import Apps
from darkroom.wire import apps as wire

APPS = "/v1/{project_id}/apps"

NAME = Text("name", ID_LIMIT, meaning="The whole name of the application.")


def routes(operations: Operations, apps: Apps) -> list[BaseRoute]:
    async def add_app(caller: Caller, request: Request, body: bytes) -> Response:
        """Record a version of an application whose file is to follow."""
        wanted = decode(request, body, wire.AddApp, wire.IN_WORDS)
        return JSON(wire.record(await apps.add(caller, project_of(request), wanted.order())), 201)

    async def list_apps(caller: Caller, request: Request) -> Response:
        """Versions of applications, newest first."""
        count, found = await apps.page(caller, project_of(request), name=NAME.read(request), **page_of(request))
        return JSON(wire.AppRecords(count, [wire.record(record) for record in found]))

    async def show_app(caller: Caller, request: Request) -> Response:
        """One version of an application."""
        return JSON(wire.record(await apps.show(caller, project_of(request), path_id(request, "record_id"))))

    async def delete_app(caller: Caller, request: Request) -> Response:
        """Delete a version of an application; image servers keep what they have been sent."""
        await apps.delete(caller, project_of(request), path_id(request, "record_id"))
        return Response(status_code=204)

    async def upload_app(caller: Caller, request: Request) -> Response:
        """Take the file of a version of an application."""
        length = request.headers.get("content-length", "")
        await apps.upload(
            caller,
            project_of(request),
            path_id(request, "record_id"),
            request.stream(),
            size=int(length) if length.isdecimal() else 0,
        )
        return Response(status_code=204)

    one = f"{APPS}/{{record_id}}"
    return [
        operations.write("POST", APPS, add_app, body=wire.AddApp, answer=wire.AppRecord, status=201),
        operations.read("GET", APPS, list_apps, parameters=(NAME, *PAGE), answer=wire.AppRecords),
        operations.read("GET", one, show_app, answer=wire.AppRecord),
        operations.read("DELETE", one, delete_app, status=204),
        operations.stream("PUT", f"{one}/file", upload_app, status=204),
    ]
