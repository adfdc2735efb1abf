"""Streams of events, followed across breaks of the connection and restarts of the service without missing any."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, NoService, Refusal
from darkroom.wire.events import StreamedEvent

T = TypeVar("T")

#: Seconds: between two attempts to connect, and how long a service that was there may be gone (it may be restarting).
PAUSE, PATIENCE = 0.5, 120.0


class Told(NamedTuple):
    """An event of a stream: its number there, what kind it is of, and its particulars."""

    path: str
    number: int
    kind: str
    event: StreamedEvent


class Broken(NamedTuple):
    """A stream broke off; it is being taken up again."""

    path: str


class Opened(NamedTuple):
    """A stream begins; if it had broken off, it goes on after the last event that it brought."""

    path: str


class Ended(NamedTuple):
    """A stream came to its end, or could not be followed any further."""

    path: str
    failure: Failure | None = None


News = Told | Broken | Opened | Ended


class Streams:
    """Follows any number of streams, each in a thread, and brings what they tell in one queue."""

    def __init__(self, connect: Callable[[], Api]) -> None:
        """`connect` is asked for a client before each attempt: a service that comes back may do so elsewhere."""
        self._connect = connect
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def follow(self, path: str, *, after: int | None = None) -> None:
        """Follow the stream at `path`, after the event of that number; without one, from now on."""
        threading.Thread(target=self._follow, args=(path, after), daemon=True).start()

    def ask(self, question: Callable[[Api], T]) -> T:
        """Return what the service answers, also where it is away for a while."""
        since = time.monotonic()
        while True:
            try:
                return question(self._connect())
            except NoService:
                if time.monotonic() - since > PATIENCE:
                    raise
            time.sleep(PAUSE)

    def next(self) -> News:
        """Wait for what is told next."""
        return self._news.get()

    def _follow(self, path: str, after: int | None) -> None:
        failure: Failure | None = None
        try:
            for news in _persistently(self._connect, path, after):
                self._news.put(news)
        except Failure as error:
            failure = error
        except Exception as error:  # whatever it is: whoever waits for this stream must learn of it
            failure = Failure(f"The stream of events broke: {type(error).__name__}: {error}")
        self._news.put(Ended(path, failure))


def _persistently(connect: Callable[[], Api], path: str, after: int | None) -> Iterator[News]:
    """Yield what a stream tells until the service ends it. Raises Failure if it stays away or refuses for good."""
    connected = broken = False
    since = time.monotonic()
    while True:
        try:
            with connect().events(path, after) as fields:
                for number, kind, data in fields:
                    after, connected, broken, since = number, True, False, time.monotonic()
                    if not kind:
                        yield Opened(path)
                        continue
                    yield Told(path, number, kind, msgspec.json.decode(data, type=StreamedEvent))
        except (NoService, Refusal) as failure:
            for_good = isinstance(failure, Refusal) and failure.status < 500 and failure.status != 429
            if for_good or not connected or (broken and time.monotonic() - since > PATIENCE):
                raise
        else:
            return
        if not broken:
            broken, since = True, time.monotonic()
            yield Broken(path)
        time.sleep(PAUSE)
