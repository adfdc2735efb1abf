"""The web console in a real browser."""

import re

from playwright.sync_api import expect
from service_process import Service
from visits import OpenPage, drawn, fill_in, paths, sign_in


def test_an_image_server_is_ordered_and_its_job_watched_to_the_end(open_page: OpenPage, image: str) -> None:
    page = open_page("/console/servers/new")
    page.fill("#name", "watched")
    page.get_by_role("button", name="Create").click()

    page.wait_for_url("**/console/jobs/*")
    expect(page.get_by_role("status")).to_have_text("Running")
    expect(page.get_by_text("Wait for the guest")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Succeeded")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    page.get_by_role("link", name="watched").click()
    expect(page.get_by_role("heading", name="watched")).to_be_visible()


def test_a_job_appears_in_the_list_by_itself(open_page: OpenPage, service: Service, image: str) -> None:
    page = open_page("/console/jobs")
    page.evaluate("window.same = true")

    job_id = service.create(image, "appears")

    row = page.locator(f"#job-{job_id}")
    expect(row).to_contain_text("Succeeded")
    assert page.evaluate("window.same")


def test_focus_stays_where_it_is_while_a_page_changes(open_page: OpenPage, service: Service, image: str) -> None:
    service.fault("await_guest", "focused", hang=True)
    job_id = service.create(image, "focused")
    page = open_page(f"/console/jobs/{job_id}")
    expect(page.get_by_text("Wait for the guest")).to_be_visible()
    page.get_by_role("link", name="focused").focus()

    service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel")
    service.faults.clear()

    expect(page.get_by_role("status")).to_have_text("Failed")
    expect(page.get_by_role("link", name="focused")).to_be_focused()


def test_a_job_is_cancelled_in_a_dialog_by_keyboard(open_page: OpenPage, service: Service, image: str) -> None:
    service.fault("await_guest", "cancelled", hang=True)
    page = open_page(f"/console/jobs/{service.create(image, 'cancelled')}")
    cancel = page.get_by_role("link", name="Cancel…")
    cancel.focus()

    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Cancel")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(cancel).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel the job")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_have_text("Failed")
    service.faults.clear()


def test_filters_change_the_list_and_the_address(open_page: OpenPage, server: str, failed: str) -> None:
    page = open_page("/console/jobs")

    page.get_by_label("State").select_option("FAILED")
    page.wait_for_url("**/console/jobs?status=FAILED*")
    expect(page.locator(f"#job-{failed}")).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True).locator("visible=true")).to_have_count(0)
    page.go_back()
    expect(page.get_by_text("Succeeded", exact=True).locator("visible=true").first).to_be_visible()


def test_mistakes_are_told_where_the_focus_is_and_lead_to_their_fields(open_page: OpenPage, image: str) -> None:
    page = open_page("/console/servers/new")
    page.fill("#name", "two words")
    page.fill("#account", "")

    page.get_by_role("button", name="Create").click()

    alert = page.get_by_role("alert")
    expect(alert).to_be_focused()
    expect(alert).to_contain_text("2 things must be corrected.")
    alert.get_by_role("link", name="Account").click()
    expect(page.locator("#account")).to_be_focused()
    expect(page.locator("#name")).to_have_value("two words")
    expect(page.locator("#name")).to_have_attribute("aria-invalid", "true")


def test_a_session_that_ends_on_the_way_leads_to_sign_in_and_back(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    page.route("**/live*", lambda route: route.fulfill(status=204))  # which would notice by itself
    sign_in(page, service, "/console/jobs?status=FAILED")

    page.context.clear_cookies(name="darkroom_session")
    page.get_by_label("Kind").select_option("DELETE_SERVER")

    page.wait_for_url(re.compile(r"/console/sign-in\?next="))
    fill_in(page, service)
    page.wait_for_url("**/console/jobs?status=FAILED")


def test_a_page_that_lives_notices_that_its_session_has_ended(open_page: OpenPage, service: Service) -> None:
    page, other = open_page("/console/jobs"), open_page("/console/project")
    other.context.add_cookies(page.context.cookies())
    other.reload()

    other.locator("summary").click()
    other.get_by_role("button", name="Sign out").click()

    page.wait_for_url(re.compile(r"/console/sign-in\?next="))


def test_times_are_those_of_the_browsers_zone(open_page: OpenPage, failed: str) -> None:
    here, there = (open_page(f"/console/jobs/{failed}", timezone_id=zone) for zone in ("Asia/Tokyo", "UTC"))

    first = "dl time >> nth=0"
    assert here.get_attribute(first, "datetime") == there.get_attribute(first, "datetime")
    assert here.inner_text(first) != there.inner_text(first)


def test_language_and_colours_are_switched(open_page: OpenPage) -> None:
    page = open_page("/console/jobs")

    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="任务")).to_be_visible()
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_role("button", name="深色").click()

    expect(page.get_by_role("button", name="深色")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light


def test_nothing_moves_where_less_motion_is_asked_for(open_page: OpenPage, service: Service, image: str) -> None:
    service.fault("await_guest", "still", hang=True)
    page = open_page(f"/console/jobs/{service.create(image, 'still')}", reduced_motion="reduce")

    busy = page.locator(".state.busy").first
    expect(busy).to_be_visible()
    assert busy.evaluate("element => getComputedStyle(element, '::before').animationName") == "none"
    service.faults.clear()


def test_no_page_scrolls_sideways_on_a_phone(open_page: OpenPage, service: Service, server: str, failed: str) -> None:
    page = open_page("/console/jobs", viewport={"width": 360, "height": 740})

    for path in paths(service, server, failed):
        page.goto(path)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, path


def test_all_but_terminals_works_without_javascript(open_page: OpenPage, service: Service, image: str) -> None:
    page = open_page("/console/servers/new", java_script_enabled=False)
    page.fill("#name", "plain")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/console/jobs/*")
    service.succeeded(page.url.rpartition("/")[2])
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Succeeded")

    page.get_by_role("link", name="plain").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete").click()

    page.wait_for_url("**/console/jobs/*")
    service.succeeded(page.url.rpartition("/")[2])


def test_what_is_typed_into_a_serial_console_comes_back(open_page: OpenPage, server: str) -> None:
    page = open_page(f"/console/servers/{server}/serial")
    expect(page.locator("#line")).to_have_text("Connected.")

    page.keyboard.type("echo from-the-browser\n")

    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("# echo from-the-browser")
    page.keyboard.press("Shift+Escape")
    expect(page.get_by_role("button", name="For screen readers")).to_be_focused()


def test_a_screen_is_drawn(open_page: OpenPage, server: str) -> None:
    page = open_page(f"/console/servers/{server}/screen")

    expect(page.locator("#line")).to_have_text("Connected.")
    drawn(page)
