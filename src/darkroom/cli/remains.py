"""What failed jobs left behind, and undoing it once more."""

import time
from typing import Any

from darkroom.cli import progress
from darkroom.cli.client import Api
from darkroom.cli.failures import NotDone

SUB_JOBS = "/v1/{project}/image-server-sub-jobs"
#: Seconds that undoing may take before the command gives up waiting; it goes on all the same.
PATIENCE = 600.0


def left(api: Api) -> list[dict[str, Any]]:
    """Return what the project's ABNORMAL sub-jobs left behind."""
    found: list[dict[str, Any]] = api.get("/v1/{project}/housekeeping")["remains"]
    return found


def told(remains: dict[str, Any]) -> str:
    """Say in words what one sub-job left behind, and why."""
    there = " and ".join(remains["still_there"])
    rest = f"its {there} is still there" if there else "no machine or image is left, but perhaps something else"
    reasons = "; ".join(
        f"undo of {step}: {error.removeprefix(f'{step}: ')}" for step, error in remains["failed"].items()
    )
    return f"{remains['job_type']} {remains['job_id']} ({remains['resource_name']}): {rest}. {reasons}".rstrip()


def clean(api: Api, job_id: str) -> list[dict[str, Any]]:
    """Have a job, or all that left something behind, cleaned up; return what is still left. Raises NotDone."""
    jobs = [job_id] if job_id else list(dict.fromkeys(each["job_id"] for each in left(api)))
    for each in jobs:
        api.call("POST", f"{progress.path_of(each)}/actions/clean")
    deadline = time.monotonic() + PATIENCE
    while any(_is_undone(api, each) for each in jobs):
        if time.monotonic() > deadline:
            raise NotDone(f"Cleaning up has not ended within {PATIENCE:g} s; it goes on.")
        time.sleep(progress.INTERVAL)
    return [each for each in left(api) if each["job_id"] in jobs]


def _is_undone(api: Api, job_id: str) -> bool:
    """Tell whether a job is being undone just now."""
    return bool(api.get(SUB_JOBS, job_type="", status="ROLLBACK", job_id=job_id, limit=1)["count"])
