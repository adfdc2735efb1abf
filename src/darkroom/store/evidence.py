"""Evidence of failures in the database: one row for each sub-job that failed, bounded in size."""

import msgspec
import sqlalchemy as sa

from darkroom.domain.evidence import Evidence
from darkroom.domain.ids import JobId
from darkroom.store.rows import Reader, key_of, to_json
from darkroom.store.tables import evidence

_OF_JOB = "SELECT data FROM evidence WHERE job_id = :job ORDER BY sub_job_id"
_SCREEN = "SELECT screen FROM evidence WHERE sub_job_id = :sub_job AND job_id = :job"


class EvidenceRecords:
    """Reads evidence."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of_job(self, job_id: JobId) -> list[Evidence]:
        """Return the evidence of a job's failures, by sub-job."""
        rows = await self._reader.all(_OF_JOB, job=key_of(job_id))
        return [msgspec.json.decode(row[0], type=Evidence) for row in rows]

    async def screen(self, job_id: JobId, sub_job_id: str) -> bytes | None:
        """Return the picture (PNG) that belongs to the evidence of a sub-job, or None."""
        row = await self._reader.one(_SCREEN, job=key_of(job_id), sub_job=key_of(sub_job_id))
        return bytes(row[0]) if row and row[0] is not None else None


class EvidenceWrites:
    """Keeps evidence. The change that it belongs to is the step's failure, which has an event."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def keep(self, found: Evidence, screen: bytes | None) -> None:
        """Keep the evidence of a sub-job, in place of what was kept of it before."""
        key = key_of(found.sub_job_id)
        self._connection.execute(evidence.delete().where(evidence.c.sub_job_id == key))
        values = {"sub_job_id": key, "job_id": key_of(found.job_id), "data": to_json(found), "screen": screen}
        self._connection.execute(evidence.insert(), values)
