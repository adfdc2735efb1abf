"""Runs a program in a guest, by its agent, without keeping the agent to itself while the program takes its time."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from darkroom.drivers.base import Completed
from darkroom.drivers.qemu.agent import AgentRefused, AgentSilent, Ended, agent
from darkroom.drivers.qemu.serial import readable
from darkroom.errors import GuestRefused, GuestSilent

#: Seconds in which the agent must answer; QEMU lets one caller at a time speak to it.
ANSWER: Final = 30.0
#: Bytes of a program's output that are kept: the last ones.
KEPT: Final = 16 * 1024

_TELL: Final = f'tail -c {KEPT} "$1.out"; rm -f "$1.out" "$1.pid"'
_END: Final = """
kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null || exit 0
for second in 1 2 3; do [ ! -d "/proc/$1" ] || sleep 1; done
kill -KILL -- "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null || true
"""


async def run(vm: Path, words: Sequence[str], *, stdin: bytes, timeout: float) -> Completed:
    """See Compute; `vm` is the machine's folder. Raises GuestSilent or GuestRefused."""
    name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
    try:
        pid = await _start(vm, name, words, stdin)
        ended = await until_ended(vm, pid, timeout)
        if ended is None:
            await _sh(vm, _END, str(pid))
        output = (await _sh(vm, _TELL, f"/run/darkroom-{name}")).output
    except AgentSilent as problem:
        raise GuestSilent(f"The guest fell silent while {words[0]} ran in it: {problem}.") from problem
    except AgentRefused as problem:
        raise GuestRefused(f"The guest agent refuses to run {words[0]}: {problem}.") from problem
    text = "\n".join(line for line in readable(output.encode()) if line)
    return Completed(exit_code=ended.status if ended else None, output=text)


async def until_ended(vm: Path, pid: int, timeout: float) -> Ended | None:
    """Return how a program that the agent has started ended, None if it had not after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout, 0.05
    while True:
        async with agent(vm, limit=ANSWER) as guest:
            if ended := await guest.ended(pid):
                return ended
        left = deadline - loop.time()
        if left <= 0:
            return None
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)


async def _start(vm: Path, name: str, words: Sequence[str], stdin: bytes) -> int:
    script = files("darkroom.drivers.qemu").joinpath("run.sh").read_text()
    environment = {"DARKROOM_RUN": name, "DARKROOM_RUN_TOKEN": secrets.token_hex(16)}
    async with agent(vm, limit=ANSWER) as guest:
        return await guest.start(["/bin/sh", "-c", script, "run", *words], stdin=stdin, environment=environment)


async def _sh(vm: Path, script: str, *words: str) -> Ended:
    async with agent(vm, limit=ANSWER) as guest:
        return await guest.run(["/bin/sh", "-c", script, "sh", *words], limit=ANSWER)
