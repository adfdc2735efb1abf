"""Attaching applications: their files are sent into the guest, then the scripts among them are run there.

Files first, in any order, so that a script finds the packages it installs; scripts then in the order they were named. A
repetition writes the same files again and runs the same scripts again. Contract section 3.12.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from darkroom.domain.apps import LISTING, AppKind, AppRecord
from darkroom.domain.ids import ServerId
from darkroom.drivers.base import Compute, Progress, no_progress
from darkroom.errors import AttachFailed, GuestRefused, GuestSilent
from darkroom.store.app_files import AppFiles

#: Characters of a script's output that a failure carries.
_TOLD: Final = 1500
# The program to run comes after the folder to run it in.
_WITHIN: Final = 'cd "$0" && exec "$@"'


class _Sent(msgspec.Struct, kw_only=True):
    """An entry of the list in the guest."""

    id: str
    app_id: str
    name: str
    version: str
    kind: str
    file: str
    sha256: str
    status: str = "delivered"  #: then, for a script: "done" or "failed"


async def attach(
    compute: Compute,
    files: AppFiles,
    server_id: ServerId,
    records: Sequence[AppRecord],
    *,
    timeout: float,
    progress: Progress = no_progress,
) -> None:
    """Send and run; every file and every script may take `timeout` seconds. Progress is that of sending.

    Raises AttachFailed, naming the application and with the last output of its script, and MachineFailed.
    """
    listing = [_entry(record) for record in records]
    sent, total = 0, sum(record.size for record in records)
    for record in records:
        await _deliver(compute, files, server_id, record, timeout, _beginning_at(sent, total, progress))
        sent += record.size
    await _write_listing(compute, server_id, listing, timeout)
    for record, entry in zip(records, listing, strict=True):
        if record.kind is not AppKind.SCRIPT:
            continue
        try:
            entry.status = "failed"
            await _run(compute, server_id, record, timeout)
            entry.status = "done"
        finally:
            await _write_listing(compute, server_id, listing, timeout)


async def _deliver(
    compute: Compute,
    files: AppFiles,
    server_id: ServerId,
    record: AppRecord,
    timeout: float,
    sent: Callable[[int], None],
) -> None:
    mode = 0o755 if record.kind is AppKind.SCRIPT else 0o644
    chunks = _counted(files.read(record.id), sent)
    try:
        await compute.put_file(server_id, record.path, chunks, size=record.size, mode=mode, timeout=timeout)
    except (GuestSilent, GuestRefused) as problem:
        raise AttachFailed(f"The application {record.title} could not be delivered: {problem.message}") from problem


async def _run(compute: Compute, server_id: ServerId, record: AppRecord, timeout: float) -> None:
    words = ["/bin/sh", "-c", _WITHIN, record.folder, record.path, *record.arguments]
    try:
        completed = await compute.run(server_id, words, timeout=timeout)
    except (GuestSilent, GuestRefused) as problem:
        raise AttachFailed(f"The application {record.title} could not be run: {problem.message}") from problem
    output = completed.output[-_TOLD:]
    if completed.exit_code is None:
        raise AttachFailed(f"The application {record.title} had not ended after {timeout:g} s.", output)
    if completed.exit_code:
        raise AttachFailed(f"The application {record.title} ended with status {completed.exit_code}.", output)


async def _write_listing(compute: Compute, server_id: ServerId, listing: Sequence[_Sent], timeout: float) -> None:
    content = msgspec.json.format(msgspec.json.encode({"items": listing})) + b"\n"
    try:
        await compute.put_file(server_id, LISTING, _whole(content), size=len(content), mode=0o644, timeout=timeout)
    except (GuestSilent, GuestRefused) as problem:
        raise AttachFailed(f"The list of applications could not be delivered: {problem.message}") from problem


def _entry(record: AppRecord) -> _Sent:
    named: dict[str, Any] = {name: getattr(record, name) for name in ("id", "app_id", "name", "version", "sha256")}
    return _Sent(**named, kind=record.kind.value, file=record.path)


def _beginning_at(before: int, total: int, progress: Progress) -> Callable[[int], None]:
    """Return what tells of bytes of one file as of bytes of all files, so many of which were sent before it."""
    return lambda done: progress(before + done, total)


async def _counted(chunks: AsyncIterator[bytes], count: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Yield the chunks, telling how many bytes have been taken."""
    done = 0
    async for chunk in chunks:
        yield chunk
        done += len(chunk)
        count(done)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
