"""What a driver promises: machines that run, disks that can be captured, image files that are kept.

A machine is named by `key`, the id of its image server; a capture by `capture`, the id of its job. Every call may be
repeated with the same names and then finishes, or confirms, what the first one began: a process may have died at any
instruction in between. Deleting what does not exist succeeds.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from darkroom.domain.ids import ImageId, JobId, ServerId

#: Called with the bytes that are done and those there are in all; 0 in all means not known.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """A Progress for callers that do not care."""


class MachineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a copy-on-write disk of `disk_bytes` over the image, processors, memory in MiB."""

    name: str
    image_id: ImageId
    cpus: int
    memory_mib: int
    disk_bytes: int


class MachineState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"  #: its disk is there, and it can be started again from it
    #: Remains that can only be deleted: a disk without a record that can be read, a process without a folder.
    DAMAGED = "damaged"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as the driver sees it now. `instance_id` is the driver's own id of it, a UUID.

    `ssh_port` is the port of its door while it runs, 0 where that never changes; `why` says of a stopped one why it
    stopped, as far as that is known.
    """

    key: ServerId
    instance_id: str
    state: MachineState
    accelerator: str = ""
    ssh_port: int = 0
    why: str = ""


class GuestAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An administrator's account in the guest: its password and the OpenSSH public key that may log in."""

    name: str
    password: str
    public_key: str
    private_key: str


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where a guest takes SSH logins, and the host key (one OpenSSH line) by which to know it."""

    address: str
    port: int
    host_key: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen state of a machine's disk. `pause_seconds` is how long the guest's writes stood still for it."""

    pause_seconds: float


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """How a program in a guest ended: its exit status, None if it was ended for its time was up; its last output."""

    exit_code: int | None
    output: str


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A stored image file: its size and the size of the disk in it in bytes, its SHA-256 in hexadecimal."""

    size: int
    virtual_size: int
    sha256: str


class Channel(Protocol):
    """A line to a machine, bytes both ways. Whoever asked for it closes it, and then the machine runs on."""

    async def read(self) -> bytes:
        """Return the next bytes, at most 64 KiB, once there are some; none if the machine has ended the line."""

    async def write(self, data: bytes) -> None:
        """Send bytes; returns once there is room for more. Raises OSError if the machine has ended the line."""

    async def aclose(self) -> None:
        """Let go of the line."""


class Compute(Protocol):
    """Runs image-building machines and captures their disks."""

    async def start(self) -> None:
        """Make ready for use: find machines that run already. Called once, before all else."""

    async def stop(self) -> None:
        """Let go of everything but the machines, which run on."""

    async def check(self, spec: MachineSpec) -> None:
        """Raise HostFull, QemuMissing or ImageDamaged if the machine could not be run here. Changes nothing."""

    async def create(self, key: ServerId, spec: MachineSpec) -> Machine:
        """Make the machine's disk and start it. Raises what `check` raises, and MachineFailed; then leaves nothing."""

    async def restart(self, key: ServerId) -> Machine:
        """Start a machine that has stopped from its disk; one that runs is left alone.

        Makes nothing anew, and takes nothing away where it fails. Raises MachineFailed, also if there is no machine.
        """

    async def await_guest(self, key: ServerId, *, timeout: float) -> None:
        """Return once the guest answers, at most `timeout` seconds later.

        Raises GuestSilent or MachineFailed, with the last lines of the serial console in its message.
        """

    async def admit(self, key: ServerId, account: GuestAccount) -> Door:
        """Make the account in the guest, an administrator who may log in by key and password. Raises AccountFailed."""

    async def try_login(self, key: ServerId, account: GuestAccount, door: Door, *, timeout: float) -> None:
        """Log in to the guest as the account, by SSH and its key, within `timeout` seconds. Raises LoginFailed."""

    async def put_file(
        self, key: ServerId, path: str, chunks: AsyncIterator[bytes], *, size: int, mode: int, timeout: float
    ) -> None:
        """Write a file of `size` bytes in the guest, root's own, in place of what was there; folders are made.

        It is there whole or not at all. Raises MachineFailed, GuestRefused, and GuestSilent, also after `timeout`
        seconds.
        """

    async def run(self, key: ServerId, words: Sequence[str], *, stdin: bytes = b"", timeout: float) -> Completed:
        """Run a program in the guest as root; it and all it has begun are ended after `timeout` seconds.

        A former run of the same words that still goes on is ended first. Raises MachineFailed, GuestSilent or
        GuestRefused; that the program itself fails is no error here.
        """

    async def find(self, key: ServerId) -> Machine | None:
        """Return the machine as it is now, or None; what is only left of one is no machine."""

    async def machines(self) -> list[Machine]:
        """Return every machine this driver keeps, running or not, and what is left of any; no released ones."""

    async def serial_tail(self, key: ServerId, lines: int) -> list[str]:
        """Return the last lines the machine wrote to its serial console; none if there is no machine."""

    async def screenshot(self, key: ServerId) -> bytes | None:
        """Return a picture (PNG) of the machine's screen; None if it has none. Raises MachineFailed."""

    async def guest_facts(self, key: ServerId) -> Mapping[str, str]:
        """Return what the guest agent says of its system, as far as it does; none if there is no machine that runs.

        `agent` is `answers`, or `silent` and then the rest is not known; `version` the agent's; `os`, `kernel`,
        `hostname` the guest's.
        """

    async def connect_screen(self, key: ServerId) -> Channel:
        """Return a line to the machine's screen, keyboard and mouse: RFB (RFC 6143), which VNC viewers speak.

        Several may be open at one time. Raises MachineFailed if there is no machine that runs.
        """

    async def connect_serial(self, key: ServerId) -> Channel:
        """Return a line to the machine's serial console. It first tells again what was written there last.

        Several may be open at one time; each sees all that is written. Raises MachineFailed as `connect_screen` does.
        """

    async def delete(self, key: ServerId) -> None:
        """End the machine and remove all that belongs to it: process, disks, sockets, ports. Raises DeleteFailed."""

    async def release(self, key: ServerId) -> None:
        """Shut the machine down and keep its disk, no longer as an image server's. Raises DeleteFailed."""

    async def snapshot(self, key: ServerId, capture: JobId) -> Snapshot:
        """Freeze the disk as it is now while the machine runs on. Raises SnapshotFailed; leaves nothing then."""

    async def generalise(
        self, key: ServerId, capture: JobId, accounts: Sequence[str], *, timeout: float, progress: Progress
    ) -> None:
        """Take what makes the frozen disk one machine's own out of a throw-away copy of it: ids, keys, accounts, logs.

        The machine itself is not touched. Raises GeneraliseFailed.
        """

    async def flatten(self, key: ServerId, capture: JobId, image_id: ImageId, *, progress: Progress) -> ImageFacts:
        """Copy the frozen (and generalised) disk into a stand-alone image, durable once this returns.

        Raises CaptureFailed or HostFull, and leaves no half image then.
        """

    async def captures(self) -> list[tuple[ServerId, JobId]]:
        """Return every capture of which something is still there, with the machine whose disk it froze."""

    async def discard(self, key: ServerId, capture: JobId) -> None:
        """Remove what a capture needed for itself. The machine runs on, and images already made stay.

        Raises SnapshotFailed where the machine does not say whether its disk was frozen.
        """


class ImageStore(Protocol):
    """Keeps the files of images. An image appears whole or not at all."""

    async def receive(self, image_id: ImageId, chunks: AsyncIterator[bytes]) -> ImageFacts:
        """Store an uploaded qcow2 or raw disk as qcow2.

        Raises InvalidParameter if it is neither, is damaged, or refers to another file (backing or external data file);
        HostFull if there is no room. Leaves nothing then.
        """

    async def facts(self, image_id: ImageId) -> ImageFacts | None:
        """Return what was recorded of the image when it was stored, or None."""

    def read(self, image_id: ImageId) -> AsyncIterator[bytes]:
        """Yield the bytes of the stored qcow2 file. Raises ImageDamaged if it is missing."""

    async def remove(self, image_id: ImageId) -> None:
        """Remove the image's file, whole or half. Machines that run from it are not disturbed."""

    async def stored(self) -> list[ImageId]:
        """Return the images whose files are there, whole."""

    async def sweep(self, keep: Collection[ImageId], *, older_than: float) -> list[ImageId]:
        """Remove what is half written, but for that of images to keep and what was touched within so many seconds.

        Returns the images that it was to become.
        """
