"""Who may do what: roles, in which projects, and that one account is nothing to another (contract section 2.9)."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from people import (
    Person,
    assert_keystone,
    must,
    new_account,
    new_project,
    renew,
    with_token,
)
from service_process import Service, nothing_changes

from darkroom.domain.ids import new_hex

FORBIDDEN = (403, "WKS.00081102")
UNKNOWN = "912345678901234567"

#: Operations with an answer that tells they were let through, without changing anything: of kinds, by action.
READS = [
    ("workspace:images:getImageJob", "GET", f"image-server-jobs/{UNKNOWN}", None, 404),
    ("workspace:images:listImageJobs", "GET", "image-server-jobs?job_type=", None, 200),
    ("workspace:imageServer:listImageSubJobs", "GET", "image-server-sub-jobs?job_type=", None, 200),
    ("workspace:imageServer:countImageSubJobs", "GET", "image-server-sub-jobs/actions/count", None, 200),
    ("workspace:imageServer:list", "GET", "image-servers", None, 200),
    ("workspace:imageServer:get", "GET", f"image-servers/{UNKNOWN}", None, 404),
    ("workspace:imageServer:getScreenshot", "GET", f"image-servers/{UNKNOWN}/screenshot", None, 404),
    ("workspace:webhook:list", "GET", "webhooks", None, 200),
    ("workspace:webhook:get", "GET", f"webhooks/{UNKNOWN}", None, 404),
    ("workspace:webhook:listDeliveries", "GET", f"webhooks/{UNKNOWN}/deliveries", None, 404),
    ("ims:images:list", "GET", "/v2/images", None, 200),
    ("ims:images:get", "GET", "/v2/images/0c51d2a4-0000-4000-8000-000000000000", None, 404),
]
WRITES = [
    ("workspace:imageServer:create", "POST", "image-servers", "order", 400),
    ("workspace:imageServer:update", "PATCH", f"image-servers/{UNKNOWN}", {"name": "a"}, 404),
    ("workspace:imageServer:recreate", "POST", f"image-servers/{UNKNOWN}/actions/recreate-image", {"name": "a"}, 404),
    ("workspace:imageServer:openConsole", "GET", f"image-servers/{UNKNOWN}/serial", None, 404),
    ("workspace:imageServer:openConsole", "GET", f"image-servers/{UNKNOWN}/screen", None, 404),
    ("workspace:imageServer:batchDelete", "PATCH", "image-servers/actions/batch-delete", {"items": ["1"]}, 200),
    (
        "workspace:imageServer:batchDeleteImageSubJobs", "PATCH", "image-server-sub-jobs/actions/batch-delete",
        {"items": ["1"]}, 200,
    ),
    ("workspace:webhook:create", "POST", "webhooks", {"url": "http://127.0.0.1/"}, 400),
    ("workspace:webhook:update", "PATCH", f"webhooks/{UNKNOWN}", {}, 404),
    ("workspace:webhook:delete", "DELETE", f"webhooks/{UNKNOWN}", None, 404),
    ("workspace:webhook:test", "POST", f"webhooks/{UNKNOWN}/actions/test", None, 404),
    ("ims:images:delete", "DELETE", "/v2/images/0c51d2a4-0000-4000-8000-000000000000", None, 404),
]  # fmt: skip
ACCESS = [("workspace:imageServer:getAccess", "GET", f"image-servers/{UNKNOWN}/access", None, 404)]
#: What only administrators may do.
MANAGING = [
    ("POST", "/v3/users", {"user": {"name": "a", "password": "long enough"}}),
    ("POST", "/v3/projects", {"project": {"name": "a"}}),
    ("GET", "/v3/roles", None),
    ("POST", "/v3/roles", {"role": {"name": "a", "actions": ["*"]}}),
    ("DELETE", "/v3/roles/readonly", None),
]


def outcome(person: Person, method: str, path: str, body: Any) -> tuple[int, str]:
    if body == "order":
        body = person.service.order("no-such-image")
    answer = person.ask(method, path, body)
    return answer.status_code, refusal_of(answer)


def refusal_of(answer: httpx2.Response) -> str:
    body = answer.json() if answer.content else {}
    return str(body.get("error_code") or body.get("error", {}).get("code", ""))


def is_let_through(person: Person, operation: tuple[str, str, str, Any, int]) -> bool:
    """Tell whether an operation is let through to where it fails or succeeds for other reasons."""
    _, method, path, body, expected = operation
    status, code = outcome(person, method, path, body)
    if status == 403:
        assert code in ("WKS.00081102", "IMG.0403"), code
        return False
    assert status == expected
    return True


@pytest.mark.parametrize(
    ("role", "reads", "writes", "access"),
    [("te_admin", True, True, True), ("operator", True, True, True), ("readonly", True, False, False)],
)
def test_each_role_may_what_it_is_for(service: Service, role: str, reads: bool, writes: bool, access: bool) -> None:
    person = Person(service, role)
    for operations, allowed in ((READS, reads), (WRITES, writes), (ACCESS, access)):
        for operation in operations:
            assert is_let_through(person, operation) is allowed, operation[0]


def test_readonly_does_not_see_what_signs_in_to_a_server(service: Service, image: str) -> None:
    server = service.new_server(image, "with-secrets")
    reader = Person(service, "readonly")
    assert must(reader.ask("GET", f"image-servers/{server}"))["id"] == server
    answer = reader.ask("GET", f"image-servers/{server}/access")
    assert (answer.status_code, refusal_of(answer)) == FORBIDDEN
    assert "workspace:imageServer:getAccess" in answer.json()["error_msg"]
    assert "password" in must(Person(service, "operator").ask("GET", f"image-servers/{server}/access"))


def test_without_a_role_nothing_is_allowed(service: Service) -> None:
    nobody = Person(service)
    for _, method, path, body, _ in [*READS, *WRITES, *ACCESS]:
        assert outcome(nobody, method, path, body)[0] == 403
    assert_keystone(nobody.ask_for_account("GET", "/v3/roles"), 403, "te_admin")


@pytest.mark.parametrize("role", ["operator", "readonly"])
def test_identities_are_managed_by_administrators_alone(service: Service, role: str) -> None:
    person = Person(service, role)
    for method, path, body in MANAGING:
        assert_keystone(person.ask_for_account(method, path, body), 403, "te_admin")
    assert_keystone(person.ask_for_account("PUT", person.grant("te_admin")), 403, "te_admin")
    assert_keystone(person.ask_for_account("PATCH", f"/v3/users/{person.id}", {"user": {"name": "a"}}), 403)
    assert_keystone(person.ask_for_account("DELETE", f"/v3/users/{person.id}"), 403)


# Roles of one's own


@pytest.fixture
def role(service: Service) -> Iterator[str]:
    """A role that allows to list, and jobs, but not to count."""
    name = f"role-{new_hex()}"
    order = {"name": name, "actions": ["*:list", "workspace:images:*", "!workspace:images:listImageJobs"]}
    must(service.ask("POST", "/v3/roles", {"role": order}), 201)
    yield name
    service.ask("DELETE", f"/v3/roles/{name}")


def test_a_role_of_ones_own_allows_its_actions_and_no_more(service: Service, role: str) -> None:
    person = Person(service, role)
    allowed = {operation[0] for operation in [*READS, *WRITES, *ACCESS] if is_let_through(person, operation)}
    lists = {"workspace:imageServer:list", "workspace:webhook:list", "ims:images:list"}
    assert allowed == {*lists, "workspace:images:getImageJob"}


def test_a_role_that_takes_away_does_not_take_from_another_role(service: Service, role: str) -> None:
    person = Person(service, role, "readonly")
    assert is_let_through(person, READS[1])


def test_a_role_of_all_actions_does_not_manage_identities(service: Service) -> None:
    name = f"role-{new_hex()}"
    must(service.ask("POST", "/v3/roles", {"role": {"name": name, "actions": ["*", "iam:*"]}}), 201)
    person = Person(service, name)
    for method, path, body in MANAGING:
        assert_keystone(person.ask_for_account(method, path, body), 403, "te_admin")


def test_what_a_role_allows_changes_for_all_who_have_it(service: Service, role: str) -> None:
    person, token = (holder := Person(service, role)), holder.token()
    servers = f"/v1/{service.project_id}/image-servers"
    assert with_token(service, token, servers).status_code == 200
    changed = must(service.ask("PATCH", f"/v3/roles/{role}", {"role": {"actions": ["ims:*"]}}))["role"]
    assert changed["actions"] == ["ims:*"]
    assert with_token(service, token, servers).status_code == 403
    assert with_token(service, token, "/v2/images").status_code == 200
    must(service.ask("DELETE", f"/v3/roles/{role}"), 204)
    assert with_token(service, token, "/v2/images").status_code == 403
    assert service.rows("SELECT 1 FROM grants WHERE user_id = ?", person.id) == []


def test_roles_are_listed_with_what_they_allow(service: Service, role: str) -> None:
    roles = {each["name"]: each for each in service.get("/v3/roles")["roles"]}
    assert roles["te_admin"]["actions"] == ["*"]
    assert roles["te_admin"]["domain_id"] is None
    assert roles[role]["domain_id"] == service.credentials["account_id"]
    assert service.get(f"/v3/roles/{role}") == {"role": roles[role]}
    assert list(roles)[:3] == ["te_admin", "operator", "readonly"]


def test_the_roles_that_every_account_has_stay_as_they_are(service: Service) -> None:
    for name in ("te_admin", "operator", "readonly"):
        assert_keystone(service.ask("DELETE", f"/v3/roles/{name}"), 409, name)
        assert_keystone(service.ask("PATCH", f"/v3/roles/{name}", {"role": {"actions": ["*"]}}), 409, name)
        assert_keystone(service.ask("POST", "/v3/roles", {"role": {"name": name, "actions": ["*"]}}), 409, name)


def test_a_role_is_its_accounts_own(service: Service, role: str) -> None:
    account, _ = new_account(service)
    theirs = Person(service, "te_admin", account=account)
    assert_keystone(theirs.ask_for_account("GET", f"/v3/roles/{role}"), 404, role)
    assert_keystone(theirs.ask_for_account("DELETE", f"/v3/roles/{role}"), 404, role)
    assert_keystone(theirs.ask_for_account("PUT", theirs.grant(role)), 404, role)
    must(theirs.ask_for_account("POST", "/v3/roles", {"role": {"name": role, "actions": ["ims:*"]}}), 201)
    assert service.get(f"/v3/roles/{role}")["role"]["actions"][0] == "*:list", "ours is as it was"


# Projects


def test_a_role_in_one_project_is_none_in_another(service: Service) -> None:
    project = new_project(service)
    person = Person(service, "operator", project=project)
    assert person.ask("GET", "image-servers", project=project).status_code == 200
    answer = person.ask("GET", "image-servers")
    assert (answer.status_code, refusal_of(answer)) == FORBIDDEN
    token = person.token({"project": {"id": project}})
    assert with_token(service, token, f"/v1/{project}/image-servers").status_code == 200
    assert with_token(service, token).status_code == 403, "the path's project is not the token's"
    assert_keystone(renew(service, token, {"project": {"id": service.project_id}}), 403, "no access")


def test_a_role_everywhere_is_one_in_projects_to_come(service: Service) -> None:
    person = Person(service, "readonly")
    assert person.ask("GET", "image-servers", project=new_project(service)).status_code == 200


def test_one_may_have_different_roles_in_different_projects(service: Service) -> None:
    project = new_project(service)
    person = Person(service, "readonly")
    must(service.ask("PUT", person.grant("operator", project)), 204)
    path, body = "image-servers/actions/batch-delete", {"items": ["1"]}
    assert person.ask("PATCH", path, body).status_code == 403
    assert person.ask("PATCH", path, body, project=project).status_code == 200
    grants = service.get("/v3/role_assignments", **{"user.id": person.id})["role_assignments"]
    assert [(each["role"]["id"], each["scope"]) for each in grants] == [
        ("readonly", {"domain": {"id": person.account}}),
        ("operator", {"project": {"id": project}}),
    ]
    assert must(person.ask_for_account("GET", "/v3/role_assignments"))["role_assignments"] == grants


def test_te_admin_of_a_project_does_not_administer_the_account(service: Service) -> None:
    project = new_project(service)
    person = Person(service, "te_admin", project=project)
    assert person.ask("PATCH", "image-servers/actions/batch-delete", {"items": ["1"]}, project=project).is_success
    for ask in (person.ask_for_account, lambda *request: person.ask(*request, project=project)):
        for method, path, body in MANAGING:
            assert_keystone(ask(method, path, body), 403, "te_admin")
        assert_keystone(ask("PUT", person.grant("te_admin")), 403, "te_admin")


def test_a_role_that_is_taken_is_taken_at_once(service: Service) -> None:
    person = Person(service, "operator")
    token = person.token()
    assert with_token(service, token).status_code == 200
    must(service.ask("DELETE", person.grant("operator")), 204)
    assert with_token(service, token).status_code == 403
    assert person.ask("GET", "image-servers").status_code == 403
    assert_keystone(service.ask("DELETE", person.grant("operator")), 404, "operator")


def test_a_token_does_not_gain_what_its_user_gains(service: Service) -> None:
    person = Person(service, "readonly")
    token = person.token()
    must(service.ask("PUT", person.grant("te_admin")), 204)
    roles = f"{service.endpoint}/v3/roles"
    assert service.http("GET", roles, headers={"X-Auth-Token": token}).status_code == 403
    assert service.http("GET", roles, headers={"X-Auth-Token": person.token()}).status_code == 200


def test_granting_again_changes_nothing(service: Service) -> None:
    person = Person(service, "readonly")
    must(service.ask("PUT", person.grant("readonly")), 204)
    assert len(service.get("/v3/role_assignments", **{"user.id": person.id})["role_assignments"]) == 1


def test_what_is_not_there_cannot_be_granted(service: Service) -> None:
    person = Person(service)
    account, their_project = new_account(service)
    stranger = Person(service, account=account)
    project = service.project_id
    for path in (
        person.grant("no-such"),
        person.grant("readonly", "0" * 32),
        person.grant("readonly", their_project),
        f"/v3/projects/{project}/users/{'0' * 32}/roles/readonly",
        f"/v3/projects/{project}/users/{stranger.id}/roles/readonly",
        f"/v3/domains/{account}/users/{person.id}/roles/readonly",
    ):
        for method in ("PUT", "DELETE"):
            assert_keystone(service.ask(method, path), 404)
    assert service.rows("SELECT 1 FROM grants WHERE user_id IN (?, ?)", person.id, stranger.id) == []


# Accounts


def test_one_account_is_nothing_to_another(service: Service, image: str) -> None:
    account, project = new_account(service)
    theirs = Person(service, "te_admin", account=account)
    server, job = service.new_server(image, "not-theirs"), service.create(image, "not-theirs-either")
    gone = must(theirs.ask("PATCH", "image-servers/actions/batch-delete", {"items": [server]}, project=project))
    assert must(theirs.ask("GET", f"image-server-jobs/{gone['job_id']}", project=project))["sub_jobs"] == []
    assert service.server(server)["status"] == "ACTIVE"
    with nothing_changes(service):
        for path in (f"image-servers/{server}", f"image-server-jobs/{job}", f"image-servers/{server}/access"):
            assert theirs.ask("GET", path, project=project).status_code == 404
            assert theirs.ask("GET", path).status_code == 403
        assert theirs.ask("GET", f"/v2/images/{image}", project=project).status_code == 404
        own = service.credentials
        for path in (
            f"/v3/projects/{own['project_id']}",
            f"/v3/users/{own['user_id']}",
            f"/v3/domains/{own['account_id']}",
        ):
            for method in ("GET", "PATCH", "DELETE"):
                body = {path.split("/")[2][:-1]: {"enabled": False}} if method == "PATCH" else None
                assert_keystone(theirs.ask_for_account(method, path, body), 404)
        order = {"user": {"name": "a", "password": "long enough", "domain_id": own["account_id"]}}
        assert_keystone(theirs.ask_for_account("POST", "/v3/users", order), 404)
        assert_keystone(theirs.ask_for_account("POST", "/v3/domains", {"domain": {"name": "a"}}), 403)
        assert must(theirs.ask_for_account("GET", "/v3/domains"))["domains"][0]["id"] == account
        assert must(theirs.ask_for_account("GET", "/v3/projects", params={"domain_id": own["account_id"]})) == {
            "projects": [],
            "links": {"self": f"{service.endpoint}/v3/projects", "next": None, "previous": None},
        }


def test_an_account_administers_itself(service: Service) -> None:
    account, _ = new_account(service)
    admin = Person(service, "te_admin", account=account)
    order = {"user": {"name": "worker", "password": "long enough"}}
    user = must(admin.ask_for_account("POST", "/v3/users", order), 201)["user"]
    assert user["domain_id"] == account
    project = must(admin.ask_for_account("POST", "/v3/projects", {"project": {"name": "team"}}), 201)["project"]
    assert (project["domain_id"], project["parent_id"]) == (account, account)
    must(admin.ask_for_account("PUT", f"/v3/projects/{project['id']}/users/{user['id']}/roles/operator"), 204)
    assert_keystone(admin.ask_for_account("PATCH", f"/v3/domains/{account}", {"domain": {"enabled": False}}), 403)


def test_nobody_of_a_disabled_account_can_do_anything(service: Service) -> None:
    account, project = new_account(service)
    person = Person(service, "te_admin", account=account)
    token = person.token({"project": {"id": project}})
    assert with_token(service, token, f"/v1/{project}/image-servers").status_code == 200
    must(service.ask("PATCH", f"/v3/domains/{account}", {"domain": {"enabled": False}}))
    assert with_token(service, token, f"/v1/{project}/image-servers").status_code == 401
    assert person.ask("GET", "image-servers", project=project).status_code == 401
    assert_keystone(person.sign_in(), 401, "password is wrong")


# What is kept from going wrong


def test_the_last_administrator_stays(service: Service) -> None:
    account, _ = new_account(service)
    first, second = Person(service, "te_admin", account=account), Person(service, "te_admin", account=account)
    must(service.ask("DELETE", second.grant("te_admin")), 204)
    for method, path, body in (
        ("PATCH", f"/v3/users/{first.id}", {"user": {"enabled": False}}),
        ("DELETE", f"/v3/users/{first.id}", None),
        ("DELETE", first.grant("te_admin"), None),
    ):
        assert_keystone(service.ask(method, path, body), 409, "last", "te_admin")
    assert first.ask_for_account("GET", "/v3/roles").status_code == 200, "nothing has changed"
    must(service.ask("PUT", second.grant("te_admin")), 204)
    first.change(enabled=False)
    assert_keystone(service.ask("DELETE", f"/v3/users/{second.id}"), 409, "last")
    second.change(name="renamed", enabled=True)


def test_names_are_given_once(service: Service) -> None:
    person, project = Person(service), new_project(service)
    name = service.get(f"/v3/projects/{project}")["project"]["name"]
    again = {"name": person.name, "password": "long enough"}
    assert_keystone(service.ask("POST", "/v3/users", {"user": again}), 409, person.name)
    assert_keystone(service.ask("PATCH", f"/v3/users/{person.id}", {"user": {"name": "admin"}}), 409, "admin")
    assert_keystone(service.ask("POST", "/v3/projects", {"project": {"name": name}}), 409, name)
    assert_keystone(service.ask("POST", "/v3/domains", {"domain": {"name": "darkroom"}}), 409, "darkroom")
    account, _ = new_account(service)
    Person(service, account=account, name=person.name)


def test_a_project_is_deleted_when_it_is_disabled_and_empty(service: Service) -> None:
    project = new_project(service)
    part = new_project(service, parent_id=project)
    member = Person(service, "readonly", project=project)
    headers = {"X-Project-Id": project}
    image = must(service.ask("POST", "/v2/images", {"name": "base"}, headers=headers), 201)["id"]
    order = {"name": "tool", "version": "1", "kind": "script", "file_name": "install.sh"}
    app = must(service.ask("POST", f"/v1/{project}/apps", order, headers=headers), 201)["id"]
    path, off = f"/v3/projects/{project}", {"project": {"enabled": False}}
    assert_keystone(service.ask("DELETE", path), 409, "Disable")
    must(service.ask("PATCH", path, off))
    assert_keystone(service.ask("DELETE", path), 409, "sub-projects")
    must(service.ask("PATCH", f"/v3/projects/{part}", off))
    must(service.ask("DELETE", f"/v3/projects/{part}"), 204)
    assert_keystone(service.ask("DELETE", path), 409, "images")
    must(service.ask("PATCH", path, {"project": {"enabled": True}}))
    must(service.ask("DELETE", f"/v2/images/{image}", headers=headers), 204)
    must(service.ask("PATCH", path, off))
    assert_keystone(service.ask("DELETE", path), 409, "applications")
    must(service.ask("PATCH", path, {"project": {"enabled": True}}))
    must(service.ask("DELETE", f"/v1/{project}/apps/{app}", headers=headers), 204)
    must(service.ask("PATCH", path, off))
    must(service.ask("DELETE", path), 204)
    assert_keystone(service.ask("GET", path), 404, project)
    assert service.rows("SELECT 1 FROM grants WHERE user_id = ?", member.id) == []


def test_an_account_is_deleted_when_it_is_disabled_and_has_no_projects(service: Service) -> None:
    account, project = new_account(service)
    person = Person(service, "te_admin", account=account)
    path = f"/v3/domains/{account}"
    assert_keystone(service.ask("DELETE", path), 409, "Disable")
    must(service.ask("PATCH", path, {"domain": {"enabled": False}}))
    assert_keystone(service.ask("DELETE", path), 409, "projects")
    must(service.ask("PATCH", f"/v3/projects/{project}", {"project": {"enabled": False}}))
    must(service.ask("DELETE", f"/v3/projects/{project}"), 204)
    must(service.ask("DELETE", path), 204)
    assert_keystone(service.ask("GET", path), 404, account)
    assert service.rows("SELECT 1 FROM users WHERE id = ?", person.id) == []


def test_the_main_account_stays(service: Service) -> None:
    path = f"/v3/domains/{service.credentials['account_id']}"
    assert_keystone(service.ask("PATCH", path, {"domain": {"enabled": False}}), 409, "main account")
    assert_keystone(service.ask("DELETE", path), 409, "main account")


def test_a_sub_project_has_a_project_above_it_and_none_below(service: Service) -> None:
    _, theirs = new_account(service)
    part = new_project(service, parent_id=service.project_id)
    assert service.get(f"/v3/projects/{part}")["project"]["parent_id"] == service.project_id
    for parent, status in ((part, 400), (theirs, 400), ("0" * 32, 404)):
        order = {"project": {"name": f"project-{new_hex()}", "parent_id": parent}}
        assert_keystone(service.ask("POST", "/v3/projects", order), status)
    account = service.credentials["account_id"]
    assert service.get(f"/v3/projects/{new_project(service, parent_id=account)}")["project"]["parent_id"] == account


def test_every_change_has_its_event_that_says_who(service: Service) -> None:
    admin = Person(service, "te_admin")
    order = {"user": {"name": f"user-{new_hex()}", "password": "long enough"}}
    user = must(admin.ask_for_account("POST", "/v3/users", order), 201)["user"]
    must(admin.ask_for_account("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "another one"}}))
    must(admin.ask_for_account("DELETE", f"/v3/users/{user['id']}"), 204)
    events = service.rows("SELECT kind, data FROM events WHERE resource_id = ? ORDER BY seq", user["id"])
    assert [kind for kind, _ in events] == ["user.added", "user.changed", "user.removed"]
    for _, data in events:
        assert admin.id in data
        assert "another one" not in data
        assert "argon2" not in data


# Bad input

USER = {"name": "a", "password": "long enough"}
MALFORMED: list[tuple[str, str, Any, str]] = [
    ("POST", "/v3/users", {}, "user"),
    ("POST", "/v3/users", {"user": {}}, "user.name"),
    *[("POST", "/v3/users", {"user": {**USER, "name": name}}, "user.name") for name in ("", "a b", "x" * 65, "é", 1)],
    *[
        ("POST", "/v3/users", {"user": {**USER, "password": word}}, "user.password")
        for word in ("", "short", "x" * 129, None, 1)
    ],
    ("POST", "/v3/users", {"user": {**USER, "domain_id": "a\0"}}, "user.domain_id"),
    ("POST", "/v3/users", {"user": {**USER, "enabled": "yes"}}, "user.enabled"),
    ("PATCH", "/v3/users/x", {"user": {"enabled": 1}}, "user.enabled"),
    ("PATCH", "/v3/users/x", {"user": {"password": "short"}}, "user.password"),
    ("POST", "/v3/users/x/password", {"user": {"password": "long enough"}}, "user.original_password"),
    ("POST", "/v3/projects", {"project": {"name": "a b"}}, "project.name"),
    ("POST", "/v3/projects", {"project": {"name": "a", "description": "x" * 256}}, "project.description"),
    ("PATCH", "/v3/projects/x", {"project": {"name": ""}}, "project.name"),
    ("POST", "/v3/domains", {"domain": {"name": ""}}, "domain.name"),
    ("PATCH", "/v3/domains/x", {"domain": {"enabled": "no"}}, "domain.enabled"),
    ("POST", "/v3/roles", {"role": {"name": "a"}}, "role.actions"),
    ("POST", "/v3/roles", {"role": {"name": "a", "actions": []}}, "role.actions"),
    ("POST", "/v3/roles", {"role": {"name": "a b", "actions": ["*"]}}, "role.name"),
    *[
        ("POST", "/v3/roles", {"role": {"name": "a", "actions": ["*", action]}}, "role.actions[1]")
        for action in ("", "a b", "[a]", "a?", "x" * 129, "!", "!!a", 1)
    ],
    ("PATCH", "/v3/roles/x", {"role": {}}, "role.actions"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "field"), MALFORMED, ids=[f"{m} {p} {f} {n}" for n, (m, p, _, f) in enumerate(MALFORMED)]
)
def test_a_request_that_breaks_a_rule_is_refused_by_field(
    service: Service, method: str, path: str, body: Any, field: str
) -> None:
    answer = service.ask(method, path, body)
    assert_keystone(answer, 400, f"{field}: ")
    assert "regex" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v3/users"), ("PATCH", "/v3/users/x"), ("POST", "/v3/projects"), ("PATCH", "/v3/projects/x"),
        ("POST", "/v3/domains"), ("PATCH", "/v3/domains/x"), ("POST", "/v3/roles"), ("PATCH", "/v3/roles/x"),
    ],
)  # fmt: skip
def test_a_managing_request_needs_json_and_a_sign_in(service: Service, method: str, path: str) -> None:
    for content in (b"", b"{", b"[]", b"\xff"):
        assert_keystone(service.ask(method, path, content=content), 400)
    assert_keystone(service.http(method, path, json={}), 401, "requires authentication")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["users", "projects", "domains", "roles"])
def test_what_is_not_there_cannot_be_changed(service: Service, method: str, kind: str) -> None:
    body = {kind[:-1]: {"actions": ["*"]} if kind == "roles" else {}} if method == "PATCH" else None
    assert_keystone(service.ask(method, f"/v3/{kind}/{'0' * 32}", body), 404, "0" * 32)
