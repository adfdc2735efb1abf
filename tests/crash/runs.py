"""Runs: what the processes of a case do, from the place that is furnished to the last run until all has ended."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from darkroom.domain.times import now_ms
from darkroom.drivers.simulated import Faults
from darkroom.startup import CannotStart

from .blows import Blow, prepared
from .place import Place
from .points import Point
from .scenarios import Scenario
from .service import Api, lay, recorder, running, until_over

#: How a process ends whose database is gone while it starts.
CANNOT_START = 1


async def furnish(place: Place, servers: Iterable[str]) -> None:
    async with running(place) as (service, api):
        await api.add_image()
        await api.add_app("package", "package")
        await api.add_app("script", "script")
        for name in servers:
            await api.create(name)
            await until_over(service, place)


async def order(place: Place, scenario: Scenario) -> None:
    """Accept the order in a process that does not work, with the faults switched on."""
    async with running(place, role="api") as (_, api):
        await scenario.order(api)
    faults = Faults(place.data / "simulated" / "faults.json")
    for call, fault in scenario.faults.items():
        faults.set(call, fault)


async def serve(place: Place, scenario: Scenario, *, blow: Blow | None = None, trace: Path | None = None) -> None:
    """Run the service until all jobs have ended, or it dies."""
    place, strike = prepared(place, blow)
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    do = recorder(trace) if trace else strike

    def met(point: Point) -> None:
        do(point)
        if point.effect == scenario.hangs:
            loop.call_soon_threadsafe(hanging.set)

    lay(place, met)
    try:
        async with running(place, **scenario.settings) as (service, api):
            if scenario.asks:
                await scenario.order(api)
            canceller = asyncio.create_task(_cancel(place, api, hanging)) if scenario.hangs else None
            await until_over(service, place)
            if canceller:
                canceller.cancel()
            if blow:
                await asyncio.sleep(0.3)  # the last points of all come after the end that is seen here
            os._exit(0)
    except CannotStart as refusal:  # jobs begin before the last of the start is done
        print(refusal.message, flush=True)
        os._exit(CANNOT_START)


async def put_in_order(place: Place) -> None:
    """Start the service, and let it do all its chores, as it does every minute from then on."""
    former = f"SELECT count(*) FROM chores WHERE ran_at < {now_ms()}"
    async with running(place):
        while place.rows(former) != [(0,)]:
            await asyncio.sleep(0.05)
        os._exit(0)


async def _cancel(place: Place, api: Api, hanging: asyncio.Event) -> None:
    """Cancel the last job once it hangs, as a client does that does not know whether it has done so before."""
    await hanging.wait()
    ((job,),) = place.rows("SELECT max(id) FROM jobs WHERE status = 'RUNNING'")
    if job is not None:
        await api.cancel(str(job))
