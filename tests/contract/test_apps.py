"""Applications: the catalogue, attaching them to image servers (contract sections 3.6, 3.12 and 3.13), refusals."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkworkspaceapp import v1 as sdk
from service_process import Service, eventually

SNOWFLAKE = re.compile(r"[1-9]\d{17}", re.ASCII)
UNKNOWN = "912345678901234567"
SCRIPT = b"#!/bin/sh\necho installing\n"
KEYS = [
    "id", "app_id", "name", "version", "kind", "file_name", "arguments", "status", "size", "sha256", "create_time",
    "update_time",
]  # fmt: skip
LISTING = "/opt/darkroom/apps/apps.json"


def order(name: str, version: str = "1.0", **changes: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "kind": "script", "file_name": "install.sh", **changes}


def record(service: Service, name: str, version: str = "1.0", **changes: Any) -> dict[str, Any]:
    """Record a version of an application, without its file."""
    answer = service.ask("POST", "apps", order(name, version, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(service: Service, record_id: str, content: bytes = SCRIPT, **headers: str) -> httpx2.Response:
    headers = {"Content-Type": "application/octet-stream", **headers}
    return service.ask("PUT", f"apps/{record_id}/file", content=content, headers=headers)


def add(service: Service, name: str, version: str = "1.0", content: bytes = SCRIPT, **changes: Any) -> dict[str, Any]:
    """Add a version of an application with its file."""
    made = record(service, name, version, **changes)
    assert upload(service, made["id"], content).status_code == 204
    return service.get(f"apps/{made['id']}")


def attach(service: Service, server: str, *records: str) -> httpx2.Response:
    return service.ask("POST", f"image-servers/{server}/actions/attach-app", {"items": list(records)})


def attach_in_the_background(service: Service, server: str, record_id: str) -> threading.Thread:
    """Begin an attach that hangs until the service is killed."""

    def go() -> None:
        with pytest.raises(httpx2.RequestError):
            attach(service, server, record_id)

    attaching = threading.Thread(target=go)
    attaching.start()
    eventually(lambda: events(service, server) == ["server.attach_begun"], "the attach begins")
    return attaching


def latest(service: Service, server: str) -> list[dict[str, str]]:
    return service.get(f"image-servers/{server}/actions/latest-attached-app")["items"]


def guest(service: Service, server: str) -> dict[str, str]:
    """Return the files of a simulated guest."""
    return json.loads((service.data / "simulated" / "machines" / f"{server}.json").read_text())["guest"]["files"]


def listing(service: Service, server: str) -> list[dict[str, str]]:
    return json.loads(guest(service, server)[LISTING])["items"]


def events(service: Service, server: str) -> list[str]:
    sql = "SELECT kind FROM events WHERE resource_id = ? AND kind LIKE 'server.attach%' ORDER BY seq"
    return [kind for (kind,) in service.rows(sql, server)]


def assert_refused(answer: httpx2.Response, status: int, code: str, *words: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error_code"] == code, body
    assert 1 <= len(body["error_msg"]) <= 255
    for word in words:
        assert word in body["error_msg"], body["error_msg"]


BAD = (400, "WKS.00211102")


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    return service.new_server(image, "apps")


@pytest.fixture(scope="module")
def client(service: Service) -> sdk.WorkspaceAppClient:
    keys = service.credentials
    basic = BasicCredentials(keys["access_key"], keys["secret_key"], keys["project_id"])
    return sdk.WorkspaceAppClient.new_builder().with_credentials(basic).with_endpoint(service.endpoint).build()


@pytest.fixture
def own(new_service: Callable[..., Service]) -> Service:
    """A service that may be killed."""
    return new_service()


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose log may tell of faults."""
    service = Service(tmp_path_factory.mktemp("frail") / "data")
    try:
        service.start()
        yield service
        service.stop_cleanly()
    finally:
        service.end()


# The catalogue


