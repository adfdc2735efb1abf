"""Images in the database."""

from typing import Any, Required, TypedDict, Unpack

import sqlalchemy as sa

from darkroom.domain.ids import ProjectId
from darkroom.domain.images import FOR_EVERYONE, Image, ImageOrder, ImageStatus, ImageType
from darkroom.domain.jobs import Job
from darkroom.errors import ImageNotFound
from darkroom.store.events import EventWrites
from darkroom.store.rows import Reader, Row
from darkroom.store.tables import images

_FIELDS = Image.__struct_fields__
_COLUMNS = ", ".join(f'"{field}"' for field in _FIELDS)
_GET = f"SELECT {_COLUMNS} FROM images WHERE id = :id"
_FOR_EVERYONE = ", ".join(f"'{image_type}'" for image_type in sorted(FOR_EVERYONE))
_VISIBLE = f"(project_id = :project OR image_type IN ({_FOR_EVERYONE}))"


class ImagePage(TypedDict, total=False):
    """Which images are wanted, beginning after the one that `marker` names; filters that are empty match all."""

    marker: Required[str]
    limit: Required[int]
    image_id: str
    name: str
    image_type: ImageType | None
    status: ImageStatus | None
    order: ImageOrder
    descending: bool


#: Columns by the fields that filter them.
_FILTERS = {"id": "image_id", "name": "name", "image_type": "image_type", "status": "status"}


class Images:
    """Reads images. A project sees its own and those for everyone."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, project_id: ProjectId, image_id: str) -> Image:
        """Return an image that the project may use. Raises ImageNotFound."""
        row = await self._reader.one(f"{_GET} AND {_VISIBLE}", id=image_id, project=project_id)
        if row is None:
            raise ImageNotFound(f"The image {image_id} does not exist.")
        return _image(row)

    async def find(self, image_id: str) -> Image | None:
        """Return an image, whoever owns it, or None."""
        row = await self._reader.one(_GET, id=image_id)
        return _image(row) if row else None

    async def with_status(self, status: ImageStatus) -> list[Image]:
        """Return the images, of any project, in that state."""
        sql = f"SELECT {_COLUMNS} FROM images WHERE status = :status"
        return [_image(row) for row in await self._reader.all(sql, status=status)]

    async def all(self) -> list[Image]:
        """Return every image of every project."""
        return [_image(row) for row in await self._reader.all(f"SELECT {_COLUMNS} FROM images")]

    async def page(self, project_id: ProjectId, **wanted: Unpack[ImagePage]) -> list[Image]:
        """Return images the project may use that match. Raises ImageNotFound for a marker that names none."""
        order, descending = wanted.get("order", ImageOrder.CREATED_AT), wanted.get("descending", True)
        conditions = [_VISIBLE]
        values: dict[str, Any] = {"project": project_id, "limit": wanted["limit"]}
        for column, field in _FILTERS.items():
            if value := wanted.get(field):
                conditions.append(f"{column} = :{field}")
                values[field] = value
        if marker := wanted["marker"]:
            after = await self.get(project_id, marker)
            conditions.append(f"({order}, id) {'<' if descending else '>'} (:after, :marker)")
            values |= {"after": getattr(after, order), "marker": marker}
        direction = "DESC" if descending else "ASC"
        sql = (
            f"SELECT {_COLUMNS} FROM images WHERE {' AND '.join(conditions)}"
            f" ORDER BY {order} {direction}, id {direction} LIMIT :limit"
        )
        return [_image(row) for row in await self._reader.all(sql, **values)]


class ImageWrites:
    """Changes images, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites) -> None:
        self._connection, self._events = connection, events

    def add(self, image: Image, *, job: Job | None = None) -> None:
        """Record an image; recording the same one again changes nothing."""
        if self._connection.scalar(sa.select(images.c.id).where(images.c.id == image.id)):
            return
        self._connection.execute(images.insert(), {name: getattr(image, name) for name in _FIELDS})
        data = {"name": image.name, "status": image.status}
        self._event("image.added", image.created_at, image, data, job=job)

    def usage(self, project_id: ProjectId) -> tuple[int, int]:
        """Return how many images a project has, and their bytes."""
        statement = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(images.c.size), 0))
        count, size = self._connection.execute(statement.where(images.c.project_id == project_id)).one()
        return int(count), int(size)

    def change(self, image: Image, at: int, *, of: ImageStatus, touched: int | None = None, **changes: Any) -> bool:
        """Change an image whose status is `of` now, and that was last touched then; say whether it was.

        With no changes, it is only touched: nobody sees that, and there is no event.
        """
        statement = images.update().where(images.c.id == image.id, images.c.status == of.value)
        if touched is not None:
            statement = statement.where(images.c.updated_at == touched)
        changed = self._connection.execute(statement.values(updated_at=at, **changes))
        if changed.rowcount and changes:
            self._event("image.changed", at, image, changes)
        return bool(changed.rowcount)

    def miss(self, image: Image, at: int) -> None:
        """Tell, once, that the file of an active image has disappeared."""
        statement = sa.select(images.c.id).where(images.c.id == image.id, images.c.status == ImageStatus.ACTIVE.value)
        if self._connection.scalar(statement):
            once = f"{image.id}:file_missing"
            self._events.add("image.file_missing", at, image.project_id, resource_id=image.id, once=once)

    def remove(self, image: Image, at: int) -> None:
        removed = self._connection.execute(images.delete().where(images.c.id == image.id))
        if removed.rowcount:
            self._event("image.removed", at, image, {"name": image.name})

    def _event(self, kind: str, at: int, image: Image, data: dict[str, Any], *, job: Job | None = None) -> None:
        job_id = job.id if job else None
        self._events.add(kind, at, image.project_id, job_id=job_id, resource_id=image.id, data=data)


def _image(row: Row) -> Image:
    values = dict(zip(_FIELDS, row, strict=True))
    values |= {
        "image_type": ImageType(values["image_type"]),
        "status": ImageStatus(values["status"]),
        "generalised": bool(values["generalised"]),
    }
    return Image(**values)
