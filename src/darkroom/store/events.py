"""Events: one row for every change, in the order they happened. Other views of history are readers of this table."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from darkroom.domain.events import Event
from darkroom.domain.ids import JobId, ProjectId, SubJobId
from darkroom.store.rows import Reader, from_json, key_of, to_json

# A conflict alone would use up a number, and `seq` would have a gap where nothing is missing.
_INSERT = sa.text(
    "INSERT INTO events (at, project_id, kind, job_id, sub_job_id, resource_id, data, once)"
    " SELECT :at, :project_id, :kind, :job_id, :sub_job_id, :resource_id, :data, :once"
    " WHERE NOT EXISTS (SELECT 1 FROM events WHERE once = :once)"
    " ON CONFLICT (once) DO NOTHING"
)
_OF_JOB = "SELECT seq, at, kind, sub_job_id, resource_id, data FROM events WHERE job_id = :job ORDER BY seq"


class EventWrites:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self,
        kind: str,
        at: int,
        project_id: ProjectId,
        *,
        job_id: JobId | None = None,
        sub_job_id: SubJobId | None = None,
        resource_id: str = "",
        data: Mapping[str, Any] | None = None,
        once: str | None = None,
    ) -> None:
        """Write an event. With `once`, a second event of that name is left out: for steps that may run again."""
        row = {
            "kind": kind,
            "at": at,
            "project_id": project_id,
            "job_id": key_of(job_id) if job_id else None,
            "sub_job_id": key_of(sub_job_id) if sub_job_id else None,
            "resource_id": resource_id,
            "data": to_json(data or {}),
            "once": once,
        }
        self._connection.execute(_INSERT, row)


class Events:
    """Reads events."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of_job(self, job_id: JobId) -> list[Event]:
        """Return all events of a job, oldest first."""
        return [_event(row) for row in await self._reader.all(_OF_JOB, job=key_of(job_id))]


def _event(row: tuple[Any, ...]) -> Event:
    seq, at, kind, sub_job_id, resource_id, data = row
    sub_job = SubJobId(str(sub_job_id)) if sub_job_id else None
    return Event(seq=seq, at=at, kind=kind, sub_job_id=sub_job, resource_id=resource_id, data=from_json(data))
