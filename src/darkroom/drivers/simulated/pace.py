"""How long simulated work takes, and how it passes: in steps that report progress and may be struck by a fault."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec

from darkroom.drivers.base import Progress, no_progress
from darkroom.drivers.simulated.faults import Fault

#: Waits for some seconds; tests put their own clock here.
Sleep = Callable[[float], Awaitable[object]]

#: Steps in which a piece of work passes.
STEPS = 10

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Durations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds that each kind of simulated work takes."""

    boot: Seconds = 2.0
    login: Seconds = 0.5
    snapshot: Seconds = 0.2
    generalise: Seconds = 1.0
    flatten: Seconds = 2.0
    delete: Seconds = 0.5
    run: Seconds = 0.2

    @classmethod
    def parse(cls, text: str) -> "Durations":
        """Read `boot=5, flatten=30`; what is not named keeps its default. Raises ValueError."""
        pairs = dict(_pair(item) for item in text.split(",") if item.strip())
        return msgspec.convert(pairs, type=cls, strict=False)


def _pair(item: str) -> tuple[str, str]:
    name, equals, seconds = item.partition("=")
    if not equals:
        raise ValueError(f"{item.strip()!r} is not of the form name=seconds")
    return name.strip(), seconds.strip()


#: No work takes any time.
INSTANT = Durations(boot=0, login=0, snapshot=0, generalise=0, flatten=0, delete=0, run=0)


async def pass_time(
    seconds: float,
    fault: Fault | None,
    *,
    sleep: Sleep = asyncio.sleep,
    progress: Progress = no_progress,
    total: int = STEPS,
) -> None:
    """Let work of so many seconds pass, up to where the fault strikes; report `total` as done at its end."""
    for step in range(STEPS):
        if fault and step >= fault.after * STEPS:
            break
        await sleep(seconds / STEPS)
        progress(total * (step + 1) // STEPS, total)
    if fault:
        await fault.strike()
