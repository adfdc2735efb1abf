"""Streams of events, beside the contract: server-sent events that replay what came after `Last-Event-ID`.

A stream ends once it would be refused; who comes back is told why.
"""

import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.errors import InvalidParameter, Refused
from darkroom.http.jobs import JOBS
from darkroom.http.operations import Operations
from darkroom.http.requests import path_id, project_of
from darkroom.services.watching import Watching
from darkroom.wire.events import streamed

#: Seconds after which a stream on which nothing happens says that it is still there.
HEARTBEAT: Final = 15.0
STREAM: Final = "text/event-stream"
_SEQ = re.compile(r"\d{1,18}", re.ASCII)


def routes(operations: Operations, watching: Watching) -> list[BaseRoute]:
    async def stream_job_events(caller: Caller, request: Request) -> Response:
        """The events of a job as they happen, as server-sent events; ends with the job."""
        start = _last_event(request) or 0
        whose, again = (project_of(request), path_id(request, "job_id")), operations.again(request)
        batches = await watching.job_events(caller, *whose, after=start, again=again)
        return _stream(start, batches)

    async def stream_project_events(caller: Caller, request: Request) -> Response:
        """The events of a project as they happen, as server-sent events."""
        after, again = _last_event(request), operations.again(request)
        start, batches = await watching.project_events(caller, project_of(request), after=after, again=again)
        return _stream(start, batches)

    return [
        operations.read("GET", f"{JOBS}/events", stream_project_events, answer=bytes, media_type=STREAM),
        operations.read("GET", f"{JOBS}/{{job_id}}/events", stream_job_events, answer=bytes, media_type=STREAM),
    ]


def _last_event(request: Request) -> int | None:
    """Return the number in `Last-Event-ID`, which a client sends when it comes back."""
    text = request.headers.get("last-event-id")
    if text is None:
        return None
    if not _SEQ.fullmatch(text):
        raise InvalidParameter("Last-Event-ID", "must be the id of an event")
    return int(text)


def _stream(start: int, batches: AsyncIterator[list[Event]]) -> Response:
    # A proxy that collects answers would hold the events back.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_told(start, batches), media_type=STREAM, headers=headers)


async def _told(start: int, batches: AsyncIterator[list[Event]]) -> AsyncIterator[bytes]:
    # A number without data is no event, but the one to come back with if nothing more is heard.
    yield b": hello\nid: %d\n\n" % start
    spoke = time.monotonic()
    with suppress(Refused):
        async for events in batches:
            if events:
                yield b"".join(map(_spelled, events))
            elif time.monotonic() - spoke < HEARTBEAT:
                continue
            else:
                yield b": still here\n\n"
            spoke = time.monotonic()


def _spelled(event: Event) -> bytes:
    data = msgspec.json.encode(streamed(event))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), data)
