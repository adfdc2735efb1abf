"""Webhooks: what callers may do with them. Beside the contract."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.domain.ids import DeliveryId, ProjectId, Snowflakes, WebhookId
from darkroom.domain.times import Clock
from darkroom.domain.webhooks import TEST_KIND, Delivery, DeliveryStatus, Secrets, Webhook, new_secret
from darkroom.drivers.outbound import Outbound
from darkroom.errors import Conflict, InvalidParameter, QuotaExceeded
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

#: Webhooks that a project may have.
MOST: Final = 20


class Webhooks:
    """What callers may do with webhooks. `spell` writes an event as its receiver reads it."""

    def __init__(
        self,
        store: Store,
        outbound: Outbound,
        spell: Callable[[ProjectId, Event], bytes],
        snowflakes: Snowflakes,
        clock: Clock,
    ) -> None:
        self._store, self._outbound, self._spell = store, outbound, spell
        self._snowflakes, self._clock = snowflakes, clock

    async def add(
        self, caller: Caller, project_id: ProjectId, *, url: str, kinds: Sequence[str], description: str
    ) -> tuple[Webhook, str]:
        """Record a webhook, which gets events from now on; return it and its secret. Raises QuotaExceeded."""
        caller.must("workspace:webhook:create", project_id)
        self._check(url)
        secret, now = new_secret(), self._clock()
        webhook_id = WebhookId(self._snowflakes.mint())

        def add(tx: Transaction) -> Webhook:
            tx.lock(f"webhooks {project_id}")
            if (count := tx.webhooks.count(project_id)) >= MOST:
                raise QuotaExceeded(f"The project may have {MOST} webhooks, and has {count}.")
            webhook = Webhook(
                id=webhook_id,
                project_id=project_id,
                url=url,
                kinds=tuple(dict.fromkeys(kinds)),
                description=description,
                created_at=now,
                updated_at=now,
            )
            return tx.webhooks.add(webhook, Secrets(current=secret))

        return await self._store.write(add), secret

    async def show(self, caller: Caller, project_id: ProjectId, webhook_id: str) -> Webhook:
        """Return a webhook. Raises WebhookNotFound, also for another project's."""
        caller.must("workspace:webhook:get", project_id)
        return await self._store.webhooks.get(project_id, webhook_id)

    async def page(
        self, caller: Caller, project_id: ProjectId, *, offset: int, limit: int
    ) -> tuple[int, list[Webhook]]:
        """Return how many webhooks the project has, and one page of them, newest first."""
        caller.must("workspace:webhook:list", project_id)
        return await self._store.webhooks.page(project_id, offset, limit)

    async def change(self, caller: Caller, project_id: ProjectId, webhook_id: str, changes: dict[str, Any]) -> Webhook:
        """Change a webhook. One that is enabled again gets what is still on its way, and events from now on."""
        caller.must("workspace:webhook:update", project_id)
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        if "url" in changes:
            self._check(changes["url"])
        now = self._clock()

        def change(tx: Transaction) -> None:
            more: dict[str, Any] = {}
            if changes.get("enabled") and not webhook.enabled:
                more = {"cursor": tx.webhooks.newest_event(project_id), "disabled_reason": "", "failing_since": None}
            tx.webhooks.change(webhook, now, **changes, **more)

        if changes:
            await self._store.write(change)
        return await self._store.webhooks.get(project_id, webhook_id)

    async def rotate(self, caller: Caller, project_id: ProjectId, webhook_id: str) -> str:
        """Return a new secret; the former one goes on signing beside it for a day."""
        caller.must("workspace:webhook:update", project_id)
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        now = self._clock()
        secrets = (await self._store.webhooks.secrets(webhook)).rotated(now)
        await self._store.write(lambda tx: tx.webhooks.rotate(webhook, secrets, now))
        return secrets.current

    async def remove(self, caller: Caller, project_id: ProjectId, webhook_id: str) -> None:
        """Remove a webhook with its deliveries."""
        caller.must("workspace:webhook:delete", project_id)
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        await self._store.write(lambda tx: tx.webhooks.remove(webhook, self._clock()))

    async def deliveries(
        self,
        caller: Caller,
        project_id: ProjectId,
        webhook_id: str,
        *,
        status: DeliveryStatus | None,
        offset: int,
        limit: int,
    ) -> tuple[int, list[Delivery]]:
        """Return how many deliveries a webhook has, all or those in one state, and one page of them, newest first."""
        caller.must("workspace:webhook:listDeliveries", project_id)
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        return await self._store.webhooks.deliveries(webhook, status, offset, limit)

    async def delivery(self, caller: Caller, project_id: ProjectId, webhook_id: str, delivery_id: str) -> Delivery:
        """Return a delivery. Raises DeliveryNotFound."""
        caller.must("workspace:webhook:getDelivery", project_id)
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        return await self._store.webhooks.delivery(webhook, delivery_id)

    async def test(self, caller: Caller, project_id: ProjectId, webhook_id: str) -> Delivery:
        """Have an event sent that says nothing, once and whatever kinds the webhook is for. Raises Conflict."""
        caller.must("workspace:webhook:test", project_id)
        webhook = await self._enabled(project_id, webhook_id)
        now, delivery_id = self._clock(), DeliveryId(self._snowflakes.mint())
        event = Event(seq=0, at=now, kind=TEST_KIND, sub_job_id=None, resource_id=delivery_id, data={})
        delivery = Delivery(
            id=delivery_id,
            webhook_id=webhook.id,
            event_seq=None,
            kind=TEST_KIND,
            body=self._spell(project_id, event).decode(),
            next_at=now,
            created_at=now,
        )
        await self._store.write(lambda tx: tx.webhooks.add_delivery(delivery))
        return delivery

    async def redeliver(self, caller: Caller, project_id: ProjectId, webhook_id: str, delivery_id: str) -> Delivery:
        """Have a delivery sent again, however it ended, or at once if it waits. Raises Conflict."""
        caller.must("workspace:webhook:redeliver", project_id)
        webhook = await self._enabled(project_id, webhook_id)
        delivery = await self._store.webhooks.delivery(webhook, delivery_id)
        await self._store.write(lambda tx: tx.webhooks.redeliver(delivery, self._clock()))
        return await self._store.webhooks.delivery(webhook, delivery_id)

    async def _enabled(self, project_id: ProjectId, webhook_id: str) -> Webhook:
        webhook = await self._store.webhooks.get(project_id, webhook_id)
        if not webhook.enabled:
            raise Conflict(f"The webhook {webhook.id} is disabled; enable it first.")
        return webhook

    def _check(self, url: str) -> None:
        """Raise InvalidParameter for a URL that nothing could ever be sent to."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidParameter("url", f"is no URL: {error}") from None
        if not host:
            raise InvalidParameter("url", "must name a host")
        if parts.username is not None or parts.fragment:
            raise InvalidParameter("url", "must have neither a user nor a fragment")
        if not self._outbound.may_reach(host):
            raise InvalidParameter("url", f"{host} is not a public address, which is not allowed here")
