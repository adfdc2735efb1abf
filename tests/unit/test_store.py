"""The store: transactions, events, ids as keys, filters taken literally, and a database that does not answer."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.accounts import AccessKey, Account, Project, User
from darkroom.domain.images import Image, ImageStatus, ImageType
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobFilter, SubJobStatus
from darkroom.domain.servers import ImageServer, ServerAccess, ServerStatus
from darkroom.errors import ImageNotFound, JobNotFound, ServerNotFound, Unavailable
from darkroom.store import sqlite
from darkroom.store.rows import key_of
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from postgres import Server

PROJECT, OTHER = "a" * 32, "b" * 32
BASE = 912345678901234000
KEY = Sealer.new_key()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    yield from opened(f"sqlite:///{tmp_path / 'darkroom.db'}")


@pytest.fixture(scope="module")
def migrated(postgres_server: Server) -> str:
    """The name of a database that has all tables, to be copied."""
    name = postgres_server.create()
    store = Store(postgres_server.url(name), Sealer(KEY))
    store.migrate()
    store.close()
    return name


@pytest.fixture
def postgres_store(postgres_server: Server, migrated: str) -> Iterator[Store]:
    name = postgres_server.create(migrated)
    yield from opened(postgres_server.url(name), migrated=True)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store on either database."""
    chosen: Store = request.getfixturevalue(f"{request.param}_store")
    return chosen


def opened(url: str, *, migrated: bool = False) -> Iterator[Store]:
    store = Store(url, Sealer(KEY))
    if not migrated:
        store.migrate()
    yield store
    store.close()


def write(store: Store, work: Callable[[Transaction], Any]) -> Any:
    return asyncio.run(store.write(work))


def a_job(number: int = 0, *, subs: int = 1, project: str = PROJECT, **more: Any) -> Job:
    job_id = str(BASE + 10 * number)
    kind = more.get("job_type", JobType.CREATE_SERVER)
    sub_jobs = tuple(
        SubJob(
            id=str(int(job_id) + 1 + index), job_id=job_id, project_id=project, job_type=kind,
            status=SubJobStatus.WAITING, resource_id=f"r{index}", resource_name=f"n{index}", begin_time=1001 + index,
        )
        for index in range(subs)
    )  # fmt: skip
    values = {"job_type": kind, "status": JobStatus.RUNNING, "begin_time": 1000, "order": {"名": [1, None, True]}}
    return Job(id=job_id, project_id=project, sub_jobs_total=subs, sub_jobs=sub_jobs, **{**values, **more})


def a_server(number: int = 0, name: str = "img-srv", *, project: str = PROJECT, **more: Any) -> ImageServer:
    return ImageServer(
        id=str(BASE + number), project_id=project, name=name, create_time=1000, update_time=1000,
        image_ref={"id": "image", "image_type": "private"}, authorize_accounts=[{"account": "builder"}],
        order={"cpus": 2}, **more,
    )  # fmt: skip


ACCESS = ServerAccess(account="builder", password="secret-password", private_key="private", public_key="public")


def an_image(image_id: str = "i1", *, project: str = PROJECT, **more: Any) -> Image:
    return Image(id=image_id, project_id=project, name="base", **more)


def file_of(store: Store) -> str:
    return str(store.database.engine.url.database)


def kinds(store: Store) -> list[str]:
    """Return what the events tell, in their order."""
    url = store.database.engine.url
    engine = sa.create_engine(url, poolclass=sa.NullPool)  # a connection of our own sees what is committed
    with engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT kind FROM events ORDER BY seq")))


def show(store: Store, job: Job) -> Job:
    return asyncio.run(store.jobs.get(job.project_id, job.id))


# Writing and reading


def test_a_job_is_read_as_it_was_written_with_its_sub_jobs_in_order(store: Store) -> None:
    job = a_job(subs=3)
    write(store, lambda tx: tx.jobs.add(job))
    assert show(store, job) == job
    assert kinds(store) == ["job.accepted"]


def test_a_job_that_is_over_at_once_says_so(store: Store) -> None:
    job = a_job(subs=0, status=JobStatus.SUCCESS, end_time=1000)
    write(store, lambda tx: tx.jobs.add(job))
    assert show(store, job) == job
    assert kinds(store) == ["job.accepted", "job.ended"]


