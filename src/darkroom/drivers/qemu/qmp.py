"""QEMU's machine protocol: one short conversation per call, since QEMU talks to one client at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from darkroom.drivers.qemu import layout
from darkroom.drivers.qemu.sockets import dial

# The library logs as errors what reaches us as exceptions.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class MonitorFailed(Exception):
    """QEMU refused a command, or did not answer."""


class Monitor:
    """A conversation with one QEMU process."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def do(self, command: str, arguments: Mapping[str, object] | None = None, *, limit: float = 30.0) -> Any:
        """Have a command carried out and return its answer."""
        try:
            async with asyncio.timeout(limit):
                return await self._client.execute(command, arguments or {})
        except TimeoutError:
            raise MonitorFailed(f"QEMU did not answer {command} within {limit:.0f} s") from None
        except (QMPError, OSError, EOFError) as problem:
            raise MonitorFailed(f"{command}: {problem}") from problem

    async def status(self) -> str:
        """Return QEMU's run state, such as "running" or "paused"."""
        return str((await self.do("query-status"))["status"])

    async def uuid(self) -> str:
        return str((await self.do("query-uuid"))["UUID"])

    async def active_node(self) -> str:
        """Return the node name of the layer that the machine's disk writes to now."""
        blocks = await self.do("query-block")
        return next(str(block["inserted"]["node-name"]) for block in blocks if "inserted" in block)

    async def has_node(self, name: str) -> bool:
        nodes = await self.do("query-named-block-nodes", {"flat": True})
        return any(node["node-name"] == name for node in nodes)


@asynccontextmanager
async def monitor(folder: Path, *, limit: float = 30.0) -> AsyncIterator[Monitor]:
    """Talk to the QEMU process that lives in `folder`. Raises MonitorFailed after `limit` seconds."""
    client = QMPClient()
    try:
        try:
            async with asyncio.timeout(limit):
                await client.connect(await dial(folder, layout.QMP_SOCKET, limit=limit))
        except TimeoutError:
            raise MonitorFailed(f"QEMU did not answer within {limit:.0f} s") from None
        except (QMPError, OSError, EOFError) as problem:
            raise MonitorFailed(f"QEMU cannot be reached: {problem}") from problem
        yield Monitor(client)
    finally:
        with suppress(QMPError, OSError, EOFError):
            await client.disconnect()
