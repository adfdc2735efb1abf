"""Look-ups of projects, accounts and users, as the clients make them (contract sections 7.1, 7.2 and 12.2)."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import httpx2
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkworkspaceapp import v1 as sdk
from people import Person, assert_keystone, assert_native, must, new_account, new_project, with_token
from service_process import Service, Signature

from darkroom.domain.times import now_ms
from darkroom.wire.signing import format_date

KEYS = "/v3.0/OS-CREDENTIAL/credentials"


@pytest.fixture(scope="module")
def limited(service: Service) -> Person:
    """A user who may work in one project, which is not the first one."""
    return Person(service, "operator", project=new_project(service))


def names(answer: httpx2.Response, kind: str = "projects") -> set[str]:
    return {each["name"] for each in must(answer)[kind]}


# As the official SDK asks


@pytest.fixture
def forgetful_sdk() -> Iterator[None]:
    """The SDK remembers projects by key and region, whatever the service."""
    BasicCredentials._CACHE.clear()
    yield
    BasicCredentials._CACHE.clear()


@pytest.mark.usefixtures("forgetful_sdk")
@pytest.mark.parametrize("way", ["credentials", "environment"])
def test_the_sdk_finds_the_regions_project_by_itself(
    service: Service, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    known = service.credentials
    credentials = BasicCredentials(known["access_key"], known["secret_key"])
    if way == "credentials":
        credentials = credentials.with_iam_endpoint(service.endpoint)
    else:
        monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", service.endpoint)
    region = Region(known["region"], service.endpoint)
    client = sdk.WorkspaceAppClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert credentials.project_id == service.project_id
    assert client.list_image_servers(sdk.ListImageServersRequest()).count >= 0


@pytest.mark.usefixtures("forgetful_sdk")
def test_the_sdk_finds_it_although_other_accounts_and_projects_are_there(service: Service) -> None:
    new_account(service)
    new_project(service, name="local-1_part", parent_id=service.project_id)
    person = Person(service, "readonly")
    credentials = BasicCredentials(person.access, person.secret).with_iam_endpoint(service.endpoint)
    region = Region(service.credentials["region"], service.endpoint)
    sdk.WorkspaceAppClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert credentials.project_id == service.project_id


@pytest.mark.usefixtures("forgetful_sdk")
def test_the_sdk_says_so_where_there_is_no_project_of_that_name(service: Service) -> None:
    known = service.credentials
    credentials = BasicCredentials(known["access_key"], known["secret_key"]).with_iam_endpoint(service.endpoint)
    builder = sdk.WorkspaceAppClient.new_builder().with_credentials(credentials)
    with pytest.raises(SdkException, match="Failed to get project id of region 'local'"):
        builder.with_region(Region("local", service.endpoint)).build()


@pytest.mark.usefixtures("forgetful_sdk")
def test_the_sdk_finds_the_account_by_itself(service: Service) -> None:
    known = service.credentials
    credentials = GlobalCredentials(known["access_key"], known["secret_key"]).with_iam_endpoint(service.endpoint)
    # No client of a global service is at hand; any client asks over the same connection.
    basic = BasicCredentials(known["access_key"], known["secret_key"], service.project_id)
    client = sdk.WorkspaceAppClient.new_builder().with_credentials(basic).with_endpoint(service.endpoint).build()
    credentials.process_auth_params(client._http_client, "any")
    assert credentials.domain_id == known["account_id"]


# As Terraform asks: neither host nor account is signed


def terraform(service: Service, path: str, **unsigned: str) -> httpx2.Response:
    """Send a look-up as Terraform's library signs it (contract section 12.1)."""
    known = service.credentials
    date = format_date(now_ms())
    headers = {"accept": "application/json", "user-agent": "golangsdk/2.0.0", "x-sdk-date": date}
    bare, _, query = path.partition("?")
    block = "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed = ";".join(headers)
    canonical = "\n".join(["GET", f"{bare}/", query, block, signed, hashlib.sha256().hexdigest()])
    to_sign = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(known["secret_key"].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    authorization = f"SDK-HMAC-SHA256 Access={known['access_key']}, SignedHeaders={signed}, Signature={signature}"
    return service.http("GET", path, headers={**headers, "Authorization": authorization, **unsigned})


def test_terraforms_look_ups_are_answered(service: Service) -> None:
    known = service.credentials
    projects = must(terraform(service, f"/v3/projects?name={known['region']}"))
    assert projects["projects"][0]["id"] == service.project_id
    assert projects["links"]["next"] is None
    for headers in ({}, {"X-Domain-Id": known["account_id"]}, {"X-Project-Id": service.project_id}):
        domains = must(terraform(service, "/v3/auth/domains", **headers))["domains"]
        assert [(each["id"], each["name"]) for each in domains] == [(known["account_id"], known["account"])]
        users = must(terraform(service, f"/v3/users?name={known['user']}", **headers))["users"]
        assert [each["id"] for each in users] == [known["user_id"]]


def test_an_account_or_project_that_is_not_the_signers_is_refused(service: Service) -> None:
    account, project = new_account(service)
    for headers in ({"X-Domain-Id": account}, {"X-Project-Id": project}, {"X-Domain-Id": "0" * 32}):
        assert_keystone(terraform(service, "/v3/auth/domains", **headers), 403, "no access")


# Projects


def test_a_project_is_told_of_as_the_contract_shows_it(service: Service) -> None:
    known = service.credentials
    (project,) = service.get("/v3/projects", name=known["project"])["projects"]
    assert project == {
        "id": known["project_id"], "name": known["region"], "domain_id": known["account_id"],
        "parent_id": known["account_id"], "enabled": True, "is_domain": False, "description": "",
        "links": {"self": f"{service.endpoint}/v3/projects/{known['project_id']}", "next": None, "previous": None},
    }  # fmt: skip
    assert service.get(f"/v3/projects/{known['project_id']}") == {"project": project}


def test_projects_are_filtered_by_their_whole_name(service: Service) -> None:
    new_project(service, name="exact-name")
    assert names(service.ask("GET", "/v3/projects", name="exact-name")) == {"exact-name"}
    for other in ("exact", "EXACT-NAME", "exact-name ", "%", "exact_name", "x" * 255):
        assert names(service.ask("GET", "/v3/projects", name=other)) == set()
    assert names(service.ask("GET", "/v3/projects", name="")) >= {"exact-name", "local-1"}


def test_projects_are_filtered_by_account_and_parent(service: Service) -> None:
    account, project = new_account(service)
    part = new_project(service, name="local-1_sub", parent_id=service.project_id)
    own = service.credentials["account_id"]

    def ids(**query: str) -> set[str]:
        return {each["id"] for each in service.get("/v3/projects", **query)["projects"]}

    assert ids(parent_id=service.project_id) >= {part}
    assert service.project_id not in ids(parent_id=service.project_id)
    assert ids(parent_id=own) >= {service.project_id}
    assert part not in ids(parent_id=own)
    assert ids(domain_id=own) == ids()
    assert ids(domain_id=account) == {project}, "who administers the main account may look into the others"
    assert project not in ids()
    assert ids(domain_id="0" * 32) == set()


def test_projects_are_filtered_by_whether_they_are_enabled(service: Service) -> None:
    off = new_project(service)
    must(service.ask("PATCH", f"/v3/projects/{off}", {"project": {"enabled": False}}))
    for spelled, there in (("true", False), ("false", True), ("False", True), ("", True)):
        found = {each["id"] for each in service.get("/v3/projects", enabled=spelled)["projects"]}
        assert (off in found) is there
        assert (service.project_id in found) is (spelled in ("true", ""))
    assert off not in {each["id"] for each in service.get("/v3/auth/projects")["projects"]}


def test_projects_come_by_the_page(service: Service) -> None:
    for _ in range(3):
        new_project(service)
    every = [each["id"] for each in service.get("/v3/projects")["projects"]]
    pages = [
        [each["id"] for each in service.get("/v3/projects", page=page, per_page=2)["projects"]]
        for page in range(1, len(every) // 2 + 3)
    ]
    assert [each for page in pages for each in page] == every
    assert pages[-1] == []
    assert max(map(len, pages)) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page", "0"), ("page", "x"), ("page", "-1"), ("per_page", "0"), ("per_page", "5001"), ("per_page", "1.5"),
        ("enabled", "maybe"), ("name", "x" * 256), ("name", "a\0"), ("domain_id", "x" * 129), ("parent_id", "a\0b"),
    ],
)  # fmt: skip
def test_a_filter_that_breaks_a_rule_is_refused_by_name(service: Service, field: str, value: str) -> None:
    assert_keystone(service.ask("GET", "/v3/projects", **{field: value}), 400, field)


