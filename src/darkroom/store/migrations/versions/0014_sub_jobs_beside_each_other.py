"""The sub-jobs of a job beside each other, under a key that begins with the job: a read of it needs no index of theirs.

On SQLite the table is written anew, which takes some seconds for each million of sub-jobs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_KEY = ["job_id", "id"]
_PAGES = ["project_id", "id", "job_type", "status"]


def upgrade() -> None:
    op.drop_index(op.f("ix_sub_jobs_job_id_id"), table_name="sub_jobs")
    op.drop_index(op.f("ix_sub_jobs_project_id_id_job_type_status"), table_name="sub_jobs")
    _set_key(_KEY)
    op.create_index(
        op.f("ix_sub_jobs_project_id_id_job_type_status_job_id"), "sub_jobs", [*_PAGES, "job_id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_sub_jobs_project_id_id_job_type_status_job_id"), table_name="sub_jobs")
    _set_key(["id"])
    op.create_index(op.f("ix_sub_jobs_project_id_id_job_type_status"), "sub_jobs", _PAGES, unique=False)
    op.create_index(op.f("ix_sub_jobs_job_id_id"), "sub_jobs", ["job_id", "id"], unique=False)


def _set_key(columns: list[str]) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint(op.f("pk_sub_jobs"), "sub_jobs")
        op.create_primary_key(op.f("pk_sub_jobs"), "sub_jobs", columns)
        return
    op.drop_index(op.f("ix_sub_jobs_status_job_id"), table_name="sub_jobs")
    op.rename_table("sub_jobs", "former_sub_jobs")
    op.create_table(
        "sub_jobs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("project_id", "job_type", "status", "resource_id", "resource_name")
        ),
        sa.Column("begin_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), server_default="", nullable=False),
        sa.Column("error_message", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint(*columns, name=op.f("pk_sub_jobs")),
        sqlite_with_rowid=columns != _KEY,
    )
    op.execute(f"INSERT INTO sub_jobs SELECT * FROM former_sub_jobs ORDER BY {', '.join(columns)}")
    op.drop_table("former_sub_jobs")
    op.create_index(op.f("ix_sub_jobs_status_job_id"), "sub_jobs", ["status", "job_id"], unique=False)