def test_a_version_is_recorded_then_takes_its_file_and_can_be_used(service: Service) -> None:
    made = record(service, "editor", "2.1-rc1", arguments=["--prefix", "/opt/a b"])
    assert list(made) == KEYS
    assert SNOWFLAKE.fullmatch(made["id"])
    assert SNOWFLAKE.fullmatch(made["app_id"])
    assert (made["status"], made["size"], made["sha256"]) == ("queued", 0, "")
    assert made["arguments"] == ["--prefix", "/opt/a b"]
    assert upload(service, made["id"]).status_code == 204
    found = service.get(f"apps/{made['id']}")
    assert (found["status"], found["size"]) == ("active", len(SCRIPT))
    assert found["sha256"] == hashlib.sha256(SCRIPT).hexdigest()
    stored = service.data / "apps" / made["id"]
    assert stored.read_bytes() == SCRIPT
    assert stored.stat().st_mode & 0o777 == 0o444
    kinds = [row[0] for row in service.rows("SELECT kind FROM events WHERE resource_id = ? ORDER BY seq", made["id"])]
    assert kinds == ["app.added", "app.changed", "app.changed"]


def test_versions_of_one_name_are_one_application(service: Service) -> None:
    first, second = add(service, "browser", "1"), add(service, "browser", "2")
    assert first["app_id"] == second["app_id"]
    assert first["id"] != second["id"]
    page = service.get("apps", name="browser")
    assert page["count"] == 2
    assert page["items"] == [second, first]
    assert service.get("apps", name="browser", limit=1, offset=1)["items"] == [first]
    assert service.get("apps", name="browse") == {"count": 0, "items": []}


def test_a_version_is_there_once(service: Service) -> None:
    made = record(service, "once")
    assert_refused(service.ask("POST", "apps", order("once")), 409, "WKS.00211103", "once", "1.0", made["id"])
    assert service.get("apps", name="once")["count"] == 1


def test_an_application_goes_with_its_last_version_and_its_files(service: Service) -> None:
    first, second = add(service, "leaving", "1"), add(service, "leaving", "2")
    for made in (first, second):
        assert service.ask("DELETE", f"apps/{made['id']}").status_code == 204
        assert not (service.data / "apps" / made["id"]).exists()
        assert_refused(service.ask("GET", f"apps/{made['id']}"), 404, "WKS.00211902", made["id"])
    assert service.rows("SELECT id FROM apps WHERE name = 'leaving'") == []
    assert add(service, "leaving", "1")["app_id"] != first["app_id"]


def test_a_file_is_never_written_again(service: Service) -> None:
    made = add(service, "fixed")
    assert_refused(upload(service, made["id"], b"other"), 409, "WKS.00211103", "active")
    assert (service.data / "apps" / made["id"]).read_bytes() == SCRIPT


def test_an_empty_file_is_refused_and_the_record_waits_still(service: Service) -> None:
    made = record(service, "hollow")
    assert_refused(upload(service, made["id"], b""), *BAD, "file")
    assert service.get(f"apps/{made['id']}")["status"] == "queued"
    assert upload(service, made["id"]).status_code == 204


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    new_service: Callable[..., Service],
) -> None:
    service = new_service(settings={"DARKROOM_APP_SIZE_LIMIT": "1000"})
    made = record(service, "large")
    assert_refused(upload(service, made["id"], bytes(1001)), 413, "APIGW.0201", "1000 bytes")
    chunked = service.http(
        "PUT", f"/v1/{service.project_id}/apps/{made['id']}/file", content=iter([bytes(600)] * 2),
        headers={"Content-Type": "application/octet-stream", "X-Project-Id": service.project_id},
        auth=service.signature,
    )  # fmt: skip
    assert_refused(chunked, 413, "APIGW.0201", "1000 bytes")
    assert service.get(f"apps/{made['id']}")["status"] == "queued"
    assert list((service.data / "apps").iterdir()) == []
    assert upload(service, made["id"], bytes(1000)).status_code == 204


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in (None, "", " a", "a ", "x" * 129, "a/b", "a\n", 1)],
        *[("version", value) for value in (None, "", "-1", "1 0", "x" * 65, "1/2", 1)],
        *[("kind", value) for value in (None, "", "installer", "SCRIPT")],
        *[("file_name", value) for value in (None, "", ".", "..", "a/b", "/etc/passwd", ".hidden", "a b", "x" * 129)],
        *[("arguments", value) for value in ("a", ["a"] * 65)],
        *[("arguments[0]", value) for value in ([1], ["x" * 1025], ["a\0"])],
    ],
)
def test_a_wrong_field_of_an_application_is_refused_by_name(service: Service, field: str, value: Any) -> None:
    before = service.rows("SELECT count(*) FROM app_records")
    answer = service.ask("POST", "apps", order("wrong") | {field.partition("[")[0]: value})
    assert_refused(answer, *BAD)
    assert answer.json()["error_msg"].startswith(f"{field}: "), answer.text
    assert "regex" not in answer.text
    assert service.rows("SELECT count(*) FROM app_records") == before


