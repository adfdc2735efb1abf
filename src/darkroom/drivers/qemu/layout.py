"""Where things are: the one module that knows the names of files in the data folder.

```
images/<image id>.qcow2             a stored image, never written again; <image id>.json tells its facts
images/<image id>.<any>.partial     one that is not whole yet
machines/<key>/                     belongs to the service: the records, which QEMU cannot change
    machine.json, lock              what to run; the lock of whoever changes the machine
    capture-<job>.json, .lock       how far a capture has come
    capture-<job>.new/              vm/capture-<job>/ while it is being filled
    vm/                             QEMU's working directory, belongs to the user that QEMU runs as
        base.qcow2                  a hard link to the image, so that removing the image disturbs no machine
        disk-<n>.qcow2              the layers of the disk, each over the one before, the first over base.qcow2
        qmp.sock agent.sock files.sock serial.sock vnc.sock, serial.log, qemu.log, alive
        screen-<any>.png            a picture of the screen, while it is taken
        capture-<job>/              the helper guest's working directory
released/<key>/                     as machines/<key>/, no longer ours to run
```
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BASE: Final = "base.qcow2"
FIRST_DISK: Final = "disk-0.qcow2"
SERIAL_LOG: Final = "serial.log"
QEMU_LOG: Final = "qemu.log"
ALIVE: Final = "alive"
QMP_SOCKET: Final = "qmp.sock"
AGENT_SOCKET: Final = "agent.sock"
FILES_SOCKET: Final = "files.sock"
SERIAL_SOCKET: Final = "serial.sock"
VNC_SOCKET: Final = "vnc.sock"

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MACHINE = re.compile(r"[0-9]{1,20}")


def _safe(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file")
    return name


def is_machine(name: str) -> bool:
    """Whether a folder can be a machine's, which has the name of its server's id. What else lies there is not ours."""
    return bool(_MACHINE.fullmatch(name))


def next_disk(disk: str) -> str:
    """Return the file name of the layer that comes over `disk`."""
    number = int(disk.removeprefix("disk-").removesuffix(".qcow2"))
    return f"disk-{number + 1}.qcow2"


@dataclass(frozen=True)
class MachinePlace:
    """The folder of one machine."""

    home: Path

    @property
    def record(self) -> Path:
        return self.home / "machine.json"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def vm(self) -> Path:
        """The working directory of its QEMU."""
        return self.home / "vm"

    def capture_record(self, capture: str) -> Path:
        return self.home / f"capture-{_safe(capture)}.json"

    def capture_lock(self, capture: str) -> Path:
        return self.home / f"capture-{_safe(capture)}.lock"

    def capture_records(self) -> Iterator[Path]:
        return self.home.glob("capture-*.json")

    def captures(self) -> list[str]:
        """Return the names of all captures of which something is left, be it a lock or a bench alone."""
        left = (*self.home.glob("capture-*"), *self.vm.glob("capture-*"))
        return sorted({path.stem.removeprefix("capture-") for path in left})

    def bench(self, capture: str) -> Path:
        """The working directory of the helper guest that generalises this capture."""
        return self.vm / f"capture-{_safe(capture)}"

    def draft(self, capture: str) -> Path:
        """Where the bench is filled, out of reach of a QEMU that lives in the folder that it then goes to."""
        return self.home / f"capture-{_safe(capture)}.new"


@dataclass(frozen=True)
class Layout:
    """The data folder."""

    data: Path

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def homes(self) -> Path:
        """The folder of all machines."""
        return self.data / "machines"

    @property
    def accelerator_verdict(self) -> Path:
        return self.data / "accelerator.json"

    def machine(self, key: str) -> MachinePlace:
        return MachinePlace(self.homes / _safe(key))

    def released(self, key: str) -> Path:
        return self.data / "released" / _safe(key)

    def close(self) -> None:
        """Close the folder of all machines to others: the QEMU of one must not find its way to the next (`../../`)."""
        self.homes.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):  # whoever may not do this is no root, and runs QEMU as itself
            self.homes.chmod(0o700)

    def machines(self) -> list[MachinePlace]:
        """Return the places of all machines that have a record."""
        homes = (record.parent for record in sorted(self.homes.glob("*/machine.json")))
        return [MachinePlace(home) for home in homes if is_machine(home.name)]

    def image(self, image_id: str) -> Path:
        return self.images / f"{_safe(image_id)}.qcow2"

    def image_note(self, image_id: str) -> Path:
        return self.images / f"{_safe(image_id)}.json"

    def new_partial(self, image_id: str) -> Path:
        """Return a place, never used before, for an image that is not whole yet."""
        return self.images / f"{_safe(image_id)}.{secrets.token_hex(4)}.partial"

    def partials(self, image_id: str) -> Iterator[Path]:
        return self.images.glob(f"{_safe(image_id)}.*.partial")
