"""Reconciliation of machines: orphans go, stopped ones come back, gone ones are told of; jobs are not disturbed."""

from pathlib import Path

import msgspec
import pytest

from darkroom.domain.chores import Problem
from darkroom.domain.ids import ServerId
from darkroom.domain.images import ImageStatus
from darkroom.domain.jobs import SubJobStatus
from darkroom.domain.servers import ServerStatus
from darkroom.drivers.base import Machine
from darkroom.workflows.reconcile import GRACE_MS, STARTS, Machines
from darkroom.workflows.reconcile_images import ImageFiles
from darkroom.workflows.retention import Retention
from house import DAY, HOUR, MINUTE, PROJECT, World

BUSY = [status for status in ServerStatus if status not in (ServerStatus.ACTIVE, ServerStatus.BUILT)]


def reconcile(world: World) -> list[Problem]:
    return world.run(Machines(world.tools).reconcile())


def state(world: World, key: str) -> str:
    return world.run(world.compute.find(key)).state


# Machines without a record


def test_a_machine_that_has_no_record_any_more_is_removed_and_told_of(world: World) -> None:
    orphan, kept = world.machine(), world.server()
    world.once_knew(orphan)
    world.clock.passes(GRACE_MS + 1)
    assert reconcile(world) == []
    assert world.machine_keys() == {kept}
    kind, data = world.told(orphan)[-1]
    assert (kind, data["state"]) == ("machine.orphan_removed", "running")


def test_a_machine_of_which_the_records_never_knew_is_left_alone_and_told_of(world: World) -> None:
    foreign = world.machine()
    world.clock.passes(GRACE_MS + 1)
    (problem,) = reconcile(world)
    assert problem.resource_id == foreign
    assert "know nothing" in problem.problem
    assert world.machine_keys() == {foreign}


def test_the_event_is_the_projects_that_the_machine_belonged_to(world: World) -> None:
    server, job = world.server(), world.job()
    world.write(lambda tx: tx.servers.remove(server, world.clock(), job=job))
    world.clock.passes(GRACE_MS + 1)
    reconcile(world)
    assert world.machine_keys() == set()
    row = world.rows("SELECT project_id FROM events WHERE kind = 'machine.orphan_removed'")
    assert row == [(PROJECT,)]


def test_a_young_machine_is_let_be(world: World) -> None:
    key = world.machine()
    world.clock.passes(GRACE_MS)
    reconcile(world)
    assert world.machine_keys() == {key}


def test_a_machine_about_which_a_job_runs_is_let_be(world: World) -> None:
    key = world.machine()
    world.job(SubJobStatus.RUNNING, resource_id=key)
    world.clock.passes(GRACE_MS + 1)
    reconcile(world)
    assert world.machine_keys() == {key}


def test_a_machine_that_is_named_by_no_servers_id_is_not_ours(world: World) -> None:
    world.machine("somebody-elses")
    world.clock.passes(GRACE_MS + 1)
    reconcile(world)
    assert world.machine_keys() == {"somebody-elses"}


def test_a_released_machine_is_no_orphan(world: World) -> None:
    key = world.machine()
    world.run(world.compute.release(key))
    world.clock.passes(GRACE_MS + 1)
    reconcile(world)
    assert (world.data / "simulated" / "released" / f"{key}.json").exists()
    assert world.kinds(key) == []


# Servers whose machine is gone


@pytest.mark.parametrize("status", [ServerStatus.ACTIVE, ServerStatus.BUILT])
def test_a_server_whose_machine_is_gone_is_in_error_and_says_why(world: World, status: ServerStatus) -> None:
    server = world.server(status)
    world.run(world.compute.delete(server))
    reconcile(world)
    assert world.status(server) == "ERROR"
    kind, data = world.told(server)[-1]
    assert (kind, data["status"]) == ("server.moved", "ERROR")
    assert "gone" in data["reason"]
    before = world.told(server)
    reconcile(world)
    assert world.told(server) == before, "once is enough"


