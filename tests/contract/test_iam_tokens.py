"""Tokens: how they are got, for which scope, looked at and revoked (contract section 12.3)."""

from datetime import datetime
from typing import Any

import pytest
from people import PASSWORD, Person, assert_keystone, must, new_account, new_project, renew, with_token
from service_process import Service, eventually

TOKENS = "/v3/auth/tokens"


@pytest.fixture(scope="module")
def person(service: Service) -> Person:
    """A user who stays as it is."""
    return Person(service, "operator")


@pytest.fixture
def passing(service: Service) -> Person:
    """A user to whom things happen."""
    return Person(service, "operator")


# Scopes


def test_without_a_scope_the_token_is_for_the_users_account(service: Service, person: Person) -> None:
    known = service.credentials
    account = {"id": known["account_id"], "name": known["account"]}
    scopes: list[Any] = [None, {"domain": {"id": account["id"]}}, {"domain": {"name": account["name"]}}]
    for scope in scopes:
        token = must(person.sign_in(scope), 201)["token"]
        assert token["domain"] == account
        assert "project" not in token
        assert token["roles"] == [{"id": "0", "name": "operator"}]


def test_a_token_for_the_account_is_not_good_for_a_project(service: Service, person: Person) -> None:
    token = person.token({"domain": {"id": person.account}})
    refused = with_token(service, token)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "WKS.00081102")
    assert with_token(service, token, "/v2/images").status_code == 403
    assert with_token(service, token, "/v3/auth/projects").status_code == 200


def test_a_user_without_a_role_signs_in_for_the_account_alone(service: Service) -> None:
    nobody = Person(service)
    assert must(nobody.sign_in(), 201)["token"]["roles"] == []
    assert_keystone(nobody.sign_in({"project": {"id": service.project_id}}), 403, "project")


@pytest.mark.parametrize(
    "scope",
    [
        {"domain": {"id": "0" * 32}}, {"domain": {"name": "no-such"}}, {"project": {"id": "0" * 32}},
        {"project": {"name": "no-such"}}, {"project": {"name": "local-1", "domain": {"name": "no-such"}}},
    ],
)  # fmt: skip
def test_what_is_not_there_is_no_scope(person: Person, scope: Any) -> None:
    assert_keystone(person.sign_in(scope), 403, "no access")


def test_another_accounts_project_is_no_scope_nor_is_the_account(service: Service, person: Person) -> None:
    account, project = new_account(service)
    for scope in ({"project": {"id": project}}, {"domain": {"id": account}}):
        assert_keystone(person.sign_in(scope), 403, "no access")


def test_a_disabled_project_is_no_scope_and_its_tokens_are_good_no_more(service: Service) -> None:
    project = new_project(service)
    worker = Person(service, "operator", project=project)
    token, path = worker.token({"project": {"id": project}}), f"/v1/{project}/image-server-jobs?job_type="
    assert with_token(service, token, path).status_code == 200
    must(service.ask("PATCH", f"/v3/projects/{project}", {"project": {"enabled": False}}))
    assert_keystone(worker.sign_in({"project": {"id": project}}), 403, "project")
    assert with_token(service, token, path).status_code == 401
    assert worker.ask("GET", "image-server-jobs", project=project, job_type="").status_code == 403
    must(service.ask("PATCH", f"/v3/projects/{project}", {"project": {"enabled": True}}))
    assert with_token(service, token, path).status_code == 200


def test_null_names_nothing(service: Service, person: Person) -> None:
    account = {"id": person.account, "name": None}
    user = {"id": person.id, "name": None, "password": PASSWORD, "domain": account}
    identity = {"methods": ["password"], "password": {"user": user}, "token": None}
    for scope in ({"project": {"id": service.project_id, "name": None, "domain": None}}, {"domain": account}):
        must(service.http("POST", TOKENS, json={"auth": {"identity": identity, "scope": scope}}), 201)


