"""Events: one row for every change, in the order they happened. Other views of history are readers of this table."""

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

import sqlalchemy as sa

from darkroom.domain.events import Event
from darkroom.domain.ids import JobId, ProjectId, SubJobId
from darkroom.domain.jobs import JobType
from darkroom.store.rows import Reader, from_json, key_of, to_json

# A conflict alone would use up a number, and `seq` would have a gap where nothing is missing.
_INSERT = (
    "INSERT INTO events (at, project_id, kind, job_id, sub_job_id, resource_id, data, once, written_in)"
    " SELECT :at, :project_id, :kind, :job_id, :sub_job_id, :resource_id, :data, :once, {transaction}"
    " WHERE NOT EXISTS (SELECT 1 FROM events WHERE once = :once)"
    " ON CONFLICT (once) DO NOTHING"
)
_HAS = sa.text("SELECT 1 FROM events WHERE once = :once")
_INSERTS = {
    "sqlite": sa.text(_INSERT.format(transaction="0")),
    "postgresql": sa.text(_INSERT.format(transaction="pg_current_xact_id()::text::bigint")),
}
_EVENT = "seq, at, kind, job_id, sub_job_id, resource_id, data"
_OF_JOB = f"SELECT {_EVENT} FROM events WHERE job_id = :job ORDER BY seq"
# In the order of the transactions, not of the numbers: a number is given out before its transaction is committed, so
# that one may become visible after a greater one. An event that is gone counts as the one before it.
_AFTER = (
    f"SELECT {_EVENT} FROM events WHERE {{whose}} AND (written_in, seq) > (coalesce("
    "(SELECT written_in FROM events WHERE seq <= :after ORDER BY seq DESC LIMIT 1), 0), :after)"
    " {settled} ORDER BY written_in, seq LIMIT :limit"
)
#: Jobs from which it is told how long a step usually takes.
HISTORY: Final = 20
_HISTORY = (
    "SELECT sub_job_id, kind, at, data FROM events WHERE job_id IN (SELECT id FROM jobs WHERE project_id = :project"
    " AND job_type = :type AND status = 'SUCCESS' ORDER BY id DESC LIMIT :jobs)"
    " AND kind IN ('step.started', 'step.ended') ORDER BY seq"
)
_LAST = "SELECT seq FROM events WHERE project_id = :project {settled} ORDER BY written_in DESC, seq DESC LIMIT 1"
_OF_RESOURCE = "FROM events WHERE resource_id = :resource AND project_id = :project"


class EventWrites:
    def __init__(self, connection: sa.Connection, changed: set[JobId]) -> None:
        """`changed` is given the jobs that events are about: whatever changes one writes an event of it."""
        self._connection, self._changed = connection, changed

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
    ) -> bool:
        """Write an event. With `once`, a second event of that name is left out: for steps that may run again.

        Say whether it was written.
        """
        if job_id:
            self._changed.add(job_id)
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
        return bool(self._connection.execute(_INSERTS[self._connection.dialect.name], row).rowcount)

    def has(self, once: str) -> bool:
        """Say whether an event of that name has been written."""
        return self._connection.scalar(_HAS, {"once": once}) is not None


class Events:
    """Reads events."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of_job(self, job_id: JobId) -> list[Event]:
        """Return all events of a job, oldest first."""
        return [_event(row) for row in await self._reader.all(_OF_JOB, job=key_of(job_id))]

    async def of_job_after(self, job_id: JobId, after: int, limit: int) -> list[Event]:
        """Return events of a job that come after the one of that number, in the order in which they became visible."""
        return await self._after("job_id = :key", key_of(job_id), after, limit)

    async def of_project_after(self, project_id: ProjectId, after: int, limit: int) -> list[Event]:
        """Return events of a project alike."""
        return await self._after("project_id = :key", project_id, after, limit)

    async def _after(self, whose: str, key: int | str, after: int, limit: int) -> list[Event]:
        """Leave out what comes after an event that may still become visible."""
        sql = _AFTER.format(whose=whose, settled=self._reader.settled)
        return [_event(row) for row in await self._reader.all(sql, key=key, after=after, limit=limit)]

    async def usual_durations(self, project_id: ProjectId, job_type: JobType) -> dict[str, int]:
        """Return the median milliseconds of each step in a project's latest jobs of a type that succeeded."""
        rows = await self._reader.all(_HISTORY, project=project_id, type=job_type, jobs=HISTORY)
        begun: dict[tuple[int, str], int] = {}
        took: dict[str, list[int]] = {}
        for sub_job_id, kind, at, data in rows:
            step = from_json(data)
            if step["phase"] != "do":
                continue
            key = sub_job_id, step["name"]
            if kind == "step.started":
                begun[key] = at
            elif key in begun and step["status"] == "SUCCESS":
                took.setdefault(step["name"], []).append(max(at - begun[key], 0))
        return {name: round(median(durations)) for name, durations in took.items()}

    async def last(self, project_id: ProjectId) -> int:
        """Return the number of the project's event that became visible last, or 0."""
        row = await self._reader.one(_LAST.format(settled=self._reader.settled), project=project_id)
        return row[0] if row else 0

    async def of_resource(
        self, project_id: ProjectId, resource_id: str, offset: int, limit: int
    ) -> tuple[int, list[Event]]:
        """Return how many events a resource has, and one page of them, newest first."""
        named = {"resource": resource_id, "project": project_id}
        count = await self._reader.one(f"SELECT count(*) {_OF_RESOURCE}", **named)
        rows = await self._reader.all(
            f"SELECT {_EVENT} {_OF_RESOURCE} ORDER BY seq DESC LIMIT :limit OFFSET :offset",
            **named,
            limit=limit,
            offset=offset,
        )
        return (count[0] if count else 0), [_event(row) for row in rows]

    async def count(self, kind: str, resource_id: str, since: int) -> int:
        """Return how often something of a kind has happened to a resource since a time."""
        sql = "SELECT count(*) FROM events WHERE resource_id = :resource AND kind = :kind AND at > :since"
        row = await self._reader.one(sql, resource=resource_id, kind=kind, since=since)
        return row[0] if row else 0

    async def project_of(self, resource_id: str) -> ProjectId:
        """Return the project that a resource belonged to, as far as its events still tell; else an empty id."""
        sql = "SELECT project_id FROM events WHERE resource_id = :resource ORDER BY seq LIMIT 1"
        row = await self._reader.one(sql, resource=resource_id)
        return ProjectId(row[0] if row else "")


def _event(row: tuple[Any, ...]) -> Event:
    seq, at, kind, job_id, sub_job_id, resource_id, data = row
    return Event(
        seq=seq,
        at=at,
        kind=kind,
        job_id=JobId(str(job_id)) if job_id else None,
        sub_job_id=SubJobId(str(sub_job_id)) if sub_job_id else None,
        resource_id=resource_id,
        data=from_json(data),
    )