@pytest.mark.parametrize("status", BUSY)
@pytest.mark.parametrize("stopped", [True, False])
def test_a_server_that_a_job_is_about_is_not_touched(world: World, status: ServerStatus, stopped: bool) -> None:
    server = world.server(status)
    if stopped:
        world.compute.switch_off(server)
    else:
        world.run(world.compute.delete(server))
    before = world.told(server)
    reconcile(world)
    assert (world.status(server), world.told(server)) == (status, before)
    if stopped:
        assert state(world, server) == "stopped"


@pytest.mark.parametrize("stopped", [True, False])
def test_a_server_to_which_somebody_attaches_is_not_touched(world: World, stopped: bool) -> None:
    server = world.server()
    record = world.run(world.store.servers.get(PROJECT, server))
    now = world.clock()
    world.write(lambda tx: tx.attachments.begin(record, "lease", now, now + 1000, of={ServerStatus.ACTIVE}))
    if stopped:
        world.compute.switch_off(server)
    else:
        world.run(world.compute.delete(server))
    reconcile(world)
    assert world.status(server) == "ACTIVE"
    world.clock.passes(1000)
    reconcile(world)
    assert (world.status(server) == "ACTIVE", "server.restarted" in world.kinds(server)) == (stopped, stopped)


@pytest.mark.parametrize("status", BUSY)
def test_nothing_is_recorded_of_a_server_that_a_job_took_meanwhile(world: World, status: ServerStatus) -> None:
    """What was read a moment ago is no ground to change anything: the state is looked at again in the transaction."""
    key = world.server()
    server = world.run(world.store.servers.get(PROJECT, key))
    access, job = world.run(world.store.servers.access(server)), world.job()
    world.write(lambda tx: tx.servers.move(key, status, world.clock(), job=job))
    before = world.told(key)
    for change in (
        lambda tx: tx.servers.fail(server, world.clock(), "gone"),
        lambda tx: tx.servers.tell(server, world.clock(), "server.machine_stopped", {}),
        lambda tx: tx.servers.move_door(server, access.with_door("127.0.0.1", 1, "k"), world.clock()),
    ):
        assert world.write(change) is False
    assert (world.status(key), world.told(key)) == (status, before)
    assert world.run(world.store.servers.access(server)) == access


# Machines that have stopped


def test_a_machine_that_stopped_is_started_again_with_all_that_was_on_its_disk(world: World) -> None:
    server = world.server()
    world.compute.write_file(server, "/opt/half-finished", "work of a morning")
    world.compute.switch_off(server)
    assert reconcile(world) == []
    assert (world.status(server), state(world, server)) == ("ACTIVE", "running")
    assert world.compute.read_file(server, "/opt/half-finished") == "work of a morning"
    (stopped, data), (restarted, _) = world.told(server)[-2:]
    assert (stopped, restarted) == ("server.machine_stopped", "server.restarted")
    assert (data["why"], data["start"], data["of"]) == ("it was switched off", 1, STARTS)
    assert data["console"][-1] == "reboot: Power down"


def stop_and_reconcile(world: World, server: str, times: int) -> None:
    for _ in range(times):
        world.clock.passes(MINUTE)
        world.compute.switch_off(server)
        reconcile(world)


def test_a_machine_that_does_nothing_but_stop_is_given_up_with_the_reason(world: World) -> None:
    server = world.server()
    stop_and_reconcile(world, server, STARTS)
    assert (world.status(server), state(world, server)) == ("ACTIVE", "running")
    stop_and_reconcile(world, server, 1)
    assert (world.status(server), state(world, server)) == ("ERROR", "stopped")
    reason = world.told(server)[-1][1]["reason"]
    assert f"started again {STARTS} times within an hour" in reason
    assert "it was switched off" in reason
    assert reason.endswith("reboot: Power down")


def test_stops_of_more_than_an_hour_ago_do_not_count(world: World) -> None:
    server = world.server()
    stop_and_reconcile(world, server, STARTS)
    world.clock.passes(HOUR)
    stop_and_reconcile(world, server, STARTS)
    assert (world.status(server), state(world, server)) == ("ACTIVE", "running")


