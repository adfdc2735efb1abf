"""ListImageJobs and CountImageSubJobs with a million jobs of one project: what is deep beside the first page."""

from collections.abc import Iterator

from bench.load import Request, load
from bench.measure import Comparison, Finding, Reading, Target, alternate, of
from bench.plan import Plan
from bench.services import on_sqlite, token_of

JOBS = 1_000_000


def findings(plan: Plan) -> Iterator[Finding]:
    with on_sqlite(JOBS) as (service, jobs):
        headers = {"X-Auth-Token": token_of(service)}

        def reads(path: str) -> Reading:
            request = Request(f"/v1/{jobs.project}/{path}", headers)
            return load(service.endpoint, [request], plan.seconds, connections=1)

        paths = {
            "first page": "image-server-jobs?job_type=&limit=10",
            "page in the middle": f"image-server-jobs?job_type=&limit=10&offset={JOBS // 2}",
            "last page": f"image-server-jobs?job_type=&limit=10&offset={JOBS - 10}",
            "last page of one type": f"image-server-jobs?job_type=DELETE_SERVER&limit=10&offset={JOBS // 5 - 10}",
            "count of all": "image-server-sub-jobs/actions/count",
            "count of two types": "image-server-sub-jobs/actions/count?job_type=DELETE_SERVER,CREATE_SERVER",
            "count of one type that failed": "image-server-sub-jobs/actions/count?job_type=DELETE_SERVER&status=FAILED",
        }
        found = alternate(plan.rounds, {name: lambda path=path: reads(path) for name, path in paths.items()})
    first = of(found["first page"], "p50")
    for name, readings in found.items():
        if name != "first page":
            call = "CountImageSubJobs" if name.startswith("count") else "ListImageJobs"
            what = f"{call}, 1,000,000 jobs of one project: {name}"
            yield Comparison(what, "first page of ListImageJobs", "ms", of(readings, "p50"), first, Target("≤", 3))
