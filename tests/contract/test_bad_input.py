"""Bad input is refused with a clear error that names the field, and changes nothing; good input is not refused."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from service_process import FLAVOUR, Service, Stranger, eventually, nothing_changes

from darkroom.drivers.simulated.qcow2 import disk_with_guest

HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)
UNKNOWN = "912345678901234567"
BAD, READ_UNKNOWN = (400, "WKS.00211102"), (404, "WKS.00129901")
GIB = 1 << 30


def assert_refused(answer: httpx2.Response, status: int, code: str, *words: str) -> None:
    """See that an answer is an error in the contract's envelope, with all these words in its message."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    body = answer.json()
    assert HEX.fullmatch(answer.headers["x-request-id"])
    assert body["error_code"] == code, body
    if code.startswith("APIGW."):
        assert body.keys() == {"error_msg", "error_code", "request_id"}
        assert body["request_id"] == answer.headers["x-request-id"]
    else:
        assert body.keys() == {"error_code", "error_msg"}
        assert 1 <= len(body["error_msg"]) <= 255
    for word in words:
        assert word in body["error_msg"], body["error_msg"]


def assert_field_refused(answer: httpx2.Response, field: str) -> None:
    """See that the message begins with the field."""
    assert_refused(answer, *BAD)
    assert answer.json()["error_msg"].startswith(f"{field}: "), answer.text
    assert "regex" not in answer.text, "a pattern is told in words"


# Requests of every kind that has a body


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    """A server that is ACTIVE and stays so."""
    return service.new_server(image, "steady")


@pytest.fixture(params=["create", "build", "delete", "attach", "add app"])
def operation(request: pytest.FixtureRequest, server: str) -> tuple[str, str]:
    """Method and path of an operation that takes a body."""
    return {
        "create": ("POST", "image-servers"),
        "build": ("POST", f"image-servers/{server}/actions/recreate-image"),
        "delete": ("PATCH", "image-servers/actions/batch-delete"),
        "attach": ("POST", f"image-servers/{server}/actions/attach-app"),
        "add app": ("POST", "apps"),
    }[request.param]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"not json", b"{} {}", b"{'name': 1}", b'{"name": NaN}', b"\xff\xfe", b'{"name": "\xff"}',
        b"\x00", b'{"name": "a\x00b"}', b'{"name": "\\ud800"}', b"\xef\xbb\xbf{}", b"[" * 100_000,
        b'{"name":' * 50_000 + b"1" + b"}" * 50_000, b'{"unknown":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=[
        "empty", "unfinished", "text", "two", "single-quotes", "nan", "utf-16-mark", "invalid-utf-8", "nul",
        "raw-nul", "lone-surrogate", "byte-order-mark", "deep-arrays", "deep-objects", "deep-unknown",
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(service: Service, operation: tuple[str, str], content: bytes) -> None:
    with nothing_changes(service):
        answer = service.ask(*operation, content=content, headers={"Content-Type": "application/json"})
    assert_refused(answer, *BAD)


@pytest.mark.parametrize("body", [[], "text", 1, True, [{}]])
def test_a_body_that_is_not_an_object_is_refused(service: Service, operation: tuple[str, str], body: Any) -> None:
    with nothing_changes(service):
        answer = service.ask(*operation, content=json.dumps(body).encode())
    assert_refused(answer, *BAD, "object")


def test_null_is_no_body(service: Service, operation: tuple[str, str]) -> None:
    with nothing_changes(service):
        assert_refused(service.ask(*operation, content=b"null"), *BAD)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/octet-stream-x"]
)
def test_a_body_of_another_type_is_refused(service: Service, operation: tuple[str, str], media_type: str) -> None:
    with nothing_changes(service):
        answer = service.ask(*operation, {"name": "a"}, headers={"Content-Type": media_type})
    assert_refused(answer, 415, "WKS.00000415", media_type.partition(";")[0])


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
def test_json_under_its_other_names_is_read(service: Service, operation: tuple[str, str], media_type: str) -> None:
    answer = service.ask(*operation, {"other": 1}, headers={"Content-Type": media_type})
    assert_refused(answer, *BAD, "mandatory")


def test_a_body_without_a_type_is_read_as_json(service: Service, operation: tuple[str, str]) -> None:
    token = sign_in(service)
    answer = service.http(
        operation[0],
        f"/v1/{service.project_id}/{operation[1]}",
        content=b'{"other": 1}',
        headers={"X-Auth-Token": token},
    )
    assert "content-type" not in answer.request.headers
    assert_refused(answer, *BAD, "mandatory")


