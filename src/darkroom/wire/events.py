"""Events on the wire, beside the contract."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from darkroom.domain.events import Event
from darkroom.wire.times import Timestamp, spell


class StreamedEvent(msgspec.Struct, kw_only=True):
    """What the data of a server-sent event holds; its id and kind are the stream's own fields."""

    time: Timestamp
    job_id: str | UnsetType = UNSET
    sub_job_id: str | UnsetType = UNSET
    resource_id: str | UnsetType = UNSET
    data: dict[str, Any]


def streamed(event: Event) -> StreamedEvent:
    return StreamedEvent(
        time=spell(event.at),
        job_id=event.job_id or UNSET,
        sub_job_id=event.sub_job_id or UNSET,
        resource_id=event.resource_id or UNSET,
        data=event.data,
    )
