"""Changes webhooks, each change with its event, and keeps what becomes of their deliveries."""

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from darkroom.domain.ids import ProjectId
from darkroom.domain.webhooks import Attempt, Delivery, DeliveryStatus, Secrets, Webhook
from darkroom.store.events import EventWrites
from darkroom.store.rows import key_of, to_json
from darkroom.store.sealing import Sealer
from darkroom.store.tables import events, webhook_deliveries, webhooks
from darkroom.store.webhooks import DELIVERY_FIELDS, PURPOSE, WEBHOOK_FIELDS


class WebhookWrites:
    """Changes webhooks and deliveries. How sending went is no change of anything, so there are no events of that."""

    def __init__(self, connection: sa.Connection, events: EventWrites, sealer: Sealer) -> None:
        self._connection, self._events, self._sealer = connection, events, sealer

    def count(self, project_id: ProjectId) -> int:
        query = sa.select(sa.func.count()).where(webhooks.c.project_id == project_id)
        return int(self._connection.scalar(query) or 0)

    def newest_event(self, project_id: ProjectId) -> int:
        """Return the number of a project's newest event, or 0."""
        newest = events.c.written_in.desc(), events.c.seq.desc()
        query = sa.select(events.c.seq).where(events.c.project_id == project_id).order_by(*newest).limit(1)
        return int(self._connection.scalar(query) or 0)

    def add(self, webhook: Webhook, secrets: Secrets) -> Webhook:
        """Record a webhook that gets what happens after this; return it as it is recorded."""
        self._event("webhook.added", webhook.created_at, webhook, {"url": webhook.url, "kinds": webhook.kinds})
        webhook = msgspec.structs.replace(webhook, cursor=self.newest_event(webhook.project_id))
        values = {field: getattr(webhook, field) for field in WEBHOOK_FIELDS}
        values |= {"id": key_of(webhook.id), "kinds": to_json(webhook.kinds), "sealed_secrets": self._sealed(secrets)}
        self._connection.execute(webhooks.insert(), values)
        return webhook

    def change(self, webhook: Webhook, at: int, **changes: Any) -> None:
        """Change what its owner may change, or why it is disabled."""
        told = {name: value for name, value in changes.items() if name not in ("cursor", "failing_since")}
        if "kinds" in changes:
            changes["kinds"] = to_json(changes["kinds"])
        if self._update(webhook, updated_at=at, **changes):
            self._event("webhook.changed", at, webhook, told)

    def rotate(self, webhook: Webhook, secrets: Secrets, at: int) -> None:
        """Replace its secrets."""
        if self._update(webhook, updated_at=at, sealed_secrets=self._sealed(secrets)):
            self._event("webhook.changed", at, webhook, {"secret": "rotated"})

    def remove(self, webhook: Webhook, at: int) -> None:
        """Remove it with its deliveries."""
        key = key_of(webhook.id)
        self._connection.execute(webhook_deliveries.delete().where(webhook_deliveries.c.webhook_id == key))
        if self._connection.execute(webhooks.delete().where(webhooks.c.id == key)).rowcount:
            self._event("webhook.removed", at, webhook, {"url": webhook.url})

    def remove_all(self, project_id: ProjectId) -> None:
        """Remove those of a project that is removed."""
        theirs = sa.select(webhooks.c.id).where(webhooks.c.project_id == project_id)
        self._connection.execute(webhook_deliveries.delete().where(webhook_deliveries.c.webhook_id.in_(theirs)))
        self._connection.execute(webhooks.delete().where(webhooks.c.project_id == project_id))

    def failing(self, webhook: Webhook, since: int | None) -> None:
        """Keep since when it fails; None when it works. The first such time stays."""
        still = webhooks.c.failing_since.is_(None) if since else webhooks.c.failing_since.is_not(None)
        self._connection.execute(webhooks.update().where(_is(webhook), still).values(failing_since=since))

    def take_up(self, webhook: Webhook, cursor: int, deliveries: Collection[Delivery]) -> None:
        """Record deliveries of events up to that of a number, unless somebody else has taken them up."""
        moved = webhooks.update().where(_is(webhook), webhooks.c.cursor == webhook.cursor, webhooks.c.enabled)
        if self._connection.execute(moved.values(cursor=cursor)).rowcount:
            for delivery in deliveries:
                self.add_delivery(delivery)

    def add_delivery(self, delivery: Delivery) -> None:
        values = {field: getattr(delivery, field) for field in DELIVERY_FIELDS}
        values |= {
            "id": key_of(delivery.id),
            "webhook_id": key_of(delivery.webhook_id),
            "attempts": to_json(delivery.attempts),
        }
        self._connection.execute(webhook_deliveries.insert(), values)

    def attempted(
        self, delivery: Delivery, attempts: Collection[Attempt], status: DeliveryStatus, *, at: int, next_at: int
    ) -> bool:
        """Keep how an attempt went; say whether the delivery was still as it had been when it was sent."""
        ended_at = None if status is DeliveryStatus.PENDING else at
        kept = self._connection.execute(
            webhook_deliveries.update()
            .where(
                webhook_deliveries.c.id == key_of(delivery.id),
                webhook_deliveries.c.status == DeliveryStatus.PENDING,
                webhook_deliveries.c.tries == delivery.tries,
            )
            .values(
                status=status, tries=delivery.tries + 1, next_at=next_at, ended_at=ended_at, attempts=to_json(attempts)
            )
        )
        return bool(kept.rowcount)

    def redeliver(self, delivery: Delivery, at: int) -> None:
        """Have a delivery sent once more, and again if that fails."""
        self._connection.execute(
            webhook_deliveries.update()
            .where(webhook_deliveries.c.id == key_of(delivery.id))
            .values(status=DeliveryStatus.PENDING, tries=0, next_at=at, ended_at=None)
        )

    def purge_deliveries(self, before: int) -> None:
        """Forget deliveries that ended before a time."""
        self._connection.execute(
            webhook_deliveries.delete().where(
                webhook_deliveries.c.status != DeliveryStatus.PENDING, webhook_deliveries.c.ended_at < before
            )
        )

    def _update(self, webhook: Webhook, **changes: Any) -> bool:
        return bool(self._connection.execute(webhooks.update().where(_is(webhook)).values(**changes)).rowcount)

    def _sealed(self, secrets: Secrets) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(secrets), PURPOSE)

    def _event(self, kind: str, at: int, webhook: Webhook, data: dict[str, Any]) -> None:
        self._events.add(kind, at, webhook.project_id, resource_id=webhook.id, data=data)


def _is(webhook: Webhook) -> sa.ColumnElement[bool]:
    return webhooks.c.id == key_of(webhook.id)