def sign_in(service: Service) -> str:
    credentials = service.credentials
    user = {"id": credentials["user_id"], "password": credentials["password"]}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"id": credentials["project_id"]}}
    answer = service.http("POST", "/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
    return answer.headers["x-subject-token"]


def test_a_huge_body_is_refused(service: Service, operation: tuple[str, str]) -> None:
    content = json.dumps({"name": "x" * (12 * 1024 * 1024)}).encode()
    with nothing_changes(service):
        assert_refused(service.ask(*operation, content=content), 413, "APIGW.0201", "12582912")


# CreateImageServer (contract section 3.6)


@pytest.fixture(scope="module")
def gold(service: Service) -> str:
    return service.add_image(image_type="gold")


def having(order: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a body with one field set; `...` takes it away."""
    changed: Any = json.loads(json.dumps(order))
    *outer, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = changed
    for step in outer:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


NAME_255, NAME_256 = "x" * 255, "x" * 256
TAG = {"key": "team", "value": "a"}

BAD_CREATES: list[tuple[str, Any, str]] = [
    *[("name", value, "name") for value in (..., None, "", "x" * 65, "a b", " a", "a ", "   ", 7, [], {})],
    *[("name", value, "name") for value in ("a\n", "\na", "a\tb", "a.b", "a/b", "é", "１", "٣", "a\u0000", "a\u200b")],
    *[("name", value, "name") for value in ("\u4dff", "\u9fa6", "\u3400", "\U00020000", "한", "あ")],
    *[("description", value, "description") for value in (NAME_256, 7, [])],
    *[("root_volume", value, "root_volume") for value in (..., None, 80, [], "SAS")],
    *[("root_volume.type", value, "root_volume.type") for value in (..., None, "", "NVME", "sas", 1)],
    *[("root_volume.size", value, "root_volume.size") for value in (..., None, "80", 80.5, True, 2**70)],
    *[("root_volume.size", value, "root_volume.size") for value in (-10, 0, 9, 15, 1024, 1030, 32768)],
    ("root_volume.cluster_id", NAME_256, "root_volume.cluster_id"),
    *[("image_ref", value, "image_ref") for value in (..., None, "id", [])],
    ("description", "a\u0000b", "description"),
    *[("image_ref.id", value, "image_ref.id") for value in (..., None, "", "x" * 129, 1)],
    *[("image_ref.id", value, "image_ref.id") for value in ("no-such", "../../etc/passwd", "a\u0000", "%")],
    *[("image_ref.image_type", value, "image_ref.image_type") for value in (..., None, "", "Private", "marketplace")],
    *[("image_ref.image_type", value, "image_ref.image_type") for value in ("public", "shared", "other")],
    *[("image_ref.spce_code", value, "image_ref.spce_code") for value in ("a b", "x" * 101, "a\n", 1)],
    *[("image_ref.product_id", value, "image_ref.product_id") for value in ("a b", "x" * 101, "\t", 1)],
    *[(field, value, field) for field in ("vpc_id", "subnet_id") for value in (..., None, "", "x" * 129, 1)],
    *[("product_id", value, "product_id") for value in (..., None, "", "x" * 129, 1, "no.such.flavour")],
    *[("flavor_id", value, "flavor_id") for value in ("", NAME_256, 1, "no.such.flavour")],
    *[("availability_zone", value, "availability_zone") for value in (NAME_256, 1)],
    *[("attach_apps", value, "attach_apps") for value in ("a", [str(n) for n in range(101)], ["a", "a"], ["a"])],
    *[("attach_apps", [value], "attach_apps[0]") for value in ("", "x" * 129, 1, None)],
    *[("authorize_accounts", value, "authorize_accounts") for value in (..., None, [], {}, "builder")],
    ("authorize_accounts", [{"account": name, "account_type": "USER"} for name in "ab"], "authorize_accounts"),
    *[("authorize_accounts.0.account", value, "authorize_accounts[0].account") for value in (..., None, "", 1)],
    ("authorize_accounts.0.account", "x" * 129, "authorize_accounts[0].account"),
    *[
        ("authorize_accounts.0.account_type", value, "authorize_accounts[0].account_type")
        for value in (..., None, "", "user", "ADMIN")
    ],
    ("authorize_accounts.0.account_type", "USER_GROUP", "authorize_accounts[0].account_type"),
    *[("authorize_accounts.0.domain", value, "authorize_accounts[0].domain") for value in ("x" * 65, 1)],
    *[("ou_name", value, "ou_name") for value in (NAME_256, 1)],
    *[("is_vdi", value, "is_vdi") for value in ("true", 1, 0)],
    *[("scheduler_hints", value, "scheduler_hints") for value in ([], "host")],
    ("scheduler_hints", {"dedicated_host_id": NAME_256}, "scheduler_hints.dedicated_host_id"),
    *[("scheduler_hints", {"tenancy": value}, "scheduler_hints.tenancy") for value in ("", NAME_256)],
    *[("extra_session_type", value, "extra_session_type") for value in ("TPU", "gpu", 1)],
    *[("extra_session_size", value, "extra_session_size") for value in (0, -1, 10001, "5", 1.5)],
    *[("route_policy", value, "route_policy") for value in ([], "x", 1)],
    *[("route_policy", {"max_session": value}, "route_policy.max_session") for value in (1025, -1, "9", 1.5)],
    *[
        ("route_policy", {field: value}, f"route_policy.{field}")
        for field in ("cpu_threshold", "mem_threshold")
        for value in (101, -1, "9")
    ],
    *[("tags", value, "tags") for value in ({}, "a", [{"key": f"k{n}"} for n in range(21)], [TAG, {"key": "team"}])],
    *[("tags", [{"key": value}], "tags[0].key") for value in ("", "x" * 129, "_sys_a", "a ", "a\u3000", "a/b", "a*")],
    *[("tags", [{"key": value}], "tags[0].key") for value in ("a\n", "a\nb", "a\tb", "a\u001fb", "a\u0085b")],
    *[("tags", [{"key": value}], "tags[0].key") for value in (None, 1, "é!", "a\u200bb", "a\u0000")],
    ("tags", [{"value": "a"}], "tags[0].key"),
    *[("tags", [{"key": "a", "value": value}], "tags[0].value") for value in (NAME_256, "a*", "a\n", "\u001c", 1)],
    *[("enterprise_project_id", value, "enterprise_project_id") for value in ("x" * 65, 0)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "field"), BAD_CREATES, ids=[f"{path}={ascii(value)[:24]}" for path, value, _ in BAD_CREATES]
)
def test_a_create_request_that_breaks_a_rule_is_refused(
    service: Service, image: str, path: str, value: Any, field: str
) -> None:
    with nothing_changes(service):
        answer = service.ask("POST", "image-servers", having(service.order(image), path, value))
    assert_field_refused(answer, field)


#: What each field may be; `order.field` names a field within another one.
GOOD_VALUES: dict[str, list[Any]] = {
    "name": ["a", "x" * 64, "-", "_", "0", "A-z_9", "\u4e00", "\u9fa5", "镜像-01", "_sys_"],
    "description": ["", NAME_255, None, "描述\n<b>é\U0001f600"],
    "root_volume.type": ["ESSD", "SSD", "GPSSD", "SAS", "SATA"],
    "root_volume.size": [10, 20, 1020],
    "root_volume.cluster_id": ["", NAME_255, None],
    "image_ref.spce_code": ["", "x" * 100, None],
    "vpc_id": ["x" * 128, "a"],
    "subnet_id": ["x" * 128, "a"],
    "flavor_id": [None, "tiny", FLAVOUR],
    "availability_zone": ["", NAME_255, None],
    "attach_apps": [[], None],
    "authorize_accounts.0.account": ["a", "x" * 128, "用户"],
    "authorize_accounts.0.domain": ["", "x" * 64, None],
    "ou_name": ["", NAME_255, None],
    "scheduler_hints": [None, {}, {"dedicated_host_id": "", "tenancy": NAME_255}, {"dedicated_host_id": None}],
    "is_vdi": [False, None],
    "extra_session_type": ["GPU", "CPU", None],
    "extra_session_size": [1, 10000, None],
    "route_policy": [
        None, {}, {"max_session": 1024, "cpu_threshold": 100, "mem_threshold": 1}, {"max_session": None},
        {"max_session": 0, "cpu_threshold": 0, "mem_threshold": 0},
    ],
    "tags": [
        None, [], [{"key": f"k{n}"} for n in range(20)], [{"key": "x" * 128, "value": NAME_255}],
        [{"key": "空 a_.:=+-@", "value": "空/_.:=+-@ "}, {"key": "a_sys_", "value": ""}, {"key": "é\u00a0é"}],
        [{"key": "Ⅷ½"}, {"key": "a\u2028b", "value": None}],
    ],
    "enterprise_project_id": ["", "0", "x" * 64, None],
    "no_such_field": [None, [[[{}]]]],
}  # fmt: skip


@pytest.mark.parametrize("turn", range(max(map(len, GOOD_VALUES.values()))))
def test_a_create_request_within_the_rules_is_accepted(service: Service, image: str, turn: int) -> None:
    order = service.order(image)
    for path, values in GOOD_VALUES.items():
        order = having(order, path, values[turn % len(values)])
    job = service.job(service.accept("POST", "image-servers", order))
    made = job["sub_jobs"][0]["job_resource_info"]
    assert made["resource_name"] == order["name"]
    server = service.server(made["resource_id"])
    assert server["description"] == (order["description"] or "")
    assert server["enterprise_project_id"] == (order["enterprise_project_id"] or "0")
    given = {name: value for name, value in order["authorize_accounts"][0].items() if value is not None}
    assert server["authorize_accounts"] == [given]


@pytest.mark.parametrize("policy", [None, {}, {"max_session": 0, "cpu_threshold": 0, "mem_threshold": None}])
def test_a_single_session_server_needs_nothing_about_several(service: Service, image: str, policy: Any) -> None:
    service.accept("POST", "image-servers", service.order(image, is_vdi=True, route_policy=policy))


@pytest.mark.parametrize("missing", ["spce_code", "product_id"])
@pytest.mark.parametrize("value", [..., "", None])
def test_an_image_of_the_marketplace_needs_its_codes(service: Service, gold: str, missing: str, value: Any) -> None:
    ref = {"id": gold, "image_type": "gold", "spce_code": "0f1e2d3c4b5a", "product_id": "OFFI000000000000000001"}
    order = having(service.order(gold, image_ref=ref), f"image_ref.{missing}", value)
    with nothing_changes(service):
        assert_field_refused(service.ask("POST", "image-servers", order), f"image_ref.{missing}")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"extra_session_type": "GPU", "extra_session_size": 2}, "extra_session_type"),
        ({"extra_session_type": "GPU"}, "extra_session_type"),
        ({"extra_session_size": 2}, "extra_session_size"),
        ({"route_policy": {"max_session": 0, "cpu_threshold": 80}}, "route_policy"),
    ],
)
def test_paid_sessions_and_their_routes_are_for_several_sessions(
    service: Service, image: str, more: dict[str, Any], field: str
) -> None:
    with nothing_changes(service):
        answer = service.ask("POST", "image-servers", service.order(image, is_vdi=True, **more))
    assert_field_refused(answer, field)


def test_a_disk_smaller_than_the_image_is_refused_with_the_least_size(service: Service) -> None:
    big = service.add_image(disk_with_guest(15 * GIB, b""))
    with nothing_changes(service):
        order = service.order(big, root_volume={"type": "SAS", "size": 10})
        answer = service.ask("POST", "image-servers", order)
    assert_field_refused(answer, "root_volume.size")
    assert "at least 20 GB" in answer.json()["error_msg"]
    service.succeeded(service.accept("POST", "image-servers", having(order, "root_volume.size", 20)))


def test_an_image_that_has_no_bytes_yet_is_refused(service: Service) -> None:
    queued = service.ask("POST", "/v2/images", {"name": "queued"}).json()["id"]
    with nothing_changes(service):
        assert_field_refused(service.ask("POST", "image-servers", service.order(queued)), "image_ref.id")


def test_the_image_of_another_project_is_refused_like_one_that_never_was(service: Service, image: str) -> None:
    other = service.add_project()
    with nothing_changes(service):
        answers = [
            service.ask("POST", f"/v1/{other}/image-servers", service.order(its), headers={"X-Project-Id": other})
            for its in (image, "no-such")
        ]
    for answer in answers:
        assert_field_refused(answer, "image_ref.id")
    first, second = (answer.json()["error_msg"] for answer in answers)
    assert first.replace(image, "no-such") == second


# RecreateServerImage (section 3.11)

BAD_BUILDS: list[tuple[str, Any]] = [
    *[("name", value) for value in (..., None, "", "x" * 129, " a", "a ", " ", "a\n", "a\tb", "a\nb", 1, [])],
    *[("name", value) for value in ("a/b", "a:b", "é", "１", "a\u0000", "a\u3000b", "\u9fa6", "あ")],
    *[("description", value) for value in ("x" * 1025, " a", "a\nb", "a\rb", "a\n", "<b", "b>", 1)],
    *[("enterprise_project_id", value) for value in ("x" * 65, 1)],
    *[("execute_sysprep", value) for value in ("true", 1)],
]


@pytest.mark.parametrize(("field", "value"), BAD_BUILDS, ids=[f"{f}={ascii(v)[:24]}" for f, v in BAD_BUILDS])
def test_a_build_request_that_breaks_a_rule_is_refused(service: Service, server: str, field: str, value: Any) -> None:
    body = having({"name": "golden"}, field, value)
    with nothing_changes(service):
        answer = service.ask("POST", f"image-servers/{server}/actions/recreate-image", body)
    assert_field_refused(answer, field)
    assert service.server(server)["status"] == "ACTIVE"


GOOD_BUILDS: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "x" * 128},
    {"name": ".-_ 9Z 镜像.", "description": "x" * 1024, "enterprise_project_id": "x" * 64},
    {"name": "\u4e00", "description": "a b ", "enterprise_project_id": "", "execute_sysprep": True},
    {"name": "\u9fa5", "description": None, "enterprise_project_id": None, "execute_sysprep": None},
    {"name": "b", "description": "", "tags": [], "no_such_field": {}},
]


def test_build_requests_within_the_rules_are_accepted(service: Service, image: str) -> None:
    server = service.new_server(image, "to-build")
    for body in GOOD_BUILDS:
        job = service.succeeded(service.accept("POST", f"image-servers/{server}/actions/recreate-image", body))
        made = job["sub_jobs"][0]["job_resource_info"]
        assert made["resource_name"] == body["name"]
        assert service.get(f"/v2/images/{made['resource_id']}")["__description"] == (body.get("description") or "")


# BatchDeleteImageServer (section 3.10)

IDS = [str(912345678901230000 + n) for n in range(21)]
BAD_DELETES: list[tuple[Any, str]] = [
    *[({"items": value, "recursive": True}, "items") for value in (None, [], IDS, {}, "a", ["a", "b", "a"])],
    ({"recursive": True}, "items"),
    *[({"items": [value], "recursive": True}, "items[0]") for value in ("", "x" * 129, 1, None, [])],
    *[({"items": ["a"], "recursive": value}, "recursive") for value in ("true", 1, [])],
]


@pytest.mark.parametrize(("body", "field"), BAD_DELETES, ids=[f"{b}"[:40] for b, _ in BAD_DELETES])
def test_a_delete_request_that_breaks_a_rule_is_refused(service: Service, body: Any, field: str) -> None:
    with nothing_changes(service):
        answer = service.ask("PATCH", "image-servers/actions/batch-delete", body)
    assert_field_refused(answer, field)


@pytest.mark.parametrize("items", [["a"], ["x" * 128], IDS[:20], ["镜像", "-1", "0", "9" * 30, "1'; DROP TABLE jobs"]])
@pytest.mark.parametrize("more", [{"recursive": True}, {"recursive": False}, {"recursive": None}, {}])
def test_a_delete_of_missing_ids_alone_has_succeeded_at_once(
    service: Service, items: list[str], more: dict[str, Any]
) -> None:
    job_id = service.accept("PATCH", "image-servers/actions/batch-delete", {"items": items, **more})
    job = service.job(job_id)
    assert job.pop("begin_time") == job.pop("end_time")
    expected = {"id": job_id, "job_type": "DELETE_SERVER", "status": "SUCCESS", "sub_jobs_total": 0, "sub_jobs": []}
    assert job == expected


def test_missing_ids_are_skipped_and_each_server_has_its_sub_job(service: Service, image: str) -> None:
    first, second = (service.new_server(image, name) for name in ("first", "second"))
    job = service.succeeded(service.delete(UNKNOWN, second, "no-such", first))
    assert job["sub_jobs_total"] == 2
    gone = [sub_job["job_resource_info"] for sub_job in job["sub_jobs"]]
    assert gone == [
        {"resource_id": second, "resource_name": "second"},
        {"resource_id": first, "resource_name": "first"},
    ]
    assert not {first, second} & service.machines()
    for server in (first, second):
        assert_refused(service.ask("GET", f"image-servers/{server}"), *READ_UNKNOWN, server)


@pytest.mark.parametrize("recursive", [False, None])
def test_a_delete_that_is_not_recursive_leaves_the_machine(service: Service, image: str, recursive: Any) -> None:
    server = service.new_server(image, "released")
    body = {"items": [server], "recursive": recursive}
    service.succeeded(service.accept("PATCH", "image-servers/actions/batch-delete", body))
    assert_refused(service.ask("GET", f"image-servers/{server}"), *READ_UNKNOWN)
    assert (service.data / "simulated" / "released" / f"{server}.json").exists()


# What the state of a server does not allow (section 6.1; section 11, decisions 4, 14 and 15)


@pytest.fixture(scope="module")
def creating(service: Service, image: str) -> str:
    """A server that stays CREATING."""
    service.fault("create", "stuck-creating", hang=True)
    return service.server_of(service.create(image, "stuck-creating"))


@pytest.fixture(scope="module")
def building(service: Service, image: str) -> str:
    """A server that stays BUILDING."""
    server = service.new_server(image, "stuck-building")
    service.fault("snapshot", "stuck-building", hang=True)
    service.build(server)
    return server


@pytest.fixture(scope="module")
def failed(service: Service, image: str) -> str:
    """A server in ERROR."""
    service.fault("try_login", "failed", error="LoginFailed")
    job = service.ended(service.create(image, "failed"))
    return str(job["sub_jobs"][0]["job_resource_info"]["resource_id"])


@pytest.fixture
def deleting(service: Service, image: str) -> Iterator[str]:
    """A server that stays DELETING."""
    server = service.new_server(image, "stuck-deleting")
    service.fault("delete", server, hang=True)
    service.delete(server)
    return server


@pytest.mark.parametrize("state", ["creating", "building", "failed", "deleting"])
def test_a_build_is_refused_in_every_other_state(service: Service, state: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(state)
    status = service.server(server)["status"]
    assert status == {"failed": "ERROR"}.get(state, state.upper())
    with nothing_changes(service):
        answer = service.ask("POST", f"image-servers/{server}/actions/recreate-image", {"name": "golden"})
    assert_refused(answer, *BAD, server, status)
    assert service.server(server)["status"] == status


@pytest.mark.parametrize("state", ["creating", "building"])
def test_a_delete_is_refused_while_a_server_is_made_or_built(
    service: Service, state: str, server: str, request: pytest.FixtureRequest
) -> None:
    busy = request.getfixturevalue(state)
    for items in ([busy], [server, busy], [busy, server], [UNKNOWN, server, busy]):
        for recursive in (True, False):
            with nothing_changes(service):
                body = {"items": items, "recursive": recursive}
                answer = service.ask("PATCH", "image-servers/actions/batch-delete", body)
            assert_refused(answer, *BAD, busy, state.upper())
    assert service.server(busy)["status"] == state.upper()
    assert service.server(server)["status"] == "ACTIVE", "the whole batch is refused"


def test_a_server_that_is_being_deleted_is_skipped(service: Service, deleting: str) -> None:
    job = service.job(service.delete(deleting))
    assert (job["status"], job["sub_jobs"]) == ("SUCCESS", [])
    assert service.server(deleting)["status"] == "DELETING"


def at_once(ask: Callable[[], httpx2.Response], times: int = 8) -> list[int]:
    """Send the same request several times at the same moment; return the statuses."""
    with ThreadPoolExecutor(times) as pool:
        return sorted(
            answer.status_code for answer in [each.result() for each in [pool.submit(ask) for _ in range(times)]]
        )


def test_of_builds_asked_for_at_the_same_moment_one_is_begun(service: Service, image: str) -> None:
    server = service.new_server(image, "wanted-by-many")
    service.fault("snapshot", server, hang=True)
    path, before = f"image-servers/{server}/actions/recreate-image", service.census()[0]
    assert at_once(lambda: service.ask("POST", path, {"name": "golden"})) == [200] + [400] * 7
    assert service.census()[0] == (before[0] + 1, *before[1:])


def test_of_deletes_asked_for_at_the_same_moment_one_deletes_and_the_others_skip(service: Service, image: str) -> None:
    server = service.new_server(image, "deleted-by-many")
    body = {"items": [server], "recursive": True}
    statuses = at_once(lambda: service.ask("PATCH", "image-servers/actions/batch-delete", body))
    assert statuses == [200] * 8
    named = service.rows("SELECT count(*) FROM sub_jobs WHERE resource_id = ? AND job_type = 'DELETE_SERVER'", server)
    assert named == [(1,)]


def test_a_server_in_error_may_be_deleted(service: Service, image: str) -> None:
    service.fault("admit", "in-error", error="AccountFailed")
    job = service.ended(service.create(image, "in-error"))
    assert job["status"] == "FAILED"
    server = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert service.server(server)["status"] == "ERROR"
    service.succeeded(service.delete(server))
    assert_refused(service.ask("GET", f"image-servers/{server}"), *READ_UNKNOWN)


def test_the_base_image_of_a_server_may_not_be_deleted(service: Service, image: str, server: str) -> None:
    with nothing_changes(service):
        answer = service.ask("DELETE", f"/v2/images/{image}")
    assert answer.status_code == 409
    assert "steady" in answer.json()["error"]["message"] or "image server" in answer.json()["error"]["message"]


# Reading (sections 3.1, 3.2, 3.7, 3.8, 2.6)

STRANGE_IDS = [
    UNKNOWN, "0", "-1", "+1", "1.0", "1e3", " 1", "1 ", "no-such", "9" * 19, "9" * 128, "١٢٣", "%00", "1%00", "%0A",
    "%FF", "null", "'", "..%5c", "x" * 128,
]  # fmt: skip


@pytest.mark.parametrize("path_id", STRANGE_IDS)
@pytest.mark.parametrize("kind", ["image-server-jobs", "image-servers"])
def test_what_does_not_exist_is_not_found(service: Service, kind: str, path_id: str) -> None:
    assert_refused(service.ask("GET", f"{kind}/{path_id}"), *READ_UNKNOWN)


@pytest.mark.parametrize("spelled", ["0{}", "+{}", "%20{}", "{}%20", "{}%0A", "{}.0", "{}%00", "-{}"])
def test_an_id_has_one_spelling(service: Service, server: str, spelled: str) -> None:
    assert_refused(service.ask("GET", f"image-servers/{spelled.format(server)}"), *READ_UNKNOWN)
    body = {"name": "golden"}
    answer = service.ask("POST", f"image-servers/{spelled.format(server)}/actions/recreate-image", body)
    assert_refused(answer, *READ_UNKNOWN)


@pytest.mark.parametrize(("kind", "name"), [("image-server-jobs", "job_id"), ("image-servers", "server_id")])
def test_an_id_that_is_too_long_is_refused(service: Service, kind: str, name: str) -> None:
    assert_field_refused(service.ask("GET", f"{kind}/{'9' * 129}"), name)
    if kind == "image-servers":
        answer = service.ask("POST", f"{kind}/{'9' * 129}/actions/recreate-image", {"name": "golden"})
        assert_field_refused(answer, name)


def test_an_unknown_id_is_named(service: Service) -> None:
    assert_refused(service.ask("GET", f"image-server-jobs/{UNKNOWN}"), *READ_UNKNOWN, UNKNOWN)
    assert_refused(service.ask("GET", f"image-servers/{UNKNOWN}"), *READ_UNKNOWN, UNKNOWN)
    answer = service.ask("POST", f"image-servers/{UNKNOWN}/actions/recreate-image", {"name": "golden"})
    assert_refused(answer, *READ_UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["-1", "a", "1.0", "", " 1", "1 ", "+1", "1e1", "0x1", "１", "9" * 30, "%00", "null"])
def test_a_page_that_is_no_number_is_refused(service: Service, name: str, value: str) -> None:
    for path in (f"image-servers?{name}={value}", f"image-server-jobs?job_type=&{name}={value}"):
        assert_field_refused(service.ask("GET", path), name)


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("limit", 101), ("offset", 2147483648)])
def test_a_page_out_of_bounds_is_refused(service: Service, name: str, value: int) -> None:
    assert_field_refused(service.ask("GET", "image-servers", **{name: value}), name)
    assert_field_refused(service.ask("GET", "image-server-jobs", job_type="", **{name: value}), name)


def test_a_page_within_bounds_is_given(service: Service, server: str) -> None:
    for path, given in (("image-servers", {}), ("image-server-jobs", {"job_type": ""})):
        total = service.get(path, **given)["count"]
        assert total >= 1
        assert len(service.get(path, **given)["items"]) == min(total, 10), "ten, unless more are asked for"
        for limit in (1, 100):
            assert len(service.get(path, limit=limit, **given)["items"]) == min(total, limit)
        assert service.get(path, offset=2147483647, **given) == {"count": total, "items": []}


@pytest.mark.parametrize(
    "value", ["BUILD_IMAGE", "create_server", "CREATE_SERVER,DELETE_SERVER", "CREATE_SERVER ", "x"]
)
def test_a_job_type_outside_the_contract_is_refused(service: Service, value: str) -> None:
    assert_field_refused(service.ask("GET", "image-server-jobs", job_type=value), "job_type")


@pytest.mark.parametrize("value", ["ABNORMAL", "ROLLBACK", "ABORTING", "success", "0", "SUCCESS\n"])
def test_a_job_status_outside_the_contract_is_refused(service: Service, value: str) -> None:
    assert_field_refused(service.ask("GET", "image-server-jobs", job_type="", status=value), "status")


def test_the_job_type_is_mandatory_but_may_be_empty(service: Service, server: str) -> None:
    assert_field_refused(service.ask("GET", "image-server-jobs"), "job_type")
    every = service.get("image-server-jobs", job_type="", limit=1)["count"]
    kinds = ("CREATE_SERVER", "CREATE_SERVER_IMAGE", "DELETE_SERVER")
    by_kind = [service.get("image-server-jobs", job_type=kind, limit=1)["count"] for kind in kinds]
    assert every >= sum(by_kind) >= 1
    assert service.get("image-server-jobs", job_type="", status="WAITING") == {"count": 0, "items": []}
    assert service.get("image-server-jobs", job_type="", status="")["count"] >= every


@pytest.mark.parametrize(("name", "most"), [("server_name", 1024), ("server_id", 128), ("enterprise_project_id", 128)])
def test_a_filter_may_be_so_long_and_no_longer(service: Service, name: str, most: int) -> None:
    assert service.get("image-servers", **{name: "x" * most}) == {"count": 0, "items": []}
    assert_field_refused(service.ask("GET", "image-servers", **{name: "x" * (most + 1)}), name)
    assert_field_refused(service.ask("GET", "image-servers", **{name: "\x00"}), name)


@pytest.mark.parametrize("name", ["no-such-server", "%", "_______", "!", "'", '"', "\\", "*", "镜像镜像", "steady\n"])
def test_a_name_that_no_server_has_finds_nothing(service: Service, server: str, name: str) -> None:
    assert service.get("image-servers", server_name=name) == {"count": 0, "items": []}


def test_unknown_query_parameters_are_ignored(service: Service, server: str) -> None:
    assert service.get("image-servers", server_id=server, sort_key="x", foo="")["count"] == 1
    assert service.get(f"image-servers/{server}", limit="x")["id"] == server


# Paths and methods (section 10, row 10)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[(method, f"image-server-jobs/{UNKNOWN}") for method in ("POST", "PUT", "PATCH")],
        *[(method, "image-server-jobs") for method in ("POST", "PUT", "PATCH", "DELETE")],
        *[(method, "image-servers") for method in ("PUT", "PATCH", "DELETE")],
        *[(method, f"image-servers/{UNKNOWN}") for method in ("PUT", "POST", "DELETE")],
        *[(method, f"image-servers/{UNKNOWN}/actions/recreate-image") for method in ("GET", "PUT", "PATCH")],
        *[(method, "image-servers/actions/batch-delete") for method in ("GET", "POST", "DELETE")],
    ],
)
def test_another_method_of_a_known_path_is_refused(service: Service, method: str, path: str) -> None:
    with nothing_changes(service):
        answer = service.ask(method, path, {})
    assert_refused(answer, 405, "WKS.00000405")


@pytest.mark.parametrize(
    "path",
    [
        "/v1", "/v1/", "/v1/x", "/v4/x", "/favicon.ico",
        "/v1/{p}/image-servers/", "/v1/{p}/image-server-jobs/",
        "/v1/{p}/image-servers/a/b", "/v1/{p}/image-servers/a/actions", "/v1/{p}/image-servers/a/actions/reboot",
        "/v1/{p}/Image-Servers", "/V1/{p}/image-servers", "/v1//image-servers", "/v1/{p}//image-servers",
        "/v1/{p}/image-servers/a%2Fb", "/v1/{p}/../../etc/passwd", "/%00", "/v1/{p}/image-servers/%2e%2e/x",
    ],
)  # fmt: skip
def test_an_unknown_path_is_not_found(service: Service, path: str) -> None:
    for answer in (
        service.http("GET", path.format(p=service.project_id)),
        service.ask("POST", path.format(p=service.project_id), {}),
    ):
        assert_refused(answer, 404, "APIGW.0101")


# Other projects (section 11, decisions 2 and 3)


@pytest.fixture(scope="module")
def stranger(service: Service) -> Stranger:
    return service.add_stranger()


def test_what_belongs_to_another_project_is_as_one_that_never_was(
    service: Service, server: str, stranger: Stranger
) -> None:
    job = service.get("image-server-jobs", job_type="CREATE_SERVER", limit=1)["items"][0]["id"]
    sibling = service.add_project()
    for project, auth in ((stranger.project_id, stranger.signature), (sibling, service.signature)):
        headers = {"X-Project-Id": project}
        for kind, its in (("image-server-jobs", job), ("image-servers", server)):
            answers = [
                service.ask("GET", f"/v1/{project}/{kind}/{path_id}", headers=headers, auth=auth)
                for path_id in (its, UNKNOWN)
            ]
            for answer in answers:
                assert_refused(answer, *READ_UNKNOWN)
            first, second = (answer.json()["error_msg"] for answer in answers)
            assert first.replace(its, UNKNOWN) == second
        for path in ("image-servers", "image-server-jobs?job_type="):
            answer = service.ask("GET", f"/v1/{project}/{path}", headers=headers, auth=auth)
            assert answer.json() == {"count": 0, "items": []}
        with nothing_changes(service):
            path = f"/v1/{project}/image-servers/{server}/actions/recreate-image"
            answer = service.ask("POST", path, {"name": "golden"}, headers=headers, auth=auth)
        assert_refused(answer, *READ_UNKNOWN, server)
        body = {"items": [server], "recursive": True}
        path = f"/v1/{project}/image-servers/actions/batch-delete"
        accepted = service.ask("PATCH", path, body, headers=headers, auth=auth).json()
        path = f"/v1/{project}/image-server-jobs/{accepted['job_id']}"
        assert service.ask("GET", path, headers=headers, auth=auth).json()["sub_jobs"] == []
    assert service.server(server)["status"] == "ACTIVE"


def test_every_answer_has_a_request_id_of_its_own(service: Service, server: str) -> None:
    answers = [
        service.http("GET", "/health"),
        service.http("GET", "/nowhere"),
        service.ask("GET", "image-servers"),
        service.ask("GET", "image-servers"),
        service.ask("GET", f"image-servers/{UNKNOWN}"),
        service.ask("DELETE", f"image-servers/{server}"),
        service.ask("GET", f"/v2/images/{UNKNOWN}"),
        service.http("POST", "/v3/auth/tokens", content=b"{}"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(HEX.fullmatch(one) for one in ids)
    assert len(set(ids)) == len(ids)


def test_the_busy_servers_are_busy_still(service: Service, creating: str, building: str) -> None:
    """What was refused above was refused because of their state, not because they had gone."""
    assert eventually(lambda: service.server(creating), "it is there")["status"] == "CREATING"
    assert service.server(building)["status"] == "BUILDING"
