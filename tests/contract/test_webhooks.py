"""Webhooks of a real service, sent to real receivers: nothing is lost, whoever dies, and nobody else's is seen."""

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from commands import command
from people import Person
from service_process import Service, eventually, served
from standardwebhooks import Webhook as Peer
from typer.testing import Result

from darkroom.wire.times import parse
from receiver import Receiver, receiving

NewService = Callable[..., Service]
PRIVATE = {"DARKROOM_WEBHOOK_PRIVATE_ADDRESSES": "true"}
UNKNOWN = "912345678901234567"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may send to this machine."""
    with served(tmp_path_factory.mktemp("service") / "data", settings=PRIVATE) as service:
        yield service


@pytest.fixture(scope="module")
def image(service: Service) -> str:
    return service.add_image()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def no_webhooks_are_left(service: Service) -> Iterator[None]:
    yield
    for each in service.get("webhooks", limit="100")["items"]:
        assert service.ask("DELETE", f"webhooks/{each['id']}").status_code == 204
    assert service.rows("SELECT count(*) FROM webhook_deliveries") == [(0,)]


def add(service: Service, url: str, *kinds: str) -> Any:
    body = {"url": url, "kinds": list(kinds) or None, "description": None}
    answer = service.ask("POST", "webhooks", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def deliveries(service: Service, webhook: Any, **query: Any) -> list[Any]:
    found: list[Any] = service.get(f"webhooks/{webhook['id']}/deliveries", limit="100", **query)["items"]
    return found[::-1]


def attempted(service: Service, webhook: Any, times: int = 1) -> Any:
    """Wait until the oldest delivery of a webhook has been attempted so often, and return it."""

    def look() -> Any:
        found = deliveries(service, webhook)
        return found[0] if found and len(found[0]["attempts"]) >= times else None

    return eventually(look, f"{times} attempts are made")


# What is sent


def test_a_job_is_told_in_cloud_events_that_an_independent_peer_verifies(
    service: Service, image: str, receiver: Receiver
) -> None:
    made = add(service, f"{receiver.url}/ok", "*")
    job_id = service.create(image, "told")
    service.succeeded(job_id)
    ours = service.rows("SELECT seq, kind FROM events WHERE job_id = ? ORDER BY seq", int(job_id))

    def told() -> list[Any]:
        events = receiver.events("/ok", made["secret"])
        return [event for event in events if event["data"].get("job_id") == job_id]

    events = eventually(lambda: told() if len(told()) >= len(ours) else None, "all events arrive")
    assert [(int(event["id"]), event["type"]) for event in events] == [(seq, f"darkroom.{kind}") for seq, kind in ours]
    assert {event["specversion"] for event in events} == {"1.0"}
    assert {event["source"] for event in events} == {f"/v1/{service.project_id}"}
    assert {event["subject"] for event in events} == {job_id}
    assert events[-1]["data"]["data"] == {"status": "SUCCESS"}
    headers = receiver.requests("/ok")[0]["headers"]
    assert headers["content-type"] == "application/cloudevents+json"
    with pytest.raises(Exception, match="No matching signature"):
        receiver.events("/ok", "whsec_" + "A" * 43 + "=")


def test_without_kinds_it_is_told_of_jobs(service: Service, image: str, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok")
    assert made["kinds"] == ["job.*"]
    service.succeeded(service.create(image, "of-jobs"))
    eventually(lambda: len(receiver.ids("/ok")) >= 2, "both events arrive")
    kinds = [event["type"] for event in receiver.events("/ok", made["secret"])]
    assert kinds == ["darkroom.job.accepted", "darkroom.job.ended"]


def test_a_receiver_that_answers_500_is_asked_again(service: Service, image: str, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/once", "job.ended")
    service.succeeded(service.create(image, "again"))
    found = attempted(service, made, times=2)
    assert [attempt.get("status") for attempt in found["attempts"]] == [500, 204]
    assert found["attempts"][0]["error"] == "The receiver answered 500."
    assert found["attempts"][0]["answer"] == "not yet"
    assert found["status"] == "DELIVERED"
    first, second = receiver.ids("/once")
    assert first == second == found["message_id"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/redirect", "The receiver answered 307; redirects are not followed."),
        ("/close", "The request failed: "),
        ("/fail", "The receiver answered 503."),
        ("/hang", "There was no answer within 10 seconds."),
    ],
)
def test_what_goes_wrong_is_told(service: Service, image: str, receiver: Receiver, path: str, problem: str) -> None:
    made = add(service, f"{receiver.url}{path}", "job.ended")
    service.succeeded(service.create(image, f"wrong-{path[1:]}"))
    found = attempted(service, made)
    assert found["status"] == "PENDING"
    assert found["attempts"][0]["error"].startswith(problem)
    assert "next_time" in found
    assert "failing_since" in service.get(f"webhooks/{made['id']}")
    assert receiver.ids("/ok") == []


def test_receivers_that_hang_hold_up_no_other(service: Service, image: str, receiver: Receiver) -> None:
    hanging = [add(service, f"{receiver.url}/hang", "job.*") for _ in range(8)]
    good = add(service, f"{receiver.url}/ok", "job.*")
    service.succeeded(service.create(image, "held-up"))
    eventually(lambda: len(deliveries(service, good, status="DELIVERED")) == 2, "the good receiver is told of it all")
    told = parse(deliveries(service, good)[0]["end_time"])
    for each in hanging:
        first = attempted(service, each)["attempts"][0]
        assert parse(first["time"]) + first["took_ms"] > told, "it still hung when the good receiver was told"


def test_a_receiver_that_wants_no_more_gets_no_more(service: Service, image: str, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/gone", "job.*")
    service.succeeded(service.create(image, "gone"))
    shown = eventually(
        lambda: found if not (found := service.get(f"webhooks/{made['id']}"))["enabled"] else None, "it is disabled"
    )
    assert shown["disabled_reason"] == "The receiver answered 410: it wants no more."
    sent = len(receiver.ids("/gone"))
    service.succeeded(service.create(image, "gone-on"))
    assert len(receiver.ids("/gone")) == sent == 1


def test_where_it_is_not_allowed_no_private_address_is_reached(new_service: NewService, receiver: Receiver) -> None:
    guarded = new_service()
    for url in (f"{receiver.url}/ok", "http://169.254.169.254/latest/meta-data", "http://[::1]/"):
        refused = guarded.ask("POST", "webhooks", {"url": url})
        assert (refused.status_code, "not a public address" in refused.text) == (400, True)
    made = add(guarded, f"http://localhost:{receiver.url.rpartition(':')[2]}/ok")
    assert guarded.ask("POST", f"webhooks/{made['id']}/actions/test").status_code == 202
    found = attempted(guarded, made)
    assert found["status"] == "FAILED"
    assert "not public" in found["attempts"][0]["error"]
    assert receiver.requests("/ok") == []
    guarded.stop_cleanly()


# Who dies


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_event_is_lost_where_the_service_is_killed_again_and_again(
    new_service: NewService, receiver: Receiver, request: pytest.FixtureRequest, database: str
) -> None:
    more = {"DARKROOM_DATABASE": request.getfixturevalue("postgres_url")} if database == "postgres" else {}
    service = new_service(settings={**PRIVATE, **more})
    image = service.add_image()
    made = add(service, f"{receiver.url}/slow", "job.*", "sub_job.*")
    jobs = []
    for round_ in range(3):
        jobs += [service.create(image, f"killed-{round_}-{number}") for number in range(3)]
        seen = len(receiver.ids("/slow"))
        eventually(lambda seen=seen: len(receiver.ids("/slow")) > seen + 1, "some events arrive")
        service.kill()
        service.start()
    for job_id in jobs:
        service.succeeded(job_id)
    wanted = {(job, kind) for job in jobs for kind in ("darkroom.job.accepted", "darkroom.job.ended")}

    def arrived() -> set[tuple[str, str]]:
        return {(event["data"].get("job_id"), event["type"]) for event in receiver.events("/slow", made["secret"])}

    eventually(lambda: wanted <= arrived(), "every job's beginning and end arrive")
    requests = receiver.requests("/slow")
    messages: dict[str, set[str]] = {}
    for each in requests:
        messages.setdefault(json.loads(each["body"])["id"], set()).add(each["headers"]["webhook-id"])
    assert {len(ids) for ids in messages.values()} == {1}, "what comes twice comes under the same id"
    assert len(requests) - len(messages) <= 3, "only what was on its way comes again"
    eventually(lambda: not deliveries(service, made, status="PENDING"), "nothing is left to be sent")
    service.stop_cleanly()


def test_of_several_processes_one_delivers_and_another_goes_on_where_it_dies(
    new_service: NewService, receiver: Receiver, postgres_url: str, tmp_path: Path
) -> None:
    settings = {**PRIVATE, "DARKROOM_DATABASE": postgres_url}
    first = new_service(settings=settings)
    second = Service(first.data, settings={**settings, "DARKROOM_ROLE": "worker"})
    made = add(first, f"{receiver.url}/slow", "job.*")
    image = first.add_image()
    second.log = tmp_path / "second.log"
    worker = _start_worker(second)
    try:
        jobs = [first.create(image, f"shared-{number}") for number in range(4)]
        eventually(lambda: len(receiver.ids("/slow")) > 2, "some events arrive")
        first.kill()
        ids = eventually(lambda: found if len(set(found := receiver.ids("/slow"))) >= 8 else None, "the other goes on")
        assert len(ids) - len(set(ids)) <= 1, "only what was on its way comes again"
        ended = {
            event["data"]["job_id"]
            for event in receiver.events("/slow", made["secret"])
            if event["type"] == "darkroom.job.ended"
        }
        assert ended == set(jobs)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0


def _start_worker(service: Service) -> Any:
    import os
    import subprocess
    import sys

    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")} | {
        "DARKROOM_DATA": str(service.data), "DARKROOM_DRIVER": "simulated",
        "DARKROOM_SIMULATED_DURATIONS": service._durations, "DARKROOM_LOG_FORMAT": "json",
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"), **service._settings,
    }  # fmt: skip
    with service.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "darkroom.cli", "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log,
        )  # fmt: skip
    eventually(lambda: '"working"' in service.log.read_text(), "the worker works")
    return process


# The API


def test_its_secret_is_shown_once_and_sealed(service: Service, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok")
    shown = service.get(f"webhooks/{made['id']}")
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert service.get("webhooks") == {"count": 1, "items": [shown]}
    key = made["secret"].removeprefix("whsec_").encode()
    for file in service.data.glob("darkroom.db*"):
        assert key not in file.read_bytes()
    assert made["secret"] not in service.log.read_text()


def test_a_rotated_secret_signs_beside_the_new_one(service: Service, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok")
    answer = service.ask("POST", f"webhooks/{made['id']}/actions/rotate-secret")
    assert answer.status_code == 200
    assert answer.json()["secret"] != made["secret"]
    service.ask("POST", f"webhooks/{made['id']}/actions/test")
    attempted(service, made)
    for secret in (made["secret"], answer.json()["secret"]):
        (event,) = receiver.events("/ok", secret)
        assert event["type"] == "darkroom.webhook.test"


def test_a_disabled_webhook_misses_what_happens_and_takes_no_test(
    service: Service, image: str, receiver: Receiver
) -> None:
    made = add(service, f"{receiver.url}/ok", "job.ended")
    path = f"webhooks/{made['id']}"
    assert service.ask("PATCH", path, {"enabled": False}).json()["enabled"] is False
    service.succeeded(service.create(image, "missed"))
    refused = service.ask("POST", f"{path}/actions/test")
    assert (refused.status_code, refused.json()["error_code"]) == (409, "WKS.00211103")
    assert service.ask("PATCH", path, {"enabled": True}).json()["enabled"] is True
    job_id = service.create(image, "not-missed")
    service.succeeded(job_id)
    attempted(service, made)
    assert [event["subject"] for event in receiver.events("/ok", made["secret"])] == [job_id]


def test_what_was_sent_can_be_sent_again(service: Service, image: str, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok", "job.ended")
    service.succeeded(service.create(image, "sent-again"))
    first = attempted(service, made)
    path = f"webhooks/{made['id']}/deliveries/{first['id']}"
    assert service.get(path) == first
    again = service.ask("POST", f"{path}/actions/redeliver")
    assert (again.status_code, again.json()["status"]) == (202, "PENDING")
    assert [each["status"] for each in attempted(service, made, times=2)["attempts"]] == [204, 204]
    assert receiver.ids("/ok") == [first["message_id"]] * 2


def test_changes_are_taken_and_told(service: Service, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/fail")
    wanted = {"url": f"{receiver.url}/ok", "kinds": ["server.*", "webhook.*"], "description": "other"}
    changed = service.ask("PATCH", f"webhooks/{made['id']}", wanted).json()
    assert {name: changed[name] for name in wanted} == wanted
    for nothing in ({}, dict.fromkeys((*wanted, "enabled"))):
        assert service.ask("PATCH", f"webhooks/{made['id']}", nothing).json() == changed
    eventually(lambda: receiver.requests("/ok"), "the change itself is told")
    assert receiver.events("/ok", made["secret"])[0]["data"]["data"] == wanted


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"), ({"url": 1}, "url"), ({"url": "ftp://x/"}, "url"), ({"url": "http://"}, "url"),
        ({"url": "http:///path"}, "url"), ({"url": "http://x:99999/"}, "url"), ({"url": "http://[x/"}, "url"),
        ({"url": "http://user:secret@x/"}, "url"), ({"url": "http://x/#part"}, "url"), ({"url": "http://a b/"}, "url"),
        ({"url": "http://x/" + "y" * 2050}, "url"), ({"url": "http://x/", "kinds": []}, "kinds"),
        ({"url": "http://x/", "kinds": ["job"]}, "kinds[0]"), ({"url": "http://x/", "kinds": ["*.ended"]}, "kinds[0]"),
        ({"url": "http://x/", "kinds": ["job.*", 5]}, "kinds[1]"), ({"url": "http://x/", "description": 5}, "desc"),
        ({"url": "http://x/", "description": "x" * 256}, "description"),
    ],
)  # fmt: skip
def test_every_wrong_field_is_named(service: Service, body: Any, field: str) -> None:
    answer = service.ask("POST", "webhooks", body)
    assert (answer.status_code, field in answer.json()["error_msg"]) == (400, True), answer.text
    assert service.get("webhooks")["count"] == 0


def test_there_is_an_end_to_webhooks_of_one_project(service: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.ask("POST", "webhooks", {"url": "http://127.0.0.1:1/"}), range(23)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [403] * 3


def test_one_that_does_not_exist_is_not_found(service: Service, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok")
    stranger = service.add_stranger()
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/actions/test"), ("POST", "/actions/rotate-secret"),
        ("GET", "/deliveries"), ("GET", f"/deliveries/{UNKNOWN}"), ("POST", f"/deliveries/{UNKNOWN}/actions/redeliver"),
    ):  # fmt: skip
        body = {"enabled": True} if method == "PATCH" else None
        for webhook_id in (UNKNOWN, "x"):
            assert service.ask(method, f"webhooks/{webhook_id}{path}", body).status_code == 404
        others = service.http(
            method, f"/v1/{stranger.project_id}/webhooks/{made['id']}{path}", auth=stranger.signature, json=body
        )
        assert others.status_code == 404, "another project's webhook is not there"
    for delivery_id in (UNKNOWN, "x"):
        assert service.ask("GET", f"webhooks/{made['id']}/deliveries/{delivery_id}").status_code == 404
    assert service.ask("GET", f"webhooks/{made['id']}/deliveries?status=LOST").status_code == 400


def test_who_may_only_read_sees_webhooks_and_changes_none(service: Service, receiver: Receiver) -> None:
    made = add(service, f"{receiver.url}/ok")
    reader, path = Person(service, "readonly"), f"webhooks/{made['id']}"
    for readable in ("webhooks", path, f"{path}/deliveries"):
        assert reader.ask("GET", readable, None).status_code == 200
    for method, refused, body in (
        ("POST", "webhooks", {"url": "http://x/"}), ("PATCH", path, {"enabled": False}), ("DELETE", path, None),
        ("POST", f"{path}/actions/test", None), ("POST", f"{path}/actions/rotate-secret", None),
        ("POST", f"{path}/deliveries/{UNKNOWN}/actions/redeliver", None),
    ):  # fmt: skip
        answer = reader.ask(method, refused, body)
        assert (answer.status_code, "workspace:webhook:" in answer.text) == (403, True)


# The command


@pytest.fixture
def run(service: Service) -> Callable[..., Result]:
    return lambda *words: command(service, "webhooks", *words)


def test_the_command_keeps_webhooks(run: Callable[..., Result], service: Service, receiver: Receiver) -> None:
    made = json.loads(run("add", f"{receiver.url}/ok", "--kind", "job.*", "--kind", "server.*", "--json").stdout)
    assert made["kinds"] == ["job.*", "server.*"]
    assert made["id"] in run("list").stdout
    tried = run("test", made["id"])
    assert (tried.exit_code, "DELIVERED, 204 after" in tried.stdout) == (0, True)
    rotated = json.loads(run("rotate", made["id"], "--json").stdout)["secret"]
    (sent,) = json.loads(run("deliveries", made["id"], "--json").stdout)
    again = run("redeliver", made["id"], sent["id"])
    assert (again.exit_code, "DELIVERED" in again.stdout) == (0, True)
    assert Peer(rotated).verify(receiver.requests("/ok")[1]["body"], receiver.requests("/ok")[1]["headers"])
    assert "webhook.test" in run("deliveries", made["id"]).stdout
    assert "disabled" in run("disable", made["id"]).stdout
    assert run("test", made["id"]).exit_code == 1
    assert "enabled" in run("enable", made["id"]).stdout
    changed = run("change", made["id"], "--url", f"{receiver.url}/fail", "--description", "to fail")
    assert "to fail" in changed.stdout
    failed = run("test", made["id"])
    assert (failed.exit_code, "FAILED, The receiver answered 503. (broken)" in failed.stdout) == (1, True)
    assert json.loads(run("show", made["id"], "--json").stdout)["url"].endswith("/fail")
    assert run("remove", made["id"]).exit_code == 2, "nobody can be asked"
    assert run("remove", made["id"], "--yes").exit_code == 0
    assert run("show", made["id"]).exit_code == 1
    assert run("list").stderr == "No webhooks.\n"


def test_the_command_shows_the_secret_once(run: Callable[..., Result], receiver: Receiver) -> None:
    made = run("add", f"{receiver.url}/ok")
    assert "whsec_" in made.stdout
    assert "this once" in made.stderr
    assert "whsec_" not in run("list").stdout
