"""Reading requests: a body is waited for where one is announced, and headers are found by their name."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from darkroom.errors import InvalidParameter, TooLarge
from darkroom.http.requests import BODY_LIMIT, QuickHeaders, QuickRequest, decode, once_of, whole_body

Pairs = Sequence[tuple[bytes, bytes]]

LENGTH: Pairs = [(b"content-length", b"4")]
CHUNKED: Pairs = [(b"transfer-encoding", b"chunked")]


class Named(msgspec.Struct):
    name: str


def scope(headers: Pairs) -> Scope:
    return {"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": list(headers)}


def request(headers: Pairs, *messages: dict[str, Any]) -> QuickRequest:
    """Return a request whose body comes in these messages; nothing comes after them."""
    coming = iter(messages)

    async def receive() -> Any:
        for message in coming:
            return message
        raise AssertionError("something is waited for that nobody has announced")

    async def unused(_: Any) -> None: ...

    return QuickRequest(scope(headers), receive, unused)


def body_of(headers: Pairs, *messages: dict[str, Any]) -> bytes:
    return asyncio.run(whole_body(request(headers, *messages)))


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("headers", [LENGTH, CHUNKED])
def test_a_body_is_read_to_its_end(headers: Pairs) -> None:
    assert body_of(headers, part(b"bo", more=True), part(b"dy")) == b"body"


def test_a_body_that_is_not_announced_is_not_waited_for() -> None:
    assert body_of([(b"host", b"x")]) == b""


def test_a_body_may_be_so_long_and_no_longer() -> None:
    assert len(body_of(CHUNKED, part(b"x" * BODY_LIMIT))) == BODY_LIMIT
    with pytest.raises(TooLarge):
        body_of(CHUNKED, part(b"x" * BODY_LIMIT, more=True), part(b"x"))


def test_half_a_body_of_a_client_that_has_gone_is_none() -> None:
    with pytest.raises(ClientDisconnect):
        body_of(LENGTH, part(b"bo", more=True), {"type": "http.disconnect"})


def test_a_nul_is_refused_however_deep_it_lies() -> None:
    for depth in range(900, 1100, 5):
        body = b'{"name": "a", "unknown": ' + b"[" * depth + b'"\\u0000"' + b"]" * depth + b"}"
        with pytest.raises(InvalidParameter):
            decode(request([]), body, Named, {})


@pytest.mark.parametrize("media_type", [b"", b" ; charset=utf-8", b"*/*", b"text/json", b"Text/JSON; charset=utf-8"])
def test_a_body_of_no_type_or_of_one_that_may_be_json_is_read(media_type: bytes) -> None:
    assert decode(request([(b"content-type", media_type)]), b'{"name": "a"}', Named, {}) == Named("a")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Service-Transaction-Id"])
def test_a_key_that_is_too_long_is_refused_under_the_name_that_it_came_by(name: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{name}: "):
        once_of(request([(name.lower().encode(), b"x" * 256)]), b"", "service-transaction-id")


def test_headers_are_found_by_their_name_in_any_letters() -> None:
    headers = QuickHeaders(scope([(b"x-one", b"1"), (b"x-two", b"2"), (b"x-one", b"\xe9")]))
    assert headers["X-One"] == headers.get("x-one") == "1", "the first of several"
    assert headers.getlist("x-one") == ["1", "\xe9"]
    assert "X-Two" in headers
    assert "x-three" not in headers
    assert headers.get("x-three", "none") == "none"
    with pytest.raises(KeyError):
        headers["x-three"]
