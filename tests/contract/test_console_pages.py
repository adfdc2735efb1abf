"""The web console as a browser meets it: pages, forms and lists."""

import re
from typing import Any

import pytest
from service_process import Service, nothing_changes

from browser import Browser, browser, hidden, words
from darkroom.domain.apps import AppKind, AppRecord
from darkroom.domain.ids import AppId, ImageId, ProjectId, RecordId, new_uuid
from darkroom.domain.images import Image
from darkroom.store.transaction import Transaction

JOB = re.compile(r"/console/jobs/(\d+)$")
HOSTILE = "<script>alert(1)</script>"


def job_of(answer: Any) -> str:
    """Return the job whose page an answer leads to."""
    assert answer.status_code == 303, words(answer.text)
    found = JOB.search(answer.headers["location"])
    assert found, answer.headers["location"]
    return found[1]


def order(image_id: str, **changes: Any) -> dict[str, Any]:
    """Return the fields by which an image server is ordered."""
    return {
        "name": "from-the-console",
        "description": "",
        "image": image_id,
        "flavour": "darkroom.tiny",
        "disk": "80",
        "volume_type": "SAS",
        "account": "builder",
        "vpc": "default",
        "subnet": "default",
        **changes,
    }


# Ways in


def test_browsers_are_led_from_the_root_to_the_console_and_others_find_the_versions(service: Service) -> None:
    with browser(service.endpoint) as opened:
        answer = opened.get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert service.http("GET", "/").status_code == 300
    assert service.http("GET", "/", headers={"Accept": "application/json"}).json()["versions"]


def test_the_first_page_is_that_of_the_jobs(admin: Browser) -> None:
    assert admin.get("/console").headers["location"] == "/console/jobs"
    assert admin.get("/console/").headers["location"] == "/console/jobs"


@pytest.mark.parametrize("path", ["/console/nothing", "/console/jobs/1", "/console/servers/x", "/console/images/x"])
def test_what_is_not_there_is_a_page_that_says_so(admin: Browser, path: str) -> None:
    answer = admin.get(path)

    assert answer.status_code == 404
    assert "Not found" in words(answer.text)


def test_a_page_that_is_only_shown_takes_no_form(admin: Browser) -> None:
    assert admin.submit("/console/jobs", form="/console/project").status_code == 404


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "status=GONE", "type=CREATE", "server=" + "9" * 200, "status=%00"]
)
def test_a_list_says_which_filter_is_wrong(admin: Browser, query: str) -> None:
    answer = admin.get(f"/console/jobs?{query}")

    assert answer.status_code == 400
    assert query.partition("=")[0] in words(answer.text)


# Image servers


