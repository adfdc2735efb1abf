"""Sign-in by token and by signature: what is accepted, and in which words the rest is refused (contract section 12)."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from service_process import Service, Signature, nothing_changes

from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.times import now_ms
from darkroom.services.tokens import LIFE_MS, Tokens
from darkroom.store.sealing import Sealer
from darkroom.wire.signing import sign

HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)
MICROS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
PREFIX = "Incorrect IAM authentication information: "
JOBS = "image-server-jobs?job_type="


def assert_unauthenticated(answer: httpx2.Response, *words: str) -> None:
    """See that an answer is the gateway's 401, with these words in its message."""
    assert answer.status_code == 401, answer.text
    body = answer.json()
    assert body.keys() == {"error_msg", "error_code", "request_id"}
    assert body["error_code"] == "APIGW.0301"
    assert HEX.fullmatch(body["request_id"])
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["error_msg"].startswith(PREFIX)
    for word in words:
        assert word in body["error_msg"]


def assert_forbidden(answer: httpx2.Response) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.json().keys() == {"error_code", "error_msg"}
    assert answer.json()["error_code"] == "WKS.00081102"
    assert HEX.fullmatch(answer.headers["x-request-id"])


def assert_identity_error(answer: httpx2.Response, status: int, title: str, *words: str) -> None:
    """See that an answer is the identity service's error (section 9.3)."""
    assert answer.status_code == status, answer.text
    assert "x-subject-token" not in answer.headers
    assert HEX.fullmatch(answer.headers["x-request-id"])
    error = answer.json()["error"]
    assert (error["code"], error["title"]) == (status, title)
    for word in words:
        assert word in error["message"]


# Tokens


def sign_in(service: Service, user: Any, project: Any, *, query: str = "") -> httpx2.Response:
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": project}}}
    return service.http("POST", f"/v3/auth/tokens{query}", json=body)


def user_of(service: Service, kind: str) -> dict[str, Any]:
    """Return the first user as a request may name it."""
    known = service.credentials
    forms: dict[str, dict[str, Any]] = {
        "name and domain name": {"name": known["user"], "domain": {"name": known["account"]}},
        "name and domain id": {"name": known["user"], "domain": {"id": known["account_id"]}},
        "id": {"id": known["user_id"]},
    }
    return {**forms[kind], "password": known["password"]}


def project_of(service: Service, kind: str) -> dict[str, Any]:
    known = service.credentials
    return {
        "id": {"id": known["project_id"]},
        "name": {"name": known["project"]},
        "name and domain id": {"name": known["project"], "domain": {"id": known["account_id"]}},
        "name and domain name": {"name": known["project"], "domain": {"name": known["account"]}},
    }[kind]


def with_token(service: Service, token: str, path: str = JOBS, **headers: str) -> httpx2.Response:
    return service.http("GET", f"/v1/{service.project_id}/{path}", headers={"X-Auth-Token": token, **headers})


@pytest.mark.parametrize(
    ("user", "project"),
    [
        ("name and domain name", "id"),
        ("name and domain id", "id"),
        ("id", "id"),
        ("name and domain name", "name"),
        ("name and domain name", "name and domain id"),
        ("id", "name and domain name"),
    ],
)
def test_a_user_signs_in_however_user_and_project_are_named(service: Service, user: str, project: str) -> None:
    answer = sign_in(service, user_of(service, user), project_of(service, project), query="?nocatalog=true")
    assert answer.status_code == 201, answer.text
    known = service.credentials
    token = answer.json()["token"]
    domain = {"id": known["account_id"], "name": known["account"]}
    assert MICROS.fullmatch(token.pop("issued_at"))
    assert MICROS.fullmatch(token.pop("expires_at"))
    assert token == {
        "methods": ["password"],
        "user": {"id": known["user_id"], "name": known["user"], "password_expires_at": "", "domain": domain},
        "project": {"id": known["project_id"], "name": known["project"], "domain": domain},
        "roles": [{"id": "0", "name": "te_admin"}],
        "catalog": [],
    }
    text = answer.headers["x-subject-token"]
    assert re.fullmatch(r"[!-~]+", text), "no blanks, ASCII alone"
    assert with_token(service, text).status_code == 200


