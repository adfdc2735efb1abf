"""An upload's sign of life: its record is touched every few seconds, so that one that died is known by its silence.

The time of the last touch is also what the upload holds its record by: whoever was silent for so long that it was given
up finds another time there, and changes nothing any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol

import structlog

from darkroom.domain.times import Clock
from darkroom.errors import DarkroomError
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

log = structlog.get_logger(__name__)

#: Seconds between two signs of life.
BEAT: Final = 5.0


class Change(Protocol):
    """Changes the record if it is being uploaded and was last touched at that time; says whether it was."""

    def __call__(self, tx: Transaction, at: int, *, touched: int, **changes: Any) -> bool: ...


class Upload:
    """An upload that has begun: it holds its record."""

    def __init__(self, store: Store, change: Change, clock: Clock, begun_at: int) -> None:
        self._store, self._change, self._clock = store, change, clock
        self._touched = begun_at
        self._over = asyncio.Event()

    async def end(self, check: Callable[[Transaction], None] | None = None, **changes: Any) -> bool:
        """Change the record for the last time; say whether the upload held it still.

        Where the check raises, nothing is changed, and the upload holds it still.
        """
        return await self._write(self._clock(), changes, check)

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Give signs of life. The last one has been given when this ends: it is waited for, never cut off."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._over.set()
            await beating

    async def _beat(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), BEAT)
                return
            at = self._clock()
            try:
                if await self._write(at, {}):
                    self._touched = at
            except DarkroomError as error:
                log.warning("an upload gave no sign of life", reason=error.message)

    async def _write(
        self, at: int, changes: dict[str, Any], check: Callable[[Transaction], None] | None = None
    ) -> bool:
        def write(tx: Transaction) -> bool:
            if check:
                check(tx)
            return self._change(tx, at, touched=self._touched, **changes)

        return await self._store.write(write)
