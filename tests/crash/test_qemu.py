"""A real guest: the service dies in every step while it makes, copies and deletes it, and QEMU dies under a step."""

import hashlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from darkroom.domain.ids import ServerId
from darkroom.drivers.qemu import process
from darkroom.drivers.qemu.machines import uuid_of
from darkroom.guests import Kit

from .place import Place, in_child, new_place
from .points import Point
from .service import Api, lay, running, until_over

pytestmark = pytest.mark.qemu

FULL = os.environ.get("DARKROOM_CRASH") == "full"
#: Seconds that a slow host without KVM may need for all steps of a job.
PATIENCE = 600
#: Where the service dies, and how many seconds later.
Death = tuple[str, float]
CREATING: list[Death] = [
    ("compute.create: before", 0.05),
    ("compute.create: after", 0),
    ("compute.await_guest: before", 1),
    ("compute.admit: before", 0.02),
    ("compute.admit: after", 0),
    ("compute.try_login: before", 0.05),
    ("compute.try_login: after", 0),
]
BUILDING: list[Death] = [
    ("compute.snapshot: before", 0.02),
    ("compute.snapshot: after", 0),
    ("compute.generalise: before", 1),
    ("compute.generalise: after", 0),
    ("compute.flatten: before", 0.05),
    ("compute.flatten: after", 0),
    ("compute.discard: before", 0.01),
    ("compute.discard: after", 0),
]
DELETING: list[Death] = [("compute.delete: before", 0.02), ("compute.delete: after", 0)]


#: Writes a property of the test into its report.
Record = Callable[[str, object], None]


