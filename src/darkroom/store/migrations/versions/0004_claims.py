"""Whose a job is, and whether it is to be cancelled."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("claim", sa.Text(), server_default="", nullable=False))
    op.add_column("jobs", sa.Column("cancelled", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "cancelled")
    op.drop_column("jobs", "claim")
