"""A job's timeline as bars: where each step lies between the job's beginning and its end, or now."""

from collections.abc import Iterable
from typing import Final

import msgspec

from darkroom.domain.jobs import Job, SubJob
from darkroom.domain.timeline import StepRecord

#: Width of the whole, in the units that bars are given in.
WIDTH: Final = 1000
#: So wide is the shortest bar: what took no time was done all the same.
LEAST: Final = 4


class Bar(msgspec.Struct, frozen=True):
    """A step, with the left end and the width of its bar, and how long it has taken in milliseconds."""

    step: StepRecord
    left: int
    width: int
    took: int

    @property
    def tone(self) -> str:
        """How it is shown: as what goes on, went well, failed, or was an undo."""
        if self.step.status == "FAILED":
            return "bad"
        if self.step.status == "RUNNING":
            return "busy"
        return "calm" if self.step.phase == "undo" else "good"

    @property
    def per_cent(self) -> int | None:
        """How far a running step has come, if it says so."""
        if self.step.status != "RUNNING" or not self.step.progress or not self.step.progress[1]:
            return None
        done, total = self.step.progress
        return min(100, 100 * done // total)


def bars(job: Job, steps: Iterable[StepRecord], now: int) -> list[tuple[SubJob, list[Bar]]]:
    """Return each sub-job with the bars of its steps, all on one scale."""
    steps = list(steps)
    ends = [step.end_time or now for step in steps]
    begin, end = job.begin_time, max([job.end_time or now, *ends])
    scale = WIDTH / max(1, end - begin)

    def bar(step: StepRecord) -> Bar:
        took = max(0, (step.end_time or now) - step.begin_time)
        width = max(LEAST, round(took * scale))
        left = min(max(0, round((step.begin_time - begin) * scale)), WIDTH - width)
        return Bar(step, left, width, took)

    return [(sub_job, [bar(step) for step in steps if step.sub_job_id == sub_job.id]) for sub_job in job.sub_jobs]
