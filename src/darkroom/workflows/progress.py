"""Progress of a step: written as events, not more often than anyone would look."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from darkroom.domain.timeline import percent, seconds_left
from darkroom.domain.times import Clock
from darkroom.errors import DarkroomError

log = structlog.get_logger(__name__)

#: Milliseconds between two events of one step's progress.
INTERVAL_MS: Final = 1000

#: Writes an event of progress with its particulars, at a time.
Write = Callable[[dict[str, Any], int], Awaitable[None]]


class ProgressWriter:
    """A driver's `Progress`: call it as often as you like. One event is written at a time, the others left out."""

    def __init__(self, write: Write, clock: Clock, usual_ms: int | None) -> None:
        """`usual_ms` is how long the step has taken before, if that is known."""
        self._write, self._clock, self._usual_ms = write, clock, usual_ms
        self._began_at = clock()
        self._written_at = 0
        self._writing: asyncio.Task[None] | None = None
        self._is_over = False

    def __call__(self, done: int, total: int) -> None:
        at = self._clock()
        if self._is_over or self._is_writing or at - self._written_at < INTERVAL_MS:
            return
        self._written_at = at
        self._writing = asyncio.get_running_loop().create_task(self._tell(at, done, total))

    async def end(self) -> None:
        """Return once nothing more is written: what comes after is later than any progress."""
        self._is_over = True
        if self._writing is not None:
            await asyncio.wait([self._writing])

    @property
    def _is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    async def _tell(self, at: int, done: int, total: int) -> None:
        data: dict[str, Any] = {"done": done, "total": total}
        share = percent(done, total)
        if share is not None:
            data["percent"] = share
        left = seconds_left(at - self._began_at, done, total, usual_ms=self._usual_ms)
        if left is not None:
            data["seconds_left"] = left
        try:
            await self._write(data, at)
        except DarkroomError as error:
            log.warning("progress was not recorded", reason=error.message)