def test_a_user_finds_the_projects_it_may_work_in(service: Service, limited: Person) -> None:
    for path in ("/v3/projects", "/v3/auth/projects"):
        (project,) = must(limited.ask_for_account("GET", path))["projects"]
        assert limited.ask("GET", "image-server-jobs", project=project["id"], job_type="").status_code == 200
    assert_keystone(limited.ask_for_account("GET", f"/v3/projects/{service.project_id}"), 404, service.project_id)
    nobody = Person(service)
    assert must(nobody.ask_for_account("GET", "/v3/auth/projects"))["projects"] == []


# Accounts and users


def test_an_account_is_told_of_as_the_contract_shows_it(service: Service, limited: Person) -> None:
    known = service.credentials
    path = "/v3/auth/domains"
    for answer in (
        service.ask("GET", path),
        limited.ask_for_account("GET", path),
        with_token(service, limited.token({"domain": {"id": limited.account}}), path),
    ):
        assert must(answer) == {
            "domains": [
                {
                    "id": known["account_id"], "name": known["account"], "enabled": True, "description": "",
                    "links": {"self": f"{service.endpoint}/v3/domains/{known['account_id']}"},
                }
            ],
            "links": {"self": f"{service.endpoint}{path}"},
        }  # fmt: skip


def test_a_user_is_told_of_without_its_secrets(service: Service, limited: Person) -> None:
    answer = service.ask("GET", "/v3/users", name=limited.name)
    (user,) = must(answer)["users"]
    assert user == {
        "id": limited.id, "name": limited.name, "domain_id": limited.account, "enabled": True,
        "password_expires_at": None, "description": "",
        "links": {"self": f"{service.endpoint}/v3/users/{limited.id}", "next": None, "previous": None},
    }  # fmt: skip
    assert must(answer)["links"]["next"] is None
    assert names(service.ask("GET", "/v3/users", name=limited.name[:-1]), "users") == set()
    assert "argon2" not in service.ask("GET", "/v3/users").text


