"""Watching a job: the answer held until it changes, and its events as they happen, across restarts."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from people import Person, with_token
from service_process import Service, cancel, held

NewService = Callable[..., Service]


def test_the_answer_is_held_until_the_job_changes(service: Service, image: str) -> None:
    job_id = held(service, image, "long-poll")
    path = f"image-server-jobs/{job_id}"
    first = service.ask("GET", path)
    soon = threading.Timer(0.5, cancel, (service, job_id))
    soon.start()
    second = service.ask("GET", path, headers={"Prefer": "wait=60", "If-None-Match": first.headers["ETag"]})
    soon.join()
    assert second.status_code == 200
    assert second.headers["Preference-Applied"] == "wait=60"
    assert second.json() != first.json()
    assert second.headers["ETag"] != first.headers["ETag"]


def test_what_has_not_changed_is_not_sent_again(service: Service, image: str) -> None:
    job_id = held(service, image, "not-modified")
    path = f"image-server-jobs/{job_id}"
    first = service.ask("GET", path)
    tag = first.headers["ETag"]
    for headers in ({"If-None-Match": tag}, {"If-None-Match": tag, "Prefer": "respond-async, wait=1"}):
        again = service.ask("GET", path, headers=headers)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = service.ask("GET", path, headers={"If-None-Match": '"another"', "Prefer": "wait=60"})
    assert other.json() == first.json(), "who knows another version gets this one at once"
    cancel(service, job_id)
    ended = service.ended(job_id)
    assert service.ask("GET", path, headers={"Prefer": "wait=60"}).json() == ended, "an ended job does not change"


@pytest.mark.parametrize("preference", ["", "wait", "wait=", "wait=x", "wait=-1", "wait=0", "later=5", ",;=,"])
def test_a_preference_that_makes_no_sense_is_passed_over(service: Service, image: str, preference: str) -> None:
    job_id = service.create(image, "no-sense")
    answer = service.ask("GET", f"image-server-jobs/{job_id}", headers={"Prefer": preference})
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


def events_of(service: Service, path: str, after: int | None = None) -> Iterator[tuple[int, str, Any]]:
    """Read a stream of events: number, kind and data of each."""
    headers = {"X-Project-Id": service.project_id, **({"Last-Event-ID": str(after)} if after is not None else {})}
    url = f"{service.endpoint}/v1/{service.project_id}/{path}"
    with httpx2.stream("GET", url, headers=headers, auth=service.signature, timeout=60, trust_env=False) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif "data" in fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}


def test_the_events_of_a_job_come_in_order_and_end_with_it(service: Service, image: str) -> None:
    job_id = service.create(image, "streamed")
    told = list(events_of(service, f"image-server-jobs/{job_id}/events"))
    assert [kind for _, kind, _ in told][0 :: len(told) - 1] == ["server.added", "job.ended"]
    numbers = [number for number, _, _ in told]
    assert numbers == sorted(set(numbers))
    stored = service.rows("SELECT seq FROM events WHERE job_id = ? ORDER BY seq", int(job_id))
    assert numbers == [row[0] for row in stored]
    assert {data["job_id"] for _, _, data in told} == {job_id}
    middle = numbers[len(numbers) // 2]
    later = list(events_of(service, f"image-server-jobs/{job_id}/events", after=middle))
    assert later == [event for event in told if event[0] > middle], "a job that has ended can be replayed"


def test_who_comes_back_after_a_restart_misses_nothing(new_service: NewService) -> None:
    service = new_service()
    job_id = held(service, service.add_image(), "restarted")
    seen = []
    for number, kind, data in events_of(service, f"image-server-jobs/{job_id}/events"):
        seen.append(number)
        if kind == "step.started" and data["data"]["name"] == "await guest":
            break
    service.kill()
    service.start()
    seen += [number for number, _, _ in events_of(service, f"image-server-jobs/{job_id}/events", after=seen[-1])]
    service.succeeded(job_id)
    assert seen == [row[0] for row in service.rows("SELECT seq FROM events WHERE job_id = ? ORDER BY seq", int(job_id))]
    service.stop_cleanly()


def test_the_events_of_a_project_are_its_own(service: Service, image: str) -> None:
    (last,) = service.rows("SELECT max(seq) FROM events")[0]
    job_id = service.create(image, "of-the-project")
    service.succeeded(job_id)
    for _, kind, data in events_of(service, "image-server-jobs/events", after=last):
        if kind == "job.ended":
            assert data["job_id"] == job_id
            break
    stranger = service.add_stranger()
    answer = service.http(
        "GET", f"/v1/{stranger.project_id}/image-server-jobs/{job_id}/events", auth=stranger.signature
    )
    assert answer.status_code == 404
    wrong = service.ask("GET", f"image-server-jobs/{job_id}/events", headers={"Last-Event-ID": "x"})
    assert wrong.status_code == 400
    assert "Last-Event-ID" in wrong.json()["error_msg"]


@pytest.mark.parametrize("path", ["", "/{job_id}"])
@pytest.mark.parametrize("ending", ["role", "token", "key"])
def test_a_stream_ends_with_the_right_to_it(service: Service, image: str, path: str, ending: str) -> None:
    job_id = held(service, image, "outlived")
    person = Person(service, "operator", project=service.project_id)
    token = person.token()
    by: Any = {"auth": person.signature} if ending == "key" else {"headers": {"X-Auth-Token": token}}
    taken = {
        "role": lambda: service.ask("DELETE", person.grant("operator", service.project_id)),
        "token": lambda: with_token(service, token, "/v3/auth/tokens", method="DELETE", **{"X-Subject-Token": token}),
        "key": lambda: service.ask("DELETE", f"/v3.0/OS-CREDENTIAL/credentials/{person.access}"),
    }

    url = f"{service.endpoint}/v1/{service.project_id}/image-server-jobs{path.format(job_id=job_id)}/events"
    with httpx2.stream("GET", url, timeout=10, trust_env=False, **by) as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": hello"
        assert taken[ending]().status_code == 204
        list(lines)  # comes to its end

    cancel(service, job_id)
