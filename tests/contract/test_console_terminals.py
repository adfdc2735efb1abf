"""The WebSockets of the web console: opened by the cookie of a session, from the console's own pages alone."""

import pytest
from people import PASSWORD, Person
from service_process import Service
from terminals import ending, read_until, refused, terminal

from browser import Browser, browser

KINDS = pytest.mark.parametrize("kind", ["screen", "serial"])


@pytest.fixture(scope="module")
def server(service: Service, image: str) -> str:
    return service.new_server(image, "seen-from-the-console")


def cookie(opened: Browser, **more: str) -> dict[str, str]:
    """Return the headers of a handshake as a browser sends them."""
    return {"Cookie": f"darkroom_session={opened.session}", **more}


def at(server: str, kind: str) -> str:
    return f"/console/servers/{server}/{kind}"


def test_a_session_opens_a_serial_console(service: Service, admin: Browser, server: str) -> None:
    headers = cookie(admin, Origin=service.endpoint)

    with terminal(service, at(server, "serial"), headers=headers) as line:
        line.send(b"echo by-cookie\r")
        read_until(line, b"\r\nby-cookie")


def test_a_session_opens_a_screen(service: Service, admin: Browser, server: str) -> None:
    with terminal(service, at(server, "screen"), headers=cookie(admin, Origin=service.endpoint)) as line:
        read_until(line, b"RFB 003.008\n")


@KINDS
def test_without_a_session_nothing_is_opened(service: Service, server: str, kind: str) -> None:
    assert refused(service, at(server, kind), headers={"Origin": service.endpoint})[1] == 401
    assert refused(service, at(server, kind), headers={"Cookie": "darkroom_session=MIIx"})[1] == 401


@KINDS
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_the_page_of_another_site_opens_nothing(
    service: Service, admin: Browser, server: str, kind: str, origin: str
) -> None:
    assert refused(service, at(server, kind), headers=cookie(admin, Origin=origin))[1] == 403


@KINDS
def test_who_may_only_look_opens_nothing_and_is_offered_nothing(service: Service, server: str, kind: str) -> None:
    reader = Person(service, "readonly", project=service.project_id)
    with browser(service.endpoint) as opened:
        opened.sign_in(service.credentials["account"], reader.name, PASSWORD)

        assert refused(service, at(server, kind), headers=cookie(opened))[1] == 403
        assert opened.get(at(server, kind)).status_code == 403
        assert at(server, kind) not in opened.page(f"/console/servers/{server}")


@KINDS
def test_what_is_not_there_opens_nothing(service: Service, admin: Browser, kind: str) -> None:
    assert refused(service, at("383721822891278336", kind), headers=cookie(admin))[1] == 404
    assert admin.get(at("383721822891278336", kind)).status_code == 404


def test_a_terminal_ends_with_its_session(service: Service, server: str) -> None:
    person = Person(service, "operator", project=service.project_id)
    with browser(service.endpoint) as opened:
        opened.sign_in(service.credentials["account"], person.name, PASSWORD)

        with terminal(service, at(server, "serial"), headers=cookie(opened)) as line:
            opened.submit("/console/sign-out", form="/console/project")

            assert ending(line)[0] == 1008


def test_the_pages_of_terminals_may_load_a_little_more_and_no_other_may(admin: Browser, server: str) -> None:
    screen, serial = (admin.get(at(server, kind)) for kind in ("screen", "serial"))

    assert "img-src 'self' data:;" in screen.headers["content-security-policy"]
    nonce = serial.text.partition('data-nonce="')[2].partition('"')[0]
    assert f"style-src 'self' 'nonce-{nonce}';" in serial.headers["content-security-policy"]
    assert "unsafe" not in serial.headers["content-security-policy"]
    assert nonce not in admin.page(at(server, "serial"))