def test_a_token_lives_for_a_day(service: Service) -> None:
    token = sign_in(service, user_of(service, "id"), project_of(service, "id")).json()["token"]
    issued, expires = (datetime.fromisoformat(token[name]) for name in ("issued_at", "expires_at"))
    assert expires - issued == timedelta(hours=24)


def test_the_catalogue_is_given_unless_it_is_declined(service: Service) -> None:
    catalogs = [
        sign_in(service, user_of(service, "id"), project_of(service, "id"), query=query).json()["token"]["catalog"]
        for query in ("", "?nocatalog=", "?nocatalog=true", "?nocatalog=0")
    ]
    assert catalogs[0] == catalogs[1]
    assert catalogs[2] == catalogs[3] == []
    by_type = {entry["type"]: entry for entry in catalogs[0]}
    assert by_type.keys() == {"appstream", "identity", "image"}
    for entry in catalogs[0]:
        assert entry.keys() == {"id", "name", "type", "endpoints"}
        (endpoint,) = entry["endpoints"]
        assert endpoint.keys() == {"id", "interface", "region", "region_id", "url"}
        assert (endpoint["interface"], endpoint["region"]) == ("public", service.credentials["region"])
        assert endpoint["url"].startswith(service.endpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong"},
        {"password": " "},
        {"id": "0" * 32},
        {"id": "", "name": "nobody", "domain": {"name": "darkroom"}},
        {"id": "", "name": "admin", "domain": {"name": "no-such-account"}},
        {"id": "", "name": "admin", "domain": {"id": "0" * 32}},
        {"id": "", "name": "Admin", "domain": {"name": "darkroom"}},
    ],
)
def test_a_wrong_password_and_a_user_who_never_was_are_refused_alike(service: Service, changes: Any) -> None:
    answer = sign_in(service, {**user_of(service, "id"), **changes}, project_of(service, "id"))
    assert_identity_error(answer, 401, "Unauthorized", "The username or password is wrong.")


@pytest.mark.parametrize(
    "project", [{"id": "0" * 32}, {"name": "no-such"}, {"name": "local-1", "domain": {"name": "no-such"}}]
)
def test_a_project_that_is_not_the_users_is_refused(service: Service, project: Any) -> None:
    assert_identity_error(sign_in(service, user_of(service, "id"), project), 403, "Forbidden", "project")


def test_the_project_of_another_account_is_refused_like_one_that_never_was(service: Service) -> None:
    theirs = service.add_stranger().project_id
    answers = [sign_in(service, user_of(service, "id"), {"id": project}) for project in (theirs, "0" * 32)]
    for answer in answers:
        assert_identity_error(answer, 403, "Forbidden")
    first, second = (answer.json() for answer in answers)
    assert first == second


PASSWORD = {"methods": ["password"], "password": {"user": {"id": "a", "password": "b"}}}
SCOPE = {"project": {"id": "a"}}
MALFORMED: list[tuple[Any, str]] = [
    ({}, "auth"),
    ({"auth": None}, "auth"),
    ({"auth": {"scope": SCOPE}}, "auth.identity"),
    ({"auth": {"identity": PASSWORD, "scope": {"project": {}}}}, "auth.scope.project"),
    ({"auth": {"identity": {**PASSWORD, "methods": ["magic"]}, "scope": SCOPE}}, "auth.identity.methods"),
    ({"auth": {"identity": {**PASSWORD, "methods": []}, "scope": SCOPE}}, "auth.identity.methods"),
    ({"auth": {"identity": {"methods": ["password"]}, "scope": SCOPE}}, "auth.identity.password"),
    *[
        ({"auth": {"identity": {**PASSWORD, "password": {"user": user}}, "scope": SCOPE}}, "identity.password.user")
        for user in ({"id": "a"}, {"password": "b"}, {"name": "a", "password": "b"}, {"id": 1, "password": "b"}, [])
    ],
    ({"auth": {"identity": PASSWORD, "scope": {"project": {"id": "x" * 256}}}}, "auth.scope.project.id"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), MALFORMED)
def test_a_malformed_sign_in_is_refused_by_field(service: Service, body: Any, field: str) -> None:
    answer = service.http("POST", "/v3/auth/tokens", json=body)
    assert_identity_error(answer, 400, "Bad Request", field)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 10_000, b'{"auth": {"identity": "\\ud800"}}'])
