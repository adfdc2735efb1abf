"""Live parts of pages: server-sent events that carry HTML, sent anew when what it shows has changed.

The page's element takes each message in place of what it has; htmx keeps what is the same, so focus and selection stay.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from starlette.responses import Response, StreamingResponse

from darkroom.console.pages import Visit
from darkroom.console.rooms import Rooms
from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.errors import Refused, Unauthenticated

#: Looks, 0.2 s apart, after which it is shown anew even if nothing was told: times pass, and a proxy sees life.
LOOKS: Final = 5

#: Returns the HTML as it is now, and whether it can change again.
Show = Callable[[], Awaitable[tuple[str, bool]]]


async def stream(visit: Visit, rooms: Rooms, show: Show) -> Response:
    """Return the answer that carries what `show` shows, until it cannot change or may not be shown any more."""

    async def again() -> Caller:
        visit.renew(await rooms.sessions.read(visit.session.text))
        return visit.caller

    _, batches = await rooms.watching.project_events(visit.caller, visit.project_id, after=None, again=again)
    headers = {"x-accel-buffering": "no"}  # a proxy that collects answers would hold the parts back
    return StreamingResponse(_told(batches, show), media_type="text/event-stream", headers=headers)


async def _told(batches: AsyncIterator[list[Event]], show: Show) -> AsyncIterator[str]:
    yield ": hello\n\n"
    try:
        async for part in _parts(batches, show):
            yield part
    except Unauthenticated:
        yield "event: signed-out\ndata: .\n\n"
        return
    except Refused:  # it is there no more, or not for this user: the page, loaded anew, says so
        pass
    yield "event: end\ndata: .\n\n"


async def _parts(batches: AsyncIterator[list[Event]], show: Show) -> AsyncIterator[str]:
    shown, looks = "", LOOKS
    async for events in batches:
        looks += 1
        if not events and looks < LOOKS:
            continue
        looks = 0
        html, goes_on = await show()
        yield ": still here\n\n" if html == shown else _message(html)
        shown = html
        if not goes_on:
            return


def _message(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()) + "\n"
