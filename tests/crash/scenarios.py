"""Scenarios: what is asked of a service, what is wrong with its world, and how that must end."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from darkroom.drivers.simulated import Fault

from .service import Api

CREATE, BUILD, DELETE = "CREATE_SERVER", "CREATE_SERVER_IMAGE", "DELETE_SERVER"


@dataclass(frozen=True)
class End:
    """How it must end: the job, its sub-jobs, the servers by name, and how many machines and new images there are."""

    job: str
    sub_jobs: tuple[str, ...]
    servers: Mapping[str, str]
    machines: int
    images: int = 0
    released: int = 0
    codes: tuple[str, ...] = ("",)
    captures: int = 0


@dataclass(frozen=True)
class Scenario:
    """`servers` are made beforehand; `order` sends the request; `faults` strike its job alone.

    `hangs` names the call in which the job is when it is cancelled. `dies_from` is the first effect at which it is
    killed: before, all is as in the scenario that goes well.
    """

    name: str
    workflow: str
    order: Callable[[Api], Awaitable[str]]
    end: End
    servers: tuple[str, ...] = ()
    faults: Mapping[str, Fault] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    hangs: str = ""
    dies_from: str = ""
    asks: bool = False  #: it is killed while the order is accepted, not while the job is done


async def _create(api: Api) -> str:
    listed = await api.ask("GET", "apps?limit=10")
    return await api.create("a", attach_apps=sorted(each["id"] for each in listed["items"]))


async def _create_to_keep(api: Api) -> str:
    return await api.create("a", keep_minutes=10)


async def _build(api: Api) -> str:
    return await api.build((await api.servers())[0], sysprep=False)


async def _build_clean(api: Api) -> str:
    return await api.build((await api.servers())[0], sysprep=True)


async def _delete(api: Api) -> str:
    return await api.delete(*await api.servers(), recursive=True)


async def _release(api: Api) -> str:
    return await api.delete(*await api.servers(), recursive=False)


_WELL = [
    Scenario("create with applications", CREATE, _create, End("SUCCESS", ("SUCCESS",), {"a": "ACTIVE"}, 1)),
    Scenario("build", BUILD, _build, End("SUCCESS", ("SUCCESS",), {"a": "BUILT"}, 1, 1), ("a",)),
    Scenario("build with sysprep", BUILD, _build_clean, End("SUCCESS", ("SUCCESS",), {"a": "BUILT"}, 1, 1), ("a",)),
    Scenario("delete recursively", DELETE, _delete,
             End("SUCCESS", ("SUCCESS", "SUCCESS"), {}, 0, codes=("", "")), ("a", "b")),
    Scenario("delete and release", DELETE, _release, End("SUCCESS", ("SUCCESS",), {}, 0, released=1), ("a",)),
]  # fmt: skip


def _failing_create(call: str, code: str, fault: Fault, **settings: Any) -> Scenario:
    end = End("FAILED", ("FAILED",), {"a": "ERROR"}, 0, codes=(code,))
    dies_from = f"compute.{call}: before"
    return Scenario(f"create fails in {call}" + (" by its time limit" if settings else ""), CREATE, _create, end,
                    faults={call: fault}, settings=settings, dies_from=dies_from)  # fmt: skip


def _failing_build(call: str, code: str, fault: Fault, *, status: str = "FAILED", captures: int = 0) -> Scenario:
    end = End("FAILED", (status,), {"a": "ACTIVE"}, 1, codes=(code,), captures=captures)
    room = "images" if call == "facts" else "compute"
    return Scenario(f"build fails in {call}", BUILD, _build_clean, end, ("a",), {call: fault},
                    dies_from=f"{room}.{call}: before")  # fmt: skip


_FAILING = [
    _failing_create("check", "Darkroom.0101", Fault(error="HostFull")),
    _failing_create("create", "Darkroom.0103", Fault(error="MachineFailed")),
    _failing_create("await_guest", "Darkroom.0104", Fault(error="GuestSilent")),
    _failing_create("admit", "Darkroom.0105", Fault(error="AccountFailed")),
    _failing_create("try_login", "Darkroom.0106", Fault(error="LoginFailed")),
    _failing_create("put_file", "Darkroom.0401", Fault(error="GuestRefused")),
    _failing_create("run", "Darkroom.0401", Fault(exit_code=3)),
    _failing_create("find", "Darkroom.0103", Fault(error="MachineFailed")),
    _failing_build("snapshot", "Darkroom.0201", Fault(error="SnapshotFailed")),
    _failing_build("generalise", "Darkroom.0202", Fault(error="GeneraliseFailed", after=0.5)),
    _failing_build("flatten", "Darkroom.0101", Fault(error="HostFull", after=0.5)),
    _failing_build("facts", "Darkroom.0203", Fault(error="CaptureFailed")),
    _failing_build("discard", "Darkroom.0203", Fault(error="CaptureFailed"), status="ABNORMAL", captures=1),
    Scenario("delete fails for one of two", DELETE, _delete,
             End("FAILED", ("FAILED", "SUCCESS"), {"a": "ERROR"}, 1, codes=("Darkroom.0301", "")), ("a", "b"),
             {"delete": Fault(error="DeleteFailed", only="a")}, dies_from="compute.delete: before"),
    Scenario("delete fails to release", DELETE, _release,
             End("FAILED", ("FAILED",), {"a": "ERROR"}, 1, codes=("Darkroom.0301",)), ("a",),
             {"release": Fault(error="DeleteFailed")}, dies_from="compute.release: before"),
]  # fmt: skip

_KEPT = [
    Scenario("create fails and the machine is kept", CREATE, _create_to_keep,
             End("FAILED", ("FAILED",), {"a": "ERROR"}, 1, codes=("Darkroom.0104",)),
             faults={"await_guest": Fault(error="GuestSilent")}, dies_from="compute.await_guest: before"),
]  # fmt: skip

_HANG = Fault(hang=True)
_LATE = [
    _failing_create("await_guest", "Darkroom.0002", _HANG, step_timeout=1.0),
    _failing_create("try_login", "Darkroom.0002", _HANG, step_timeout=1.0),
]


def _cancelled(call: str, base: Scenario, end: End) -> Scenario:
    return Scenario(f"{base.name} cancelled in {call}", base.workflow, base.order, end, base.servers,
                    {call: _HANG}, hangs=f"compute.{call}: before", dies_from=f"compute.{call}: before")  # fmt: skip


_NO_SERVER = End("FAILED", ("FAILED",), {"a": "ERROR"}, 0, codes=("Darkroom.0003",))
_AS_BEFORE = End("FAILED", ("FAILED",), {"a": "ACTIVE"}, 1, codes=("Darkroom.0003",))
_CANCELLED = [
    *(_cancelled(call, _WELL[0], _NO_SERVER) for call in ("create", "admit", "run")),
    *(_cancelled(call, _WELL[2], _AS_BEFORE) for call in ("snapshot", "flatten")),
]

_ASKED = [replace(scenario, name=f"{scenario.name}, being ordered", asks=True) for scenario in _WELL[::2]]

SCENARIOS = {scenario.name: scenario for scenario in (*_WELL, *_ASKED, *_FAILING, *_KEPT, *_LATE, *_CANCELLED)}
WELL = [scenario.name for scenario in _WELL]
