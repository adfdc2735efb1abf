"""A job's timeline: its events folded into the steps they tell of, and the place of one that waits for room."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from darkroom.domain.events import Event
from darkroom.domain.ids import SubJobId

Phase = Literal["do", "undo"]
StepStatus = Literal["RUNNING", "SUCCESS", "FAILED"]

#: The share of a step from which on its pace tells when it will end.
_TELLING: Final = 0.05


class StepRecord(msgspec.Struct, kw_only=True):
    """One step as far as it has come. Times in milliseconds.

    `progress` is bytes done and in all, 0 in all where that is not known; `usual_ms` how long the step has taken in
    jobs before, as it was known when it began; `runs` how often it was begun, again after a crash or to clean up, and
    `run_time` when the last time.
    """

    sub_job_id: SubJobId
    name: str
    phase: Phase
    begin_time: int
    end_time: int | None = None
    status: StepStatus = "RUNNING"
    progress: tuple[int, int] | None = None
    usual_ms: int | None = None
    runs: int = 1
    run_time: int
    detail: Mapping[str, Any] = {}
    error: str = ""

    @property
    def percent(self) -> int | None:
        """How far it is, 0 to 100; None where that is not known."""
        return percent(*self.progress) if self.progress else None

    def duration_ms(self, now: int) -> int:
        """Return how long it took, or has taken until now."""
        return max((now if self.end_time is None else self.end_time) - self.begin_time, 0)

    def seconds_left(self, now: int) -> float | None:
        """Return how long it will still take by its pace, or by what is usual; None if it ended or that is unknown."""
        if self.end_time is not None:
            return None
        return seconds_left(max(now - self.run_time, 0), *(self.progress or (0, 0)), usual_ms=self.usual_ms)


def percent(done: int, total: int) -> int | None:
    """Return the share that is done, 0 to 100; None where the total is not known."""
    return min(max(done, 0) * 100 // total, 100) if total > 0 else None


def seconds_left(elapsed_ms: int, done: int, total: int, *, usual_ms: int | None) -> float | None:
    """Return how long a step will still take; None where neither its pace nor its history tells."""
    if total > 0 and done >= total * _TELLING:
        left_ms: float = elapsed_ms * max(total - done, 0) / done
    elif usual_ms is not None and usual_ms > elapsed_ms:
        left_ms = usual_ms - elapsed_ms
    else:
        return None
    return round(left_ms / 1000, 1)


def timeline(events: Iterable[Event]) -> list[StepRecord]:
    """Return the steps that the events of a job tell of, in the order they began."""
    steps: dict[tuple[str, str, str], StepRecord] = {}
    for event in events:
        if not event.kind.startswith("step.") or event.sub_job_id is None:
            continue
        key = (event.sub_job_id, event.data["phase"], event.data["name"])
        if event.kind == "step.started":
            former = steps.get(key)
            steps[key] = _begun(event, runs=former.runs + 1 if former else 1)
        elif step := steps.get(key):
            _go_on(step, event)
    return list(steps.values())


def place_in_queue(events: Iterable[Event]) -> int | None:
    """Return the last known place, from 1, of a job that waits for room; None for one that does not wait."""
    place = None
    for event in events:
        if event.kind == "job.waiting":
            place = event.data["place"]
        elif event.kind in ("job.admitted", "job.ended"):
            place = None
    return place


def _begun(event: Event, runs: int) -> StepRecord:
    assert event.sub_job_id is not None
    left = event.data.get("seconds_left")
    return StepRecord(
        sub_job_id=event.sub_job_id,
        name=event.data["name"],
        phase=event.data["phase"],
        begin_time=event.at,
        run_time=event.at,
        usual_ms=None if left is None else round(left * 1000),
        runs=runs,
    )


def _go_on(step: StepRecord, event: Event) -> None:
    if event.kind == "step.resumed":
        step.runs, step.run_time, step.progress = step.runs + 1, event.at, None
    elif event.kind == "step.progress":
        step.progress = (event.data["done"], event.data["total"])
    elif event.kind == "step.ended":
        step.end_time, step.status = event.at, event.data["status"]
        step.detail, step.error = event.data.get("detail", {}), event.data.get("error", "")
