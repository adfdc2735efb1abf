"""Connections to PostgreSQL for reads: those of one event loop, lent for one statement each.

asyncpg's own pool costs more than the statement does. This one has less to do: nothing here begins a transaction or
leaves anything behind in a connection. One whose statement was cancelled or took too long is not lent again.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import asyncpg

#: Connections at most, and seconds after which one that nobody needed is closed.
LIMIT: Final = 10
IDLE_S: Final = 300.0
#: Seconds until a database that does not take a connection, or does not answer a read, counts as silent.
CONNECT_TIMEOUT: Final = 5
READ_TIMEOUT: Final = 20


class Connections:
    """Connects when that is needed. For one event loop."""

    def __init__(self, dsn: str, first: str) -> None:
        """`first` is what each connection does before it is lent, if anything."""
        self._dsn, self._first, self._loop = dsn, first, asyncio.get_running_loop()
        self._free = asyncio.Semaphore(LIMIT)
        self._idle: deque[tuple[float, asyncpg.Connection]] = deque()  # since when; the one used last is the last
        self._open: set[asyncpg.Connection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def fetch(self, sql: str, values: Iterable[Any]) -> list[asyncpg.Record]:
        """Return all rows of a query. Waits while all connections are in use."""
        async with self._free:
            connection = self._take() or await self._connect()
            try:
                rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            except asyncpg.PostgresError:  # refused; the connection is as good as before, unless the database ended it
                self._give_back(connection)
                raise
            except BaseException:
                self._give_up(connection)
                raise
            self._give_back(connection)
            return rows

    def terminate(self) -> None:
        """Close all connections at once, also those in use."""
        for connection in tuple(self._open):
            self._drop(connection)

    def _take(self) -> asyncpg.Connection | None:
        """Return the connection used last, unless it has been closed since, or rested so long that it may be dead."""
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.is_closed() and self._loop.time() - since < IDLE_S:
                return connection
            self._drop(connection)
        return None

    def _give_back(self, connection: asyncpg.Connection) -> None:
        now = self._loop.time()
        self._idle.append((now, connection))
        while now - self._idle[0][0] > IDLE_S:
            self._drop(self._idle.popleft()[1])

    def _give_up(self, connection: asyncpg.Connection) -> None:
        """Close a connection whose statement may still be under way: nobody waits for the database to give it up."""
        closing = self._loop.create_task(self._close(connection))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, connection: asyncpg.Connection) -> None:
        with suppress(Exception):  # it is closed all the same
            await connection.close(timeout=CONNECT_TIMEOUT)
        self._drop(connection)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT, command_timeout=READ_TIMEOUT)
        self._open.add(connection)
        if self._first:
            try:
                await connection.execute(self._first)
            except BaseException:
                self._drop(connection)
                raise
        return connection

    def _drop(self, connection: asyncpg.Connection) -> None:
        self._open.discard(connection)
        connection.terminate()


class ConnectionsByLoop:
    """Connections of every event loop from which the database is read."""

    def __init__(self, dsn: str, first: str = "") -> None:
        self._dsn, self._first = dsn, first
        self._by_loop: dict[asyncio.AbstractEventLoop, Connections] = {}

    def here(self) -> Connections:
        """Return those of the running loop."""
        loop = asyncio.get_running_loop()
        connections = self._by_loop.get(loop)
        if connections is None:
            connections = self._by_loop[loop] = Connections(self._dsn, self._first)
        return connections

    def terminate(self) -> None:
        """Close all connections at once. Where a loop has ended before us, nothing can be asked of its connections."""
        for loop, connections in self._by_loop.items():
            if not loop.is_closed():
                connections.terminate()
        self._by_loop.clear()
