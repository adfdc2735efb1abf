"""Lockout: an access key whose signatures keep failing is locked for a while (contract section 12.1, server step 6)."""

from collections import OrderedDict
from typing import Final

from darkroom.domain.times import Clock
from darkroom.errors import Unauthenticated

#: So many failures in a row are forgiven; one more locks the key.
FORGIVEN: Final = 5
#: How long a key stays locked, in milliseconds: 5 minutes.
LOCK_MS: Final = 5 * 60 * 1000
#: How many keys' failures, and how many locks, are remembered at most.
CAPACITY: Final = 10_000


class Lockout:
    """Counts each access key's failures in a row. For one event loop; every process counts for itself.

    Report failures of keys that exist only: a key that does not exist needs no lock, and then nobody can push the
    failures of a real key out of this bounded memory by inventing others. When it is full, the key that failed longest
    ago is forgotten, and the oldest lock opens.
    """

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock, self._capacity = clock, capacity
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._locked_until: OrderedDict[str, int] = OrderedDict()

    def check(self, access: str) -> None:
        """Raise Unauthenticated while the key is locked, whatever its signature."""
        if self._is_locked(access):
            raise Unauthenticated("AK access failed to reach the limit,forbidden")

    def failed(self, access: str) -> None:
        """Count a failure; the sixth in a row locks the key. While it is locked, further ones do not prolong it."""
        if self._is_locked(access):
            return
        failures = self._failures.pop(access, 0) + 1
        if failures > FORGIVEN:
            self._remember(self._locked_until, access, self._clock() + LOCK_MS)
        else:
            self._remember(self._failures, access, failures)

    def succeeded(self, access: str) -> None:
        """Forget the key's failures."""
        self._failures.pop(access, None)

    def _is_locked(self, access: str) -> bool:
        until = self._locked_until.get(access)
        if until is None:
            return False
        if 0 < until - self._clock() <= LOCK_MS:  # a clock set back must not lock a key for longer
            return True
        del self._locked_until[access]
        return False

    def _remember(self, memory: OrderedDict[str, int], access: str, value: int) -> None:
        memory[access] = value
        if len(memory) > self._capacity:
            memory.popitem(last=False)
