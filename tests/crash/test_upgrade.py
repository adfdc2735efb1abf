"""An upgrade that changes the steps: jobs in flight keep to those by which they began, whoever goes on with them."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.workflows import create_server, engine
from darkroom.workflows.plan import Detail, Step, Work
from postgres import Server

from . import runs
from .blows import Blow, Kind
from .fleet import Fleet, Worker, eventually, fleet
from .place import Place, in_child, new_place
from .points import Point
from .scenarios import SCENARIOS
from .service import running

STEPS = [step.name for step in create_server.PLAN.steps]
LATER_STEPS = ["check host", "boot machine", "await guest", "greet guest", "admit account", "attach applications"]
#: In the middle of a job of either version.
MIDDLE = Point("compute.admit: before", 1)
ALONE = replace(SCENARIOS["create with applications"], order=lambda api: api.create("alone"))


async def greet_guest(work: Work) -> Detail:
    return {"greeted": work.server_id}


def later() -> None:
    """Be the next version: it logs in no more, and greets the guest instead."""
    steps = {step.name: step for step in create_server.PLAN.steps} | {"greet guest": Step("greet guest", greet_guest)}
    changed = replace(create_server.PLAN, steps=tuple(steps[name] for name in LATER_STEPS), version=2)
    engine.PLANS = (*engine.PLANS, changed)  # type: ignore[misc]


def as_now() -> None:
    """Be the version that is there."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    server: Server | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
    yield from furnished(tmp_path, server)


@pytest.fixture
def shared_place(postgres_server: Server, tmp_path: Path) -> Iterator[Place]:
    yield from furnished(tmp_path, postgres_server)


def furnished(folder: Path, server: Server | None) -> Iterator[Place]:
    place = new_place(folder / "place", server)
    must(place, in_child(lambda: runs.furnish(place, ()), place.log))
    yield place
    place.remove()


def must(place: Place, code: int) -> None:
    assert code == 0, place.log.read_text(errors="replace")[-3000:]


def order(place: Place, name: str, version: Callable[[], None]) -> str:
    """Have a server ordered from a process of a version that does not work; return the job."""

    async def ask() -> None:
        version()
        async with running(place, role="api") as (_, api):
            await api.create(name)

    must(place, in_child(ask, place.log))
    ((job,),) = place.rows("SELECT max(id) FROM jobs")
    return str(job)


def serve(place: Place, version: Callable[[], None], blow: Blow | None = None) -> int:
    """Run a service of a version until all jobs have ended, or it dies."""

    async def work() -> None:
        version()
        await runs.serve(place, ALONE, blow=blow)

    return in_child(work, place.log)


def status(place: Place, job: str) -> str:
    ((found,),) = place.rows(f"SELECT status FROM jobs WHERE id = {job}")
    return str(found)


def steps_done(place: Place, job: str) -> list[str]:
    rows = place.rows(f"SELECT data FROM events WHERE job_id = {job} AND kind = 'step.ended' ORDER BY seq")
    return [json.loads(data)["name"] for (data,) in rows]


def test_a_job_that_began_before_the_upgrade_ends_by_its_own_steps(place: Place) -> None:
    job = order(place, "before", as_now)
    assert serve(place, as_now, Blow(Kind.KILL, MIDDLE)) == -signal.SIGKILL
    assert serve(place, later) == 0
    assert (status(place, job), steps_done(place, job)) == ("SUCCESS", STEPS)
    after = order(place, "after", later)
    assert serve(place, later) == 0
    assert (status(place, after), steps_done(place, after)) == ("SUCCESS", LATER_STEPS)


def test_a_job_that_waits_for_room_during_the_upgrade_begins_by_the_steps_it_was_accepted_with(place: Place) -> None:
    place.more["max_builds"] = place.more["max_machines"] = 1
    first, second = order(place, "first", as_now), order(place, "second", later)
    assert serve(place, as_now, Blow(Kind.KILL, MIDDLE)) == -signal.SIGKILL
    place.more["max_machines"] = 2
    assert serve(place, later) == 0
    assert (status(place, first), steps_done(place, first)) == ("SUCCESS", STEPS)
    assert (status(place, second), steps_done(place, second)) == ("SUCCESS", LATER_STEPS)


def test_during_a_rolling_upgrade_no_worker_takes_what_it_does_not_know(shared_place: Place) -> None:
    with fleet(shared_place) as ours:
        ours.add()
        unknown, known = order(shared_place, "later", later), order(shared_place, "now", as_now)
        eventually(lambda: status(shared_place, known) == "SUCCESS", "the old worker ends the job it knows")
        assert steps_done(shared_place, unknown) == [], "it came first, and the old worker left it alone"
        dead = ours.add(MIDDLE, mutate=later)
        assert dead.wait() == -signal.SIGKILL
        late = order(shared_place, "as-ever", as_now)
        eventually(lambda: status(shared_place, late) == "SUCCESS", "the old worker still works")
        assert status(shared_place, unknown) == "RUNNING", "the old worker did not take it over"
        ours.add(mutate=later)
        ours.until_over()
        assert steps_done(shared_place, unknown) == LATER_STEPS
        assert (status(shared_place, unknown), steps_done(shared_place, late)) == ("SUCCESS", STEPS)
        assert [code for code in ours.stop() if code] == [-signal.SIGKILL]


def test_what_an_old_worker_hands_over_when_it_stops_a_new_one_ends(shared_place: Place) -> None:
    with fleet(shared_place) as ours:
        job = order(shared_place, "before", as_now)
        old = at_middle(ours)
        ours.add(mutate=later)
        os.kill(old.pid, signal.SIGTERM)
        old.go_on()
        assert old.wait() == 0
        ours.until_over()
        assert (status(shared_place, job), steps_done(shared_place, job)) == ("SUCCESS", STEPS)


def at_middle(ours: Fleet) -> Worker:
    """Return an old worker that is in the middle of its job, and waits there."""
    ours.add(MIDDLE, waits=True)
    return ours.at_point()
