"""The simulated store of images: it keeps what it is given byte for byte, and judges qcow2 files by their header."""

import asyncio
import errno
import hashlib
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import msgspec

from darkroom.domain.ids import ImageId
from darkroom.drivers.base import ImageFacts
from darkroom.drivers.qemu.qcow2 import HEAD, MAGIC
from darkroom.drivers.qemu.qcow2 import problem as header_problem
from darkroom.drivers.simulated import qcow2
from darkroom.drivers.simulated.faults import Faults
from darkroom.drivers.simulated.files import (
    Records,
    file_name,
    part_beside,
    parts_beside,
    sync,
)
from darkroom.drivers.simulated.guest import Guest
from darkroom.errors import HostFull, ImageDamaged, InvalidParameter

#: Bytes that `read` yields at a time.
_CHUNK = 1 << 20


class SimulatedImageStore:
    """An `ImageStore` that stores uploads as they are; what is not qcow2 counts as a raw disk."""

    def __init__(self, data: Path, *, faults: Faults | None = None) -> None:
        self._folder = data / "images"
        self._records = Records(self._folder, ImageFacts)
        self.faults = faults or Faults(data / "simulated" / "faults.json")

    async def receive(self, image_id: ImageId, chunks: AsyncIterator[bytes]) -> ImageFacts:
        fault = self.faults.take("receive", [image_id])
        if fault and not fault.after:
            await fault.strike()
        for former in parts_beside(self._disk(image_id)):
            former.unlink(missing_ok=True)
        with self._part(image_id) as part:
            with part.open("wb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
            if fault:
                await fault.strike()
            facts = await asyncio.to_thread(_judge, part)
            # Not in a thread: that would go on after the call was cancelled.
            self._publish(image_id, part, facts)
        return facts

    async def facts(self, image_id: ImageId) -> ImageFacts | None:
        await self.faults.meet("facts", [image_id])
        return self.whole(image_id)

    async def read(self, image_id: ImageId) -> AsyncIterator[bytes]:
        await self.faults.meet("read", [image_id])
        try:
            file = self._disk(image_id).open("rb")
        except FileNotFoundError:
            raise ImageDamaged(f"The file of image {image_id} is missing.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def remove(self, image_id: ImageId) -> None:
        await self.faults.meet("remove", [image_id])
        self._records.drop(image_id)
        self._disk(image_id).unlink(missing_ok=True)
        self._sweep(image_id)

    async def stored(self) -> list[ImageId]:
        await self.faults.meet("stored", [])
        return [image_id for image_id in self._traces() if self.whole(image_id)]

    async def sweep(self, keep: Collection[ImageId], *, older_than: float) -> list[ImageId]:
        await self.faults.meet("sweep", [])
        swept = []
        for image_id, files in self._traces().items():
            halves = [file for file in files if file.suffix == ".part" or not self.whole(image_id)]
            old = [file for file in halves if _age(file) > older_than]
            if old and image_id not in keep:
                swept.append(image_id)
                for file in old:
                    file.unlink(missing_ok=True)
        return swept

    def keep_guest(self, image_id: ImageId, guest: Guest, virtual_size: int) -> ImageFacts:
        """Store a captured disk; an image that is there whole already stays as it is. Raises HostFull."""
        known = self.whole(image_id)
        if known:
            return known
        self._sweep(image_id)
        content = qcow2.disk_with_guest(virtual_size, msgspec.json.encode(guest, order="deterministic"))
        with self._part(image_id) as part:
            part.write_bytes(content)
            facts = _judge(part)
            self._publish(image_id, part, facts)
        return facts

    def guest(self, image_id: ImageId) -> Guest:
        """Return the guest on an image's disk: a fresh one unless it was captured here. Raises ImageDamaged."""
        if self._records.get(image_id) is None:
            raise ImageDamaged(f"Image {image_id} is unknown.")
        try:
            with self._disk(image_id).open("rb") as file:
                content = qcow2.guest_in(file)
        except FileNotFoundError:
            raise ImageDamaged(f"The file of image {image_id} is missing.") from None
        try:
            return msgspec.json.decode(content, type=Guest) if content else Guest()
        except msgspec.DecodeError:
            return Guest()

    def whole(self, image_id: ImageId) -> ImageFacts | None:
        """Return the facts of an image that has its file."""
        return self._records.get(image_id) if self._disk(image_id).exists() else None

    def _sweep(self, image_id: ImageId) -> None:
        """Remove what an earlier call for this image left half written when its process died."""
        self._records.sweep(image_id)
        for part in parts_beside(self._disk(image_id)):
            part.unlink(missing_ok=True)

    def _publish(self, image_id: ImageId, part: Path, facts: ImageFacts) -> None:
        part.replace(self._disk(image_id))
        self._records.put(image_id, facts)
        sync(self._folder)

    @contextmanager
    def _part(self, image_id: ImageId) -> Iterator[Path]:
        """Lend a file to be filled and given its name; whatever goes wrong, nothing is left. Raises HostFull."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = part_beside(self._disk(image_id))
        try:
            yield part
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HostFull("The host has not enough disk space for the image.") from None
            raise
        finally:
            part.unlink(missing_ok=True)

    def _traces(self) -> dict[ImageId, list[Path]]:
        """Return all files of images, whole and half, by the image."""
        found: dict[ImageId, list[Path]] = {}
        for file in sorted(self._folder.glob("*")):
            # The half of a file is called `.<name>.disk.<any>.part`, or so with `json`.
            name = file.name[1:].rsplit(".", 3)[0] if file.suffix == ".part" else file.stem
            if file.suffix in (".disk", ".json", ".part"):
                found.setdefault(ImageId(unquote(name)), []).append(file)
        return found

    def _disk(self, image_id: ImageId) -> Path:
        return self._folder / f"{file_name(image_id)}.disk"


def _age(file: Path) -> float:
    """Return for how many seconds nobody has written to a file; one that has gone is new."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _judge(part: Path) -> ImageFacts:
    """Return the facts of a file that may be stored, and make it outlive a loss of power. Raises InvalidParameter."""
    with part.open("rb") as file:
        head = file.read(HEAD)
        problem = "is empty" if not head else header_problem(head) if head.startswith(MAGIC) else ""
        if problem:
            raise InvalidParameter("file", problem)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    sync(part)
    size = part.stat().st_size
    return ImageFacts(size=size, virtual_size=qcow2.virtual_size(head) or size, sha256=sha256)
