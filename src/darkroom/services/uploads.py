"""An upload's sign of life: its image is touched every few seconds, so that one that died is known by its silence.

The time of the last touch is also what the upload holds its image by: whoever was silent for so long that it was given
up finds another time there, and changes nothing any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog

from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.times import Clock
from darkroom.errors import Conflict, DarkroomError
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

log = structlog.get_logger(__name__)

#: Seconds between two signs of life.
BEAT: Final = 5.0


def given_up(image: Image) -> Conflict:
    """Return what to tell whoever sent an upload that was silent for too long."""
    return Conflict(f"The upload of the image {image.id} was given up meanwhile; send it again.")


class Upload:
    """An upload that has begun: it holds its image, which is SAVING."""

    def __init__(self, store: Store, image: Image, clock: Clock, begun_at: int) -> None:
        self._store, self._image, self._clock = store, image, clock
        self._touched = begun_at
        self._over = asyncio.Event()

    async def end(self, check: Callable[[Transaction], None] | None = None, **changes: Any) -> bool:
        """Change the image for the last time; say whether the upload held it still.

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
                log.warning("an upload gave no sign of life", image_id=self._image.id, reason=error.message)

    async def _write(
        self, at: int, changes: dict[str, Any], check: Callable[[Transaction], None] | None = None
    ) -> bool:
        def write(tx: Transaction) -> bool:
            if check:
                check(tx)
            return tx.images.change(self._image, at, of=ImageStatus.SAVING, touched=self._touched, **changes)

        return await self._store.write(write)
