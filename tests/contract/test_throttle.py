"""Throttling, which is off unless it is set: beyond the limit the gateway's error, and nothing done."""

from collections.abc import Callable

from service_process import Service


def test_who_asks_too_often_is_told_so_and_nothing_is_done(new_service: Callable[..., Service]) -> None:
    service = new_service(settings={"DARKROOM_THROTTLE_READS": "5", "DARKROOM_THROTTLE_CHANGES": "1"})
    answers = [service.ask("GET", "image-servers") for _ in range(6)]
    assert [answer.status_code for answer in answers].count(429) >= 1
    refused = answers[-1]
    assert refused.status_code == 429
    error = refused.json()
    assert error["error_code"] == "APIGW.0308"
    assert error["request_id"] == refused.headers["X-Request-Id"]
    assert error["error_msg"].endswith("policy user over ratelimit,limit:5,time:1 minute")
    native = service.ask("GET", "/v3.0/OS-CREDENTIAL/credentials")
    assert (native.status_code, native.json()["error_code"]) == (429, "IAM.0012")
    first, second = (service.ask("POST", "/v2/images", {"name": name}) for name in ("one", "two"))
    assert (first.status_code, second.status_code) == (201, 429)
    assert service.rows("SELECT name FROM images") == [("one",)]
    stranger = service.add_stranger()
    path = f"/v1/{stranger.project_id}/image-servers"
    assert service.http("GET", path, auth=stranger.signature).status_code == 200, "others are not held back"
    service.stop_cleanly()
