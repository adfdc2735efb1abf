"""Evidence of failures: what is seen of a machine, how much of it is kept, and that looking harms nothing."""

import asyncio
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from darkroom.domain.evidence import CAUSES, CONSOLE_LINES, LINE_LIMIT, SCREEN_LIMIT, TEXT_LIMIT, Sight, bounded
from darkroom.domain.ids import ServerId
from darkroom.domain.jobs import SubJobStatus
from darkroom.drivers.base import Machine, MachineState
from darkroom.drivers.simulated import screen
from darkroom.errors import GuestSilent, JobFault, MachineFailed, cure_of
from darkroom.services.evidence import Failures
from darkroom.workflows import evidence
from darkroom.workflows.retention import Retention
from house import DAY, PROJECT, World

KEY = ServerId("17")


class Compute:
    """A driver that shows what it is told to, or raises it."""

    def __init__(self, **shows: Any) -> None:
        machine = Machine(key=KEY, instance_id="i", state=MachineState.STOPPED, why="it was switched off")
        self.shows = {"machine": machine, "guest": {"agent": "silent"}, "console": ["login:"], "screen": b"PNG"} | shows

    async def find(self, key: ServerId) -> Any:
        return await self._show("machine")

    async def guest_facts(self, key: ServerId) -> Any:
        return await self._show("guest")

    async def serial_tail(self, key: ServerId, lines: int) -> Any:
        return await self._show("console")

    async def screenshot(self, key: ServerId) -> Any:
        return await self._show("screen")

    async def _show(self, what: str) -> Any:
        shown = self.shows[what]
        if isinstance(shown, Exception):
            raise shown
        if shown is asyncio:
            await asyncio.Event().wait()
        return shown


def look(**shows: Any) -> Sight:
    return asyncio.run(evidence.look(Compute(**shows), KEY, limit=0.2))  # type: ignore[arg-type]


# What is seen


def test_all_that_a_machine_shows_is_kept() -> None:
    assert look() == Sight(
        machine={"state": "stopped", "why": "it was switched off", "instance_id": "i"},
        guest={"agent": "silent"},
        console=["login:"],
        screen=b"PNG",
    )


@pytest.mark.parametrize("what", ["machine", "guest", "console", "screen"])
@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (MachineFailed("no power"), "no power"),
        (ZeroDivisionError("by nought"), "ZeroDivisionError: by nought"),
        (asyncio, "not to be had within 0.2 s"),
    ],
)
def test_what_cannot_be_seen_is_told_of_and_hides_nothing_else(what: str, problem: Any, told: str) -> None:
    sight = look(**{what: problem})
    assert told in sight.missing.pop(what)
    assert sight.missing == {}
    shown = {"machine": sight.machine, "guest": sight.guest, "console": sight.console, "screen": sight.screen}
    assert [name for name, value in shown.items() if not value] == [what]


def test_nothing_takes_longer_than_the_limit_even_if_all_of_it_hangs() -> None:
    sight = look(machine=asyncio, guest=asyncio, console=asyncio, screen=asyncio)
    assert sorted(sight.missing) == ["console", "guest", "machine", "screen"]


def test_where_there_is_no_machine_there_is_nothing_and_nothing_is_missing() -> None:
    assert look(machine=None, guest={}, console=[], screen=None) == Sight()


def test_all_of_it_is_bounded() -> None:
    sight = look(
        console=[f"{number} " + "x" * 10_000 for number in range(CONSOLE_LINES + 50)],
        guest={"os": "y" * 10_000},
        screen=bytes(SCREEN_LIMIT + 1),
    )
    assert len(sight.console) == CONSOLE_LINES
    assert max(map(len, sight.console)) == LINE_LIMIT
    assert len(sight.guest["os"]) == LINE_LIMIT
    assert (sight.screen, "at most" in sight.missing["screen"]) == (None, True)


def test_texts_that_no_database_takes_are_made_fit_and_of_long_ones_the_end_stays() -> None:
    assert bounded("a\0b\ud800c", 10) == "ab?c"
    assert bounded("0123456789", 4) == "…789"


# The chain of causes


def chain(*errors: Exception) -> Exception:
    """Return the last error, each raised from the one before."""
    last: Exception | None = None
    for error in errors:
        error.__cause__ = last
        last = error
    assert last is not None
    return last


def test_the_causes_are_told_from_the_nearest_on() -> None:
    error = chain(OSError("no route"), MachineFailed("QEMU is gone"), GuestSilent("The guest fell silent."))
    assert evidence.causes(error) == ["QEMU is gone", "OSError: no route"]


def test_an_error_that_hides_what_led_to_it_is_its_own_cause() -> None:
    def fail() -> None:
        try:
            raise OSError("inside")
        except OSError:
            raise MachineFailed("outside") from None

    with pytest.raises(MachineFailed) as caught:
        fail()
    assert evidence.causes(caught.value) == []


