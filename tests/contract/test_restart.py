"""The service dies in the middle of jobs, and is started again; and jobs fail. Nothing is lost, doubled or left."""

import json
import signal
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from service_process import INSTANT, Service, eventually

from darkroom.wire.times import parse

NewService = Callable[..., Service]


def story(service: Service, job_id: str) -> list[tuple[Any, ...]]:
    """Return what the events tell of a job, without what differs between any two jobs: ids, names, times, progress.

    That a step was begun once more is left out, too.
    """
    rows = service.rows(
        "SELECT kind, data FROM events WHERE job_id = ? AND kind NOT IN ('step.progress', 'step.resumed') ORDER BY seq",
        int(job_id),
    )
    told = [(kind, json.loads(data)) for kind, data in rows]
    return [
        (kind, data["phase"], data["name"], data.get("status")) if "phase" in data else (kind, data.get("status"))
        for kind, data in told
    ]


def assert_in_order(service: Service) -> None:
    """See that there is a machine for each server, a file for each image, and nothing else; that no event is lost."""
    servers = {str(row[0]) for row in service.rows("SELECT id FROM image_servers")}
    in_error = {str(row[0]) for row in service.rows("SELECT id FROM image_servers WHERE status = 'ERROR'")}
    assert service.machines() == servers - in_error
    for path in (service.data / "simulated" / "machines").glob("*.json"):
        assert json.loads(path.read_text())["captures"] == {}, path
    assert service.image_files() == {row[0] for row in service.rows("SELECT id FROM images")}
    (first, last, count) = service.rows("SELECT min(seq), max(seq), count(*) FROM events")[0]
    assert (first, last) == (1, count), "the events are numbered without gaps"
    running = "SELECT id FROM jobs WHERE status = 'RUNNING' OR end_time IS NULL"
    assert service.rows(running) == []
    statuses = "SELECT DISTINCT status FROM sub_jobs WHERE end_time IS NULL"
    assert service.rows(statuses) == []


def resources(service: Service, job_ids: Iterable[str]) -> list[str]:
    return [service.succeeded(job)["sub_jobs"][0]["job_resource_info"]["resource_id"] for job in job_ids]


#: Calls of the driver in which the service dies, by what it is doing: each for a server that bears the call's name.
CREATING = ("check", "create", "await_guest", "admit", "try_login")
BUILDING = ("snapshot", "generalise", "flatten", "discard")


def test_whatever_call_the_service_dies_in_the_job_goes_on_and_ends_once(new_service: NewService) -> None:
    service = new_service()
    image = service.add_image()
    plain = service.create(image, "undisturbed")
    (undisturbed,) = resources(service, [plain])
    built = service.build(undisturbed, execute_sysprep=True)
    service.succeeded(built)
    credentials = service.credentials
    for number in (signal.SIGKILL, signal.SIGTERM):
        dies_in_every_call(service, image, number, story(service, plain), story(service, built))
        assert service.credentials == credentials
    assert service.stop() == 0


