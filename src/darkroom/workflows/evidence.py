"""Gathers evidence of a failure: what the machine shows before it is undone. Whatever goes wrong here harms no job."""

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any, Final, TypeVar

import structlog

from darkroom.domain.evidence import (
    CAUSES,
    CONSOLE_LINES,
    LINE_LIMIT,
    SCREEN_LIMIT,
    TEXT_LIMIT,
    Evidence,
    Sight,
    bounded,
)
from darkroom.domain.ids import ServerId
from darkroom.domain.jobs import SubJob
from darkroom.drivers.base import Compute, Machine
from darkroom.errors import DarkroomError

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Seconds that all of it may take.
LIMIT: Final = 4.0


async def look(compute: Compute, server_id: ServerId, *, limit: float = LIMIT) -> Sight:
    """Return what there is to see of a machine, within `limit` seconds. Raises nothing."""
    missing: dict[str, str] = {}

    async def tried(name: str, look: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(limit):
                return await look
        except TimeoutError:
            missing[name] = f"It was not to be had within {limit:g} s."
        except Exception as error:
            missing[name] = _told(error)
            if not isinstance(error, DarkroomError):
                log.warning("evidence could not be gathered", what=name, server_id=server_id, exc_info=error)
        return None

    machine, guest, console, screen = await asyncio.gather(
        tried("machine", compute.find(server_id)),
        tried("guest", compute.guest_facts(server_id)),
        tried("console", compute.serial_tail(server_id, CONSOLE_LINES)),
        tried("screen", compute.screenshot(server_id)),
    )
    if screen is not None and len(screen) > SCREEN_LIMIT:
        missing["screen"] = f"The picture has {len(screen)} bytes; at most {SCREEN_LIMIT} are kept."
        screen = None
    return Sight(
        machine=_machine(machine) if machine else {},
        guest={bounded(name, LINE_LIMIT): bounded(fact, LINE_LIMIT) for name, fact in (guest or {}).items()},
        console=[bounded(line, LINE_LIMIT) for line in (console or [])[-CONSOLE_LINES:]],
        screen=screen or None,
        missing=missing,
    )


def of_failure(sub_job: SubJob, at: int, step: str, code: str, error: Exception, sight: Sight) -> Evidence:
    """Return what is kept of the failure of a step."""
    return Evidence(
        job_id=sub_job.job_id,
        sub_job_id=sub_job.id,
        at=at,
        step=step,
        code=code,
        message=_told(error, TEXT_LIMIT),
        causes=causes(error),
        machine=sight.machine,
        guest=sight.guest,
        console=sight.console,
        missing=sight.missing,
        screen_size=len(sight.screen or b""),
    )


def causes(error: BaseException) -> list[str]:
    """Return the errors that led to this one, the nearest first."""
    return [_told(cause) for cause, _ in zip(_causes(error), range(CAUSES), strict=False)]


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause: BaseException | None = error
    while cause is not None:
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause


def _told(error: BaseException, limit: int = TEXT_LIMIT // CAUSES) -> str:
    words = error.message if isinstance(error, DarkroomError) else f"{type(error).__name__}: {error}"
    return bounded(words, limit)


def _machine(machine: Machine) -> dict[str, str]:
    told: dict[str, Any] = {
        "state": machine.state.value,
        "why": machine.why,
        "instance_id": machine.instance_id,
        "accelerator": machine.accelerator,
    }
    return {name: bounded(value, LINE_LIMIT) for name, value in told.items() if value}
