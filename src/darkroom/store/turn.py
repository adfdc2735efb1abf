"""Whose turn it is: of the processes that share a database, one at a time does what only one may do."""

import threading

import sqlalchemy as sa

_TAKE = sa.text("SELECT pg_try_advisory_lock(hashtext(:name))")


class Turn:
    """Held by one process for as long as it lives; on SQLite by the only one there is.

    On PostgreSQL it is a session lock, which the server lets go of when the connection ends, however the process ended.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._guard = threading.Lock()
        self._connection: sa.Connection | None = None

    def is_mine(self) -> bool:
        """Take the turn if it is free; say whether it is this process's. Blocks while the database is asked."""
        if self._engine.dialect.name != "postgresql":
            return True
        with self._guard:
            try:
                return self._still_held() if self._connection else self._taken()
            except sa.exc.DBAPIError:
                self._let_go()
                return False

    def close(self) -> None:
        """Give the turn back."""
        with self._guard:
            self._let_go()

    def _taken(self) -> bool:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(_TAKE, {"name": self._name}):
            self._connection = connection
            return True
        connection.close()
        return False

    def _still_held(self) -> bool:
        assert self._connection is not None
        self._connection.execute(sa.text("SELECT 1"))
        return True

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # ends the session, and the lock with it
            self._connection.close()
            self._connection = None