def test_a_server_is_read_as_it_was_written(store: Store) -> None:
    server = a_server(description="描述\né", server_group_id="g", enterprise_project_id="7")
    write(store, lambda tx: tx.servers.add(server, ACCESS, job=a_job()))
    assert asyncio.run(store.servers.get(PROJECT, server.id)) == server
    assert asyncio.run(store.servers.access(server)) == ACCESS
    assert kinds(store) == ["server.added"]


def test_secrets_are_not_in_the_file(sqlite_store: Store, tmp_path: Path) -> None:
    write(sqlite_store, lambda tx: tx.servers.add(a_server(), ACCESS, job=a_job()))
    write(sqlite_store, lambda tx: tx.accounts.add_access_key(AccessKey(access="AK", secret="secret-key", user_id="u")))
    assert asyncio.run(sqlite_store.accounts.access_key("AK")).secret == "secret-key"
    sqlite_store.close()
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert b"secret-password" not in content
        assert b"secret-key" not in content


def test_accounts_are_found_by_id_and_by_name(store: Store) -> None:
    account, project = Account(id="a1", name="acme"), Project(id="p1", account_id="a1", name="local-1")
    user = User(id="u1", account_id="a1", name="admin", password_hash="hash", roles=("r1", "r2"), enabled=False)

    def add(tx: Transaction) -> None:
        assert not tx.accounts.any_account()
        tx.accounts.add_account(account)
        tx.accounts.add_project(project)
        tx.accounts.add_user(user)
        assert tx.accounts.any_account()

    write(store, add)

    async def read() -> list[Any]:
        accounts = store.accounts
        return [
            await accounts.account("a1"), await accounts.account_named("acme"), await accounts.project("p1"),
            await accounts.project_named("a1", "local-1"), await accounts.user("u1"),
            await accounts.user_named("a1", "admin"), await accounts.user_named("a2", "admin"),
            await accounts.account_named("ACME"), await accounts.access_key("none"),
        ]  # fmt: skip

    assert asyncio.run(read()) == [account, account, project, project, user, user, None, None, None]


def test_an_image_is_its_projects_or_everybodys(store: Store) -> None:
    mine, theirs = an_image("mine"), an_image("theirs", project=OTHER)
    gold = an_image("gold", project=OTHER, image_type=ImageType.GOLD)
    for image in (mine, theirs, gold):
        write(store, lambda tx, image=image: tx.images.add(image))
    assert asyncio.run(store.images.get(PROJECT, "mine")) == mine
    assert asyncio.run(store.images.get(PROJECT, "gold")) == gold
    with pytest.raises(ImageNotFound):
        asyncio.run(store.images.get(PROJECT, "theirs"))
    assert {image.id for image in asyncio.run(store.images.page(PROJECT, marker="", limit=10))} == {"mine", "gold"}


def test_recording_an_image_again_changes_nothing(store: Store) -> None:
    for name in ("first", "second"):
        image = Image(id="i1", project_id=PROJECT, name=name)
        write(store, lambda tx, image=image: tx.images.add(image))
    assert asyncio.run(store.images.find("i1")).name == "first"
    assert kinds(store) == ["image.added"]


def test_an_image_changes_only_from_the_state_it_is_thought_to_be_in(store: Store) -> None:
    image = an_image()
    write(store, lambda tx: tx.images.add(image))
    change = {"status": ImageStatus.ACTIVE, "size": 7}
    assert not write(store, lambda tx: tx.images.change(image, 5, of=ImageStatus.SAVING, **change))
    assert write(store, lambda tx: tx.images.change(image, 5, of=ImageStatus.QUEUED, **change))
    found = asyncio.run(store.images.find("i1"))
    assert (found.status, found.size, found.updated_at) == (ImageStatus.ACTIVE, 7, 5)
    assert kinds(store) == ["image.added", "image.changed"]


def test_images_are_paged_newest_first(store: Store) -> None:
    for number, at in enumerate((10, 20, 20, 5)):
        image = an_image(f"i{number}", created_at=at)
        write(store, lambda tx, image=image: tx.images.add(image))
    found: list[str] = []
    while page := asyncio.run(store.images.page(PROJECT, marker=found[-1] if found else "", limit=1)):
        found.extend(image.id for image in page)
    assert found == ["i2", "i1", "i0", "i3"]


