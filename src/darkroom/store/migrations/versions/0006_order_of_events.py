"""Which transaction an event was written in: on PostgreSQL, numbers are given out before transactions are committed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("written_in", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("events", "written_in")
