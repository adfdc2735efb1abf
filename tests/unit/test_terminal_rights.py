"""Who may open the terminals of which servers, and what is said where their lines cannot be reached."""

from pathlib import Path

import pytest

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import AccountId, ProjectId, ServerId, UserId
from darkroom.domain.roles import BUILT_IN, Role
from darkroom.domain.servers import ServerStatus
from darkroom.drivers.base import Channel, Compute
from darkroom.drivers.simulated import SimulatedCompute
from darkroom.errors import Forbidden, MachineUnreachable, ServerNotFound, ServerNotReady
from darkroom.services.terminals import Terminals
from house import PROJECT, World

KINDS = ["screen", "serial"]


def caller(*roles: Role, project: str = PROJECT) -> Caller:
    return Caller(
        user_id=UserId("u"),
        user_name="user",
        account_id=AccountId("a"),
        project_id=ProjectId(project),
        roles=roles or (BUILT_IN["operator"],),
    )


def open_one(
    world: World, server: ServerId, kind: str, who: Caller | None = None, compute: Compute | None = None
) -> None:
    terminals = Terminals(world.store, compute or world.compute)
    who = who or caller()

    async def work() -> None:
        channel: Channel = await getattr(terminals, kind)(who, who.project_id, server)
        assert await channel.read()
        await channel.aclose()

    world.run(work())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", sorted(set(ServerStatus) - {ServerStatus.DELETING}))
def test_a_machine_that_runs_is_shown_whatever_is_done_with_it(world: World, kind: str, status: ServerStatus) -> None:
    open_one(world, world.server(status), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_being_deleted_is_not(world: World, kind: str) -> None:
    with pytest.raises(ServerNotReady, match="it is DELETING"):
        open_one(world, world.server(ServerStatus.DELETING), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_of_its_own_is_needed(world: World, kind: str) -> None:
    server = world.server()
    for role in (BUILT_IN["readonly"], Role(name="r", actions=("*", "!*:openConsole"))):
        with pytest.raises(Forbidden, match="workspace:imageServer:openConsole"):
            open_one(world, server, kind, caller(role))
    open_one(world, server, kind, caller(Role(name="r", actions=("workspace:imageServer:openConsole",))))
    with pytest.raises(ServerNotFound):
        open_one(world, server, kind, caller(project="b" * 32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_cannot_be_reached_is_told_of_with_the_reason(world: World, kind: str) -> None:
    class Elsewhere(SimulatedCompute):
        async def connect_screen(self, key: ServerId) -> Channel:
            raise FileNotFoundError(2, "No such file or directory", "vnc.sock")

        connect_serial = connect_screen

    compute = Elsewhere(world.data, world.images)
    with pytest.raises(MachineUnreachable, match=r"cannot be reached from this process: .*vnc\.sock") as caught:
        open_one(world, world.server(), kind, compute=compute)
    assert caught.value.status == 503


def test_a_screen_that_cannot_be_seen_is_told_of_alike(world: World) -> None:
    server = world.server()
    world.fault("screenshot", "MachineFailed", message="QEMU did not answer.", times=1)
    terminals = Terminals(world.store, world.compute)
    with pytest.raises(MachineUnreachable, match="QEMU did not answer"):
        world.run(terminals.screenshot(caller(), ProjectId(PROJECT), server))
    picture = world.run(terminals.screenshot(caller(BUILT_IN["readonly"]), ProjectId(PROJECT), server))
    assert picture.startswith(b"\x89PNG")
