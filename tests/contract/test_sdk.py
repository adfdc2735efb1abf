"""The vendor's own SDK as the client: every answer fits its models without loss, every error its exceptions."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.utils.http_utils import sanitize_for_serialization
from huaweicloudsdkworkspaceapp import v1 as sdk
from service_process import FLAVOUR, Service, eventually

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?Z", re.ASCII)
SNOWFLAKE = re.compile(r"[1-9]\d{17}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)

JOB_TYPES = {"CREATE_SERVER", "CREATE_SERVER_IMAGE", "DELETE_SERVER"}
JOB_STATUSES = {"WAITING", "RUNNING", "SUCCESS", "FAILED"}
SUB_JOB_STATUSES = JOB_STATUSES | {"ABNORMAL", "ROLLBACK", "ABORTING"}
SERVER_STATUSES = {"CREATING", "ACTIVE", "BUILDING", "BUILT", "ERROR", "DELETING"}

JOB_KEYS = ["id", "job_type", "begin_time", "end_time", "status", "sub_jobs_total", "sub_jobs"]
SUB_JOB_KEYS = [
    "id", "job_type", "job_resource_info", "begin_time", "end_time", "status", "job_execute_info", "project_id",
    "job_id",
]  # fmt: skip
SERVER_KEYS = [
    "id", "name", "description", "image_ref", "server_group_id", "app_group_id", "server_id", "instance_id",
    "image_id", "status", "authorize_accounts", "create_time", "update_time", "enterprise_project_id",
]  # fmt: skip


def build(service: Service, kind: type) -> Any:
    credentials = service.credentials
    basic = BasicCredentials(credentials["access_key"], credentials["secret_key"], credentials["project_id"])
    return kind.new_builder().with_credentials(basic).with_endpoint(service.endpoint).build()


@pytest.fixture(scope="module")
def client(service: Service) -> sdk.WorkspaceAppClient:
    return build(service, sdk.WorkspaceAppClient)


@pytest.fixture(scope="module")
def minimal(image: str) -> sdk.CreateImageServerReq:
    """A create request with what is mandatory, and no more."""
    return sdk.CreateImageServerReq(
        name="img-srv-sdk",
        root_volume=sdk.Volume(type="SAS", size=80),
        image_ref=sdk.ImageRef(id=image, image_type="private"),
        vpc_id="vpc",
        subnet_id="subnet",
        product_id=FLAVOUR,
        authorize_accounts=[sdk.ImageAccountInfo(account="builder", account_type="USER")],
    )


def create(client: sdk.WorkspaceAppClient, body: sdk.CreateImageServerReq) -> str:
    return str(client.create_image_server(sdk.CreateImageServerRequest(body=body)).job_id)


def show_job(client: sdk.WorkspaceAppClient, job_id: str) -> sdk.ShowImageJobResponse:
    return client.show_image_job(sdk.ShowImageJobRequest(job_id=job_id))


def ended(client: sdk.WorkspaceAppClient, job_id: str) -> sdk.ShowImageJobResponse:
    """Poll a job to its end; every answer on the way is whole."""

    def look() -> Any:
        job = show_job(client, job_id)
        check_job(whole(job))
        return job if job.status in ("SUCCESS", "FAILED") else None

    return eventually(look, f"the job {job_id} ends")


def whole(answer: Any) -> Any:
    """Return an answer as JSON, having seen that the SDK's model holds all of it, and nothing is null."""
    raw = json.loads(answer.raw_content)
    no_null(raw)
    assert respelled(sanitize_for_serialization(answer)) == respelled(raw)
    return raw


def respelled(value: Any, key: str = "") -> Any:
    """Return JSON with its times as instants: the SDK spells them in its own way."""
    if isinstance(value, dict):
        return {name: respelled(member, name) for name, member in value.items()}
    if isinstance(value, list):
        return [respelled(member) for member in value]
    return datetime.fromisoformat(value).timestamp() if key.endswith("_time") else value


def no_null(value: Any) -> None:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in members:
        assert member is not None, value
        no_null(member)


