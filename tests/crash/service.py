"""The service in a process of the tests: started by darkroom.app as ever, asked by its API without a socket."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
from argon2 import PasswordHasher

from darkroom import app
from darkroom.errors import Unavailable
from darkroom.services import passwords
from darkroom.telemetry import logging
from darkroom.wire.signing import sign
from darkroom.workflows import runner, takeover

from .place import Place
from .points import Point, Points

FLAVOUR = "workspace.appstream.general.large.2"
#: DBOS's statuses of workflows that nobody will run any more.
_OVER = "('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')"


def order_of_a_server(name: str, image: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "product_id": FLAVOUR, "vpc_id": "8d0f2a55-6d6c-4c0e-9b1d-0c5d5b5f1a11",
        "subnet_id": "4f7b0b3e-2f0a-4f52-8a1c-9a2c1d7e2b22", "root_volume": {"type": "SAS", "size": 80},
        "image_ref": {"id": image, "image_type": "private"},
        "authorize_accounts": [{"account": "builder", "account_type": "USER"}], **more,
    }  # fmt: skip


class Api:
    """The API of a service in this process, as its first user."""

    def __init__(self, service: app.Service, credentials: dict[str, str]) -> None:
        self._service = service
        self._keys = {"access_key": credentials["access_key"], "secret_key": credentials["secret_key"]}
        self._project = credentials["project_id"]

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self._service.application())
        return httpx2.AsyncClient(transport=transport, base_url="http://darkroom")

    async def ask(self, method: str, path: str, body: Any = None, *, content: bytes | None = None, **more: str) -> Any:
        """`more` are headers, with underscores for hyphens."""
        path = path if path.startswith("/") else f"/v1/{self._project}/{path}"
        headers = {"X-Project-Id": self._project, **{name.replace("_", "-"): value for name, value in more.items()}}
        streamed = content is not None
        if streamed:
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        url = f"http://darkroom{path}"
        headers |= sign(
            method, url, headers, b"" if streamed else content or b"", unsigned_payload=streamed, **self._keys
        )
        answer = await self._client.request(method, url, content=content, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def add_image(self, content: bytes = b"a disk") -> str:
        added = await self.ask("POST", "/v2/images", {"name": "base", "__imagetype": "private"})
        await self.ask("PUT", f"/v2/images/{added['id']}/file", content=content)
        return str(added["id"])

    async def add_app(self, name: str, kind: str) -> str:
        order = {"name": name, "version": "1", "kind": kind, "file_name": f"{name}.sh"}
        added = await self.ask("POST", "apps", order)
        await self.ask("PUT", f"apps/{added['id']}/file", content=b"#!/bin/sh\n")
        return str(added["id"])

    async def create(self, name: str, *, keep_minutes: int = 0, **more: Any) -> str:
        """Order a server of the image that was added last; its machine is kept for so long if it fails."""
        images = await self.ask("GET", "/v2/images?name=base")
        order = order_of_a_server(name, images["images"][0]["id"], **more)
        return str(
            (await self.ask("POST", "image-servers", order, darkroom_keep_on_failure=str(keep_minutes)))["job_id"]
        )

    async def servers(self) -> list[str]:
        """Return the ids of all servers, oldest first."""
        listed = await self.ask("GET", "image-servers?limit=100")
        return sorted(each["id"] for each in listed["items"])

    async def build(self, server: str, name: str = "golden", *, sysprep: bool) -> str:
        order = {"name": name, "execute_sysprep": sysprep}
        return str((await self.ask("POST", f"image-servers/{server}/actions/recreate-image", order))["job_id"])

    async def delete(self, *servers: str, recursive: bool) -> str:
        order = {"items": list(servers), "recursive": recursive}
        return str((await self.ask("PATCH", "image-servers/actions/batch-delete", order))["job_id"])

    async def cancel(self, job: str) -> None:
        await self.ask("POST", f"image-server-jobs/{job}/actions/cancel", {})


def hasten() -> None:
    """Let what is slow on purpose be quick in this process: looks at other workers, at cancelling, and hashes."""
    takeover.ROUND = 0.05  # type: ignore[misc]
    runner.CANCEL_INTERVAL = 0.02
    passwords.PasswordHasher = lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # type: ignore


@asynccontextmanager
async def running(place: Place, **settings: Any) -> AsyncIterator[tuple[app.Service, Api]]:
    """Run a service of all roles, unless the settings say otherwise, in this process."""
    hasten()
    chosen = place.settings(**settings)
    logging.set_up(chosen.log_level, chosen.log_format)
    service = app.Service(chosen)
    async with service.running():
        yield service, Api(service, json.loads(chosen.credentials.read_text()))


async def until_over(service: app.Service, place: Place) -> None:
    """Return when no job and no workflow of DBOS is under way."""
    jobs = "SELECT count(*) FROM jobs WHERE status NOT IN ('SUCCESS', 'FAILED')"
    workflows = f"SELECT count(*) FROM {place.dbos}workflow_status WHERE status NOT IN {_OVER}"
    database = service.store.database
    while True:
        with suppress(Unavailable):  # where that is the blow
            if [await database.one(sql) for sql in (jobs, workflows)] == [(0,), (0,)]:
                return
        await asyncio.sleep(0.01)


def recorder(path: Path) -> Callable[[Point], None]:
    """Return what writes down each point, one a line."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(point: Point) -> None:
        os.write(handle, f"{point.number} {point.effect}\n".encode())

    return record


def recorded(path: Path) -> list[Point]:
    lines = (line.split(" ", 1) for line in path.read_text().splitlines())
    return [Point(effect, int(number)) for number, effect in lines]


def lay(place: Place, on: Callable[[Point], None]) -> Points:
    points = Points(place.data, on)
    points.lay()
    return points
