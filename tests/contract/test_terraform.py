"""What Terraform's provider puts on the wire for one image server and one image, replayed (contract section 7.2)."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx2
import pytest
from service_process import FLAVOUR, Service, eventually

AGENT = "terraform-provider-iac golangsdk/2.0.0"


class Terraform:
    """Sends requests as the provider's library does; the signature is computed here anew, from the contract's text."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.path = f"/v1/{service.project_id}"

    def send(self, method: str, path: str, body: Any = None, **extra: str) -> httpx2.Response:
        """Send a request. JSON bodies end with a newline; host, `X-Project-Id` and the like are not signed."""
        url = f"{self.path}/{path}"
        content = b"" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        headers = {
            "Accept": "application/json",
            "User-Agent": AGENT,
            "X-Sdk-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            **({} if body is None else {"Content-Type": "application/json"}),
            **extra,
        }
        authorization = self._sign(method, url, headers, content)
        sent = {**headers, "Authorization": authorization, "X-Project-Id": self._service.project_id}
        return self._service.http(method, url, content=content, headers=sent)

    def _sign(self, method: str, url: str, headers: dict[str, str], content: bytes) -> str:
        parts = urlsplit(url)
        pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
        lower = {name.lower(): value.strip() for name, value in headers.items()}
        names = ";".join(sorted(lower))
        block = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
        body_hash = hashlib.sha256(content).hexdigest()
        canonical = "\n".join([method, f"{parts.path}/", query, block, names, body_hash])
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"SDK-HMAC-SHA256\n{lower['x-sdk-date']}\n{digest}"
        known = self._service.credentials
        signature = hmac.new(known["secret_key"].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        return f"SDK-HMAC-SHA256 Access={known['access_key']}, SignedHeaders={names}, Signature={signature}"

    def await_success(self, answer: httpx2.Response) -> str:
        """Poll the job that a request started as the provider does, and return the resource's id."""
        assert answer.status_code in (200, 201, 202), answer.text
        job_id = answer.json()["job_id"]

        def look() -> Any:
            polled = self.send("GET", f"image-server-jobs/{job_id}")
            assert polled.status_code == 200
            job = polled.json()
            assert job["status"] in ("RUNNING", "SUCCESS"), "any other state aborts the apply"
            return job if job["status"] == "SUCCESS" else None

        job = eventually(look, "the job succeeds")
        return str(job["sub_jobs"][0]["job_resource_info"]["resource_id"]) if job["sub_jobs"] else ""


@pytest.fixture
def terraform(service: Service) -> Terraform:
    return Terraform(service)


def create_body(image: str, name: str = "tf-server", **more: Any) -> dict[str, Any]:
    """Return the provider's create request: no flavour but as product, empty domain, null tags."""
    return {
        "name": name,
        "product_id": FLAVOUR,
        "root_volume": {"type": "SAS", "size": 80},
        "image_ref": {"id": image, "image_type": "private"},
        "vpc_id": "8d0f2a55-6d6c-4c0e-9b1d-0c5d5b5f1a11",
        "subnet_id": "4f7b0b3e-2f0a-4f52-8a1c-9a2c1d7e2b22",
        "authorize_accounts": [{"account": "builder", "account_type": "USER", "domain": ""}],
        "is_vdi": True,
        "tags": None,
        **more,
    }


def test_apply_refresh_and_destroy(terraform: Terraform, service: Service, image: str) -> None:
    body = create_body(image, description="<made> by & for Terraform")
    server_id = terraform.await_success(terraform.send("POST", "image-servers", body))

    server = terraform.send("GET", f"image-servers/{server_id}").json()
    assert server["id"] == server_id
    assert (server["status"], server["enterprise_project_id"]) == ("ACTIVE", "0")
    assert (server["name"], server["description"]) == ("tf-server", "<made> by & for Terraform")
    assert server["authorize_accounts"] == body["authorize_accounts"]
    assert server["image_ref"] == {"id": image, "image_type": "private", "spce_code": "", "product_id": ""}
    datetime.fromisoformat(server["create_time"])

    build = {"name": "tf-image", "description": "golden"}
    answer = terraform.send("POST", f"image-servers/{server_id}/actions/recreate-image", build)
    image_id = terraform.await_success(answer)
    assert terraform.send("GET", f"image-servers/{server_id}").json()["image_id"] == image_id

    items = {"items": [server_id], "recursive": True}
    terraform.await_success(terraform.send("PATCH", "image-servers/actions/batch-delete", items))
    gone = terraform.send("GET", f"image-servers/{server_id}")
    assert gone.status_code == 404
    assert gone.json()["error_code"] == "WKS.00129901"
    again = terraform.send("PATCH", "image-servers/actions/batch-delete", items)
    assert terraform.await_success(again) == "", "what has gone already is no obstacle"
    assert server_id not in service.machines()


def test_an_update_sends_both_fields(terraform: Terraform, service: Service, image: str) -> None:
    server_id = service.new_server(image, "tf-before")
    body = {"name": "tf-after", "description": ""}
    answer = terraform.send("PATCH", f"image-servers/{server_id}", body)
    assert answer.status_code in (200, 202, 204)
    server = service.server(server_id)
    assert (server["name"], server["description"]) == ("tf-after", "")


@pytest.mark.parametrize(
    "more",
    [
        {"route_policy": {"max_session": 3, "cpu_threshold": 0, "mem_threshold": 0}, "is_vdi": False},
        {"route_policy": {"max_session": 0, "cpu_threshold": 80, "mem_threshold": 0}, "is_vdi": False},
        {"tags": [{"key": "a"}, {"key": "b", "value": "c"}]},
        {"enterprise_project_id": "0f1e2d3c-0000-4000-8000-000000000001"},
        {"description": "", "availability_zone": "", "ou_name": "", "attach_apps": []},
        {"extra_session_type": "CPU", "extra_session_size": 3, "is_vdi": False},
        {"scheduler_hints": {"dedicated_host_id": "host", "tenancy": "dedicated"}},
    ],
)
def test_a_create_request_with_more_settings(
    terraform: Terraform, service: Service, image: str, more: dict[str, Any]
) -> None:
    server_id = terraform.await_success(terraform.send("POST", "image-servers", create_body(image, **more)))
    server = terraform.send("GET", f"image-servers/{server_id}").json()
    assert server["enterprise_project_id"] == more.get("enterprise_project_id", "0")


def test_the_data_source_asks_until_a_page_is_empty(terraform: Terraform, service: Service, image: str) -> None:
    made = {service.new_server(image, f"tf-list-{number}") for number in range(2)}
    headers = {"X-Language": "en-us", "Content-Type": "application/json"}

    def pages(filters: str) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = []
        while not found or found[-1]:
            answer = terraform.send("GET", f"image-servers?limit=100&offset={100 * len(found)}{filters}", **headers)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("application/json")
            found.append(answer.json()["items"])
        return found

    first, last = pages("&server_name=tf-list-")
    assert ({server["id"] for server in first}, last) == (made, [])
    for server in first:
        for name in ("server_group_id", "server_id", "app_group_id", "status", "create_time", "update_time"):
            assert server[name]
    one = next(iter(made))
    assert [[server["id"] for server in page] for page in pages(f"&server_id={one}")] == [[one], []]
    assert pages("&server_name=no-such-name") == [[]]
    every = pages("&server_name=&server_id=&enterprise_project_id=")
    assert made <= {server["id"] for page in every for server in page}


def test_an_error_is_told_in_the_body(terraform: Terraform, image: str) -> None:
    body = create_body(image, authorize_accounts=[{"account": "all", "account_type": "USER_GROUP", "domain": ""}])
    answer = terraform.send("POST", "image-servers", body)
    assert answer.status_code == 400
    assert "USER" in answer.json()["error_msg"]
    assert terraform.send("GET", "image-server-jobs/912345678901234567").status_code == 404