def test_a_sign_in_that_is_not_json_is_refused(service: Service, content: bytes) -> None:
    answer = service.http("POST", "/v3/auth/tokens", content=content)
    assert_identity_error(answer, 400, "Bad Request")


def test_errors_of_the_identity_service_have_its_own_envelope(service: Service) -> None:
    assert_identity_error(service.http("GET", "/v3/no-such"), 404, "Not Found")
    assert_identity_error(service.http("PUT", "/v3/auth/tokens"), 405, "Method Not Allowed")
    answer = service.http("POST", "/v3/auth/tokens", content=b"x", headers={"Content-Type": "text/plain"})
    assert_identity_error(answer, 415, "Unsupported Media Type")


def issue(service: Service, *, key: bytes | None = None, age_ms: int = 0, **changes: Any) -> str:
    """Return a token of the first user that is that old, or sealed with that key."""
    known = service.credentials
    claims = {
        "user_id": UserId(known["user_id"]),
        "user_name": known["user"],
        "account_id": AccountId(known["account_id"]),
        "account_name": known["account"],
        "project_id": ProjectId(known["project_id"]),
        "project_name": known["project"],
        "roles": ("te_admin",),
    }
    sealer = Sealer(key or (service.data / "secret.key").read_bytes())
    return Tokens(sealer, lambda: now_ms() - age_ms).issue(**{**claims, **changes})[0]


def test_a_token_is_good_until_it_expires(service: Service) -> None:
    assert with_token(service, issue(service, age_ms=LIFE_MS - 60_000)).status_code == 200
    answer = with_token(service, issue(service, age_ms=LIFE_MS + 1000))
    assert_unauthenticated(answer, "token expires, expires_at: ")
    assert MICROS.search(answer.json()["error_msg"])


def test_a_token_that_is_not_ours_is_refused(service: Service) -> None:
    good = issue(service)
    middle = len(good) // 2
    flipped = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    foreign = issue(service, key=Sealer.new_key())
    damaged = [flipped, foreign, good[:-1], good + "A", good[3:], "MII", "x", good.upper(), "a" * 20_000, "\xe9"]
    for token in damaged:
        answer = service.http(
            "GET", f"/v1/{service.project_id}/{JOBS}", headers=[(b"X-Auth-Token", token.encode("latin-1"))]
        )
        assert_unauthenticated(answer, "decrypt token fail")


def test_a_token_is_good_for_its_project_alone(service: Service) -> None:
    other = service.add_project()
    token = issue(service, project_id=ProjectId(other))
    assert_forbidden(with_token(service, token))
    assert service.http("GET", f"/v1/{other}/{JOBS}", headers={"X-Auth-Token": token}).status_code == 200
    assert_forbidden(service.http("GET", f"/v1/{other}/{JOBS}", headers={"X-Auth-Token": issue(service)}))
    assert_forbidden(with_token(service, issue(service, project_id=None)))


def test_a_token_without_a_role_may_nothing(service: Service) -> None:
    for roles in ((), ("no_such_role",)):
        assert_forbidden(with_token(service, issue(service, roles=roles)))


# Signatures


@pytest.fixture
def key(service: Service) -> tuple[str, str]:
    """An access key of its own for each test: failures lock a key."""
    return service.add_key()


def signed(
    service: Service, key: tuple[str, str], method: str = "GET", path: str = JOBS, body: bytes = b"", **more: Any
) -> tuple[str, dict[str, str]]:
    """Return URL and headers of a signed request."""
    path = path if path.startswith("/") else f"/v1/{service.project_id}/{path}"
    headers = {"X-Project-Id": service.project_id, **({"Content-Type": "application/json"} if body else {})}
    access, secret = key
    url = service.endpoint + path
    return url, headers | sign(method, url, headers, body, access_key=access, secret_key=secret, **more)


def get(service: Service, url: str, headers: Mapping[str, str]) -> httpx2.Response:
    return service.http("GET", url, headers=headers)


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": ""}, {"Authorization": "Basic YTpi"}, {"Authorization": ""}])
def test_a_request_without_sign_in_is_refused(service: Service, headers: dict[str, str]) -> None:
    for method, path in (("GET", JOBS), ("GET", "image-servers/1"), ("POST", "image-servers")):
        answer = service.http(method, f"/v1/{service.project_id}/{path}", headers=headers)
        assert_unauthenticated(answer)
        assert answer.json()["error_msg"] == PREFIX + "x-auth-token not found"


