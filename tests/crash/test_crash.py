"""Killed anywhere, every job ends right: nothing lost, nothing doubled, nothing left behind.

A fixed sample, quick enough for every change; `DARKROOM_CRASH=full` plays every case there is, as `make crash` does.
"""

import os
from collections.abc import Sequence

import pytest

from postgres import Server

from .blows import Blow, Kind
from .handover import HANDOVERS, Handover, play
from .matrix import Case, Matrix
from .mutations import MUTATIONS
from .points import Point
from .scenarios import SCENARIOS, WELL
from .soak import soak

FULL = os.environ.get("DARKROOM_CRASH") == "full"
#: Scenarios of which each database's sample is made: every workflow, a failure at each depth, cancelling, hanging.
CHOSEN = [
    *WELL,
    "create with applications, being ordered",
    "create fails in run",
    "create fails in find",
    "build fails in flatten",
    "build fails in facts",
    "build fails in discard",
    "delete fails for one of two",
    "create fails in try_login by its time limit",
    "create with applications cancelled in admit",
    "build with sysprep cancelled in flatten",
]
#: In the sample, points of one scenario.
FEW = 3


#: The transaction of DBOS that records a step's result.
CHECKPOINT = "commit ~workflow_status +operation_outputs: before"


@pytest.fixture(scope="session")
def sqlite_matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("crash"), None)


@pytest.fixture(scope="session")
def postgres_matrix(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("crash"), postgres_server)


@pytest.fixture(params=["sqlite", "postgres"])
def matrix(request: pytest.FixtureRequest) -> Matrix:
    chosen: Matrix = request.getfixturevalue(f"{request.param}_matrix")
    return chosen


def sample(cases: Sequence[Case], few: int = FEW) -> Sequence[Case]:
    """Return all cases, or a few of them from all along the way: of the same scenario always the same."""
    return cases if FULL else cases[len(cases) // (2 * few) :: max(1, len(cases) // few)][:few]


def assert_right(matrix: Matrix, cases: Sequence[Case]) -> None:
    assert cases
    for outcome in matrix.play(cases):
        assert not outcome.wrong, "\n".join([str(outcome.case), *outcome.wrong])


@pytest.mark.parametrize("name", list(SCENARIOS) if FULL else CHOSEN)
def test_a_service_killed_at_any_point_brings_its_job_to_the_same_end(matrix: Matrix, name: str) -> None:
    if matrix.server and name not in WELL and not FULL:
        pytest.skip("how a job is undone does not depend on the database")
    prepared = matrix.prepare(name)
    assert_right(matrix, sample(prepared.cases(), 2 if matrix.server else FEW))


@pytest.mark.parametrize("name", WELL if FULL else WELL[:3:2])
def test_killed_again_while_it_makes_up_for_the_first_time_it_still_ends_right(matrix: Matrix, name: str) -> None:
    assert_right(matrix, matrix.prepare(name).twice(20 if FULL else 2, seed=1))


@pytest.mark.parametrize("kind", [Kind.GONE, Kind.FORWARD, Kind.BACK])
def test_a_database_gone_for_seconds_or_a_clock_that_jumps_changes_no_end(matrix: Matrix, kind: Kind) -> None:
    for name in WELL if FULL else WELL[2:3]:
        assert_right(matrix, sample(matrix.prepare(name).in_steps(kind), 2))


def test_every_call_file_and_transaction_is_a_point_to_die_at(matrix: Matrix) -> None:
    met = [point.effect for point in matrix.prepare("build with sysprep").points]
    for call in ("snapshot", "generalise", "flatten", "discard"):
        assert {f"compute.{call}: before", f"compute.{call}: after"} <= set(met)
    assert {"write images/*.part: half", "rename images/*.disk: after", "rename images/*.json: before"} <= set(met)
    checkpoints = [effect for effect in met if "operation_outputs: after" in effect]
    assert len(checkpoints) == 6, "four steps, their good end, and the job's"
    assert any("sub_jobs" in effect and "+images" in effect for effect in met), "the end is one transaction"


@pytest.mark.parametrize("what", HANDOVERS)
def test_what_one_worker_leaves_another_brings_to_its_end(postgres_matrix: Matrix, what: str) -> None:
    for scenario, effect in (
        ("create with applications", "compute.admit: after"),
        ("build", "compute.flatten: before"),
    ):
        outcome = play(postgres_matrix, Handover(what, scenario, Point(effect, 1)))
        assert not outcome.wrong, "\n".join([str(outcome.case), *outcome.wrong])


def test_many_jobs_on_workers_that_die_all_the_time_end_as_they_must(postgres_matrix: Matrix) -> None:
    soaked = soak(postgres_matrix, 500 if FULL else 40, every=3 if FULL else 2)
    assert not soaked.wrong, "\n".join(soaked.wrong)
    assert soaked.kills > 0


# The model itself: a service made wrong on purpose is noticed


@pytest.mark.parametrize(
    ("mutation", "name", "point", "complaint"),
    [
        ("no_undo", "build fails in facts", ("images.facts: before", 1), "an image's record and its files differ"),
        ("events_doubled", "build", ("compute.flatten: before", 1), "events differ"),
        ("machine_made_again", "create with applications", (CHECKPOINT, 2), "machine differ"),
        ("halves_stay", "build", ("write machines/*.part: half", 1), "left behind"),
        ("halves_stay", "build", ("write images/*.part: half", 1), "an image's record and its files differ"),
        ("first_cause_lost", "build fails in facts", ("images.facts: before", 1), "error codes"),
        ("record_before_file", "build", ("write machines/*.json: half", 1), "cannot be read"),
        # That of the end, which begins with telling how the last step ended.
        ("end_in_two_transactions", "delete and release", ("commit +events ~sub_jobs: after", 1), "servers"),
    ],
)
def test_the_model_notices_a_service_made_wrong(
    sqlite_matrix: Matrix, mutation: str, name: str, point: tuple[str, int], complaint: str
) -> None:
    sqlite_matrix.prepare(name)
    case = Case(name, (Blow(Kind.KILL, Point(*point)),))
    (outcome,) = sqlite_matrix.made_wrong(MUTATIONS[mutation]).play([case])
    assert outcome.ends == 1, "it was to die there"
    assert any(complaint in wrong for wrong in outcome.wrong), outcome.wrong


def test_the_model_notices_two_workers_at_one_job(postgres_matrix: Matrix) -> None:
    name = "create with applications"
    postgres_matrix.prepare(name)
    wrong = postgres_matrix.made_wrong(MUTATIONS["no_fence"])
    outcome = play(wrong, Handover("thought dead", name, Point("compute.admit: after", 1)))
    assert "no longer its own" in outcome.wrong[0]