def check_job(job: dict[str, Any]) -> None:
    """See that a job, as JSON, keeps to the contract's words and forms, in the order of the seed page."""
    running = job["status"] not in ("SUCCESS", "FAILED")
    assert list(job) == [key for key in JOB_KEYS if key != "end_time" or not running]
    assert job["job_type"] in JOB_TYPES
    assert job["status"] in JOB_STATUSES
    assert SNOWFLAKE.fullmatch(job["id"])
    assert job["sub_jobs_total"] == len(job["sub_jobs"])
    check_times(job)
    for sub_job in job["sub_jobs"]:
        over = sub_job["status"] in ("SUCCESS", "FAILED", "ABNORMAL")
        assert list(sub_job) == [key for key in SUB_JOB_KEYS if key != "end_time" or over]
        assert sub_job["status"] in SUB_JOB_STATUSES
        assert sub_job["job_type"] == job["job_type"]
        assert sub_job["job_id"] == job["id"]
        assert SNOWFLAKE.fullmatch(sub_job["id"])
        assert list(sub_job["job_resource_info"]) == ["resource_id", "resource_name"]
        assert list(sub_job["job_execute_info"]) == ["error_code", "error_message"]
        if sub_job["status"] not in ("FAILED", "ABNORMAL", "ROLLBACK"):
            assert sub_job["job_execute_info"] == {"error_code": "", "error_message": ""}
        check_times(sub_job)


def check_times(item: dict[str, Any]) -> None:
    for name, value in item.items():
        if name.endswith("_time"):
            assert TIME.fullmatch(value), f"{name}: {value}"


def check_server(server: dict[str, Any]) -> None:
    assert list(server) == SERVER_KEYS
    assert server["status"] in SERVER_STATUSES
    assert SNOWFLAKE.fullmatch(server["id"])
    assert list(server["image_ref"]) == ["id", "image_type", "spce_code", "product_id"]
    check_times(server)


def test_a_server_is_made_images_are_built_of_it_and_it_is_deleted(
    service: Service, client: sdk.WorkspaceAppClient, minimal: sdk.CreateImageServerReq
) -> None:
    created = client.create_image_server(sdk.CreateImageServerRequest(body=minimal))
    assert whole(created) == {"job_id": created.job_id}
    assert created.status_code == 200
    job = ended(client, created.job_id)
    assert (job.status, job.job_type, job.sub_jobs_total) == ("SUCCESS", "CREATE_SERVER", 1)
    made = job.sub_jobs[0].job_resource_info
    assert made.resource_name == "img-srv-sdk"
    assert job.sub_jobs[0].project_id == service.project_id

    server = client.show_image_server(sdk.ShowImageServerRequest(server_id=made.resource_id))
    raw = whole(server)
    check_server(raw)
    assert (server.id, server.status, server.image_id) == (made.resource_id, "ACTIVE", "")
    assert SNOWFLAKE.fullmatch(server.app_group_id)
    assert UUID.fullmatch(server.server_id.removeprefix("wksapp-"))
    assert UUID.fullmatch(server.instance_id)
    assert UUID.fullmatch(server.server_group_id)
    assert server.server_id.startswith("wksapp-")
    assert server.enterprise_project_id == "0"

    for sysprep in (None, False, True):
        body = sdk.CreateServerImageReq(name="golden 2026", description="été", execute_sysprep=sysprep)
        request = sdk.RecreateServerImageRequest(server_id=server.id, body=body)
        accepted = client.recreate_server_image(request)
        assert whole(accepted) == {"job_id": accepted.job_id}
        job = ended(client, accepted.job_id)
        assert (job.status, job.job_type) == ("SUCCESS", "CREATE_SERVER_IMAGE")
        built = job.sub_jobs[0].job_resource_info
        assert UUID.fullmatch(built.resource_id)
        assert built.resource_name == "golden 2026"
        now = client.show_image_server(sdk.ShowImageServerRequest(server_id=server.id))
        assert (now.status, now.image_id) == ("BUILT", built.resource_id)
        image = service.get(f"/v2/images/{built.resource_id}")
        assert (image["status"], image["name"], image["__description"]) == ("active", "golden 2026", "été")
        assert image["generalised"] is bool(sysprep)

    body = sdk.BatchDeleteImageServerReq(items=[server.id], recursive=True)
    deleted = client.batch_delete_image_server(sdk.BatchDeleteImageServerRequest(body=body))
    assert whole(deleted) == {"job_id": deleted.job_id}
    job = ended(client, deleted.job_id)
    assert (job.status, job.job_type) == ("SUCCESS", "DELETE_SERVER")
    gone = job.sub_jobs[0].job_resource_info
    assert (gone.resource_id, gone.resource_name) == (server.id, "img-srv-sdk")
    with pytest.raises(ClientRequestException) as refused:
        client.show_image_server(sdk.ShowImageServerRequest(server_id=server.id))
    assert refused.value.status_code == 404
    assert service.get(f"/v2/images/{built.resource_id}")["status"] == "active", "the image stays"