def dies_in_every_call(
    service: Service, image: str, number: int, plain: list[tuple[Any, ...]], built: list[tuple[Any, ...]]
) -> None:
    prepared = (*BUILDING, "facts", "release")
    servers = dict(zip(prepared, resources(service, [service.create(image, name) for name in prepared]), strict=True))

    for call in (*CREATING, *BUILDING, "release"):
        service.fault(call, call, hang=True, times=1)
    # Two jobs fail at their last step, and the service dies while they are being undone.
    service.fault("find", "find", error="MachineFailed", message="It went up in smoke.", times=1)
    service.fault("delete", "find", hang=True, times=1)
    service.fault("facts", "", error="CaptureFailed", times=1)
    service.fault("remove", "", hang=True, times=1)

    creates = {call: service.create(image, call) for call in CREATING}
    builds = {call: service.build(servers[call], f"of {call}", execute_sysprep=True) for call in BUILDING}
    release = service.delete(servers["release"], recursive=False)
    failing = {"find": service.create(image, "find"), "facts": service.build(servers["facts"], "never")}
    service.hangs()
    for job in (*creates.values(), *builds.values(), release, *failing.values()):
        assert service.job(job)["status"] == "RUNNING"

    assert service.stop(number) == (0 if number == signal.SIGTERM else -number)
    service.faults.clear()
    service.start()

    for job in creates.values():
        (made,) = resources(service, [job])
        assert service.server(made)["status"] == "ACTIVE"
        assert story(service, job) == plain
    for call, job in builds.items():
        (image_id,) = resources(service, [job])
        assert service.server(servers[call])["status"] == "BUILT"
        assert service.server(servers[call])["image_id"] == image_id
        assert service.get(f"/v2/images/{image_id}")["generalised"] is True
        assert story(service, job) == built
    service.succeeded(release)
    assert servers["release"] not in service.machines()

    failed = {call: service.ended(job) for call, job in failing.items()}
    for job in failed.values():
        assert (job["status"], job["sub_jobs"][0]["status"]) == ("FAILED", "FAILED")
    told = {call: job["sub_jobs"][0]["job_execute_info"] for call, job in failed.items()}
    assert told == {
        "find": {"error_code": "Darkroom.0103", "error_message": "finish: It went up in smoke."},
        "facts": {"error_code": "Darkroom.0203", "error_message": "finish: The image could not be captured."},
    }
    assert service.server(failed["find"]["sub_jobs"][0]["job_resource_info"]["resource_id"])["status"] == "ERROR"
    assert service.server(servers["facts"])["status"] == "ACTIVE"
    assert failed["facts"]["sub_jobs"][0]["job_resource_info"] == {"resource_id": "", "resource_name": "never"}
    assert_in_order(service)


def test_killed_at_any_moment_again_and_again_every_job_still_ends_once(new_service: NewService) -> None:
    """The jobs begin one after another, so that each kill meets all of them at different moments."""
    service = new_service(durations=INSTANT.replace("=0", "=0.3"))
    image = service.add_image()
    prepared = resources(service, [service.create(image, f"prepared-{number}") for number in range(9)])
    to_build, to_delete, samples = prepared[:4], prepared[4:7], prepared[7:]
    sample_jobs = [service.build(samples[0]), service.delete(samples[1])]
    plain = {job["job_type"]: story(service, job["id"]) for job in map(service.succeeded, sample_jobs)}
    first = service.get("image-server-jobs", job_type="CREATE_SERVER")["items"][0]["id"]
    plain["CREATE_SERVER"] = story(service, first)

    jobs: list[str] = []
    for number in range(4):
        jobs.append(service.create(image, f"made-{number}"))
        jobs.append(service.build(to_build[number], f"image-{number}"))
        jobs.extend([service.delete(to_delete[number])] if number < len(to_delete) else [])

    def over() -> int:
        listed = ", ".join(jobs)
        return int(service.rows(f"SELECT count(*) FROM jobs WHERE id IN ({listed}) AND status <> 'RUNNING'")[0][0])

    for _ in range(2):
        before = over()
        eventually(lambda before=before: over() > before or over() == len(jobs), "one more job ends")
        service.kill()
        service.start()

    for job_id in jobs:
        job = service.succeeded(job_id)
        assert story(service, job_id) == plain[job["job_type"]]
    names = [name for (name,) in service.rows("SELECT name FROM image_servers ORDER BY name")]
    assert names == [*(f"made-{number}" for number in range(4)), *(f"prepared-{number}" for number in (0, 1, 2, 3, 7))]
    statuses = {server: service.server(server)["status"] for server in to_build}
    assert set(statuses.values()) == {"BUILT"}
    assert len(service.image_files()) == 2 + len(to_build), "the base, the sample's, and one for each build"
    assert_in_order(service)
    assert service.stop() == 0


def test_a_job_goes_on_after_a_sub_job_of_it_was_removed(new_service: NewService) -> None:
    service = new_service()
    image = service.add_image()
    servers = [service.new_server(image, name) for name in ("first", "second")]
    service.fault("delete", "second", hang=True, times=1)
    job_id = service.delete(*servers)
    service.hangs()
    removed, left = service.job(job_id)["sub_jobs"]
    assert (removed["status"], left["status"]) == ("SUCCESS", "RUNNING")
    for _ in range(2):  # the second time there is none to be removed
        answer = service.ask("PATCH", "image-server-sub-jobs/actions/batch-delete", {"items": [removed["id"]]})
        assert (answer.status_code, answer.content) == (200, b"")
        job = service.job(job_id)
        assert (job["status"], job["sub_jobs_total"]) == ("RUNNING", 1)
        assert [sub_job["id"] for sub_job in job["sub_jobs"]] == [left["id"]]

    service.kill()
    service.faults.clear()
    service.start()
    job = service.succeeded(job_id)
    assert job["sub_jobs_total"] == 1
    listed = service.get("image-server-sub-jobs", job_type="DELETE_SERVER")
    assert listed["count"] == len(listed["items"]) == 1
    for (sub_job,) in (job["sub_jobs"], listed["items"]):
        assert (sub_job["id"], sub_job["status"]) == (left["id"], "SUCCESS")