def test_a_chain_without_an_end_and_one_that_is_very_long_are_cut() -> None:
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert evidence.causes(first) == ["OSError: b"]
    assert len(evidence.causes(chain(*(OSError("x" * 9999) for _ in range(50))))) == CAUSES


# What is kept


def keep(world: World, status: SubJobStatus = SubJobStatus.FAILED, *, code: str = "Darkroom.0104") -> Any:
    """Add a job that failed, with evidence; return it."""
    job = world.job(status, error_code="Darkroom.0104")
    note(world, job, code=code)
    return job


def note(world: World, job: Any, *, code: str = "Darkroom.0104", step: str = "await guest", **shows: Any) -> None:
    sight = look(**shows)
    error = chain(OSError("no route"), GuestSilent("x" * 30_000))
    found = evidence.of_failure(job.sub_jobs[0], world.clock(), step, code, error, sight)
    world.write(lambda tx: tx.evidence.keep(found, sight.screen))


class _Anybody:
    def must(self, action: str, project_id: str) -> None:
        assert action == "workspace:images:getImageJobEvidence"


def failures(world: World, job: Any) -> list[Any]:
    return world.run(Failures(world.store).show(_Anybody(), PROJECT, job.id))  # type: ignore[arg-type]


def test_the_evidence_is_told_with_the_cure(world: World) -> None:
    (failure,) = failures(world, keep(world))
    found = failure.evidence
    assert (found.step, found.code, found.causes) == ("await guest", "Darkroom.0104", ["OSError: no route"])
    assert (len(found.message), found.screen_size, found.console) == (TEXT_LIMIT, 3, ["login:"])
    assert failure.cure == GuestSilent.cure == cure_of("Darkroom.0104")
    assert failure.kept_until == 0


def test_evidence_that_is_kept_again_takes_the_place_of_the_former(world: World) -> None:
    job = keep(world)
    note(world, job, step="log in", screen=None)
    (failure,) = failures(world, job)
    assert (failure.evidence.step, failure.evidence.screen_size) == ("log in", 0)
    assert world.run(world.store.evidence.screen(job.id, job.sub_jobs[0].id)) is None


def test_it_is_kept_on_postgresql_too(tmp_path: Path, postgres_url: str) -> None:
    world = World(tmp_path, postgres_url)
    try:
        job = keep(world)
        note(world, job, screen=bytes(range(256)), console=["\0 \ud800 ü"])
        (failure,) = failures(world, job)
        assert (failure.evidence.console, failure.evidence.screen_size) == ([" ? ü"], 256)
        assert world.run(world.store.evidence.screen(job.id, job.sub_jobs[0].id)) == bytes(range(256))
    finally:
        world.store.close()


def test_evidence_of_a_failure_that_did_not_come_to_be_the_jobs_is_not_told(world: World) -> None:
    (failure,) = failures(world, keep(world, code="Darkroom.0002"))
    assert failure.evidence is None
    well = world.job()
    note(world, well)
    assert failures(world, well) == []


def test_evidence_goes_with_its_job_or_sub_job(world: World) -> None:
    old = keep(world)
    world.clock.passes(2 * DAY)
    young, cleared = keep(world), keep(world)
    world.run(Retention(world.store, lambda _: None, world.clock, days=1).purge())
    kept = {str(row[0]) for row in world.rows("SELECT job_id FROM evidence")}
    assert kept == {young.id, cleared.id}, old.id
    world.write(lambda tx: tx.jobs.delete_sub_jobs(PROJECT, [cleared.sub_jobs[0].id], world.clock()))
    assert [str(row[0]) for row in world.rows("SELECT job_id FROM evidence")] == [young.id]


def test_a_code_that_jobs_do_not_fail_with_has_no_cure() -> None:
    assert cure_of("WKS.00211102") == cure_of("") == ""
    assert cure_of("Darkroom.0001") == JobFault.cure


# The simulated screen


def test_the_simulated_screen_is_a_picture_in_which_letters_are_lit() -> None:
    picture = screen.drawn(["ab c", *[""] * 30, "last line"])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(picture):
        (size,), kind = struct.unpack(">I", picture[at : at + 4]), picture[at + 4 : at + 8]
        data = picture[at + 8 : at + 8 + size]
        assert picture[at + 8 + size : at + 12 + size] == struct.pack(">I", zlib.crc32(kind + data))
        chunks[kind], at = data, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = zlib.decompress(chunks[b"IDAT"])
    assert (width, height, len(rows)) == (320, 200, 200 * 321)
    assert rows.count(b"\xc0") == 8 * 3 * 6, "the last line alone, without its blank: eight letters"
