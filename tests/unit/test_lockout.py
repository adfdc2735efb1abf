"""Lockout: more than five failures in a row lock an access key for five minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import Unauthenticated
from darkroom.services.lockout import Lockout

MINUTES_5 = 5 * 60 * 1000
AK, OTHER = "EXAMPLEAK00000000001", "EXAMPLEAK00000000002"


class World:
    """A lockout with a clock under the test's control."""

    def __init__(self, capacity: int = 100) -> None:
        self.now = 1_767_323_045_000
        self.lockout = Lockout(lambda: self.now, capacity)

    def fail(self, times: int, access: str = AK) -> None:
        for _ in range(times):
            self.lockout.failed(access)

    def is_locked(self, access: str = AK) -> bool:
        try:
            self.lockout.check(access)
        except Unauthenticated:
            return True
        return False


@pytest.fixture
def world() -> World:
    return World()


def test_five_failures_in_a_row_are_forgiven_and_the_sixth_locks(world: World) -> None:
    world.fail(5)
    assert not world.is_locked()
    world.fail(1)
    assert world.is_locked()


def test_a_locked_key_is_refused_in_the_contracts_words(world: World) -> None:
    world.fail(6)
    with pytest.raises(Unauthenticated) as refused:
        world.lockout.check(AK)
    assert refused.value.message == (
        "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden"
    )


def test_a_lock_opens_after_five_minutes_and_counting_begins_anew(world: World) -> None:
    world.fail(6)
    world.now += MINUTES_5 - 1
    assert world.is_locked()
    world.now += 1
    assert not world.is_locked()
    world.fail(5)
    assert not world.is_locked()
    world.fail(1)
    assert world.is_locked()


def test_failures_while_locked_do_not_prolong_the_lock(world: World) -> None:
    world.fail(6)
    world.now += MINUTES_5 - 1
    world.fail(20)
    world.now += 1
    assert not world.is_locked()


def test_a_success_begins_the_count_anew(world: World) -> None:
    world.fail(5)
    world.lockout.succeeded(AK)
    world.fail(5)
    assert not world.is_locked()


def test_a_success_of_a_key_that_never_failed_changes_nothing(world: World) -> None:
    world.lockout.succeeded(AK)
    assert not world.is_locked()


def test_one_keys_failures_are_not_anothers(world: World) -> None:
    world.fail(6)
    world.fail(5, OTHER)
    assert not world.is_locked(OTHER)
    world.lockout.succeeded(OTHER)
    assert world.is_locked()


def test_a_clock_set_back_does_not_lock_for_longer(world: World) -> None:
    world.fail(6)
    world.now -= 60 * 60 * 1000
    assert not world.is_locked()


def test_memory_stays_bounded_whatever_keys_fail() -> None:
    world = World(capacity=10)
    for number in range(1000):
        world.fail(number % 7, f"AK{number}")
    assert len(world.lockout._failures) == 10
    assert len(world.lockout._locked_until) == 10


def test_when_memory_is_full_the_key_that_failed_longest_ago_is_forgotten() -> None:
    world = World(capacity=2)
    world.fail(5, "first")
    world.fail(5, "second")
    world.fail(1, "third")
    world.fail(1, "second")
    world.fail(1, "first")
    assert world.is_locked("second")
    assert not world.is_locked("first")


def test_failures_of_other_keys_do_not_open_a_lock(world: World) -> None:
    world.fail(6)
    for number in range(1000):
        world.fail(5, f"AK{number}")
    assert world.is_locked()


@given(st.lists(st.sampled_from(["fail", "succeed"]), max_size=40))
def test_a_key_is_locked_exactly_when_six_failures_stood_in_a_row(history: list[str]) -> None:
    world = World()
    for outcome in history:
        if outcome == "fail":
            world.lockout.failed(AK)
        else:
            world.lockout.succeeded(AK)
    assert world.is_locked() == (["fail"] * 6 in [history[start : start + 6] for start in range(len(history))])
