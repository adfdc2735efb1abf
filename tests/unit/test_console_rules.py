"""The console's own rules: languages, forms, bars, lineage, sizes, and starting without its files."""

from pathlib import Path
from runpy import run_path
from typing import Any

import msgspec
import pytest
from babel.messages.pofile import read_po
from starlette.requests import Request

from darkroom.app import Service
from darkroom.console import assets, labels
from darkroom.console.bars import LEAST, WIDTH, bars
from darkroom.console.csrf import token_of
from darkroom.console.forms import EMPTY, WRONG, Form
from darkroom.console.i18n import CATALOGUES, CHINESE, ENGLISH, LANGUAGES, language_of, translations
from darkroom.console.images import SHOWN
from darkroom.console.lineage import DEEPEST, below, lineage
from darkroom.console.pages import within_console
from darkroom.console.views import Views, size
from darkroom.domain.ids import ImageId, JobId, ProjectId, SubJobId
from darkroom.domain.images import Image, ImageStatus, ImageType
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobStatus
from darkroom.domain.servers import ServerStatus
from darkroom.domain.timeline import StepRecord
from darkroom.services.timeline import JobTimeline, SubJobTimeline
from darkroom.settings import Settings
from darkroom.workflows.engine import plan_of

ROOT = Path(__file__).resolve().parents[2]

# Languages


def test_nothing_that_the_console_says_is_missing_in_a_language_and_nothing_is_left_over() -> None:
    said = {message for _, message in run_path(str(ROOT / "tools" / "messages.py"))["messages"]()}

    for language in LANGUAGES.values():
        if language != ENGLISH:
            with (CATALOGUES / f"{language.tag}.po").open("rb") as file:
                catalogue = {message.id: message for message in read_po(file, locale="zh_Hans") if message.id}
            assert catalogue.keys() == said
            assert not [id for id, message in catalogue.items() if not message.string or message.fuzzy]


def test_translations_keep_the_places_for_values() -> None:
    with (CATALOGUES / "zh-Hans.po").open("rb") as file:
        wrong = [
            (message.id, error)
            for message in read_po(file, locale="zh_Hans")
            for error in message.check()
            if message.id
        ]

    assert wrong == []


def test_every_state_and_step_has_a_name() -> None:
    for states in (JobStatus, SubJobStatus, ServerStatus, ImageStatus):
        assert set(states) <= labels.STATES.keys()
    assert set(JobType) == labels.JOB_TYPES.keys()
    assert set(ImageType) == labels.IMAGE_TYPES.keys()
    for job_type in JobType:
        assert {step.name for step in plan_of(_job(job_type=job_type)).steps} <= labels.STEPS.keys()


def test_english_is_what_is_written_in_the_code() -> None:
    assert translations(ENGLISH).ugettext("Jobs") == "Jobs"
    assert translations(CHINESE).ugettext("Jobs") == "任务"


@pytest.mark.parametrize("header", [b"\xff", b"zh;q=", b";;;,,,", b"q=1", b"*"])
def test_a_strange_wish_for_languages_does_no_harm(header: bytes) -> None:
    request = Request({"type": "http", "headers": [(b"accept-language", header)]})

    assert language_of(request) in LANGUAGES.values()


# Forms


class _Order(msgspec.Struct, kw_only=True):
    count: int
    name: str
    flag: bool = False
    many: list[str] = msgspec.field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ({"count": ["3"], "name": ["a"]}, {}),
        ({"count": ["3"], "name": ["a"], "flag": ["true"], "many": ["x", "y"]}, {}),
        ({"name": ["a"]}, {"count": EMPTY}),
        ({"count": ["three"], "name": ["a"], "flag": ["perhaps"]}, {"count": WRONG, "flag": WRONG}),
    ],
)
def test_each_field_of_a_form_is_judged_by_itself(values: dict[str, list[str]], errors: dict[str, str]) -> None:
    assert Form(_Order, values).errors == errors


def test_a_form_says_what_it_asks_for() -> None:
    form = Form(_Order, {"count": ["3"], "name": [" a\r\nb "], "many": ["x"]})

    assert form.wanted == _Order(count=3, name="a\nb", many=["x"])


# Bars


def _job(**changes: Any) -> Job:
    known = {"id": JobId("1"), "project_id": ProjectId("p"), "job_type": JobType.CREATE_SERVER, "order": {}}
    return Job(**{**known, "status": JobStatus.RUNNING, "begin_time": 1000, "sub_jobs_total": 1, **changes})


