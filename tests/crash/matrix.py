"""The matrix: every scenario, struck at every point of its undisturbed run, started again, held against the model."""

import multiprocessing
import os
import random
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from darkroom.workflows import takeover
from postgres import Server

from . import runs
from .blows import Blow, Kind
from .model import World, look, problems
from .place import Place, in_child, new_place
from .points import Point
from .scenarios import SCENARIOS, Scenario
from .service import recorded

#: Exit codes that a process may have after a blow; 0 is that of one that has brought its jobs to their end.
_ENDS = {
    Kind.KILL: {-signal.SIGKILL, 0},
    Kind.GONE: {takeover.LOST_DATABASE, runs.CANNOT_START, 0},
    Kind.FORWARD: {0},
    Kind.BACK: {0},
}
#: Cases at a time.
PARALLEL = int(os.environ.get("DARKROOM_CRASH_PARALLEL", "2"))


#: Effects of the service's chores, which go on beside the jobs: they come when they come.
_CHORES = re.compile("chores|reconcile|retention|housekeeping")


@dataclass(frozen=True)
class Case:
    """A scenario in which the service is struck by these blows, one in each run."""

    scenario: str
    blows: tuple[Blow, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(blow.point for blow in self.blows)

    def __str__(self) -> str:
        return f"{self.scenario}, {' and '.join(map(str, self.blows))}"


class Played(Protocol):
    """What an outcome is the outcome of."""

    @property
    def scenario(self) -> str: ...

    @property
    def points(self) -> tuple[Point, ...]: ...


@dataclass(frozen=True)
class Outcome:
    case: Played
    wrong: list[str] = field(default_factory=list)
    ends: int = 0  #: how often the service was ended by a blow

    @property
    def points(self) -> set[str]:
        """Where in its scenario the service was struck."""
        return {f"{self.case.scenario} {point}" for point in self.case.points}


@dataclass
class Prepared:
    """A scenario ready to run: a place in which its job has been accepted, what an undisturbed run leaves and meets."""

    scenario: Scenario
    place: Place
    world: World
    points: list[Point]
    before: World  #: what there is before the service runs

    def cases(self, kind: Kind = Kind.KILL) -> list[Case]:
        """Return one case for each point from which the scenario dies."""
        return [Case(self.scenario.name, (Blow(kind, point),)) for point in self._deadly()]

    def twice(self, count: int, seed: int) -> list[Case]:
        """Return a sample of cases in which the resumed run is killed too."""
        chance = random.Random(seed)
        pairs = [(chance.choice(self._deadly()), chance.choice(self.points)) for _ in range(count)]
        return [Case(self.scenario.name, (Blow(Kind.KILL, one), Blow(Kind.KILL, other))) for one, other in pairs]

    def in_steps(self, kind: Kind) -> list[Case]:
        """Return one case for each call of the driver: a blow of this kind before it, and one after it."""
        return [case for case in self.cases(kind) if case.blows[0].point.effect.startswith(("compute.", "images."))]

    def _deadly(self) -> list[Point]:
        if self.scenario.asks:
            return [point for point in self.points if _is_accepting(point.effect)]
        effects = [point.effect for point in self.points]
        return self.points[effects.index(self.scenario.dies_from) if self.scenario.dies_from else 0 :]


def _is_accepting(effect: str) -> bool:
    return "+jobs" in effect or effect.startswith(("begin servers.", "begin new_jobs."))


_playing: list["Matrix"] = []


def _obey() -> None:
    """End at SIGTERM at once, as a process does that has no handler."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _play(case: Case) -> Outcome:
    return _playing[-1].play_one(case)


class Matrix:
    """Prepares scenarios on one database and plays cases, each in a copy of the prepared place."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self._folder, self.server = folder, server
        self.mutate: Callable[[], None] = lambda: None
        self._bases: dict[tuple[str, ...], Place] = {}
        self._prepared: dict[str, Prepared] = {}

    def made_wrong(self, mutate: Callable[[], None]) -> "Matrix":
        """Return the same matrix over a service that is made wrong on purpose where a case is played."""
        other = copy(self)
        other.mutate = mutate
        return other

    def prepare(self, name: str) -> Prepared:
        """Accept the scenario's order in a new place, and see what an undisturbed run makes of it."""
        if name not in self._prepared:
            scenario = SCENARIOS[name]
            place = self.base(scenario.servers).copy(self.new_folder())
            if not scenario.asks:
                self._must(in_child(lambda: runs.order(place, scenario), place.log), place)
            self._prepared[name] = self._run_undisturbed(scenario, place)
        return self._prepared[name]

    def play(self, cases: Sequence[Case]) -> Iterator[Outcome]:
        """Play cases, some at a time; their outcomes come as they are there."""
        for name in {case.scenario for case in cases}:
            self.prepare(name)
        # The players are forks of this process and so have the matrix; it cannot be sent to them.
        _playing.append(self)
        with multiprocessing.get_context("fork").Pool(PARALLEL, _obey) as pool:
            yield from pool.imap_unordered(_play, cases)
            pool.close()
            pool.join()
        _playing.remove(self)

    def play_one(self, case: Case) -> Outcome:
        prepared = self._prepared[case.scenario]
        place = prepared.place.copy(self.new_folder())
        scenario = prepared.scenario
        wrong: list[str] = []
        ends = 0
        for number, blow in enumerate(case.blows):
            code = in_child(lambda blow=blow: self._serve(place, scenario, blow), place.log)
            ends += code != 0
            if code not in _ENDS[blow.kind]:
                wrong.append(f"the service ended with {code} when it was {blow}")
            if number == 0 and blow.kind is Kind.KILL and not ends:
                wrong.append(f"the service was never at {blow.point}")
        scenario = replace(scenario, asks=False)  # who got no answer does not ask again here
        code = in_child(lambda: self._serve(place, scenario), place.log)
        if code:
            wrong.append(f"the service, started again, ended with {code}")
        elif not prepared.scenario.asks or look(place) != prepared.before:  # an order may have come to nothing at all
            wrong += problems(place, scenario.end, prepared.world)
        if wrong:
            wrong.append(f"log: {place.log.read_text(errors='replace')[-3000:]}")
        place.remove()
        return Outcome(case, wrong, ends)

    async def _serve(self, place: Place, scenario: Scenario, blow: Blow | None = None) -> None:
        self.mutate()
        await runs.serve(place, scenario, blow=blow)

    def base(self, servers: tuple[str, ...]) -> Place:
        """Return a place with an image, applications, and these servers."""
        if servers not in self._bases:
            place = new_place(self.new_folder(), self.server)
            self._must(in_child(lambda: runs.furnish(place, servers), place.log), place)
            self._bases[servers] = place
        return self._bases[servers]

    def _run_undisturbed(self, scenario: Scenario, place: Place) -> Prepared:
        trial = place.copy(self.new_folder())
        trace = trial.data.with_suffix(".points")
        self._must(in_child(lambda: runs.serve(trial, scenario, trace=trace), trial.log), trial)
        wrong = problems(trial, scenario.end, None)
        assert not wrong, f"{scenario.name}, undisturbed: {wrong}"
        steady = [point for point in recorded(trace) if not _CHORES.search(point.effect)]
        prepared = Prepared(scenario, place, look(trial), steady, look(place))
        trial.remove()
        trace.unlink()
        return prepared

    def new_folder(self) -> Path:
        return self._folder / f"{os.getpid()}-{random.randbytes(6).hex()}"

    @staticmethod
    def _must(code: int, place: Place) -> None:
        assert code == 0, f"exit code {code}\n{place.log.read_text(errors='replace')[-4000:]}"
