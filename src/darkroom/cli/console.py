"""The serial console of an image server in the terminal: what is typed goes there, what it says is shown here."""

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from darkroom.cli import output
from darkroom.cli.failures import Failure

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

#: Ctrl-], as telnet and virsh have it.
LEAVE: Final = b"\x1d"
_PIECE: Final = 4096


def use(line: "ClientConnection", name: str, *, linger: float) -> None:
    """Use the console at the other end of `line` until the user leaves it.

    Where the input is no terminal: until it has ended and the console then says nothing for `linger` seconds. Raises
    Failure if the line ends before.
    """
    keyboard = sys.stdin.fileno()
    typing = os.isatty(keyboard)
    if typing:
        output.note(f"The serial console of {name}. Ctrl-] leaves it; Enter may bring up a prompt.")
    with _raw(keyboard, typing=typing), _Listener(line) as listener:
        left = _type(line, listener, keyboard, typing=typing, linger=linger)
    if typing:
        output.note("")
    if not left:
        raise listener.failure


class _Listener:
    """Shows what a line says, in a thread of its own. `ended` becomes readable when it says no more."""

    def __init__(self, line: "ClientConnection") -> None:
        self._line = line
        self._thread = threading.Thread(target=self._listen, name="console", daemon=True)
        self.ended, self._end = os.pipe()
        self.heard_at = time.monotonic()
        self.failure: Exception = Failure("The connection to the console ended.")

    def __enter__(self) -> "_Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._thread.join()
        os.close(self.ended)
        os.close(self._end)

    def _listen(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                _write(self._line.recv(decode=False))
                self.heard_at = time.monotonic()
        except ConnectionClosed as closed:
            reason = closed.rcvd.reason if closed.rcvd else "it broke"
            self.failure = Failure(f"The connection to the console ended: {reason or 'the service was stopped'}")
        except OSError as error:  # nobody reads what we print
            self.failure = error
        finally:
            os.write(self._end, b".")


def _type(line: "ClientConnection", listener: _Listener, keyboard: int, *, typing: bool, linger: float) -> bool:
    """Send what is typed; return whether that came to its end, and not the line."""
    from websockets.exceptions import ConnectionClosed

    quiet_since: float | None = None  # when the input ended
    while True:
        patience = None
        if quiet_since is not None:
            patience = max(quiet_since, listener.heard_at) + linger - time.monotonic()
            if patience <= 0:
                return True
        inputs = [listener.ended] if quiet_since is not None else [listener.ended, keyboard]
        ready, _, _ = select.select(inputs, [], [], patience)
        if listener.ended in ready:
            return False
        if keyboard in ready:
            data = os.read(keyboard, _PIECE)
            if not data:
                quiet_since = time.monotonic()
            typed, leave, _ = data.partition(LEAVE) if typing else (data, b"", b"")
            try:
                if typed:
                    line.send(typed)
            except ConnectionClosed:
                continue  # the listener tells why
            if leave:
                return True


@contextmanager
def _raw(keyboard: int, *, typing: bool) -> Iterator[None]:
    """Have every key go to the guest, Ctrl-C too; however this ends, the terminal is as it was."""
    if not typing:
        yield
        return
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
