"""Applications and their versions; what is attached to image servers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "apps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_apps_project_id_name")),
    )
    op.create_table(
        "app_records",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_records")),
        sa.UniqueConstraint("app_id", "version", name=op.f("uq_app_records_app_id_version")),
    )
    op.add_column("image_servers", sa.Column("attached_apps", sa.Text(), server_default="[]", nullable=False))
    op.add_column("image_servers", sa.Column("attach_lease", sa.Text(), server_default="", nullable=False))
    op.add_column("image_servers", sa.Column("attach_until", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("image_servers", "attach_until")
    op.drop_column("image_servers", "attach_lease")
    op.drop_column("image_servers", "attached_apps")
    op.drop_table("app_records")
    op.drop_table("apps")
