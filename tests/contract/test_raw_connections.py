"""HTTP as no library speaks it: clients that stop sending, send ahead, go away, or send what is no request."""

import json
import re
import socket
import struct
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import pytest
from service_process import Service

KIB = 1 << 10
HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
SIGN_IN = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"
LAST = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

Pieces = Callable[[bytes], list[bytes]]


def connected(service: Service) -> socket.socket:
    url = urlsplit(service.endpoint)
    return socket.create_connection((url.hostname, url.port), timeout=30)


@pytest.fixture
def line(service: Service) -> socket.socket:
    return connected(service)


def all_of(line: socket.socket) -> bytes:
    """Return what comes until the service closes the connection."""
    with line:
        return b"".join(iter(lambda: line.recv(1 << 16), b""))


def test_a_client_that_sends_no_more_is_answered(line: socket.socket) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # the end comes in one packet with the request
    line.sendall(HEALTH)
    line.shutdown(socket.SHUT_WR)
    answer = all_of(line)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"}")


def test_requests_that_are_sent_ahead_are_answered_in_their_order(line: socket.socket) -> None:
    line.sendall(HEALTH + HEALTH.replace(b"/health", b"/nowhere") + HEALTH + LAST)
    answers = all_of(line).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200", b"200"]


def test_an_answer_comes_whole_in_one_piece(line: socket.socket) -> None:
    line.sendall(HEALTH)
    with line:
        head, _, body = line.recv(1 << 16).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    assert body


@pytest.mark.parametrize("sent", [HEALTH * 3, SIGN_IN], ids=["before an answer", "inside a body"])
def test_clients_that_go_away_disturb_nobody(service: Service, sent: bytes) -> None:
    for _ in range(50):
        line = connected(service)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
        line.sendall(sent)
        line.close()
    assert service.http("GET", "/health").status_code == 200
    assert service.logged_errors() == []


# What is no request


def health(*headers: bytes, query: bytes = b"") -> bytes:
    return LAST.replace(b"/health", b"/health" + query).replace(b"\r\n\r\n", b"\r\n" + b"".join(headers) + b"\r\n")


def headers(number: int, size: int) -> list[bytes]:
    """Return headers of so many bytes each, their ends included."""
    return [b"X-%02d: %s\r\n" % (n, b"x" * (size - 8)) for n in range(number)]


def in_pieces(head: bytes) -> list[bytes]:
    return [head[start : start + 10_000] for start in range(0, len(head), 10_000)]


def told(line: socket.socket, pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """Return the status and the head of the only answer, whose body is the gateway's unless all is well."""
    try:
        for piece in pieces:
            line.sendall(piece)
    except OSError:
        pass  # the service has heard enough
    head, _, body = all_of(line).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status != 200:
        answer = json.loads(body)
        assert answer.keys() == {"error_msg", "error_code", "request_id"}
        assert answer["error_code"] == "APIGW.0201"
        assert re.fullmatch(r"[0-9a-f]{32}", answer["request_id"])
        assert f"x-request-id: {answer['request_id']}".encode() in head
        assert b"content-type: application/json" in head
    return status, head


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\1\2\r\n\r\n", b"FETCH / HTTP/1.1\r\n\r\n", b"GET / HTTP/9\r\n\r\n",
        health(b"Content-Length: x\r\n"), health(b"a b: c\r\n"),
        health(b"Transfer-Encoding: chunked\r\n").replace(b"GET /health", b"POST /v3/auth/tokens") + b"zz\r\n",
        health(b"Upgrade: websocket\r\n", *headers(1, 9 * KIB)).replace(b"close", b"Upgrade"),
    ],
    ids=["garbage", "method", "version", "length", "header", "chunk", "websocket"],
)  # fmt: skip
def test_what_is_no_request_is_answered_in_the_gateways_envelope(line: socket.socket, sent: bytes) -> None:
    assert told(line, [sent])[0] == 400


@pytest.mark.parametrize("pieces", [lambda head: [head], in_pieces], ids=["whole", "in pieces"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (health(query=b"?" + b"x" * (31 * KIB)), 200), (health(query=b"?" + b"x" * (32 * KIB)), 414),
        (health(*headers(1, 32 * KIB)), 200), (health(*headers(1, 32 * KIB + 1)), 494),
        (health(*headers(12, 10 * KIB)), 200), (health(*headers(13, 10 * KIB)), 494),
    ],
    ids=["URI", "URI too large", "header", "header too large", "headers", "headers too large"],
)  # fmt: skip
def test_a_head_may_be_so_large_and_no_larger(line: socket.socket, pieces: Pieces, head: bytes, status: int) -> None:
    assert told(line, pieces(head))[0] == status


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"GET /", 414), (LAST[:-2] + b"X: ", 494),
        (b"POST /v3/auth/tokens HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: ", 494),
    ],
    ids=["URI", "header", "trailer"],
)  # fmt: skip
def test_a_head_that_never_ends_is_not_kept(line: socket.socket, beginning: bytes, status: int) -> None:
    assert told(line, [beginning, *[b"x" * (64 * KIB)] * 1000])[0] == status


def test_a_body_is_no_head_however_it_comes(service: Service, line: socket.socket) -> None:
    sign_in = SIGN_IN.partition(b"Content-Length")[0]
    line.sendall(sign_in + b"Content-Length: 1000000\r\n\r\n" + b" " * 1_000_000)
    line.sendall(sign_in + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n" + LAST)
    answers = all_of(line).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"400", b"400", b"200"]
    assert answers[0].count(b"not JSON") == answers[1].count(b"not JSON") == 1
    assert service.logged_errors() == []
