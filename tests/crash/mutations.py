"""Mutations: the service made wrong on purpose, in a child process alone, to see that the model notices."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from darkroom.domain.ids import ServerId
from darkroom.drivers.simulated import SimulatedCompute, SimulatedImageStore
from darkroom.drivers.simulated.files import Records
from darkroom.drivers.simulated.machines import MachineRecord
from darkroom.store.events import EventWrites
from darkroom.store.job_writes import Held, JobWrites
from darkroom.workflows import engine
from darkroom.workflows.journal import Journal
from darkroom.workflows.runner import Runner


def no_undo() -> None:
    """What a step has done is never undone."""

    async def leave(*_: Any) -> None:
        return None

    plans = [
        replace(plan, steps=tuple(replace(step, undo=step.undo and leave) for step in plan.steps))
        for plan in engine.PLANS
    ]
    engine.PLANS = tuple(plans)  # type: ignore[misc]


def events_doubled() -> None:
    """A step that is repeated tells of itself again."""
    add = EventWrites.add

    def again(writes: EventWrites, *arguments: Any, once: str | None = None, **more: Any) -> None:
        add(writes, *arguments, **more)

    EventWrites.add = again  # type: ignore[method-assign]


def machine_made_again() -> None:
    """Creating a machine that is there already makes another beside it."""
    create = SimulatedCompute.create

    async def another(compute: SimulatedCompute, key: Any, spec: Any) -> Any:
        beside = str(int(key) + 1)
        return await create(compute, ServerId(beside) if compute._records.get(key) else key, spec)

    SimulatedCompute.create = another  # type: ignore[method-assign]


def halves_stay() -> None:
    """What a process that died has left half written is never removed."""
    SimulatedImageStore._sweep = lambda *_: None  # type: ignore[method-assign]
    Records.sweep = Records.sweep_all = lambda *_: None  # type: ignore


def end_in_two_transactions() -> None:
    """A sub-job ends in one transaction, and what follows from its end is written in another."""

    async def end(journal: Journal, status: Any, ending: Any) -> None:
        at, moved = journal._tools.clock(), []
        await journal.write(lambda tx: moved.append(tx.jobs.move(journal.its, status, at)))
        if moved[-1]:
            await journal.write(lambda tx: ending(tx, at))

    Journal.end_sub_job = end  # type: ignore[method-assign]


def first_cause_lost() -> None:
    """The error of a failed job is told without its code."""
    roll_back = Runner.roll_back

    async def silent(runner: Runner, fault: Any) -> Any:
        return await roll_back(runner, {**fault, "code": "WKS.00211401"})

    Runner.roll_back = silent  # type: ignore[method-assign]


def no_fence() -> None:
    """Whoever has lost a job may go on writing to it."""
    JobWrites.hold = lambda *_: Held(claimed=True, cancelled=False)  # type: ignore[method-assign]


def record_before_file() -> None:
    """A machine's record is changed in place, not by a file that takes its name when it is whole."""

    def in_place(compute: SimulatedCompute, record: MachineRecord) -> None:
        path = compute._records._path(record.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(record))

    SimulatedCompute._keep = in_place  # type: ignore[method-assign]


MUTATIONS: dict[str, Callable[[], None]] = {
    mutate.__name__: mutate
    for mutate in (
        no_undo, events_doubled, machine_made_again, halves_stay, end_in_two_transactions, first_cause_lost, no_fence,
        record_before_file,
    )
}  # fmt: skip
