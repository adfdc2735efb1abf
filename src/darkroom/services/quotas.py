"""Quotas of a project, checked in the transaction of what would go beyond them, before any work is done."""

from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import JobType
from darkroom.domain.limits import Quota
from darkroom.errors import QuotaExceeded
from darkroom.store.transaction import Transaction


def check_servers(tx: Transaction, quota: Quota, project_id: ProjectId) -> None:
    """Raise QuotaExceeded if the project may not have another image server."""
    if quota.servers:
        tx.lock(f"quota {project_id}")
        _check("image servers", tx.servers.count(project_id), quota.servers)


def check_images(tx: Transaction, quota: Quota, project_id: ProjectId) -> None:
    """Raise QuotaExceeded if the project may not have another image, or no more bytes of them."""
    if not (quota.images or quota.image_bytes):
        return
    tx.lock(f"quota {project_id}")
    count, used = tx.images.usage(project_id)
    if quota.images:
        _check("images", count + tx.jobs.running(JobType.CREATE_SERVER_IMAGE, project_id), quota.images)
    if quota.image_bytes:
        _check("bytes of images", used, quota.image_bytes)


def check_image_bytes(tx: Transaction, quota: Quota, project_id: ProjectId, size: int) -> None:
    """Raise QuotaExceeded if the project may not have `size` bytes more of images."""
    if not quota.image_bytes:
        return
    tx.lock(f"quota {project_id}")
    _, used = tx.images.usage(project_id)
    if used + size > quota.image_bytes:
        raise QuotaExceeded(
            f"The project may have {quota.image_bytes} bytes of images and has {used}; this one has {size}."
        )


def _check(what: str, used: int, limit: int) -> None:
    if used >= limit:
        raise QuotaExceeded(f"The project may have {limit} {what}, and has {used}.")
