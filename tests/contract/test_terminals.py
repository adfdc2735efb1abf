"""Screens and serial consoles as WebSockets, by a real client: who may open them, what passes, how they end."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from people import Person
from service_process import Service, Stranger, eventually
from terminals import ending, read_until, refused, signed, terminal, viewer_at

from darkroom.domain.ids import new_hex
from darkroom.drivers.simulated import SimulatedCompute, SimulatedImageStore
from rfb import colours

KINDS = ["screen", "serial"]
UNKNOWN = "912345678901234567"
PROMPT = b"watched:~# "


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    return service.new_server(image, "watched")


@pytest.fixture(scope="module")
def stranger(service: Service) -> Stranger:
    return service.add_stranger()


def path_of(service: Service, server_id: str, kind: str, project: str = "") -> str:
    return f"/v1/{project or service.project_id}/image-servers/{server_id}/{kind}"


# What passes


def test_what_is_typed_at_the_serial_console_is_echoed_and_answered(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        assert b"Booting watched" in read_until(line, PROMPT)
        line.send(b"echo some words\r")
        assert read_until(line, b"\n" + PROMPT) == b"echo some words\r\nsome words\r\n" + PROMPT


def test_a_mistake_is_taken_back_and_a_line_given_up(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        read_until(line, PROMPT)
        line.send(b"echo hop\x7f\x7fello\r")
        read_until(line, b"\nhello\r\n" + PROMPT)
        line.send(b"nonsense\x03")
        read_until(line, b"nonsense^C\r\n" + PROMPT)
        line.send(b"nonsense\r")
        read_until(line, b"sh: nonsense: not found\r\n" + PROMPT)


def test_two_viewers_of_a_console_see_what_each_of_them_types(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as first, terminal(service, f"{server}/serial") as second:
        read_until(first, PROMPT)
        read_until(second, PROMPT)
        first.send(b"echo from-the-first\r")
        read_until(second, b"\r\nfrom-the-first\r\n" + PROMPT)
        read_until(first, b"\r\nfrom-the-first\r\n" + PROMPT)
        second.send(b"echo from-the-second\r")
        read_until(first, b"\r\nfrom-the-second\r\n" + PROMPT)


def test_who_comes_later_is_told_what_was_written(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        read_until(line, PROMPT)
        line.send(b"echo remember-this\r")
        read_until(line, b"\nremember-this")
    with terminal(service, f"{server}/serial") as line:
        assert b"\r\nremember-this\r\n" in read_until(line, PROMPT)


def test_text_frames_are_taken_as_they_are_typed(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        read_until(line, PROMPT)
        line.send("echo grün\r")
        read_until(line, "\ngrün\r\n".encode())


def test_the_screen_is_seen_and_changes_when_it_is_used(service: Service, server: str) -> None:
    with terminal(service, f"{server}/screen") as line:
        viewer = viewer_at(line)
        assert viewer.greet() == (320, 200, "watched")
        ((*place, pixels),) = viewer.look()
        assert place == [0, 0, 320, 200]
        assert len(colours(pixels)) == 8
        viewer.click(100, 50)
        ((*place, pixels),) = viewer.look(incremental=True)
        assert (place, colours(pixels)) == ([100, 50, 8, 8], {b"\xff\xff\xff\x00"})
        viewer.press(ord("a"))
        ((*place, _),) = viewer.look(incremental=True)
        assert place == [0, 192, 8, 8]


def test_who_asks_for_changes_is_answered_once_there_are_some(service: Service, server: str) -> None:
    with terminal(service, f"{server}/screen") as line:
        viewer = viewer_at(line)
        viewer.greet()
        viewer.look()
        line.send(struct.pack(">BBHHHH", 3, 1, 0, 0, 320, 200))
        with pytest.raises(TimeoutError):
            line.recv(timeout=0.3)
        viewer.click(312, 196)
        assert viewer.need(16) == struct.pack(">BxH4Hi", 0, 1, 312, 196, 8, 4, 0)


def test_pixels_come_as_they_are_asked_for(service: Service, server: str) -> None:
    with terminal(service, f"{server}/screen") as line:
        viewer = viewer_at(line)
        viewer.greet()
        viewer.pixels_as(16, struct.pack(">BBBHHHBBB3x", 16, 1, 1, 31, 63, 31, 11, 5, 0))
        line.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 80, 1))
        viewer.need(16)
        assert viewer.need(160) == b"\xff\xff" * 40 + b"\xff\xe0" * 40  # white, then red and green together


@pytest.mark.parametrize("kind", KINDS)
def test_the_subprotocol_of_older_viewers_is_accepted(service: Service, server: str, kind: str) -> None:
    with terminal(service, f"{server}/{kind}", subprotocols=["base64", "binary"]) as line:
        assert line.subprotocol == "binary"
    with terminal(service, f"{server}/{kind}") as line:
        assert line.subprotocol is None
        assert len(line.response.headers["x-request-id"]) == 32
        assert "sec-websocket-extensions" not in line.response.headers


def test_a_machine_that_boots_is_seen_to_do_so(new_service: Callable[..., Service]) -> None:
    service = new_service(durations="boot=600")
    job = service.create(service.add_image(), "slow")
    server = service.server_of(job)
    eventually(lambda: service.machines(), "the machine is there")
    with terminal(service, f"{server}/serial") as line:
        assert b"Booting slow" in bytes(line.recv())
        line.send(b"is anybody there\r")  # nobody heeds it yet
        with pytest.raises(TimeoutError):
            line.recv(timeout=0.3)


def test_a_picture_of_the_screen_is_taken(service: Service, server: str) -> None:
    answer = service.ask("GET", f"image-servers/{server}/screenshot")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    assert struct.unpack(">8s4x4sII", answer.content[:24]) == (b"\x89PNG\r\n\x1a\n", b"IHDR", 320, 200)


# Who may


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_opens_as_a_signature_does(service: Service, server: str, kind: str) -> None:
    token = Person(service, "operator").token()
    with terminal(service, f"{server}/{kind}", headers={"X-Auth-Token": token}) as line:
        assert line.recv()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "MIIwrong"}, {"Authorization": "SDK-HMAC-SHA256 nonsense"}])
def test_without_a_valid_sign_in_nothing_is_opened(
    service: Service, server: str, kind: str, headers: dict[str, str]
) -> None:
    told, status, body = refused(service, f"{server}/{kind}", headers=headers)
    assert (status, body["error_code"]) == (401, "APIGW.0301")
    assert body["request_id"] == told["x-request-id"]
    assert told["content-type"] == "application/json"


def test_a_signature_of_another_path_opens_nothing(service: Service, server: str) -> None:
    headers = signed(service, path_of(service, server, "screen"))
    _, status, body = refused(service, f"{server}/serial", headers=headers)
    assert (status, body["error_code"]) == (401, "APIGW.0301")
    assert "verify aksk signature fail" in body["error_msg"]


@pytest.mark.parametrize("kind", KINDS)
def test_looking_is_not_using(service: Service, server: str, kind: str) -> None:
    token = Person(service, "readonly").token()
    _, status, body = refused(service, f"{server}/{kind}", headers={"X-Auth-Token": token})
    assert (status, body["error_code"]) == (403, "WKS.00081102")
    assert "workspace:imageServer:openConsole" in body["error_msg"]


@pytest.mark.parametrize("kind", KINDS)
def test_another_projects_server_is_not_found(service: Service, server: str, stranger: Stranger, kind: str) -> None:
    path = path_of(service, server, kind, stranger.project_id)
    key = stranger.signature._access, stranger.signature._secret
    _, status, body = refused(service, path, headers=signed(service, path, key=key, project=stranger.project_id))
    assert (status, body["error_code"]) == (404, "WKS.00129901")
    unknown = refused(service, path_of(service, UNKNOWN, kind))
    assert unknown[1:] == (status, {**body, "error_msg": body["error_msg"].replace(server, UNKNOWN)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_request_is_told_what_it_should_be(service: Service, server: str, kind: str) -> None:
    answer = service.ask("GET", f"image-servers/{server}/{kind}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "WKS.00211102")
    assert "WebSocket" in answer.json()["error_msg"]


def test_a_websocket_to_where_there_is_none_is_told_so(service: Service, server: str) -> None:
    for path in (f"{server}/keyboard", "/", f"/v1/{service.project_id}/image-servers"):
        told, status, body = refused(service, path)
        assert (status, body["error_code"]) == (404, "APIGW.0101")
        assert body["request_id"] == told["x-request-id"]


# When


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_that_does_not_run_has_no_terminals(service: Service, image: str, kind: str) -> None:
    server = service.new_server(image, f"off-{kind}")
    compute = SimulatedCompute(service.data, SimulatedImageStore(service.data))
    compute.switch_off(server)
    _, status, body = refused(service, f"{server}/{kind}")
    assert (status, body["error_code"]) == (400, "WKS.00211102")
    assert "does not run: it was switched off" in body["error_msg"]
    picture = service.ask("GET", f"image-servers/{server}/screenshot")
    assert (picture.status_code, picture.json()) == (400, body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_a_machine_has_no_terminals(service: Service, image: str, kind: str) -> None:
    name = f"stillborn-{kind}"
    service.fault("create", name, error="MachineFailed")
    server = service.server_of(job := service.create(image, name))
    assert service.ended(job)["status"] == "FAILED"
    _, status, body = refused(service, f"{server}/{kind}")
    assert (status, body["error_code"]) == (400, "WKS.00211102")
    assert "has no machine on this host" in body["error_msg"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_that_ended_just_now_is_told_of_alike(service: Service, image: str, kind: str) -> None:
    server = service.new_server(image, f"gone-{kind}")
    service.fault(f"connect_{kind}", server, error="MachineFailed", message="It has just ended.", times=1)
    _, status, body = refused(service, f"{server}/{kind}")
    assert (status, body) == (400, {"error_code": "WKS.00211102", "error_msg": "It has just ended."})


# How they end


@pytest.mark.parametrize("kind", KINDS)
def test_a_terminal_ends_when_its_server_is_deleted(service: Service, image: str, kind: str) -> None:
    server = service.new_server(image, f"short-lived-{kind}")
    with terminal(service, f"{server}/{kind}") as line:
        line.recv()
        service.succeeded(service.delete(server))
        # Whichever is seen first: the end of the machine, or that of its record.
        assert ending(line) in (
            (1000, "The machine has ended the connection."),
            (1008, f"The image server {server} does not exist."),
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_terminal_does_not_outlast_the_wish_to_delete_its_server(
    new_service: Callable[..., Service], kind: str
) -> None:
    service = new_service(durations="boot=0,login=0,delete=600")
    server = service.new_server(service.add_image(), "condemned")
    with terminal(service, f"{server}/{kind}") as line:
        line.recv()
        service.delete(server)
        code, reason = ending(line)
        assert code == 1008
        assert reason.startswith(f"To open a screen or console of the image server {server} it must be ACTIVE")
    _, status, body = refused(service, f"{server}/{kind}")
    assert (status, body["error_code"]) == (400, "WKS.00211102")
    assert "DELETING" in body["error_msg"]


def test_a_terminal_ends_with_its_token(service: Service, server: str) -> None:
    person = Person(service, "operator")
    token = person.token()
    with terminal(service, f"{server}/serial", headers={"X-Auth-Token": token}) as line:
        read_until(line, PROMPT)
        revoked = service.http("DELETE", "/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})
        assert revoked.status_code == 204
        code, reason = ending(line)
        assert code == 1008
        assert "revoked" in reason


def test_a_terminal_ends_with_its_key(service: Service, server: str) -> None:
    access, secret = service.add_key()
    headers = signed(service, path_of(service, server, "serial"), key=(access, secret))
    with terminal(service, f"{server}/serial", headers=headers) as line:
        read_until(line, PROMPT)
        gone = service.ask("DELETE", f"/v3.0/OS-CREDENTIAL/credentials/{access}")
        assert gone.status_code == 204
        assert ending(line)[0] == 1008


def test_garbage_ends_a_screen_and_nothing_else(service: Service, server: str) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"RFB 003.008\n\x07", b"RFB 003.008\n\x01\x01\xff", new_hex().encode()):
        with terminal(service, f"{server}/screen") as line:
            line.send(garbage)
            assert ending(line) == (1000, "The machine has ended the connection.")
    with terminal(service, f"{server}/screen") as line:
        viewer_at(line).greet()


def test_garbage_at_the_console_is_only_typed(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        read_until(line, PROMPT)
        line.send(bytes(range(256)) * 64)
        line.send(b"\x03echo still-there\r")
        read_until(line, b"\nstill-there\r\n")


def test_a_message_that_is_too_long_ends_the_terminal(service: Service, server: str) -> None:
    with terminal(service, f"{server}/serial") as line:
        read_until(line, PROMPT)
        line.send(bytes((1 << 20) + 1))
        assert ending(line)[0] == 1009


@contextmanager
def slow_reader(service: Service, server: str) -> Iterator[socket.socket]:
    """A viewer that asks for pictures and never reads one, until its line is full."""
    path = path_of(service, server, "screen")
    host, port = service.endpoint.removeprefix("http://").rsplit(":", 1)
    headers = signed(service, path) | {
        "Host": f"{host}:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    }  # fmt: skip
    with socket.create_connection((host, int(port))) as line:
        line.settimeout(30)
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line.sendall(f"GET {path} HTTP/1.1\r\n{told}\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 101"
        asks = struct.pack(">BBHHHH", 3, 0, 0, 0, 320, 200) * 1000
        line.settimeout(2)
        line.sendall(_frame(b"RFB 003.008\n\x01\x01"))
        with suppress(TimeoutError):  # 250 KB of picture for ten bytes: the other side soon takes no more
            while True:
                line.sendall(_frame(asks))
        yield line


def _frame(data: bytes) -> bytes:
    """Return a masked binary frame (RFC 6455, section 5.2); a mask of zeros leaves the data as they are."""
    return b"\x82\xfe" + struct.pack(">H", len(data)) + bytes(4) + data


def test_a_slow_reader_is_waited_for_and_costs_little(service: Service, server: str) -> None:
    before = _memory(service)
    with ExitStack() as open_lines:
        for _ in range(4):
            open_lines.enter_context(slow_reader(service, server))
        assert _memory(service) - before < 32 << 20
        with terminal(service, f"{server}/screen") as line:  # nobody else waits
            assert len(viewer_at(line).need(12)) == 12


def test_a_service_that_stops_ends_its_terminals(new_service: Callable[..., Service]) -> None:
    service = new_service()
    server = service.new_server(service.add_image(), "watched")
    endings: list[tuple[int, str]] = []
    with ExitStack() as stack:
        lines = [stack.enter_context(terminal(service, f"{server}/{kind}")) for kind in KINDS]
        stack.enter_context(slow_reader(service, server))
        waiting = [threading.Thread(target=lambda line=line: endings.append(ending(line))) for line in lines]
        for thread in waiting:
            thread.start()
        service.stop_cleanly()
        for thread in waiting:
            thread.join()
    assert endings == [(1012, ""), (1012, "")]
    assert not service.logged_errors()


def _memory(service: Service) -> int:
    """Return the bytes of memory that the service's process has."""
    assert service.process is not None
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * 4096
