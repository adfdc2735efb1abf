"""Time is an integer everywhere inside: milliseconds since the Unix epoch, UTC. Only the wire spells it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def now_ms() -> int:
    """Return the present time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
