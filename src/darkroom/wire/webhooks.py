"""Webhooks on the wire, beside the contract; events as CloudEvents 1.0 in the JSON format, structured mode."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain import webhooks as domain
from darkroom.domain.events import Event
from darkroom.domain.ids import ProjectId
from darkroom.wire.events import StreamedEvent, streamed
from darkroom.wire.times import Timestamp, spell

_Url = Annotated[str, Meta(min_length=8, max_length=2048, pattern=r"^https?://[!-~]+\Z")]
_Kind = Annotated[str, Meta(max_length=64, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))\Z")]
_Kinds = Annotated[list[_Kind], Meta(min_length=1, max_length=32)]
_Description = Annotated[str, Meta(max_length=255)]

#: What the patterns ask for, in words.
IN_WORDS: Final = {
    "url": "at most 2048 visible characters of ASCII, beginning with http:// or https://",
    "kinds[...]": "'*', or a kind of events such as 'job.ended' or 'job.*'",
}
#: What the kinds of events begin with outside.
TYPE_PREFIX: Final = "darkroom."


class AddWebhook(msgspec.Struct, kw_only=True):
    """An address, and which kinds of events it gets; by default those of jobs."""

    url: _Url
    kinds: _Kinds | None = None
    description: _Description | None = None


class ChangeWebhook(msgspec.Struct, kw_only=True):
    """What is to be different; what is absent or null stays as it is."""

    url: _Url | None = None
    kinds: _Kinds | None = None
    description: _Description | None = None
    enabled: bool | None = None

    def changes(self) -> dict[str, Any]:
        given: dict[str, Any] = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if value is not None}


class Webhook(msgspec.Struct, kw_only=True):
    """`failing_since` is there while deliveries fail; `disabled_reason` where Darkroom disabled it by itself."""

    id: str
    url: str
    kinds: list[str]
    description: str
    enabled: bool
    disabled_reason: str | UnsetType = UNSET
    failing_since: Timestamp | UnsetType = UNSET
    create_time: Timestamp
    update_time: Timestamp
    secret: str | UnsetType = UNSET


class Webhooks(msgspec.Struct):
    count: int
    items: list[Webhook]


class Secret(msgspec.Struct):
    secret: str


class Attempt(msgspec.Struct, kw_only=True):
    """How sending went. `status` is that of HTTP, not there without an answer; `answer` the beginning of its body."""

    time: Timestamp
    took_ms: int
    status: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    answer: str | UnsetType = UNSET


class Delivery(msgspec.Struct, kw_only=True):
    id: str
    message_id: str
    kind: str
    status: domain.DeliveryStatus
    create_time: Timestamp
    next_time: Timestamp | UnsetType = UNSET
    end_time: Timestamp | UnsetType = UNSET
    attempts: list[Attempt]


class Deliveries(msgspec.Struct):
    count: int
    items: list[Delivery]


class CloudEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """CloudEvents 1.0.2, sections 3 (attributes) and 3.1 (their meaning)."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str = ""
    time: Timestamp
    datacontenttype: str
    data: StreamedEvent


def cloud_event(project_id: ProjectId, event: Event) -> bytes:
    """Return an event as it is sent."""
    return msgspec.json.encode(
        CloudEvent(
            specversion="1.0",
            id=str(event.seq or event.resource_id),
            source=f"/v1/{project_id}",
            type=f"{TYPE_PREFIX}{event.kind}",
            subject=str(event.job_id or event.resource_id),
            time=spell(event.at),
            datacontenttype="application/json",
            data=streamed(event),
        )
    )


def webhook(found: domain.Webhook, secret: str = "") -> Webhook:
    """Return a webhook as it is shown; its secret only when it is new."""
    return Webhook(
        id=found.id,
        url=found.url,
        kinds=list(found.kinds),
        description=found.description,
        enabled=found.enabled,
        disabled_reason=found.disabled_reason or UNSET,
        failing_since=spell(found.failing_since) if found.failing_since else UNSET,
        create_time=spell(found.created_at),
        update_time=spell(found.updated_at),
        secret=secret or UNSET,
    )


def delivery(found: domain.Delivery) -> Delivery:
    is_pending = found.status is domain.DeliveryStatus.PENDING
    return Delivery(
        id=found.id,
        message_id=found.message_id,
        kind=found.kind,
        status=found.status,
        create_time=spell(found.created_at),
        next_time=spell(found.next_at) if is_pending else UNSET,
        end_time=spell(found.ended_at) if found.ended_at else UNSET,
        attempts=[_attempt(each) for each in found.attempts],
    )


def _attempt(made: domain.Attempt) -> Attempt:
    return Attempt(
        time=spell(made.at),
        took_ms=made.took,
        status=made.status or UNSET,
        error=made.error or UNSET,
        answer=made.answer or UNSET,
    )
