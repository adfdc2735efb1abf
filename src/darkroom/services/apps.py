"""Applications: the catalogue of what can be attached to image servers, and its files. Beside the contract."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from darkroom.domain.accounts import Caller
from darkroom.domain.apps import AppKind, AppOrder, AppRecord, AppStatus
from darkroom.domain.ids import AppId, ProjectId, RecordId, Snowflakes
from darkroom.domain.times import Clock
from darkroom.errors import AppNotFound, Conflict, InvalidParameter
from darkroom.services.uploads import Change, Upload
from darkroom.store.app_files import AppFiles
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction


class Apps:
    """What callers may do with applications."""

    def __init__(self, store: Store, files: AppFiles, snowflakes: Snowflakes, clock: Clock) -> None:
        self._store, self._files, self._snowflakes, self._clock = store, files, snowflakes, clock

    async def recover(self) -> None:
        """Give up the uploads that a former process did not finish: their records wait for their files again.

        Only where no other process shares the records; there, reconciliation gives up what gives no sign of life.
        """
        self._files.sweep()
        for record in await self._store.apps.with_status(AppStatus.SAVING):
            await self._change(record, of=AppStatus.SAVING, status=AppStatus.QUEUED)

    async def show(self, caller: Caller, project_id: ProjectId, record_id: str) -> AppRecord:
        """Return a record. Raises AppNotFound, also for another project's."""
        caller.must("workspace:app:get", project_id)
        return await self._store.apps.get(project_id, record_id)

    async def page(
        self, caller: Caller, project_id: ProjectId, *, name: str, offset: int, limit: int
    ) -> tuple[int, list[AppRecord]]:
        """Return how many records there are of that application, or of all, and one page of them, newest first."""
        caller.must("workspace:app:list", project_id)
        return await self._store.apps.page(project_id, name=name, offset=offset, limit=limit)

    async def add(self, caller: Caller, project_id: ProjectId, order: AppOrder) -> AppRecord:
        """Record a version of an application, whose file is to follow. Raises Conflict if there is that version."""
        caller.must("workspace:app:create", project_id)
        if order.arguments and order.kind is not AppKind.SCRIPT:
            raise InvalidParameter("arguments", "only a script takes arguments")
        app_id, record_id, now = AppId(self._snowflakes.mint()), RecordId(self._snowflakes.mint()), self._clock()

        def add(tx: Transaction) -> AppRecord:
            record = AppRecord(
                id=record_id,
                app_id=tx.apps.app_named(project_id, order.name, app_id, now),
                project_id=project_id,
                name=order.name,
                version=order.version,
                kind=order.kind,
                file_name=order.file_name,
                arguments=order.arguments,
                created_at=now,
                updated_at=now,
            )
            tx.apps.add(record)
            return record

        return await self._store.write(add)

    async def upload(
        self, caller: Caller, project_id: ProjectId, record_id: str, chunks: AsyncIterator[bytes], *, size: int
    ) -> None:
        """Store the file of a record that waits for it; `size` is what is announced, 0 if nothing is.

        Where it is refused, the record waits still. Raises TooLarge, InvalidParameter and Conflict.
        """
        caller.must("workspace:app:create", project_id)
        record = await self._store.apps.get(project_id, record_id)
        self._files.check(size)
        now = self._clock()
        if not await self._change(record, at=now, of=AppStatus.QUEUED, status=AppStatus.SAVING):
            raise Conflict(f"The application record {record.id} is {record.status}; only a queued one takes a file.")
        upload = Upload(self._store, _change_of(record), self._clock, now)
        try:
            async with upload.alive():
                facts = await self._files.receive(record.id, chunks)
        except BaseException:
            await upload.end(status=AppStatus.QUEUED)
            raise
        if not await upload.end(status=AppStatus.ACTIVE, size=facts.size, sha256=facts.sha256):
            raise Conflict(f"The upload of the application record {record.id} was given up meanwhile; send it again.")

    async def delete(self, caller: Caller, project_id: ProjectId, record_id: str) -> None:
        """Delete a record and its file. What was attached to image servers stays there. Raises Conflict."""
        caller.must("workspace:app:delete", project_id)
        record = await self._store.apps.get(project_id, record_id)
        if record.status is AppStatus.SAVING:
            raise Conflict(f"The file of the application record {record.id} is being uploaded.")
        # The file goes first: if that is as far as it gets, the record is still there to be deleted again.
        self._files.remove(record.id)
        await self._store.write(lambda tx: tx.apps.remove(record, self._clock()))

    async def _change(self, record: AppRecord, *, at: int | None = None, of: AppStatus, **changes: Any) -> bool:
        at = self._clock() if at is None else at
        return await self._store.write(lambda tx: tx.apps.change(record, at, of=of, **changes))


def _change_of(record: AppRecord) -> Change:
    def change(tx: Transaction, at: int, *, touched: int, **changes: Any) -> bool:
        return tx.apps.change(record, at, of=AppStatus.SAVING, touched=touched, **changes)

    return change


async def usable(store: Store, project_id: ProjectId, record_ids: Sequence[str], field: str) -> list[AppRecord]:
    """Return records that can be attached, in that order. Raises InvalidParameter, naming the field and the id."""
    records = []
    for record_id in record_ids:
        try:
            record = await store.apps.get(project_id, record_id)
        except AppNotFound as error:
            raise InvalidParameter(field, error.message) from None
        if record.status is not AppStatus.ACTIVE:
            raise InvalidParameter(field, f"the application record {record.id} ({record.title}) has no file yet")
        records.append(record)
    return records
