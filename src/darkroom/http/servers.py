"""Routes of image servers (contract sections 3.6 to 3.11), and their access, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON, page
from darkroom.http.operations import Operations
from darkroom.http.requests import decode, page_of, path_id, project_of, text
from darkroom.services.servers import Servers
from darkroom.wire import servers as wire

SERVERS = "/v1/{project_id}/image-servers"


def routes(operations: Operations, servers: Servers) -> list[BaseRoute]:
    async def create_server(caller: Caller, request: Request, body: bytes) -> Response:
        """CreateImageServer: starts a job."""
        wanted = decode(request, body, wire.CreateImageServer, wire.IN_WORDS["CreateImageServer"])
        return JSON(wire.JobAccepted(await servers.create(caller, project_of(request), wanted.order())))

    async def list_servers(caller: Caller, request: Request) -> Response:
        """ListImageServers: newest first."""
        count, found = await servers.page(
            caller,
            project_of(request),
            name_contains=text(request, "server_name", most=1024),
            server_id=text(request, "server_id", most=128),
            enterprise_project_id=text(request, "enterprise_project_id", most=128),
            **page_of(request),
        )
        return page(count, [wire.server(server) for server in found])

    async def show_server(caller: Caller, request: Request) -> Response:
        """ShowImageServer."""
        return JSON(wire.server(await servers.show(caller, project_of(request), path_id(request, "server_id"))))

    async def update_server(caller: Caller, request: Request, body: bytes) -> Response:
        """UpdateImageServer: its name or description."""
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
        """RecreateServerImage: builds an image; starts a job."""
        wanted = decode(request, body, wire.RecreateServerImage, wire.IN_WORDS["RecreateServerImage"])
        job_id = await servers.build(
            caller,
            project_of(request),
            path_id(request, "server_id"),
            name=wanted.name,
            description=wanted.description or "",
            sysprep=bool(wanted.execute_sysprep),
        )
        return JSON(wire.JobAccepted(job_id))

    async def batch_delete(caller: Caller, request: Request, body: bytes) -> Response:
        """BatchDeleteImageServer: starts a job."""
        wanted = decode(request, body, wire.BatchDeleteImageServer, {})
        wire.unique("items", wanted.items)
        job_id = await servers.delete(caller, project_of(request), wanted.items, recursive=bool(wanted.recursive))
        return JSON(wire.JobAccepted(job_id))

    async def show_access(caller: Caller, request: Request) -> Response:
        """How the authorised account signs in to an image server."""
        return JSON(wire.access(await servers.access(caller, project_of(request), path_id(request, "server_id"))))

    return [
        operations.write("POST", SERVERS, create_server),
        operations.read("GET", SERVERS, list_servers),
        operations.write("PATCH", f"{SERVERS}/actions/batch-delete", batch_delete),
        operations.read("GET", f"{SERVERS}/{{server_id}}", show_server),
        operations.write("PATCH", f"{SERVERS}/{{server_id}}", update_server),
        operations.write("POST", f"{SERVERS}/{{server_id}}/actions/recreate-image", recreate_image),
        operations.read("GET", f"{SERVERS}/{{server_id}}/access", show_access),
    ]
