"""CREATE_SERVER_IMAGE: freeze the machine's disk while it runs on, generalise a copy, flatten that into an image."""

from darkroom.domain.ids import ImageId
from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.jobs import JobType
from darkroom.domain.servers import ServerStatus
from darkroom.errors import CaptureFailed
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Detail, Ending, Plan, Step, Work


async def freeze_disk(work: Work) -> Detail:
    snapshot = await work.tools.compute.snapshot(work.server_id, work.job.id)
    return {"pause_seconds": round(snapshot.pause_seconds, 4)}


async def discard_snapshot(work: Work) -> None:
    await work.tools.compute.discard(work.server_id, work.job.id)


async def generalise(work: Work) -> Detail:
    if not work.job.order["execute_sysprep"]:
        return {"skipped": "execute_sysprep is false"}
    account = (await work.server()).account_name
    await work.tools.compute.generalise(
        work.server_id, work.job.id, [account], timeout=work.tools.limits.generalise, progress=work.progress
    )
    return {"removed_accounts": [account]}


async def flatten(work: Work) -> Detail:
    facts = await work.tools.compute.flatten(work.server_id, work.job.id, _image_id(work), progress=work.progress)
    return {"size": facts.size, "virtual_size": facts.virtual_size, "sha256": facts.sha256}


async def remove_image(work: Work) -> None:
    await work.tools.image_store.remove(_image_id(work))


async def is_built(work: Work) -> Ending:
    server, order = await work.server(), work.job.order
    facts = await work.tools.image_store.facts(_image_id(work))
    if facts is None:
        raise CaptureFailed("The image's file disappeared after it was written.")

    def end(tx: Transaction, at: int) -> str:
        image = Image(
            id=_image_id(work),
            project_id=server.project_id,
            name=order["name"],
            description=order["description"],
            status=ImageStatus.ACTIVE,
            size=facts.size,
            virtual_size=facts.virtual_size,
            sha256=facts.sha256,
            base_image_id=server.base_image_id,
            source_server_id=server.id,
            generalised=order["execute_sysprep"],
            created_at=at,
            updated_at=at,
        )
        tx.images.add(image, job=work.job)
        tx.servers.move(server.id, ServerStatus.BUILT, at, job=work.job, names={"image_id": image.id})
        return image.id

    return end


async def is_as_before(work: Work) -> Ending:
    """The build left the machine as it was, so the server goes back to the state it had (contract 11, decision 12)."""
    return work.server_becomes(ServerStatus(work.job.order["status_before"]))


PLAN = Plan(
    JobType.CREATE_SERVER_IMAGE,
    steps=(
        Step("freeze disk", freeze_disk, undo=discard_snapshot),
        Step("generalise", generalise),
        Step("flatten", flatten, undo=remove_image),
        Step("discard snapshot", discard_snapshot),
    ),
    succeed=is_built,
    fail=is_as_before,
)


def _image_id(work: Work) -> ImageId:
    return ImageId(work.job.order["image_id"])
