"""The folder of images: each a qcow2 file that stands alone and is never written again, and a note of its facts."""

import asyncio
import errno
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from darkroom.domain.ids import ImageId
from darkroom.drivers.base import ImageFacts, Progress
from darkroom.drivers.qemu import qcow2
from darkroom.drivers.qemu.files import give, host_full, read_record, sync_file, sync_folder, write_record
from darkroom.drivers.qemu.layout import Layout
from darkroom.drivers.qemu.programs import ProgramFailed
from darkroom.drivers.qemu.qemu_img import QemuImg
from darkroom.drivers.qemu.uploads import Upload
from darkroom.errors import HostFull, ImageDamaged, InvalidParameter

_CHUNK: Final = 1024 * 1024
#: No disk is larger than this many bytes; a header may claim anything.
_LARGEST_DISK: Final = 16 * 1024**4


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept beside an image. An unchanged time of modification spares computing its digest again."""

    size: int
    virtual_size: int
    sha256: str
    mtime_ns: int

    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(size=self.size, virtual_size=self.virtual_size, sha256=self.sha256)


class ImageFolder:
    """The images of one data folder, as the driver's other parts use them."""

    def __init__(self, layout: Layout, tool: QemuImg) -> None:
        self.layout, self.tool = layout, tool

    def make(self) -> None:
        """Make the folder. QEMU's user may enter it, to write into files made for it there; it may not add any."""
        self.layout.images.mkdir(parents=True, exist_ok=True, mode=0o755)

    def facts(self, image_id: str) -> ImageFacts | None:
        note = read_record(self.layout.image_note(image_id), _Note)
        return note.facts if note and self.layout.image(image_id).exists() else None

    def remove(self, image_id: str) -> None:
        named = (self.layout.image(image_id), self.layout.image_note(image_id))
        for path in (*named, *self.layout.partials(image_id)):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            sync_folder(self.layout.images)

    def stored(self) -> list[str]:
        return sorted(path.stem for path in self.layout.images.glob("*.qcow2"))

    def sweep(self, keep: Collection[str], *, older_than: float) -> list[str]:
        """Remove half images, and notes without an image, that nobody has written to for so long: see ImageStore."""
        swept = set()
        for path in self._halves():
            image_id = path.name.split(".")[0]
            with suppress(FileNotFoundError):
                if image_id not in keep and time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    swept.add(image_id)
        return sorted(swept)

    def _halves(self) -> list[Path]:
        notes = (path for path in self.layout.images.glob("*.json") if not path.with_suffix(".qcow2").exists())
        return [*self.layout.images.glob("*.partial"), *notes]

    @contextmanager
    def partial(self, image_id: str) -> Iterator[Path]:
        """Give a new empty file that QEMU's user may write to; in the end it is gone, unless it has been published.

        It has a name of its own, for a qemu-img that outlived its service may still be writing to an earlier one.
        """
        self.make()
        path = self.layout.new_partial(image_id)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            give(path, self.tool.owner)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def clear(self, image_id: str) -> None:
        """Remove what earlier attempts at this image have left."""
        for path in self.layout.partials(image_id):
            path.unlink(missing_ok=True)

    async def verify(self, image_id: str) -> ImageFacts:
        """Return the facts of an image whose bytes are those that were stored. Raises ImageDamaged."""
        path, note = self.layout.image(image_id), read_record(self.layout.image_note(image_id), _Note)
        if note is None or not path.is_file():
            raise ImageDamaged(f"The file of image {image_id} is missing.")
        state = path.stat()
        if state.st_size != note.size:
            raise ImageDamaged(f"The file of image {image_id} has {state.st_size} bytes instead of {note.size}.")
        if state.st_mtime_ns != note.mtime_ns:
            if await digest(path) != note.sha256:
                raise ImageDamaged(f"The file of image {image_id} has been changed; its SHA-256 was {note.sha256}.")
            write_record(self.layout.image_note(image_id), msgspec.structs.replace(note, mtime_ns=state.st_mtime_ns))
        return note.facts

    async def try_reading(self, image_id: str) -> None:
        """Raise ImageDamaged if QEMU's user cannot read an image."""
        path = self.layout.image(image_id)
        try:
            await self.tool.info(path.parent, path.name)
        except ProgramFailed as problem:
            raise ImageDamaged(f"The file of image {image_id} cannot be read: {problem}.") from problem

    async def publish(self, partial: Path, image_id: str, *, sha256: str = "", progress: Progress) -> ImageFacts:
        """Give the finished file `partial` its name and note, durably, after which it is never written again."""
        _close_to_writers(partial)
        # Not while the file is written: it is written out of order, and its digest is that of its bytes in order.
        sha256 = sha256 or await digest(partial, progress)
        info = await self.tool.info(partial.parent, partial.name)
        await asyncio.to_thread(sync_file, partial)
        return self._settle(partial, image_id, sha256, int(info["virtual-size"]))

    def _settle(self, partial: Path, image_id: str, sha256: str, virtual_size: int) -> ImageFacts:
        state = partial.stat()
        note = _Note(size=state.st_size, virtual_size=virtual_size, sha256=sha256, mtime_ns=state.st_mtime_ns)
        # The note first: nobody could vouch for an image without a note, and a note alone counts for nothing.
        write_record(self.layout.image_note(image_id), note)
        partial.replace(self.layout.image(image_id))
        sync_folder(self.layout.images)
        return note.facts


