"""Events are read in the order in which they become visible."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_events_project_id_written_in_seq"), "events", ["project_id", "written_in", "seq"])
    op.drop_index(op.f("ix_events_project_id_seq"), table_name="events")


def downgrade() -> None:
    op.create_index(op.f("ix_events_project_id_seq"), "events", ["project_id", "seq"])
    op.drop_index(op.f("ix_events_project_id_written_in_seq"), table_name="events")
