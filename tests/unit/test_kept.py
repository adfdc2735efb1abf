"""Machines of failed creations that are kept: until when, by whom they are removed, and what else is known of them."""

from pathlib import Path
from typing import Any

import pytest

from darkroom.domain.ids import ServerId
from darkroom.domain.jobs import Job, SubJobStatus
from darkroom.domain.servers import ServerStatus
from darkroom.drivers.base import no_progress
from darkroom.store.kept import REAPING
from darkroom.workflows.kept import ORDERED, Reaper, drop_kept_machine, keep_machine
from darkroom.workflows.plan import Work
from darkroom.workflows.reconcile import GRACE_MS, Machines
from house import MINUTE, PROJECT, World


def work(world: World, server: ServerId, **order: Any) -> Work:
    job: Job = world.job(SubJobStatus.FAILED, resource_id=server, order=order)
    return Work(job, job.sub_jobs[0], world.tools, world.store.write, no_progress)


def kept(world: World, minutes: int = 10, status: ServerStatus = ServerStatus.ERROR) -> ServerId:
    """Add a server whose creation failed and whose machine is kept."""
    server = world.server(status)
    ending = world.run(keep_machine(work(world, server, **{ORDERED: minutes})))
    world.write(lambda tx: ending(tx, world.clock()))
    return server


def reap(world: World) -> list[Any]:
    return world.run(Reaper(world.tools).reap())


def until(world: World, server: ServerId) -> int:
    return int(world.run(world.store.kept.until(server)))


def test_a_machine_is_kept_for_as_long_as_was_ordered_and_then_removed(world: World) -> None:
    server = kept(world)
    assert until(world, server) == world.clock() + 10 * MINUTE
    world.clock.passes(10 * MINUTE - 1)
    assert reap(world) == []
    assert world.machine_keys() == {server}
    world.clock.passes(1)
    assert reap(world) == []
    assert (world.machine_keys(), until(world, server)) == (set(), 0)
    assert world.kinds(server)[-2:] == ["server.machine_kept", "server.machine_reaped"]
    assert world.status(server) == "ERROR"
    reap(world)
    assert world.kinds(server).count("server.machine_reaped") == 1


def test_it_is_so_on_postgresql_too(tmp_path: Path, postgres_url: str) -> None:
    world = World(tmp_path, postgres_url)
    try:
        server = kept(world)
        world.clock.passes(10 * MINUTE)
        assert reap(world) == []
        assert (world.machine_keys(), until(world, server)) == (set(), 0)
    finally:
        world.store.close()


def test_without_an_order_or_without_a_machine_nothing_is_kept(world: World) -> None:
    server, gone = world.server(ServerStatus.ERROR), world.server(ServerStatus.ERROR)
    world.run(world.compute.delete(gone))
    for unkept in (work(world, server), work(world, gone, **{ORDERED: 5})):
        ending = world.run(keep_machine(unkept))
        world.write(lambda tx, ending=ending: ending(tx, 1))
    assert (until(world, server), until(world, gone)) == (0, 0)


def test_where_the_driver_does_not_tell_whether_there_is_a_machine_it_is_kept(world: World) -> None:
    server = world.server(ServerStatus.ERROR)
    world.fault("find", "MachineFailed")
    ending = world.run(keep_machine(work(world, server, **{ORDERED: 5})))
    world.write(lambda tx: ending(tx, world.clock()))
    assert until(world, server) == world.clock() + 5 * MINUTE


def test_a_machine_that_cannot_be_removed_is_told_of_and_tried_again(world: World) -> None:
    server, other = kept(world), kept(world)
    world.clock.passes(10 * MINUTE)
    world.fault("delete", "DeleteFailed", message="it sticks", only=server)
    (problem,) = reap(world)
    assert (problem.project_id, problem.resource_id, problem.problem) == (PROJECT, server, "it sticks")
    assert world.machine_keys() == {server}, "the other one has gone"
    assert until(world, other) == 0
    world.compute.faults.clear()
    assert reap(world) == []
    assert world.machine_keys() == set()


def test_who_dies_while_it_removes_a_machine_is_followed_by_the_next(world: World) -> None:
    server = kept(world)
    world.clock.passes(10 * MINUTE)
    assert world.write(lambda tx: tx.kept.begin_reaping(server, world.clock()))
    assert until(world, server) == REAPING
    reap(world)
    assert (world.machine_keys(), until(world, server)) == (set(), 0)


@pytest.mark.parametrize("status", [status for status in ServerStatus if status is not ServerStatus.ERROR])
def test_the_machine_of_a_server_that_a_job_has_taken_up_is_left_alone(world: World, status: ServerStatus) -> None:
    server = kept(world)
    job = world.job(SubJobStatus.RUNNING, resource_id=server)
    world.clock.passes(10 * MINUTE)
    world.write(lambda tx: tx.servers.move(server, status, world.clock(), job=job))
    assert not world.write(lambda tx: tx.kept.begin_reaping(server, world.clock()))
    reap(world)
    assert world.machine_keys() == {server}


def test_another_attempt_removes_the_kept_machine_first_and_may_be_repeated(world: World) -> None:
    server = kept(world)
    for _ in range(2):
        world.run(drop_kept_machine(work(world, server)))
        assert (world.machine_keys(), until(world, server)) == (set(), 0)
    assert world.kinds(server).count("server.machine_reaped") == 1
    world.machine(server)
    world.run(drop_kept_machine(work(world, server)))
    assert world.machine_keys() == {server}, "the machine that the attempt has made stays"


def test_a_kept_machine_is_no_orphan_and_is_not_started_again(world: World) -> None:
    server = kept(world, minutes=7 * 24 * 60)
    world.compute.switch_off(server)
    world.clock.passes(GRACE_MS + 1)
    assert world.run(Machines(world.tools).reconcile()) == []
    assert world.run(world.compute.find(server)).state == "stopped"


def test_a_kept_machine_takes_room_until_it_is_removed(world: World) -> None:
    server = kept(world)
    assert world.write(lambda tx: tx.servers.with_machines()) == {PROJECT: 1}
    world.clock.passes(10 * MINUTE)
    reap(world)
    assert world.write(lambda tx: tx.servers.with_machines()) == {}, server
