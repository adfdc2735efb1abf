"""Who may do what at the console: signing in and out, sessions, foreign requests, roles, and headers of answers."""

from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import quote

import httpx2
import pytest
from people import PASSWORD, Person, new_account, new_project
from service_process import Service, nothing_changes

from browser import Browser, browser, hidden, words
from darkroom.console.headers import policy
from darkroom.domain.ids import new_hex

JOBS = "/console/jobs"


@pytest.fixture
def guest(service: Service) -> Iterator[Browser]:
    with browser(service.endpoint) as opened:
        yield opened


def signed_in(opened: Browser, person: Person) -> str:
    """Sign a user in, and return the session."""
    answer = opened.sign_in(person.service.credentials["account"], person.name, PASSWORD)
    assert answer.status_code == 303, words(answer.text)
    return opened.session


def leads_to_sign_in(answer: httpx2.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in")


# Signing in and out


def test_the_cookie_of_a_session_is_out_of_reach_for_scripts_and_other_sites(admin: Browser, service: Service) -> None:
    answer = admin.sign_in(*(service.credentials[name] for name in ("account", "user", "password")))

    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/console" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_sent_over_https_alone(guest: Browser, service: Service) -> None:
    fields = {name: service.credentials[name] for name in ("account", "user", "password")}

    answer = guest.post("/console/sign-in", fields, **{"X-Forwarded-Proto": "https"})

    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("wrong", ["account", "user", "password"])
def test_a_wrong_sign_in_is_refused_without_saying_what_is_wrong(guest: Browser, service: Service, wrong: str) -> None:
    fields = {name: service.credentials[name] for name in ("account", "user", "password")} | {wrong: "<i>wrong</i>"}

    answer = guest.post("/console/sign-in", fields)

    assert answer.status_code == 401
    assert "Account, user or password is wrong." in words(answer.text)
    assert "set-cookie" not in answer.headers
    assert "<i>wrong" not in answer.text


@pytest.mark.parametrize("path", ["/console", JOBS, f"{JOBS}?status=FAILED&page=2", "/console/servers/1/delete"])
def test_who_is_not_signed_in_is_led_there_and_back(guest: Browser, service: Service, path: str) -> None:
    answer = guest.get(path)

    assert answer.headers["location"] == f"/console/sign-in?next={quote(path)}"
    page = guest.page(answer.headers["location"])
    fields = {name: service.credentials[name] for name in ("account", "user", "password")}
    assert guest.post("/console/sign-in", {**hidden(page), **fields}).headers["location"] == path


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/v1/jobs", "/console\\..\\x", "/console/sign-in"],
)
def test_signing_in_leads_nowhere_but_into_the_console(guest: Browser, service: Service, elsewhere: str) -> None:
    fields = {name: service.credentials[name] for name in ("account", "user", "password")}

    answer = guest.post("/console/sign-in", {**fields, "next": elsewhere})

    assert answer.headers["location"] == "/console"


def test_signing_out_ends_the_session_wherever_it_is_known(admin: Browser, service: Service) -> None:
    session = admin.session

    answer = admin.submit("/console/sign-out", form="/console/project")

    assert leads_to_sign_in(answer)
    assert not admin.session
    with browser(service.endpoint, Cookie=f"darkroom_session={session}") as thief:
        assert leads_to_sign_in(thief.get(JOBS))


def test_a_new_password_ends_the_session(guest: Browser, service: Service) -> None:
    person = Person(service, "operator", project=service.project_id)
    signed_in(guest, person)
    assert guest.get(JOBS).status_code == 200

    person.change(password="another password")

    assert leads_to_sign_in(guest.get(JOBS))


def test_a_part_of_a_page_whose_session_has_ended_sends_its_page_to_sign_in(guest: Browser, service: Service) -> None:
    here = {"HX-Request": "true", "HX-Current-URL": f"{service.endpoint}{JOBS}?status=FAILED"}

    answer = guest.get(f"{JOBS}/live", **here)

    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == f"/console/sign-in?next={quote(JOBS + '?status=FAILED')}"


def test_a_stream_tells_when_its_session_ends(guest: Browser, service: Service) -> None:
    person = Person(service, "operator", project=service.project_id)
    signed_in(guest, person)

    with guest.client.stream("GET", f"{JOBS}/live") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("data: "))
        person.change(enabled=False)
        assert next(line for line in lines if line == "event: signed-out")


