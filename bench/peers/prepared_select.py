"""`python -m bench.peers.prepared_select URL IDS SECONDS`: one job's row after the other by a prepared SELECT.

Ten connections are in use at all times. Prints how many rows came in a second.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

import asyncpg
import uvloop

CONNECTIONS = 10


async def measure(url: str, ids: list[int], seconds: float) -> float:
    turn, rows = itertools.cycle(ids), 0
    statements = [
        await (await asyncpg.connect(url)).prepare("SELECT * FROM jobs WHERE id = $1") for _ in range(CONNECTIONS)
    ]
    began = time.monotonic()

    async def ask(statement: asyncpg.prepared_stmt.PreparedStatement) -> None:
        nonlocal rows
        while time.monotonic() < began + seconds:
            await statement.fetchrow(next(turn))
            rows += 1

    await asyncio.gather(*map(ask, statements))
    return rows / (time.monotonic() - began)


if __name__ == "__main__":
    known = [int(line) for line in Path(sys.argv[2]).read_text().split()]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(measure(sys.argv[1], known, float(sys.argv[3]))))
