"""The web console over real machines: one image server from its order to its image, and one that fails."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from service_process import Service
from visits import OpenPage, drawn

from darkroom.guests import Kit

pytestmark = pytest.mark.qemu

#: Milliseconds that a job on real machines may take on a slow host without KVM.
PATIENCE = 400_000


@pytest.fixture(scope="module")
def real(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over real machines, with the tiny image."""
    settings = {"DARKROOM_DRIVER": "qemu", "DARKROOM_KIT": str(kit.tiny.parent)}
    service = Service(tmp_path_factory.mktemp("real") / "data", settings=settings)
    try:
        service.start()
        service.add_image(kit.tiny.read_bytes())
        yield service
        ids = [server["id"] for server in service.get("image-servers")["items"]]
        service.succeeded(service.delete(*ids))
        service.stop_cleanly()
    finally:
        service.end()


def order(page: Page, name: str, account: str = "builder") -> None:
    page.goto("/console/servers/new")
    page.fill("#name", name)
    page.fill("#account", account)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/console/jobs/*")


def ends(page: Page, how: str) -> None:
    expect(page.get_by_role("status")).to_have_text(how, timeout=PATIENCE)


def test_a_machine_is_made_typed_at_looked_at_and_made_an_image_of(open_page: OpenPage, real: Service) -> None:
    page = open_page("/console/servers", at=real)
    order(page, "real")
    expect(page.locator(".bar.busy")).to_be_visible()
    ends(page, "Succeeded")
    page.get_by_role("link", name="real").click()
    page.wait_for_url("**/console/servers/*")
    server = page.url

    log_in(page, server, real)
    page.keyboard.type("echo forty-$((20+22))\n")
    expect(page.locator(".xterm-rows")).to_contain_text("forty-42")

    page.goto(f"{server}/screen")
    expect(page.locator("#line")).to_have_text("Connected.")
    drawn(page)

    page.goto(f"{server}/build")
    page.fill("#name", "golden")
    page.get_by_role("button", name="Build").click()
    page.wait_for_url("**/console/jobs/*")
    ends(page, "Succeeded")

    page.goto("/console/images")
    expect(page.locator(".tree ul ul").get_by_role("link", name="golden")).to_be_visible()


def log_in(page: Page, server: str, service: Service) -> None:
    """Log in at the serial console."""
    access = service.get(f"image-servers/{server.rpartition('/')[2]}/access")
    rows = page.locator(".xterm-rows")
    page.goto(f"{server}/serial")
    expect(page.locator("#line")).to_have_text("Connected.")
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("login:", timeout=60_000)
    page.keyboard.type(f"{access['account']}\n")
    expect(rows).to_contain_text("Password:")
    page.keyboard.type(f"{access['password']}\n")
    expect(rows).to_contain_text("$ ", timeout=60_000)


def test_a_failure_is_shown_with_the_sight_of_the_machine(open_page: OpenPage, real: Service) -> None:
    page = open_page("/console/servers", at=real)

    order(page, "refused", account="root")

    ends(page, "Failed")
    expect(page.get_by_text("What the machine showed")).to_be_visible()
    expect(page.locator("pre.console")).to_contain_text("login")
    page.wait_for_function("document.querySelector('.shot img').naturalWidth > 0")


def test_a_job_that_boots_a_machine_is_cancelled(open_page: OpenPage, real: Service) -> None:
    page = open_page("/console/servers", at=real)
    order(page, "unwanted")
    expect(page.get_by_text("Wait for the guest")).to_be_visible()

    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the job").click()

    ends(page, "Failed")
    expect(page.get_by_text("The job was cancelled.")).to_be_visible()
