"""Housekeeping in a service that runs: what it mends by itself, what it tells of, and cleaning up after jobs."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from commands import command
from people import Person
from service_process import Service, eventually, served

from darkroom.domain.ids import ImageId, ServerId, Snowflakes
from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.times import now_ms
from darkroom.drivers.base import MachineSpec
from darkroom.drivers.simulated import SimulatedCompute, SimulatedImageStore

DAY_MS = 86_400_000
UNKNOWN = "912345678901234567"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service that keeps house all the time."""
    with served(tmp_path_factory.mktemp("house") / "data", settings={"DARKROOM_RECONCILE_INTERVAL": "0.1"}) as service:
        yield service


@pytest.fixture(scope="module")
def base(house: Service) -> str:
    return house.add_image()


def driver(service: Service) -> SimulatedCompute:
    return SimulatedCompute(service.data, SimulatedImageStore(service.data))


def events(service: Service, server_id: str) -> list[dict[str, Any]]:
    return service.get(f"image-servers/{server_id}/events", limit=100)["items"]


def happened(service: Service, server_id: str, kind: str) -> dict[str, Any]:
    """Wait until something of a kind has happened to a server; return the newest."""
    return eventually(
        lambda: next((e for e in events(service, server_id) if e["kind"] == kind), None), f"{kind} happens"
    )


def rounds(service: Service, count: int = 2) -> None:
    """Wait until every chore of reconciliation has been done so often, beginning from now."""
    for _ in range(count):
        before = dict(service.rows("SELECT name, ran_at FROM chores"))

        def passed(before: dict[str, int] = before) -> bool:
            after = dict(service.rows("SELECT name, ran_at FROM chores"))
            return all(after.get(name, 0) > before.get(name, 0) for name in ("machines", "images"))

        eventually(passed, "housekeeping goes round")


# Machines and images


def test_a_machine_that_stopped_runs_again_and_the_server_tells_of_it(house: Service, base: str) -> None:
    server = house.new_server(base, "stops")
    driver(house).switch_off(ServerId(server))
    restarted = happened(house, server, "server.restarted")
    assert restarted["data"] == {}
    assert house.server(server)["status"] == "ACTIVE"
    stopped = happened(house, server, "server.machine_stopped")
    assert (stopped["data"]["why"], stopped["data"]["start"]) == ("it was switched off", 1)
    house.succeeded(house.build(server, execute_sysprep=True))


def test_a_server_whose_machine_is_gone_is_in_error_and_the_command_says_why(house: Service, base: str) -> None:
    server = house.new_server(base, "vanishes")
    (house.data / "simulated" / "machines" / f"{server}.json").unlink()
    eventually(lambda: house.server(server)["status"] == "ERROR", "it is noticed")
    shown = command(house, "servers", "show", server)
    assert "Its machine is gone" in shown.stdout
    told = command(house, "servers", "events", server)
    assert "server.moved" in told.stdout
    assert "reason Its machine is gone" in told.stdout
    house.succeeded(house.delete(server))


def test_a_machine_and_files_that_are_nobodys_are_removed(house: Service, base: str) -> None:
    key = Snowflakes(lambda: now_ms() - DAY_MS).mint()
    machines, images = house.data / "simulated" / "machines", house.data / "images"
    kept = house.new_server(base, "kept")
    record = json.loads((machines / f"{kept}.json").read_text())
    half = images / ".0c51d2a4-0000-4000-8000-000000000002.disk.0123abcd.part"
    half.write_bytes(b"half")
    os.utime(half, (time.time() - 7200, time.time() - 7200))
    whole = images / "0c51d2a4-0000-4000-8000-000000000003"
    whole.with_suffix(".disk").write_bytes((images / f"{base}.disk").read_bytes())
    whole.with_suffix(".json").write_bytes((images / f"{base}.json").read_bytes())
    new = house.data / "new"
    new.write_text(json.dumps({**record, "key": key}))
    for once_known in (key, whole.name):
        house.write(lambda tx: tx.events.add("removed", now_ms(), house.project_id, resource_id=once_known))  # noqa: B023
    new.replace(machines / f"{key}.json")
    eventually(lambda: key not in house.machines(), "the machine is removed")
    eventually(lambda: not half.exists() and not whole.with_suffix(".disk").exists(), "the files are removed")
    assert kept in house.machines()
    assert base in house.image_files()


