"""Reads webhooks and their deliveries."""

from typing import Any

import msgspec

from darkroom.domain.ids import DeliveryId, ProjectId, WebhookId
from darkroom.domain.webhooks import Attempt, Delivery, DeliveryStatus, Secrets, Webhook
from darkroom.errors import DeliveryNotFound, WebhookNotFound
from darkroom.store.rows import Reader, Row, from_json, key_of
from darkroom.store.sealing import Sealer

PURPOSE = "webhooks.sealed_secrets"
WEBHOOK_FIELDS = Webhook.__struct_fields__
DELIVERY_FIELDS = Delivery.__struct_fields__
_WEBHOOK = f"SELECT {', '.join(WEBHOOK_FIELDS)} FROM webhooks"
_DELIVERY = f"SELECT {', '.join(DELIVERY_FIELDS)} FROM webhook_deliveries"
_DUE = "webhook_id = :webhook AND status = 'PENDING' AND next_at <= :at"


class Webhooks:
    """Reads webhooks. A project sees its own."""

    def __init__(self, reader: Reader, sealer: Sealer) -> None:
        self._reader, self._sealer = reader, sealer

    async def get(self, project_id: ProjectId, webhook_id: str) -> Webhook:
        """Return a webhook. Raises WebhookNotFound, also for another project's."""
        found = await self.find(webhook_id)
        if found is None or found.project_id != project_id:
            raise WebhookNotFound(f"The webhook {webhook_id} does not exist.")
        return found

    async def find(self, webhook_id: str) -> Webhook | None:
        row = await self._reader.one(f"{_WEBHOOK} WHERE id = :id", id=key_of(webhook_id))
        return _webhook(row) if row else None

    async def enabled(self) -> list[Webhook]:
        """Return all that are enabled, of any project."""
        return [_webhook(row) for row in await self._reader.all(f"{_WEBHOOK} WHERE enabled ORDER BY id")]

    async def page(self, project_id: ProjectId, offset: int, limit: int) -> tuple[int, list[Webhook]]:
        """Return how many webhooks a project has, and one page of them, newest first."""
        where = "project_id = :project"
        count = await self._reader.one(f"SELECT count(*) FROM webhooks WHERE {where}", project=project_id)
        rows = await self._reader.all(
            f"{_WEBHOOK} WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset",
            project=project_id, limit=limit, offset=offset,
        )  # fmt: skip
        return (count[0] if count else 0), [_webhook(row) for row in rows]

    async def secrets(self, webhook: Webhook) -> Secrets:
        """Return what a webhook signs with. Raises WebhookNotFound if it has gone."""
        row = await self._reader.one("SELECT sealed_secrets FROM webhooks WHERE id = :id", id=key_of(webhook.id))
        if row is None:
            raise WebhookNotFound
        return msgspec.msgpack.decode(self._sealer.open(row[0], PURPOSE), type=Secrets)

    async def next_due(self, webhook: Webhook, at: int) -> Delivery | None:
        """Return the oldest delivery of a webhook that is due, if any."""
        sql = f"{_DELIVERY} WHERE {_DUE} ORDER BY id LIMIT 1"
        row = await self._reader.one(sql, webhook=key_of(webhook.id), at=at)
        return _delivery(row) if row else None

    async def delivery(self, webhook: Webhook, delivery_id: str) -> Delivery:
        """Return a delivery of a webhook. Raises DeliveryNotFound."""
        row = await self._reader.one(
            f"{_DELIVERY} WHERE id = :id AND webhook_id = :webhook", id=key_of(delivery_id), webhook=key_of(webhook.id)
        )
        if row is None:
            raise DeliveryNotFound(f"The delivery {delivery_id} does not exist.")
        return _delivery(row)

    async def deliveries(
        self, webhook: Webhook, status: DeliveryStatus | None, offset: int, limit: int
    ) -> tuple[int, list[Delivery]]:
        """Return how many deliveries a webhook has, all or those in one state, and one page of them, newest first."""
        where, matching = "webhook_id = :webhook", dict[str, Any](webhook=key_of(webhook.id))
        if status:
            where, matching["status"] = f"{where} AND status = :status", status.value
        count = await self._reader.one(f"SELECT count(*) FROM webhook_deliveries WHERE {where}", **matching)
        sql = f"{_DELIVERY} WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset"
        rows = await self._reader.all(sql, **matching, limit=limit, offset=offset)
        return (count[0] if count else 0), [_delivery(row) for row in rows]


def _webhook(row: Row) -> Webhook:
    values = dict(zip(WEBHOOK_FIELDS, row, strict=True))
    values |= {
        "id": WebhookId(str(values["id"])),
        "kinds": tuple(from_json(values["kinds"])),
        "enabled": bool(values["enabled"]),
    }
    return Webhook(**values)


def _delivery(row: Row) -> Delivery:
    values = dict(zip(DELIVERY_FIELDS, row, strict=True))
    values |= {
        "id": DeliveryId(str(values["id"])),
        "webhook_id": WebhookId(str(values["webhook_id"])),
        "status": DeliveryStatus(values["status"]),
        "attempts": msgspec.json.decode(values["attempts"], type=tuple[Attempt, ...]),
    }
    return Delivery(**values)