def test_a_start_that_fails_counts_and_is_a_problem_until_it_succeeds(world: World) -> None:
    server, other = world.server(), world.server()
    for key in (server, other):
        world.compute.switch_off(key)
    world.fault("restart", "MachineFailed", message="QEMU ended at once", only=server)
    for _ in range(STARTS):
        world.clock.passes(MINUTE)
        assert reconcile(world) == [Problem(project_id=PROJECT, resource_id=server, problem="QEMU ended at once")]
    assert state(world, other) == "running", "one that fails keeps no other from being seen to"
    assert world.status(server) == "ACTIVE"
    assert reconcile(world) == []
    assert world.status(server) == "ERROR"


def test_a_machine_that_got_another_port_is_found_there(world: World) -> None:
    server = world.server()
    file = world.data / "simulated" / "machines" / f"{server}.json"
    machine = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode({**machine, "port": 4022}))
    reconcile(world)
    record = world.run(world.store.servers.get(PROJECT, server))
    access = world.run(world.store.servers.access(record))
    assert (access.port, access.password) == (4022, "p")
    assert world.told(server)[-1] == ("server.door_moved", {"address": "127.0.0.1", "port": 4022})
    before = world.told(server)
    reconcile(world)
    assert world.told(server) == before


# PostgreSQL


def test_all_of_it_works_on_postgresql_too(tmp_path: Path, postgres_url: str) -> None:
    world = World(tmp_path, postgres_url)

    def told(key: str) -> list[str]:
        return [event.kind for event in world.run(world.store.events.of_resource(PROJECT, key, 0, 9))[1]]

    gone, stopped, orphan, file = world.server(), world.server(), world.server(), world.file()
    upload, job = world.image(ImageStatus.SAVING), world.job()
    world.write(lambda tx: tx.servers.remove(orphan, world.clock(), job=job))
    world.run(world.compute.delete(gone))
    world.compute.switch_off(stopped)
    world.once_knew(file)
    world.clock.passes(GRACE_MS + 1)
    assert reconcile(world) == world.run(ImageFiles(world.tools).reconcile()) == []
    assert [world.status(gone), world.status(stopped), state(world, stopped)] == ["ERROR", "ACTIVE", "running"]
    assert told(stopped)[:2] == ["server.restarted", "server.machine_stopped"]
    assert (world.machine_keys(), told(orphan)[0]) == ({stopped}, "machine.orphan_removed")
    assert set(world.run(world.images.stored())) == {world.base, upload}
    assert file not in world.run(world.images.stored())
    assert world.run(world.store.images.get(PROJECT, upload)).status == "queued"
    world.clock.passes(91 * DAY)
    forgotten: list[str] = []
    world.run(Retention(world.store, forgotten.extend, world.clock, days=90).purge())
    assert len(forgotten) == 4
    assert (told(orphan), told(stopped)[-1]) == (["machine.orphan_removed"], "server.added")
    assert world.run(world.store.jobs.page(PROJECT, None, None, 0, 9)) == (0, [])
    world.store.close()


# A driver that fails


@pytest.mark.parametrize("call", ["delete", "find"])
def test_what_could_not_be_seen_to_is_seen_to_the_next_time(world: World, call: str) -> None:
    orphan, gone = world.machine(), world.server()
    world.once_knew(orphan)
    world.run(world.compute.delete(gone))
    world.clock.passes(GRACE_MS + 1)
    world.fault(call, "DeleteFailed", message="busy", times=1)
    reconcile(world)
    assert {orphan in world.machine_keys(), world.status(gone) == "ACTIVE"} == {True, False}, "only one of them failed"
    reconcile(world)
    assert (world.machine_keys(), world.status(gone)) == (set(), "ERROR")


def test_a_fault_that_nobody_foresaw_keeps_no_other_from_being_seen_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [world.server(), world.server()]
    for key in servers:
        world.compute.switch_off(key)
    restart, failed = world.compute.restart, list[str]()

    async def fails_once(key: ServerId) -> Machine:
        if not failed:
            failed.append(key)
            raise RuntimeError("torn")
        return await restart(key)

    monkeypatch.setattr(world.compute, "restart", fails_once)
    (problem,) = reconcile(world)
    assert (problem.resource_id, problem.problem) == (failed[0], "RuntimeError: torn")
    assert {key for key in servers if state(world, key) == "running"} == set(servers) - {failed[0]}
