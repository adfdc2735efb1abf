"""Identifiers: snowflakes that are unique and sort by the time they were minted."""

import re
import threading
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.ids import EPOCH_MS, Snowflakes, minted_at, new_hex, new_uuid
from darkroom.domain.times import now_ms

NOW = 1_767_323_045_123
#: Ids that one millisecond has room for.
ROOM = 4096


class Clock:
    """A clock under the test's control."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def in_order(ids: list[str]) -> bool:
    return all(int(one) < int(next_one) for one, next_one in pairwise(ids))


def test_an_id_minted_now_has_18_digits() -> None:
    assert re.fullmatch(r"[1-9]\d{17}", Snowflakes(now_ms).mint(), re.ASCII)


@pytest.mark.parametrize("moment", [datetime(2024, 10, 5, tzinfo=UTC), datetime(2031, 7, 1, tzinfo=UTC)])
def test_ids_have_18_digits_for_years(moment: datetime) -> None:
    assert len(Snowflakes(Clock(int(moment.timestamp() * 1000))).mint()) == 18


def test_an_id_tells_when_it_was_minted() -> None:
    assert minted_at(Snowflakes(Clock()).mint()) == NOW
    assert minted_at(Snowflakes(Clock(), worker=1023).mint()) == NOW
    assert minted_at(Snowflakes(Clock(EPOCH_MS + 1)).mint()) == EPOCH_MS + 1


def test_ids_of_one_moment_differ_and_stand_in_order() -> None:
    snowflakes = Snowflakes(Clock())
    ids = [snowflakes.mint() for _ in range(ROOM)]
    assert in_order(ids)
    assert {minted_at(one) for one in ids} == {NOW}


def test_a_moment_that_is_full_runs_over_into_the_next() -> None:
    snowflakes = Snowflakes(Clock())
    ids = [snowflakes.mint() for _ in range(2 * ROOM + 1)]
    assert in_order(ids)
    assert [minted_at(ids[number]) - NOW for number in (ROOM - 1, ROOM, 2 * ROOM - 1, 2 * ROOM)] == [0, 1, 1, 2]


def test_a_clock_that_catches_up_with_the_run_over_continues_in_order() -> None:
    clock = Clock()
    snowflakes = Snowflakes(clock)
    ids = [snowflakes.mint() for _ in range(ROOM + 1)]
    clock.now += 1
    ids.append(snowflakes.mint())
    clock.now += 1
    ids.append(snowflakes.mint())
    assert in_order(ids)


def test_a_clock_set_back_gives_no_id_twice() -> None:
    clock = Clock()
    snowflakes = Snowflakes(clock)
    ids = [snowflakes.mint()]
    for back in (1, 1000, 10**9):
        clock.now = NOW - back
        ids.extend(snowflakes.mint() for _ in range(3))
    clock.now = NOW + 1
    ids.append(snowflakes.mint())
    assert in_order(ids)
    assert minted_at(ids[-1]) == NOW + 1


@given(st.lists(st.integers(-5, 5), max_size=60))
def test_whatever_the_clock_does_ids_rise(moves: list[int]) -> None:
    clock = Clock()
    snowflakes = Snowflakes(clock)
    ids = []
    for move in moves:
        clock.now += move
        ids.append(snowflakes.mint())
    assert in_order(ids)


def test_ids_of_two_workers_never_meet() -> None:
    clock = Clock()
    first, second = Snowflakes(clock, worker=0), Snowflakes(clock, worker=1)
    assert not {first.mint() for _ in range(2 * ROOM)} & {second.mint() for _ in range(2 * ROOM)}


@pytest.mark.parametrize("worker", [-1, 1024])
def test_a_worker_number_that_does_not_fit_is_refused(worker: int) -> None:
    with pytest.raises(ValueError, match=str(worker)):
        Snowflakes(Clock(), worker=worker)


def test_threads_share_a_mint() -> None:
    snowflakes, found = Snowflakes(now_ms), []

    def mint() -> None:
        found.append([snowflakes.mint() for _ in range(2000)])

    threads = [threading.Thread(target=mint) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one for its in found for one in its]
    assert len(set(ids)) == len(ids) == 8000
    assert all(in_order(its) for its in found)


def test_the_other_ids_have_their_forms() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", new_hex())
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", new_uuid())
    assert len({new_hex() for _ in range(100)} | {new_uuid() for _ in range(100)}) == 200
