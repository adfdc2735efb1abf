"""Images: their records and, through the image store, their files."""

from collections.abc import AsyncIterator
from typing import Any, Unpack

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ImageId, new_uuid
from darkroom.domain.images import Image, ImageStatus, ImageType
from darkroom.domain.limits import Quota
from darkroom.domain.times import Clock
from darkroom.drivers.base import ImageStore
from darkroom.errors import Conflict, Forbidden, QuotaExceeded
from darkroom.services.quotas import check_image_bytes, check_images
from darkroom.services.uploads import Change, Upload
from darkroom.store.images import ImagePage
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction


class Images:
    """What callers may do with images. The project is the one they are signed in to."""

    def __init__(self, store: Store, image_store: ImageStore, quota: Quota, clock: Clock) -> None:
        self._store, self._image_store, self._quota, self._clock = store, image_store, quota, clock

    async def recover(self) -> None:
        """Give up the uploads that a former process did not finish: their images wait for their bytes again.

        Only where no other process shares the records; there, reconciliation gives up what gives no sign of life.
        """
        for image in await self._store.images.with_status(ImageStatus.SAVING):
            await self._image_store.remove(image.id)
            await self._change(image, of=ImageStatus.SAVING, status=ImageStatus.QUEUED)

    async def show(self, caller: Caller, image_id: str) -> Image:
        """Return an image that the caller's project may use. Raises ImageNotFound."""
        caller.must("ims:images:get", caller.project_id)
        return await self._store.images.get(caller.project_id, image_id)

    async def page(self, caller: Caller, **wanted: Unpack[ImagePage]) -> list[Image]:
        """Return images that the caller's project may use, by default newest first."""
        caller.must("ims:images:list", caller.project_id)
        return await self._store.images.page(caller.project_id, **wanted)

    async def add(self, caller: Caller, *, name: str, description: str, image_type: ImageType) -> Image:
        """Record an image whose bytes are to follow."""
        caller.must("ims:images:create", caller.project_id)
        now = self._clock()
        image = Image(
            id=ImageId(new_uuid()),
            project_id=caller.project_id,
            name=name,
            description=description,
            image_type=image_type,
            created_at=now,
            updated_at=now,
        )

        def add(tx: Transaction) -> None:
            check_images(tx, self._quota, caller.project_id)
            tx.images.add(image)

        await self._store.write(add)
        return image

    async def upload(self, caller: Caller, image_id: str, chunks: AsyncIterator[bytes]) -> None:
        """Store the bytes of an image that waits for them. Where they are refused, it waits still.

        Raises QuotaExceeded if the stored file has more bytes than the project may still have.
        """
        image = await self._own(caller, "ims:images:upload", image_id)
        now = self._clock()
        if not await self._change(image, at=now, of=ImageStatus.QUEUED, status=ImageStatus.SAVING):
            raise Conflict(f"The image {image.id} is {image.status}; only a queued one takes an upload.")
        upload = Upload(self._store, _change_of(image), self._clock, now)
        try:
            async with upload.alive():
                facts = await self._image_store.receive(image.id, chunks)
        except BaseException as error:
            if not await upload.end(status=ImageStatus.QUEUED) and isinstance(error, OSError):
                raise _given_up(image) from error  # what it had written was cleared for the one that came after it
            raise
        whole = {"size": facts.size, "virtual_size": facts.virtual_size, "sha256": facts.sha256}
        try:
            held = await upload.end(
                lambda tx: check_image_bytes(tx, self._quota, image.project_id, facts.size),
                status=ImageStatus.ACTIVE,
                **whole,
            )
        except QuotaExceeded:
            await self._image_store.remove(image.id)
            await upload.end(status=ImageStatus.QUEUED)
            raise
        if not held:
            raise _given_up(image)

    async def download(self, caller: Caller, image_id: str) -> tuple[Image, AsyncIterator[bytes]]:
        """Return an active image and its bytes. Raises Conflict if it is not active."""
        image = await self.show(caller, image_id)
        if image.status is not ImageStatus.ACTIVE:
            raise Conflict(f"The image {image.id} is {image.status}, not active.")
        return image, self._image_store.read(image.id)

    async def delete(self, caller: Caller, image_id: str) -> None:
        """Delete an image. Raises Conflict while an image server has it as its base, or its upload goes on."""
        image = await self._own(caller, "ims:images:delete", image_id)
        if image.status is ImageStatus.SAVING:
            raise Conflict(f"The image {image.id} is being uploaded.")
        servers = await self._store.servers.started_from(image.id)
        if servers:
            names = ", ".join(f"{server.name} ({server.id})" for server in servers[:5])
            raise Conflict(f"The image {image.id} is the base of {len(servers)} image server(s): {names}.")
        # The file goes first: if that is as far as it gets, the record is still there to be deleted again.
        await self._image_store.remove(image.id)
        await self._store.write(lambda tx: tx.images.remove(image, self._clock()))

    async def _own(self, caller: Caller, action: str, image_id: str) -> Image:
        caller.must(action, caller.project_id)
        image = await self._store.images.get(caller.project_id, image_id)
        if image.project_id != caller.project_id:
            raise Forbidden(f"The image {image.id} belongs to another project.")
        return image

    async def _change(self, image: Image, *, at: int | None = None, of: ImageStatus, **changes: Any) -> bool:
        at = self._clock() if at is None else at
        return await self._store.write(lambda tx: tx.images.change(image, at, of=of, **changes))


def _change_of(image: Image) -> Change:
    def change(tx: Transaction, at: int, *, touched: int, **changes: Any) -> bool:
        return tx.images.change(image, at, of=ImageStatus.SAVING, touched=touched, **changes)

    return change


def _given_up(image: Image) -> Conflict:
    """Return what to tell whoever sent an upload that was silent for too long."""
    return Conflict(f"The upload of the image {image.id} was given up meanwhile; send it again.")