def test_a_package_takes_no_arguments(service: Service) -> None:
    answer = service.ask("POST", "apps", order("still", kind="package", arguments=["a"]))
    assert_refused(answer, *BAD, "arguments: ")


@pytest.mark.parametrize(("method", "path"), [("GET", "apps/{}"), ("DELETE", "apps/{}"), ("PUT", "apps/{}/file")])
@pytest.mark.parametrize("record_id", [UNKNOWN, "x", "0", "1e3", "9" * 30])
def test_an_unknown_record_is_not_found(service: Service, method: str, path: str, record_id: str) -> None:
    answer = upload(service, record_id) if method == "PUT" else service.ask(method, path.format(record_id))
    assert_refused(answer, 404, "WKS.00211902", record_id)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"offset": -1}, {"offset": "x"}, {"name": "x" * 129}])
def test_a_wrong_query_is_refused(service: Service, query: dict[str, Any]) -> None:
    assert_refused(service.ask("GET", "apps", **query), *BAD, next(iter(query)))


def test_another_project_sees_nothing_of_it_and_can_attach_nothing_of_it(service: Service, server: str) -> None:
    made, stranger = add(service, "secret"), service.add_stranger()
    theirs = f"/v1/{stranger.project_id}"
    headers = {"X-Project-Id": stranger.project_id}
    for method, path in (("GET", f"apps/{made['id']}"), ("DELETE", f"apps/{made['id']}")):
        answer = service.ask(method, f"{theirs}/{path}", headers=headers, auth=stranger.signature)
        assert_refused(answer, 404, "WKS.00211902")
    page = service.ask("GET", f"{theirs}/apps", headers=headers, auth=stranger.signature).json()
    assert page == {"count": 0, "items": []}
    answer = service.ask(
        "POST", f"{theirs}/image-servers/{server}/actions/attach-app", {"items": [made["id"]]},
        headers=headers, auth=stranger.signature,
    )  # fmt: skip
    assert_refused(answer, 404, "WKS.00129901", f"'{server}' is a non-existing cloud application server")


def test_an_upload_that_a_death_of_the_service_broke_off_can_be_made_again(own: Service) -> None:
    made = record(own, "broken-off")
    halves = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"half"
        halves.set()
        threading.Event().wait(5)
        yield b"half"

    def send() -> None:
        with pytest.raises(httpx2.RequestError):
            own.http(
                "PUT", f"/v1/{own.project_id}/apps/{made['id']}/file", content=slowly(),
                headers={"Content-Type": "application/octet-stream", "X-Project-Id": own.project_id},
                auth=own.signature,
            )  # fmt: skip

    sending = threading.Thread(target=send)
    sending.start()
    assert halves.wait(10)
    eventually(lambda: own.get(f"apps/{made['id']}")["status"] == "saving", "the upload begins")
    assert_refused(own.ask("DELETE", f"apps/{made['id']}"), 409, "WKS.00211103", "uploaded")
    own.kill()
    sending.join(20)
    own.start()
    assert own.get(f"apps/{made['id']}")["status"] == "queued"
    assert list((own.data / "apps").iterdir()) == []
    assert upload(own, made["id"]).status_code == 204


# Attaching


def test_the_sdk_attaches_and_sees_what_was_attached(
    service: Service, server: str, client: sdk.WorkspaceAppClient
) -> None:
    script = add(service, "sdk-script")
    package = add(service, "sdk-package", content=bytes(range(256)), kind="package", file_name="a_1.0_all.deb")
    body = sdk.AttachServerAppReq(items=[package["id"], script["id"]])
    answer = client.attach_image_server_app(sdk.AttachImageServerAppRequest(server_id=server, body=body))
    assert answer.uri == f"file://{LISTING}"
    found = client.list_latest_attached_server_app(sdk.ListLatestAttachedServerAppRequest(server_id=server))
    wanted = [(made["id"], made["app_id"]) for made in (package, script)]
    assert [(item.id, item.app_id) for item in found.items] == wanted