def test_every_field_of_a_create_request_is_taken(client: sdk.WorkspaceAppClient, service: Service, image: str) -> None:
    gold = service.add_image(image_type="gold")
    body = sdk.CreateImageServerReq(
        name="全部-All_1",
        description='every <field>, & "quotes"\nand a second line: 描述',
        root_volume=sdk.Volume(type="ESSD", size=100, cluster_id="pool-1"),
        image_ref=sdk.ImageRef(id=gold, image_type="gold", spce_code="0f1e2d3c4b5a", product_id="OFFI000000000001"),
        vpc_id="vpc",
        subnet_id="subnet",
        product_id=FLAVOUR,
        flavor_id="large.2",
        availability_zone="az-1",
        attach_apps=[],
        authorize_accounts=[sdk.ImageAccountInfo(account="builder", account_type="USER", domain="corp.example.com")],
        ou_name="ou",
        is_vdi=False,
        scheduler_hints=sdk.WdhParam(dedicated_host_id="host-1", tenancy="dedicated"),
        extra_session_type="CPU",
        extra_session_size=5,
        route_policy=sdk.RoutePolicy(max_session=1024, cpu_threshold=100, mem_threshold=1),
        tags=[sdk.TmsTag(key="team", value="golden/images"), sdk.TmsTag(key="空")],
        enterprise_project_id="3a1b",
    )
    request = sdk.CreateImageServerRequest(service_transaction_id="tx-1", x_linked_id="link-1", body=body)
    job = ended(client, client.create_image_server(request).job_id)
    assert job.status == "SUCCESS"
    resource = job.sub_jobs[0].job_resource_info.resource_id
    server = whole(client.show_image_server(sdk.ShowImageServerRequest(server_id=resource)))
    sent = sanitize_for_serialization(body)
    for field in ("name", "description", "image_ref", "authorize_accounts", "enterprise_project_id"):
        assert server[field] == sent[field]


def test_a_running_job_has_no_end_and_names_what_it_makes(
    service: Service, client: sdk.WorkspaceAppClient, minimal: sdk.CreateImageServerReq, image: str
) -> None:
    service.fault("await_guest", "hung-create", hang=True)
    minimal = sdk.CreateImageServerReq(**{**model_fields(minimal), "name": "hung-create"})
    job_id = create(client, minimal)
    eventually(lambda: show_job(client, job_id).sub_jobs[0].status == "RUNNING", "a worker has it")
    job = whole(show_job(client, job_id))
    check_job(job)
    assert job["status"] == "RUNNING"
    resource = job["sub_jobs"][0]["job_resource_info"]
    server = whole(client.show_image_server(sdk.ShowImageServerRequest(server_id=resource["resource_id"])))
    check_server(server)
    assert (server["status"], resource["resource_name"]) == ("CREATING", "hung-create")
    assert [server[name] for name in ("app_group_id", "server_id", "instance_id", "image_id")] == [""] * 4
    assert UUID.fullmatch(server["server_group_id"]), "it is known at once"

    building = service.new_server(image, "hung-build")
    service.fault("flatten", "hung-build", hang=True)
    job_id = service.build(building, "to-be")
    eventually(lambda: show_job(client, job_id).sub_jobs[0].status == "RUNNING", "a worker has it")
    job = whole(show_job(client, job_id))
    check_job(job)
    resource = job["sub_jobs"][0]["job_resource_info"]
    assert resource == {"resource_id": "", "resource_name": "to-be"}, "there is no image yet"
    assert whole(client.show_image_server(sdk.ShowImageServerRequest(server_id=building)))["status"] == "BUILDING"


def model_fields(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.attribute_map}


def test_jobs_are_listed_newest_first_by_type_and_status(service: Service, client: sdk.WorkspaceAppClient) -> None:
    for _ in range(2):
        service.succeeded(service.delete("912345678901230001"))
    request = sdk.ListImageJobsRequest(job_type="DELETE_SERVER", status="SUCCESS", limit=100, offset=0)
    listed = client.list_image_jobs(request)
    raw = whole(listed)
    assert list(raw) == ["count", "items"]
    assert 100 >= raw["count"] == len(raw["items"]) >= 2
    for job in raw["items"]:
        assert list(job) == [key for key in JOB_KEYS if key != "sub_jobs"]
        assert (job["job_type"], job["status"]) == ("DELETE_SERVER", "SUCCESS")
        check_times(job)
    ids = [int(job["id"]) for job in raw["items"]]
    assert ids == sorted(ids, reverse=True)
    last = int(raw["count"]) - 1
    request = sdk.ListImageJobsRequest(job_type="DELETE_SERVER", status="SUCCESS", limit=1, offset=last)
    page = whole(client.list_image_jobs(request))
    assert (page["count"], [job["id"] for job in page["items"]]) == (raw["count"], [raw["items"][-1]["id"]])
    request.offset = 2147483647
    assert whole(client.list_image_jobs(request)) == {"count": raw["count"], "items": []}