@pytest.fixture(params=["sqlite", "postgresql"] if FULL else ["sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path, kit: Kit) -> Iterator[Place]:
    """A place with the tiny image."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    place = new_place(tmp_path / "data", server, driver="qemu", kit=kit.tiny.parent, accelerator="tcg")

    async def furnish() -> None:
        async with running(place, role="api") as (_, api):
            await api.add_image(kit.tiny.read_bytes())

    must(place, in_child(furnish, place.log))
    yield place
    if server:
        server.drop(place.database)


def test_the_service_dies_in_every_step_and_the_guest_lives_on_until_it_is_deleted(
    place: Place, record_property: Record
) -> None:
    order(place, lambda api: api.create("a"))
    ends = dies_in(place, CREATING)
    server, instance, port = the_server(place, "ACTIVE")
    assert len(list(process.bearers(uuid_of(server)))) == 1
    assert (job_status(place), len(list(machines(place)))) == ("SUCCESS", 1)

    order(place, lambda api: api.build(server, sysprep=True))
    ends += dies_in(place, BUILDING)
    assert the_server(place, "BUILT") == (server, instance, port), "it is the same machine at the same door"
    assert_image_is_whole(place)
    assert not list(place.data.rglob("capture-*")), "what a capture needs for itself is gone"
    assert not list(place.data.rglob("*.partial"))

    order(place, lambda api: api.delete(server, recursive=True))
    ends += dies_in(place, DELETING)
    assert job_status(place) == "SUCCESS"
    assert_nothing_is_left(place, server, port)
    record_property("ends", ends)


def test_qemu_that_dies_under_a_step_fails_the_job_with_its_reason_and_leaves_nothing(place: Place) -> None:
    order(place, lambda api: api.create("a"))
    qemu_dies_in(place, "compute.await_guest: before", 1)
    ((server, status, code, message),) = place.rows(
        "SELECT resource_id, status, error_code, error_message FROM sub_jobs"
    )
    assert (status, code) == ("FAILED", "Darkroom.0103"), message
    assert message.startswith("await guest: ")
    assert place.rows("SELECT status FROM image_servers") == [("ERROR",)]
    assert_nothing_is_left(place, server, 0)


@pytest.mark.skipif(not FULL, reason="a whole boot and a whole build, for one more death: DARKROOM_CRASH=full")
def test_qemu_that_dies_under_a_build_does_not_keep_the_disk_from_being_copied(place: Place) -> None:
    order(place, lambda api: api.create("a"))
    dies_in(place, [])
    server, *_ = the_server(place, "ACTIVE")
    order(place, lambda api: api.build(server, sysprep=False))
    qemu_dies_in(place, "compute.snapshot: before", 0)
    assert job_status(place) == "SUCCESS", log(place)
    assert_image_is_whole(place)
    order(place, lambda api: api.delete(server, recursive=True))
    dies_in(place, [])
    assert_nothing_is_left(place, server, 0)


# The service, and what it leaves


def order(place: Place, send: Callable[[Api], Awaitable[str]]) -> None:
    """Have an order accepted by a process that does not work."""

    async def accept() -> None:
        async with running(place, role="api") as (_, api):
            await send(api)

    must(place, in_child(accept, place.log))


def dies_in(place: Place, deaths: Sequence[Death]) -> int:
    """Run the service so often that it dies each of these deaths, then until all has ended; return how often it died.

    A step that ends sooner than the service was to die in it is not met again, so not every death comes to pass.
    """
    codes = []
    for effect, later in deaths:
        code = in_child(
            lambda effect=effect, later=later: serve(place, effect, later, die), place.log, patience=PATIENCE
        )
        assert code in (0, -signal.SIGKILL), f"it was to die {later} s from {effect}: {code}\n{log(place)}"
        codes.append(code)
    ends = codes.count(-signal.SIGKILL)
    assert ends * 4 >= len(deaths) * 3, codes
    must(place, in_child(lambda: serve(place), place.log, patience=PATIENCE))
    return ends


def qemu_dies_in(place: Place, effect: str, later: float) -> None:
    """Run the service until all has ended; QEMU dies on the way."""
    work = lambda: serve(place, effect, later, lambda: kill_qemu(place))  # noqa: E731
    must(place, in_child(work, place.log, patience=PATIENCE))


async def serve(place: Place, effect: str = "", later: float = 0, strike: Callable[[], Any] = lambda: None) -> None:
    """Run the service until all jobs have ended; strike so many seconds after the effect is first met."""

    def met(point: Point) -> None:
        if point == Point(effect, 1):
            threading.Timer(later, strike).start() if later else strike()

    lay(place, met)
    async with running(place) as (service, _):
        await until_over(service, place)
        os._exit(0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_qemu(place: Place) -> None:
    ((server,),) = place.rows("SELECT id FROM image_servers")
    for pid in process.bearers(uuid_of(ServerId(str(server)))):
        os.kill(pid, signal.SIGKILL)


def must(place: Place, code: int) -> None:
    assert code == 0, f"exit code {code}\n{log(place)}"


def log(place: Place) -> str:
    return place.log.read_text(errors="replace")[-4000:]


def the_server(place: Place, status: str) -> tuple[str, str, int]:
    """Return the one server's id, its machine's id and the port at which it takes logins."""
    ((server, found, instance),) = place.rows("SELECT id, status, instance_id FROM image_servers")
    assert found == status, log(place)
    told = place.data.with_suffix(".port")

    async def look() -> None:
        async with running(place, role="api") as (_, api):
            access = await api.ask("GET", f"image-servers/{server}/access")
            told.write_text(str(access["port"]))

    must(place, in_child(look, place.log))
    return str(server), instance, int(told.read_text())


def job_status(place: Place) -> str:
    return str(place.rows("SELECT status FROM jobs ORDER BY id DESC LIMIT 1")[0][0])


def machines(place: Place) -> list[Path]:
    return list((place.data / "machines").glob("[0-9]*"))


def assert_image_is_whole(place: Place) -> None:
    """See that the new image is what its record says, stands alone, and is in order."""
    ((image, size, sha256),) = place.rows("SELECT id, size, sha256 FROM images WHERE name = 'golden'")
    file = place.data / "images" / f"{image}.qcow2"
    content = file.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
    subprocess.run(["qemu-img", "check", "-q", file], check=True)
    told = subprocess.run(["qemu-img", "info", file], check=True, capture_output=True, text=True).stdout
    assert "backing file" not in told
    assert len(list((place.data / "images").iterdir())) == 4, "the base and this one, a file and a record each"


def assert_nothing_is_left(place: Place, server: str, port: int) -> None:
    """See that no folder, process or open port remains of a server's machine."""
    assert machines(place) == []
    assert list(process.bearers(uuid_of(ServerId(server)))) == []
    ours = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, str(place.data))]
    assert ours == [], "a process works in the data folder"
    if port:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def _names(cmdline: Path, text: str) -> bool:
    try:
        return text.encode() in cmdline.read_bytes()
    except OSError:
        return False
