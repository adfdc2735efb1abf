"""How the chores of housekeeping went; and what they look for: events of a resource, work that has not ended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chores",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ran_at", sa.BigInteger(), nullable=False),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.Column("problems", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chores")),
    )
    op.create_index(op.f("ix_events_resource_id_seq"), "events", ["resource_id", "seq"], unique=False)
    op.create_index(op.f("ix_jobs_status_id"), "jobs", ["status", "id"], unique=False)
    op.create_index(op.f("ix_sub_jobs_status_job_id"), "sub_jobs", ["status", "job_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sub_jobs_status_job_id"), table_name="sub_jobs")
    op.drop_index(op.f("ix_jobs_status_id"), table_name="jobs")
    op.drop_index(op.f("ix_events_resource_id_seq"), table_name="events")
    op.drop_table("chores")
