"""Reconciliation of images: their files are compared with their records, and the two made to agree."""

from typing import Final

import structlog

from darkroom.domain.chores import Problem
from darkroom.domain.ids import ImageId, ProjectId
from darkroom.domain.images import Image, ImageStatus
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Tools
from darkroom.workflows.reconcile import tolerating

log = structlog.get_logger(__name__)

#: Milliseconds after which an upload that gives no sign of life has died; it gives one every few seconds.
SILENCE_MS: Final = 60 * 1000
#: Seconds after which nobody is still at work on what is half written.
STALE: Final = 3600.0


class ImageFiles:
    """Makes image files and records agree. Images that a running job makes, or an upload, are let be."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._store, self._image_store = tools, tools.store, tools.image_store

    async def reconcile(self) -> list[Problem]:
        """Remove files that are nobody's, and let dead uploads be made anew; return which images have no file."""
        stored = set(await self._image_store.stored())
        # In this order: a build that ends meanwhile is still busy, or has its record already.
        busy = await self._store.jobs.busy()
        images = await self._store.images.all()
        await self._give_up_uploads(images)
        # Of an image that is whole there may be no more than its note, without which its file is worth nothing when it
        # is restored. One that waits for its bytes has no note.
        keep = {image.id for image in images if image.status is not ImageStatus.QUEUED}
        for image_id in await self._image_store.sweep(keep | {ImageId(each) for each in busy}, older_than=STALE):
            log.warning("what was half written of an image is removed", image_id=image_id)
        nobodys = stored - {image.id for image in images} - busy
        problems: list[Problem] = []
        for image_id in nobodys:
            problems += await tolerating(self._remove(image_id), ProjectId(""), image_id)
        for image in images:
            if image.status is ImageStatus.ACTIVE and image.id not in stored:
                problems += await tolerating(self._miss(image), image.project_id, image.id)
        return problems

    async def _give_up_uploads(self, images: list[Image]) -> None:
        """Let images wait for their bytes again whose upload died. What it left behind is cleared by the next one."""
        now = self._tools.clock()
        for image in images:
            if image.status is ImageStatus.SAVING and image.updated_at < now - SILENCE_MS:
                await self._store.write(lambda tx: _give_up(tx, image, now))  # noqa: B023

    async def _remove(self, image_id: ImageId) -> list[Problem]:
        """Remove the file of an image that these records once knew; others may belong to records that were lost."""
        project_id, at = await self._store.events.project_of(image_id), self._tools.clock()
        project_id = project_id or await self._store.jobs.project_of_image(image_id)
        if not project_id:
            problem = (
                "The image folder has a file of this name, of which the records know nothing. It is left alone: restore"
                " the records that know it, or remove the file."
            )
            return [Problem(project_id=project_id, resource_id=image_id, problem=problem)]
        log.warning("the file of an image that has no record is removed", image_id=image_id)
        await self._image_store.remove(image_id)
        await self._store.write(lambda tx: tx.events.add("image.orphan_removed", at, project_id, resource_id=image_id))
        return []

    async def _miss(self, image: Image) -> list[Problem]:
        """Tell of an image whose file has disappeared, unless it came, or was deleted, since the first look."""
        if await self._image_store.facts(image.id) or await self._store.images.find(image.id) is None:
            return []
        await self._store.write(lambda tx: tx.images.miss(image, self._tools.clock()))
        problem = f"The file of the image {image.name} has disappeared; restore it from a backup, or delete the image."
        return [Problem(project_id=image.project_id, resource_id=image.id, problem=problem)]


def _give_up(tx: Transaction, image: Image, now: int) -> None:
    tx.images.change(image, now, of=ImageStatus.SAVING, touched=image.updated_at, status=ImageStatus.QUEUED)
