"""Chromium, and a service to look at with it."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from service_process import Service

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
#: What a browser says of answers that tests ask for.
EXPECTED = ("Failed to load resource", "WebSocket connection")

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is missing; make setup installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("console") / "data", durations=PACE)
    try:
        service.start()
        yield service
        service.stop_cleanly()
        assert not service.logged_errors()
    finally:
        service.end()


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


def sign_in(page: Page, service: Service, path: str) -> None:
    """Ask for a page and sign in on the way to it."""
    page.goto(path)
    fill_in(page, service)
    page.wait_for_url(f"**{path}")


def fill_in(page: Page, service: Service) -> None:
    """Fill in the sign-in page, and send it."""
    for name in ("account", "user", "password"):
        page.fill(f"#{name}", service.credentials[name])
    page.click("form[action='/console/sign-in'] button")
