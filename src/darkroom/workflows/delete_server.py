"""DELETE_SERVER: end each machine and remove its record. The images made of it stay."""

from darkroom.domain.jobs import JobType
from darkroom.domain.servers import ServerStatus
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Detail, Ending, Plan, Step, Work


async def remove_machine(work: Work) -> Detail:
    """Delete the machine with the record, or, unless asked to delete recursively, release it from the record."""
    if work.job.order["recursive"]:
        await work.tools.compute.delete(work.server_id)
        return {"machine": "deleted"}
    await work.tools.compute.release(work.server_id)
    return {"machine": "released"}


async def is_gone(work: Work) -> Ending:
    def end(tx: Transaction, at: int) -> None:
        tx.servers.remove(work.server_id, at, job=work.job)

    return end


async def is_in_error(work: Work) -> Ending:
    return work.server_becomes(ServerStatus.ERROR)


PLAN = Plan(
    JobType.DELETE_SERVER,
    steps=(Step("remove machine", remove_machine),),
    succeed=is_gone,
    fail=is_in_error,
)