def test_a_stream_ends_with_the_right_to_what_it_shows(guest: Browser, service: Service) -> None:
    blind = f"blind-{new_hex()}"
    role = {"name": blind, "actions": ["workspace:images:*"]}
    assert service.ask("POST", "/v3/roles", {"role": role}).status_code == 201
    person = Person(service, "readonly", blind, project=service.project_id)
    signed_in(guest, person)

    with guest.client.stream("GET", "/console/servers/live") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("data: "))
        assert service.ask("DELETE", person.grant("readonly", service.project_id)).status_code == 204
        assert "event: end" in islice((line for line in lines if not line.startswith("data: <")), 60)


# Projects


def test_who_has_several_projects_chooses_one(guest: Browser, service: Service) -> None:
    first, second = new_project(service), new_project(service)
    person = Person(service, "operator", project=first)
    assert service.ask("PUT", person.grant("operator", second)).status_code == 204
    signed_in(guest, person)
    assert guest.get(JOBS).headers["location"] == "/console/project"
    before = guest.session

    answer = guest.submit("/console/project", {"project": second})

    assert answer.headers["location"] == "/console"
    assert guest.get(JOBS).status_code == 200
    assert "You are here" in guest.text("/console/project")
    guest.submit("/console/sign-out", form="/console/project")
    with browser(service.endpoint, Cookie=f"darkroom_session={before}") as thief:
        assert leads_to_sign_in(thief.get("/console/project"))


def test_a_project_that_is_not_ones_own_cannot_be_chosen(guest: Browser, service: Service) -> None:
    first, second = new_project(service), new_project(service)
    person = Person(service, "operator", project=first)
    assert service.ask("PUT", person.grant("operator", second)).status_code == 204
    signed_in(guest, person)

    refused = guest.submit("/console/project", {"project": service.project_id})

    assert refused.status_code == 403


def test_who_has_no_project_is_told_so(guest: Browser, service: Service) -> None:
    signed_in(guest, Person(service))

    assert guest.get(JOBS).headers["location"] == "/console/project"
    assert "You have no role in any project." in guest.text("/console/project")


def test_what_is_another_projects_is_not_there(guest: Browser, service: Service, image: str) -> None:
    job_id = service.create(image, "not-yours")
    server = service.server_of(job_id)
    service.succeeded(job_id)
    account, project = new_account(service)
    stranger = Person(service, "te_admin", project=project, account=account)
    account_name = service.get(f"/v3/domains/{account}")["domain"]["name"]
    assert guest.sign_in(account_name, stranger.name, PASSWORD).status_code == 303

    for path in (
        f"jobs/{job_id}",
        f"servers/{server}",
        f"images/{image}",
        f"images/{image}/file",
        f"jobs/{job_id}/live",
    ):
        assert guest.get(f"/console/{path}").status_code == 404, path
    assert "not-yours" not in guest.page("/console/servers")
    for path in (f"jobs/{job_id}/cancel", f"servers/{server}/delete", f"images/{image}/delete"):
        assert guest.submit(f"/console/{path}", form="/console/project").status_code == 404, path


# Foreign requests


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_request_from_another_site_is_refused_even_with_all_that_it_needs(
    admin: Browser, service: Service, image: str, headers: dict[str, str]
) -> None:
    fields = hidden(admin.page(f"/console/images/{image}/delete"))

    with nothing_changes(service):
        answer = admin.post(f"/console/images/{image}/delete", fields, **headers)

    assert answer.status_code == 403


@pytest.mark.parametrize("token", [None, "", "0" * 64, "中"])
def test_a_form_without_the_sessions_token_is_refused(
    admin: Browser, service: Service, image: str, token: str | None
) -> None:
    with nothing_changes(service):
        answer = admin.post(f"/console/images/{image}/delete", {} if token is None else {"csrf": token})

    assert answer.status_code == 403
    assert "Load the page anew" in words(answer.text)


def test_the_token_of_another_session_is_refused(admin: Browser, guest: Browser, service: Service, image: str) -> None:
    signed_in(guest, Person(service, "operator", project=service.project_id))
    other = hidden(guest.page("/console/servers/new"))["csrf"]

    assert admin.post(f"/console/images/{image}/delete", {"csrf": other}).status_code == 403


