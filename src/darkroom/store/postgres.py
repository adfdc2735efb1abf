"""PostgreSQL: for many processes. Reads on asyncpg, on connections of each event loop; writes on psycopg."""

import re
import time
from functools import lru_cache
from typing import Any, Final

import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from darkroom.store.connections import CONNECT_TIMEOUT, ConnectionsByLoop
from darkroom.store.database import Database
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer

#: Seconds after which a connection for writes is tried before it is used again.
RESTED = 1.0
#: Parameters of a URL that tell libpq how to connect, and that asyncpg would hand to the server.
LIBPQ_ALONE: Final = (
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
)  # fmt: skip
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
        swift = _engine(url)
        sa.event.listen(swift, "connect", _wait_for_no_disk)
        super().__init__(_engine(url), swift, sealer)
        dsn = (
            url.set(drivername="postgresql").difference_update_query(LIBPQ_ALONE).render_as_string(hide_password=False)
        )
        self._connections = ConnectionsByLoop(dsn)
        # A plan made for any offset would be made for small ones, and be a bad one for pages that lie deep.
        self._surveying = ConnectionsByLoop(dsn, "SET plan_cache_mode = force_custom_plan")

    def close(self) -> None:
        super().close()
        self._connections.terminate()
        self._surveying.terminate()

    async def one(self, sql: str, **parameters: Any) -> Row | None:
        rows = await self.all(sql, **parameters)
        return rows[0] if rows else None

    async def all(self, sql: str, **parameters: Any) -> list[Row]:
        return await self._all(self._connections, sql, parameters)

    async def survey(self, sql: str, **parameters: Any) -> list[Row]:
        return await self._all(self._surveying, sql, parameters)

    async def _all(self, connections: ConnectionsByLoop, sql: str, parameters: dict[str, Any]) -> list[Row]:
        if _has_nul(parameters):
            return []
        text, names = _positional(sql)
        try:
            records = await connections.here().fetch(text, [parameters[name] for name in names])
        except self.silent as error:
            self.fail(error)
        return [tuple(record) for record in records]


def _engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_use_lifo=True,
        pool_timeout=CONNECT_TIMEOUT,
        connect_args={"connect_timeout": CONNECT_TIMEOUT},
    )
    sa.event.listen(engine, "checkout", _see_that_it_lives)
    sa.event.listen(engine, "checkin", _note_that_it_lives)
    return engine


def _wait_for_no_disk(connection: psycopg.Connection, _record: ConnectionPoolEntry) -> None:
    connection.execute("SET synchronous_commit = off")
    connection.commit()


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
