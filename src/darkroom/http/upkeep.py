"""Routes of upkeep, beside the contract: what housekeeping found, and cleaning up after jobs."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.jobs import JOBS
from darkroom.http.operations import Operations
from darkroom.http.parameters import PAGE, page_of
from darkroom.http.requests import path_id, project_of
from darkroom.http.servers import SERVERS
from darkroom.services.cleaning import Cleaning
from darkroom.services.servers import Servers
from darkroom.services.upkeep import Upkeep
from darkroom.wire import upkeep as wire


def routes(operations: Operations, upkeep: Upkeep, cleaning: Cleaning, servers: Servers) -> list[BaseRoute]:
    async def show_housekeeping(caller: Caller, request: Request) -> Response:
        """How housekeeping goes, and what needs somebody's attention."""
        return JSON(wire.housekeeping(*await upkeep.show(caller, project_of(request))))

    async def clean_job(caller: Caller, request: Request) -> Response:
        """Undo once more what an ABNORMAL sub-job could not undo."""
        await cleaning.clean(caller, project_of(request), path_id(request, "job_id"))
        return Response(status_code=202)

    async def list_server_events(caller: Caller, request: Request) -> Response:
        """What has happened to an image server, newest first."""
        count, found = await servers.events(
            caller, project_of(request), path_id(request, "server_id"), **page_of(request)
        )
        return JSON(wire.events(count, found))

    return [
        operations.read("GET", "/v1/{project_id}/housekeeping", show_housekeeping, answer=wire.Housekeeping),
        operations.read("POST", f"{JOBS}/{{job_id}}/actions/clean", clean_job, status=202),
        operations.read(
            "GET", f"{SERVERS}/{{server_id}}/events", list_server_events, parameters=PAGE, answer=wire.ServerEvents
        ),
    ]