def test_an_image_server_is_ordered_watched_built_and_deleted(service: Service, admin: Browser, image: str) -> None:
    job_id = job_of(admin.submit("/console/servers/new", order(image, name="whole-life", description="为了测试")))
    server = service.succeeded(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    assert "Wait for the guest" in admin.text(f"/console/jobs/{job_id}")
    page = admin.text(f"/console/servers/{server}")
    assert "为了测试" in page
    assert "darkroom servers ssh whole-life" in page

    form = {"name": "golden of life", "description": "", "generalise": "true"}
    built = service.succeeded(job_of(admin.submit(f"/console/servers/{server}/build", form)))
    golden = built["sub_jobs"][0]["job_resource_info"]["resource_id"]
    page = admin.text(f"/console/images/{golden}")
    assert service.get(f"/v2/images/{golden}")["os_hash_value"] in page
    assert "Generalised yes" in page

    question = admin.text(f"/console/servers/{server}/delete")
    assert "its account builder" in question
    job_id = job_of(admin.submit(f"/console/servers/{server}/delete", {"recursive": "true"}))
    service.succeeded(job_id)
    assert admin.get(f"/console/servers/{server}").status_code == 404


@pytest.mark.parametrize("choice", ["true", "false"])
def test_the_disk_goes_or_stays_as_was_chosen(service: Service, admin: Browser, image: str, choice: str) -> None:
    server = service.new_server(image, f"kept-{choice}")

    job_id = job_of(admin.submit(f"/console/servers/{server}/delete", {"recursive": choice}))

    service.succeeded(job_id)
    assert service.rows('SELECT "order" FROM jobs WHERE id = ?', int(job_id)) == [(f'{{"recursive":{choice}}}',)]


def test_a_form_that_is_sent_twice_makes_one_image_server(service: Service, admin: Browser, image: str) -> None:
    fields = {**hidden(admin.page("/console/servers/new")), **order(image, name="once-only")}

    first, second = admin.post("/console/servers/new", fields), admin.post("/console/servers/new", fields)

    assert job_of(first) == job_of(second)
    assert service.get("image-servers", server_name="once-only")["count"] == 1


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("name", "", "This must be filled in."),
        ("name", "two words", "This does not fit"),
        ("name", "n" * 65, "This does not fit"),
        ("description", "d" * 256, "This does not fit"),
        ("image", "none", "This does not fit"),
        ("flavour", "enormous", "there is no flavour enormous"),
        ("disk", "", "This must be filled in."),
        ("disk", "ten", "This does not fit"),
        ("disk", "15", "This does not fit"),
        ("disk", "2000", "This does not fit"),
        ("volume_type", "TAPE", "This does not fit"),
        ("account", "", "This must be filled in."),
        ("vpc", "v" * 129, "This does not fit"),
        ("subnet", "", "This must be filled in."),
        ("apps", "383721822891278336", "383721822891278336"),
    ],
)
def test_a_wrong_field_is_named_and_what_was_written_is_kept(
    service: Service, admin: Browser, image: str, field: str, wrong: str, told: str
) -> None:
    with nothing_changes(service):
        answer = admin.submit("/console/servers/new", order(image, **{"description": "to be kept", field: wrong}))

    assert answer.status_code == 400
    assert "1 thing must be corrected." in words(answer.text)
    assert f'<a href="#{field}">' in answer.text
    assert told in words(answer.text)
    if field != "description":
        assert 'value="to be kept"' in answer.text


def test_all_that_is_wrong_with_a_form_is_told_at_once(admin: Browser, image: str) -> None:
    answer = admin.submit("/console/servers/new", order(image, name="", disk="7", account=""))

    assert "3 things must be corrected." in words(answer.text)


@pytest.mark.parametrize("name", ["", " ", "a<b", "n" * 129])
def test_an_image_of_a_wrong_name_is_not_built(service: Service, admin: Browser, image: str, name: str) -> None:
    server = service.new_server(image, "not-built")

    with nothing_changes(service):
        answer = admin.submit(f"/console/servers/{server}/build", {"name": name, "description": ""})

    assert answer.status_code == 400
    assert '<a href="#name">' in answer.text


# Jobs


def test_jobs_are_filtered_by_state_kind_and_image_server(service: Service, admin: Browser, image: str) -> None:
    server = service.new_server(image, "filtered")
    built = service.build(server, "filtered-image")
    service.succeeded(built)

    page = admin.page(f"/console/jobs?server={server}&type=CREATE_SERVER_IMAGE&status=SUCCESS")

    assert re.findall(r'id="job-(\d+)"', page) == [built]
    assert 'id="job-' not in admin.page(f"/console/jobs?server={server}&status=FAILED")
    assert len(re.findall(r'id="job-(\d+)"', admin.page(f"/console/jobs?server={server}"))) == 2


def test_a_failed_job_tells_cause_cure_and_what_the_machine_showed(
    service: Service, admin: Browser, image: str
) -> None:
    service.fault("try_login", "hapless", error="LoginFailed")
    job_id = service.create(image, "hapless")
    service.ended(job_id)

    page = admin.page(f"/console/jobs/{job_id}")

    assert "The account could not log in to the guest." in page
    assert "See that the image runs an SSH server that takes public keys." in page
    assert "Booting hapless" in page
    screen = re.search(rf'src="(/console/jobs/{job_id}/screen/\d+)"', page)
    assert screen
    assert admin.get(screen[1]).content.startswith(b"\x89PNG")


