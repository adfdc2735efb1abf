"""The record of a simulated machine."""

from typing import Any

import msgspec

from darkroom.domain.ids import JobId, ServerId
from darkroom.drivers.base import Door, Machine, MachineSpec, MachineState
from darkroom.drivers.simulated.guest import Guest


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a guest, and whether its throw-away copy has been generalised."""

    guest: Guest
    pause_seconds: float
    generalised: bool = False


class MachineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A machine. `typing` is the line being typed on its console; `captures` are its snapshots by their jobs."""

    key: ServerId
    instance_id: str
    spec: MachineSpec
    port: int
    guest: Guest
    booted: bool = False
    running: bool = True
    serial: list[str] = msgspec.field(default_factory=list)
    typing: str = ""
    captures: dict[JobId, Frozen] = msgspec.field(default_factory=dict)

    @property
    def machine(self) -> Machine:
        return Machine(
            key=self.key,
            instance_id=self.instance_id,
            state=MachineState.RUNNING if self.running else MachineState.STOPPED,
            accelerator="simulated",
            ssh_port=self.port,
            why="" if self.running else "it was switched off",
        )

    @property
    def answers(self) -> bool:
        """Whether its guest does."""
        return self.booted and self.running

    @property
    def door(self) -> Door:
        return Door(address="127.0.0.1", port=self.port, host_key=self.guest.host_key)

    def having(self, *, line: str = "", **changes: Any) -> "MachineRecord":
        """Return it changed, and with one more line on its serial console."""
        serial = [*self.serial, line] if line else self.serial
        return msgspec.structs.replace(self, serial=serial, **changes)
