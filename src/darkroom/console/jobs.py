"""Pages of jobs: the list and one job, both alive, and what can be done with a job."""

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.console import live
from darkroom.console.bars import bars
from darkroom.console.forms import Values
from darkroom.console.i18n import N_
from darkroom.console.labels import NOT_ALLOWED
from darkroom.console.listing import PAGE, ROWS, Listing, offset_of
from darkroom.console.pages import NO_PAGE, Pages, Visit, to
from darkroom.console.rooms import Rooms
from darkroom.console.session import PATH
from darkroom.domain.accounts import Caller
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJobStatus
from darkroom.domain.times import Clock
from darkroom.errors import NotFound, cure_of
from darkroom.http.parameters import ID_LIMIT, Choice, Text
from darkroom.services.servers import Servers

JOBS = f"{PATH}/jobs"
JOB_TYPE, STATUS = Choice("type", JobType), Choice("status", JobStatus)
SERVER = Text("server", ID_LIMIT)
#: Image servers that the filter offers.
OFFERED = 100


def routes(make: Pages, rooms: Rooms, clock: Clock) -> list[BaseRoute]:
    async def listed(visit: Visit) -> dict[str, object]:
        """Return what the list shows, which may change at any moment."""
        request = visit.request
        job_type, status, server_id = JOB_TYPE.read(request), STATUS.read(request), SERVER.read(request)
        count, found = await rooms.jobs.page(
            visit.caller,
            visit.project_id,
            job_type=job_type,
            status=status,
            server_id=server_id,
            offset=offset_of(request),
            limit=ROWS,
        )
        filters = {"type": job_type or "", "status": status or "", "server": server_id}
        if visit.caller.may("workspace:images:getImageJob"):  # which tells what they are about
            found = [await rooms.jobs.show(visit.caller, visit.project_id, job.id) for job in found]
        return {"jobs": found, "listing": Listing(JOBS, filters, PAGE.read(request), count), "now": clock()}

    async def list_jobs(visit: Visit) -> Response:
        offered = {"servers": await _offered(rooms.servers, visit), "job_types": JobType, "statuses": _OFFERED_STATUSES}
        return visit.page("jobs.html", **offered, **await listed(visit))

    async def watch_jobs(visit: Visit) -> Response:
        async def show() -> tuple[str, bool]:
            return visit.fragment("jobs.html", "live", **await listed(visit)), True

        return await live.stream(visit, rooms, show)

    async def shown(visit: Visit) -> dict[str, Any]:
        """Return what a job's page shows, which may change at any moment."""
        timeline = await rooms.timelines.show(visit.caller, visit.project_id, visit.id_of("job_id"))
        job = timeline.job
        failed = any(sub_job.error_code for sub_job in job.sub_jobs)
        failures = {}
        if failed and visit.caller.may("workspace:images:getImageJobEvidence"):
            found = await rooms.failures.show(visit.caller, visit.project_id, job.id)
            failures = {failure.sub_job.id: failure.evidence for failure in found}
        return {
            "job": job,
            "timeline": timeline,
            "bars": bars(timeline),
            "failures": failures,
            "cure_of": cure_of,
            "actions": _actions(job, visit.caller),
        }

    async def show_job(visit: Visit) -> Response:
        known = await shown(visit)
        return visit.page("job.html", goes_on=not _is_over(known["job"]), **known)

    async def watch_job(visit: Visit) -> Response:
        async def show() -> tuple[str, bool]:
            known = await shown(visit)
            return visit.fragment("job.html", "live", **known), not _is_over(known["job"])

        await rooms.jobs.show(visit.caller, visit.project_id, visit.id_of("job_id"))
        return await live.stream(visit, rooms, show)

    async def show_screen(visit: Visit) -> Response:
        job_id, sub_job_id = visit.id_of("job_id"), visit.id_of("sub_job_id")
        picture = await rooms.failures.screen(visit.caller, visit.project_id, job_id, sub_job_id)
        return Response(picture, media_type="image/png")

    async def confirm(visit: Visit) -> Response:
        job = await rooms.jobs.show(visit.caller, visit.project_id, visit.id_of("job_id"))
        action = visit.id_of("action")
        found = _actions(job, visit.caller).get(action)
        if found is None:
            raise NotFound(NO_PAGE)
        return visit.page("job-action.html", job=job, action=action, refusal=found)

    async def act(visit: Visit, _: Values) -> Response:
        caller, project_id, job_id = visit.caller, visit.project_id, visit.id_of("job_id")
        match visit.id_of("action"):
            case "cancel":
                await rooms.jobs.cancel(caller, project_id, job_id)
            case "retry":
                job_id = await rooms.retries.retry(caller, project_id, job_id)
            case "clean":
                await rooms.cleaning.clean(caller, project_id, job_id)
            case _:
                raise NotFound(NO_PAGE)
        return to(f"{JOBS}/{job_id}")

    one = f"{JOBS}/{{job_id}}"
    return [
        make.read(JOBS, list_jobs),
        make.read(f"{JOBS}/live", watch_jobs),
        make.read(one, show_job),
        make.read(f"{one}/live", watch_job),
        make.read(f"{one}/screen/{{sub_job_id}}", show_screen),
        make.read(f"{one}/{{action}}", confirm),
        make.write(f"{one}/{{action}}", act),
    ]


#: Jobs are never WAITING: they are RUNNING once they are accepted.
_OFFERED_STATUSES = [status for status in JobStatus if status is not JobStatus.WAITING]


def _is_over(job: Job) -> bool:
    """Tell whether nothing of it can change any more; what it left behind may still be being undone."""
    return job.is_final and all(sub_job.status is not SubJobStatus.ROLLBACK for sub_job in job.sub_jobs)


def _actions(job: Job, caller: Caller) -> dict[str, str]:
    """Return what can be asked for, each with the reason why this caller cannot have it done now: empty if it can."""
    retry = "" if job.status is JobStatus.FAILED else N_("Only a job that failed can be tried again.")
    actions = {"cancel": _why_not_cancel(job), "retry": retry}
    if any(sub_job.status is SubJobStatus.ABNORMAL for sub_job in job.sub_jobs):
        actions["clean"] = ""
    return {
        action: reason if caller.may(f"workspace:images:{action}ImageJob") else NOT_ALLOWED
        for action, reason in actions.items()
    }


def _why_not_cancel(job: Job) -> str:
    if job.is_final:
        return N_("The job has ended.")
    if job.job_type is JobType.DELETE_SERVER:
        return N_("A deletion cannot be cancelled: what is gone cannot be brought back.")
    if any(sub_job.status in (SubJobStatus.ABORTING, SubJobStatus.ROLLBACK) for sub_job in job.sub_jobs):
        return N_("It is being undone already.")
    return ""


async def _offered(servers: Servers, visit: Visit) -> list[tuple[str, str]]:
    """Return ids and names of image servers to filter by, the one that is asked for among them."""
    wanted = SERVER.read(visit.request)
    offered = {wanted: wanted} if wanted else {}
    if visit.caller.may("workspace:imageServer:list"):
        _, found = await servers.page(visit.caller, visit.project_id, offset=0, limit=OFFERED)
        offered |= {server.id: server.name for server in found}
    return list(offered.items())
