"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """So many alternating rounds, of so many seconds each where there is load; `full`: what takes long, too."""

    rounds: int = 3
    seconds: float = 5
    full: bool = False
