"""A transaction: what can be written, by noun. Every change here writes its own event beside it."""

import sqlalchemy as sa

from darkroom.domain.ids import JobId
from darkroom.store.accounts import AccountWrites
from darkroom.store.apps import AppWrites
from darkroom.store.attachments import AttachmentWrites
from darkroom.store.chores import ChoreWrites
from darkroom.store.events import EventWrites
from darkroom.store.evidence import EvidenceWrites
from darkroom.store.grants import GrantWrites
from darkroom.store.idempotency import IdempotencyWrites
from darkroom.store.images import ImageWrites
from darkroom.store.job_writes import JobWrites
from darkroom.store.kept import KeptWrites
from darkroom.store.retention import RetentionWrites
from darkroom.store.sealing import Sealer
from darkroom.store.servers import ServerWrites
from darkroom.store.webhook_writes import WebhookWrites


class Transaction:
    """All changes made through one of these become visible together, or not at all."""

    def __init__(self, connection: sa.Connection, sealer: Sealer) -> None:
        self.connection = connection
        self.changed: set[JobId] = set()  #: the jobs that have been changed so far
        self.events = EventWrites(connection, self.changed)
        self.grants = GrantWrites(connection)
        self.accounts = AccountWrites(connection, sealer, self.grants)
        self.apps = AppWrites(connection, self.events)
        self.attachments = AttachmentWrites(connection, self.events)
        self.chores = ChoreWrites(connection)
        self.evidence = EvidenceWrites(connection)
        self.idempotency = IdempotencyWrites(connection)
        self.images = ImageWrites(connection, self.events)
        self.jobs = JobWrites(connection, self.events)
        self.kept = KeptWrites(connection, self.events)
        self.retention = RetentionWrites(connection, self.changed)
        self.servers = ServerWrites(connection, self.events, sealer)
        self.webhooks = WebhookWrites(connection, self.events, sealer)

    def lock(self, name: str) -> None:
        """Let nobody else hold this lock until the transaction ends. SQLite has one writer at a time anyway."""
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
