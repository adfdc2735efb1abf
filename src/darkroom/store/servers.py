"""Image servers in the database."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from darkroom.domain.ids import ImageId, ProjectId, ServerId
from darkroom.domain.jobs import Job
from darkroom.domain.servers import IDLE, WITH_MACHINES, ImageServer, ServerAccess, ServerStatus
from darkroom.errors import ServerNotFound
from darkroom.store.events import EventWrites
from darkroom.store.rows import Reader, Row, from_json, key_of, to_json
from darkroom.store.sealing import Sealer
from darkroom.store.tables import image_servers

_FIELDS = ImageServer.__struct_fields__
_COLUMNS = ", ".join(f'"{field}"' for field in _FIELDS)
_GET = f"SELECT {_COLUMNS} FROM image_servers WHERE id = :id"
_ACCESS = "SELECT sealed_access FROM image_servers WHERE id = :id"
_PURPOSE = "image_servers.sealed_access"
_JSON = ("image_ref", "authorize_accounts", "order")


class Servers:
    """Reads image servers."""

    def __init__(self, reader: Reader, sealer: Sealer) -> None:
        self._reader, self._sealer = reader, sealer

    async def get(self, project_id: ProjectId, server_id: str) -> ImageServer:
        """Return an image server. Raises ServerNotFound, also for another project's."""
        server = await self.find(server_id)
        if server is None or server.project_id != project_id:
            raise ServerNotFound(f"The image server {server_id} does not exist.")
        return server

    async def find(self, server_id: str) -> ImageServer | None:
        """Return an image server, whoever owns it, or None."""
        row = await self._reader.one(_GET, id=key_of(server_id))
        return _server(row) if row else None

    async def page(
        self,
        project_id: ProjectId,
        *,
        name_contains: str = "",
        server_id: str = "",
        enterprise_project_id: str = "",
        offset: int,
        limit: int,
    ) -> tuple[int, list[ImageServer]]:
        """Return how many image servers match, and one page of them, newest first. Empty filters match all."""
        where = "project_id = :project"
        matching: dict[str, Any] = {"project": project_id}
        if name_contains:
            where += " AND lower(name) LIKE :name ESCAPE '!'"
            matching["name"] = f"%{_literal(name_contains.lower())}%"
        if server_id:
            where, matching["server"] = f"{where} AND id = :server", key_of(server_id)
        if enterprise_project_id:
            where, matching["enterprise"] = f"{where} AND enterprise_project_id = :enterprise", enterprise_project_id
        count = await self._reader.one(f"SELECT count(*) FROM image_servers WHERE {where}", **matching)
        rows = await self._reader.all(
            f"SELECT {_COLUMNS} FROM image_servers WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset",
            **matching,
            limit=limit,
            offset=offset,
        )
        return (count[0] if count else 0), [_server(row) for row in rows]

    async def access(self, server: ImageServer) -> ServerAccess:
        """Return how the server's account signs in to it. Raises ServerNotFound if the server has gone."""
        row = await self._reader.one(_ACCESS, id=key_of(server.id))
        if row is None:
            raise ServerNotFound(f"The image server {server.id} does not exist.")
        return msgspec.msgpack.decode(self._sealer.open(row[0], _PURPOSE), type=ServerAccess)

    async def with_status(self, statuses: Collection[ServerStatus]) -> list[ImageServer]:
        """Return the image servers, of any project, in one of these states."""
        listed = ", ".join(f"'{status.value}'" for status in statuses)
        rows = await self._reader.all(f"SELECT {_COLUMNS} FROM image_servers WHERE status IN ({listed}) ORDER BY id")
        return [_server(row) for row in rows]

    async def started_from(self, image_id: ImageId) -> list[ImageServer]:
        """Return the image servers, of any project, whose base is the image."""
        sql = f"SELECT {_COLUMNS} FROM image_servers WHERE base_image_id = :image ORDER BY id"
        return [_server(row) for row in await self._reader.all(sql, image=image_id)]


