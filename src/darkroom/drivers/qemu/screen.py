"""A picture of a machine's screen, drawn by QEMU itself (QMP: `screendump`, as PNG since QEMU 7.1)."""

import secrets
from pathlib import Path
from typing import Final

from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.files import read_plainly
from darkroom.drivers.qemu.qmp import MonitorFailed, monitor
from darkroom.errors import MachineFailed

#: Seconds that QEMU gets for it, and the most bytes of a picture that are read.
_ANSWER: Final = 3.0
_MOST: Final = 8 << 20


async def picture(vm: Path) -> bytes | None:
    """Return the screen of the machine that runs in `vm` as PNG; None if none runs there. Raises MachineFailed."""
    if not process.lives(vm):
        return None
    # A name of its own, so that two who look at the same time do not read each other's half.
    name = f"screen-{secrets.token_hex(4)}.png"
    try:
        async with monitor(vm, limit=_ANSWER) as qemu:
            await qemu.do("screendump", {"filename": name, "format": "png"}, limit=_ANSWER)
        return read_plainly(vm / name, _MOST)
    except (MonitorFailed, OSError) as problem:
        raise MachineFailed(f"The screen could not be seen: {problem}.") from problem
    finally:
        (vm / name).unlink(missing_ok=True)
