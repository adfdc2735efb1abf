"""What is attached to image servers, and who is attaching to one now.

Whoever attaches holds a lease of the server's row, so that of several processes one attaches at a time, no build begins
meanwhile, and a process that dies leaves the server free again once its lease has run out.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from darkroom.domain.apps import AppRecord, AttachedApp
from darkroom.domain.jobs import Job
from darkroom.domain.servers import ImageServer, ServerStatus
from darkroom.store.events import EventWrites
from darkroom.store.rows import Reader, key_of, to_json
from darkroom.store.tables import image_servers

_LATEST = "SELECT attached_apps FROM image_servers WHERE id = :id"


class Attachments:
    """Reads what is attached."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def latest(self, server: ImageServer) -> list[AttachedApp]:
        """Return what the most recent attach to the server sent; nothing if there was none."""
        row = await self._reader.one(_LATEST, id=key_of(server.id))
        return msgspec.json.decode(row[0], type=list[AttachedApp]) if row else []


class AttachmentWrites:
    """Changes what is attached, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites) -> None:
        self._connection, self._events = connection, events

    def begin(self, server: ImageServer, lease: str, at: int, until: int, *, of: Collection[ServerStatus]) -> bool:
        """Take the lease of a server that nobody attaches to, if its state is one of `of`; say whether it was free."""
        free = (image_servers.c.attach_until <= at, image_servers.c.status.in_(list(of)))
        begun = self._update(server, *free, attach_lease=lease, attach_until=until)
        if begun:
            self._event("server.attach_begun", at, server, {})
        return begun

    def renew(self, server: ImageServer, lease: str, until: int) -> bool:
        """Hold the lease for longer; say whether it was still held. It is no change that anybody sees."""
        return self._update(server, image_servers.c.attach_lease == lease, attach_until=until)

    def is_going_on(self, server: ImageServer, at: int) -> bool:
        """Tell whether somebody attaches to the server."""
        query = sa.select(image_servers.c.attach_until).where(_is(server))
        return (self._connection.scalar(query) or 0) > at

    def end(self, server: ImageServer, lease: str, at: int, failure: str = "") -> None:
        """Give the lease back."""
        if self._update(server, image_servers.c.attach_lease == lease, attach_lease="", attach_until=0):
            self._event("server.attach_ended", at, server, {"error": failure} if failure else {})

    def free_all(self) -> None:
        """Take back every lease, of those that held them and are known to be dead."""
        self._connection.execute(image_servers.update().values(attach_lease="", attach_until=0))

    def record(
        self,
        server: ImageServer,
        records: Sequence[AppRecord],
        at: int,
        *,
        of: Collection[ServerStatus],
        job: Job | None = None,
    ) -> bool:
        """Record what has been attached, if the server's state is one of `of` now; say whether it is."""
        attached = [AttachedApp(id=record.id, app_id=record.app_id) for record in records]
        changes = {"attached_apps": to_json(attached), "update_time": at}
        recorded = self._update(server, image_servers.c.status.in_(list(of)), **changes)
        if recorded:
            self._event("server.attached", at, server, {"apps": [record.title for record in records]}, job=job)
        return recorded

    def _update(self, server: ImageServer, *conditions: sa.ColumnElement[bool], **changes: Any) -> bool:
        statement = image_servers.update().where(_is(server), *conditions).values(**changes)
        return bool(self._connection.execute(statement).rowcount)

    def _event(self, kind: str, at: int, server: ImageServer, data: dict[str, Any], job: Job | None = None) -> None:
        job_id = job.id if job else None
        self._events.add(kind, at, server.project_id, job_id=job_id, resource_id=server.id, data=data)


def _is(server: ImageServer) -> sa.ColumnElement[bool]:
    return image_servers.c.id == key_of(server.id)