# Jobs that fail, without any restart


def left_of(service: Service, name: str) -> list[str]:
    """Return the files of machines and images, whole or not, that bear an id."""
    folders = (service.data / "simulated" / "machines", service.data / "images")
    return [str(path) for folder in folders for path in folder.glob("*") if name in path.name]


def failed(service: Service, job_id: str) -> dict[str, Any]:
    """Wait for a job to fail; return its sub-job."""
    job = service.ended(job_id)
    assert job["status"] == "FAILED"
    return dict(job["sub_jobs"][0])


@pytest.mark.parametrize(
    ("call", "error", "step", "code", "message"),
    [
        ("check", "HostFull", "check host", "Darkroom.0101", "The host has not enough memory or disk space."),
        ("create", "MachineFailed", "boot machine", "Darkroom.0103", "kernel panic"),
        ("await_guest", "GuestSilent", "await guest", "Darkroom.0104", "The guest agent did not answer in time."),
        ("admit", "AccountFailed", "admit account", "Darkroom.0105", "no useradd"),
        ("try_login", "LoginFailed", "log in", "Darkroom.0106", "refused"),
        ("find", "MachineFailed", "finish", "Darkroom.0103", "gone"),
        ("create", "Fault", "boot machine", "WKS.00211401", "The operation failed; try again later."),
        ("create", "MachineFailed", "boot machine", "Darkroom.0103", "long " + "x" * 3000),
    ],
)
def test_a_create_that_fails_says_why_and_leaves_no_machine(
    service: Service, image: str, call: str, error: str, step: str, code: str, message: str
) -> None:
    name = f"fails-in-{call.replace('_', '-')}"
    service.fault(call, name, error=error, message="" if message.endswith(".") else message)
    sub_job = failed(service, service.create(image, name))
    assert sub_job["status"] == "FAILED"
    told = sub_job["job_execute_info"]
    assert told["error_code"] == code
    assert told["error_message"].split("\n")[0] == f"{step}: {message}"[:2000], "a console's last lines may follow"
    server = service.server(sub_job["job_resource_info"]["resource_id"])
    assert (server["status"], server["name"]) == ("ERROR", name), "the record stays, to tell of it"
    access = service.ask("GET", f"image-servers/{server['id']}/access")
    assert access.status_code == (400 if call in ("check", "create", "await_guest", "admit") else 200)
    assert left_of(service, server["id"]) == []


@pytest.mark.parametrize(
    ("before", "call", "how", "step", "code"),
    [
        ("ACTIVE", "snapshot", {"error": "SnapshotFailed"}, "freeze disk", "Darkroom.0201"),
        ("BUILT", "generalise", {"error": "GeneraliseFailed", "after": 0.5}, "generalise", "Darkroom.0202"),
        ("ACTIVE", "flatten", {"error": "CaptureFailed", "after": 0.5}, "flatten", "Darkroom.0203"),
        ("BUILT", "flatten", {"error": "HostFull", "after": 1}, "flatten", "Darkroom.0101"),
        ("ACTIVE", "discard", {"error": "CaptureFailed"}, "discard snapshot", "Darkroom.0203"),
    ],
)
def test_a_build_that_fails_leaves_the_server_as_it_was(
    service: Service, image: str, before: str, call: str, how: dict[str, Any], step: str, code: str
) -> None:
    server = service.new_server(image, f"{call}-fails")
    if before == "BUILT":
        service.succeeded(service.build(server))
    was = service.server(server)
    service.fault(call, server, **how, times=1)
    job_id = service.build(server, "never", execute_sysprep=True)
    sub_job = failed(service, job_id)
    assert sub_job["status"] == "FAILED"
    assert sub_job["job_resource_info"] == {"resource_id": "", "resource_name": "never"}
    told = sub_job["job_execute_info"]
    assert told["error_code"] == code
    assert told["error_message"].startswith(f"{step}: ")
    now = service.server(server)
    assert parse(now.pop("update_time")) >= parse(was.pop("update_time"))
    assert now == was
    assert was["status"] == before
    image_id = json.loads(service.rows('SELECT "order" FROM jobs WHERE id = ?', int(job_id))[0][0])["image_id"]
    assert left_of(service, image_id) == []
    assert service.ask("GET", f"/v2/images/{image_id}").status_code == 404
    machine = json.loads((service.data / "simulated" / "machines" / f"{server}.json").read_text())
    assert machine["captures"] == {}
    service.succeeded(service.build(server, "afterwards", execute_sysprep=call != "generalise"))