@pytest.mark.parametrize(
    "algorithm", ["SDK-HMAC-SM3", "SDK-ECDSA-P256-SHA256", "SDK-SM2-SM3", "V11-HMAC-SHA256", "SDK-HMAC-SHA512", "SDK-"]
)
def test_another_algorithm_is_refused(service: Service, key: tuple[str, str], algorithm: str) -> None:
    url, headers = signed(service, key)
    headers["Authorization"] = headers["Authorization"].replace("SDK-HMAC-SHA256", algorithm)
    assert_unauthenticated(get(service, url, headers), "SDK-HMAC-SHA256")


@pytest.mark.parametrize(
    "value",
    [
        "SDK-HMAC-SHA256", "SDK-HMAC-SHA256 Access=A", "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date",
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=short",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=, Signature=" + "0" * 64,
    ],
)  # fmt: skip
def test_a_malformed_signature_is_refused(service: Service, key: tuple[str, str], value: str) -> None:
    url, headers = signed(service, key)
    assert_unauthenticated(get(service, url, {**headers, "Authorization": value}))


def test_an_unknown_a_disabled_and_an_ownerless_key_are_refused_alike(service: Service, key: tuple[str, str]) -> None:
    for access, secret in (("NOSUCHKEY", key[1]), service.add_key(enabled=False), service.add_key("0" * 32)):
        url, headers = signed(service, (access, secret))
        answer = get(service, url, headers)
        assert_unauthenticated(answer)
        assert answer.json()["error_msg"] == f"{PREFIX}ak {access} not exist"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_of_another_time_is_refused(service: Service, key: tuple[str, str], minutes: int) -> None:
    url, headers = signed(service, key, now_ms=now_ms() + minutes * 60_000)
    answer = get(service, url, headers)
    words = f"calc aksk signature fail:signature expired, signature time:{headers['X-Sdk-Date']},server time:"
    assert_unauthenticated(answer, words)


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clocks_may_differ_by_a_quarter_of_an_hour(service: Service, key: tuple[str, str], minutes: int) -> None:
    url, headers = signed(service, key, now_ms=now_ms() + minutes * 60_000)
    assert get(service, url, headers).status_code == 200


@pytest.mark.parametrize("date", ["", "now", "2026-01-02T03:04:05Z", "20261302T030405Z", None])
def test_a_signature_without_a_proper_date_is_refused(service: Service, key: tuple[str, str], date: str | None) -> None:
    url, headers = signed(service, key)
    del headers["X-Sdk-Date"]
    assert_unauthenticated(get(service, url, headers | ({} if date is None else {"X-Sdk-Date": date})), "x-sdk-date")


def test_a_date_that_is_not_signed_is_refused(service: Service, key: tuple[str, str]) -> None:
    url, headers = signed(service, key)
    headers["Authorization"] = headers["Authorization"].replace(";x-sdk-date", "")
    assert_unauthenticated(get(service, url, headers), "x-sdk-date is not among the SignedHeaders")


def test_a_signed_header_that_is_missing_is_refused(service: Service, key: tuple[str, str]) -> None:
    url, headers = signed(service, key)
    del headers["X-Project-Id"]
    assert_unauthenticated(get(service, url, headers), "x-project-id")


def test_what_was_tampered_with_is_refused_and_the_canonical_request_shown(
    service: Service, key: tuple[str, str]
) -> None:
    """Path, query, body, method, a signed header, the secret: each is covered by the signature."""
    body = b'{"items":["912345678901234567"],"recursive":true}'
    path = "image-servers/actions/batch-delete"
    url, headers = signed(service, key, "PATCH", path, body)

    def send(method: str = "PATCH", to: str = url, content: bytes = body, **changed: str) -> httpx2.Response:
        return service.http(method, to, content=content, headers={**headers, **changed})

    other = service.add_project()
    with nothing_changes(service):
        for answer in (
            send(content=body.replace(b"true", b"false")),
            send(content=body + b"\n"),
            send(to=url.replace(service.project_id, other)),
            send(to=url + "?recursive=false"),
            send(**{"X-Project-Id": other}),
        ):
            assert_unauthenticated(answer, "verify aksk signature fail, canonicalRequest:PATCH|/v1/")
    assert send().status_code == 200, "as it was signed it is good"


