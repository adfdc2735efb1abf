"""Housekeeping: chores that are done again and again while the service runs, each at its own pace.

Where several processes share a database, one of them does all chores, for as long as it lives (see `Turn`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from darkroom.domain.chores import ChoreRecord, Problem
from darkroom.domain.times import Clock
from darkroom.errors import DarkroomError
from darkroom.store.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Chore:
    """A chore, which returns what it could not mend; the seconds between two runs, 0 for one that is not done."""

    name: str
    interval: float
    do: Callable[[], Awaitable[list[Problem]]]


class Housekeeping:
    """Does chores. One that fails is tried again the next time, and keeps none of the others from being done."""

    def __init__(self, store: Store, chores: Sequence[Chore], clock: Clock) -> None:
        self._store, self._chores, self._clock = store, chores, clock
        self._turn = store.turn("housekeeping")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do every chore at once and then again and again, until the end of the context."""
        tasks = [asyncio.create_task(self._repeat(chore)) for chore in self._chores if chore.interval]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._turn.close)

    async def run(self, chore: Chore) -> None:
        """Do a chore once, if it is this process's turn, and keep how it went."""
        if not await asyncio.to_thread(self._turn.is_mine):
            return
        problems: list[Problem] = []
        failure = ""
        try:
            problems = await chore.do()
        except DarkroomError as error:
            failure = error.message
            log.warning("a chore failed", chore=chore.name, reason=failure)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            log.exception("a chore failed unexpectedly", chore=chore.name)
        record = ChoreRecord(name=chore.name, ran_at=self._clock(), failure=failure, problems=problems)
        await self._store.write(lambda tx: tx.chores.ran(record))

    async def _repeat(self, chore: Chore) -> None:
        while True:
            try:
                await self.run(chore)
            except Exception as error:  # whatever it is: the loop goes on
                log.warning("a chore was not done, or not recorded", chore=chore.name, reason=str(error))
            await asyncio.sleep(chore.interval)
