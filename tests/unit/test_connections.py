"""Connections to PostgreSQL that reads share: no answer goes astray, and one that is broken is not used again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
import psycopg
import pytest

from darkroom.errors import Unavailable
from darkroom.store import postgres
from darkroom.store.connections import LIMIT
from darkroom.store.rows import Row
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store

_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_ASLEEP = f"SELECT count(*) {_OTHERS} AND state = 'active' AND query LIKE '%pg_sleep%'"


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    store = Store(postgres_url, Sealer(Sealer.new_key()))
    store.migrate()
    yield store
    store.close()


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Callable[..., Awaitable[object]]]:
    """Give what runs a read and returns its one value."""
    store = Store(url, Sealer(Sealer.new_key()))

    async def value(sql: str, **parameters: object) -> object:
        ((found,),) = await store.database.all(sql, **parameters)
        return found

    try:
        yield value
    finally:
        store.close()


async def eventually(told: Callable[[], Awaitable[object]], wanted: object) -> None:
    for _ in range(1000):
        if await told() == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never became {wanted}")


def test_a_read_that_is_cancelled_ends_in_the_database_too_and_nobody_gets_its_answer(postgres_url: str) -> None:
    async def reads() -> None:
        async with reading(postgres_url) as value:
            await value("SELECT 1")
            asleep = asyncio.create_task(value("SELECT 'slept' || pg_sleep(600)::text"))
            await eventually(lambda: value(_ASLEEP), 1)
            asleep.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asleep
            assert [await value("SELECT CAST(:n AS int)", n=n) for n in range(3)] == [0, 1, 2]
            await eventually(lambda: value(_ASLEEP), 0)

    asyncio.run(reads())


def test_reads_that_are_many_share_few_connections_and_each_gets_its_own_answer(postgres_url: str) -> None:
    async def reads() -> None:
        async with reading(postgres_url) as value:
            answers = await asyncio.gather(
                *(value("SELECT CAST(:n AS int) FROM pg_sleep(0.01)", n=n) for n in range(100))
            )
            assert answers == list(range(100))
            with psycopg.connect(postgres_url) as look:
                assert look.execute(f"SELECT count(*) {_OTHERS}").fetchone() == (LIMIT,)

    asyncio.run(reads())


def test_connections_that_the_database_has_ended_are_replaced(postgres_url: str) -> None:
    async def reads() -> None:
        async with reading(postgres_url) as value:
            await asyncio.gather(*(value("SELECT 1 FROM pg_sleep(0.05)") for _ in range(3)))
            with psycopg.connect(postgres_url, autocommit=True) as another:
                another.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")

            async def answer() -> object:
                try:
                    return await value("SELECT 1")
                except Unavailable:  # nobody has heard of the end before
                    return None

            await eventually(answer, 1)
            assert await asyncio.gather(*(value("SELECT 1 FROM pg_sleep(0.05)") for _ in range(3))) == [1, 1, 1]

    asyncio.run(reads())


def test_a_statement_that_is_refused_costs_no_connection(postgres_url: str) -> None:
    async def reads() -> None:
        async with reading(postgres_url) as value:
            mine = await value("SELECT pg_backend_pid()")
            with pytest.raises(asyncpg.UndefinedColumnError):
                await value("SELECT nonsense")
            assert await value("SELECT pg_backend_pid()") == mine

    asyncio.run(reads())


@pytest.mark.parametrize(
    ("query", "setting", "value"),
    [
        ("options=-csearch_path%3Dmine", "search_path", "mine"),
        ("connect_timeout=7&keepalives_idle=5", "standard_conforming_strings", "on"),
    ],
)
def test_what_the_url_says_of_the_sessions_holds_for_reads_and_for_writes_of_both_kinds(
    postgres_url: str, query: str, setting: str, value: str
) -> None:
    store = Store(f"{postgres_url}?{query}", Sealer(Sealer.new_key()))
    show, shown = f"SHOW {setting}", []

    async def reads() -> None:
        for read in (store.database.all, store.database.survey):
            shown.extend(await read(show))

    asyncio.run(reads())
    for lasting in (True, False):
        shown.append(store.database.write_now(lambda tx: tx.connection.exec_driver_sql(show).one(), lasting=lasting))
    store.close()
    assert shown == [(value,)] * 4


def test_only_what_need_not_be_lasting_does_not_wait_for_the_disk(store: Store) -> None:
    def waits(lasting: bool) -> object:
        ask = "SHOW synchronous_commit"
        return store.database.write_now(lambda tx: tx.connection.exec_driver_sql(ask).scalar_one(), lasting=lasting)

    assert [waits(lasting) for lasting in (True, False, True)] == [waits(True), "off", waits(True)]


def test_a_survey_is_planned_for_what_it_asks_however_often_it_is_asked(store: Store) -> None:
    async def generic_plans(read: Callable[..., Awaitable[list[Row]]]) -> object:
        for number in range(10):
            await read("SELECT CAST(:n AS int)", n=number)
        ((plans,),) = await read(
            "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT CAST($1%'"
        )
        return plans

    async def reads() -> None:
        assert await generic_plans(store.database.survey) == 0
        assert await generic_plans(store.database.all) == 5, "what others do after five times"

    asyncio.run(reads())


def test_surveys_that_take_long_do_not_hold_up_other_reads(store: Store) -> None:
    async def reads() -> None:
        surveys = [asyncio.create_task(store.database.survey("SELECT pg_sleep(600)")) for _ in range(2 * LIMIT)]
        await eventually(lambda: _one(store, _ASLEEP), LIMIT)
        for survey in surveys:
            survey.cancel()
        await asyncio.gather(*surveys, return_exceptions=True)

    asyncio.run(reads())


async def _one(store: Store, sql: str) -> object:
    ((found,),) = await store.database.all(sql)
    return found


# Writes, which share connections of SQLAlchemy's


def _cut_off(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as another:
        another.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")


def lock(store: Store) -> None:
    store.database.write_now(lambda tx: tx.lock("anything"))


def test_a_connection_that_has_rested_is_replaced_if_it_is_dead(
    store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(store)
    _cut_off(postgres_url)
    monkeypatch.setattr(postgres, "RESTED", 0.0)
    lock(store)


def test_a_connection_that_was_used_a_moment_ago_and_is_dead_fails_one_write_and_no_more(
    store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "RESTED", 600.0)
    lock(store)
    _cut_off(postgres_url)
    with pytest.raises(Unavailable):
        lock(store)
    lock(store)
