"""The database: reads by named SQL straight on the driver, writes in one transaction each, through SQLAlchemy Core."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, ClassVar, NoReturn, TypeVar

import sqlalchemy as sa

from darkroom.domain.ids import JobId
from darkroom.errors import Unavailable
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer
from darkroom.store.transaction import Transaction

T = TypeVar("T")
Changing = Callable[[Collection[JobId]], AbstractContextManager[None]]


class Database(ABC):
    """Reads and writes. Raises Unavailable when the database does not answer."""

    #: What the drivers raise when the database does not answer.
    silent: ClassVar[tuple[type[Exception], ...]] = (sa.exc.OperationalError, sa.exc.TimeoutError)

    #: See Reader. Where there is one writer at a time, numbers are given out in the order of the commits.
    settled: ClassVar[str] = ""

    def __init__(self, engine: sa.Engine, swift: sa.Engine, sealer: Sealer) -> None:
        """`swift` is for transactions that need not be lasting: its commits do not wait for the disk."""
        self.engine, self._swift, self._sealer = engine, swift, sealer
        #: Entered, on any thread, with the jobs that a transaction changes: from before its commit until after it.
        self.changing: Changing = lambda _: nullcontext()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL with its password, for others who keep tables of their own in the same database."""
        return self.engine.url.render_as_string(hide_password=False)

    @abstractmethod
    async def one(self, sql: str, **parameters: Any) -> Row | None:
        """Return the first row of a query, or None."""

    @abstractmethod
    async def all(self, sql: str, **parameters: Any) -> list[Row]:
        """Return all rows of a query."""

    async def survey(self, sql: str, **parameters: Any) -> list[Row]:
        """Do what `all` does, for a query that may look at very many rows: nobody else waits for it."""
        return await self.all(sql, **parameters)

    async def write(self, work: Callable[[Transaction], T], *, lasting: bool = True) -> T:
        """Run `work` in one transaction, in a thread: all it wrote becomes visible, or, if it raises, nothing.

        Unless it must be `lasting`, it does not wait for the disk: a loss of power may undo it, with everything that
        was written after it, up to the next write that lasts.
        """
        return await asyncio.to_thread(self.write_now, work, lasting=lasting)

    def write_now(self, work: Callable[[Transaction], T], *, lasting: bool = True) -> T:
        """Do what `write` does, on this thread."""
        engine = self.engine if lasting else self._swift
        with self.answering(), ExitStack() as until_visible, engine.begin() as connection:
            transaction = Transaction(connection, self._sealer)
            result = work(transaction)
            if transaction.changed:
                until_visible.enter_context(self.changing(transaction.changed))
            return result

    def close(self) -> None:
        self.engine.dispose()
        self._swift.dispose()

    def _is_ours(self, error: Exception) -> bool:
        """Say whether what looks like a silent database is a mistake in what it was asked."""
        return False

    def fail(self, error: Exception) -> NoReturn:
        """Raise Unavailable for one of the errors of a `silent` database."""
        if self._is_ours(error):
            raise error
        raise Unavailable("The database does not answer; try again later.") from error

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Have Unavailable raised where the database does not answer."""
        try:
            yield
        except self.silent as error:
            self.fail(error)
