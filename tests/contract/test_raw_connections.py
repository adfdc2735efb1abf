"""HTTP as no library speaks it: clients that stop sending, send ahead, or go away."""

import socket
import struct
from urllib.parse import urlsplit

import pytest
from service_process import Service

HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
SIGN_IN = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"
LAST = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


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
