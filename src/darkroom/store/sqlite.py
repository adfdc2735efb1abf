"""SQLite: one file in WAL mode, for one process.

Readers never wait for the writer in WAL mode and a read by key takes microseconds, so reads happen where they are
asked for, on a connection of the calling thread. Writes may wait for another writer, and reads of very many rows take
long, so both run in a thread.
"""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from darkroom.store.database import Database
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer

#: Seconds that a writer waits for another one before it gives up.
BUSY_TIMEOUT = 30
#: Bytes of the file that readers map at most.
MAPPED = 1 << 30


class SqliteDatabase(Database):
    """A database in one file."""

    silent = (*Database.silent, sqlite3.OperationalError)

    def __init__(self, path: Path, sealer: Sealer) -> None:
        with suppress(FileNotFoundError):  # a folder that is missing is found out by the first use
            path.touch(mode=0o600)  # SQLite gives its other files the mode of this one
        # What has been answered outlives a loss of power.
        super().__init__(_engine(path, synchronous="FULL"), _engine(path, synchronous="NORMAL"), sealer)
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def close(self) -> None:
        super().close()
        while self._opened:
            self._opened.pop().close()
        self._local = threading.local()

    async def one(self, sql: str, **parameters: Any) -> Row | None:
        try:
            row: Row | None = self._reader().execute(sql, parameters).fetchone()
        except self.silent as error:
            self.fail(error)
        return row

    async def all(self, sql: str, **parameters: Any) -> list[Row]:
        return self._all(sql, parameters)

    async def survey(self, sql: str, **parameters: Any) -> list[Row]:
        return await asyncio.to_thread(self._all, sql, parameters)

    def _all(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        try:
            return self._reader().execute(sql, parameters).fetchall()
        except self.silent as error:
            self.fail(error)

    def _is_ours(self, error: Exception) -> bool:
        cause = getattr(error, "orig", None) or error
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT,
            )
            connection.execute("PRAGMA query_only = ON")
            # Pages are read where the system has them already, instead of being copied by a call for each.
            connection.execute(f"PRAGMA mmap_size = {MAPPED}")
            self._local.connection = connection
            self._opened.append(connection)
        return connection


def _engine(path: Path, *, synchronous: str) -> sa.Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT})

    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by us, see below
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")

    sa.event.listen(engine, "connect", set_up)
    sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at once: a transaction that reads first and then writes could otherwise find itself stale."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
