"""Heads of requests that are refused before anybody asks what they are for: the gateway's errors (section 9.1)."""

from typing import Final
from uuid import uuid4

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from darkroom.http.answers import JSON
from darkroom.wire.errors import gateway_envelope

#: The contract's limits, in bytes, of a URI, of one header and of all headers.
URI_LIMIT: Final = 32 << 10
HEADER_LIMIT: Final = 32 << 10
HEADERS_LIMIT: Final = 128 << 10
_LINE: Final = len(b": \r\n")


def refusal(status: int, message: str) -> JSON:
    """Return an answer with a request id of its own, after which the connection is closed."""
    request_id = uuid4().hex
    headers = {"x-request-id": request_id, "connection": "close"}
    return JSON(gateway_envelope("APIGW.0201", message, request_id), status, headers)


def too_large(uri: int) -> JSON:
    """Return the answer to a head that is too large, and whose URI has so many bytes."""
    if uri > URI_LIMIT:
        return refusal(414, f"The URI is larger than {URI_LIMIT} bytes.")
    return refusal(494, f"A header is larger than {HEADER_LIMIT} bytes, or all are larger than {HEADERS_LIMIT}.")


def refusal_of(scope: Scope) -> JSON | None:
    """Return the answer to a head beyond the limits, None for others."""
    uri = len(scope["raw_path"]) + len(scope["query_string"])
    sizes = [len(name) + len(value) + _LINE for name, value in scope["headers"]]
    if uri > URI_LIMIT or sum(sizes) > HEADERS_LIMIT or max(sizes, default=0) > HEADER_LIMIT:
        return too_large(uri)
    return None


def spelled(answer: JSON) -> bytes:
    """Return an answer as it is sent, for where there is no request that the server could answer."""
    lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", answer.body])
