"""A small stand-in for the service, over real HTTP: enough of its API to see what the command makes of it.

It checks signatures by the service's own rules, keeps its objects in plain dictionaries that a test may change, and
writes down every request.
"""

import asyncio
import hashlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from darkroom.errors import Unauthenticated
from darkroom.wire import signing

PROJECT = "0123456789abcdef0123456789abcdef"
ACCESS, SECRET = "EXAMPLEAK00000000001", "exampleSecretKey000000000000000000000001"
BEGIN, END = "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:09.35Z"


class Service:
    """The objects, the requests made so far as `(method, path, body)`, and knobs for trouble."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything."""
        self.requests: list[tuple[str, str, Any]] = []
        self.images: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.servers: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self.looks_until_done = 1
        self.outcome = "SUCCESS"
        self.reason = ""
        self.refuse_upload = False
        self.refuse_deletes = 0
        self.answer: Response | None = None
        self.asked = 0
        self.broken: dict[int, Response] = {}  # what to answer instead, by the number of the request

    def add_image(self, name: str, *, content: bytes = b"disk", status: str = "active", **more: Any) -> str:
        image_id = str(uuid.uuid4())
        self.files[image_id] = content
        self.images[image_id] = {
            "id": image_id, "name": name, "status": status, "__imagetype": "private", "__description": "",
            "size": len(content), "virtual_size": 3 * 2**30, "min_disk": 3, "disk_format": "qcow2",
            "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(content).hexdigest(), "generalised": False,
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z", **more,
        }  # fmt: skip
        return image_id

    def add_server(self, name: str, *, status: str = "ACTIVE") -> str:
        server_id = str(912345678901230001 + len(self.servers))
        self.servers[server_id] = {
            "id": server_id, "name": name, "description": "", "status": status,
            "image_ref": {"id": str(uuid.uuid4()), "image_type": "private", "spce_code": "", "product_id": ""},
            "server_group_id": "", "app_group_id": "", "server_id": "", "instance_id": "", "image_id": "",
            "authorize_accounts": [{"account": "builder", "account_type": "USER"}],
            "create_time": BEGIN, "update_time": BEGIN, "enterprise_project_id": "0",
        }  # fmt: skip
        return server_id

    def add_job(self, job_type: str, resources: list[str]) -> str:
        job_id = str(912345678901234567 + 10 * len(self.jobs))
        subs = [
            {
                "id": str(int(job_id) + 1 + index), "job_type": job_type, "status": "RUNNING",
                "job_resource_info": {"resource_id": "r", "resource_name": name}, "begin_time": BEGIN,
                "job_execute_info": {"error_code": "", "error_message": ""}, "project_id": PROJECT, "job_id": job_id,
            }
            for index, name in enumerate(resources)
        ]  # fmt: skip
        self.jobs[job_id] = {
            "id": job_id, "job_type": job_type, "begin_time": BEGIN, "status": "RUNNING",
            "sub_jobs_total": len(subs), "sub_jobs": subs, "looks": 0,
        }  # fmt: skip
        return job_id

    def look_at(self, job_id: str) -> dict[str, Any]:
        """Return a job; it ends after `looks_until_done` looks."""
        job = self.jobs[job_id]
        job["looks"] += 1
        if job["looks"] >= self.looks_until_done:
            code = "Darkroom.0203" if self.outcome == "FAILED" else ""
            for item in (job, *job["sub_jobs"]):
                item |= {"status": self.outcome, "end_time": END}
            job["sub_jobs"][0]["job_execute_info"] = {"error_code": code, "error_message": self.reason}
        return {name: value for name, value in job.items() if name != "looks"}

    def timeline_of(self, job_id: str) -> list[dict[str, Any]]:
        job = self.jobs[job_id]
        ended = job["status"] in ("SUCCESS", "FAILED")
        step = {"sub_job_id": job["sub_jobs"][0]["id"], "name": "copy_disk", "phase": "do", "begin_time": BEGIN}
        if not ended:
            return [{**step, "status": "RUNNING", "progress": {"done": 3 * 2**20, "total": 4 * 2**20}}]
        return [{**step, "status": self.outcome, "end_time": END, "detail": {"pause_seconds": 0.03}}]


def _error(status: int, code: str, message: str) -> JSONResponse:
    headers = {"X-Request-Id": "f" * 32}
    return JSONResponse({"error_code": code, "error_msg": message}, status_code=status, headers=headers)


def _image_error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": "IMG.0000", "message": message}}, status_code=status)


