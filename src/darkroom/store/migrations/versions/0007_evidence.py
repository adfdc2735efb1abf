"""What was seen of machines when steps failed; until when the machine of a failed creation is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SNOWFLAKE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("sub_job_id", _SNOWFLAKE, autoincrement=False, nullable=False),
        sa.Column("job_id", _SNOWFLAKE, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("screen", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("sub_job_id", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_job_id"), "evidence", ["job_id"], unique=False)
    op.add_column("image_servers", sa.Column("keep_until", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(op.f("ix_image_servers_keep_until"), "image_servers", ["keep_until"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_image_servers_keep_until"), table_name="image_servers")
    op.drop_column("image_servers", "keep_until")
    op.drop_index(op.f("ix_evidence_job_id"), table_name="evidence")
    op.drop_table("evidence")
