"""CREATE_SERVER: boot a machine from the base image, let the authorised account in, attach applications."""

from darkroom.domain.ids import new_uuid
from darkroom.domain.jobs import JobType
from darkroom.domain.servers import ServerAccess, ServerStatus
from darkroom.drivers.base import Door, GuestAccount, MachineSpec
from darkroom.errors import AppNotFound, AttachFailed, JobFault
from darkroom.store.transaction import Transaction
from darkroom.workflows.attach import attach
from darkroom.workflows.kept import ORDERED, drop_kept_machine, keep_machine
from darkroom.workflows.plan import Detail, Ending, Plan, Step, Work


async def check_host(work: Work) -> None:
    await drop_kept_machine(work)
    await work.tools.compute.check(await _spec(work))


async def boot(work: Work) -> Detail:
    machine = await work.tools.compute.create(work.server_id, await _spec(work))
    return {"instance_id": machine.instance_id, "accelerator": machine.accelerator}


async def remove_machine(work: Work) -> Detail | None:
    if await work.tools.store.kept.until(work.server_id):
        return {"kept_minutes": work.job.order[ORDERED]}
    await work.tools.compute.delete(work.server_id)
    return None


async def await_guest(work: Work) -> None:
    await work.tools.compute.await_guest(work.server_id, timeout=work.tools.limits.boot)


async def admit_account(work: Work) -> Detail:
    server = await work.server()
    access = await work.tools.store.servers.access(server)
    door = await work.tools.compute.admit(server.id, _account(access))
    known = access.with_door(door.address, door.port, door.host_key)
    await work.write(lambda tx: tx.servers.set_access(server, known, work.tools.clock(), job=work.job))
    return {"account": access.account, "address": door.address, "port": door.port}


async def log_in(work: Work) -> None:
    access = await work.tools.store.servers.access(await work.server())
    door = Door(address=access.address, port=access.port, host_key=access.host_key)
    await work.tools.compute.try_login(work.server_id, _account(access), door, timeout=work.tools.limits.login)


async def attach_applications(work: Work) -> Detail:
    """Attach what was ordered with the server (`attach_apps`, contract section 3.6)."""
    store, server, tools = work.tools.store, await work.server(), work.tools
    # Servers ordered before there were applications say nothing of them.
    wanted = server.order.get("attach_apps") or []
    if not wanted:
        return {"skipped": "no applications were ordered"}
    try:
        records = [await store.apps.get(server.project_id, record_id) for record_id in wanted]
    except AppNotFound as error:
        raise AttachFailed(f"{error.message} It was removed after the image server was ordered.") from None
    if [attached.id for attached in await store.attachments.latest(server)] != wanted:
        await attach(
            tools.compute, tools.app_files, server.id, records, timeout=tools.limits.attach, progress=work.progress
        )
        at, of = tools.clock(), {ServerStatus.CREATING}
        await work.write(lambda tx: tx.attachments.record(server, records, at, of=of, job=work.job))
    return {"applications": [record.title for record in records]}


async def is_active(work: Work) -> Ending:
    machine = await work.tools.compute.find(work.server_id)
    if machine is None:
        raise JobFault("The machine disappeared while it was being made.")
    names = {
        "instance_id": machine.instance_id,
        "server_id": f"wksapp-{new_uuid()}",
        "app_group_id": work.tools.snowflakes.mint(),
    }

    def end(tx: Transaction, at: int) -> None:
        tx.servers.move(work.server_id, ServerStatus.ACTIVE, at, job=work.job, names=names)

    return end


async def is_in_error(work: Work) -> Ending:
    return work.server_becomes(ServerStatus.ERROR)


PLAN = Plan(
    JobType.CREATE_SERVER,
    steps=(
        Step("check host", check_host),
        Step("boot machine", boot, undo=remove_machine),
        Step("await guest", await_guest),
        Step("admit account", admit_account),
        Step("log in", log_in),
        Step("attach applications", attach_applications),
    ),
    succeed=is_active,
    fail=is_in_error,
    keep=keep_machine,
)


async def _spec(work: Work) -> MachineSpec:
    server = await work.server()
    return MachineSpec(
        name=server.name,
        image_id=server.base_image_id,
        cpus=server.order["cpus"],
        memory_mib=server.order["memory_mib"],
        disk_bytes=server.order["disk_bytes"],
    )


def _account(access: ServerAccess) -> GuestAccount:
    return GuestAccount(
        name=access.account, password=access.password, public_key=access.public_key, private_key=access.private_key
    )
