"""Webhooks: where a project has its events sent, how that is signed, and when it is tried again.

Signed in the manner of Standard Webhooks (https://www.standardwebhooks.com).
"""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Collection
from enum import StrEnum
from typing import Final

import msgspec

from darkroom.domain.ids import DeliveryId, ProjectId, WebhookId

#: What every secret begins with; base64 of the key's bytes follows.
PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 32
#: Milliseconds for which a secret that was replaced goes on signing beside the new one.
OVERLAP_MS: Final = 24 * 3_600_000
#: Milliseconds between one attempt and the next: four times longer each time, up to six hours; a day in all.
PAUSES_MS: Final = tuple(min(5_000 * 4**number, 6 * 3_600_000) for number in range(10))
#: Attempts of which a delivery keeps the outcome, the latest ones.
ATTEMPTS_KEPT: Final = 30
#: What is sent where nothing else is asked for.
DEFAULT_KINDS: Final = ("job.*",)
#: The kind of an event that is sent to see whether a webhook works.
TEST_KIND: Final = "webhook.test"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that gets the events of a project whose kinds match. Times in milliseconds.

    Events up to that of the number `cursor` have been taken up. `failing_since` is when the first attempt failed after
    which none succeeded; `disabled_reason` says why Darkroom itself has disabled it.
    """

    id: WebhookId
    project_id: ProjectId
    url: str
    kinds: tuple[str, ...]
    description: str = ""
    enabled: bool = True
    disabled_reason: str = ""
    failing_since: int | None = None
    cursor: int = 0
    created_at: int
    updated_at: int

    def wants(self, kind: str) -> bool:
        """Tell whether events of a kind are for it: `*` is any, `job.*` any of jobs."""
        noun = kind.partition(".")[0]
        return any(pattern in ("*", kind, f"{noun}.*") for pattern in self.kinds)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook signs with: its secret, and until a time (milliseconds) the one that it replaced."""

    current: str
    former: str = ""
    former_until: int = 0

    def valid(self, at: int) -> list[str]:
        return [self.current, *([self.former] if self.former and at < self.former_until else [])]

    def rotated(self, at: int) -> "Secrets":
        """Return them with a new secret; the present one stays valid for a while."""
        return Secrets(current=new_secret(), former=self.current, former_until=at + OVERLAP_MS)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How sending went: when, how many milliseconds it took, the HTTP status (0: no answer), and what went wrong."""

    at: int
    took: int
    status: int = 0
    error: str = ""
    answer: str = ""  #: the beginning of the answer's body

    @property
    def succeeded(self) -> bool:
        return not self.error


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"  #: it is, or will be, sent
    DELIVERED = "DELIVERED"  #: the receiver has taken it
    FAILED = "FAILED"  #: given up


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook. `tries` counts since it was last asked for; it is due at `next_at`."""

    id: DeliveryId
    webhook_id: WebhookId
    event_seq: int | None
    kind: str
    body: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    tries: int = 0
    next_at: int
    created_at: int
    ended_at: int | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def message_id(self) -> str:
        """What the receiver may know the event by if it comes again."""
        return f"msg_{self.id}"


def new_secret() -> str:
    return PREFIX + base64.b64encode(randomness.token_bytes(_KEY_BYTES)).decode()


def signature(secrets: Collection[str], message_id: str, seconds: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one for each secret. `seconds` is the time since the Unix epoch."""
    signed = f"{message_id}.{seconds}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix(PREFIX)) for secret in secrets]
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
