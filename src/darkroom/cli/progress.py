"""Follows a job to its end: drawn live on a terminal, one line for each change anywhere else. On standard error."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from darkroom.cli import output, who
from darkroom.cli.client import Api
from darkroom.cli.failures import NoService, NotDone, Refusal

FINAL = ("SUCCESS", "FAILED")
#: Seconds: between two looks at a job, and how long a service that was there may be gone (it may be restarting).
INTERVAL, PATIENCE = 0.5, 120.0

Step = dict[str, Any]


def follow(api: Api, job_id: str, *, timeout: float | None = None) -> dict[str, Any]:
    """Return the job once it has ended. Raises NotDone after `timeout` seconds; the job itself goes on then."""
    job: dict[str, Any] = {}
    with ExitStack() as stack:
        console = output.err()
        view = stack.enter_context(_Live(console)) if console.is_terminal else _Lines(console)
        shown: dict[tuple[str, ...], str] = {}
        try:
            for job, steps in _looks(api, job_id, timeout, view):
                _show_changes(view, job, steps, shown)
        except KeyboardInterrupt:
            view.tell(Text(f"Stopped waiting; the job goes on: darkroom jobs wait {job_id}"))
            raise
    return job


def path_of(job_id: str) -> str:
    """Return where the API has a job, whatever was given as its id."""
    return f"/v1/{{project}}/image-server-jobs/{who.in_path(job_id)}"


def timeline(api: Api, job_id: str) -> list[Step]:
    """Return the job's steps; none where the service keeps no timeline."""
    try:
        steps: list[Step] = api.get(f"{path_of(job_id)}/timeline")["steps"]
    except Refusal as refusal:
        if refusal.status in (404, 405):
            return []
        raise
    return steps


def label(step: Step) -> str:
    """Spell a step's name for people."""
    words = str(step["name"]).replace("_", " ")
    return f"undo: {words}" if step.get("phase") == "undo" else words


def reasons(job: dict[str, Any]) -> list[Text]:
    """Return why the job failed, for each sub-job that did."""
    found = []
    for sub in job["sub_jobs"]:
        info = sub["job_execute_info"]
        if info["error_message"] or info["error_code"]:
            subject = f" of {sub['job_resource_info']['resource_name']}" if len(job["sub_jobs"]) > 1 else ""
            head = (f"Failure{subject} ({info['error_code']}):\n", "bold red")
            found.append(Text.assemble(head, info["error_message"]))
    return found


def amount(step: Mapping[str, Any]) -> str:
    """Spell how far a step is: `45 %`, `45 % of 1.2 GiB`; empty where it is not known."""
    done, total = _counts(step)
    if not total:
        return output.size(done) if done >= 2**20 else ""
    percent = f"{min(done * 100 // total, 100)} %"
    return f"{percent} of {output.size(total)}" if total >= 2**20 else percent


def time_left(told: Mapping[str, Any]) -> str:
    """Spell how long a step or a job will still take; empty where that is not known."""
    left = told.get("seconds_left")
    return f"about {output.duration(left)} left" if left is not None else ""


def _counts(step: Mapping[str, Any]) -> tuple[int, int]:
    counts = step.get("progress") or {}
    return int(counts.get("done") or 0), int(counts.get("total") or 0)


def _looks(api: Api, job_id: str, timeout: float | None, view: "_View") -> Iterator[tuple[dict[str, Any], list[Step]]]:
    started = answered = time.monotonic()
    silent = first = True
    while True:
        try:
            job = api.get(path_of(job_id))
            steps = timeline(api, job_id)
        except (NoService, Refusal) as failure:
            for_good = isinstance(failure, Refusal) and failure.status < 500 and failure.status != 429
            if for_good or first or time.monotonic() - answered > PATIENCE:
                raise
            if silent:
                view.tell(Text("The service does not answer; waiting for it to come back.", "yellow"))
            silent = False
        else:
            answered, silent, first = time.monotonic(), True, False
            yield job, steps
            if job["status"] in FINAL:
                return
        left = INTERVAL if timeout is None else started + timeout - time.monotonic()
        if left <= 0:
            raise NotDone(
                f"Job {job_id} has not ended within {timeout:g} s; it goes on.",
                hint=f"Wait again with `darkroom jobs wait {job_id}`.",
            )
        time.sleep(min(INTERVAL, left))


def _show_changes(view: "_View", job: dict[str, Any], steps: list[Step], shown: dict[tuple[str, ...], str]) -> None:
    names = {sub["id"]: sub["job_resource_info"]["resource_name"] for sub in job["sub_jobs"]}
    several = len(names) > 1
    for step in steps:
        key = tuple(str(step.get(part, "")) for part in ("sub_job_id", "phase", "name", "begin_time"))
        text = f"{names.get(step['sub_job_id'], '?')}: {label(step)}" if several else label(step)
        before, now = shown.get(key), str(step["status"])
        shown[key] = now
        if now == "RUNNING":
            view.running(key, text, step)
        elif before != now:
            view.ended(key, text, step)


class _View(Protocol):
    def running(self, key: tuple[str, ...], text: str, step: Step) -> None:
        """Show that a step runs, and how far it is; called at every look."""

    def ended(self, key: tuple[str, ...], text: str, step: Step) -> None:
        """Show, once, that a step has ended."""

    def tell(self, text: Text) -> None:
        """Show a remark."""


def _ended_line(text: str, step: Step) -> Text:
    good = step["status"] == "SUCCESS"
    line = Text.assemble(("✓ ", "green") if good else ("✗ ", "bold red"), text)
    line.append(f"  {output.took(step.get('begin_time'), step.get('end_time'))}", "dim")
    if step.get("phase") == "undo" and step.get("error"):  # why the job failed is told at its end
        line.append(f"\n{step['error']}")
    return line


class _Lines:
    """One line for each step that begins or ends, and for each quarter of one whose progress is known."""

    def __init__(self, console: Console) -> None:
        self._console, self._quarters = console, dict[tuple[str, ...], int]()

    def running(self, key: tuple[str, ...], text: str, step: Step) -> None:
        done, total = _counts(step)
        quarter = done * 4 // total if total else 0
        if quarter > self._quarters.get(key, -1):
            self._quarters[key] = quarter
            self.tell(Text(f"… {text}  {amount(step)}".rstrip()))

    def ended(self, key: tuple[str, ...], text: str, step: Step) -> None:
        self.tell(_ended_line(text, step))

    def tell(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _how_far(step: Step) -> str:
    return "  ".join(part for part in (amount(step), time_left(step)) if part)


class _Live:
    """Steps that have ended stay as lines; those that run turn below them, with a bar where the end is known."""

    def __init__(self, console: Console) -> None:
        bar = BarColumn(bar_width=20)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), bar, TextColumn("{task.fields[amount]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._tasks: dict[tuple[str, ...], TaskID] = {}

    def __enter__(self) -> "_Live":
        self._progress.start()
        self._idle = self._progress.add_task("waiting for the next step", total=None, amount="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def running(self, key: tuple[str, ...], text: str, step: Step) -> None:
        done, total = _counts(step)
        self._progress.update(self._idle, visible=False)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(Text(output.visible(text)).markup, total=None, amount="")
        self._progress.update(self._tasks[key], completed=done, total=total or None, amount=_how_far(step))

    def ended(self, key: tuple[str, ...], text: str, step: Step) -> None:
        if key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))
        self._progress.update(self._idle, visible=not self._tasks)
        self._progress.refresh()
        self.tell(_ended_line(text, step))

    def tell(self, text: Text) -> None:
        self._progress.console.print(text, soft_wrap=True)
