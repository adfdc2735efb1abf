"""What watching jobs looks like: a bar for each job on a terminal, a plain line for each event anywhere else."""

from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from darkroom.cli import output, progress
from darkroom.wire.events import StreamedEvent


class Watched:
    """A job that is watched: as the API last told it, and the number of the last event seen of it."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.last = job, 0
        self._names = {sub["id"]: sub["job_resource_info"]["resource_name"] for sub in job["sub_jobs"]}

    @property
    def title(self) -> str:
        """What the job does and to what: `create server img-a`."""
        names = ", ".join(self._names.values())
        return f"{self.job['job_type'].replace('_', ' ').lower()} {names}"

    def subject(self, event: StreamedEvent) -> str:
        """Return which of several resources of the job an event is about, as the beginning of a line."""
        name = self._names.get(str(event.sub_job_id), "")
        return f"{name}: " if name and len(self._names) > 1 else ""


class View(Protocol):
    def begins(self, watched: Watched) -> None:
        """Show a job that is watched from now on."""

    def happened(self, watched: Watched, kind: str, event: StreamedEvent) -> None:
        """Show an event of it."""

    def ends(self, watched: Watched) -> None:
        """Show how it ended."""

    def tell(self, text: Text) -> None:
        """Show a remark."""


class Lines:
    """One line for each event; remarks go to standard error."""

    def begins(self, watched: Watched) -> None:
        """Its first event says so."""

    def happened(self, watched: Watched, kind: str, event: StreamedEvent) -> None:
        what = f"{watched.subject(event)}{_spelled(kind, event.data)}"
        words = output.visible(" ".join(what.split()))  # a reason may have many lines
        output.write(f"{output.time(event.time)} {watched.job['id']} {kind} {words}".rstrip() + "\n")

    def ends(self, watched: Watched) -> None:
        """Its last event said so."""

    def tell(self, text: Text) -> None:
        output.note(text)


class Bars:
    """A line with a bar for each job that goes on; how the others ended stays above them."""

    def __init__(self, console: Console) -> None:
        words, far = TextColumn("{task.description}"), TextColumn("{task.fields[far]}")
        self._progress = Progress(SpinnerColumn(), words, BarColumn(20), far, _Age(), console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begins(self, watched: Watched) -> None:
        self._tasks[watched.job["id"]] = self._progress.add_task(
            Text(output.visible(watched.title)).markup, total=100, far="", begun=watched.job["begin_time"]
        )

    def happened(self, watched: Watched, kind: str, event: StreamedEvent) -> None:
        task, data = self._tasks[watched.job["id"]], event.data
        if kind in ("step.started", "step.resumed", "step.progress"):
            words = f"{watched.title} · {watched.subject(event)}{progress.label(data)}"
            self._progress.update(
                task, description=Text(output.visible(words)).markup, completed=_percent(data), far=_far(data)
            )
        elif "place" in data:
            self._progress.update(task, far=_far(data))

    def ends(self, watched: Watched) -> None:
        self._progress.remove_task(self._tasks.pop(watched.job["id"]))
        self._progress.refresh()
        job = watched.job
        took = output.took(job["begin_time"], job.get("end_time"))
        self.tell(Text.assemble(f"Job {job['id']}, {watched.title}: ", output.status(job["status"]), f" after {took}"))
        for reason in progress.reasons(job):
            self.tell(reason)

    def tell(self, text: Text) -> None:
        self._progress.console.print(text, soft_wrap=True)


class _Age(ProgressColumn):
    """How long ago the job began."""

    def render(self, task: Task) -> Text:
        return Text(output.took(task.fields["begun"], None), "cyan")


def _spelled(kind: str, data: dict[str, Any]) -> str:
    """Spell what an event says beside its kind."""
    if kind.startswith("step."):
        parts = [progress.label(data), _far(data), str(data.get("status", "")), str(data.get("error") or "")]
    else:
        parts = [_far(data), *(_fact(key, value) for key, value in data.items() if value and key not in _FAR)]
    return ", ".join(filter(None, parts))


def _fact(name: str, value: Any) -> str:
    return str(value) if name in ("status", "type") else f"{name.replace('_', ' ')} {value}"


_FAR = frozenset({"done", "total", "percent", "seconds_left", "place", "of"})


def _percent(data: dict[str, Any]) -> float:
    """Return how far a step is, of 100; 0 where that is not told."""
    return float(min(data.get("done", 0) * 100 / data["total"], 100)) if data.get("total") else 0


def _far(data: dict[str, Any]) -> str:
    """Spell how far a step is, how long it still takes, and the place of a job that waits, as far as they are told."""
    left, place = data.get("seconds_left"), data.get("place")
    parts = [
        progress.amount({"progress": data}),
        "" if left is None else f"{output.duration(left)} left",
        f"place {place} of {data['of']} in the queue" if place else "",
    ]
    return ", ".join(filter(None, parts))
