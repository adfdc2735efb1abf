"""Handovers: a worker dies, stops, is cut off, or is wrongly thought dead, and the other brings its job to its end."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from darkroom.workflows.takeover import LOST_DATABASE

from . import runs
from .fleet import Fleet, Worker, claims_file, eventually, fleet, fought_over, writes_of
from .matrix import Matrix, Outcome
from .model import problems
from .place import in_child
from .points import Point


@dataclass(frozen=True)
class Handover:
    """What happens to the worker that comes to the point first."""

    what: str
    scenario: str
    point: Point

    @property
    def points(self) -> tuple[Point, ...]:
        return (self.point,)

    def __str__(self) -> str:
        return f"{self.scenario}, worker {self.what} at {self.point}"


def _killed(ours: Fleet, point: Point) -> None:
    """It is killed."""
    pair = [ours.add(point), ours.add(point)]
    ours.until_over()
    _end(ours, but={-signal.SIGKILL})
    assert sum(worker.code == -signal.SIGKILL for worker in pair) == 1, "one worker was to die"


def _stopped(ours: Fleet, point: Point) -> None:
    """It is told to stop, and does, handing its job over."""
    for _ in range(2):
        ours.add(point, waits=True)
    stopped = ours.at_point()
    os.kill(stopped.pid, signal.SIGTERM)
    stopped.go_on()
    assert stopped.wait() == 0, f"it ended with {stopped.code}"
    ours.until_over()
    _end(ours)


def _cut_off(ours: Fleet, point: Point) -> None:
    """It loses the connection of its lock, and ends itself."""
    for _ in range(2):
        ours.add(point, waits=True)
    lost = ours.at_point()
    ours.cut_lock()
    assert lost.wait() == LOST_DATABASE, f"it ended with {lost.code}"
    ours.until_over()
    _end(ours, but={LOST_DATABASE})


def _thought_dead(ours: Fleet, point: Point) -> None:
    """It loses its lock and does not notice; when it goes on, the other has long brought the job to its end."""
    for _ in range(2):
        ours.add(point, waits=True, immortal=True)
    zombie = ours.at_point()
    ours.cut_lock()
    ours.until_over()
    _is_refused(ours, zombie)
    _end(ours)
    # What it has done to the machine meanwhile no job knows of.
    code = in_child(lambda: runs.put_in_order(ours.place), ours.place.log)
    assert code == 0, f"the service that puts things in order ended with {code}"


def _robbed(ours: Fleet, point: Point) -> None:
    """Its job is claimed by nobody who runs it: it stops there, and when it is dead another goes on."""
    robbed = ours.add(point, waits=True)
    ours.at_point()
    ours.steal()
    _is_refused(ours, robbed)
    assert not ours.is_over(), "who was robbed of a job must not end it"
    ours.add()
    robbed.end(signal.SIGKILL)
    ours.until_over()
    _end(ours, but={-signal.SIGKILL})


#: What can happen to a worker, by its name.
HANDOVERS: dict[str, Callable[[Fleet, Point], None]] = {
    "killed": _killed,
    "stopped": _stopped,
    "cut off": _cut_off,
    "thought dead": _thought_dead,
    "robbed of its job": _robbed,
}


def play(matrix: Matrix, handover: Handover) -> Outcome:
    """Play one handover in a copy of the scenario's place, and hold the end against the model."""
    prepared = matrix.prepare(handover.scenario)
    place = prepared.place.copy(matrix.new_folder())
    wrong: list[str] = []
    try:
        with fleet(place, matrix.mutate) as ours:
            HANDOVERS[handover.what](ours, handover.point)
        put_in_order = handover.what == "thought dead"
        wrong = problems(place, prepared.scenario.end, prepared.world, put_in_order=put_in_order)
        wrong += [f"two workers wrote by turns to the job {job}" for job in fought_over(place)]
    except AssertionError as error:
        wrong = [str(error)]
    if wrong:
        wrong.append(f"log: {place.log.read_text(errors='replace')[-3000:]}")
    claims_file(place).unlink(missing_ok=True)
    place.remove()
    return Outcome(handover, wrong, 1)


def _end(ours: Fleet, but: frozenset[int] | set[int] = frozenset()) -> None:
    codes = ours.stop()
    assert set(codes) <= {0, *but}, f"the workers ended with {codes}"


def _is_refused(ours: Fleet, worker: Worker) -> None:
    """Let a worker go on, and see that it cannot write to its job any more."""
    before = len(writes_of(ours.place, worker))
    worker.go_on()
    after = eventually(lambda: writes_of(ours.place, worker)[before:], "the worker goes on")
    assert set(after) == {"refused"}, "a worker wrote to a job that is no longer its own"
