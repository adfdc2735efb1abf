"""Reconciliation of applications: an upload that died lets its record wait for its file again."""

from darkroom.domain.apps import AppRecord, AppStatus
from darkroom.domain.chores import Problem
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Tools
from darkroom.workflows.reconcile_images import SILENCE_MS, STALE


class AppUploads:
    """Looks after the uploads of applications."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._store = tools, tools.store

    async def reconcile(self) -> list[Problem]:
        """Give up uploads that give no sign of life, and remove what is half written and old."""
        now = self._tools.clock()
        for record in await self._store.apps.with_status(AppStatus.SAVING):
            if record.updated_at < now - SILENCE_MS:
                await self._store.write(lambda tx: _give_up(tx, record, now))  # noqa: B023
        self._tools.app_files.sweep(older_than=STALE)
        return []


def _give_up(tx: Transaction, record: AppRecord, now: int) -> None:
    tx.apps.change(record, now, of=AppStatus.SAVING, touched=record.updated_at, status=AppStatus.QUEUED)