def test_a_get_signed_for_one_query_is_not_good_for_another(service: Service, key: tuple[str, str]) -> None:
    url, headers = signed(service, key, path="image-server-jobs?job_type=CREATE_SERVER&limit=1")
    for to in (url.replace("limit=1", "limit=2"), url + "&offset=1", url.partition("?")[0]):
        answer = get(service, to, headers)
        assert_unauthenticated(answer, "verify aksk signature fail")
    turned = url.replace("job_type=CREATE_SERVER&limit=1", "limit=1&job_type=CREATE%5FSERVER")
    assert get(service, turned, headers).status_code == 200, "order and spelling of a query do not matter"


def test_headers_that_are_not_signed_may_change(service: Service, key: tuple[str, str]) -> None:
    url, headers = signed(service, key)
    assert get(service, url, {**headers, "Accept": "text/html", "X-Language": "zh-cn"}).status_code == 200


def test_a_signature_decides_where_there_is_also_a_token(service: Service, key: tuple[str, str]) -> None:
    url, headers = signed(service, (key[0], "wrong"))
    answer = get(service, url, {**headers, "X-Auth-Token": issue(service)})
    assert_unauthenticated(answer, "verify aksk signature fail")
    url, headers = signed(service, key)
    assert get(service, url, {**headers, "X-Auth-Token": "rubbish"}).status_code == 200


def test_a_key_locks_at_the_sixth_failure_in_a_row(service: Service, key: tuple[str, str]) -> None:
    access, _ = key
    wrong, right = Signature(access, "wrong"), Signature(*key)
    for _ in range(5):
        assert_unauthenticated(service.ask("GET", JOBS, auth=wrong), "verify aksk signature fail")
    assert service.ask("GET", JOBS, auth=right).status_code == 200, "a success begins the count anew"
    for _ in range(6):
        assert_unauthenticated(service.ask("GET", JOBS, auth=wrong), "verify aksk signature fail")
    for auth in (right, wrong):
        answer = service.ask("GET", JOBS, auth=auth)
        assert_unauthenticated(answer)
        assert answer.json()["error_msg"] == PREFIX + "AK access failed to reach the limit,forbidden"
    assert service.ask("GET", JOBS).status_code == 200, "the user's other key is not locked"


def test_a_signer_works_in_a_project_of_the_account_alone(service: Service) -> None:
    own, theirs = service.add_project(), service.add_stranger().project_id

    def ask(path_project: str, header_project: str) -> httpx2.Response:
        return service.ask("GET", f"/v1/{path_project}/{JOBS}", headers={"X-Project-Id": header_project})

    assert ask(own, own).status_code == 200
    for path_project, header_project in (
        (service.project_id, own),  # not the one signed in to
        (own, service.project_id),
        (service.project_id, "0" * 32),  # no such project
        ("0" * 32, "0" * 32),
        (theirs, theirs),  # another account's
        (theirs, service.project_id),
        (service.project_id, theirs),
    ):
        assert_forbidden(ask(path_project, header_project))


def test_without_the_header_the_project_is_that_of_the_path(service: Service, key: tuple[str, str]) -> None:
    own, theirs = service.add_project(), service.add_stranger().project_id
    for project, status in ((service.project_id, 200), (own, 200), (theirs, 403), ("0" * 32, 403)):
        answer = service.http("GET", f"/v1/{project}/{JOBS}", auth=Signature(*key))
        assert "x-project-id" not in answer.request.headers
        assert answer.status_code == status


def test_secrets_are_in_no_answer(service: Service) -> None:
    known = service.credentials
    answers = [
        sign_in(service, user_of(service, "id"), project_of(service, "id")),
        sign_in(service, {**user_of(service, "id"), "password": known["password"] + "x"}, project_of(service, "id")),
        service.ask("GET", JOBS, auth=Signature(known["access_key"], known["secret_key"] + "x")),
        service.ask("GET", JOBS),
    ]
    assert [answer.status_code for answer in answers] == [201, 401, 401, 200]
    for answer in answers:
        assert known["secret_key"] not in answer.text
        assert known["password"] not in answer.text
