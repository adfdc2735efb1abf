"""Image servers in ERROR: why they are, and what can be done about them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from darkroom.cli import jobs, output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, Refusal
from darkroom.cli.upkeep import Finding, Mark

_SERVERS = "/v1/{project}/image-servers"
#: Events of a server that are looked through, and servers that the doctor tells of, the newest.
_EVENTS, _MOST = 100, 20


def why(api: Api, server: dict[str, Any]) -> str:
    """Return why a server is in ERROR: what its last move there says, or the job that made it; else nothing."""
    if server["status"] != "ERROR":
        return ""
    fall = _fall(_events(api, server))
    return str(fall["data"].get("reason") or jobs.reason(api, fall.get("job_id", ""))) if fall else ""


def findings(api: Api) -> Iterator[Finding]:
    """Yield the image servers in ERROR, with what to do about each."""
    try:
        broken = [server for server in api.items(_SERVERS) if server["status"] == "ERROR"]
        yield from (_finding(api, server) for server in broken[:_MOST])
    except Failure:
        return  # this user may not see them
    if len(broken) > _MOST:
        more = f"{len(broken) - _MOST} more are in ERROR"
        yield Finding(Mark.MIND, "image server", more, "`darkroom servers list` shows them all.")


def _finding(api: Api, server: dict[str, Any]) -> Finding:
    events = _events(api, server)
    fall = _fall(events)
    job = _job(api, fall.get("job_id", "")) if fall else None
    told = [sub["job_execute_info"]["error_message"] for sub in job["sub_jobs"]] if job else []
    reason = next(filter(None, [fall["data"].get("reason", "") if fall else "", *told]), "why is no longer known")
    finding = f"{server['name']} ({server['id']}) is in ERROR: {reason.splitlines()[0]}"
    return Finding(Mark.MIND, "image server", finding, _advice(server["id"], job, _kept_until(events)))


def _advice(server_id: str, job: dict[str, Any] | None, kept_until: str) -> str:
    delete = f"darkroom servers delete {server_id}"
    if job is None:
        return f"{delete}, with --keep-machine if its disk is needed"
    ways = [f"darkroom jobs why {job['id']}"]
    if kept_until:
        ways.append(f"its machine is kept until {kept_until}: darkroom servers console {server_id}")
    if job["job_type"] == "CREATE_SERVER":
        ways.append(f"darkroom jobs retry {job['id']}")
    return "; ".join([*ways, delete])


def _kept_until(events: list[dict[str, Any]]) -> str:
    """Return until when the machine of a creation that failed is kept; nothing if none is."""
    for event in events:
        if event["kind"] in ("server.machine_kept", "server.machine_reaped"):
            begun = output.moment(event["time"]) if event["kind"] == "server.machine_kept" else None
            return f"{begun + timedelta(minutes=event['data']['minutes']):%d %b %H:%M}" if begun else ""
    return ""


def _events(api: Api, server: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what has happened to a server, the newest first."""
    return api.items(f"{_SERVERS}/{server['id']}/events", limit=_EVENTS)


def _fall(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the last event that brought a server into ERROR."""
    falls = (event for event in events if event["kind"] == "server.moved" and event["data"].get("status") == "ERROR")
    return next(falls, None)


def _job(api: Api, job_id: str) -> dict[str, Any] | None:
    """Return a job; None if there was none, or it has been purged."""
    try:
        return dict(api.get(f"/v1/{{project}}/image-server-jobs/{job_id}")) if job_id else None
    except Refusal:
        return None
