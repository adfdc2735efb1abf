"""Webhooks are delivered: events are taken up from where each webhook is, sent, and tried again.

What is to be delivered is recorded in the transaction that moves the webhook's cursor, and an attempt once it has been
made: whatever ends the process, no event is lost, and some may come twice, under the same message id. Of the processes
that share a database one delivers (see `Turn`). One delivery of a webhook is under way at a time, in order; one that
failed waits for its next attempt and lets the others pass.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from darkroom.domain.events import Event
from darkroom.domain.ids import DeliveryId, ProjectId, Snowflakes
from darkroom.domain.times import Clock
from darkroom.domain.webhooks import (
    ATTEMPTS_KEPT,
    PAUSES_MS,
    TEST_KIND,
    Attempt,
    Delivery,
    DeliveryStatus,
    Webhook,
    signature,
)
from darkroom.drivers.outbound import Outbound, Undeliverable
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

log = structlog.get_logger(__name__)

#: Seconds between two looks for what is to be delivered.
INTERVAL: Final = 0.5
#: Attempts at one time, of all webhooks; events taken up at one time, of each.
CONCURRENCY, BATCH = 20, 200
#: Milliseconds for which deliveries that ended are kept, and between two looks for older ones.
KEPT_MS, PURGE_MS = 7 * 24 * 3_600_000, 3_600_000
#: The status with which a receiver says that it wants no more.
GONE: Final = 410

Spell = Callable[[ProjectId, Event], bytes]


class Postman:
    """Delivers webhooks. `spell` writes an event as its receiver reads it."""

    def __init__(self, store: Store, outbound: Outbound, spell: Spell, snowflakes: Snowflakes, clock: Clock) -> None:
        self._store, self._outbound, self._spell = store, outbound, spell
        self._snowflakes, self._clock = snowflakes, clock
        self._turn = store.turn("webhooks")
        self._room = asyncio.Semaphore(CONCURRENCY)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._purged_at = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the end of the context."""
        task = asyncio.create_task(self._repeat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._stop()
            await asyncio.to_thread(self._turn.close)
            await self._outbound.close()

    async def round(self) -> None:
        """Take up what has happened, and begin to send what is due."""
        for webhook in await self._store.webhooks.enabled():
            try:
                await self._look_after(webhook)
            except Exception as error:  # whatever it is: the others are looked after
                log.warning("a webhook was not looked after", webhook_id=webhook.id, reason=str(error))
        if self._clock() - self._purged_at > PURGE_MS:
            self._purged_at = self._clock()
            await self._store.write(lambda tx: tx.webhooks.purge_deliveries(self._clock() - KEPT_MS))

    async def settled(self) -> None:
        """Wait until nothing is being sent."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            try:
                if await asyncio.to_thread(self._turn.is_mine):
                    await self.round()
                else:
                    await self._stop()
            except Exception as error:  # whatever it is: the loop goes on
                log.warning("webhooks were not looked after", reason=str(error))
            await asyncio.sleep(INTERVAL)

    async def _look_after(self, webhook: Webhook) -> None:
        await self._take_up(webhook)
        if webhook.id not in self._under_way and await self._store.webhooks.next_due(webhook, self._clock()):
            task = self._under_way[webhook.id] = asyncio.create_task(self._deliver(webhook))
            task.add_done_callback(partial(self._ended, webhook))

    async def _stop(self) -> None:
        for task in self._under_way.values():
            task.cancel()
        await self.settled()

    def _ended(self, webhook: Webhook, task: asyncio.Task[None]) -> None:
        del self._under_way[webhook.id]
        if not task.cancelled() and (error := task.exception()):
            log.warning("a webhook was not delivered to", webhook_id=webhook.id, reason=str(error))

    async def _take_up(self, webhook: Webhook) -> None:
        """Record deliveries of the events that a webhook has not been told of."""
        now = self._clock()
        found = await self._store.events.of_project_after(webhook.project_id, webhook.cursor, BATCH)
        wanted = [self._delivery(webhook, event, now) for event in found if webhook.wants(event.kind)]
        if found:
            await self._store.write(lambda tx: tx.webhooks.take_up(webhook, found[-1].seq, wanted))

    def _delivery(self, webhook: Webhook, event: Event, now: int) -> Delivery:
        return Delivery(
            id=DeliveryId(self._snowflakes.mint()),
            webhook_id=webhook.id,
            event_seq=event.seq,
            kind=event.kind,
            body=self._spell(webhook.project_id, event).decode(),
            next_at=now,
            created_at=now,
        )

    async def _deliver(self, webhook: Webhook) -> None:
        """Send all that is due to a webhook, one after the other."""
        while True:
            now = await self._store.webhooks.find(webhook.id)
            delivery = await self._store.webhooks.next_due(webhook, self._clock())
            if now is None or not now.enabled or delivery is None:
                return
            async with self._room:
                attempt = await self._attempt(now, delivery)
            await self._store.write(partial(self._keep, now, delivery, attempt))

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> Attempt:
        at, body = self._clock(), delivery.body.encode()
        secrets = await self._store.webhooks.secrets(webhook)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "Darkroom",
            "Webhook-Id": delivery.message_id,
            "Webhook-Timestamp": str(at // 1000),
            "Webhook-Signature": signature(secrets.valid(at), delivery.message_id, at // 1000, body),
        }
        try:
            answer = await self._outbound.post(webhook.url, headers, body)
        except Undeliverable as error:
            return Attempt(at=at, took=self._clock() - at, error=str(error))
        return Attempt(
            at=at,
            took=self._clock() - at,
            status=answer.status,
            error=_problem(answer.status),
            answer=answer.beginning,
        )

    def _keep(self, webhook: Webhook, delivery: Delivery, attempt: Attempt, tx: Transaction) -> None:
        """Record an attempt, and what follows from it."""
        now, attempts = self._clock(), [*delivery.attempts, attempt][-ATTEMPTS_KEPT:]
        status, next_at = DeliveryStatus.DELIVERED, 0
        if not attempt.succeeded:
            is_last = delivery.tries >= len(PAUSES_MS) or delivery.kind == TEST_KIND or attempt.status == GONE
            status = DeliveryStatus.FAILED if is_last else DeliveryStatus.PENDING
            next_at = 0 if is_last else now + round(PAUSES_MS[delivery.tries] * random.uniform(0.75, 1.25))  # noqa: S311
        if not tx.webhooks.attempted(delivery, attempts, status, at=now, next_at=next_at):
            return
        if delivery.kind != TEST_KIND or attempt.succeeded:
            tx.webhooks.failing(webhook, None if attempt.succeeded else attempt.at)
        if reason := _why_to_disable(webhook, delivery, attempt, status):
            tx.webhooks.change(webhook, now, enabled=False, disabled_reason=reason)
            log.warning("a webhook is disabled", webhook_id=webhook.id, reason=reason)


def _problem(status: int) -> str:
    """Return what is wrong with an answer of that status; empty if nothing is."""
    if 200 <= status < 300:
        return ""
    redirects = "; redirects are not followed" if 300 <= status < 400 else ""
    return f"The receiver answered {status}{redirects}."


def _why_to_disable(webhook: Webhook, delivery: Delivery, attempt: Attempt, status: DeliveryStatus) -> str:
    """Return why a webhook is to get no more; empty if it is not so."""
    if attempt.status == GONE:
        return f"The receiver answered {GONE}: it wants no more."
    if status is not DeliveryStatus.FAILED or delivery.kind == TEST_KIND or not delivery.attempts:
        return ""
    # This delivery was tried for a day. If nothing else arrived in that time, there is no use in going on.
    first_try = delivery.attempts[-delivery.tries].at
    if webhook.failing_since is None or webhook.failing_since > first_try:
        return ""
    return f"Nothing could be delivered for a day. At last: {attempt.error}"
