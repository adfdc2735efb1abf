"""Identifiers: snowflakes for most, UUIDs for images, hex digits for identity."""

import secrets
import threading
import uuid
from typing import NewType

from darkroom.domain.times import Clock

JobId = NewType("JobId", str)
SubJobId = NewType("SubJobId", str)
ServerId = NewType("ServerId", str)
ImageId = NewType("ImageId", str)
AppId = NewType("AppId", str)
RecordId = NewType("RecordId", str)
WebhookId = NewType("WebhookId", str)
DeliveryId = NewType("DeliveryId", str)
ProjectId = NewType("ProjectId", str)
AccountId = NewType("AccountId", str)
UserId = NewType("UserId", str)

#: Milliseconds between the Unix epoch and the snowflakes' own, 2024-01-01T00:00Z: 18 digits until 2031 (ADR 0003).
EPOCH_MS = 1_704_067_200_000
_SEQUENCE_BITS, _WORKER_BITS = 12, 10
#: How many workers may mint at one time.
WORKERS = 1 << _WORKER_BITS
_SHIFT = _SEQUENCE_BITS + _WORKER_BITS


class Snowflakes:
    """Mints decimal ids that sort by the time they were minted: milliseconds, then worker, then sequence."""

    def __init__(self, clock: Clock, worker: int = 0) -> None:
        self._clock = clock
        self._last_ms, self._sequence = 0, 0
        self._lock = threading.Lock()
        self.work_as(worker)

    def work_as(self, worker: int) -> None:
        """Mint as another worker from now on: two that mint at one time must not be the same."""
        if not 0 <= worker < WORKERS:
            raise ValueError(f"worker must be between 0 and {WORKERS - 1}, not {worker}")
        with self._lock:
            self._worker = worker

    def mint(self) -> str:
        """Return a new id, greater than every one minted here before, even if the clock has been set back."""
        with self._lock:
            now = self._clock() - EPOCH_MS
            if now > self._last_ms:
                self._last_ms, self._sequence = now, 0
            elif self._sequence + 1 < 1 << _SEQUENCE_BITS:
                self._sequence += 1
            else:
                self._last_ms, self._sequence = self._last_ms + 1, 0
            return str(self._last_ms << _SHIFT | self._worker << _SEQUENCE_BITS | self._sequence)


def minted_at(snowflake: str) -> int:
    """Return when a snowflake was minted, in milliseconds since the Unix epoch."""
    return (int(snowflake) >> _SHIFT) + EPOCH_MS


def first_minted_at(at: int) -> int:
    """Return the least snowflake, as a number, that can be minted from a time on (milliseconds, as above)."""
    return max(0, at - EPOCH_MS) << _SHIFT


def new_uuid() -> str:
    """Return a random UUID in its usual text form."""
    return str(uuid.uuid4())


def new_hex() -> str:
    """Return 32 random lowercase hexadecimal digits, the form of project, account, user and request ids."""
    return secrets.token_hex(16)
