"""The application: whatever a route does, its answer has a request id, and nothing of what went wrong within."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from darkroom.errors import JobNotFound
from darkroom.http.application import Application

Answer = Callable[[Request], Any]


def asked(endpoint: Answer, method: str = "GET", path: str = "/v1/thing") -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of the answer to a request."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()  # nothing more comes, and the client stays

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "query_string": b"", "headers": []}
    application = Application([Route("/v1/thing", endpoint, methods=["GET", "PUT"])])
    asyncio.run(application(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return told[0]["status"], headers, b"".join(message["body"] for message in told[1:])


async def well(_: Request) -> Response:
    return Response(b"well")


async def refuse(_: Request) -> Response:
    raise JobNotFound("The job 1 does not exist.")


async def break_down(_: Request) -> Response:
    raise RuntimeError("what nobody must see")


async def no_file(_: Request) -> Response:
    raise HTTPException(404)


@pytest.mark.parametrize(
    ("endpoint", "method", "path", "status"),
    [
        (well, "GET", "/v1/thing", 200),
        (refuse, "GET", "/v1/thing", 404),
        (break_down, "GET", "/v1/thing", 500),
        (no_file, "GET", "/v1/thing", 404),
        (well, "POST", "/v1/thing", 405),
        (well, "GET", "/v1/things", 404),
        (well, "GET", "/v1/thing/", 404),
        (well, "GET", "*", 404),
    ],
)
def test_every_answer_has_a_status_and_a_request_id(endpoint: Answer, method: str, path: str, status: int) -> None:
    found, headers, body = asked(endpoint, method, path)
    assert found == status
    assert len(headers["x-request-id"]) == 32
    assert headers["content-length"] == str(len(body))
    assert headers.get("allow") == ("GET, HEAD, PUT" if status == 405 else None)
    if status != 200:
        assert {"error_code", "error_msg"} <= json.loads(body).keys()
    assert b"nobody must see" not in body


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def chunks() -> Any:
        yield b"one"
        raise RuntimeError("in the middle")

    async def breaks_off(_: Request) -> Response:
        return StreamingResponse(chunks())

    with pytest.raises(RuntimeError, match="in the middle"):
        asked(breaks_off)