def test_an_undo_that_fails_makes_the_sub_job_abnormal(service: Service, image: str) -> None:
    service.fault("admit", "undead", error="AccountFailed")
    service.fault("delete", "undead", error="DeleteFailed", times=1)
    sub_job = failed(service, service.create(image, "undead"))
    assert sub_job["status"] == "ABNORMAL"
    assert "end_time" in sub_job
    told = sub_job["job_execute_info"]
    assert told == {
        "error_code": "Darkroom.0105",
        "error_message": "admit account: The account could not be made in the guest.",
    }
    server = sub_job["job_resource_info"]["resource_id"]
    assert service.server(server)["status"] == "ERROR"
    assert left_of(service, server), "that is what is abnormal"
    service.succeeded(service.delete(server))
    assert left_of(service, server) == [], "deleting the server makes up for it"


def test_a_build_that_cannot_be_undone_is_abnormal_and_the_server_goes_on(service: Service, image: str) -> None:
    server = service.new_server(image, "half-built")
    service.fault("flatten", server, error="CaptureFailed")
    service.fault("discard", server, error="SnapshotFailed", times=1)
    sub_job = failed(service, service.build(server, "never"))
    assert sub_job["status"] == "ABNORMAL"
    assert sub_job["job_execute_info"]["error_code"] == "Darkroom.0203", "the first failure is the one that counts"
    assert service.server(server)["status"] == "ACTIVE"


@pytest.mark.parametrize("recursive", [True, False])
def test_a_delete_that_fails_leaves_the_server_in_error_to_be_deleted_again(
    service: Service, image: str, recursive: bool
) -> None:
    server, other = (service.new_server(image, name) for name in ("sticky", "loose"))
    service.fault("delete" if recursive else "release", server, error="DeleteFailed", message="busy", times=1)
    job = service.ended(service.delete(server, other, recursive=recursive))
    assert (job["status"], job["sub_jobs_total"]) == ("FAILED", 2)
    assert [sub_job["status"] for sub_job in job["sub_jobs"]] == ["FAILED", "SUCCESS"]
    told = job["sub_jobs"][0]["job_execute_info"]
    assert told == {"error_code": "Darkroom.0301", "error_message": "remove machine: busy"}
    assert job["sub_jobs"][1]["job_execute_info"] == {"error_code": "", "error_message": ""}
    assert service.server(server)["status"] == "ERROR"
    assert service.ask("GET", f"image-servers/{other}").status_code == 404
    service.succeeded(service.delete(server, recursive=recursive))
    assert left_of(service, server) == []


def test_the_timeline_tells_of_the_failed_step_and_of_its_undoing(service: Service, image: str) -> None:
    service.fault("try_login", "told", error="LoginFailed", message="refused")
    job_id = service.create(image, "told")
    failed(service, job_id)
    steps = service.get(f"image-server-jobs/{job_id}/timeline")["steps"]
    assert [(step["name"], step["phase"], step["status"]) for step in steps] == [
        ("check host", "do", "SUCCESS"),
        ("boot machine", "do", "SUCCESS"),
        ("await guest", "do", "SUCCESS"),
        ("admit account", "do", "SUCCESS"),
        ("log in", "do", "FAILED"),
        ("boot machine", "undo", "SUCCESS"),
    ]
    assert steps[4]["error"] == "log in: refused"
    for step in steps:
        assert parse(step["begin_time"]) <= parse(step["end_time"])
