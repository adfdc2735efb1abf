"""Throttling: how many requests a user may make in a minute (contract sections 2.8 and 9.1). Off, unless it is set."""

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from darkroom.domain.ids import UserId
from darkroom.errors import TooManyRequests

#: Methods that only read.
_READS = frozenset({"GET", "HEAD"})


class Throttle:
    """Counts requests by user; every process counts for itself. 0 means no limit."""

    def __init__(self, *, reads: int = 0, changes: int = 0) -> None:
        self._reads, self._changes = reads, changes
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def check(self, user_id: UserId, method: str) -> None:
        """Count a request. Raises TooManyRequests beyond the limit."""
        kind, limit = ("reads", self._reads) if method in _READS else ("changes", self._changes)
        if limit and not self._windows.hit(RateLimitItemPerMinute(limit), kind, user_id):
            raise TooManyRequests(
                f"The throttling threshold has been reached: policy user over ratelimit,limit:{limit},time:1 minute"
            )
