"""Pages and counts of a project's jobs and sub-jobs by indexes alone, however they are filtered."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COLUMNS = ["project_id", "id", "job_type", "status"]


def upgrade() -> None:
    op.create_index(op.f("ix_jobs_project_id_id_job_type_status"), "jobs", _COLUMNS, unique=False)
    op.create_index(op.f("ix_sub_jobs_project_id_id_job_type_status"), "sub_jobs", _COLUMNS, unique=False)
    op.drop_index(op.f("ix_jobs_project_id_id"), table_name="jobs")


def downgrade() -> None:
    op.create_index(op.f("ix_jobs_project_id_id"), "jobs", ["project_id", "id"], unique=False)
    op.drop_index(op.f("ix_sub_jobs_project_id_id_job_type_status"), table_name="sub_jobs")
    op.drop_index(op.f("ix_jobs_project_id_id_job_type_status"), table_name="jobs")
