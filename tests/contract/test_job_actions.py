"""What callers may do with jobs beside the contract: cancel them, try them again, ask for them once; and limits."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from service_process import Service, eventually

from darkroom.domain.servers import ImageServer
from darkroom.domain.times import now_ms

NewService = Callable[..., Service]


def act(service: Service, job_id: str, action: str) -> httpx2.Response:
    return service.ask("POST", f"image-server-jobs/{job_id}/actions/{action}")


def waits_in(service: Service, job_id: str, step: str) -> None:
    """Wait until a job is in a step."""

    def look() -> bool:
        steps = service.get(f"image-server-jobs/{job_id}/timeline")["steps"]
        return any(each["name"] == step and each["status"] == "RUNNING" for each in steps)

    eventually(look, f"the job {job_id} is in the step {step}")


def refused(answer: httpx2.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error_msg"]


def test_a_cancelled_job_undoes_what_it_did_and_fails_with_a_code_of_its_own(service: Service, image: str) -> None:
    service.fault("await_guest", "to-cancel", hang=True)
    job_id = service.create(image, "to-cancel")
    waits_in(service, job_id, "await guest")
    assert act(service, job_id, "cancel").status_code == 202
    assert act(service, job_id, "cancel").status_code == 202
    job = service.ended(job_id)
    (sub_job,) = job["sub_jobs"]
    assert (job["status"], sub_job["status"]) == ("FAILED", "FAILED")
    assert sub_job["job_execute_info"]["error_code"] == "Darkroom.0003"
    server_id = sub_job["job_resource_info"]["resource_id"]
    assert service.server(server_id)["status"] == "ERROR"
    assert server_id not in service.machines()
    assert act(service, job_id, "cancel").status_code == 202, "repeating it changes nothing"
    moves = [json.loads(row[0])["status"] for row in service.rows(
        "SELECT data FROM events WHERE job_id = ? AND kind = 'sub_job.moved' ORDER BY seq", int(job_id))]  # fmt: skip
    assert moves == ["RUNNING", "ABORTING", "ROLLBACK", "FAILED"]


def test_a_cancelled_build_leaves_the_server_as_it_was(service: Service, image: str) -> None:
    server_id = service.new_server(image, "build-to-cancel")
    service.fault("flatten", "build-to-cancel", hang=True)
    job_id = service.build(server_id)
    waits_in(service, job_id, "flatten")
    before = service.image_files()
    assert act(service, job_id, "cancel").status_code == 202
    assert service.ended(job_id)["status"] == "FAILED"
    assert service.server(server_id)["status"] == "ACTIVE"
    assert service.image_files() == before


def test_too_late_to_cancel(service: Service, image: str) -> None:
    server_id = service.new_server(image, "done")
    created = next(job["id"] for job in service.get("image-server-jobs", job_type="CREATE_SERVER")["items"])
    refused(act(service, created, "cancel"), 400, "has ended as SUCCESS")
    service.fault("delete", "done", hang=True, times=1)
    deleting = service.delete(server_id)
    refused(act(service, deleting, "cancel"), 400, "cannot be cancelled")
    assert act(service, "1", "cancel").status_code == 404


def test_a_failed_job_can_be_tried_again_as_a_new_one(service: Service, image: str) -> None:
    service.fault("admit", "second-try", error="AccountFailed", times=1)
    failed = service.create(image, "second-try")
    assert service.ended(failed)["status"] == "FAILED"
    retried = act(service, failed, "retry")
    assert retried.status_code == 200, retried.text
    job = service.succeeded(retried.json()["job_id"])
    server_id = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert service.server_of(failed) == server_id
    assert service.server(server_id)["status"] == "ACTIVE"
    assert json.loads(service.rows('SELECT "order" FROM jobs WHERE id = ?', int(job["id"]))[0][0])["retry_of"] == failed
    refused(act(service, failed, "retry"), 400, "is ACTIVE")
    refused(act(service, job["id"], "retry"), 400, "only a FAILED one")


def test_what_was_made_since_is_not_made_anew(service: Service, image: str) -> None:
    service.fault("admit", "made-since", error="AccountFailed", times=1)
    failed = service.create(image, "made-since")
    service.ended(failed)
    service.succeeded(act(service, failed, "retry").json()["job_id"])
    server_id = service.server_of(failed)
    server = ImageServer(
        id=server_id, project_id=service.project_id, name="made-since", create_time=0, update_time=0, image_ref={},
        authorize_accounts=[], order={},
    )  # fmt: skip
    assert service.write(lambda tx: tx.servers.fail(server, now_ms(), "Its machine does not start any more."))
    refused(act(service, failed, "retry"), 400, "has been made since")
    assert service.server(server_id)["status"] == "ERROR"
    assert server_id in service.machines()


def test_a_failed_build_and_a_failed_deletion_can_be_tried_again(service: Service, image: str) -> None:
    server_id = service.new_server(image, "build-again")
    service.fault("flatten", "build-again", error="HostFull", times=1)
    failed = service.build(server_id)
    assert service.ended(failed)["status"] == "FAILED"
    built = service.succeeded(act(service, failed, "retry").json()["job_id"])
    image_id = built["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert service.server(server_id)["image_id"] == image_id
    service.fault("delete", "build-again", error="DeleteFailed", times=1)
    failed = service.delete(server_id)
    assert service.ended(failed)["status"] == "FAILED"
    service.succeeded(act(service, failed, "retry").json()["job_id"])
    assert service.ask("GET", f"image-servers/{server_id}").status_code == 404


@pytest.mark.parametrize("header", ["Idempotency-Key", "Service-Transaction-Id"])
def test_a_request_that_names_itself_is_carried_out_once(service: Service, image: str, header: str) -> None:
    key = {header: f"once-{header}"}
    body = service.order(image, name=f"once-{header[:3]}")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.ask("POST", "image-servers", body, headers=key), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert service.get("image-servers", server_name=body["name"])["count"] == 1
    other = service.ask("POST", "image-servers", {**body, "description": "another"}, headers=key)
    refused(other, 409, "belongs to another request")
    service.ended(answers[0].json()["job_id"])
    assert service.ask("POST", "image-servers", body, headers=key).json() == answers[0].json()


def test_keys_of_builds_and_deletions_work_alike_and_too_long_ones_are_refused(service: Service, image: str) -> None:
    server_id = service.new_server(image, "keyed")

    def twice(method: str, path: str, body: Any) -> str:
        headers = {"Idempotency-Key": f"{method} {path}"}
        first, second = (service.ask(method, path, body, headers=headers) for _ in range(2))
        assert first.status_code == 200, first.text
        assert first.json() == second.json()
        return str(first.json()["job_id"])

    service.succeeded(twice("POST", f"image-servers/{server_id}/actions/recreate-image", {"name": "keyed"}))
    service.succeeded(twice("PATCH", "image-servers/actions/batch-delete", {"items": [server_id], "recursive": True}))
    long = service.ask("POST", "image-servers", service.order(image), headers={"Idempotency-Key": "x" * 256})
    refused(long, 400, "Idempotency-Key")


def test_jobs_beyond_the_limit_wait_and_begin_in_order(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_MAX_MACHINES": "2"})
    image = service.add_image()
    service.fault("await_guest", "m0", hang=True, times=1)
    jobs = [service.create(image, f"m{number}") for number in range(5)]
    waits_in(service, jobs[0], "await guest")
    service.succeeded(jobs[1])
    assert [service.job(job)["status"] for job in jobs] == ["RUNNING", "SUCCESS", "RUNNING", "RUNNING", "RUNNING"]
    assert [service.job(job)["sub_jobs"][0]["status"] for job in jobs[2:]] == ["WAITING"] * 3
    service.stop_cleanly()
    service.start()
    assert service.job(jobs[2])["sub_jobs"][0]["status"] == "WAITING", "a restart makes no room"
    service.succeeded(jobs[0])
    assert act(service, jobs[2], "cancel").status_code == 202
    assert service.ended(jobs[2])["status"] == "FAILED", "who waits can be cancelled"
    service.succeeded(service.delete(service.server_of(jobs[1])))
    service.succeeded(jobs[3])
    assert service.job(jobs[4])["sub_jobs"][0]["status"] == "WAITING"
    service.succeeded(service.delete(service.server_of(jobs[0])))
    service.succeeded(jobs[4])
    service.stop_cleanly()


def test_quotas_refuse_before_any_work(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_QUOTA_SERVERS": "1", "DARKROOM_QUOTA_IMAGES": "2"})
    image = service.add_image()
    server_id = service.new_server(image)
    before = service.census()
    refused(service.ask("POST", "image-servers", service.order(image)), 403, "may have 1 image servers")
    assert service.census() == before
    service.succeeded(service.build(server_id))
    again = service.ask("POST", f"image-servers/{server_id}/actions/recreate-image", {"name": "third"})
    refused(again, 403, "may have 2 images")
    assert service.server(server_id)["status"] == "BUILT"
    added = service.ask("POST", "/v2/images", {"name": "another"})
    assert added.status_code == 403
    service.stop_cleanly()


def test_an_upload_beyond_the_quota_of_bytes_is_refused_and_leaves_nothing(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_QUOTA_IMAGE_BYTES": "1000000"})
    service.add_image(bytes(100_000))
    added = service.ask("POST", "/v2/images", {"name": "big"}).json()
    path, octets = f"/v2/images/{added['id']}/file", {"Content-Type": "application/octet-stream"}
    before = service.census()
    answer = service.ask("PUT", path, content=os.urandom(950_000), headers=octets)
    assert answer.status_code == 403
    assert "1000000 bytes of images" in answer.text
    assert service.census() == before
    assert service.ask("GET", f"/v2/images/{added['id']}").json()["status"] == "queued"
    assert service.ask("PUT", path, content=os.urandom(800_000), headers=octets).status_code == 204
    service.stop_cleanly()