def test_the_token_may_come_in_a_header(admin: Browser, service: Service) -> None:
    added = service.add_image()
    token = hidden(admin.page(f"/console/images/{added}/delete"))["csrf"]

    answer = admin.post(f"/console/images/{added}/delete", {}, **{"X-CSRF-Token": token, "Origin": service.endpoint})

    assert answer.headers["location"] == "/console/images"


def test_another_site_cannot_sign_anybody_in(guest: Browser, service: Service) -> None:
    fields = {name: service.credentials[name] for name in ("account", "user", "password")}

    answer = guest.post("/console/sign-in", fields, **{"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert not guest.session


@pytest.mark.parametrize("body", [b"a=%00", b"a=\xff", b"&".join(b"a=1" for _ in range(301))])
def test_what_is_no_form_is_refused(admin: Browser, body: bytes) -> None:
    answer = admin.client.post("/console/images/x/delete", content=body)

    assert answer.status_code in (400, 413)


# Roles


def test_a_reader_sees_and_changes_nothing(guest: Browser, service: Service, image: str) -> None:
    server = service.new_server(image, "read-only")
    signed_in(guest, Person(service, "readonly", project=service.project_id))

    assert "Create an image server" not in guest.text("/console/servers")
    page = guest.text(f"/console/servers/{server}")
    assert "darkroom servers ssh" not in page
    assert page.count("Your roles do not allow this.") == 2
    assert "Delete…" not in guest.text(f"/console/images/{image}")
    with nothing_changes(service):
        for path in (f"/console/servers/{server}/delete", f"/console/images/{image}/delete"):
            answer = guest.submit(path)
            assert answer.status_code == 403
            assert "Your roles do not allow" in words(answer.text)


def test_who_asks_too_often_is_told_so_on_a_page(new_service: Callable[..., Service]) -> None:
    service = new_service(settings={"DARKROOM_THROTTLE_READS": "2"})
    with browser(service.endpoint) as opened:
        opened.sign_in(*(service.credentials[name] for name in ("account", "user", "password")))

        answers = [opened.get(JOBS) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Wait a minute" in words(answers[2].text)


# Headers


@pytest.mark.parametrize(
    "path",
    [
        "/console",
        "/console/sign-in",
        "/console/jobs",
        "/console/jobs?page=x",
        "/console/servers/new",
        "/console/nothing",
        "/console/static/console.css",
        "/console/static/console.js",
        "/console/static/vendor/htmx/htmx.js",
    ],
)
def test_every_answer_says_what_its_page_may_load(admin: Browser, path: str) -> None:
    headers = admin.get(path).headers

    assert headers["content-security-policy"] == policy()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


def test_the_policy_allows_nothing_inside_of_pages_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in policy()
    assert "http" not in policy()
    assert policy().startswith("default-src 'none';")


def test_no_page_has_scripts_or_styles_inside(admin: Browser) -> None:
    for path in ("sign-in", "jobs", "servers", "servers/new", "images", "apps", "project", "nothing"):
        page = admin.get(f"/console/{path}").text
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert all("src=" in script for script in page.split("<script")[1:])


# Languages and colours


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("en;q=0.3, zh;q=0.8", "zh-Hans"),
        ("de, en;q=0.5, zh;q=0.2", "en"),
        ("fr", "en"),
        ("zh;q=nonsense", "en"),
        ("", "en"),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_accepts(guest: Browser, accepted: str, language: str) -> None:
    page = guest.get("/console/sign-in", **{"Accept-Language": accepted}).text

    assert f'<html lang="{language}"' in page
    assert ("登录" in page) == (language == "zh-Hans")


def test_language_and_colours_are_switched_and_remembered(admin: Browser) -> None:
    answer = admin.post("/console/preferences", {"language": "zh-Hans", "back": "/console/servers?name=a"})
    assert answer.headers["location"] == "/console/servers?name=a"
    admin.post("/console/preferences", {"theme": "dark", "back": "https://evil.example"})

    page = admin.page("/console/servers")

    assert '<html lang="zh-Hans" data-theme="dark">' in page
    assert "镜像实例" in page


@pytest.mark.parametrize("fields", [{"language": "xx"}, {"theme": "pink"}, {}])
def test_a_switch_to_what_there_is_not_changes_nothing(guest: Browser, fields: dict[str, str]) -> None:
    answer = guest.post("/console/preferences", fields)

    assert answer.headers["location"] == "/console"
    assert "set-cookie" not in answer.headers
