"""Requests to addresses that callers named: where they may lead, and what is made of every answer."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from darkroom.drivers import outbound
from darkroom.drivers.outbound import Answer, Outbound, Undeliverable
from receiver import Receiver, receiving


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path) as receiver:
        yield receiver


def post(url: str, *, private: bool = True) -> Answer:
    async def send() -> Answer:
        sender = Outbound(private_addresses=private)
        try:
            return await sender.post(url, {"Webhook-Id": "msg_1"}, b"{}")
        finally:
            await sender.close()

    return asyncio.run(send())


def names(monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> list[str]:
    """Have names stand for addresses; return what was looked up, as it grows."""
    looked_up: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", getaddrinfo)
    return looked_up


PRIVATE = [
    "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "::127.0.0.1", "::1.1.1.1",
    "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    url = f"http://[{address}]:9/" if ":" in address else f"http://{address}:9/"
    with pytest.raises(Undeliverable, match="not public"):
        post(url, private=False)
    assert not Outbound(private_addresses=False).may_reach(address)
    assert Outbound(private_addresses=True).may_reach(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "example.org"])
def test_public_addresses_and_names_may_be_reached(address: str) -> None:
    assert Outbound(private_addresses=False).may_reach(address)


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "127.1", "localhost", "017700000001"])
def test_other_spellings_of_loopback_are_seen_through(receiver: Receiver, spelling: str) -> None:
    port = receiver.url.rpartition(":")[2]
    with pytest.raises(Undeliverable, match="not public"):
        post(f"http://{spelling}:{port}/ok", private=False)
    assert receiver.requests("/ok") == []
    assert post(f"http://{spelling}:{port}/ok").status == 204


def test_the_connection_is_made_to_the_address_that_was_judged(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once: what it stands for the next moment (DNS rebinding) is never asked."""
    looked_up = names(monkeypatch, receiver=["127.0.0.1"], rebound=["192.0.2.1"])
    port = receiver.url.rpartition(":")[2]
    assert post(f"http://receiver:{port}/ok").status == 204
    assert looked_up.count("receiver") == 1
    assert receiver.requests("/ok")[0]["headers"]["host"] == f"receiver:{port}"
    with pytest.raises(Undeliverable, match="not public"):
        post(f"http://receiver:{port}/ok", private=False)
    assert len(receiver.requests("/ok")) == 1


def test_of_several_addresses_only_those_that_are_allowed_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, mixed=["10.0.0.1", "1.1.1.1", "127.0.0.1", "1.1.1.1"])

    async def usable() -> list[Any]:
        return await Outbound(private_addresses=False)._addresses(outbound.httpx2.URL("http://mixed/"))

    assert asyncio.run(usable()) == [ip_address("1.1.1.1")]


def test_the_next_address_is_tried_where_one_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, two=["127.0.0.2", "127.0.0.1"])
    assert post(f"http://two:{receiver.url.rpartition(':')[2]}/ok").status == 204


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch)
    with pytest.raises(Undeliverable, match="The name nowhere is not found"):
        post("http://nowhere/")


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    assert post(f"{receiver.url}/redirect").status == 307
    assert receiver.requests("/ok") == []


def test_cookies_of_one_receiver_are_sent_neither_to_it_nor_to_another(receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]

    async def send() -> None:
        sender = Outbound(private_addresses=True)
        for url in (f"{receiver.url}/cookie", f"{receiver.url}/ok", f"http://localhost:{port}/ok"):
            await sender.post(url, {"Webhook-Id": "msg_1"}, b"{}")
        await sender.close()

    asyncio.run(send())
    assert ["cookie" in request["headers"] for request in receiver.requests("/ok")] == [False, False]


def test_of_a_long_answer_only_the_beginning_is_kept(receiver: Receiver) -> None:
    assert post(f"{receiver.url}/large") == (200, "x" * outbound.PREFIX)


def test_who_hangs_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "PATIENCE", 0.3)
    with pytest.raises(Undeliverable, match=r"no answer within 0\.3 seconds"):
        post(f"{receiver.url}/hang")


@pytest.mark.parametrize("path", ["/close"])
def test_who_closes_the_connection_has_not_answered(receiver: Receiver, path: str) -> None:
    with pytest.raises(Undeliverable, match="The request failed: "):
        post(f"{receiver.url}{path}")


def test_a_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert post(f"{receiver.url}/ok").status == 204


@contextmanager
def tls_receiver(folder: Path, name: str) -> Iterator[int]:
    """Run a receiver with a certificate for that name, made by itself; yield its port."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_must_be_the_names_and_of_somebody_who_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, receiver=["127.0.0.1"], another=["127.0.0.1"])
    with tls_receiver(tmp_path, "receiver") as port:
        with pytest.raises(Undeliverable, match="certificate"):
            post(f"https://receiver:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
        assert post(f"https://receiver:{port}/").status == 204
        with pytest.raises(Undeliverable, match="another"):
            post(f"https://another:{port}/")
