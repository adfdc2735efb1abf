"""Routes of jobs (contract sections 3.1 and 3.2), and their timeline, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.jobs import JobStatus, JobType
from darkroom.http.answers import JSON, page
from darkroom.http.operations import Operations
from darkroom.http.requests import choice, page_of, path_id, project_of
from darkroom.services.jobs import Jobs
from darkroom.wire import jobs as wire

JOBS = "/v1/{project_id}/image-server-jobs"


def routes(operations: Operations, jobs: Jobs) -> list[BaseRoute]:
    async def show_job(caller: Caller, request: Request) -> Response:
        """ShowImageJob: one job with its sub-jobs."""
        return JSON(wire.job(await jobs.show(caller, project_of(request), path_id(request, "job_id"))))

    async def list_jobs(caller: Caller, request: Request) -> Response:
        """ListImageJobs: jobs of one type, newest first, without their sub-jobs."""
        count, found = await jobs.page(
            caller,
            project_of(request),
            job_type=choice(request, "job_type", JobType, mandatory=True),
            status=choice(request, "status", JobStatus),
            **page_of(request),
        )
        return page(count, [wire.job_info(job) for job in found])

    async def show_timeline(caller: Caller, request: Request) -> Response:
        """The steps of a job with their times."""
        return JSON(wire.timeline(await jobs.timeline(caller, project_of(request), path_id(request, "job_id"))))

    return [
        operations.read("GET", f"{JOBS}/{{job_id}}", show_job),
        operations.read("GET", JOBS, list_jobs),
        operations.read("GET", f"{JOBS}/{{job_id}}/timeline", show_timeline),
    ]