def test_others_than_administrators_find_themselves_alone(service: Service, limited: Person) -> None:
    assert names(limited.ask_for_account("GET", "/v3/users"), "users") == {limited.name}
    admin = service.credentials
    assert names(limited.ask_for_account("GET", "/v3/users", params={"name": admin["user"]}), "users") == set()
    assert_keystone(limited.ask_for_account("GET", f"/v3/users/{admin['user_id']}"), 404, admin["user_id"])
    assert must(limited.ask_for_account("GET", f"/v3/users/{limited.id}"))["user"]["id"] == limited.id


LOOK_UPS = ["/v3/projects", "/v3/auth/projects", "/v3/auth/domains", "/v3/users", "/v3/domains", "/v3/roles"]


@pytest.mark.parametrize("path", [*LOOK_UPS, "/v3/users/x", "/v3/projects/x", "/v3/role_assignments"])
def test_a_look_up_needs_a_sign_in(service: Service, path: str) -> None:
    assert_keystone(service.http("GET", path), 401, "requires authentication")
    assert_keystone(with_token(service, "x", path), 401, "not valid", "decrypt token fail")
    wrong = service.ask("GET", path, auth=Signature("NOSUCHKEY", "x"))
    assert_keystone(wrong, 401, "ak NOSUCHKEY not exist")


@pytest.mark.parametrize("path", LOOK_UPS)
def test_a_look_up_is_answered_for_a_token_as_for_a_signature(service: Service, path: str) -> None:
    person = Person(service, "te_admin")
    answers = [
        must(answer)
        for answer in (
            person.ask_for_account("GET", path),
            person.ask("GET", path),
            with_token(service, person.token(), path),
            with_token(service, person.token({"domain": {"id": person.account}}), path),
        )
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("kind", ["projects", "users", "domains", "roles"])
def test_what_is_not_there_is_not_found(service: Service, kind: str) -> None:
    for wanted in ("0" * 32, "x", "%00", "a%2Fb"):
        assert_keystone(service.ask("GET", f"/v3/{kind}/{wanted}"), 404)
    assert_keystone(service.ask("GET", f"/v3/{kind}/{'x' * 129}"), 400, "128")


# Versions


def test_the_versions_are_told_of_as_keystone_does(service: Service) -> None:
    answer = service.http("GET", "/")
    assert answer.status_code == 300
    (version,) = answer.json()["versions"]["values"]
    assert (version["id"], version["status"]) == ("v3.0", "stable")
    assert version["links"] == [{"rel": "self", "href": f"{service.endpoint}/v3/"}]
    for path in ("/v3", "/v3/"):
        assert must(service.http("GET", path)) == {"version": version}
        assert_keystone(service.http("POST", path), 405)


def test_unknown_paths_have_the_envelope_of_their_neighbours(service: Service) -> None:
    assert_keystone(service.http("GET", "/v3/no-such"), 404)
    unknown = service.http("GET", "/v3.0/no-such")
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "APIGW.0101")
    assert_native(service.http("PATCH", KEYS), 405, "IAM.0007")


def test_the_clients_host_is_the_one_that_links_lead_to(service: Service) -> None:
    answer = service.http("GET", "/v3", headers={"Host": "iam.example.com:8443"})
    assert json.loads(answer.content)["version"]["links"][0]["href"] == "http://iam.example.com:8443/v3/"