def test_servers_are_listed_newest_first_by_name_id_and_enterprise_project(
    service: Service, client: sdk.WorkspaceAppClient, image: str
) -> None:
    orders = [
        service.order(image, name=name, enterprise_project_id=enterprise)
        for name, enterprise in (("Sieve_one", None), ("Sieve-two", "ep-7"), ("Sieve1three", "0"))
    ]
    jobs = [service.accept("POST", "image-servers", order) for order in orders]
    ids = [service.succeeded(job)["sub_jobs"][0]["job_resource_info"]["resource_id"] for job in jobs]

    def listed(**filters: Any) -> list[str]:
        raw = whole(client.list_image_servers(sdk.ListImageServersRequest(limit=100, **filters)))
        for server in raw["items"]:
            check_server(server)
        assert raw["count"] == len(raw["items"])
        return [server["id"] for server in raw["items"]]

    one, two, three = ids
    assert listed(server_name="sieve") == [three, two, one], "part of the name, in either case of letters"
    assert listed(server_name="e_o") == [one], "an underscore is no wildcard"
    assert listed(server_name="S%e") == [], "nor is a percent sign"
    assert listed(server_id=two) == [two]
    assert listed(server_id=two, server_name="one") == []
    assert listed(server_id=f"0{two}") == listed(server_id="no-such") == []
    assert listed(enterprise_project_id="ep-7") == [two]
    assert listed(server_name="sieve", enterprise_project_id="0") == [three, one]
    assert listed(server_name="sieve", enterprise_project_id="") == [three, two, one]
    page = whole(client.list_image_servers(sdk.ListImageServersRequest(server_name="sieve", limit=1, offset=1)))
    assert (page["count"], [server["id"] for server in page["items"]]) == (3, [two])


def test_the_asynchronous_client_gets_the_same(service: Service, image: str) -> None:
    client = build(service, sdk.WorkspaceAppAsyncClient)
    server_id = service.new_server(image, "img-srv-async")
    shown = client.show_image_server_async(sdk.ShowImageServerRequest(server_id=server_id)).result()
    assert whole(shown)["status"] == "ACTIVE"
    body = sdk.BatchDeleteImageServerReq(items=[server_id], recursive=True)
    deleted = client.batch_delete_image_server_async(sdk.BatchDeleteImageServerRequest(body=body)).result()

    def over() -> Any:
        job = client.show_image_job_async(sdk.ShowImageJobRequest(job_id=deleted.job_id)).result()
        check_job(whole(job))
        return job if job.status != "RUNNING" else None

    assert eventually(over, "the job ends").status == "SUCCESS"
    jobs = client.list_image_jobs_async(sdk.ListImageJobsRequest(job_type="DELETE_SERVER", limit=100)).result()
    assert deleted.job_id in [job.id for job in jobs.items]
    with pytest.raises(ClientRequestException) as refused:
        client.show_image_server_async(sdk.ShowImageServerRequest(server_id=server_id)).result()
    assert (refused.value.status_code, refused.value.error_code) == (404, "WKS.00129901")


def test_an_error_is_the_sdks_exception_with_code_message_and_request_id(
    client: sdk.WorkspaceAppClient, minimal: sdk.CreateImageServerReq, service: Service
) -> None:
    with pytest.raises(ClientRequestException) as unknown:
        show_job(client, "912345678901234567")
    assert (unknown.value.status_code, unknown.value.error_code) == (404, "WKS.00129901")
    assert "912345678901234567" in unknown.value.error_msg
    with pytest.raises(ClientRequestException) as bad:
        create(client, sdk.CreateImageServerReq(**{**model_fields(minimal), "name": "a b"}))
    assert (bad.value.status_code, bad.value.error_code) == (400, "WKS.00211102")
    assert bad.value.error_msg.startswith("name: ")
    stranger = BasicCredentials("NOSUCHKEY00000000000", "x" * 40, service.project_id)
    builder = sdk.WorkspaceAppClient.new_builder().with_credentials(stranger).with_endpoint(service.endpoint)
    with pytest.raises(ClientRequestException) as unsigned:
        show_job(builder.build(), "912345678901234567")
    assert (unsigned.value.status_code, unsigned.value.error_code) == (401, "APIGW.0301")
    assert unsigned.value.error_msg.endswith("ak NOSUCHKEY00000000000 not exist")
    ids = {HEX.fullmatch(error.value.request_id) and error.value.request_id for error in (unknown, bad, unsigned)}
    assert len(ids) == 3
