"""Writes files in a guest: by a line of their own where the machine has it, else through the guest agent.

Emulated guests took 5 to 8 MB/s by that line and 1.5 MB/s through the agent, which reads JSON letter by letter.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from darkroom.drivers.qemu import layout
from darkroom.drivers.qemu.agent import Agent, AgentRefused, AgentSilent, agent
from darkroom.drivers.qemu.command import FILES_PORT
from darkroom.drivers.qemu.running import ANSWER, until_ended
from darkroom.drivers.qemu.sockets import dial
from darkroom.errors import GuestRefused, GuestSilent

#: Bytes up to which the agent is as quick, and that it is given at a time.
_SMALL: Final = 64 * 1024
_BATCH: Final = 256 * 1024
#: Seconds; for what is bounded by whoever calls.
_A_DAY: Final = 86400.0

# Names the device of the line for files, if the guest has one.
_PREPARE: Final = f"""
set -eu
umask 022
mkdir -p "${{1%/*}}"
rm -f "$1"
umask 077
: >"$1"
port=$(grep -lsx {FILES_PORT} /sys/class/virtio-ports/*/name | head -n 1)
[ -z "$port" ] || {{ port=${{port%/name}}; echo "/dev/${{port##*/}}"; }}
"""
# Some programs say no more than "I/O error" of a disk that is full.
_TAKE: Final = """
head -c "$3" <"$2" >"$1" && exit 0
status=$?
free=$(df -Pk "$1" | awk 'END { print $4 }')
[ "${free:-1024}" -ge 64 ] || echo "no space is left on the disk"
exit $status
"""
_SETTLE: Final = """
set -eu
[ ! -d "$2" ] || { echo "there is a folder of that name"; exit 1; }
size=$(wc -c <"$1")
[ "$size" -eq "$4" ] || { echo "only $size of $4 bytes have arrived"; exit 1; }
if command -v sha256sum >/dev/null; then
    [ "$(sha256sum <"$1" | cut -c 1-64)" = "$5" ] || { echo "it was damaged on the way"; exit 1; }
fi
chmod "$3" "$1"
mv -f "$1" "$2"
"""


class _Source:
    """Chunks that are counted and digested as they pass; there must be `size` bytes of them, or ValueError."""

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self._chunks, self._size = chunks, size
        self._seen, self._digest = 0, hashlib.sha256()

    async def pieces(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._seen += len(chunk)
            self._digest.update(chunk)
            if self._seen > self._size:
                break
            for at in range(0, len(chunk), _BATCH):
                yield chunk[at : at + _BATCH]
        if self._seen != self._size:
            raise ValueError(f"a file of {self._size} bytes was announced, and {self._seen} came")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


async def put_file(vm: Path, path: str, chunks: AsyncIterator[bytes], *, size: int, mode: int, timeout: float) -> None:
    """See Compute; `vm` is the machine's folder. Raises GuestSilent or GuestRefused."""
    part, source = f"{path}.part", _Source(chunks, size)
    try:
        async with asyncio.timeout(timeout):
            port = await _sh(vm, _PREPARE, part)
            if port and size > _SMALL:
                await _pour(vm, part, port, source, size)
            else:
                await _hand_over(vm, part, source)
            await _sh(vm, _SETTLE, part, path, f"{mode:o}", str(size), source.sha256)
    except Exception as problem:
        with suppress(AgentSilent, AgentRefused, TimeoutError):
            async with asyncio.timeout(ANSWER):
                await _sh(vm, 'rm -f "$1"', part)
        if isinstance(problem, TimeoutError):
            raise GuestSilent(f"{path} could not be written in the guest within {timeout:g} s.") from problem
        if isinstance(problem, AgentSilent | OSError):
            raise GuestSilent(f"The guest fell silent while {path} was written in it: {problem}.") from problem
        if isinstance(problem, AgentRefused):
            raise GuestRefused(f"{path} could not be written in the guest: {problem}.") from problem
        raise


async def _pour(vm: Path, part: str, port: str, source: _Source, size: int) -> None:
    """Send the bytes raw to a program in the guest that reads so many of them from the port.

    It must find us at the other end: nothing is read from a port that nobody holds. When we let go, its reading ends.
    """
    line = await dial(vm, layout.FILES_SOCKET, limit=ANSWER)
    _, writer = await asyncio.open_unix_connection(sock=line)
    work: list[asyncio.Task[None]] = []
    try:
        async with agent(vm, limit=ANSWER) as guest:
            pid = await guest.start(["/bin/sh", "-c", _TAKE, "sh", part, port, str(size)])
        sending = asyncio.create_task(_send(writer, source))
        work = [sending, asyncio.create_task(_taken(vm, pid, sending))]
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, source: _Source) -> None:
    async for piece in source.pieces():
        writer.write(piece)
        await writer.drain()


async def _taken(vm: Path, pid: int, sending: asyncio.Task[None]) -> None:
    ended = await until_ended(vm, pid, _A_DAY)
    if ended and ended.status:
        raise AgentRefused(_said(ended.output, ended.status))
    await asyncio.wait([sending], timeout=5)
    if not sending.done():
        raise AgentRefused("it stopped reading before all had come")


async def _hand_over(vm: Path, part: str, source: _Source) -> None:
    async with agent(vm, limit=ANSWER) as guest:
        handle = await guest.do("guest-file-open", path=part, mode="w")
        try:
            async for piece in source.pieces():
                await _write(guest, handle, piece)
        finally:
            await guest.do("guest-file-close", handle=handle)


async def _write(guest: Agent, handle: int, piece: bytes) -> None:
    while piece:
        data = base64.b64encode(piece).decode()
        written = await guest.do("guest-file-write", ANSWER, handle=handle, buf_b64=data)
        piece = piece[int(written["count"]) :]


async def _sh(vm: Path, script: str, *words: str) -> str:
    """Run a script in the guest and return what it printed. Raises AgentRefused with it if the script fails."""
    async with agent(vm, limit=ANSWER) as guest:
        ended = await guest.run(["/bin/sh", "-c", script, "sh", *words], limit=_A_DAY)
    if ended.status:
        raise AgentRefused(_said(ended.output, ended.status))
    return ended.output.strip()


def _said(output: str, status: int) -> str:
    return " / ".join(output.strip().splitlines()[-3:]) or f"status {status}"