def test_the_files_and_the_list_of_them_lie_in_the_guest(service: Service, server: str) -> None:
    script = add(service, "there-script", arguments=["-y"])
    package = add(service, "there-package", content=b"text", kind="package", file_name="a.tar")
    assert attach(service, server, script["id"], package["id"]).json() == {"uri": f"file://{LISTING}"}
    files, folder = guest(service, server), "/opt/darkroom/apps"
    assert files[f"{folder}/{script['id']}/install.sh"] == SCRIPT.decode()
    assert files[f"{folder}/{package['id']}/a.tar"] == "text"
    assert listing(service, server) == [
        {
            **{name: made[name] for name in ("id", "app_id", "name", "version", "kind")},
            "file": f"{folder}/{made['id']}/{made['file_name']}",
            "sha256": made["sha256"],
            "status": status,
        }
        for made, status in ((script, "done"), (package, "delivered"))
    ]


def test_the_latest_attach_is_what_counts_and_may_be_repeated(service: Service, image: str) -> None:
    server = service.new_server(image, "latest")
    assert latest(service, server) == []
    first, second = add(service, "latest-1"), add(service, "latest-2")
    for made in (first, second, second):
        before = service.server(server)["update_time"]
        assert attach(service, server, made["id"]).status_code == 200
        assert latest(service, server) == [{"id": made["id"], "app_id": made["app_id"]}]
        assert service.server(server)["update_time"] > before
    assert events(service, server) == ["server.attach_begun", "server.attached", "server.attach_ended"] * 3
    assert service.ask("DELETE", f"apps/{second['id']}").status_code == 204
    assert latest(service, server) == [{"id": second["id"], "app_id": second["app_id"]}]


def test_applications_are_attached_to_a_server_of_which_an_image_was_built(service: Service, image: str) -> None:
    made, server = add(service, "afterwards"), service.new_server(image, "built")
    service.succeeded(service.build(server, execute_sysprep=True))
    assert service.server(server)["status"] == "BUILT"
    assert attach(service, server, made["id"]).status_code == 200
    assert service.server(server)["status"] == "BUILT"


def test_the_image_keeps_what_was_delivered(service: Service, image: str) -> None:
    made, server = add(service, "kept"), service.new_server(image, "keeper")
    assert attach(service, server, made["id"]).status_code == 200
    built = service.succeeded(service.build(server, "keeper-image", execute_sysprep=True))
    child = service.new_server(built["sub_jobs"][0]["job_resource_info"]["resource_id"], "child")
    assert guest(service, child)[f"/opt/darkroom/apps/{made['id']}/install.sh"] == SCRIPT.decode()
    assert latest(service, child) == []


@pytest.mark.parametrize("operation", ["attach", "latest"])
@pytest.mark.parametrize("server_id", [UNKNOWN, "nothing", "x" * 128])
def test_an_unknown_server_is_told_in_the_words_that_terraform_looks_for(
    service: Service, operation: str, server_id: str
) -> None:
    path = f"image-servers/{server_id}/actions"
    if operation == "attach":
        answer = attach(service, server_id, UNKNOWN)
    else:
        answer = service.ask("GET", f"{path}/latest-attached-app")
    assert_refused(answer, 404, "WKS.00129901", f"'{server_id}' is a non-existing cloud application server")


@pytest.mark.parametrize(
    ("items", "field"),
    [
        *[(value, "items") for value in (None, [], "a", {}, ["a", "a"], [str(n) for n in range(101)], [UNKNOWN])],
        *[([value], "items[0]") for value in ("", "x" * 129, 1, None)],
    ],
)
def test_wrong_items_are_refused(service: Service, server: str, items: Any, field: str) -> None:
    before = latest(service, server)
    answer = service.ask("POST", f"image-servers/{server}/actions/attach-app", {"items": items})
    assert_refused(answer, *BAD)
    assert answer.json()["error_msg"].startswith(f"{field}: "), answer.text
    assert latest(service, server) == before


