"""How the chores of housekeeping went, in the database: one row each, of the last time."""

from typing import Any

import msgspec
import sqlalchemy as sa

from darkroom.domain.chores import ChoreRecord, Problem
from darkroom.store.rows import Reader, to_json
from darkroom.store.tables import chores

_ALL = "SELECT name, ran_at, failure, problems FROM chores ORDER BY name"


class Chores:
    """Reads how chores went."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self) -> list[ChoreRecord]:
        """Return every chore that has run, by name."""
        return [_record(row) for row in await self._reader.all(_ALL)]


class ChoreWrites:
    """Keeps how a chore went. It is no change of anything, so there is no event."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def ran(self, record: ChoreRecord) -> None:
        self._connection.execute(chores.delete().where(chores.c.name == record.name))
        values = {"ran_at": record.ran_at, "failure": record.failure, "problems": to_json(record.problems)}
        self._connection.execute(chores.insert(), {"name": record.name, **values})


def _record(row: tuple[Any, ...]) -> ChoreRecord:
    name, ran_at, failure, problems = row
    found = msgspec.json.decode(problems, type=list[Problem])
    return ChoreRecord(name=name, ran_at=ran_at, failure=failure, problems=found)