SCOPES: list[tuple[Any, str]] = [
    ({}, "auth.scope"),
    ({"project": {}}, "auth.scope.project"),
    ({"domain": {}}, "auth.scope.domain"),
    ({"domain": {"id": None, "name": None}}, "auth.scope.domain"),
    ({"project": {"id": "a"}, "domain": {"id": "b"}}, "auth.scope"),
    ({"project": 1}, "auth.scope.project"),
    ({"domain": {"id": "x" * 256}}, "auth.scope.domain.id"),
    ({"project": {"name": "a\0b"}}, "auth.scope.project.name"),
    ([], "auth.scope"),
]


@pytest.mark.parametrize(("scope", "field"), SCOPES)
def test_a_malformed_scope_is_refused_by_field(person: Person, scope: Any, field: str) -> None:
    identity = {"methods": ["password"], "password": {"user": {"id": person.id, "password": PASSWORD}}}
    answer = person.service.http("POST", TOKENS, json={"auth": {"identity": identity, "scope": scope}})
    assert_keystone(answer, 400, field)


@pytest.mark.parametrize(
    ("methods", "status", "word"),
    [
        (["assume_role"], 403, "Agencies"), (["hw_assume_role"], 403, "Agencies"),
        (["password", "totp"], 400, "One-time passwords"), (["totp"], 400, "One-time passwords"),
        (["mapped"], 400, "auth.identity.methods"), (["password", "token"], 400, "auth.identity.methods"),
    ],
)  # fmt: skip
def test_ways_to_sign_in_that_are_not_there_are_refused_in_clear_words(
    service: Service, methods: list[str], status: int, word: str
) -> None:
    identity = {"methods": methods, "assume_role": {"domain_name": "a", "agency_name": "b"}}
    assert_keystone(service.http("POST", TOKENS, json={"auth": {"identity": identity}}), status, word)


@pytest.mark.parametrize(("method", "given"), [("password", {}), ("token", {}), ("token", {"token": {}})])
def test_the_way_to_sign_in_must_be_told_of(service: Service, method: str, given: Any) -> None:
    body = {"auth": {"identity": {"methods": [method], **given}}}
    assert_keystone(service.http("POST", TOKENS, json=body), 400, f"auth.identity.{method}")


