"""Attaching: what is told of failures, the order of things, leases between processes, the files of the catalogue."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom.domain.apps import LISTING, AppKind, AppRecord, AppStatus
from darkroom.domain.servers import ALLOWED, Action, ImageServer, ServerAccess, ServerStatus
from darkroom.drivers.base import Completed, MachineSpec
from darkroom.drivers.simulated import INSTANT, SimulatedCompute, SimulatedImageStore
from darkroom.drivers.simulated.files import abridged
from darkroom.errors import AttachFailed, GuestRefused, InvalidParameter, TooLarge
from darkroom.services import attach as services_attach
from darkroom.store.app_files import AppFiles
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.wire.errors import MESSAGE_LIMIT
from darkroom.workflows.attach import attach

PROJECT = "a" * 32
FREE = ALLOWED[Action.ATTACH]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def run(work: Any) -> Any:
    return asyncio.run(work)


# What is told


def test_of_an_output_that_is_too_long_the_end_is_told() -> None:
    failure = AttachFailed("The application x 1 ended with status 2.", "noise\n" * 200 + "the reason").within(255)
    assert len(failure.message) == 255
    assert failure.message.startswith("The application x 1 ended with status 2. Its last output: …")
    assert failure.message.endswith("the reason")


def test_a_message_that_fits_stays_as_it_is() -> None:
    assert AttachFailed("It failed.", "why").within(255).message == "It failed. Its last output: why"
    assert AttachFailed("It failed.").within(255).message == "It failed."
    assert AttachFailed().message == "The application could not be attached."
    assert AttachFailed("x" * 300, "why").within(255).problem == "x" * 300


def test_the_limit_is_that_of_the_envelope() -> None:
    assert services_attach.MESSAGE_LIMIT == MESSAGE_LIMIT


# The order of things


class Guest:
    """Notes what is asked of a guest, and fails where it is told to."""

    def __init__(self, *ends: Completed) -> None:
        self.log: list[str] = []
        self.files: dict[str, tuple[bytes, int]] = {}
        self.ends = iter(ends)
        self.refuses = ""

    async def put_file(
        self, key: str, path: str, chunks: AsyncIterator[bytes], *, size: int, mode: int, timeout: float
    ) -> None:
        if self.refuses and self.refuses in path:
            raise GuestRefused("no room")
        content = b"".join([chunk async for chunk in chunks])
        assert len(content) == size
        self.files[path] = content, mode
        self.log.append(f"put {path.rpartition('/')[2]}")

    async def run(self, key: str, words: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        self.log.append(f"run {' '.join(words[3:])} for {timeout:g}")
        return next(self.ends, Completed(exit_code=0, output=""))

    @property
    def statuses(self) -> list[str]:
        return [item["status"] for item in msgspec.json.decode(self.files[LISTING][0])["items"]]


@pytest.fixture
def files(tmp_path: Path) -> AppFiles:
    files = AppFiles(tmp_path / "apps", limit=100)
    files.sweep()
    return files


def a_record(files: AppFiles, number: int, kind: AppKind = AppKind.SCRIPT, *arguments: str) -> AppRecord:
    facts = run(files.receive(str(number), pieces(b"content")))
    return AppRecord(
        id=str(number), app_id=f"{number}0", project_id=PROJECT, name=f"app{number}", version="1", kind=kind,
        file_name=f"file{number}", arguments=arguments, size=facts.size, sha256=facts.sha256,
    )  # fmt: skip


def test_all_files_come_before_the_first_script_and_scripts_run_in_order(files: AppFiles) -> None:
    records = [
        a_record(files, 1, AppKind.SCRIPT, "-x", "a b"),
        a_record(files, 2, AppKind.PACKAGE),
        a_record(files, 3),
    ]
    guest = Guest()
    run(attach(guest, files, "17", records, timeout=7))
    assert guest.log == [
        "put file1", "put file2", "put file3", "put apps.json",
        "run /opt/darkroom/apps/1 /opt/darkroom/apps/1/file1 -x a b for 7", "put apps.json",
        "run /opt/darkroom/apps/3 /opt/darkroom/apps/3/file3 for 7", "put apps.json",
    ]  # fmt: skip
    assert guest.statuses == ["done", "delivered", "done"]
    modes = {path: mode for path, (_, mode) in guest.files.items()}
    assert modes["/opt/darkroom/apps/1/file1"] == 0o755
    assert modes["/opt/darkroom/apps/2/file2"] == modes[LISTING] == 0o644


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (Completed(exit_code=4, output="a\nb"), "The application app2 1 ended with status 4. Its last output: a\nb"),
        (Completed(exit_code=-9, output=""), "The application app2 1 ended with status -9."),
        (Completed(exit_code=None, output="z"), "The application app2 1 had not ended after 7 s. Its last output: z"),
    ],
)
def test_the_first_script_that_fails_ends_it(files: AppFiles, end: Completed, message: str) -> None:
    records = [a_record(files, number) for number in (1, 2, 3)]
    guest = Guest(Completed(exit_code=0, output=""), end)
    with pytest.raises(AttachFailed) as caught:
        run(attach(guest, files, "17", records, timeout=7))
    assert caught.value.message == message
    assert guest.statuses == ["done", "failed", "delivered"]


def test_what_cannot_be_delivered_is_named_and_nothing_is_run(files: AppFiles) -> None:
    records = [a_record(files, number) for number in (1, 2)]
    guest = Guest()
    guest.refuses = "file2"
    with pytest.raises(AttachFailed, match="app2 1 could not be delivered: no room"):
        run(attach(guest, files, "17", records, timeout=7))
    assert guest.log == ["put file1"]


def test_a_file_that_has_gone_is_named(files: AppFiles) -> None:
    record = a_record(files, 1)
    files.remove(record.id)
    with pytest.raises(AttachFailed, match="record 1 has gone"):
        run(attach(Guest(), files, "17", [record], timeout=7))


# The files of the catalogue


def test_a_file_comes_whole_or_not_at_all(files: AppFiles, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    for chunks, error in (
        (broken(), ConnectionResetError),
        (pieces(bytes(60), bytes(41)), TooLarge),
        (pieces(), InvalidParameter),
        (pieces(b""), InvalidParameter),
    ):
        with pytest.raises(error):
            run(files.receive("1", chunks))
        assert list((tmp_path / "apps").iterdir()) == []
    facts = run(files.receive("1", pieces(bytes(60), bytes(40))))
    assert (facts.size, facts.sha256) == (100, hashlib.sha256(bytes(100)).hexdigest())


def test_what_a_dead_process_left_half_written_is_swept_away(files: AppFiles, tmp_path: Path) -> None:
    run(files.receive("1", pieces(b"a")))
    (tmp_path / "apps" / ".2.0badcafe.part").write_bytes(b"half")
    files.sweep()
    assert [path.name for path in (tmp_path / "apps").iterdir()] == ["1"]


@pytest.mark.parametrize("name", ["", "..", "../1", "/etc/passwd", "1/2", "１"])
def test_no_name_leads_out_of_the_folder(files: AppFiles, name: str) -> None:
    with pytest.raises(ValueError, match="no record's id"):
        files.remove(name)


# Leases


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'darkroom.db'}", Sealer(Sealer.new_key()))
    store.migrate()
    yield store
    store.close()


def a_server(store: Store, status: ServerStatus = ServerStatus.ACTIVE) -> ImageServer:
    server = ImageServer(
        id="912345678901234567", project_id=PROJECT, name="s", status=status, create_time=1, update_time=1,
        image_ref={"id": "image"}, authorize_accounts=[{"account": "builder"}], order={},
    )  # fmt: skip
    access = ServerAccess(account="builder", password="p", private_key="k", public_key="k")
    job = _Job()
    run(store.write(lambda tx: tx.servers.add(server, access, job=job)))
    return server


class _Job:
    id, project_id = "912345678901234000", PROJECT


def write(store: Store, work: Callable[[Transaction], Any]) -> Any:
    return run(store.write(work))


def test_a_lease_keeps_others_off_until_it_is_given_back_or_runs_out(store: Store) -> None:
    server = a_server(store)

    def begin(lease: str, at: int) -> bool:
        return bool(write(store, lambda tx: tx.attachments.begin(server, lease, at, at + 30, of=FREE)))

    assert begin("first", 100)
    assert not begin("second", 129)
    assert write(store, lambda tx: tx.attachments.is_going_on(server, 129))
    assert not write(store, lambda tx: tx.attachments.is_going_on(server, 130))
    assert write(store, lambda tx: tx.attachments.renew(server, "first", 200))
    assert not begin("second", 199)
    assert begin("second", 200)
    assert not write(store, lambda tx: tx.attachments.renew(server, "first", 300))
    write(store, lambda tx: tx.attachments.end(server, "first", 210))
    assert not begin("third", 210), "who lost the lease cannot give it back"
    write(store, lambda tx: tx.attachments.end(server, "second", 210))
    assert begin("third", 210)
    write(store, lambda tx: tx.attachments.free_all())
    assert begin("fourth", 211)


@pytest.mark.parametrize("status", sorted(set(ServerStatus) - FREE))
def test_no_lease_is_given_of_a_server_that_is_not_ready(store: Store, status: ServerStatus) -> None:
    server = a_server(store, status)
    assert not write(store, lambda tx: tx.attachments.begin(server, "lease", 1, 2, of=FREE))
    assert not write(store, lambda tx: tx.attachments.record(server, [], 1, of=FREE))


def test_no_build_begins_during_a_lease_and_other_moves_are_free(store: Store) -> None:
    server, job = a_server(store), _Job()

    def move(to: ServerStatus, at: int, *, unattended: bool) -> bool:
        return bool(write(store, lambda tx: tx.servers.move(server.id, to, at, job=job, unattended=unattended)))

    assert write(store, lambda tx: tx.attachments.begin(server, "lease", 100, 130, of=FREE))
    assert not move(ServerStatus.BUILDING, 129, unattended=True)
    assert move(ServerStatus.DELETING, 129, unattended=False)
    assert move(ServerStatus.BUILDING, 130, unattended=True)


def test_records_are_those_of_a_project(store: Store) -> None:
    record = AppRecord(
        id="912345678901234569", app_id="912345678901234568", project_id=PROJECT, name="tool", version="1",
        kind=AppKind.SCRIPT, file_name="f", arguments=("a", "b"), created_at=1, updated_at=1,
    )  # fmt: skip

    def add(tx: Transaction) -> None:
        assert tx.apps.app_named(PROJECT, "tool", record.app_id, 1) == record.app_id
        assert tx.apps.app_named(PROJECT, "tool", "1", 1) == record.app_id
        tx.apps.add(record)

    write(store, add)
    assert run(store.apps.get(PROJECT, record.id)) == record
    assert run(store.apps.page(PROJECT, name="tool", offset=0, limit=10)) == (1, [record])
    assert run(store.apps.page("b" * 32, offset=0, limit=10)) == (0, [])
    assert run(store.apps.with_status(AppStatus.QUEUED)) == [record]
    assert not write(store, lambda tx: tx.apps.change(record, 2, of=AppStatus.ACTIVE, size=1))


# The simulated guest


def test_the_simulated_guest_keeps_short_text_and_of_all_else_size_and_digest() -> None:
    assert run(abridged(pieces(b"sh", b"ort"), 5)) == "short"
    for content in (b"\xff\x00", b"x" * 70_000):
        told = f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n"
        assert run(abridged(pieces(content[:1], content[1:]), len(content))) == told
    with pytest.raises(ValueError, match="announced"):
        run(abridged(pieces(b"short"), 6))


def test_a_simulated_program_takes_its_time_up_to_the_limit(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    images = SimulatedImageStore(tmp_path)
    durations = msgspec.structs.replace(INSTANT, run=9.0)
    compute = SimulatedCompute(tmp_path, images, durations=durations, sleep=sleep)

    async def play() -> None:
        await images.receive("image", pieces(bytes(512)))
        spec = MachineSpec(name="m", image_id="image", cpus=1, memory_mib=1, disk_bytes=1)
        await compute.create("1", spec)
        await compute.await_guest("1", timeout=1)
        assert await compute.run("1", ["x"], timeout=10) == Completed(exit_code=0, output="")
        assert sum(slept) == pytest.approx(9)
        assert (await compute.run("1", ["x"], timeout=5)).exit_code is None
        assert sum(slept) == pytest.approx(14)

    run(play())
