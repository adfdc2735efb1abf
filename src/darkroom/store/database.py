"""The database: one SQLite file in WAL mode, read on the calling thread, written in one transaction at a time.

Readers never wait for the writer in WAL mode and a read by key takes microseconds, so reads happen where they are
asked for, on a connection of the calling thread. Writes may wait for another writer, so they run in a thread.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from darkroom.errors import Unavailable
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer
from darkroom.store.transaction import Transaction

T = TypeVar("T")

#: Seconds that a writer waits for another one before it gives up.
BUSY_TIMEOUT = 30


class Database:
    """Reads by named SQL, writes by `write`. Raises Unavailable when the database does not answer."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self.path, self._sealer = path, sealer
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT})
        sa.event.listen(self.engine, "connect", _set_up)
        sa.event.listen(self.engine, "begin", _begin_immediate)
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, for others who keep tables of their own in the same database."""
        return str(self.engine.url)

    def close(self) -> None:
        self.engine.dispose()
        while self._opened:
            self._opened.pop().close()
        self._local = threading.local()

    async def one(self, sql: str, **parameters: Any) -> Row | None:
        """Return the first row of a query, or None."""
        with _answering():
            row: Row | None = self._reader().execute(sql, parameters).fetchone()
        return row

    async def all(self, sql: str, **parameters: Any) -> list[Row]:
        """Return all rows of a query."""
        with _answering():
            return self._reader().execute(sql, parameters).fetchall()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, in a thread: all it wrote becomes visible, or, if it raises, nothing."""
        return await asyncio.to_thread(self.write_now, work)

    def write_now(self, work: Callable[[Transaction], T]) -> T:
        """Do what `write` does, on this thread."""
        with _answering(), self.engine.begin() as connection:
            return work(Transaction(connection, self._sealer))

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"file:{self.path}?mode=rw",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT,
            )
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._opened.append(connection)
        return connection


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, see below
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at once: a transaction that reads first and then writes could otherwise find itself stale."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
        raise Unavailable("The database does not answer; try again later.") from error