def test_a_job_is_cancelled_and_tried_again(service: Service, admin: Browser, image: str) -> None:
    service.fault("await_guest", "patient", hang=True)
    job_id = service.create(image, "patient")
    assert "Cancel the job" in admin.text(f"/console/jobs/{job_id}/cancel")

    assert job_of(admin.submit(f"/console/jobs/{job_id}/cancel")) == job_id
    assert service.ended(job_id)["status"] == "FAILED"
    service.faults.clear()
    again = job_of(admin.submit(f"/console/jobs/{job_id}/retry"))

    assert again != job_id
    service.succeeded(again)
    assert job_id in admin.page(f"/console/jobs/{again}")


def test_what_cannot_be_done_with_a_job_is_told_with_the_reason(service: Service, admin: Browser, image: str) -> None:
    server = service.new_server(image, "done")
    job_id = service.build(server, "done-image")
    service.succeeded(job_id)

    page = admin.text(f"/console/jobs/{job_id}")

    assert "Cancel: The job has ended." in page
    assert "Try again: Only a job that failed can be tried again." in page
    assert admin.submit(f"/console/jobs/{job_id}/cancel", form="/console/project").status_code == 400
    assert admin.get(f"/console/jobs/{job_id}/burn").status_code == 404
    assert admin.submit(f"/console/jobs/{job_id}/burn", form="/console/project").status_code == 404


def test_a_page_of_a_job_lives_until_the_job_has_ended(service: Service, admin: Browser, image: str) -> None:
    service.fault("await_guest", "alive", hang=True)
    job_id = service.create(image, "alive")

    with admin.client.stream("GET", f"/console/jobs/{job_id}/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(line for line in lines if "Running" in line)
        service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel")
        assert next(line for line in lines if "Failed" in line)
        assert next(line for line in lines if line == "event: end")
    service.faults.clear()


# Images and applications


def test_images_stand_under_those_that_they_were_made_from(service: Service, admin: Browser, image: str) -> None:
    server = service.new_server(image, "forebear")
    service.succeeded(service.build(server, "descendant"))

    tree = admin.page("/console/images")

    assert tree.index(f'href="/console/images/{image}"') < tree.index(">descendant</a>")
    assert "descendant" in admin.text(f"/console/images/{image}").partition("Made from it")[2]


def test_an_image_is_downloaded_whole(admin: Browser, service: Service) -> None:
    added = service.add_image(b"the bytes of a disk")

    answer = admin.get(f"/console/images/{added}/file")

    assert answer.content == b"the bytes of a disk"
    assert answer.headers["content-disposition"] == f'attachment; filename="{added}.qcow2"'


def test_an_image_is_deleted_unless_an_image_server_stands_on_it(service: Service, admin: Browser) -> None:
    alone, base = service.add_image(), service.add_image()
    service.new_server(base, "on-the-base")

    assert admin.submit(f"/console/images/{alone}/delete").headers["location"] == "/console/images"
    refused = admin.submit(f"/console/images/{base}/delete")

    assert service.ask("GET", f"/v2/images/{alone}").status_code == 404
    assert refused.status_code == 409
    assert "on-the-base" in words(refused.text)


def test_names_that_are_markup_are_shown_as_they_are(service: Service, admin: Browser, image: str) -> None:
    """Not all of these names can come by the API today; the console does not rely on that."""
    job_id = service.accept("POST", "image-servers", service.order(image, name="hostile", description=HOSTILE))
    server = service.succeeded(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"]
    named = Image(id=ImageId(new_uuid()), project_id=ProjectId(service.project_id), name=HOSTILE, description=HOSTILE)
    app = AppRecord(
        id=RecordId(job_id),  # the newest of all, and so on the first page
        app_id=AppId("1"),
        project_id=ProjectId(service.project_id),
        name=HOSTILE,
        version=HOSTILE,
        kind=AppKind.PACKAGE,
        file_name=HOSTILE,
    )

    def write(tx: Transaction) -> None:
        tx.images.add(named)
        tx.apps.app_named(app.project_id, app.name, app.app_id, 0)
        tx.apps.add(app)

    service.write(write)
    paths = (f"servers/{server}", "images", f"images/{named.id}", f"images/{named.id}/delete", "apps")

    for path in ("servers", *paths):
        page = admin.page(f"/console/{path}")
        assert HOSTILE not in page
        assert path == "servers" or HOSTILE in words(page), path