def _timeline(*steps: tuple[int, int | None], now: int) -> JobTimeline:
    sub_job = SubJob(
        id=SubJobId("2"),
        job_id=JobId("1"),
        project_id=ProjectId("p"),
        job_type=JobType.CREATE_SERVER,
        status=SubJobStatus.RUNNING,
        resource_id="",
        resource_name="",
        begin_time=1000,
    )
    records = [
        StepRecord(sub_job_id=sub_job.id, name="s", phase="do", begin_time=begin, run_time=begin, end_time=end)
        for begin, end in steps
    ]
    its = SubJobTimeline(sub_job=sub_job, steps=records, ahead=[])
    return JobTimeline(job=_job(sub_jobs=(sub_job,)), now=now, place=None, sub_jobs=[its], seconds_left=None)


def test_bars_lie_where_their_steps_lie_in_time() -> None:
    (found,) = bars(_timeline((1000, 1500), (1500, None), now=2000))

    assert [(bar.left, bar.width, bar.took) for bar in found] == [(0, 500, 500), (500, 500, 500)]


def test_bars_stay_within_the_whole_and_can_be_seen() -> None:
    (found,) = bars(_timeline((900, 1000), (2000, 2000), (2000, None), now=2000))

    assert all(bar.width >= LEAST and bar.left >= 0 and bar.left + bar.width <= WIDTH for bar in found)


def test_a_job_that_has_just_begun_has_bars_too() -> None:
    (found,) = bars(_timeline((1000, None), now=1000))

    assert found[0].width <= WIDTH


# Lineage


def _image(name: str, base: str | None = None) -> Image:
    return Image(id=ImageId(name), project_id=ProjectId("p"), name=name, base_image_id=ImageId(base) if base else None)


def test_images_stand_under_their_base_as_far_as_it_is_there() -> None:
    rows = lineage([_image("d", "b"), _image("x", "gone"), _image("c", "b"), _image("b", "a"), _image("a")])

    assert [(row.depth, row.image.name) for row in rows] == [(0, "x"), (0, "a"), (1, "b"), (2, "d"), (2, "c")]
    assert [(row.depth, row.image.name) for row in below(rows, "a")] == [(0, "b"), (1, "d"), (1, "c")]
    assert below(rows, "c") == below(rows, "x") == below(rows, "none") == []


def test_a_line_of_images_may_be_as_long_as_the_page() -> None:
    rows = lineage([_image(str(number), str(number - 1)) for number in reversed(range(SHOWN))])
    views, known = Views(), {"language": ENGLISH, "theme": "auto", "here": "/console", "session": None}

    whole = views.render(ENGLISH, "images.html", {**known, "rows": rows, "count": SHOWN, "is_all": True})
    tree = views.fragment(ENGLISH, "images.html", "main", {**known, "rows": rows, "count": SHOWN, "is_all": True})

    assert len(rows) == len(below(rows, "0")) + 1 == SHOWN
    assert whole.count('class="leaf"') == SHOWN
    for tag in ("ul", "li"):
        assert tree.count(f"<{tag}") == tree.count(f"</{tag}>")
    assert tree.count("<ul") == DEEPEST + 1


# Small things


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (10 << 30, "10 GiB"), (5 << 50, "5120 TiB")],
)
def test_sizes_are_told_in_a_unit_that_fits(count: int, told: str) -> None:
    assert size(count) == told


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("http://host/console/jobs?page=2#x", "/console/jobs?page=2"),
        ("/console/servers/1", "/console/servers/1"),
        ("/console", "/console"),
        ("/consoles", "/console"),
        ("//evil.example/console/jobs", "/console/jobs"),
        ("/console/\\evil", "/console"),
        ("/console/sign-in?next=/console/sign-in", "/console"),
        ("javascript:alert(1)", "/console"),
        ("http://[", "/console"),
        ("", "/console"),
    ],
)
def test_only_pages_of_the_console_are_gone_back_to(url: str, page: str) -> None:
    assert within_console(url) == page


def test_the_tokens_of_forms_differ_by_session_and_give_nothing_away() -> None:
    assert token_of("a") != token_of("b")
    assert "a" * 8 not in token_of("a" * 8)


def test_without_its_files_from_npm_the_service_starts_and_serves_no_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    service = Service(Settings(data=tmp_path, driver="simulated"))

    paths = [str(getattr(route, "path", "")) for route in service.application().routes]

    service.store.close()
    assert paths
    assert not [path for path in paths if path.startswith("/console")]
    assert "make setup" in "".join(capsys.readouterr())


def test_all_that_pages_load_is_there_and_nothing_comes_from_elsewhere() -> None:
    assert assets.are_whole(), "make setup fetches what is missing"
    for template in (ROOT / "src" / "darkroom" / "console" / "templates").glob("*.html"):
        text = template.read_text()
        for name in text.split('asset("')[1:]:
            assert (assets.FOLDER / name.partition('"')[0]).exists()
        assert "https://" not in text