def test_jobs_are_paged_newest_first_by_type_and_status(store: Store) -> None:
    for number, kind in enumerate((JobType.CREATE_SERVER, JobType.DELETE_SERVER, JobType.CREATE_SERVER)):
        write(store, lambda tx, number=number, kind=kind: tx.jobs.add(a_job(number, job_type=kind)))
    write(store, lambda tx: tx.jobs.add(a_job(9, project=OTHER)))

    def page(kind: Any = None, status: Any = None, offset: int = 0, limit: int = 10) -> tuple[int, list[int]]:
        count, jobs = asyncio.run(store.jobs.page(PROJECT, kind, status, offset, limit))
        assert all(job.sub_jobs == () for job in jobs)
        return count, [(int(job.id) - BASE) // 10 for job in jobs]

    assert page() == (3, [2, 1, 0])
    assert page(limit=1, offset=1) == (3, [1])
    assert page(offset=3) == (3, [])
    assert page(JobType.CREATE_SERVER) == (2, [2, 0])
    assert page(JobType.CREATE_SERVER, JobStatus.FAILED) == (0, [])
    assert page(None, JobStatus.RUNNING) == (3, [2, 1, 0])


def test_jobs_are_paged_by_the_image_server_that_they_are_about(store: Store) -> None:
    create, build, other = (a_job(number) for number in range(3))
    server = a_server()
    for job in (create, build, other):
        write(store, lambda tx, job=job: tx.jobs.add(job))
    write(store, lambda tx: tx.servers.add(server, ACCESS, job=create))
    moved = write(store, lambda tx: tx.servers.move(server.id, ServerStatus.BUILDING, 1, job=build))
    assert moved

    count, jobs = asyncio.run(store.jobs.page(PROJECT, None, None, 0, 10, server_id=server.id))

    assert (count, [job.id for job in jobs]) == (2, [build.id, create.id])
    assert asyncio.run(store.jobs.page(PROJECT, None, None, 0, 10, server_id="none")) == (0, [])
    assert asyncio.run(store.jobs.page(OTHER, None, None, 0, 10, server_id=server.id)) == (0, [])


def test_another_projects_records_are_not_found(store: Store) -> None:
    job, server = a_job(project=OTHER), a_server(project=OTHER)
    write(store, lambda tx: tx.jobs.add(job))
    write(store, lambda tx: tx.servers.add(server, ACCESS, job=job))
    with pytest.raises(JobNotFound, match=job.id):
        asyncio.run(store.jobs.get(PROJECT, job.id))
    with pytest.raises(ServerNotFound, match=server.id):
        asyncio.run(store.servers.get(PROJECT, server.id))


# Moves


def test_a_sub_job_moves_as_it_may_and_each_move_is_told_once(store: Store) -> None:
    job = a_job()
    (sub_job,) = job.sub_jobs
    write(store, lambda tx: tx.jobs.add(job))

    def move(to: SubJobStatus, at: int, **more: str) -> bool:
        return bool(write(store, lambda tx: tx.jobs.move(sub_job, to, at, **more)))

    assert not move(SubJobStatus.SUCCESS, 5), "nobody has begun it"
    assert move(SubJobStatus.RUNNING, 6)
    assert not move(SubJobStatus.RUNNING, 7), "a step that runs again tells nothing new"
    assert move(SubJobStatus.ROLLBACK, 8, error_code="Darkroom.0203", error_message="flatten: no")
    assert not move(SubJobStatus.SUCCESS, 9)
    write(store, lambda tx: tx.jobs.end(job, 9))
    assert show(store, job).status is JobStatus.RUNNING, "not all have ended"
    assert move(SubJobStatus.FAILED, 10)
    for at in (11, 12):
        write(store, lambda tx, at=at: tx.jobs.end(job, at))
    found = show(store, job)
    assert (found.status, found.end_time) == (JobStatus.FAILED, 11)
    (its,) = found.sub_jobs
    assert (its.status, its.end_time) == (SubJobStatus.FAILED, 10)
    assert (its.error_code, its.error_message) == ("Darkroom.0203", "flatten: no")
    assert kinds(store) == ["job.accepted", *["sub_job.moved"] * 3, "job.ended"]


@pytest.mark.parametrize(("ends", "status"), [([], "SUCCESS"), (["ROLLBACK"], "FAILED")])
def test_a_sub_job_that_was_removed_is_shown_no_more_but_its_job_ends_as_it_did(
    store: Store, ends: list[str], status: str
) -> None:
    job = a_job(subs=2)
    removed, left = job.sub_jobs

    def run(tx: Transaction) -> None:
        tx.jobs.add(job)
        for to in ("RUNNING", *ends, status):
            assert tx.jobs.move(removed, SubJobStatus(to), 2000)
        tx.jobs.delete_sub_jobs(PROJECT, [removed.id], 2001)
        for to in ("RUNNING", "SUCCESS"):
            assert tx.jobs.move(left, SubJobStatus(to), 2002)
        tx.jobs.end(job, 2003)

    write(store, run)
    shown = show(store, job)
    assert (shown.status, shown.sub_jobs_total) == (status, 1)
    assert [sub_job.id for sub_job in shown.sub_jobs] == [left.id]
    count, found = asyncio.run(store.jobs.sub_jobs_page(PROJECT, SubJobFilter(job_id=job.id), 0, 10))
    assert (count, [sub_job.id for sub_job in found]) == (1, [left.id])
    known = asyncio.run(store.jobs.find(job.id))
    assert known
    assert [sub_job.id for sub_job in known.sub_jobs] == [removed.id, left.id], "who runs the job goes by them"
    write(store, lambda tx: tx.retention.purge_jobs([job.id]))
    assert asyncio.run(store.jobs.find(job.id)) is None


def test_a_server_moves_only_from_where_it_may(store: Store) -> None:
    job, server = a_job(), a_server()
    write(store, lambda tx: tx.servers.add(server, ACCESS, job=job))

    def move(to: ServerStatus, **more: Any) -> bool:
        return bool(write(store, lambda tx: tx.servers.move(server.id, to, 5, job=job, **more)))

    assert not move(ServerStatus.BUILDING, of={ServerStatus.ACTIVE, ServerStatus.BUILT})
    assert not move(ServerStatus.BUILDING, of=set())
    assert move(ServerStatus.ACTIVE, names={"instance_id": "vm"})
    assert not move(ServerStatus.ACTIVE, names={"instance_id": "another"}), "it is there already"
    found = asyncio.run(store.servers.get(PROJECT, server.id))
    assert (found.status, found.instance_id, found.update_time) == (ServerStatus.ACTIVE, "vm", 5)
    for _ in range(2):
        write(store, lambda tx: tx.servers.remove(server.id, 6, job=job))
    assert asyncio.run(store.servers.find(server.id)) is None
    with pytest.raises(ServerNotFound):
        asyncio.run(store.servers.access(server))
    assert kinds(store) == ["server.added", "server.moved", "server.removed"]


# Events


def test_an_event_of_a_name_is_written_once_and_takes_one_number(store: Store) -> None:
    for once in ("a", "b", "a", None, "a", "b", None, "c"):
        write(
            store,
            lambda tx, once=once: tx.events.add("step", 1, PROJECT, job_id=str(BASE), data={"o": once}, once=once),
        )
    events = asyncio.run(store.events.of_job(str(BASE)))
    assert [event.data["o"] for event in events] == ["a", "b", None, None, "c"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]


def follow(store: Store, after: int) -> list[str]:
    """Return the kinds of the project's events that come after one."""
    return [event.kind for event in asyncio.run(store.events.of_project_after(PROJECT, after, 100))]


def add_event(connection: sa.Connection, kind: str) -> int:
    """Write an event in a transaction that is under way; return its number."""
    tx = Transaction(connection, Sealer(KEY))
    tx.events.add(kind, 1, PROJECT)
    return int(connection.scalar(sa.text("SELECT max(seq) FROM events")) or 0)


def test_events_are_read_after_one_that_is_there_that_is_gone_or_that_never_was(store: Store) -> None:
    for kind in ("a", "b", "c"):
        write(store, lambda tx, kind=kind: tx.events.add(kind, 1, PROJECT))
    write(store, lambda tx: tx.connection.execute(sa.text("DELETE FROM events WHERE kind = 'b'")))
    assert [follow(store, after) for after in (0, 1, 2, 3, 99)] == [["a", "c"], ["c"], ["c"], [], []]
    assert asyncio.run(store.events.last(PROJECT)) == 3


def test_who_follows_events_misses_none_that_becomes_visible_late(postgres_store: Store) -> None:
    """The later transaction gets the smaller number, and is committed last."""
    engine = postgres_store.database.engine
    with engine.connect() as older, engine.connect() as younger:
        older.execute(sa.text("SELECT pg_current_xact_id()"))
        smaller = add_event(younger, "smaller number")
        greater = add_event(older, "greater number")
        assert smaller < greater
        older.commit()
        assert follow(postgres_store, 0) == ["greater number"]
        assert asyncio.run(postgres_store.events.last(PROJECT)) == greater
        younger.commit()
    assert follow(postgres_store, greater) == ["smaller number"]
    assert follow(postgres_store, 0) == ["greater number", "smaller number"]
    assert follow(postgres_store, smaller) == []


def test_what_is_written_is_not_read_before_a_transaction_that_began_earlier_has_ended(postgres_store: Store) -> None:
    engine = postgres_store.database.engine
    with engine.connect() as older, engine.connect() as younger:
        add_event(older, "first")
        add_event(younger, "second")
        younger.commit()
        assert follow(postgres_store, 0) == []
        assert asyncio.run(postgres_store.events.last(PROJECT)) == 0
        older.commit()
    assert follow(postgres_store, 0) == ["first", "second"]


def test_events_that_were_restored_from_another_server_are_read(postgres_store: Store) -> None:
    """Its transactions may have had greater numbers."""
    write(postgres_store, lambda tx: tx.events.add("restored", 1, PROJECT))
    elsewhere = sa.text("UPDATE events SET written_in = written_in + 1000000000")
    write(postgres_store, lambda tx: tx.connection.execute(elsewhere))
    assert follow(postgres_store, 0) == []
    postgres_store.migrate()
    write(postgres_store, lambda tx: tx.events.add("since then", 1, PROJECT))
    assert follow(postgres_store, 0) == ["restored", "since then"]


def test_a_repeated_event_in_one_transaction_is_left_out_too(store: Store) -> None:
    def twice(tx: Transaction) -> None:
        for _ in range(2):
            tx.events.add("step", 1, PROJECT, job_id=str(BASE), once="a")

    write(store, twice)
    assert kinds(store) == ["step"]


def test_a_write_that_raises_leaves_nothing_not_even_an_event(store: Store) -> None:
    job, server = a_job(), a_server()

    def fail(tx: Transaction) -> None:
        tx.jobs.add(job)
        tx.servers.add(server, ACCESS, job=job)
        tx.images.add(an_image())
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write(store, fail)
    assert kinds(store) == []
    assert asyncio.run(store.jobs.find(job.id)) is None
    assert asyncio.run(store.servers.find(server.id)) is None
    assert asyncio.run(store.images.find("i1")) is None
    write(store, lambda tx: tx.jobs.add(job))
    assert kinds(store) == ["job.accepted"], "the next one is not hindered"


def test_a_write_waits_for_the_disk_if_it_must_last_and_else_not(store: Store) -> None:
    asked, waits, does_not_wait = "PRAGMA synchronous", 2, 1
    if store.database.url.startswith("postgresql"):
        asked, waits, does_not_wait = "SHOW synchronous_commit", "on", "off"
        name = write(store, lambda tx: tx.connection.scalar(sa.text("SELECT current_database()")))
        write(store, lambda tx: tx.connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit = on")))
        store.database.engine.dispose()
    for lasting in (True, False, True, False):  # no write hands on how it was done
        found = asyncio.run(store.write(lambda tx: tx.connection.scalar(sa.text(asked)), lasting=lasting))
        assert found == (waits if lasting else does_not_wait)


def test_a_write_that_need_not_last_is_whole_or_nothing_too(store: Store) -> None:
    def add(tx: Transaction) -> None:
        tx.jobs.add(a_job())

    def fail(tx: Transaction) -> None:
        tx.jobs.add(a_job(1))
        raise RuntimeError("in the middle")

    asyncio.run(store.write(add, lasting=False))
    with pytest.raises(RuntimeError, match="in the middle"):
        asyncio.run(store.write(fail, lasting=False))
    assert kinds(store) == ["job.accepted"]


def test_what_is_being_written_is_seen_by_nobody_before_its_end(store: Store) -> None:
    job = a_job()

    def look_meanwhile(tx: Transaction) -> None:
        tx.jobs.add(job)
        assert asyncio.run(store.jobs.find(job.id)) is None
        assert kinds(store) == []

    store.database.write_now(look_meanwhile)
    assert show(store, job) == job


def test_writes_at_the_same_time_wait_for_each_other(store: Store) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(store.write(lambda tx, n=n: tx.jobs.add(a_job(n))) for n in range(20)))

    asyncio.run(all_at_once())
    assert asyncio.run(store.jobs.page(PROJECT, None, None, 0, 1))[0] == 20
    assert kinds(store) == ["job.accepted"] * 20


# Filters and keys

NAMES = ["Abc", "a_c", "a%c", "a!c", "镜像-A", "xabcx"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("abc", ["Abc", "xabcx"]), ("ABC", ["Abc", "xabcx"]), ("_", ["a_c"]), ("%", ["a%c"]), ("!", ["a!c"]),
        ("a_c", ["a_c"]), ("!%", []), ("%%", []), ("\\", []), ("'", []), ("镜像", ["镜像-A"]), ("像-a", ["镜像-A"]),
        ("", NAMES),
    ],
)  # fmt: skip
def test_part_of_a_name_is_taken_literally_in_either_case(store: Store, wanted: str, found: list[str]) -> None:
    for number, name in enumerate(NAMES):
        write(store, lambda tx, n=number, name=name: tx.servers.add(a_server(n, name), ACCESS, job=a_job()))
    count, servers = asyncio.run(store.servers.page(PROJECT, name_contains=wanted, offset=0, limit=100))
    assert (count, [server.name for server in servers]) == (len(found), found[::-1])