def _app(service: Service) -> Starlette:
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        service.asked += 1
        if instead := service.broken.get(service.asked, service.answer):
            return instead
        if request.url.path == "/health":
            return await call_next(request)
        streamed = "x-sdk-content-sha256" in request.headers
        body = None if streamed else await request.body()
        raw_path, query = request.scope["raw_path"], request.scope["query_string"]
        try:
            authorization = signing.parse_authorization(request.headers.get("authorization", ""))
            headers = signing.headers_of(request.headers.raw)
            hashes = signing.body_hashes(headers, body)
            signing.verify(authorization, SECRET, request.method, raw_path, query, headers, hashes)
        except Unauthenticated as refusal:
            return _error(refusal.status, refusal.code, refusal.message)
        service.requests.append((request.method, request.url.path, (await request.json()) if body else None))
        return await call_next(request)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": "9.9.9"})

    async def list_jobs(request: Request) -> Response:
        wanted = request.query_params["job_type"]
        found = [
            {name: value for name, value in job.items() if name not in ("looks", "sub_jobs")}
            for job in service.jobs.values()
            if wanted in ("", job["job_type"])
        ]
        start, limit = int(request.query_params.get("offset", 0)), int(request.query_params.get("limit", 10))
        return JSONResponse({"count": len(found), "items": found[start : start + limit]})

    async def show_job(request: Request) -> Response:
        if request.path_params["id"] not in service.jobs:
            return _error(404, "WKS.00129901", "The job does not exist.")
        return JSONResponse(service.look_at(request.path_params["id"]))

    async def timeline(request: Request) -> Response:
        job_id = request.path_params["id"]
        return JSONResponse({"steps": service.steps.get(job_id, service.timeline_of(job_id))})

    async def servers(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse({"job_id": service.add_job("CREATE_SERVER", [(await request.json())["name"]])})
        part = request.query_params.get("server_name", "")
        found = [server for server in service.servers.values() if part in server["name"]]
        return JSONResponse({"count": len(found), "items": found[int(request.query_params.get("offset", 0)) :]})

    async def show_server(request: Request) -> Response:
        found = service.servers.get(request.path_params["id"])
        return JSONResponse(found) if found else _error(404, "WKS.00129901", "The image server does not exist.")

    async def access(request: Request) -> Response:
        if service.servers[request.path_params["id"]]["status"] == "CREATING":
            return _error(400, "WKS.00211102", "The image server is not ready yet.")
        key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"
        return JSONResponse(
            {"account": "builder", "password": "pw-1", "private_key": key, "address": "127.0.0.1", "port": 2201,
             "host_key": "ssh-ed25519 AAAAC3Nz"}
        )  # fmt: skip

    async def build(request: Request) -> Response:
        return JSONResponse({"job_id": service.add_job("CREATE_SERVER_IMAGE", [(await request.json())["name"]])})

    async def delete_servers(request: Request) -> Response:
        names = [service.servers.pop(key)["name"] for key in (await request.json())["items"]]
        return JSONResponse({"job_id": service.add_job("DELETE_SERVER", names)})

    async def images(request: Request) -> Response:
        if request.method == "POST":
            order = await request.json()
            image_id = service.add_image(order["name"], status="queued", **{"__imagetype": order["__imagetype"]})
            return JSONResponse(service.images[image_id], status_code=201)
        found = list(service.images.values())
        marker, limit = request.query_params.get("marker"), int(request.query_params["limit"])
        start = [image["id"] for image in found].index(marker) + 1 if marker else 0
        page = {"images": found[start : start + limit]}
        return JSONResponse(page | ({"next": "/v2/images?marker=x"} if start + limit < len(found) else {}))

    async def image(request: Request) -> Response:
        image_id = request.path_params["id"]
        if image_id not in service.images:
            return _image_error(404, "The image does not exist.")
        if request.method == "DELETE":
            if service.refuse_deletes:
                service.refuse_deletes -= 1
                return _image_error(409, "The image's bytes are being written.")
            del service.images[image_id]
            return Response(status_code=204)
        return JSONResponse(service.images[image_id])

    async def file(request: Request) -> Response:
        image_id = request.path_params["id"]
        if request.method == "PUT":
            if service.refuse_upload:
                return _image_error(400, "file: it is neither qcow2 nor raw")
            service.files[image_id] = b"".join([chunk async for chunk in request.stream()])
            service.images[image_id] |= {"status": "active", "size": len(service.files[image_id])}
            return Response(status_code=204)
        content = service.files[image_id]
        return StreamingResponse(iter([content]), headers={"Content-Length": str(len(content))})

    v1 = f"/v1/{PROJECT}"
    return Starlette(
        routes=[
            Route("/health", health),
            Route(f"{v1}/image-server-jobs", list_jobs),
            Route(f"{v1}/image-server-jobs/{{id}}", show_job),
            Route(f"{v1}/image-server-jobs/{{id}}/timeline", timeline),
            Route(f"{v1}/image-servers", servers, methods=["GET", "POST"]),
            Route(f"{v1}/image-servers/actions/batch-delete", delete_servers, methods=["PATCH"]),
            Route(f"{v1}/image-servers/{{id}}", show_server),
            Route(f"{v1}/image-servers/{{id}}/access", access),
            Route(f"{v1}/image-servers/{{id}}/actions/recreate-image", build, methods=["POST"]),
            Route("/v2/images", images, methods=["GET", "POST"]),
            Route("/v2/images/{id}", image, methods=["GET", "DELETE"]),
            Route("/v2/images/{id}/file", file, methods=["GET", "PUT"]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
    )


@contextmanager
def running_service() -> Iterator[Service]:
    """Yield a service that listens on a free port of this machine until the block ends."""
    service = Service()
    server = uvicorn.Server(uvicorn.Config(_app(service), port=0, log_level="error", lifespan="off", loop="asyncio"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    service.url = f"http://{host}:{port}"
    try:
        yield service
    finally:
        server.should_exit = True
        thread.join()
