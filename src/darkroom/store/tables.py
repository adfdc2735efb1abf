"""The tables. Times are milliseconds since the Unix epoch; snowflake ids are stored as integers, so that they sort."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite gives a table its fast integer key only by the name INTEGER.
Snowflake = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Millis = sa.BigInteger()


def _text(name: str, default: str | None = None, **more: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default, **more)  # type: ignore[arg-type]


def _flag(name: str, *, default: bool) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.true() if default else sa.false())


accounts = sa.Table(
    "accounts",
    metadata,
    _text("id", primary_key=True),
    _text("name", unique=True),
    _flag("enabled", default=True),
    _flag("main", default=False),
)

projects = sa.Table(
    "projects",
    metadata,
    _text("id", primary_key=True),
    _text("account_id"),
    _text("name"),
    _text("parent_id", ""),
    _flag("enabled", default=True),
    _text("description", ""),
    sa.UniqueConstraint("account_id", "name"),
)

users = sa.Table(
    "users",
    metadata,
    _text("id", primary_key=True),
    _text("account_id"),
    _text("name"),
    _text("password_hash"),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("tokens_from", Millis, nullable=False, server_default="0"),
    sa.UniqueConstraint("account_id", "name"),
)

access_keys = sa.Table(
    "access_keys",
    metadata,
    _text("access", primary_key=True),
    sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
    _text("user_id"),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at", Millis, nullable=False, server_default="0"),
    _text("description", ""),
)

#: Roles of an account's own; those that every account has are in the code.
roles = sa.Table(
    "roles",
    metadata,
    _text("account_id", primary_key=True),
    _text("name", primary_key=True),
    _text("actions"),
    _text("description", ""),
)

#: Who has which role, and in which project; an empty project stands for all of the account's.
grants = sa.Table(
    "grants",
    metadata,
    _text("user_id", primary_key=True),
    _text("project_id", primary_key=True),
    _text("role", primary_key=True),
)

revoked_tokens = sa.Table(
    "revoked_tokens",
    metadata,
    _text("id", primary_key=True),
    sa.Column("expires_at", Millis, nullable=False),
    sa.Index(None, "expires_at"),
)


def _revision(name: str) -> sa.Table:
    """Return a table of one row with a number: who keeps a copy of something looks here whether it is still true."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )


identity_revision = _revision("identity_revision")
history_revision = _revision("history_revision")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    _text("project_id"),
    _text("job_type"),
    _text("status"),
    sa.Column("begin_time", Millis, nullable=False),
    sa.Column("end_time", Millis),
    sa.Column("sub_jobs_total", sa.Integer, nullable=False),
    _text("order"),
    _text("claim", ""),
    sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("admitted", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("plan", sa.Integer, nullable=False, server_default="1"),
    sa.Index(None, "project_id", "job_type", "status", "id"),
    sa.Index(None, "project_id", "id", "job_type", "status"),
    sa.Index(None, "status", "id"),
)

#: Names that callers gave their requests, so that each is carried out once.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    _text("project_id", primary_key=True),
    _text("key", primary_key=True),
    _text("fingerprint"),
    sa.Column("job_id", Snowflake, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Index(None, "created_at"),
)

sub_jobs = sa.Table(
    "sub_jobs",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    sa.Column("job_id", Snowflake, nullable=False),
    _text("project_id"),
    _text("job_type"),
    _text("status"),
    _text("resource_id"),
    _text("resource_name"),
    sa.Column("begin_time", Millis, nullable=False),
    sa.Column("end_time", Millis),
    _text("error_code", ""),
    _text("error_message", ""),
    sa.Index(None, "job_id", "id"),
    sa.Index(None, "project_id", "id", "job_type", "status"),
    sa.Index(None, "status", "job_id"),
)

#: What was seen when a sub-job failed.
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("sub_job_id", Snowflake, primary_key=True, autoincrement=False),
    sa.Column("job_id", Snowflake, nullable=False),
    _text("data"),
    sa.Column("screen", sa.LargeBinary),
    sa.Index(None, "job_id"),
)