class ServerWrites:
    """Changes image servers, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites, sealer: Sealer) -> None:
        self._connection, self._events, self._sealer = connection, events, sealer

    def add(self, server: ImageServer, access: ServerAccess, *, job: Job) -> None:
        values = {name: getattr(server, name) for name in _FIELDS}
        values |= {name: to_json(values[name]) for name in _JSON}
        values |= {"id": key_of(server.id), "base_image_id": server.base_image_id, "sealed_access": self._seal(access)}
        self._connection.execute(image_servers.insert(), values)
        self._event("server.added", server.create_time, server.id, job, {"name": server.name, "status": server.status})

    def move(
        self,
        server_id: ServerId,
        to: ServerStatus,
        at: int,
        *,
        job: Job,
        of: Collection[ServerStatus] | None = None,
        unattended: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> bool:
        """Move a server to another state, if its state is one of `of` now; say whether it moved.

        `unattended`: only if nobody attaches applications to it. `names` are ids that have become known with it, by
        column.
        """
        statement = image_servers.update().where(_is(server_id), image_servers.c.status != to.value)
        if of is not None:
            statement = statement.where(image_servers.c.status.in_(list(of)))
        if unattended:
            statement = statement.where(image_servers.c.attach_until <= at)
        moved = self._connection.execute(statement.values({"status": to, "update_time": at, **(names or {})}))
        if moved.rowcount:
            self._event("server.moved", at, server_id, job, {"status": to, **(names or {})})
        return bool(moved.rowcount)

    def change(self, server: ImageServer, at: int, *, of: Collection[ServerStatus], **changes: str) -> bool:
        """Change a server's name or description, if its state is one of `of` now; say whether it is."""
        statement = image_servers.update().where(_is(server.id), image_servers.c.status.in_(list(of)))
        changed = self._connection.execute(statement.values({"update_time": at, **changes}))
        if changed.rowcount:
            self._events.add("server.changed", at, server.project_id, resource_id=server.id, data=changes)
        return bool(changed.rowcount)

    def is_unmade(self, server_id: ServerId) -> bool:
        """Say whether a server is in ERROR and never had a machine that was ready, or has no record.

        If so, it stays like that until the transaction ends.
        """
        columns = image_servers.c.status, image_servers.c.instance_id
        row = self._connection.execute(sa.select(*columns).where(_is(server_id)).with_for_update()).one_or_none()
        return row is None or (row.status == ServerStatus.ERROR and not row.instance_id)

    def count(self, project_id: ProjectId) -> int:
        """Return how many image servers a project has."""
        statement = sa.select(sa.func.count()).where(image_servers.c.project_id == project_id)
        return self._connection.scalar(statement) or 0

    def with_machines(self) -> Counter[ProjectId]:
        """Return how many image servers have a machine, by project; those that are being made are not counted."""
        rows = self._connection.execute(
            sa.select(image_servers.c.project_id, sa.func.count())
            .where(sa.or_(image_servers.c.status.in_(WITH_MACHINES), image_servers.c.keep_until > 0))
            .group_by(image_servers.c.project_id)
        )
        return Counter(dict(rows.all()))

    def set_access(self, server: ImageServer, access: ServerAccess, at: int, *, job: Job) -> None:
        """Keep how the server's account signs in, sealed."""
        self._connection.execute(image_servers.update().where(_is(server.id)).values(sealed_access=self._seal(access)))
        self._event("server.admitted", at, server.id, job, {"account": access.account}, once=f"{server.id}:admitted")

    def fail(self, server: ImageServer, at: int, reason: str) -> bool:
        """Have an idle server be in ERROR, for a reason that no job has; say whether it was idle."""
        status = ServerStatus.ERROR
        return self._happen(server, at, "server.moved", {"status": status, "reason": reason}, status=status)

    def tell(self, server: ImageServer, at: int, kind: str, data: dict[str, Any]) -> bool:
        """Tell what happened to an idle server's machine; say whether it was idle."""
        return self._happen(server, at, kind, data)

    def move_door(self, server: ImageServer, access: ServerAccess, at: int) -> bool:
        """Keep where an idle server's account logs in now; say whether it was idle."""
        data = {"address": access.address, "port": access.port}
        return self._happen(server, at, "server.door_moved", data, sealed_access=self._seal(access))

    def _happen(self, server: ImageServer, at: int, kind: str, data: dict[str, Any], **changes: object) -> bool:
        """Record what no job has done. Nothing is recorded of a server that a job, or somebody attaching, is about."""
        idle = image_servers.c.status.in_(list(IDLE)), image_servers.c.attach_until <= at
        statement = image_servers.update().where(_is(server.id), *idle).values(update_time=at, **changes)
        happened = self._connection.execute(statement)
        if happened.rowcount:
            self._events.add(kind, at, server.project_id, resource_id=server.id, data=data)
        return bool(happened.rowcount)

    def remove(self, server_id: ServerId, at: int, *, job: Job) -> None:
        if self._connection.execute(image_servers.delete().where(_is(server_id))).rowcount:
            self._event("server.removed", at, server_id, job, {})

    def _seal(self, access: ServerAccess) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(access), _PURPOSE)

    def _event(
        self, kind: str, at: int, server_id: ServerId, job: Job, data: dict[str, Any], *, once: str | None = None
    ) -> None:
        self._events.add(kind, at, job.project_id, job_id=job.id, resource_id=server_id, data=data, once=once)


def _is(server_id: ServerId) -> sa.ColumnElement[bool]:
    return image_servers.c.id == key_of(server_id)


def _literal(text: str) -> str:
    """Return the text with what LIKE would take for a pattern made literal."""
    return "".join(f"!{character}" if character in "!%_" else character for character in text)


def _server(row: Row) -> ImageServer:
    values = dict(zip(_FIELDS, row, strict=True))
    values |= {name: from_json(values[name]) for name in _JSON}
    values |= {"id": ServerId(str(values["id"])), "status": ServerStatus(values["status"])}
    return ImageServer(**values)