def _close_to_writers(path: Path) -> None:
    os.chown(path, os.geteuid(), os.getegid())
    path.chmod(0o444)


class FolderImageStore:
    """An ImageStore in the data folder; qemu-img judges uploads as `owner`'s unprivileged user."""

    def __init__(self, images: ImageFolder) -> None:
        self._images = images

    async def receive(self, image_id: ImageId, chunks: AsyncIterator[bytes]) -> ImageFacts:
        """See ImageStore. What is stored of a qcow2 file are its very bytes; a raw disk is converted."""
        self._images.clear(image_id)
        try:
            with self._images.partial(image_id) as upload:
                return await self._take_in(image_id, upload, chunks)
        except OSError as problem:
            if full := host_full(problem):
                raise full from problem
            raise
        except ProgramFailed as problem:
            refusal = InvalidParameter("file", f"cannot be read as a disk image: {problem}")
            raise full_told(problem) or refusal from problem

    async def _take_in(self, image_id: str, upload: Path, chunks: AsyncIterator[bytes]) -> ImageFacts:
        received = await Upload(upload).take(chunks)
        if received.size == 0:
            raise InvalidParameter("file", "is empty")
        form = qcow2.kind(received.head, received.tail)
        if isinstance(form, qcow2.Foreign):
            raise InvalidParameter("file", str(form))
        if form == "qcow2":
            await self._judge(upload, received.head)
            return await self._publish(upload, image_id, sha256=received.sha256)
        if not qcow2.is_bootable_raw(received.head, received.size):
            raise InvalidParameter("file", "is neither qcow2 nor a raw bootable disk")
        with self._images.partial(image_id) as target:
            await self._images.tool.convert(upload.parent, upload.name, target, form="raw", percent=lambda _: None)
            return await self._publish(target, image_id)

    async def facts(self, image_id: ImageId) -> ImageFacts | None:
        """See ImageStore."""
        return self._images.facts(image_id)

    async def read(self, image_id: ImageId) -> AsyncIterator[bytes]:
        """See ImageStore."""
        try:
            file = self._images.layout.image(image_id).open("rb")
        except FileNotFoundError:
            raise ImageDamaged(f"The file of image {image_id} is missing.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def remove(self, image_id: ImageId) -> None:
        """See ImageStore."""
        self._images.remove(image_id)

    async def stored(self) -> list[ImageId]:
        """See ImageStore."""
        return [ImageId(image_id) for image_id in self._images.stored()]

    async def sweep(self, keep: Collection[ImageId], *, older_than: float) -> list[ImageId]:
        """See ImageStore."""
        return [ImageId(image_id) for image_id in self._images.sweep(keep, older_than=older_than)]

    async def _judge(self, upload: Path, head: bytes) -> None:
        if reason := qcow2.problem(head):
            raise InvalidParameter("file", reason)
        info = await self._images.tool.info(upload.parent, upload.name)
        size = info["virtual-size"]
        if not 0 < size <= _LARGEST_DISK:
            raise InvalidParameter("file", f"holds a disk of {size} bytes; at most {_LARGEST_DISK} are possible")
        # Asked again of qemu-img, in case it reads the header otherwise than we do.
        if info.get("backing-filename") or info.get("encrypted") or _data_file(info):
            raise InvalidParameter("file", "is encrypted or refers to another file")
        try:
            await self._images.tool.check(upload.parent, upload.name)
        except ProgramFailed as problem:
            raise InvalidParameter("file", f"is damaged: {problem}") from problem

    async def _publish(self, partial: Path, image_id: str, *, sha256: str = "") -> ImageFacts:
        return await self._images.publish(partial, image_id, sha256=sha256, progress=lambda _done, _total: None)


def _data_file(info: dict[str, object]) -> bool:
    return "data-file" in str(info.get("format-specific", ""))


def full_told(problem: ProgramFailed) -> HostFull | None:
    """Return the HostFull to raise if a program said that there is no room left."""
    text = str(problem)
    found = next((code for code in (errno.ENOSPC, errno.EDQUOT) if os.strerror(code) in text), 0)
    return host_full(OSError(found, text))


async def digest(path: Path, progress: Progress = lambda _done, _total: None) -> str:
    """Return the SHA-256 of a file, computed in a thread. `progress` is told bytes, on the caller's loop."""
    loop, halt = asyncio.get_running_loop(), threading.Event()

    def tell(done: int, total: int) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    work = asyncio.ensure_future(asyncio.to_thread(_digest, path, tell, halt))
    try:
        return await asyncio.shield(work)
    finally:
        halt.set()
        await asyncio.wait([work])


def _digest(path: Path, tell: Callable[[int, int], None], halt: threading.Event) -> str:
    algorithm, total, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while not halt.is_set() and (chunk := file.read(4 * _CHUNK)):
            algorithm.update(chunk)
            done += len(chunk)
            tell(done, total)
    return algorithm.hexdigest()
