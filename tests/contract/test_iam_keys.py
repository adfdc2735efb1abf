"""Access keys: temporary ones (contract section 12.4), and the permanent ones that administrators give."""

import re
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkworkspaceapp import v1 as sdk
from people import Person, assert_native, must, new_account, temporary_key, with_token
from service_process import Service, Signature

from darkroom.domain.times import now_ms
from darkroom.services.keys import TemporaryKeys
from darkroom.store.sealing import Sealer

SECURITY_TOKENS = "/v3.0/OS-CREDENTIAL/securitytokens"
KEYS = "/v3.0/OS-CREDENTIAL/credentials"
PREFIX = "Incorrect IAM authentication information: "
Key = dict[str, str]


@pytest.fixture(scope="module")
def person(service: Service) -> Person:
    return Person(service, "operator")


@pytest.fixture
def key(service: Service, person: Person) -> Key:
    """A temporary key."""
    made: Key = must(temporary_key(service, person.token()), 201)["credential"]
    return made


def ask(service: Service, access: str, secret: str, **headers: str) -> httpx2.Response:
    """Send a signed request, with more headers."""
    return service.ask(
        "GET",
        "image-server-jobs",
        auth=Signature(access, secret),
        headers={"X-Project-Id": service.project_id, **headers},
        job_type="",
    )


def client(service: Service, key: Key, *, security_token: str | None = None) -> sdk.WorkspaceAppClient:
    credentials = BasicCredentials(key["access"], key["secret"], service.project_id)
    credentials = credentials.with_security_token(security_token or key["securitytoken"])
    builder = sdk.WorkspaceAppClient.new_builder().with_credentials(credentials)
    return builder.with_endpoint(service.endpoint).build()


# Temporary keys


def test_the_sdk_works_with_a_temporary_key(service: Service, key: Key) -> None:
    assert client(service, key).list_image_servers(sdk.ListImageServersRequest()).count >= 0


def test_the_sdk_is_told_when_the_security_token_is_another_keys(service: Service, person: Person, key: Key) -> None:
    other = must(temporary_key(service, person.token()), 201)["credential"]
    with pytest.raises(ClientRequestException) as refused:
        client(service, key, security_token=other["securitytoken"]).list_image_servers(sdk.ListImageServersRequest())
    assert (refused.value.status_code, refused.value.error_code) == (401, "APIGW.0301")
    assert f"not that of ak {key['access']}" in refused.value.error_msg


