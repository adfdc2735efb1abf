"""A job's timeline: its events folded into the steps they tell of."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from darkroom.domain.events import Event
from darkroom.domain.ids import SubJobId


class StepRecord(msgspec.Struct, kw_only=True):
    """One step as far as it has come. Times in milliseconds; `progress` in the step's own unit, total 0 if unknown."""

    sub_job_id: SubJobId
    name: str
    phase: str
    begin_time: int
    end_time: int | None = None
    status: str = "RUNNING"
    progress: tuple[int, int] | None = None
    detail: Mapping[str, Any] = {}
    error: str = ""


def timeline(events: Iterable[Event]) -> list[StepRecord]:
    """Return the steps that the events of a job tell of, in the order they began."""
    steps: dict[tuple[str, str, str], StepRecord] = {}
    for event in events:
        if not event.kind.startswith("step.") or event.sub_job_id is None:
            continue
        name, phase = event.data["name"], event.data["phase"]
        key = (event.sub_job_id, phase, name)
        if event.kind == "step.started":
            steps[key] = StepRecord(sub_job_id=event.sub_job_id, name=name, phase=phase, begin_time=event.at)
        elif event.kind == "step.progress" and key in steps:
            steps[key].progress = (event.data["done"], event.data["total"])
        elif event.kind == "step.ended" and key in steps:
            step = steps[key]
            step.end_time, step.status = event.at, event.data["status"]
            step.detail, step.error = event.data.get("detail", {}), event.data.get("error", "")
    return list(steps.values())
