"""Applications and their versions in the database."""

from typing import Any

import sqlalchemy as sa

from darkroom.domain.apps import AppKind, AppRecord, AppStatus
from darkroom.domain.ids import AppId, ProjectId, RecordId
from darkroom.errors import AppNotFound, Conflict
from darkroom.store.events import EventWrites
from darkroom.store.rows import Reader, Row, from_json, key_of, to_json
from darkroom.store.tables import app_records, apps

_FIELDS = AppRecord.__struct_fields__
_COLUMNS = ", ".join(f'{"a" if field in ("project_id", "name") else "r"}."{field}"' for field in _FIELDS)
_FROM = "FROM app_records r JOIN apps a ON a.id = r.app_id"
_SELECT = f"SELECT {_COLUMNS} {_FROM}"
#: What is kept in the row of the application.
_OF_APP = ("project_id", "name")


class Apps:
    """Reads applications. A project sees its own."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, project_id: ProjectId, record_id: str) -> AppRecord:
        """Return a record. Raises AppNotFound, also for another project's."""
        row = await self._reader.one(
            f"{_SELECT} WHERE r.id = :id AND a.project_id = :project", id=key_of(record_id), project=project_id
        )
        if row is None:
            raise AppNotFound(f"The application record {record_id} does not exist.")
        return _record(row)

    async def with_status(self, status: AppStatus) -> list[AppRecord]:
        """Return the records, of any project, in that state."""
        return [_record(row) for row in await self._reader.all(f"{_SELECT} WHERE r.status = :status", status=status)]

    async def page(
        self, project_id: ProjectId, *, name: str = "", offset: int, limit: int
    ) -> tuple[int, list[AppRecord]]:
        """Return how many records match, and one page of them, newest first. An empty name matches all."""
        where, matching = "a.project_id = :project", {"project": str(project_id)}
        if name:
            where, matching["name"] = f"{where} AND a.name = :name", name
        count = await self._reader.one(f"SELECT count(*) {_FROM} WHERE {where}", **matching)
        sql = f"{_SELECT} WHERE {where} ORDER BY r.id DESC LIMIT :limit OFFSET :offset"
        rows = await self._reader.all(sql, **matching, limit=limit, offset=offset)
        return (count[0] if count else 0), [_record(row) for row in rows]


class AppWrites:
    """Changes applications, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites) -> None:
        self._connection, self._events = connection, events

    def app_named(self, project_id: ProjectId, name: str, otherwise: AppId, at: int) -> AppId:
        """Return the project's application of that name, recorded under the id `otherwise` if there is none."""
        query = sa.select(apps.c.id).where(apps.c.project_id == project_id, apps.c.name == name)
        if (known := self._connection.scalar(query)) is not None:
            return AppId(str(known))
        row = {"id": key_of(otherwise), "project_id": project_id, "name": name, "created_at": at}
        self._connection.execute(apps.insert(), row)
        return otherwise

    def add(self, record: AppRecord) -> None:
        """Record a version of an application. Raises Conflict if the application has that version already."""
        same = sa.select(app_records.c.id).where(
            app_records.c.app_id == key_of(record.app_id), app_records.c.version == record.version
        )
        if (known := self._connection.scalar(same)) is not None:
            raise Conflict(f"The application {record.name} has a version {record.version} already: record {known}.")
        values = {field: getattr(record, field) for field in _FIELDS if field not in _OF_APP}
        ids = {"id": key_of(record.id), "app_id": key_of(record.app_id)}
        self._connection.execute(app_records.insert(), {**values, **ids, "arguments": to_json(record.arguments)})
        data = {"name": record.name, "version": record.version, "status": record.status}
        self._event("app.added", record.created_at, record, data)

    def change(self, record: AppRecord, at: int, *, of: AppStatus, touched: int | None = None, **changes: Any) -> bool:
        """Change a record whose status is `of` now, and that was last touched then; say whether it was.

        With no changes, it is only touched: nobody sees that, and there is no event.
        """
        statement = app_records.update().where(_is(record.id), app_records.c.status == of.value)
        if touched is not None:
            statement = statement.where(app_records.c.updated_at == touched)
        changed = self._connection.execute(statement.values(updated_at=at, **changes))
        if changed.rowcount and changes:
            self._event("app.changed", at, record, changes)
        return bool(changed.rowcount)

    def remove(self, record: AppRecord, at: int) -> None:
        """Remove a record, and with its last one the application."""
        if not self._connection.execute(app_records.delete().where(_is(record.id))).rowcount:
            return
        others = sa.select(app_records.c.id).where(app_records.c.app_id == key_of(record.app_id))
        self._connection.execute(apps.delete().where(apps.c.id == key_of(record.app_id), ~others.exists()))
        self._event("app.removed", at, record, {"name": record.name, "version": record.version})

    def _event(self, kind: str, at: int, record: AppRecord, data: dict[str, Any]) -> None:
        self._events.add(kind, at, record.project_id, resource_id=record.id, data=data)


def _is(record_id: RecordId) -> sa.ColumnElement[bool]:
    return app_records.c.id == key_of(record_id)


def _record(row: Row) -> AppRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    values |= {
        "id": RecordId(str(values["id"])),
        "app_id": AppId(str(values["app_id"])),
        "kind": AppKind(values["kind"]),
        "status": AppStatus(values["status"]),
        "arguments": tuple(from_json(values["arguments"])),
    }
    return AppRecord(**values)
