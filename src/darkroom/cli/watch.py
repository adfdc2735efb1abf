"""Watches several jobs at once by their streams of events, until all have ended."""

from contextlib import ExitStack
from typing import Any

import typer
from rich.text import Text

from darkroom.cli import output, progress
from darkroom.cli.client import Api
from darkroom.cli.failures import ExitCode, Failure
from darkroom.cli.progress import FINAL
from darkroom.cli.session import Session
from darkroom.cli.streams import Broken, Ended, News, Opened, Streams, Told
from darkroom.cli.watch_views import Bars, Lines, View, Watched

JOBS = "/v1/{project}/image-server-jobs"
#: The stream of all jobs of the project.
ALL = f"{JOBS}/events"


def watch(session: Session, job_ids: list[str]) -> None:
    """Show how jobs go on until all have ended; without ids, all that run and those that begin meanwhile.

    Exits with 1 if one of them failed.
    """
    console = output.out()
    streams = Streams(session.api)
    with ExitStack() as stack:
        view: View = stack.enter_context(Bars(console)) if console.is_terminal else Lines()
        watching = _Watching(streams, view)
        try:
            if job_ids:
                watching.begin([_job(session.api(), job_id) for job_id in dict.fromkeys(job_ids)])
            else:
                watching.begin_with_all()
            while watching.goes_on:
                watching.learn(streams.next())
        except KeyboardInterrupt:
            view.tell(Text("Stopped watching; the jobs go on."))
            raise
    if not watching.seen:
        output.note("No job is running.")
    if watching.unsuccessful:
        raise typer.Exit(ExitCode.FAILED)


class _Watching:
    """Which jobs are watched, and how far each has come."""

    def __init__(self, streams: Streams, view: View) -> None:
        self._streams, self._view = streams, view
        self._under_way: dict[str, Watched] = {}
        self._broken: set[str] = set()
        self._is_to_look_around = False
        self.seen: set[str] = set()
        self.unsuccessful: set[str] = set()

    @property
    def goes_on(self) -> bool:
        return bool(self._under_way) or self._is_to_look_around

    def begin(self, jobs: list[dict[str, Any]]) -> None:
        """Watch these jobs."""
        for job in jobs:
            self.seen.add(job["id"])
            self._under_way[_stream(job["id"])] = Watched(job)
            self._view.begins(self._under_way[_stream(job["id"])])
            self._streams.follow(_stream(job["id"]), after=0)

    def begin_with_all(self) -> None:
        """Watch all jobs that run, and those that begin from now on."""
        self._is_to_look_around = True
        self._streams.follow(ALL)

    def learn(self, news: News) -> None:
        """Take in what a stream told, and show it."""
        match news:
            case Broken(path):
                if not self._broken:
                    self._view.tell(Text("The service does not answer; waiting for it to come back.", "yellow"))
                self._broken.add(path)
            case Opened(path):
                if path == ALL:
                    self._look_around()
                if self._broken == {path}:
                    self._view.tell(Text("The service is back; going on after the last event seen.", "yellow"))
                self._broken.discard(path)
            case Told(path, number, kind, event) if path in self._under_way:
                self._under_way[path].last = number
                self._view.happened(self._under_way[path], kind, event)
            case Told(_, _, "job.accepted", event) if event.job_id and event.job_id not in self.seen:
                self.begin([self._job(event.job_id)])
            case Ended(_, Failure() as failure):
                raise failure
            case Ended(path) if path == ALL:  # once it is refused; it says why when it is asked for again
                self._streams.follow(ALL)
            case Ended(path):
                self._end(path)

    def _look_around(self) -> None:
        """Watch the jobs that run and are not watched yet; of later ones the stream of the project tells."""
        running = self._streams.ask(lambda api: api.items(JOBS, job_type="", status="RUNNING"))
        self.begin([self._job(job["id"]) for job in running if job["id"] not in self.seen])
        self._is_to_look_around = False

    def _job(self, job_id: str) -> dict[str, Any]:
        return self._streams.ask(lambda api: _job(api, job_id))

    def _end(self, path: str) -> None:
        """The stream of a job ends with it, with the service, or once it is refused."""
        watched = self._under_way[path]
        watched.job = self._job(watched.job["id"])
        if watched.job["status"] not in FINAL:
            self._streams.follow(path, after=watched.last)
            return
        del self._under_way[path]
        if watched.job["status"] != "SUCCESS":
            self.unsuccessful.add(watched.job["id"])
        self._view.ends(watched)


def _job(api: Api, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(progress.path_of(job_id))
    return found


def _stream(job_id: str) -> str:
    return f"{JOBS}/{job_id}/events"
