"""Measuring one thing beside another: in alternating rounds, so that what else the machine does meets both alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

#: What one round of a side tells, by name.
Reading = Mapping[str, float]
#: One round of a side.
Round = Callable[[], Reading]


@dataclass(frozen=True)
class Target:
    """A bound for a ratio; `sense` says which side of it is good."""

    sense: Literal["≥", "≤"]
    bound: float

    def is_reached(self, ratio: float) -> bool:
        return ratio >= self.bound if self.sense == "≥" else ratio <= self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g} ×"


@dataclass(frozen=True)
class Comparison:
    """Ours beside another's, round by round. The ratio of each round is ours / theirs."""

    what: str
    beside: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: Target | None = None

    @property
    def ratios(self) -> list[float]:
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The ratio of the medians, which one disturbed round does not move."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def is_reached(self) -> bool | None:
        return self.target.is_reached(self.ratio) if self.target else None


@dataclass(frozen=True)
class Figure:
    """Something that is measured beside a fixed bound, or beside nothing."""

    what: str
    unit: str
    values: Sequence[float]
    at_most: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_reached(self) -> bool | None:
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(frozen=True)
class Missing:
    """A comparison that could not be made, and why."""

    what: str
    beside: str
    why: str


@dataclass(frozen=True)
class Curve:
    """How something changes with something else: for each x, the values of the rounds."""

    name: str
    title: str
    x: str
    unit: str
    points: Mapping[float, Sequence[float]]


Finding = Comparison | Figure | Missing | Curve


def alternate(rounds: int, sides: Mapping[str, Round]) -> dict[str, list[Reading]]:
    """Run all sides in turn, so many times, each round in the other order; return the readings by side."""
    readings: dict[str, list[Reading]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            readings[name].append(sides[name]())
    return readings


def of(readings: Sequence[Reading], name: str) -> list[float]:
    """Return one of the numbers of each reading."""
    return [reading[name] for reading in readings]
