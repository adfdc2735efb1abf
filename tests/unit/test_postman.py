"""Delivering webhooks: taken up once, sent in order, tried again for a day; what becomes of those that never answer."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook as Peer

from darkroom.domain.ids import Snowflakes
from darkroom.domain.webhooks import PAUSES_MS, DeliveryStatus, Secrets, Webhook, new_secret, signature
from darkroom.drivers.outbound import Answer, Undeliverable
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.wire.webhooks import cloud_event
from darkroom.workflows.webhooks import BATCH, Postman
from house import DAY, HOUR, MINUTE, PROJECT, Clock
from postgres import Server

SECRET = new_secret()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'darkroom.db'}"
    return str(request.getfixturevalue("postgres_url"))


class World:
    """A postman over real records, whose letters a test answers."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.store = Store(url, Sealer(Sealer.new_key()))
        self.store.migrate()
        self.snowflakes = Snowflakes(self.clock)
        self.sent: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.loop = asyncio.new_event_loop()
        self.postman = Postman(self.store, self, cloud_event, self.snowflakes, self.clock)  # type: ignore[arg-type]

    def close(self) -> None:
        self.do(self.postman._stop())
        self.store.close()
        self.loop.close()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Take what is sent, as the driver would."""
        self.sent.append((url, headers["Webhook-Id"], json.loads(body)))
        answer = self.answers.get(url, 204)
        if isinstance(answer, int):
            return Answer(answer, "")
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return Answer(204, "")
        raise answer

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def write(self, work: Any) -> Any:
        return self.do(self.store.write(work))

    def add(self, url: str = "http://a/", *kinds: str) -> Webhook:
        now = self.clock()
        webhook = Webhook(
            id=self.snowflakes.mint(), project_id=PROJECT, url=url, kinds=kinds or ("*",),
            created_at=now, updated_at=now,
        )  # fmt: skip
        return self.write(lambda tx: tx.webhooks.add(webhook, Secrets(current=SECRET)))

    def happens(self, *kinds: str, project: str = PROJECT) -> None:
        for kind in kinds:
            self.write(lambda tx, kind=kind: tx.events.add(kind, self.clock(), project))

    def round(self) -> None:
        async def round_and_wait() -> None:
            await self.postman.round()
            await self.postman.settled()

        self.do(round_and_wait())

    def now(self, webhook: Webhook) -> Webhook:
        return self.do(self.store.webhooks.find(webhook.id))

    def deliveries(self, webhook: Webhook, status: DeliveryStatus | None = None) -> list[Any]:
        return list(reversed(self.do(self.store.webhooks.deliveries(webhook, status, 0, 1000))[1]))

    def kinds_sent(self, url: str = "http://a/") -> list[str]:
        return [event["type"].removeprefix("darkroom.") for to, _, event in self.sent if to == url]


@pytest.fixture
def world(url: str) -> Iterator[World]:
    world = World(url)
    yield world
    world.close()


def test_what_is_signed_here_an_independent_peer_verifies() -> None:
    other = new_secret()
    clock = Clock()
    seconds = clock() // 1000
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature([SECRET, other], "msg_1", seconds, '{"ä": 1}'.encode()),
    }
    for secret in (SECRET, other):
        assert Peer(secret).verify('{"ä": 1}', signed) == {"ä": 1}
    for wrong in ({**signed, "webhook-id": "msg_2"}, {**signed, "webhook-signature": "v1,AAAA"}):
        with pytest.raises(Exception, match="No matching signature"):
            Peer(SECRET).verify('{"ä": 1}', wrong)


def test_secrets_are_random_and_long_enough() -> None:
    assert len({new_secret() for _ in range(50)}) == 50
    assert len(Peer(SECRET)._whsecret) == 32


def test_a_secret_that_was_replaced_signs_for_a_day() -> None:
    secrets = Secrets(current=SECRET).rotated(0)
    assert secrets.valid(DAY - 1) == [secrets.current, SECRET]
    assert secrets.valid(DAY) == [secrets.current]


def test_it_is_tried_for_about_a_day_less_and_less_often() -> None:
    assert 20 * HOUR < sum(PAUSES_MS) < 30 * HOUR
    assert list(PAUSES_MS) == sorted(PAUSES_MS)
    assert PAUSES_MS[0] < MINUTE


@pytest.mark.parametrize(
    ("patterns", "kind", "is_wanted"),
    [
        (["*"], "job.ended", True), (["job.*"], "job.ended", True), (["job.ended"], "job.ended", True),
        (["step.*", "job.ended"], "job.ended", True), (["job.*"], "jobs.ended", False),
        (["job.accepted"], "job.ended", False), (["sub_job.*"], "job.ended", False),
    ],
)  # fmt: skip
def test_kinds_are_chosen_by_pattern(patterns: list[str], kind: str, is_wanted: bool) -> None:
    webhook = Webhook(id="1", project_id=PROJECT, url="", kinds=tuple(patterns), created_at=0, updated_at=0)
    assert webhook.wants(kind) is is_wanted


def test_a_webhook_gets_what_it_is_for_once_and_in_order(world: World) -> None:
    world.happens("job.before")
    webhook = world.add("http://a/", "job.*")
    world.happens("job.accepted", "step.started", "job.admitted")
    world.happens("job.of_others", project="b" * 32)
    world.round()
    world.happens("job.ended")
    world.round()
    world.round()
    assert world.kinds_sent() == ["job.accepted", "job.admitted", "job.ended"]
    assert {delivery.status for delivery in world.deliveries(webhook)} == {DeliveryStatus.DELIVERED}
    assert len({message for _, message, _ in world.sent}) == 3


def test_more_than_one_batch_is_taken_up(world: World) -> None:
    world.add()
    world.happens(*(f"job.number_{number}" for number in range(BATCH + 5)))
    world.round()
    world.round()
    assert world.kinds_sent() == [f"job.number_{number}" for number in range(BATCH + 5)]


def test_what_fails_is_tried_again_under_the_same_id_while_others_pass(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.answers["http://a/"] = 500
    world.happens("job.first")
    world.round()
    assert world.now(webhook).failing_since == world.clock()
    world.answers["http://a/"] = 204
    world.happens("job.second")
    world.round()
    assert world.kinds_sent() == ["job.first", "job.second"], "the first is not due yet"
    assert world.now(webhook).failing_since is None
    world.clock.passes(2 * PAUSES_MS[0])
    world.round()
    assert world.kinds_sent() == ["job.first", "job.second", "job.first"]
    assert world.sent[0][1] == world.sent[2][1]
    first, _ = world.deliveries(webhook)
    assert [(each.status, each.error) for each in first.attempts] == [(500, "The receiver answered 500."), (204, "")]


def test_after_a_day_of_failing_a_delivery_is_given_up_and_the_webhook_disabled(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.answers["http://a/"] = Undeliverable("Nobody is there.")
    world.happens("job.lost")
    waited = 0
    while world.deliveries(webhook, DeliveryStatus.PENDING) or not world.sent:
        world.round()
        (delivery,) = world.deliveries(webhook)
        waited += max(0, delivery.next_at - world.clock())
        world.clock.passes(max(0, delivery.next_at - world.clock()))
    assert 15 * HOUR < waited < 36 * HOUR
    assert len(world.sent) == len(PAUSES_MS) + 1
    (delivery,) = world.deliveries(webhook)
    assert (delivery.status, len(delivery.attempts)) == (DeliveryStatus.FAILED, len(PAUSES_MS) + 1)
    disabled = world.now(webhook)
    assert not disabled.enabled
    assert disabled.disabled_reason == "Nothing could be delivered for a day. At last: Nobody is there."
    told = world.do(world.store.events.of_resource(PROJECT, webhook.id, 0, 1))[1][0]
    assert told.data == {"enabled": False, "disabled_reason": disabled.disabled_reason}
    world.happens("job.later")
    world.round()
    assert len(world.sent) == len(PAUSES_MS) + 1, "a disabled webhook gets nothing"


def test_one_event_that_is_never_taken_does_not_disable_a_webhook_that_works(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.answers["http://a/"] = 422
    world.happens("job.poison")
    world.round()
    for _ in PAUSES_MS:
        world.clock.passes(8 * HOUR)
        world.answers["http://a/"] = 422
        world.round()
        world.answers["http://a/"] = 204
        world.happens("job.good")
        world.round()
    poison, *others = world.deliveries(webhook)
    assert poison.status == DeliveryStatus.FAILED
    assert {delivery.status for delivery in others} == {DeliveryStatus.DELIVERED}
    assert world.now(webhook).enabled


def test_a_receiver_that_is_gone_is_believed(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.answers["http://a/"] = 410
    world.happens("job.ended")
    world.round()
    assert world.now(webhook).disabled_reason == "The receiver answered 410: it wants no more."


def test_a_receiver_that_hangs_holds_up_no_other(world: World) -> None:
    slow, quick = world.add("http://slow/", "job.*"), world.add("http://quick/", "job.*")
    answer = world.answers["http://slow/"] = asyncio.Event()

    async def play() -> None:
        for number in range(3):
            await world.store.write(lambda tx, number=number: tx.events.add(f"job.{number}", world.clock(), PROJECT))
            await world.postman.round()
            while len(world.kinds_sent("http://quick/")) <= number:
                await asyncio.sleep(0.01)
        while not world.kinds_sent("http://slow/"):
            await asyncio.sleep(0.01)
        assert world.kinds_sent("http://slow/") == ["job.0"], "one at a time"
        answer.set()
        await world.postman.settled()

    world.do(play())
    for webhook in (slow, quick):
        assert [each.status for each in world.deliveries(webhook)] == [DeliveryStatus.DELIVERED] * 3
    assert world.kinds_sent("http://slow/") == ["job.0", "job.1", "job.2"]


def test_what_was_sent_but_not_recorded_comes_again_under_the_same_id(world: World) -> None:
    """The process ends between the answer and its recording."""
    webhook = world.add("http://a/", "job.*")
    world.happens("job.ended")
    world.answers["http://a/"] = asyncio.Event()

    async def end_amidst() -> None:
        await world.postman.round()
        while not world.sent:
            await asyncio.sleep(0.01)
        await world.postman._stop()

    world.do(end_amidst())
    world.answers.clear()
    world.round()
    assert world.kinds_sent() == ["job.ended", "job.ended"]
    assert len({message for _, message, _ in world.sent}) == 1
    assert [each.status for each in world.deliveries(webhook)] == [DeliveryStatus.DELIVERED]


def test_two_that_take_up_the_same_events_record_them_once(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.happens("job.ended")

    async def twice() -> None:
        other = Postman(world.store, world, cloud_event, world.snowflakes, world.clock)  # type: ignore[arg-type]
        await other._take_up(webhook)
        await world.postman._take_up(webhook)

    world.do(twice())
    assert len(world.deliveries(webhook)) == 1


def test_deliveries_that_ended_a_week_ago_are_forgotten(world: World) -> None:
    webhook = world.add("http://a/", "job.*")
    world.happens("job.ended")
    world.round()
    world.clock.passes(8 * DAY)
    world.round()
    assert world.deliveries(webhook) == []
    world.round()
    assert world.kinds_sent() == ["job.ended"], "and not sent anew"


def test_an_event_that_becomes_visible_late_is_not_lost(postgres_server: Server, postgres_url: str) -> None:
    """A number is given out before its transaction is committed, which may be after a later number's."""
    world = World(postgres_url)
    webhook = world.add("http://a/", "job.*")
    world.clock.passes(1)
    insert = (
        "INSERT INTO events (at, project_id, kind, written_in) VALUES (%s, %s, %s, pg_current_xact_id()::text::bigint)"
    )
    with psycopg.connect(postgres_url) as older, psycopg.connect(postgres_url) as younger:
        older.execute("SELECT pg_current_xact_id()")
        younger.execute(insert, (world.clock(), PROJECT, "job.smaller_number"))
        older.execute(insert, (world.clock(), PROJECT, "job.greater_number"))
        older.commit()
        world.round()
        assert world.kinds_sent() == ["job.greater_number"]
        younger.commit()
    world.round()
    world.round()
    assert world.kinds_sent() == ["job.greater_number", "job.smaller_number"]
    assert len(world.deliveries(webhook)) == 2
    world.close()