def test_a_hundred_applications_may_be_attached(service: Service, server: str) -> None:
    made = [add(service, "many", str(number), kind="package")["id"] for number in range(100)]
    assert attach(service, server, *made).status_code == 200
    assert [item["id"] for item in latest(service, server)] == made


def test_a_record_without_its_file_cannot_be_attached(service: Service, server: str) -> None:
    made = record(service, "unfinished")
    assert_refused(attach(service, server, made["id"]), *BAD, "items: ", "no file", made["id"])


def test_the_sdk_reads_the_refusal(server: str, client: sdk.WorkspaceAppClient) -> None:
    with pytest.raises(ClientRequestException) as caught:
        client.attach_image_server_app(
            sdk.AttachImageServerAppRequest(server_id=server, body=sdk.AttachServerAppReq(items=[UNKNOWN]))
        )
    assert (caught.value.status_code, caught.value.error_code) == BAD
    assert UNKNOWN in caught.value.error_msg


def test_nothing_is_attached_to_a_server_that_is_not_ready(service: Service, image: str) -> None:
    made = add(service, "early")
    service.fault("await_guest", "early", hang=True)
    server = service.server_of(service.create(image, "early"))
    answer = attach(service, server, made["id"])
    service.faults.clear()
    assert_refused(answer, *BAD, "ACTIVE or BUILT", "CREATING")


# What goes wrong


def test_a_script_that_fails_is_named_with_its_last_output(frail: Service) -> None:
    made, good = add(frail, "breaking", "3.2"), add(frail, "fine")
    server = frail.new_server(frail.add_image(), "target")
    assert attach(frail, server, good["id"]).status_code == 200
    output = "\n".join(f"line {number}" for number in range(100)) + "\nE: no such package"
    frail.fault("run", server, exit_code=7, message=output)
    answer = attach(frail, server, made["id"], good["id"])
    assert_refused(answer, 500, "Darkroom.0401", "breaking 3.2", "status 7", "E: no such package")
    assert answer.json()["error_msg"].endswith("E: no such package")
    assert latest(frail, server) == [{"id": good["id"], "app_id": good["app_id"]}]
    assert [entry["status"] for entry in listing(frail, server)] == ["failed", "delivered"]
    assert frail.server(server)["status"] == "ACTIVE"
    frail.faults.clear()
    assert attach(frail, server, made["id"]).status_code == 200
    frail.succeeded(frail.build(server))


@pytest.mark.parametrize(
    ("call", "how", "code", "words"),
    [
        ("put_file", {"error": "GuestSilent", "message": "gone"}, "Darkroom.0401", ["tool ", "gone"]),
        ("put_file", {"error": "GuestRefused", "message": "disk full"}, "Darkroom.0401", ["tool ", "disk full"]),
        ("run", {"error": "GuestSilent", "message": "gone"}, "Darkroom.0401", ["tool ", "gone"]),
        ("run", {"error": "MachineFailed", "message": "no power"}, "Darkroom.0103", ["no power"]),
    ],
)
def test_a_guest_that_fails_is_told(
    frail: Service, call: str, how: dict[str, Any], code: str, words: list[str]
) -> None:
    made, server = add(frail, "tool", f"{call}-{how['error']}"), frail.new_server(frail.add_image(), "target")
    frail.fault(call, server, **how)
    assert_refused(attach(frail, server, made["id"]), 500, code, *words)
    assert latest(frail, server) == []
    frail.faults.clear()
    assert attach(frail, server, made["id"]).status_code == 200


def test_a_script_that_takes_too_long_is_ended(new_service: Callable[..., Service]) -> None:
    service = new_service(settings={"DARKROOM_ATTACH_TIMEOUT": "0.5"})
    made, server = add(service, "endless"), service.new_server(service.add_image(), "target")
    service.fault("run", server, hang=True)
    assert_refused(attach(service, server, made["id"]), 500, "Darkroom.0401", "endless 1.0", "0.5 s")
    assert latest(service, server) == []


