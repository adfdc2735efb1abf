"""Machines of failed creations that are kept for a while, so that somebody can look at them.

A server's `keep_until` says until when, in milliseconds: 0 if there is nothing to keep, `REAPING` once the time is over
and the machine is being removed.
"""

from typing import Final

import msgspec
import sqlalchemy as sa

from darkroom.domain.ids import ProjectId, ServerId
from darkroom.domain.jobs import Job
from darkroom.domain.servers import ServerStatus
from darkroom.store.events import EventWrites
from darkroom.store.rows import Reader, key_of
from darkroom.store.tables import image_servers

REAPING: Final = 1
MINUTE_MS: Final = 60_000
_UNTIL = "SELECT keep_until FROM image_servers WHERE id = :id"
_DUE = (
    f"SELECT id, project_id FROM image_servers WHERE keep_until > 0 AND keep_until <= :now"
    f" AND status = '{ServerStatus.ERROR}' ORDER BY id"
)


class KeptMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine whose time is over."""

    server_id: ServerId
    project_id: ProjectId


class Kept:
    """Reads which machines are kept."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def until(self, server_id: str) -> int:
        """Return until when the machine of a failed creation is kept; 0 if none is."""
        row = await self._reader.one(_UNTIL, id=key_of(server_id))
        return row[0] if row else 0

    async def due(self, now: int) -> list[KeptMachine]:
        """Return the machines, of any project, that have been kept long enough."""
        rows = await self._reader.all(_DUE, now=now)
        return [KeptMachine(server_id=ServerId(str(key)), project_id=project_id) for key, project_id in rows]


class KeptWrites:
    """Changes which machines are kept, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites) -> None:
        self._connection, self._events = connection, events

    def keep(self, server_id: ServerId, at: int, minutes: int, *, job: Job) -> None:
        """Have a server's machine kept for so long."""
        if self._set(server_id, at + minutes * MINUTE_MS):
            data = {"minutes": minutes}
            self._events.add("server.machine_kept", at, job.project_id, job_id=job.id, resource_id=server_id, data=data)

    def begin_reaping(self, server_id: ServerId, now: int) -> bool:
        """Say whether a machine may be removed because its time is over; no job begins with its server until then."""
        over = (
            image_servers.c.keep_until > 0,
            image_servers.c.keep_until <= now,
            image_servers.c.status == ServerStatus.ERROR,
        )
        return self._set(server_id, REAPING, *over)

    def is_being_reaped(self, server_id: ServerId) -> bool:
        """Say whether the server's machine is being removed because its time is over."""
        kept = sa.select(image_servers.c.keep_until).where(image_servers.c.id == key_of(server_id))
        return self._connection.scalar(kept) == REAPING

    def end(self, server_id: ServerId, project_id: ProjectId, at: int) -> None:
        """Record that a kept machine has been removed."""
        if self._set(server_id, 0, image_servers.c.keep_until > 0):
            self._events.add("server.machine_reaped", at, project_id, resource_id=server_id)

    def _set(self, server_id: ServerId, until: int, *of: sa.ColumnElement[bool]) -> bool:
        statement = image_servers.update().where(image_servers.c.id == key_of(server_id), *of)
        return bool(self._connection.execute(statement.values(keep_until=until)).rowcount)