@pytest.mark.parametrize(
    ("text", "key"), [("1", 1), ("912345678901234567", 912345678901234567), (str(2**63 - 1), 2**63 - 1)]
)
def test_a_snowflake_has_a_key(text: str, key: int) -> None:
    assert key_of(text) == key


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "-1", "+1", "01", " 1", "1 ", "1\n", "1_0", "1.0", "1e3", "0x1", "١", "１", "a", "\0", "1\0",
        str(2**63), "9" * 19, "9" * 5000, "None",
    ],
)  # fmt: skip
def test_any_other_text_has_no_key(text: str) -> None:
    assert key_of(text) == -1


@given(st.text() | st.integers().map(str))
def test_a_key_leads_back_to_its_text(text: str) -> None:
    assert key_of(text) == -1 or str(key_of(text)) == text


# A database that does not answer


def test_a_database_that_is_locked_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.01)
    store = Store(f"sqlite:///{tmp_path / 'darkroom.db'}", Sealer(KEY))
    store.migrate()
    try:
        with closing(sqlite3.connect(file_of(store), isolation_level=None)) as blocker:
            blocker.execute("BEGIN EXCLUSIVE")
            with pytest.raises(Unavailable):
                write(store, lambda tx: tx.jobs.add(a_job()))
            blocker.execute("ROLLBACK")
        write(store, lambda tx: tx.jobs.add(a_job()))
        assert kinds(store) == ["job.accepted"]
    finally:
        store.close()


def test_a_database_that_has_gone_is_unavailable_and_is_not_made_by_a_look(sqlite_store: Store) -> None:
    sqlite_store.close()
    path = Path(file_of(sqlite_store))
    path.unlink()
    with pytest.raises(Unavailable):
        asyncio.run(sqlite_store.check())
    with pytest.raises(Unavailable):
        asyncio.run(sqlite_store.jobs.find(str(BASE)))
    assert not path.exists()


def test_a_store_that_was_closed_can_be_opened_again(store: Store) -> None:
    job = a_job()
    write(store, lambda tx: tx.jobs.add(job))
    store.close()
    asyncio.run(store.check())
    assert show(store, job) == job
