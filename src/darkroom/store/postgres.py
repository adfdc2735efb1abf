"""PostgreSQL: for many processes. Reads on asyncpg, on connections of each event loop; writes on psycopg."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from darkroom.store.connections import CONNECT_TIMEOUT, Connections
from darkroom.store.database import Database
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer

#: Seconds after which a connection for writes is tried before it is used again.
RESTED = 1.0
_NAMED = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")


class PostgresDatabase(Database):
    """A database on a PostgreSQL server."""

    silent = (
        *Database.silent,
        sa.exc.InterfaceError,
        psycopg.OperationalError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InterfaceError,
        OSError,
        TimeoutError,
    )

    settled = "AND written_in < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

    def __init__(self, url: sa.URL, sealer: Sealer) -> None:
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_use_lifo=True,
            pool_timeout=CONNECT_TIMEOUT,
            connect_args={"connect_timeout": CONNECT_TIMEOUT},
        )
        sa.event.listen(engine, "checkout", _see_that_it_lives)
        sa.event.listen(engine, "checkin", _note_that_it_lives)
        super().__init__(engine, sealer)
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()

    def close(self) -> None:
        super().close()
        for loop, connections in self._by_loop.items():
            # Where a loop has ended before us, as that of the workflows has, nothing can be asked of its connections.
            if not loop.is_closed():
                connections.terminate()
        self._by_loop.clear()

    @contextmanager
    def _begin(self, *, lasting: bool) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            if not lasting:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
            yield connection

    async def one(self, sql: str, **parameters: Any) -> Row | None:
        rows = await self.all(sql, **parameters)
        return rows[0] if rows else None

    async def all(self, sql: str, **parameters: Any) -> list[Row]:
        if _has_nul(parameters):
            return []
        text, names = _positional(sql)
        try:
            records = await self._connections().fetch(text, [parameters[name] for name in names])
        except self.silent as error:
            self.fail(error)
        return [tuple(record) for record in records]

    def _connections(self) -> Connections:
        loop = asyncio.get_running_loop()
        connections = self._by_loop.get(loop)
        if connections is None:
            connections = self._by_loop[loop] = Connections(self._dsn)
        return connections


def _see_that_it_lives(connection: psycopg.Connection, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Have a connection replaced that has rested and is dead. One that was used a moment ago is believed to live."""
    if time.monotonic() - record.info.get("used", 0.0) < RESTED:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        raise sa.exc.DisconnectionError from error


def _note_that_it_lives(_connection: psycopg.Connection | None, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _has_nul(parameters: dict[str, Any]) -> bool:
    """Say whether a text has a NUL character: no row here can have one, and PostgreSQL would not even take it."""
    return any(isinstance(value, str) and "\0" in value for value in parameters.values())


@lru_cache(maxsize=256)
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a query with `:name` parameters as one with `$1`, and the names in their order."""
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))
    places = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _NAMED.sub(lambda match: places[match[1]], sql), names
