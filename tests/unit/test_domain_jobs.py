"""Jobs: which state may follow which, and what a job has come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.jobs import FINAL, MOVES, Job, JobStatus, JobType, SubJobStatus, outcome
from darkroom.domain.servers import ALLOWED, Action, ServerStatus

S = SubJobStatus


def reachable(start: SubJobStatus) -> set[SubJobStatus]:
    """Return the states that may follow a state, however many moves later."""
    found: set[SubJobStatus] = set()
    pending = [start]
    while pending:
        following = MOVES[pending.pop()] - found
        found |= following
        pending.extend(following)
    return found


def test_the_words_are_the_contracts() -> None:
    assert {status.value for status in JobStatus} == {"WAITING", "RUNNING", "SUCCESS", "FAILED"}
    assert {status.value for status in S} == {
        "WAITING", "RUNNING", "SUCCESS", "FAILED", "ABNORMAL", "ROLLBACK", "ABORTING",
    }  # fmt: skip
    assert {kind.value for kind in JobType} == {"CREATE_SERVER", "CREATE_SERVER_IMAGE", "DELETE_SERVER"}


def test_every_state_is_in_the_table_and_none_moves_to_itself() -> None:
    assert set(MOVES) == set(S)
    for status, following in MOVES.items():
        assert status not in following


def test_every_state_can_be_reached_and_nothing_leads_back_to_the_beginning() -> None:
    assert reachable(S.WAITING) == set(S) - {S.WAITING}


def test_from_every_state_an_end_can_be_reached() -> None:
    for status in S:
        assert status in FINAL or reachable(status) & FINAL


def test_success_and_failure_are_for_good() -> None:
    assert MOVES[S.SUCCESS] == MOVES[S.FAILED] == frozenset()


def test_what_failed_is_rolled_back_before_it_is_failed() -> None:
    assert S.FAILED not in MOVES[S.RUNNING]
    assert S.ROLLBACK in MOVES[S.RUNNING]
    assert S.SUCCESS not in reachable(S.ROLLBACK)


def test_a_job_without_sub_jobs_has_succeeded() -> None:
    assert outcome([]) is JobStatus.SUCCESS


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([S.SUCCESS], JobStatus.SUCCESS),
        ([S.SUCCESS, S.SUCCESS], JobStatus.SUCCESS),
        ([S.FAILED], JobStatus.FAILED),
        ([S.ABNORMAL], JobStatus.FAILED),
        ([S.SUCCESS, S.FAILED], JobStatus.FAILED),
        ([S.SUCCESS, S.ABNORMAL, S.SUCCESS], JobStatus.FAILED),
        ([S.FAILED, S.RUNNING], JobStatus.RUNNING),
        ([S.SUCCESS, S.WAITING], JobStatus.RUNNING),
        ([S.ROLLBACK], JobStatus.RUNNING),
        ([S.ABORTING], JobStatus.RUNNING),
    ],
)
def test_what_a_job_has_come_to(statuses: list[SubJobStatus], expected: JobStatus) -> None:
    assert outcome(statuses) is expected
    assert outcome(reversed(statuses)) is expected


@given(st.lists(st.sampled_from(S)))
def test_a_job_is_over_exactly_when_all_its_sub_jobs_are(statuses: list[SubJobStatus]) -> None:
    found = outcome(iter(statuses))
    assert found is not JobStatus.WAITING
    assert (found is JobStatus.RUNNING) == any(status not in FINAL for status in statuses)
    assert (found is JobStatus.SUCCESS) == all(status is S.SUCCESS for status in statuses)


@pytest.mark.parametrize("status", JobStatus)
def test_a_job_knows_whether_it_is_over(status: JobStatus) -> None:
    job = Job(
        id="1", project_id="p", job_type=JobType.DELETE_SERVER, status=status, begin_time=0, sub_jobs_total=0, order={}
    )
    assert job.is_final == (status in (JobStatus.SUCCESS, JobStatus.FAILED))


def test_what_a_servers_state_allows() -> None:
    """The table of contract section 6.1."""
    status = ServerStatus
    assert ALLOWED[Action.BUILD] == {status.ACTIVE, status.BUILT}
    assert ALLOWED[Action.DELETE] == {status.ACTIVE, status.BUILT, status.ERROR}