def test_a_temporary_key_looks_like_the_vendors(service: Service, key: Key) -> None:
    assert re.fullmatch(r"HST[A-Z0-9]{17}", key["access"])
    assert re.fullmatch(r"[A-Za-z0-9]{40}", key["secret"])
    assert re.fullmatch(r"[!-~]{100,}", key["securitytoken"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", key["expires_at"])


@pytest.mark.parametrize(("more", "seconds"), [({}, 900), ({"duration_seconds": None}, 900)] + [
    ({"duration_seconds": seconds}, seconds) for seconds in (900, 21600, 86400)
])  # fmt: skip
def test_it_lives_as_long_as_asked_for(service: Service, person: Person, more: Any, seconds: int) -> None:
    before = now_ms()
    made = must(temporary_key(service, person.token(), **more), 201)["credential"]
    expires = datetime.fromisoformat(made["expires_at"]).timestamp() * 1000
    assert before <= round(expires) - seconds * 1000 <= now_ms()


def test_the_token_may_be_in_the_header(service: Service, person: Person) -> None:
    for identity in ({"methods": ["token"]}, {"methods": ["token"], "token": {"duration_seconds": 900}}):
        answer = service.http(
            "POST", SECURITY_TOKENS, json={"auth": {"identity": identity}}, headers={"X-Auth-Token": person.token()}
        )
        made = must(answer, 201)["credential"]
        assert ask(
            service, made["access"], made["secret"], **{"X-Security-Token": made["securitytoken"]}
        ).status_code == 200  # fmt: skip


def test_a_temporary_key_is_good_with_its_security_token_alone(service: Service, person: Person, key: Key) -> None:
    other = must(temporary_key(service, person.token()), 201)["credential"]["securitytoken"]
    token = key["securitytoken"]
    middle = len(token) // 2
    flipped = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    assert ask(service, key["access"], key["secret"], **{"X-Security-Token": token}).status_code == 200
    for wrong, words in (
        (other, "not that of ak"),
        (flipped, "decrypt security token fail"),
        (token[:-4], "decrypt security token fail"),
        ("x", "decrypt security token fail"),
        (person.token(), "decrypt security token fail"),
    ):
        answer = ask(service, key["access"], key["secret"], **{"X-Security-Token": wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
        assert words in answer.json()["error_msg"]
    assert ask(service, key["access"], key["secret"]).json()["error_msg"] == f"{PREFIX}ak {key['access']} not exist"
    wrong_secret = ask(service, key["access"], "x" * 40, **{"X-Security-Token": token})
    assert "verify aksk signature fail" in wrong_secret.json()["error_msg"]


def test_the_security_token_need_not_be_signed(service: Service, key: Key) -> None:
    """Terraform adds it after signing (contract section 12.1)."""

    class Late(Signature):
        def sync_auth_flow(self, request: httpx2.Request) -> Any:
            token = request.headers.pop("x-security-token")
            for signed in super().sync_auth_flow(request):
                assert "x-security-token" not in signed.headers["authorization"]
                signed.headers["x-security-token"] = token
                yield signed

    answer = service.ask(
        "GET", "image-servers", auth=Late(key["access"], key["secret"]),
        headers={"X-Project-Id": service.project_id, "X-Security-Token": key["securitytoken"]},
    )  # fmt: skip
    assert answer.status_code == 200


def test_a_temporary_key_is_locked_after_failures_in_a_row_too(service: Service, key: Key) -> None:
    header = {"X-Security-Token": key["securitytoken"]}
    for _ in range(6):
        assert "verify aksk" in ask(service, key["access"], "x" * 40, **header).json()["error_msg"]
    answer = ask(service, key["access"], key["secret"], **header)
    assert answer.json()["error_msg"] == f"{PREFIX}AK access failed to reach the limit,forbidden"


def test_a_permanent_key_takes_no_notice_of_a_security_token(service: Service, person: Person, key: Key) -> None:
    for token in ("rubbish", key["securitytoken"]):
        assert ask(service, person.access, person.secret, **{"X-Security-Token": token}).status_code == 200


def test_an_expired_temporary_key_is_refused(service: Service, person: Person) -> None:
    sealer = Sealer((service.data / "secret.key").read_bytes())
    for seconds_left, status in ((60, 200), (-1, 401)):
        issued = TemporaryKeys(sealer, lambda left=seconds_left: now_ms() - (900 - left) * 1000)
        token, made = issued.issue(person.id, 900)
        answer = ask(service, made.access, made.secret, **{"X-Security-Token": token})
        assert answer.status_code == status
    assert answer.json()["error_msg"] == f"{PREFIX}security token of ak {made.access} expires"


def test_a_temporary_key_ends_with_its_user(service: Service) -> None:
    for change in ({"enabled": False}, {"password": "another password"}):
        passing = Person(service, "operator")
        made = must(temporary_key(service, passing.token()), 201)["credential"]
        header = {"X-Security-Token": made["securitytoken"]}
        assert ask(service, made["access"], made["secret"], **header).status_code == 200
        passing.change(**change)
        assert ask(service, made["access"], made["secret"], **header).status_code == 401


def test_a_temporary_key_may_what_its_user_may(service: Service) -> None:
    reader = Person(service, "readonly")
    made = must(temporary_key(service, reader.token()), 201)["credential"]
    header = {"X-Security-Token": made["securitytoken"]}
    assert ask(service, made["access"], made["secret"], **header).status_code == 200
    path = "image-servers/actions/batch-delete"
    answer = service.ask(
        "PATCH", path, {"items": ["1"]}, auth=Signature(made["access"], made["secret"]),
        headers={"X-Project-Id": service.project_id, **header},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["error_code"]) == (403, "WKS.00081102")


BODIES: list[tuple[Any, int, str, str]] = [
    ({}, 400, "IAM.0072", "auth"),
    ({"auth": {}}, 400, "IAM.0072", "auth.identity"),
    ({"auth": {"identity": {}}}, 400, "IAM.0072", "auth.identity.methods"),
    ({"auth": {"identity": {"methods": []}}}, 400, "IAM.0073", "auth.identity.methods"),
    ({"auth": {"identity": {"methods": ["password"]}}}, 400, "IAM.0073", "auth.identity.methods"),
    ({"auth": {"identity": {"methods": ["token", "token"]}}}, 400, "IAM.0073", "auth.identity.methods"),
    ({"auth": {"identity": {"methods": ["assume_role"]}}}, 403, "IAM.0002", "Agencies"),
    ({"auth": {"identity": {"methods": ["token"]}}}, 401, "IAM.0001", "requires authentication"),
    ({"auth": {"identity": {"methods": ["token"], "token": {"id": ""}}}}, 401, "IAM.0001", "requires authentication"),
    ({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}}, 401, "IAM.0067", "not valid"),
    ([], 400, "IAM.0011", "object"),
    *[
        (
            {"auth": {"identity": {"methods": ["token"], "token": {"id": "x", "duration_seconds": seconds}}}},
            400, "IAM.0073", "auth.identity.token.duration_seconds",
        )
        for seconds in (899, 86401, 0, -1, "900", 900.5, True)
    ],
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "word"), BODIES)
def test_a_request_that_breaks_a_rule_is_refused_in_the_native_envelope(
    service: Service, body: Any, status: int, code: str, word: str
) -> None:
    assert_native(service.http("POST", SECURITY_TOKENS, json=body), status, code, word)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null"])
def test_a_body_that_is_not_an_object_is_refused(service: Service, content: bytes) -> None:
    assert_native(service.http("POST", SECURITY_TOKENS, content=content), 400, "IAM.0011")


def test_an_expired_token_gets_no_key(service: Service) -> None:
    from test_auth import issue

    assert_native(temporary_key(service, issue(service, age_ms=25 * 3_600_000)), 401, "IAM.0066", "expires_at")


def test_a_revoked_token_gets_no_key_but_keys_got_before_live_on(service: Service, person: Person) -> None:
    token = person.token()
    made = must(temporary_key(service, token), 201)["credential"]
    assert with_token(
        service, token, "/v3/auth/tokens", method="DELETE", **{"X-Subject-Token": token}
    ).status_code == 204  # fmt: skip
    assert_native(temporary_key(service, token), 401, "IAM.0067", "not valid")
    header = {"X-Security-Token": made["securitytoken"]}
    assert ask(service, made["access"], made["secret"], **header).status_code == 200


# Permanent keys


def test_a_key_is_given_shown_without_its_secret_disabled_and_deleted(service: Service) -> None:
    owner = Person(service, "readonly")
    order = {"credential": {"user_id": owner.id, "description": "for the build"}}
    answer = service.ask("POST", KEYS, order)
    made = must(answer, 201)["credential"]
    access, secret = made["access"], made.pop("secret")
    assert re.fullmatch(r"[A-Z0-9]{20}", access)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", secret)
    assert (made["user_id"], made["status"], made["description"]) == (owner.id, "active", "for the build")
    assert datetime.fromisoformat(made["create_time"]).utcoffset() == timedelta(0)
    assert ask(service, access, secret).status_code == 200

    one = f"{KEYS}/{access}"
    assert must(service.ask("GET", one)) == {"credential": made}
    listed = must(service.ask("GET", KEYS, user_id=owner.id))["credentials"]
    assert [each["access"] for each in listed] == [owner.access, access]
    assert not any("secret" in each for each in listed)

    off = must(service.ask("PUT", one, {"credential": {"status": "inactive"}}))["credential"]
    assert off == {**made, "status": "inactive"}
    assert ask(service, access, secret).status_code == 401
    on = must(service.ask("PUT", one, {"credential": {"status": "active", "description": ""}}))["credential"]
    assert on == {**made, "description": ""}
    assert ask(service, access, secret).status_code == 200

    assert service.ask("DELETE", one).status_code == 204
    assert ask(service, access, secret).status_code == 401
    assert_native(service.ask("GET", one), 404, "IAM.0004", access)
    assert_native(service.ask("DELETE", one), 404, "IAM.0004", access)


def test_a_user_sees_its_own_keys_but_gives_none(service: Service, person: Person) -> None:
    own = must(person.ask_for_account("GET", KEYS))["credentials"]
    assert [each["access"] for each in own] == [person.access]
    one = f"{KEYS}/{person.access}"
    assert must(person.ask_for_account("GET", one))["credential"] == own[0]
    order = {"credential": {"user_id": person.id}}
    assert_native(person.ask_for_account("POST", KEYS, order), 403, "IAM.0002", "te_admin")
    assert_native(person.ask_for_account("DELETE", one), 403, "IAM.0002", "te_admin")
    off = {"credential": {"status": "inactive"}}
    assert_native(person.ask_for_account("PUT", one, off), 403, "IAM.0002", "te_admin")


def test_another_ones_keys_are_not_found(service: Service, person: Person) -> None:
    account, _ = new_account(service)
    stranger = Person(service, "te_admin", account=account)
    colleague = Person(service, "operator")
    for other in (stranger, colleague):
        for method, body in (("GET", None), ("DELETE", None), ("PUT", {"credential": {}})):
            answer = other.ask_for_account(method, f"{KEYS}/{person.access}", body)
            assert_native(answer, 404, "IAM.0004", person.access)
        assert_native(other.ask_for_account("GET", KEYS, params={"user_id": person.id}), 404, "IAM.0004", person.id)
        order = {"credential": {"user_id": person.id}}
        assert_native(other.ask_for_account("POST", KEYS, order), 404, "IAM.0004", person.id)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "word"),
    [
        ("POST", KEYS, {}, "IAM.0072", "credential"),
        ("POST", KEYS, {"credential": {}}, "IAM.0072", "credential.user_id"),
        ("POST", KEYS, {"credential": {"user_id": 1}}, "IAM.0073", "credential.user_id"),
        ("POST", KEYS, {"credential": {"user_id": "x" * 256}}, "IAM.0073", "credential.user_id"),
        ("POST", KEYS, {"credential": {"user_id": "a", "description": "\0"}}, "IAM.0073", "credential.description"),
        ("PUT", f"{KEYS}/A", {"credential": {"status": "off"}}, "IAM.0073", "credential.status"),
        ("PUT", f"{KEYS}/A", {"credential": []}, "IAM.0073", "credential"),
    ],
)
def test_a_key_request_that_breaks_a_rule_is_refused_by_field(
    service: Service, method: str, path: str, body: Any, code: str, word: str
) -> None:
    assert_native(service.ask(method, path, body), 400, code, word)


@pytest.mark.parametrize("access", ["NOSUCHKEY", "%00", "a.b", "%F0%9F%98%80"])
def test_an_unknown_key_is_not_found(service: Service, access: str) -> None:
    assert_native(service.ask("GET", f"{KEYS}/{access}"), 404, "IAM.0004")


@pytest.mark.parametrize(("method", "path"), [("GET", KEYS), ("POST", KEYS), ("DELETE", f"{KEYS}/A")])
def test_keys_need_a_sign_in(service: Service, method: str, path: str) -> None:
    assert_native(service.http(method, path), 401, "IAM.0001", "requires authentication")
    assert_native(service.http(method, path, headers={"X-Auth-Token": "x"}), 401, "IAM.0067", "not valid")


def test_secrets_of_keys_are_sealed_in_the_database(service: Service, person: Person) -> None:
    (sealed,) = service.rows("SELECT sealed_secret FROM access_keys WHERE access = ?", person.access)[0]
    assert person.secret.encode() not in sealed