def test_a_user_whose_name_has_a_nul_is_refused_by_field(service: Service) -> None:
    user = {"name": "a\0b", "password": "c", "domain": {"name": "d"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    assert_keystone(service.http("POST", TOKENS, json=body), 400, "auth.identity.password.user.name")


# By token


def test_a_token_is_changed_for_one_of_another_scope_that_lives_no_longer(service: Service, person: Person) -> None:
    first = person.sign_in()
    answer = renew(service, first.headers["x-subject-token"], {"project": {"name": "local-1"}})
    token, before = must(answer, 201)["token"], first.json()["token"]
    assert token["project"]["id"] == service.project_id
    assert token["methods"] == ["password", "token"]
    assert token["expires_at"] == before["expires_at"]
    assert datetime.fromisoformat(token["issued_at"]) >= datetime.fromisoformat(before["issued_at"])
    assert with_token(service, answer.headers["x-subject-token"]).status_code == 200


def test_a_token_of_a_token_is_no_way_around_what_the_user_may(service: Service, person: Person) -> None:
    _, project = new_account(service)
    assert_keystone(renew(service, person.token(), {"project": {"id": project}}), 403, "no access")


@pytest.mark.parametrize("token", ["x", "MIIx", "MII" + "A" * 300])
def test_a_wrong_token_gets_no_token(service: Service, token: str) -> None:
    assert_keystone(renew(service, token), 401, "not valid")


# Looking at tokens


def test_a_valid_token_is_shown_with_what_it_says(service: Service, person: Person) -> None:
    answer = person.sign_in({"project": {"id": service.project_id}})
    token = answer.headers["x-subject-token"]
    shown = with_token(service, token, TOKENS, **{"X-Subject-Token": token})
    assert shown.status_code == 200
    assert shown.headers["x-subject-token"] == token
    assert shown.json()["token"] == {**answer.json()["token"], "catalog": shown.json()["token"]["catalog"]}
    bare = with_token(service, token, f"{TOKENS}?nocatalog=1", **{"X-Subject-Token": token})
    assert bare.json()["token"]["catalog"] == []
    assert shown.json()["token"]["catalog"] != []


def test_head_tells_the_same_without_a_body(service: Service, person: Person) -> None:
    token = person.token()
    answer = with_token(service, token, TOKENS, method="HEAD", **{"X-Subject-Token": token})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-subject-token"] == token
    assert with_token(service, token, TOKENS, method="HEAD", **{"X-Subject-Token": "x"}).status_code == 404


def test_a_signature_may_look_at_a_token_too(service: Service, person: Person) -> None:
    headers = {"X-Subject-Token": person.token()}
    assert person.ask_for_account("GET", TOKENS, headers=headers).status_code == 200
    assert service.ask("GET", TOKENS, headers=headers).status_code == 200, "an administrator looks at all"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_invalid_subject_is_not_found_and_an_invalid_caller_not_let_in(
    service: Service, person: Person, method: str
) -> None:
    token = person.token()
    for subject in ("x", "MII" + "A" * 200, token[:-1]):
        assert_keystone(
            with_token(service, token, TOKENS, method=method, **{"X-Subject-Token": subject}), 404, "X-Subject-Token"
        )
    assert_keystone(with_token(service, "x", TOKENS, method=method, **{"X-Subject-Token": token}), 401, "not valid")
    anonymous = service.http(method, TOKENS, headers={"X-Subject-Token": token})
    assert_keystone(anonymous, 401, "requires authentication")
    assert_keystone(with_token(service, token, TOKENS, method=method), 400, "X-Subject-Token")
    assert with_token(service, token).status_code == 200, "it is as good as before"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_token_is_nobody_elses_business(service: Service, person: Person, method: str) -> None:
    account, _ = new_account(service)
    stranger = Person(service, "te_admin", account=account)
    colleague = Person(service, "operator")
    headers = {"X-Subject-Token": person.token()}
    assert_keystone(stranger.ask_for_account(method, TOKENS, headers=headers), 404, "X-Subject-Token")
    assert_keystone(colleague.ask_for_account(method, TOKENS, headers=headers), 403, "te_admin")
    assert with_token(service, headers["X-Subject-Token"]).status_code == 200


# Revocation


def test_a_revoked_token_is_refused_at_once_and_those_got_by_it(service: Service, passing: Person) -> None:
    token, other = passing.token(), passing.token()
    child = renew(service, token).headers["x-subject-token"]
    grandchild = renew(service, child, {"project": {"id": service.project_id}}).headers["x-subject-token"]
    answer = with_token(service, token, TOKENS, method="DELETE", **{"X-Subject-Token": token})
    assert (answer.status_code, answer.content) == (204, b"")
    for dead in (token, grandchild):
        refused = with_token(service, dead)
        assert (refused.status_code, refused.json()["error_code"]) == (401, "APIGW.0301")
        assert_keystone(renew(service, dead), 401, "not valid")
        assert_keystone(with_token(service, other, TOKENS, **{"X-Subject-Token": dead}), 404, "X-Subject-Token")
    assert_keystone(with_token(service, child, "/v3/auth/projects"), 401, "not valid")
    assert with_token(service, other).status_code == 200
    assert service.rows("SELECT count(*) FROM events WHERE kind = 'token.revoked' AND resource_id = ?", passing.id) == [
        (1,)
    ]


def test_a_token_got_by_another_can_be_revoked_alone(service: Service, passing: Person) -> None:
    token = passing.token()
    child = renew(service, token, {"project": {"id": service.project_id}}).headers["x-subject-token"]
    assert with_token(service, token, TOKENS, method="DELETE", **{"X-Subject-Token": child}).status_code == 204
    assert with_token(service, child).status_code == 401
    assert with_token(service, token).status_code == 200


def test_a_revocation_survives_a_restart(new_service: Any) -> None:
    service = new_service()
    person = Person(service, "readonly")
    revoked, kept = person.token(), person.token()
    assert with_token(service, kept, TOKENS, method="DELETE", **{"X-Subject-Token": revoked}).status_code == 204
    service.stop_cleanly()
    service.start()
    assert with_token(service, revoked).status_code == 401
    assert with_token(service, kept).status_code == 200


def test_a_disabled_users_tokens_and_keys_are_refused_at_once(service: Service, passing: Person) -> None:
    token = passing.token()
    assert passing.ask("GET", "image-server-jobs", job_type="").status_code == 200
    passing.change(enabled=False)
    assert with_token(service, token).status_code == 401
    assert passing.ask("GET", "image-server-jobs", job_type="").status_code == 401
    assert_keystone(passing.ask_for_account("GET", "/v3/projects"), 401, f"ak {passing.access} not exist")
    assert_keystone(passing.sign_in(), 401, "password is wrong")
    passing.change(enabled=True)
    assert passing.ask("GET", "image-server-jobs", job_type="").status_code == 200
    assert with_token(service, token).status_code == 401, "a token does not come back"
    assert with_token(service, passing.token()).status_code == 200


def test_a_deleted_users_tokens_and_keys_are_refused_at_once(service: Service, passing: Person) -> None:
    token = passing.token()
    must(service.ask("DELETE", f"/v3/users/{passing.id}"), 204)
    assert with_token(service, token).status_code == 401
    assert passing.ask("GET", "image-server-jobs", job_type="").status_code == 401
    assert service.rows("SELECT 1 FROM access_keys WHERE user_id = ?", passing.id) == []
    assert service.rows("SELECT 1 FROM grants WHERE user_id = ?", passing.id) == []


def test_a_new_password_ends_the_tokens_got_by_the_old_one(service: Service, passing: Person) -> None:
    token = passing.token()
    wrong = {"user": {"original_password": "not this one", "password": "another password"}}
    path = f"/v3/users/{passing.id}/password"
    assert_keystone(passing.ask_for_account("POST", path, wrong), 401, "password is wrong")
    assert with_token(service, token).status_code == 200
    right = {"user": {"original_password": PASSWORD, "password": "another password"}}
    must(passing.ask_for_account("POST", path, right), 204)
    assert with_token(service, token).status_code == 401
    assert_keystone(passing.sign_in(), 401, "password is wrong")
    must(passing.sign_in(password="another password"), 201)


def test_nobody_changes_anothers_password_so(service: Service, person: Person, passing: Person) -> None:
    body = {"user": {"original_password": PASSWORD, "password": "another password"}}
    assert_keystone(person.ask_for_account("POST", f"/v3/users/{passing.id}/password", body), 403, "own password")
    must(passing.sign_in(), 201)


def test_what_another_process_changes_is_in_force_soon(service: Service, passing: Person) -> None:
    """The test is the other process: it writes to the database directly."""
    token = passing.token()
    assert with_token(service, token).status_code == 200
    service.write(lambda tx: tx.accounts.change_user(passing.id, enabled=False))
    eventually(lambda: with_token(service, token).status_code == 401, "the token is refused")
    assert passing.ask("GET", "image-server-jobs", job_type="").status_code == 401
    service.write(lambda tx: tx.accounts.change_user(passing.id, enabled=True))
    eventually(lambda: with_token(service, token).status_code == 200, "the token is good again")


def test_whom_another_process_has_added_is_known_at_once(service: Service) -> None:
    stranger = service.add_stranger()
    answer = service.ask(
        "GET", f"/v1/{stranger.project_id}/image-server-jobs", auth=stranger.signature,
        headers={"X-Project-Id": stranger.project_id}, job_type="",
    )  # fmt: skip
    assert answer.status_code == 200
