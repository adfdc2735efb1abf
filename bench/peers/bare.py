"""A bare ASGI app on the server that Darkroom runs on: what there is to win at most.

`python -m bench.peers.bare BODY` answers with the bytes of a file. With a PostgreSQL URL and the ids of jobs it asks
for the row of one of them first, by a prepared SELECT.
"""

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn
import uvloop

Ask = Callable[[], Awaitable[Any]]


def application(body: bytes, ask: Ask | None) -> Any:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if ask:
            await ask()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def asking(url: str, ids: list[int], connections: int) -> Ask:
    """Return what asks for one job after the other, each over a connection that is idle."""
    idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    for _ in range(connections):
        connection = await asyncpg.connect(url)
        idle.put_nowait(await connection.prepare("SELECT * FROM jobs WHERE id = $1"))
    turn = itertools.cycle(ids)

    async def ask() -> None:
        statement = await idle.get()
        await statement.fetchrow(next(turn))
        idle.put_nowait(statement)

    return ask


async def serve(body: bytes, url: str, ids: list[int]) -> None:
    ask = await asking(url, ids, connections=10) if url else None
    config = uvicorn.Config(
        application(body, ask),
        port=0,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}", flush=True)
    await serving


if __name__ == "__main__":
    _, file, *rest = sys.argv
    known = [int(line) for line in Path(rest[1]).read_text().split()] if rest else []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(file).read_bytes(), rest[0] if rest else "", known))