def test_while_applications_are_attached_no_image_is_built_and_nothing_else_attached(own: Service) -> None:
    made, server = add(own, "slow"), own.new_server(own.add_image(), "busy")
    own.fault("run", server, hang=True)
    attaching = attach_in_the_background(own, server, made["id"])
    assert_refused(attach(own, server, made["id"]), *BAD, server, "already")
    answer = own.ask("POST", f"image-servers/{server}/actions/recreate-image", {"name": "golden"})
    assert_refused(answer, *BAD, server, "being attached")
    assert own.server(server)["status"] == "ACTIVE"
    own.succeeded(own.delete(server))
    own.kill()
    attaching.join(20)


def test_a_service_that_died_while_attaching_leaves_a_server_that_is_free_again(own: Service) -> None:
    made, server = add(own, "cut-off"), own.new_server(own.add_image(), "target")
    own.fault("run", server, hang=True, times=1)
    attaching = attach_in_the_background(own, server, made["id"])
    own.hangs()
    own.kill()
    attaching.join(20)
    own.start()
    eventually(lambda: attach(own, server, made["id"]).status_code == 200, "the server is free")
    assert latest(own, server) == [{"id": made["id"], "app_id": made["app_id"]}]


# With the server's creation


def test_a_server_is_created_with_its_applications(service: Service, image: str) -> None:
    made = [add(service, "with-server", str(number)) for number in range(2)]
    ids = [each["id"] for each in made]
    body = service.order(image, name="furnished", attach_apps=ids)
    job = service.succeeded(service.accept("POST", "image-servers", body))
    server = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert [item["id"] for item in latest(service, server)] == ids
    assert [entry["status"] for entry in listing(service, server)] == ["done", "done"]
    steps = service.get(f"image-server-jobs/{job['id']}/timeline")["steps"]
    assert steps[-1]["name"] == "attach applications"
    assert steps[-1]["detail"] == {"applications": ["with-server 0", "with-server 1"]}


@pytest.mark.parametrize("unfinished", [False, True])
def test_an_application_that_cannot_be_attached_is_refused_when_the_server_is_ordered(
    service: Service, image: str, unfinished: bool
) -> None:
    wanted = record(service, "not-yet")["id"] if unfinished else UNKNOWN
    before = service.census()
    answer = service.ask("POST", "image-servers", service.order(image, attach_apps=[wanted]))
    assert_refused(answer, *BAD, "attach_apps: ", wanted)
    assert service.census() == before
    if unfinished:
        assert service.ask("DELETE", f"apps/{wanted}").status_code == 204


def test_a_create_whose_application_fails_names_it_and_leaves_no_machine(service: Service, image: str) -> None:
    made = add(service, "unruly")
    service.fault("run", "doomed", exit_code=3, message="cannot\nwork")
    body = service.order(image, name="doomed", attach_apps=[made["id"]])
    job = service.ended(service.accept("POST", "image-servers", body))
    assert job["status"] == "FAILED"
    told = job["sub_jobs"][0]["job_execute_info"]
    assert told["error_code"] == "Darkroom.0401"
    assert told["error_message"] == (
        "attach applications: The application unruly 1.0 ended with status 3. Its last output: cannot\nwork"
    )
    server = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert service.server(server)["status"] == "ERROR"
    assert server not in service.machines()
    assert latest(service, server) == []


def test_an_application_that_was_removed_meanwhile_fails_the_create(own: Service) -> None:
    made, image = add(own, "vanishing"), own.add_image()
    own.fault("await_guest", "waiting", hang=True, times=1)
    body = own.order(image, name="waiting", attach_apps=[made["id"]])
    job_id = own.accept("POST", "image-servers", body)
    own.hangs()
    assert own.ask("DELETE", f"apps/{made['id']}").status_code == 204
    own.kill()
    own.start()
    job = own.ended(job_id)
    assert job["status"] == "FAILED"
    assert made["id"] in job["sub_jobs"][0]["job_execute_info"]["error_message"]


def test_a_create_that_was_interrupted_while_attaching_goes_on(own: Service) -> None:
    made, image = add(own, "resumed"), own.add_image()
    own.fault("run", "resumed", hang=True, times=1)
    job_id = own.accept("POST", "image-servers", own.order(image, name="resumed", attach_apps=[made["id"]]))
    own.hangs()
    own.kill()
    own.start()
    job = own.succeeded(job_id)
    server = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert latest(own, server) == [{"id": made["id"], "app_id": made["app_id"]}]
