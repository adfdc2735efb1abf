"""A machine's serial console for several viewers at once, in any number of processes.

QEMU lets one client at a time have the console's socket, but writes all that the guest says to the log as well. So
viewers read the log, which also tells them what was said before they came, and take the socket only to type. They give
it up soon after: who types meanwhile waits in its queue.
"""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from darkroom.drivers.lines import FileFollower, SocketChannel
from darkroom.drivers.qemu import layout, process
from darkroom.drivers.qemu.sockets import dial

#: Bytes of the log that a viewer is told when it comes.
HISTORY: Final = 16 * 1024
#: Seconds between two looks whether the machine still runs.
_PULSE: Final = 0.5
#: Seconds of silence after which the socket is given up, and those without typing if the guest is never silent.
_SILENCE, _HOLD = 0.25, 5.0
#: Seconds that QEMU gets to let us in, and to take what was typed last.
_ANSWER, _FAREWELL = 10.0, 2.0

#: What programs ask a terminal, which would answer it once more: where its cursor is, what it is, its colours (ECMA-48
#: DSR and DA, xterm's OSC with `?`).
_QUESTIONS = re.compile(rb"\x1b\[[0-9;?>=]*[nc]|\x1b\][0-9;]*\?(?:\x07|\x1b\\)|\x1bZ|\x05")


class SerialConsole:
    """A Channel to the serial console of the machine whose QEMU lives in `folder`. Raises OSError without its log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = FileFollower(folder / layout.SERIAL_LOG, past=HISTORY)
        self._past = _QUESTIONS.sub(b"", self._log.past)
        self._keyboard = _Keyboard(folder)
        self._look_again_at, self._lived = 0.0, True

    async def read(self) -> bytes:
        if self._past:
            past, self._past = self._past, b""
            return past
        return await self._log.read(self._lives)

    async def write(self, data: bytes) -> None:
        await self._keyboard.type(data)

    async def aclose(self) -> None:
        self._log.close()
        await self._keyboard.aclose()

    def _lives(self) -> bool:
        if time.monotonic() >= self._look_again_at:
            self._lived = process.lives(self._folder)
            self._look_again_at = time.monotonic() + _PULSE
        return self._lived


class _Keyboard:
    """Has the socket of the console in `folder` while something is being typed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line: SocketChannel | None = None
        self._holding: asyncio.Task[None] | None = None
        self._typed_at = self._heard_at = 0.0

    async def type(self, data: bytes) -> None:
        if self._line is None:
            self._line = await SocketChannel.over(await dial(self._folder, layout.SERIAL_SOCKET, limit=_ANSWER))
            self._holding = asyncio.create_task(self._hold(self._line))
        self._typed_at = time.monotonic()
        await self._line.write(data)

    async def aclose(self) -> None:
        if self._holding:
            await asyncio.wait([self._holding], timeout=_FAREWELL)
            self._holding.cancel()
            await asyncio.gather(self._holding, return_exceptions=True)

    async def _hold(self, line: SocketChannel) -> None:
        """Pass over what the guest says, which is in the log, until the socket is to be given up."""
        try:
            while not self._may_end(line):
                try:
                    async with asyncio.timeout(_SILENCE):
                        if not await line.read():
                            return
                    self._heard_at = time.monotonic()
                except TimeoutError:
                    continue
        finally:
            self._line = None
            await line.aclose()

    def _may_end(self, line: SocketChannel) -> bool:
        # A byte that the guest says at the very moment of our leaving would be lost, to the log too.
        now = time.monotonic()
        silent = now - max(self._typed_at, self._heard_at) >= _SILENCE
        return (silent or now - self._typed_at >= _HOLD) and not line.unsent
