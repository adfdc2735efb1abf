"""Routes beside the contract: what a job did, and why it failed."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.jobs import JOBS
from darkroom.http.operations import Operations
from darkroom.http.requests import path_id, project_of
from darkroom.services.evidence import Failure, Failures
from darkroom.services.timeline import JobTimeline, SubJobTimeline, Timelines
from darkroom.wire import evidence as wire

PNG: Final = "image/png"


def routes(operations: Operations, timelines: Timelines, failures: Failures) -> list[BaseRoute]:
    async def show_timeline(caller: Caller, request: Request) -> Response:
        """The steps of a job with their times, and those still to come."""
        return JSON(_timeline(await timelines.show(caller, project_of(request), path_id(request, "job_id"))))

    async def show_evidence(caller: Caller, request: Request) -> Response:
        """Why a job failed: errors with their causes, and what its machines showed."""
        found = await failures.show(caller, project_of(request), path_id(request, "job_id"))
        return JSON(wire.Failures([_failure(each) for each in found]))

    async def show_screen(caller: Caller, request: Request) -> Response:
        """The screen of the machine when a sub-job failed."""
        job_id, sub_job_id = path_id(request, "job_id"), path_id(request, "sub_job_id")
        return Response(await failures.screen(caller, project_of(request), job_id, sub_job_id), media_type=PNG)

    one = f"{JOBS}/{{job_id}}"
    screen = f"{one}/evidence/{{sub_job_id}}/screen"
    return [
        operations.read("GET", f"{one}/timeline", show_timeline, answer=wire.Timeline),
        operations.read("GET", f"{one}/evidence", show_evidence, answer=wire.Failures),
        operations.read("GET", screen, show_screen, answer=bytes, media_type=PNG),
    ]


def _timeline(found: JobTimeline) -> wire.Timeline:
    return wire.Timeline(
        job_id=found.job.id,
        job_type=found.job.job_type,
        status=found.job.status,
        queue_place=wire.known(found.place),
        seconds_left=wire.known(found.seconds_left),
        steps=[wire.step(step, found.now) for each in found.sub_jobs for step in each.steps],
        ahead=[ahead for each in found.sub_jobs for ahead in _ahead(each)],
    )


def _ahead(found: SubJobTimeline) -> list[wire.StepAhead]:
    return [
        wire.StepAhead(
            sub_job_id=found.sub_job.id,
            name=step.name,
            phase=step.phase,
            usual_seconds=wire.known(None if step.usual_ms is None else step.usual_ms / 1000),
        )
        for step in found.ahead
    ]


def _failure(found: Failure) -> wire.Failure:
    sub_job = found.sub_job
    path = f"/v1/{sub_job.project_id}/image-server-jobs/{sub_job.job_id}/evidence/{sub_job.id}/screen"
    return wire.failure(sub_job, found.evidence, cure=found.cure, screen=path, kept_until=found.kept_until)
