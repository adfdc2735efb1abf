"""Routes of image servers (contract sections 3.6 to 3.11), and their access, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.limits import KEEP_LIMIT
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, PAGE, NumberHeader, Text, page_of
from darkroom.http.requests import decode, once_of, path_id, project_of
from darkroom.services.servers import Servers
from darkroom.wire import servers as wire

SERVERS = "/v1/{project_id}/image-servers"
#: The header by which the contract names the order of an image server (section 2.3).
TRANSACTION = "service-transaction-id"
NAME_PART = Text("server_name", 1024, meaning="Part of the name, in letters of either case.")
SERVER_ID = Text("server_id", ID_LIMIT, meaning="The id.")
ENTERPRISE_PROJECT_ID = Text("enterprise_project_id", 128, meaning="`0` is the default one; without it, all.")

KEEP_ON_FAILURE = NumberHeader(
    "Darkroom-Keep-On-Failure",
    least=0,
    most=KEEP_LIMIT,
    meaning="Minutes for which the machine is kept for inspection if it could not be made; without it, as configured.",
)


def routes(operations: Operations, servers: Servers) -> list[BaseRoute]:
    async def create_server(caller: Caller, request: Request, body: bytes) -> Response:
        """CreateImageServer: starts a job that boots one."""
        wanted = decode(request, body, wire.CreateImageServer, wire.IN_WORDS["CreateImageServer"])
        job_id = await servers.create(
            caller,
            project_of(request),
            wanted.order(),
            once_of(request, body, TRANSACTION),
            keep_minutes=KEEP_ON_FAILURE.read(request),
        )
        return JSON(wire.JobAccepted(job_id))

    async def list_servers(caller: Caller, request: Request) -> Response:
        """ListImageServers: image servers, newest first."""
        count, found = await servers.page(
            caller,
            project_of(request),
            name_contains=NAME_PART.read(request),
            server_id=SERVER_ID.read(request),
            enterprise_project_id=ENTERPRISE_PROJECT_ID.read(request),
            **page_of(request),
        )
        return JSON(wire.ImageServers(count, [wire.server(server) for server in found]))

    async def show_server(caller: Caller, request: Request) -> Response:
        """ShowImageServer: one image server."""
        return JSON(wire.server(await servers.show(caller, project_of(request), path_id(request, "server_id"))))

    async def update_server(caller: Caller, request: Request, body: bytes) -> Response:
        """UpdateImageServer: changes its name or description."""
        wanted = decode(request, body, wire.UpdateImageServer, wire.IN_WORDS["CreateImageServer"])
        await servers.update(
            caller,
            project_of(request),
            path_id(request, "server_id"),
            name=wanted.name,
            description=wanted.description,
        )
        return Response()

    async def recreate_image(caller: Caller, request: Request, body: bytes) -> Response:
        """RecreateServerImage: starts a job that builds an image of it."""
        wanted = decode(request, body, wire.RecreateServerImage, wire.IN_WORDS["RecreateServerImage"])
        job_id = await servers.build(
            caller,
            project_of(request),
            path_id(request, "server_id"),
            wanted.order(),
            once_of(request, body),
        )
        return JSON(wire.JobAccepted(job_id))

    async def batch_delete(caller: Caller, request: Request, body: bytes) -> Response:
        """BatchDeleteImageServer: starts a job that deletes some."""
        wanted = decode(request, body, wire.BatchDeleteImageServer, {})
        wire.unique("items", wanted.items)
        job_id = await servers.delete(
            caller,
            project_of(request),
            wanted.items,
            recursive=bool(wanted.recursive),
            once=once_of(request, body),
        )
        return JSON(wire.JobAccepted(job_id))

    async def show_access(caller: Caller, request: Request) -> Response:
        """How the authorised account signs in to an image server."""
        return JSON(wire.access(await servers.access(caller, project_of(request), path_id(request, "server_id"))))

    filters = (NAME_PART, SERVER_ID, ENTERPRISE_PROJECT_ID)
    one, actions = f"{SERVERS}/{{server_id}}", f"{SERVERS}/{{server_id}}/actions"
    job = wire.JobAccepted
    return [
        operations.write(
            "POST", SERVERS, create_server, parameters=(KEEP_ON_FAILURE,), body=wire.CreateImageServer, answer=job
        ),
        operations.read("GET", SERVERS, list_servers, parameters=(*filters, *PAGE), answer=wire.ImageServers),
        operations.write(
            "PATCH", f"{SERVERS}/actions/batch-delete", batch_delete, body=wire.BatchDeleteImageServer, answer=job
        ),
        operations.read("GET", one, show_server, answer=wire.ImageServer),
        operations.write("PATCH", one, update_server, body=wire.UpdateImageServer),
        operations.write(
            "POST", f"{actions}/recreate-image", recreate_image, body=wire.RecreateServerImage, answer=job
        ),
        operations.read("GET", f"{one}/access", show_access, answer=wire.ServerAccess),
    ]
