"""Draws a job's timeline: a bar for each step, where it began and how long it took; what runs and what is to come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from darkroom.cli import output, progress
from darkroom.cli.why import without_console

#: Places that the whole job takes in the drawing.
WIDTH: Final = 32
_BAR, _AHEAD = "━", "┄"

Step = Mapping[str, Any]


def draw(job: dict[str, Any], timeline: dict[str, Any]) -> None:
    """Print the timeline of a job, sub-job by sub-job."""
    output.say(Text.assemble(f"Job {job['id']}  {job['job_type']}  ", output.status(job["status"]), _told(timeline)))
    scale = _Scale(timeline["steps"])
    for sub_job in job["sub_jobs"]:
        steps = [step for step in timeline["steps"] if step["sub_job_id"] == sub_job["id"]]
        ahead = [step for step in timeline["ahead"] if step["sub_job_id"] == sub_job["id"]]
        name = sub_job["job_resource_info"]["resource_name"]
        output.say(
            Text.assemble("\n", (name, "bold"), f"  sub-job {sub_job['id']}  ", output.status(sub_job["status"]))
        )
        output.table(
            ("STEP", "STATUS", "TOOK", "", "NOTE"),
            [*(_row(step, scale) for step in steps), *(_row_ahead(step) for step in ahead)],
            fold="NOTE",
            nothing="No step of it has begun.",
        )


def remark(step: Step) -> str:
    """Say what there is to say of a step beside its times: why it failed, how far it is, how often it was begun."""
    parts = []
    if step.get("error"):
        parts.append(without_console(str(step["error"])).partition("\n")[0])
    if step["status"] == "RUNNING":
        parts += [progress.amount(step), progress.time_left(step)]
    if kept := (step.get("detail") or {}).get("kept_minutes"):
        parts.append(f"left as it is for {kept} min")
    if step.get("runs", 1) > 1:
        parts.append(f"begun {step['runs']} times")
    return ", ".join(part for part in parts if part)


def _told(timeline: Mapping[str, Any]) -> str:
    place = timeline.get("queue_place")
    left = progress.time_left(timeline)
    waiting = f"waits for room, number {place} in the queue" if place else ""
    return "".join(f"  {part}" for part in (waiting, left) if part)


def _row(step: Step, scale: "_Scale") -> tuple[str | Text, ...]:
    took = output.duration(step["duration_ms"] / 1000)
    return progress.label(dict(step)), output.status(step["status"]), took, scale.bar(step), remark(step)


def _row_ahead(step: Step) -> tuple[str | Text, ...]:
    usual = step.get("usual_seconds")
    note = f"usually {output.duration(usual)}" if usual is not None else ""
    return Text(progress.label(dict(step)), "dim"), Text("to come", "dim"), "", Text(_AHEAD * WIDTH, "dim"), note


class _Scale:
    """Where on the drawing a time is."""

    def __init__(self, steps: Sequence[Step]) -> None:
        begins = [begin for step in steps if (begin := output.moment(step["begin_time"]))]
        self._begin = min(begins, default=datetime.now().astimezone())
        self._seconds = max((self._end(step) for step in steps), default=0.0) or 1.0

    def bar(self, step: Step) -> Text:
        """Return the bar of a step: at least one place, within the drawing."""
        start = min(int(self._start(step) / self._seconds * WIDTH), WIDTH - 1)
        end = max(round(self._end(step) / self._seconds * WIDTH), start + 1)
        return Text.assemble(" " * start, (_BAR * (end - start), output.status(step["status"]).style))

    def _start(self, step: Step) -> float:
        begin = output.moment(step["begin_time"]) or self._begin
        return (begin - self._begin).total_seconds()

    def _end(self, step: Step) -> float:
        return self._start(step) + float(step["duration_ms"]) / 1000
