"""Chromium, and a service to look at with it."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from service_process import Service, served
from visits import EXPECTED, OpenPage, sign_in

#: The machine's own Chromium: Playwright cannot bring one everywhere.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Steps take long enough to be seen.
PACE = "boot=1,login=0.2,snapshot=0.2,generalise=0.2,flatten=1,delete=0.2,run=0.2"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is missing; make setup installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("console") / "data", durations=PACE) as service:
        yield service


@pytest.fixture(scope="session")
def image(service: Service) -> str:
    return service.add_image()


@pytest.fixture
def open_page(chromium: Browser, service: Service) -> Iterator[OpenPage]:
    """Open pages in windows of their own. At the end nothing must have been blocked, and no script have failed."""
    pages: list[Page] = []
    complaints: list[str] = []

    def open_one(path: str = "", *, at: Service = service, **how: Any) -> Page:
        """Return a window, and where a path is given a page of it, signed in."""
        context = chromium.new_context(base_url=at.endpoint, **{"locale": "en", **how})
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        pages.append(page)
        if path:
            sign_in(page, at, path)
        return page

    yield open_one
    for page in pages:
        page.context.close()
    assert [complaint for complaint in complaints if not complaint.startswith(EXPECTED)] == []


@pytest.fixture(scope="session")
def server(service: Service, image: str) -> str:
    """An image server with a build behind it, and a failed one beside it."""
    server = service.new_server(image, "shown")
    service.succeeded(service.build(server, "shown-image"))
    return server


@pytest.fixture(scope="session")
def failed(service: Service, image: str) -> str:
    service.fault("try_login", "failing", error="LoginFailed")
    job_id = service.create(image, "failing")
    service.ended(job_id)
    return job_id