def test_jobs_are_left_alone_however_long_they_take(house: Service, base: str) -> None:
    """A job of every kind hangs in the middle of its work, through several rounds of housekeeping."""
    building, deleting = (house.new_server(base, name) for name in ("busy-building", "busy-deleting"))
    house.fault("await_guest", "busy-creating", hang=True, times=1)
    creating = house.create(base, "busy-creating")
    house.hangs()
    server = house.server_of(creating)
    house.fault("flatten", building, hang=True, times=1)
    house.fault("delete", deleting, hang=True, times=1)
    jobs = [creating, house.build(building), house.delete(deleting)]
    house.hangs()
    for key in (server, building, deleting):
        driver(house).switch_off(ServerId(key))
    rounds(house)
    for key in (server, building, deleting):
        assert json.loads((house.data / "simulated" / "machines" / f"{key}.json").read_text())["running"] is False
    assert [house.job(job)["status"] for job in jobs] == ["RUNNING"] * 3
    for job in jobs[:2]:
        assert house.ask("POST", f"image-server-jobs/{job}/actions/cancel").status_code == 202
        assert house.ended(job)["status"] == "FAILED"
    happened(house, building, "server.restarted")
    house.kill()
    house.faults.clear()
    house.start()
    house.succeeded(jobs[2])


def test_an_upload_whose_process_died_waits_for_its_bytes_again(new_service: Callable[..., Service]) -> None:
    """As another process sharing the records would leave it: the one that runs did not begin it."""
    service = new_service(settings={"DARKROOM_RECONCILE_INTERVAL": "0.1"})
    at = now_ms() - 61_000
    image = Image(
        id="0c51d2a4-0000-4000-8000-000000000009", project_id=service.project_id, name="dead",
        status=ImageStatus.SAVING, created_at=at, updated_at=at,
    )  # fmt: skip
    service.write(lambda tx: tx.images.add(image))
    eventually(lambda: service.get(f"/v2/images/{image.id}")["status"] == "queued", "it is given up")
    assert service.stop() == 0


def test_the_doctor_tells_when_it_was_last_looked_after_and_what_is_missing(house: Service, base: str) -> None:
    image = house.add_image()
    (house.data / "images" / f"{image}.disk").unlink()

    def missing() -> dict[str, Any] | None:
        found = house.get(f"/v1/{house.project_id}/housekeeping")["chores"]
        return next((p for chore in found for p in chore["problems"] if p["resource_id"] == image), None)

    assert "disappeared" in eventually(missing, "it is noticed")["problem"]
    findings = json.loads(command(house, "doctor", "--json").stdout)
    assert any(f["subject"] == "machines" and "last looked after" in f["finding"] for f in findings)
    (problem,) = [f for f in findings if image in f["finding"]]
    assert (problem["subject"], problem["mark"]) == ("images", "mind")
    assert house.ask("DELETE", f"/v2/images/{image}").status_code == 204
    eventually(lambda: not missing(), "it is no problem any more")


def doctors_word_on(service: Service, resource_id: str) -> dict[str, Any]:
    (found,) = [f for f in json.loads(command(service, "doctor", "--json").stdout) if resource_id in f["finding"]]
    return dict(found)


def test_the_doctor_says_what_to_do_about_a_server_that_could_not_be_made(house: Service, base: str) -> None:
    house.fault("admit", "unmade", error="AccountFailed", message="It has no useradd.", times=1)
    job = house.create(base, "unmade")
    server = house.ended(job)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    found = doctors_word_on(house, server)
    assert (found["subject"], found["mark"]) == ("image server", "mind")
    assert found["finding"] == f"unmade ({server}) is in ERROR: admit account: It has no useradd."
    assert found["advice"] == (f"darkroom jobs why {job}; darkroom jobs retry {job}; darkroom servers delete {server}")
    assert command(house, *found["advice"].split("; ")[1].split()[1:], "--wait").exit_code == 0
    assert server not in command(house, "doctor", "--json").stdout, "it is in ERROR no more"
    house.succeeded(house.delete(server))


