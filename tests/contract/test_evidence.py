"""What a job did and why it failed: timeline, evidence, machines that are kept; by the API and the command line."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from commands import command
from service_process import Service, eventually, nothing_changes

from darkroom.drivers.simulated import Fault
from darkroom.errors import GuestSilent

NewService = Callable[..., Service]
KEEP = "Darkroom-Keep-On-Failure"
PNG = b"\x89PNG\r\n\x1a\n"


def evidence(service: Service, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get(f"image-server-jobs/{job_id}/evidence")["failures"]
    return found


def screen(service: Service, job_id: str, sub_job_id: str, **more: Any) -> httpx2.Response:
    return service.ask("GET", f"image-server-jobs/{job_id}/evidence/{sub_job_id}/screen", **more)


def order(service: Service, image: str, name: str, **headers: str) -> httpx2.Response:
    return service.ask("POST", "image-servers", service.order(image, name=name), headers=headers)


def failing(service: Service, image: str, name: str, call: str = "await_guest", **how: Any) -> str:
    """Order a server whose creation fails in a call; return the job, which has ended."""
    service.fault(call, name, **(how or {"error": "GuestSilent", "message": "It says nothing."}))
    job_id = service.create(image, name)
    assert service.ended(job_id)["status"] == "FAILED"
    service.faults.clear()
    return job_id


def steps(service: Service, job_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = service.get(f"image-server-jobs/{job_id}/timeline")["steps"]
    return {(step["phase"], step["name"]): step for step in found}


# Evidence


def test_a_failed_job_tells_what_its_machine_showed_before_it_was_undone(service: Service, image: str) -> None:
    job_id = failing(service, image, "why-1")
    (failure,) = evidence(service, job_id)
    (sub_job,) = service.job(job_id)["sub_jobs"]
    assert failure["sub_job_id"] == sub_job["id"]
    assert failure["resource_id"] == sub_job["job_resource_info"]["resource_id"] not in service.machines()
    assert (failure["step"], failure["code"], failure["cure"]) == ("await guest", "Darkroom.0104", GuestSilent.cure)
    assert failure["message"].startswith("It says nothing.")
    assert failure["machine"] | {"instance_id": ""} == {
        "state": "running", "accelerator": "simulated", "instance_id": "",
    }  # fmt: skip
    assert failure["guest"] == {"agent": "silent"}
    assert failure["console"] == [f"Booting why-1 from image {image}"]
    assert failure["missing"] == {}
    assert "kept_until" not in failure
    picture = service.ask("GET", failure["screen"])
    assert (picture.headers["content-type"], picture.content[:8]) == ("image/png", PNG)


def test_what_the_agent_says_is_kept_where_it_answers(service: Service, image: str) -> None:
    (failure,) = evidence(service, failing(service, image, "why-2", "try_login", error="LoginFailed"))
    assert failure["guest"] == {"agent": "answers", "os": "Simulated guest", "hostname": "why-2"}


@pytest.mark.parametrize("call", ["find", "serial_tail", "screenshot", "guest_facts"])
@pytest.mark.parametrize("how", [{"error": "MachineFailed", "message": "blind"}, {"hang": True}])
def test_evidence_that_cannot_be_had_neither_fails_a_job_nor_holds_it(
    service: Service, image: str, call: str, how: dict[str, Any]
) -> None:
    name = f"blind-{call.replace('_', '-')}-{len(how)}"
    service.fault(call, name, **how)
    job_id = failing(service, image, name)
    (failure,) = evidence(service, job_id)
    assert len(failure["missing"]) == 1
    assert ("blind" if "error" in how else "not to be had") in str(failure["missing"])
    assert (failure["code"], name in service.machines()) == ("Darkroom.0104", False)
    assert ("screen" in failure) == (call != "screenshot")
    if call == "screenshot":
        assert screen(service, job_id, failure["sub_job_id"]).status_code == 404


def test_a_build_and_a_deletion_that_fail_have_evidence_too(service: Service, image: str) -> None:
    server = service.new_server(image, "why-build")
    service.fault("flatten", server, error="HostFull", times=1)
    job_id = service.build(server)
    service.ended(job_id)
    (failure,) = evidence(service, job_id)
    assert (failure["step"], failure["code"], failure["guest"]["agent"]) == ("flatten", "Darkroom.0101", "answers")
    service.fault("delete", server, error="DeleteFailed", times=1)
    job_id = service.delete(server)
    service.ended(job_id)
    assert [each["step"] for each in evidence(service, job_id)] == ["remove machine"]


def test_of_a_cancelled_job_there_is_no_evidence_and_of_one_that_went_well_no_failure(
    service: Service, image: str
) -> None:
    service.fault("await_guest", "why-cancelled", hang=True)
    job_id = service.create(image, "why-cancelled")
    eventually(lambda: ("do", "await guest") in steps(service, job_id), "the guest boots")
    assert evidence(service, job_id) == []
    assert service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel").status_code == 202
    service.ended(job_id)
    (failure,) = evidence(service, job_id)
    assert (failure["code"], failure["step"], failure["console"]) == ("Darkroom.0003", "", [])
    assert screen(service, job_id, failure["sub_job_id"]).status_code == 404
    service.faults.clear()
    server = service.new_server(image, "why-well")
    well = service.delete(server)
    service.succeeded(well)
    assert evidence(service, well) == []


def test_evidence_of_others_and_of_nothing_is_not_found(service: Service, image: str) -> None:
    job_id = failing(service, image, "why-hidden")
    (failure,) = evidence(service, job_id)
    other = failing(service, image, "why-other")
    assert screen(service, other, failure["sub_job_id"]).status_code == 404, "of another job"
    for sub_job_id in ("1", "x", "0" * 128):
        assert screen(service, job_id, sub_job_id).status_code == 404
    assert screen(service, job_id, "1" * 129).status_code == 400
    assert service.ask("GET", "image-server-jobs/1/evidence").status_code == 404
    assert service.http("GET", failure["screen"]).status_code == 401
    stranger = service.add_stranger()
    for path in ("evidence", "timeline", f"evidence/{failure['sub_job_id']}/screen"):
        theirs = f"/v1/{stranger.project_id}/image-server-jobs/{job_id}/{path}"
        headers = {"X-Project-Id": stranger.project_id}
        answer = service.ask("GET", theirs, headers=headers, auth=stranger.signature)
        assert answer.status_code == 404, answer.text


def test_evidence_goes_with_the_sub_job_that_is_removed_from_the_history(service: Service, image: str) -> None:
    job_id = failing(service, image, "why-removed")
    (failure,) = evidence(service, job_id)
    body = {"items": [failure["sub_job_id"]]}
    removed = service.ask("PATCH", "image-server-sub-jobs/actions/batch-delete", body)
    assert removed.status_code == 200, removed.text
    assert evidence(service, job_id) == []
    assert screen(service, job_id, failure["sub_job_id"]).status_code == 404
    assert service.rows("SELECT 1 FROM evidence WHERE job_id = ?", int(job_id)) == []


# The timeline


def test_a_timeline_tells_what_runs_what_is_to_come_and_what_was_undone(service: Service, image: str) -> None:
    service.new_server(image, "history")
    service.fault("try_login", "line", hang=True)
    job_id = service.create(image, "line")
    eventually(lambda: ("do", "log in") in steps(service, job_id), "it logs in")
    told = service.get(f"image-server-jobs/{job_id}/timeline")
    assert (told["job_id"], told["job_type"], told["status"]) == (job_id, "CREATE_SERVER", "RUNNING")
    assert [(step["name"], step["status"], step["runs"]) for step in told["steps"][-2:]] == [
        ("admit account", "SUCCESS", 1), ("log in", "RUNNING", 1),
    ]  # fmt: skip
    (ahead,) = told["ahead"]
    assert (ahead["name"], ahead["phase"]) == ("attach applications", "do")
    assert ahead["usual_seconds"] >= 0, "there has been a job like it"
    assert service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel").status_code == 202
    service.ended(job_id)
    service.faults.clear()
    ended = service.get(f"image-server-jobs/{job_id}/timeline")
    assert (ended["ahead"], ended["status"], "seconds_left" in ended) == ([], "FAILED", False)
    assert [(step["phase"], step["name"]) for step in ended["steps"][-2:]] == [
        ("do", "log in"), ("undo", "boot machine"),
    ]  # fmt: skip


def test_a_copy_tells_bytes_percent_and_what_is_left_and_a_death_shows_as_another_run(new_service: NewService) -> None:
    service = new_service(durations="boot=0,login=0,snapshot=0,generalise=0,flatten=12,delete=0,run=0")
    server = service.new_server(service.add_image())
    job_id = service.build(server)

    def under_way() -> dict[str, Any] | None:
        step = steps(service, job_id).get(("do", "flatten"), {})
        return step if step.get("percent", 0) >= 10 else None

    step = eventually(under_way, "the copy has come a part of its way")
    assert step["progress"]["total"] == 80 << 30
    assert step["percent"] == step["progress"]["done"] * 100 // step["progress"]["total"]
    assert step["seconds_left"] > 0
    service.kill()
    service.start()
    service.succeeded(job_id)
    step = steps(service, job_id)["do", "flatten"]
    assert (step["runs"], step["status"], "seconds_left" in step) == (2, "SUCCESS", False)
    rows = service.rows("SELECT at, data FROM events WHERE kind = 'step.progress' ORDER BY seq")
    data = [json.loads(row[1]) for row in rows]
    assert {"name", "phase", "done", "total", "percent", "seconds_left"} <= data[-1].keys()
    assert not [1 for (a, _), (b, _) in pairwise(rows) if 0 <= b - a < 1000], "once a second"
    assert "begun 2 times" in command(service, "jobs", "timeline", job_id).stdout
    service.stop_cleanly()


def test_who_waits_for_room_knows_its_place(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_MAX_MACHINES": "1"})
    image = service.add_image()
    server = service.new_server(image, "first")
    second, third = service.create(image, "second"), service.create(image, "third")

    def place(job_id: str) -> int | None:
        found: int | None = service.get(f"image-server-jobs/{job_id}/timeline").get("queue_place")
        return found

    assert (place(second), place(third)) == (1, 2)
    assert "number 2 in the queue" in command(service, "jobs", "timeline", third).stdout
    service.succeeded(service.delete(server))
    service.succeeded(second)
    assert (place(second), place(third)) == (None, 1)
    service.stop_cleanly()


# Machines that are kept


@pytest.mark.parametrize("value", ["-1", "10081", "ten", "1.5", "", "99999999999", "٣"])
def test_a_wrong_time_to_keep_is_refused_by_name(service: Service, image: str, value: str) -> None:
    with nothing_changes(service):
        body = service.order(image, name="wrong")
        headers = [(KEEP.encode(), value.encode()), (b"content-type", b"application/json")]
        answer = service.http(
            "POST", f"/v1/{service.project_id}/image-servers", content=json.dumps(body),
            headers=[*headers, (b"x-project-id", service.project_id.encode())], auth=service.signature,
        )  # fmt: skip
    assert answer.status_code == 400, answer.text
    assert f"{KEEP}: must be a whole number between 0 and 10080" in answer.json()["error_msg"]


def test_a_machine_that_is_kept_stays_over_a_restart_until_its_time_is_over(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_RECONCILE_INTERVAL": "0.1"})
    image = service.add_image()
    service.fault("await_guest", "kept", error="GuestSilent")
    job_id = order(service, image, "kept", **{KEEP: "60"}).json()["job_id"]
    (sub_job,) = service.ended(job_id)["sub_jobs"]
    server = sub_job["job_resource_info"]["resource_id"]
    assert (sub_job["status"], service.server(server)["status"]) == ("FAILED", "ERROR")
    assert service.machines() == {server}
    assert evidence(service, job_id)[0]["kept_until"]
    assert "Kept until" in command(service, "jobs", "why", job_id).stdout
    service.kill()
    service.start()
    rounds = "SELECT ran_at FROM chores WHERE name = 'kept machines'"
    before = service.rows(rounds)
    eventually(lambda: service.rows(rounds) != before, "housekeeping has been there")
    assert service.machines() == {server}
    due = f"UPDATE image_servers SET keep_until = 5 WHERE id = {server}"
    service.write(lambda tx: tx.connection.exec_driver_sql(due))
    eventually(lambda: not service.machines(), "the machine is removed")
    eventually(lambda: "kept_until" not in evidence(service, job_id)[0], "it is no longer told of")
    kinds = [item["kind"] for item in service.get(f"image-servers/{server}/events")["items"]]
    assert {"server.machine_kept", "server.machine_reaped"} <= set(kinds)
    service.stop_cleanly()


def test_another_attempt_gets_a_machine_of_its_own(service: Service, image: str) -> None:
    service.fault("admit", "kept-retry", error="AccountFailed", times=1)
    job_id = order(service, image, "kept-retry", **{KEEP: "60"}).json()["job_id"]
    server = service.ended(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    record = service.data / "simulated" / "machines" / f"{server}.json"
    first = json.loads(record.read_text())["instance_id"]
    retried = service.accept("POST", f"image-server-jobs/{job_id}/actions/retry", None)
    service.succeeded(retried)
    assert json.loads(record.read_text())["instance_id"] == service.server(server)["instance_id"] != first
    assert "kept_until" not in evidence(service, job_id)[0]


def test_a_kept_machine_goes_with_its_server(service: Service, image: str) -> None:
    service.fault("await_guest", "kept-deleted", error="GuestSilent", times=1)
    job_id = order(service, image, "kept-deleted", **{KEEP: "60"}).json()["job_id"]
    server = service.ended(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert server in service.machines()
    service.succeeded(service.delete(server))
    assert server not in service.machines()
    assert "kept_until" not in evidence(service, job_id)[0]


def test_a_cancelled_creation_keeps_no_machine(service: Service, image: str) -> None:
    service.fault("await_guest", "kept-cancelled", hang=True, times=1)
    job_id = order(service, image, "kept-cancelled", **{KEEP: "60"}).json()["job_id"]
    eventually(lambda: ("do", "await guest") in steps(service, job_id), "the guest boots")
    assert service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel").status_code == 202
    server = service.ended(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert server not in service.machines()


def test_the_setting_holds_where_the_request_says_nothing(new_service: NewService) -> None:
    service = new_service(settings={"DARKROOM_KEEP_ON_FAILURE": "30"})
    image = service.add_image()
    service.fault("await_guest", "", error="GuestSilent")
    kept, dropped = (order(service, image, name, **more).json()["job_id"] for name, more in
                     [("by-setting", {}), ("by-header", {KEEP: "0"})])  # fmt: skip
    server = service.ended(kept)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    service.ended(dropped)
    assert service.machines() == {server}
    service.stop_cleanly()


# The command line


def test_why_explains_a_failure_and_saves_the_screen(service: Service, image: str, tmp_path: Path) -> None:
    job_id = failing(service, image, "why-cli", message="Nobody is there.", error="GuestSilent")
    file = tmp_path / "screen.png"
    told = command(service, "jobs", "why", job_id, "--screen", str(file))
    assert told.exit_code == 0, told.output
    assert "CREATE_SERVER of why-cli failed in the step 'await guest' (Darkroom.0104)" in told.stdout
    for words in ("Nobody is there.", GuestSilent.cure, "running, simulated", f"Booting why-cli from image {image}"):
        assert words in told.stdout
    assert file.read_bytes().startswith(PNG)
    short = command(service, "jobs", "why", job_id, "--lines", "0").stdout
    assert "serial console" not in short.split("What to do")[0]
    assert json.loads(command(service, "jobs", "why", job_id, "--json").stdout) == evidence(service, job_id)
    nowhere = command(service, "jobs", "why", job_id, "--screen", str(tmp_path / "no" / "where.png"))
    assert nowhere.exit_code == 1


def test_why_says_so_where_nothing_failed_and_where_there_is_no_screen(
    service: Service, image: str, tmp_path: Path
) -> None:
    job_id = service.delete(service.new_server(image, "fine"))
    service.succeeded(job_id)
    told = command(service, "jobs", "why", job_id)
    assert (told.exit_code, told.stdout) == (0, f"Job {job_id} is SUCCESS: nothing of it has failed.\n")
    file = tmp_path / "screen.png"
    assert command(service, "jobs", "why", job_id, "--screen", str(file)).exit_code == 1
    assert not file.exists()
    assert command(service, "jobs", "why", "1").exit_code == 1


def test_of_several_screens_each_has_a_file_of_its_own(service: Service, image: str, tmp_path: Path) -> None:
    servers = [service.new_server(image, name) for name in ("two-a", "two-b")]
    service.faults.set("delete", Fault(error="DeleteFailed"))
    job_id = service.delete(*servers)
    service.ended(job_id)
    service.faults.clear()
    told = command(service, "jobs", "why", job_id, "--screen", str(tmp_path / "s.png"))
    assert told.stdout.count("failed in the step 'remove machine'") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"s-{each['sub_job_id']}.png" for each in evidence(service, job_id)
    )


def test_a_timeline_is_drawn_with_a_bar_for_each_step(service: Service, image: str) -> None:
    job_id = failing(service, image, "drawn")
    drawn = command(service, "jobs", "timeline", job_id)
    assert drawn.exit_code == 0, drawn.output
    lines = {line.split("  ")[0]: line for line in drawn.stdout.splitlines()}
    assert "FAILED" in lines["await guest"]
    assert "It says nothing." in lines["await guest"]
    assert "SUCCESS" in lines["undo: boot machine"]
    assert all("━" in lines[name] for name in ("check host", "boot machine", "await guest", "undo: boot machine"))
    told = json.loads(command(service, "jobs", "timeline", job_id, "--json").stdout)
    assert told == service.get(f"image-server-jobs/{job_id}/timeline")


def test_a_server_that_is_created_by_command_may_be_kept(service: Service, image: str) -> None:
    service.fault("await_guest", "kept-by-command", error="GuestSilent", times=1)
    made = command(
        service, "servers", "create", "kept-by-command", "--image", image, "--keep-on-failure", "30", "--wait"
    )
    assert made.exit_code == 1
    job_id = service.get("image-server-jobs", job_type="CREATE_SERVER")["items"][0]["id"]
    (failure,) = evidence(service, job_id)
    assert (failure["resource_name"], "kept_until" in failure) == ("kept-by-command", True)
    assert f"darkroom jobs why {job_id}" in made.stdout
    service.succeeded(service.delete(failure["resource_id"]))
