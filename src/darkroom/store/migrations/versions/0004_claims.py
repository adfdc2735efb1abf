"""Whose a job is, whether it may begin, whether it is to be cancelled; names of requests that may come twice."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("claim", sa.Text(), server_default="", nullable=False))
    op.add_column("jobs", sa.Column("cancelled", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("admitted", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_table(
        "idempotency_keys",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_column("jobs", "admitted")
    op.drop_column("jobs", "cancelled")
    op.drop_column("jobs", "claim")
