"""Faults on demand: which calls of the simulated driver fail, when, and how often."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import msgspec

from darkroom import errors
from darkroom.drivers.base import Compute, ImageStore
from darkroom.drivers.simulated.files import locked, write_whole

#: The calls that can be made to fail.
CALLS = frozenset(name for promise in (Compute, ImageStore) for name in vars(promise) if not name.startswith("_"))

_NO_PROGRAM = "only `run` runs a program, which may have an exit code"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one call fails: by raising an error, by hanging or, where it runs a program, by that one's exit status."""

    error: str = ""  #: a class of `darkroom.errors`
    message: str = ""  #: what the error says, its own default otherwise; the output of a program
    hang: bool = False  #: wait until cancelled instead
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None  #: of the program in the guest instead (`run`)
    after: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  #: the share of the work that is done before
    times: Annotated[int, msgspec.Meta(ge=0)] | None = None  #: how many calls it still strikes; None: all
    only: str = ""  #: the one server (name or id) or image (id) that it strikes

    def __post_init__(self) -> None:
        if [self.hang, bool(self.error), self.exit_code is not None].count(True) != 1:
            raise ValueError("give one of `error`, `hang` and `exit_code`")
        if self.error and _error_class(self.error) is None:
            raise ValueError(f"there is no error {self.error!r}")

    async def strike(self) -> None:
        """Raise the error, or wait until cancelled. An exit status is no error."""
        if self.hang:
            await asyncio.Event().wait()
        if self.exit_code is not None:
            return
        kind = _error_class(self.error)
        assert kind is not None
        raise errors.InvalidParameter("", self.message) if kind is errors.InvalidParameter else kind(self.message)


def _error_class(name: str) -> type[errors.DarkroomError] | None:
    kind = getattr(errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, errors.DarkroomError) else None


class Faults:
    """The faults that are switched on: a JSON file, read anew at every call, so that any process may switch them.

        {"create": {"error": "MachineFailed", "times": 1}, "flatten": {"error": "HostFull", "after": 0.5},
         "await_guest": {"hang": true, "only": "my-server"}}

    Its entries are named for the calls of `Compute` and `ImageStore`, and are `Fault`s. No file, no faults.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, path.with_name(f".{path.name}.lock")

    def load(self) -> dict[str, Fault]:
        """Return the faults by the call they strike. Raises JobFault, naming the entry that is wrong."""
        try:
            entries = msgspec.json.decode(self._path.read_bytes(), type=dict[str, msgspec.Raw])
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise errors.JobFault(f"{self._path}: {error}") from None
        return {call: self._fault(call, entry) for call, entry in entries.items()}

    def set(self, call: str, fault: Fault) -> None:
        """Switch a fault on, in place of the one that struck this call before."""
        if call not in CALLS:
            raise ValueError(f"there is no call {call!r}")
        if fault.exit_code is not None and call != "run":
            raise ValueError(_NO_PROGRAM)
        with locked(self._lock):
            self._save({**self.load(), call: fault})

    def clear(self) -> None:
        """Switch all faults off."""
        with locked(self._lock):
            self._path.unlink(missing_ok=True)

    def take(self, call: str, names: Collection[str]) -> Fault | None:
        """Return the fault that strikes this call for a server or image of these names, and count it."""
        if not self._path.exists():
            return None
        with locked(self._lock):
            faults = self.load()
            fault = faults.get(call)
            if fault is None or fault.times == 0 or (fault.only and fault.only not in names):
                return None
            if fault.times is not None:
                self._save({**faults, call: msgspec.structs.replace(fault, times=fault.times - 1)})
            return fault

    async def meet(self, call: str, names: Collection[str]) -> None:
        """Let this call be struck now, if it is to be."""
        fault = self.take(call, names)
        if fault:
            await fault.strike()

    def _fault(self, call: str, entry: msgspec.Raw) -> Fault:
        if call not in CALLS:
            raise errors.JobFault(f"{self._path}: entry {call!r}: there is no such call")
        try:
            fault = msgspec.json.decode(entry, type=Fault)
        except msgspec.DecodeError as error:
            raise errors.JobFault(f"{self._path}: entry {call!r}: {error}") from None
        if fault.exit_code is not None and call != "run":
            raise errors.JobFault(f"{self._path}: entry {call!r}: {_NO_PROGRAM}")
        return fault

    def _save(self, faults: dict[str, Fault]) -> None:
        write_whole(self._path, msgspec.json.format(msgspec.json.encode(faults)))
