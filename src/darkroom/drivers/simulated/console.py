"""The simulated serial console: lines that the machine has written, and a prompt at which all viewers type together."""

import asyncio
from collections.abc import Callable

import msgspec

from darkroom.drivers.simulated.machines import MachineRecord

#: Lines that the console keeps once somebody types, and characters of one that is being typed.
_LINES, _WIDTH = 1000, 1000
#: Seconds between two looks for what is new.
_LOOK = 0.05


class SimulatedConsole:
    """A Channel that shows the console of the record that `look` returns, and hands on to `type_in` what is typed."""

    def __init__(self, look: Callable[[], MachineRecord | None], type_in: Callable[[bytes], None]) -> None:
        self._look, self._type_in = look, type_in
        self._shown = ""

    async def read(self) -> bytes:
        while (record := self._look()) is not None and record.running:
            now = _text(record)
            if now != self._shown:
                change, self._shown = _change(self._shown, now), now
                return change.encode()
            await asyncio.sleep(_LOOK)
        return b""

    async def write(self, data: bytes) -> None:
        self._type_in(data)

    async def aclose(self) -> None:
        pass


def typed(record: MachineRecord, data: bytes) -> MachineRecord:
    """Return the machine after somebody has typed; nothing is run, but `echo` answers."""
    lines, line = [], record.typing
    for sign in data.decode(errors="replace").replace("\r\n", "\r"):
        if sign in "\r\n":
            lines += [f"{_prompt(record)}{line}", *_answer(line)]
            line = ""
        elif sign == "\x03":
            lines.append(f"{_prompt(record)}{line}^C")
            line = ""
        elif sign in "\b\x7f":
            line = line[:-1]
        elif sign.isprintable() and len(line) < _WIDTH:
            line += sign
    return msgspec.structs.replace(record, serial=[*record.serial, *lines][-_LINES:], typing=line)


def _answer(line: str) -> list[str]:
    command, _, rest = line.strip().partition(" ")
    if command == "echo":
        return [rest]
    return [f"sh: {command}: not found"] if command else []


def _prompt(record: MachineRecord) -> str:
    return f"{record.spec.name}:~# "


def _text(record: MachineRecord) -> str:
    lines = "".join(f"{line}\r\n" for line in record.serial)
    return f"{lines}{_prompt(record)}{record.typing}" if record.answers else lines


def _change(shown: str, now: str) -> str:
    """Return what to send to a terminal that shows one text, so that it shows the other."""
    if now.startswith(shown):
        return now[len(shown) :]
    before = shown[: shown.rfind("\n") + 1]
    if now.startswith(before):
        return f"\r\x1b[K{now[len(before) :]}"
    return f"\r\n{now}"
