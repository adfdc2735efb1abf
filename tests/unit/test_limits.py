"""Which waiting jobs begin: within the limits, fairly between projects, in order within each."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.ids import JobId, ProjectId
from darkroom.domain.limits import Room, Waiting, next_in

projects = st.sampled_from([ProjectId(name) for name in "abcd"])
loads = st.dictionaries(projects, st.integers(0, 4))
rooms = st.builds(Room, in_all=st.integers(0, 8), per_project=st.integers(0, 4))


def queue(owners: list[ProjectId]) -> list[Waiting]:
    return [Waiting(job_id=JobId(str(number)), project_id=owner) for number, owner in enumerate(owners, 1)]


waitings = st.lists(projects, max_size=12).map(queue)


@given(waitings, loads, rooms)
def test_the_limits_hold_and_no_room_is_left_that_somebody_could_use(
    waiting: list[Waiting], load: dict[ProjectId, int], room: Room
) -> None:
    chosen = next_in(waiting, load, room)
    after = Counter(load) + Counter(each.project_id for each in chosen)
    left = [each for each in waiting if each not in chosen]
    if room.in_all and chosen:
        assert after.total() <= room.in_all
    for project in {each.project_id for each in chosen}:
        assert not room.per_project or after[project] <= room.per_project
    full = room.in_all and after.total() >= room.in_all
    assert full or all(room.per_project and after[each.project_id] >= room.per_project for each in left)


@given(waitings, loads, rooms)
def test_the_jobs_of_a_project_begin_in_the_order_they_came(
    waiting: list[Waiting], load: dict[ProjectId, int], room: Room
) -> None:
    chosen = next_in(waiting, load, room)
    for project in {each.project_id for each in waiting}:
        its = [each for each in waiting if each.project_id == project]
        begun = [each for each in chosen if each.project_id == project]
        assert begun == its[: len(begun)]


def test_a_project_that_asks_for_much_does_not_keep_another_waiting() -> None:
    a, b = ProjectId("a"), ProjectId("b")
    waiting = queue([a, a, a, a, b])
    assert [each.project_id for each in next_in(waiting, {}, Room(in_all=2))] == [a, b]
    assert [each.project_id for each in next_in(waiting, {a: 1}, Room(in_all=2))] == [b]


def test_without_limits_all_begin() -> None:
    waiting = queue([ProjectId("a")] * 3)
    assert next_in(waiting, {}, Room()) == waiting