def test_the_doctor_knows_until_when_a_machine_is_kept(house: Service, base: str) -> None:
    house.fault("admit", "kept", error="AccountFailed", times=1)
    headers = {"Darkroom-Keep-On-Failure": "30"}
    job = house.ask("POST", "image-servers", house.order(base, name="kept"), headers=headers).json()["job_id"]
    server = house.ended(job)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert server in house.machines()
    at = datetime.fromisoformat(happened(house, server, "server.machine_kept")["time"]).astimezone()
    until = f"{at + timedelta(minutes=30):%d %b %H:%M}"
    advice = doctors_word_on(house, server)["advice"]
    assert f"; its machine is kept until {until}: darkroom servers console {server}; " in advice
    house.succeeded(house.delete(server))
    assert server not in command(house, "doctor", "--json").stdout


def test_the_doctor_says_what_is_left_of_a_server_whose_machine_was_given_up(house: Service, base: str) -> None:
    server = house.new_server(base, "given-up")
    (house.data / "simulated" / "machines" / f"{server}.json").unlink()
    eventually(lambda: house.server(server)["status"] == "ERROR", "it is noticed")
    found = doctors_word_on(house, server)
    assert "Its machine is gone" in found["finding"]
    assert found["advice"] == f"darkroom servers delete {server}, with --keep-machine if its disk is needed"
    house.succeeded(house.delete(server))


def test_a_machine_of_which_no_record_ever_knew_is_told_of_to_who_looks_after_all(house: Service, base: str) -> None:
    key = ServerId(Snowflakes(lambda: now_ms() - DAY_MS).mint())
    spec = MachineSpec(name="foreign", image_id=ImageId(base), cpus=1, memory_mib=256, disk_bytes=1 << 30)
    asyncio.run(driver(house).create(key, spec))
    rounds(house)
    found = doctors_word_on(house, key)
    assert (found["subject"], found["mark"]) == ("machines", "mind")
    assert "left alone: restore the records that know it, or end it" in found["finding"]
    operator = Person(house, "operator")
    told = operator.ask("GET", f"/v1/{house.project_id}/housekeeping")
    assert told.status_code == 200
    assert key not in told.text
    asyncio.run(driver(house).delete(key))
    rounds(house)
    assert key not in command(house, "doctor", "--json").stdout


def test_the_problems_of_a_project_are_its_own(house: Service) -> None:
    stranger = house.add_stranger()
    answer = house.ask(
        "GET", f"/v1/{stranger.project_id}/housekeeping", auth=stranger.signature,
        headers={"X-Project-Id": stranger.project_id},
    )  # fmt: skip
    assert answer.status_code == 200
    assert [chore["problems"] for chore in answer.json()["chores"]] == [[]] * len(answer.json()["chores"])
    assert answer.json()["remains"] == []


def test_the_events_of_a_server_are_paged_and_an_unknown_one_has_none(house: Service, base: str) -> None:
    server = house.new_server(base, "told-of")
    newest = house.get(f"image-servers/{server}/events", limit=1)
    rest = house.get(f"image-servers/{server}/events", offset=1, limit=100)
    assert newest["count"] == rest["count"] == 1 + len(rest["items"]) >= 3
    assert newest["items"][0]["data"]["status"] == "ACTIVE"
    assert newest["items"][0]["job_id"]
    assert rest["items"][-1]["kind"] == "server.added"
    assert house.ask("GET", f"image-servers/{UNKNOWN}/events").status_code == 404
    assert house.ask("GET", f"image-servers/{server}/events?limit=0").status_code == 400


# Cleaning up after jobs


def abnormal(service: Service, base: str, name: str) -> dict[str, Any]:
    """Let a create fail whose machine cannot be removed; return its sub-job."""
    service.fault("admit", name, error="AccountFailed", times=1)
    service.fault("delete", name, error="DeleteFailed", message="busy", times=1)
    (sub_job,) = service.ended(service.create(base, name))["sub_jobs"]
    assert sub_job["status"] == "ABNORMAL"
    return dict(sub_job)


def clean(service: Service, job_id: str) -> None:
    assert service.ask("POST", f"image-server-jobs/{job_id}/actions/clean").status_code == 202


