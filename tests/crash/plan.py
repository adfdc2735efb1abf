"""Which cases there are: for each scenario the blows that are dealt to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from .blows import Kind
from .handover import HANDOVERS, Handover
from .matrix import Case, Matrix
from .scenarios import SCENARIOS, WELL, Scenario

#: Two blows for one scenario: how many cases of each scenario.
TWICE = 12


@dataclass(frozen=True)
class Batch:
    """Cases that make one row of the table."""

    workflow: str
    what: str
    cases: tuple[Case, ...]


def batches(matrix: Matrix, *, every: int = 1, only: str = "") -> Iterator[Batch]:
    """Return all batches; with `every`, one point in so many of each scenario; with `only`, of scenarios so named."""
    for scenario in SCENARIOS.values():
        if only in scenario.name:
            yield Batch(scenario.workflow, _what(scenario), tuple(matrix.prepare(scenario.name).cases()[::every]))
    for name in WELL:
        if only not in name:
            continue
        prepared, workflow = matrix.prepare(name), SCENARIOS[name].workflow
        yield Batch(workflow, "killed twice", tuple(prepared.twice(max(1, TWICE // every), seed=len(name))))
        for kind in (Kind.GONE, Kind.FORWARD, Kind.BACK):
            yield Batch(workflow, _TITLES[kind], tuple(prepared.in_steps(kind)[::every]))


_TITLES = {
    Kind.GONE: "database gone for 5 s in each step",
    Kind.FORWARD: "clock an hour ahead from each step on",
    Kind.BACK: "clock an hour back from each step on",
}


def _what(scenario: Scenario) -> str:
    if scenario.asks:
        return "killed while the order is accepted"
    if scenario.hangs:
        return "killed while it is cancelled and undone"
    if scenario.settings:
        return "killed while a step hangs, runs out of time and is undone"
    if scenario.faults:
        return "killed while a step fails and is undone"
    return "killed once"


def handovers(matrix: Matrix, *, every: int = 1, only: str = "") -> list[Handover]:
    """Return what happens to one of two workers: it dies at the borders of every step, the rest at some of them."""
    found = []
    for name in WELL:
        if only not in name:
            continue
        points = [point for point in matrix.prepare(name).points if _is_border(point.effect)]
        found += [Handover("killed", name, point) for point in points[::every]]
        calls = [point for point in points if point.effect.startswith("compute.")]
        for what in list(HANDOVERS)[1:]:
            found += [Handover(what, name, point) for point in calls[:: max(every, len(calls) // 2)]]
    return found


def _is_border(effect: str) -> bool:
    return effect.startswith("compute.") or "operation_outputs" in effect
