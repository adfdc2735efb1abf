"""Patience: work that a database which does not answer keeps from being done is done again until it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from darkroom.errors import Unavailable

T = TypeVar("T")

#: Seconds until the second try, and at most between two; each pause is half as long again as the one before.
_FIRST: Final = 0.5
_LONGEST: Final = 30.0

log = structlog.get_logger(__name__)


async def patiently(work: Callable[[], Awaitable[T]], job_id: str) -> T:
    """Return what the work returns, however often it must be tried.

    An exception that came out of a workflow would be its end for the engine, and its job would stay RUNNING for ever.
    """
    pause = _FIRST
    while True:
        try:
            return await work()
        except Unavailable as error:
            log.warning("a job waits for its database", job_id=job_id, reason=error.message)
        except Exception:
            log.exception("a job cannot go on, and tries again", job_id=job_id)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
