"""A job's timeline as bars: where each step lies between the job's beginning and its end, or now."""

from typing import Final

import msgspec

from darkroom.domain.timeline import StepRecord
from darkroom.services.timeline import JobTimeline

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


def bars(timeline: JobTimeline) -> list[list[Bar]]:
    """Return the bars of each sub-job's steps, all on one scale."""
    job, now = timeline.job, timeline.now
    ends = [step.end_time or now for each in timeline.sub_jobs for step in each.steps]
    begin, end = job.begin_time, max([job.end_time or now, *ends])
    scale = WIDTH / max(1, end - begin)

    def bar(step: StepRecord) -> Bar:
        took = step.duration_ms(now)
        width = min(WIDTH, max(LEAST, round(took * scale)))
        left = min(max(0, round((step.begin_time - begin) * scale)), WIDTH - width)
        return Bar(step, left, width, took)

    return [[bar(step) for step in each.steps] for each in timeline.sub_jobs]
