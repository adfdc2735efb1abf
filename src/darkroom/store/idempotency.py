"""Requests that name themselves: the same one, sent again within a day, gets the job of the first."""

from typing import Final

import msgspec
import sqlalchemy as sa

from darkroom.domain.ids import JobId, ProjectId
from darkroom.domain.requests import Once
from darkroom.store.rows import Reader, key_of
from darkroom.store.tables import idempotency_keys as keys

#: How long a key is remembered, in milliseconds: 24 hours.
LIFE_MS: Final = 24 * 60 * 60 * 1000
_FIND = (
    "SELECT fingerprint, job_id FROM idempotency_keys"
    " WHERE project_id = :project AND key = :key AND created_at > :since"
)


class FormerRequest(msgspec.Struct, frozen=True):
    """What was asked under a key before, and the job it started."""

    fingerprint: str
    job_id: JobId


class Idempotency:
    """Reads keys."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, project_id: ProjectId, key: str, now: int) -> FormerRequest | None:
        row = await self._reader.one(_FIND, project=project_id, key=key, since=now - LIFE_MS)
        return FormerRequest(row[0], JobId(str(row[1]))) if row else None


class IdempotencyWrites:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, project_id: ProjectId, once: Once, job_id: JobId, at: int) -> bool:
        """Keep a request's key; say whether it was free. Those of more than a day ago are forgotten."""
        self._connection.execute(keys.delete().where(keys.c.created_at <= at - LIFE_MS))
        taken = self._connection.scalar(
            sa.select(keys.c.job_id).where(keys.c.project_id == project_id, keys.c.key == once.key)
        )
        if taken is not None:
            return False
        row = {
            "project_id": project_id,
            "key": once.key,
            "fingerprint": once.fingerprint,
            "job_id": key_of(job_id),
            "created_at": at,
        }
        self._connection.execute(keys.insert(), row)
        return True
