"""Roles and grants of users, revoked tokens, accounts and projects that can be disabled."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("accounts", sa.Column("main", sa.Boolean(), server_default=sa.false(), nullable=False))
    # Until now there was no way to make a second account.
    op.execute(sa.text("UPDATE accounts SET main = :yes").bindparams(sa.bindparam("yes", True, sa.Boolean())))
    op.add_column("projects", sa.Column("parent_id", sa.Text(), server_default="", nullable=False))
    op.add_column("projects", sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("projects", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("access_keys", sa.Column("created_at", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("access_keys", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "roles",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("account_id", "name", name=op.f("pk_roles")),
    )
    op.create_table(
        "grants",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "project_id", "role", name=op.f("pk_grants")),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revoked_tokens")),
    )
    op.create_index(op.f("ix_revoked_tokens_expires_at"), "revoked_tokens", ["expires_at"], unique=False)
    op.create_table(
        "identity_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_revision")),
    )
    op.execute(sa.text("INSERT INTO identity_revision (id, revision) VALUES (1, 0)"))
    _roles_become_grants()
    op.drop_column("users", "roles")
    op.add_column("users", sa.Column("tokens_from", sa.BigInteger(), server_default="0", nullable=False))


def _roles_become_grants() -> None:
    connection = op.get_bind()
    insert = sa.text("INSERT INTO grants (user_id, project_id, role) VALUES (:user_id, '', :role)")
    for user_id, roles in connection.execute(sa.text("SELECT id, roles FROM users")).all():
        for role in sorted(set(json.loads(roles))):
            connection.execute(insert, {"user_id": user_id, "role": role})


def downgrade() -> None:
    _grants_become_roles()
    op.drop_table("identity_revision")
    op.drop_index(op.f("ix_revoked_tokens_expires_at"), table_name="revoked_tokens")
    op.drop_table("revoked_tokens")
    op.drop_table("grants")
    op.drop_table("roles")
    op.drop_column("access_keys", "description")
    op.drop_column("access_keys", "created_at")
    op.drop_column("projects", "description")
    op.drop_column("projects", "enabled")
    op.drop_column("projects", "parent_id")
    op.drop_column("accounts", "main")
    op.drop_column("accounts", "enabled")


def _grants_become_roles() -> None:
    """Give users the roles back that they have for the whole account. Roles in single projects are lost."""
    op.drop_column("users", "tokens_from")
    op.add_column("users", sa.Column("roles", sa.Text(), server_default="[]", nullable=False))
    connection = op.get_bind()
    held: dict[str, list[str]] = {}
    for user_id, role in connection.execute(sa.text("SELECT user_id, role FROM grants WHERE project_id = ''")).all():
        held.setdefault(user_id, []).append(role)
    for user_id, roles in held.items():
        given = {"user_id": user_id, "roles": json.dumps(roles)}
        connection.execute(sa.text("UPDATE users SET roles = :roles WHERE id = :user_id"), given)
    with op.batch_alter_table("users") as batch:
        batch.alter_column("roles", server_default=None)