def sub_job_ends(service: Service, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = service.job(job_id)
        assert job["status"] == "FAILED", "it has ended, whatever becomes of it"
        (sub_job,) = job["sub_jobs"]
        return sub_job if "end_time" in sub_job else None

    return eventually(look, "it is cleaned up")


def test_what_a_job_left_behind_is_told_by_the_doctor_and_cleaned_by_the_command(house: Service, base: str) -> None:
    sub_job = abnormal(house, base, "left-behind")
    job_id, server = sub_job["job_id"], sub_job["job_resource_info"]["resource_id"]
    assert server in house.machines()
    (found,) = [f for f in json.loads(command(house, "doctor", "--json").stdout) if f["subject"] == "left behind"]
    assert "its machine is still there. undo of boot machine: busy" in found["finding"]
    assert found["advice"] == f"darkroom jobs clean {job_id}"
    cleaned = command(house, "jobs", "clean")
    assert (cleaned.exit_code, cleaned.stdout) == (0, "Nothing is left behind.\n")
    assert server not in house.machines()
    sub = sub_job_ends(house, job_id)
    assert (sub["status"], sub["job_execute_info"]) == ("FAILED", sub_job["job_execute_info"]), "why it failed stays"
    assert house.server(server)["status"] == "ERROR"
    undone = [step for step in house.get(f"image-server-jobs/{job_id}/timeline")["steps"] if step["phase"] == "undo"]
    assert [(step["name"], step["status"]) for step in undone] == [("boot machine", "SUCCESS")]
    refused = house.ask("POST", f"image-server-jobs/{job_id}/actions/clean")
    assert (refused.status_code, refused.json()["error_code"]) == (400, "WKS.00211102")


def test_what_cannot_be_cleaned_is_abnormal_again_and_can_be_tried_again(house: Service, base: str) -> None:
    job_id = abnormal(house, base, "sticks")["job_id"]
    for why in ("still busy", "on fire"):
        house.fault("delete", "sticks", error="DeleteFailed", message=why, times=1)
        cleaned = command(house, "jobs", "clean", job_id, "--json")
        (left,) = json.loads(cleaned.stdout)
        assert (cleaned.exit_code, left["failed"]) == (1, {"boot machine": f"boot machine: {why}"})
        assert sub_job_ends(house, job_id)["status"] == "ABNORMAL"
    assert command(house, "jobs", "clean", job_id).exit_code == 0
    assert sub_job_ends(house, job_id)["status"] == "FAILED"


def test_a_service_that_dies_while_it_cleans_goes_on_with_it(new_service: Callable[..., Service]) -> None:
    service = new_service()
    sub_job = abnormal(service, service.add_image(), "dies")
    job_id, server = sub_job["job_id"], sub_job["job_resource_info"]["resource_id"]
    service.fault("delete", "dies", hang=True, times=1)
    clean(service, job_id)
    service.hangs()
    assert service.job(job_id)["sub_jobs"][0]["status"] == "ROLLBACK"
    assert "end_time" not in service.job(job_id)["sub_jobs"][0]
    retried = service.ask("POST", f"image-server-jobs/{job_id}/actions/retry")
    assert (retried.status_code, "being undone" in retried.text) == (400, True)
    assert service.server(server)["status"] == "ERROR"
    service.kill()
    service.start()
    assert sub_job_ends(service, job_id)["status"] == "FAILED"
    assert service.machines() == set()
    service.succeeded(service.accept("POST", f"image-server-jobs/{job_id}/actions/retry", None))
    assert service.machines() == {server}
    assert service.stop() == 0


def test_what_a_later_job_works_with_is_no_remains(house: Service, base: str) -> None:
    """The retry took the machine over: cleaning up after the first job must not take it away."""
    sub_job = abnormal(house, base, "taken-over")
    job_id, server = sub_job["job_id"], sub_job["job_resource_info"]["resource_id"]
    house.succeeded(house.accept("POST", f"image-server-jobs/{job_id}/actions/retry", None))
    clean(house, job_id)
    assert sub_job_ends(house, job_id)["status"] == "FAILED"
    rounds(house)
    assert (house.server(server)["status"], server in house.machines()) == ("ACTIVE", True)


def test_cleaning_up_after_a_build_leaves_the_server_as_it_is_now(house: Service, base: str) -> None:
    server = house.new_server(base, "half-built")
    house.fault("flatten", server, error="CaptureFailed", times=1)
    house.fault("discard", server, error="SnapshotFailed", times=1)
    (sub_job,) = house.ended(house.build(server, "never"))["sub_jobs"]
    assert sub_job["status"] == "ABNORMAL"
    house.succeeded(house.build(server, "golden"))
    clean(house, sub_job["job_id"])
    assert sub_job_ends(house, sub_job["job_id"])["status"] == "FAILED"
    assert house.server(server)["status"] == "BUILT"
    machine = json.loads((house.data / "simulated" / "machines" / f"{server}.json").read_text())
    assert machine["captures"] == {}


def test_a_job_that_left_nothing_or_is_unknown_is_not_cleaned(house: Service, base: str) -> None:
    done = house.create(base, "fine")
    house.succeeded(done)
    assert house.ask("POST", f"image-server-jobs/{done}/actions/clean").status_code == 400
    assert house.ask("POST", f"image-server-jobs/{UNKNOWN}/actions/clean").status_code == 404


def test_cleaning_up_works_where_the_records_are_shared(new_service: Callable[..., Service], postgres_url: str) -> None:
    settings = {"DARKROOM_DATABASE": postgres_url, "DARKROOM_RECONCILE_INTERVAL": "0.1"}
    service = new_service(settings=settings)
    sub_job = abnormal(service, service.add_image(), "shared")
    assert service.machines() == {sub_job["job_resource_info"]["resource_id"]}
    clean(service, sub_job["job_id"])
    assert sub_job_ends(service, sub_job["job_id"])["status"] == "FAILED"
    assert service.machines() == set()

    def keeps_house() -> bool:
        done = {chore["name"] for chore in service.get(f"/v1/{service.project_id}/housekeeping")["chores"]}
        return {"admission", "machines", "kept machines", "images", "retention"} <= done

    eventually(keeps_house, "it keeps house")
    assert service.stop() == 0
    assert not service.logged_errors()


# Retention


def test_jobs_that_are_old_enough_go_with_their_checkpoints(new_service: Callable[..., Service]) -> None:
    service = new_service(settings={"DARKROOM_JOB_RETENTION_DAYS": "30"})
    image = service.add_image()
    old, cleaned = service.create(image, "old"), abnormal(service, image, "cleaned")["job_id"]
    service.succeeded(old)
    clean(service, cleaned)
    assert sub_job_ends(service, cleaned)["status"] == "FAILED"
    server = service.server_of(old)
    young = service.build(server)
    service.succeeded(young)
    assert service.stop() == 0
    _age(service, [old, cleaned], 31 * DAY_MS)
    service.start()
    eventually(lambda: service.rows("SELECT count(*) FROM jobs") == [(1,)], "the old ones are purged")
    assert [service.ask("GET", f"image-server-jobs/{job}").status_code for job in (old, cleaned)] == [404, 404]
    assert service.job(young)["status"] == "SUCCESS"
    assert service.rows("SELECT workflow_uuid FROM workflow_status") == [(young,)]
    assert events(service, server)[-1]["kind"] == "server.added", "its own events stay"
    assert service.stop() == 0
    assert not service.logged_errors()


def _age(service: Service, job_ids: list[str], ms: int) -> None:
    """Let jobs be so much older: their ids, from which their age is told, included."""
    import sqlite3

    with sqlite3.connect(service.data / "darkroom.db", timeout=30) as connection:
        for job_id in job_ids:
            older = str(int(job_id) - (ms << 22))
            connection.execute("UPDATE jobs SET id = ?, end_time = end_time - ? WHERE id = ?", (older, ms, job_id))
            connection.execute("UPDATE sub_jobs SET job_id = ? WHERE job_id = ?", (older, job_id))
            connection.execute("UPDATE events SET job_id = ?, at = at - ? WHERE job_id = ?", (older, ms, job_id))
            for table in ("workflow_status", "operation_outputs"):
                connection.execute(
                    f"UPDATE {table} SET workflow_uuid = ? || substr(workflow_uuid, ?) WHERE workflow_uuid LIKE ?",
                    (older, len(job_id) + 1, f"{job_id}%"),
                )
