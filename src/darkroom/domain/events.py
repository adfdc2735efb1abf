"""Events: what has happened, one for every change."""

from typing import Any

import msgspec

from darkroom.domain.ids import JobId, SubJobId


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change: what kind, when (milliseconds), by which job, of which sub-job or resource, and its particulars."""

    seq: int
    at: int
    kind: str
    job_id: JobId | None = None
    sub_job_id: SubJobId | None
    resource_id: str
    data: dict[str, Any]
