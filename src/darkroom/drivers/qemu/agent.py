"""The QEMU guest agent: the channel by which work is done inside a guest without its network.

Commands: docs/interop/qemu-ga-ref of QEMU. The agent has no greeting and no ids, and what an earlier caller left half
read may still be in the line; so every conversation begins with `guest-sync-delimited`, whose answer is marked by the
byte 0xFF.
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from darkroom.drivers.qemu import layout
from darkroom.drivers.qemu.sockets import dial, leave_open

#: What commands in the guest find in their environment, beside what they are given.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
_MARK = b"\xff"


class AgentSilent(Exception):
    """The guest agent does not answer."""


class AgentRefused(Exception):
    """The guest agent answered with an error."""


class Ended(msgspec.Struct, frozen=True):
    """How a command in the guest ended, and what it wrote to both its outputs."""

    status: int
    output: str


class Agent:
    """A conversation with the agent in one guest. Every call raises AgentSilent or AgentRefused."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def sync(self, limit: float) -> None:
        """Return once the agent answers and the line is clear of whatever was said before."""
        number = secrets.randbits(31)
        self._send("guest-sync-delimited", {"id": number}, _MARK)
        async with _patience(limit, "guest-sync-delimited"):
            while (await self._answer()).get("return") != number:
                pass

    async def do(self, command: str, limit: float = 10.0, **arguments: Any) -> Any:
        """Have a command carried out; underscores in names of arguments stand for hyphens."""
        self._send(command, {name.replace("_", "-"): value for name, value in arguments.items()})
        async with _patience(limit, command):
            answer = await self._answer()
        if "error" in answer:
            raise AgentRefused(str(answer["error"].get("desc", answer["error"])))
        return answer.get("return")

    async def say(self, command: str, **arguments: Any) -> None:
        """Send a command that is not answered when it succeeds."""
        self._send(command, arguments)
        await self._writer.drain()

    async def run(
        self, words: Sequence[str], *, stdin: bytes = b"", environment: Mapping[str, str] | None = None, limit: float
    ) -> Ended:
        """Run a program in the guest as root to its end; after `limit` seconds it is left alone: AgentSilent."""
        pid = await self.start(words, stdin=stdin, environment=environment)
        async with _patience(limit, f"the end of {words[0]}"):
            pause = 0.02
            while not (ended := await self.ended(pid)):
                await asyncio.sleep(pause)
                pause = min(pause * 1.1, 0.5)  # so that a tenth of the time is lost at most
        return ended

    async def start(
        self, words: Sequence[str], *, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> int:
        """Start a program in the guest as root and return its process id."""
        settings = _ENVIRONMENT | dict(environment or {})
        started = await self.do(
            "guest-exec",
            path=words[0],
            arg=list(words[1:]),
            env=[f"{name}={value}" for name, value in settings.items()],
            input_data=base64.b64encode(stdin).decode(),
            capture_output=True,
        )
        return int(started["pid"])

    async def ended(self, pid: int) -> Ended | None:
        """Return how a program ended, None while it goes on; the agent tells of its end once."""
        state = await self.do("guest-exec-status", pid=pid)
        if not state["exited"]:
            return None
        status = int(state.get("exitcode", -int(state.get("signal", 1))))
        return Ended(status, _text(state, "out") + _text(state, "err"))

    def _send(self, command: str, arguments: Mapping[str, Any], mark: bytes = b"") -> None:
        message = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        self._writer.write(mark + msgspec.json.encode(message) + b"\n")

    async def _answer(self) -> dict[str, Any]:
        """Return the next answer that can be read; a guest may write anything it likes here."""
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError) as problem:
                raise AgentSilent(f"the line to the guest agent broke: {problem}") from problem
            if not line:
                raise AgentSilent("the line to the guest agent was closed")
            try:
                answer = msgspec.json.decode(line.rpartition(_MARK)[2])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(answer, dict):
                return answer


def _text(state: Mapping[str, Any], stream: str) -> str:
    return base64.b64decode(state.get(f"{stream}-data", "")).decode(errors="replace")


@asynccontextmanager
async def _patience(limit: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit):
            yield
    except TimeoutError:
        raise AgentSilent(f"the guest agent did not answer within {limit:.1f} s: {what}") from None


@asynccontextmanager
async def agent(folder: Path, *, limit: float, linger: float = 0.0) -> AsyncIterator[Agent]:
    """Talk to the guest of the QEMU process that lives in `folder`. Raises AgentSilent after `limit` seconds.

    After a good conversation the line stays open for `linger` seconds to the next one of this process. An agent that
    sees its line closed looks only after 100 ms whether somebody has opened it again.
    """
    try:
        line = await dial(folder, layout.AGENT_SOCKET, limit=limit)
        reader, writer = await asyncio.open_unix_connection(sock=line, limit=64 * 1024 * 1024)
    except OSError as problem:
        raise AgentSilent(f"the guest agent's line cannot be opened: {problem}") from problem
    try:
        talk = Agent(reader, writer)
        await talk.sync(limit)
        yield talk
        if linger:
            leave_open(line, folder, layout.AGENT_SOCKET, seconds=linger)
    finally:
        writer.close()