image_servers = sa.Table(
    "image_servers",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    _text("project_id"),
    _text("name"),
    _text("description"),
    _text("status"),
    _text("image_ref"),
    _text("authorize_accounts"),
    _text("order"),
    _text("server_group_id"),
    _text("app_group_id"),
    _text("server_id"),
    _text("instance_id"),
    _text("image_id"),
    _text("base_image_id"),
    _text("enterprise_project_id"),
    sa.Column("create_time", Millis, nullable=False),
    sa.Column("update_time", Millis, nullable=False),
    sa.Column("sealed_access", sa.LargeBinary, nullable=False),
    _text("attached_apps", "[]"),
    #: Whoever attaches applications holds the server by a lease, in milliseconds; see store/attachments.py.
    _text("attach_lease", ""),
    sa.Column("attach_until", Millis, nullable=False, server_default="0"),
    #: Until when the machine of a creation that failed is kept, in milliseconds; see store/kept.py.
    sa.Column("keep_until", Millis, nullable=False, server_default="0"),
    sa.Index(None, "keep_until"),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "base_image_id"),
)

images = sa.Table(
    "images",
    metadata,
    _text("id", primary_key=True),
    _text("project_id"),
    _text("name"),
    _text("description"),
    _text("image_type"),
    _text("status"),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("virtual_size", sa.BigInteger, nullable=False),
    _text("sha256"),
    sa.Column("base_image_id", sa.Text),
    sa.Column("source_server_id", sa.Text),
    sa.Column("generalised", sa.Boolean, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("updated_at", Millis, nullable=False),
    sa.Index(None, "project_id", "created_at"),
)

apps = sa.Table(
    "apps",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    _text("project_id"),
    _text("name"),
    sa.Column("created_at", Millis, nullable=False),
    sa.UniqueConstraint("project_id", "name"),
)

#: The versions of applications.
app_records = sa.Table(
    "app_records",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    sa.Column("app_id", Snowflake, nullable=False),
    _text("version"),
    _text("kind"),
    _text("file_name"),
    _text("arguments"),
    _text("status"),
    sa.Column("size", sa.BigInteger, nullable=False),
    _text("sha256"),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("updated_at", Millis, nullable=False),
    sa.UniqueConstraint("app_id", "version"),
)

#: How each chore of housekeeping went the last time.
chores = sa.Table(
    "chores",
    metadata,
    _text("name", primary_key=True),
    sa.Column("ran_at", Millis, nullable=False),
    _text("failure", ""),
    _text("problems", "[]"),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    _text("project_id"),
    _text("url"),
    _text("kinds"),
    _text("description", ""),
    sa.Column("enabled", sa.Boolean, nullable=False),
    _text("disabled_reason", ""),
    sa.Column("failing_since", Millis),
    #: Events up to the one of this number have been taken up.
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("updated_at", Millis, nullable=False),
    sa.Column("sealed_secrets", sa.LargeBinary, nullable=False),
    sa.Index(None, "project_id", "id"),
)

webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", Snowflake, primary_key=True, autoincrement=False),
    sa.Column("webhook_id", Snowflake, nullable=False),
    sa.Column("event_seq", sa.BigInteger),
    _text("kind"),
    _text("body"),
    _text("status"),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", Millis, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("ended_at", Millis),
    _text("attempts", "[]"),
    sa.UniqueConstraint("webhook_id", "event_seq"),
    sa.Index(None, "webhook_id", "status", "id"),
    sa.Index(None, "status", "ended_at"),
)

#: One row for every change, written in the transaction of the change. `once` keeps a repeated step from doubling it.
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", Snowflake, primary_key=True, autoincrement=True),
    sa.Column("at", Millis, nullable=False),
    _text("project_id"),
    _text("kind"),
    sa.Column("job_id", Snowflake),
    sa.Column("sub_job_id", Snowflake),
    _text("resource_id", ""),
    _text("data", "{}"),
    sa.Column("once", sa.Text, unique=True),
    sa.Column("written_in", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index(None, "job_id", "seq"),
    sa.Index(None, "project_id", "written_in", "seq"),
    sa.Index(None, "resource_id", "seq"),
    sqlite_autoincrement=True,
)
